// The living maps: what a server makes of a layer, tile by tile as one pans.

import { announce, askKey, hush, tell } from "./messages.js";
import { Server } from "./server.js";
import { useTheme } from "./theme.js";
import { Tiles } from "./tiles.js";

/* global L */

const MOST_SEED = 2 ** 31 - 1;
const BEYOND = 2; // zooms past the last one that the server makes
const get = (id) => document.getElementById(id);

class LivingMap {
  constructor(server, models, maps) {
    Object.assign(this, { server, models, maps, seed: null, style: "" });
    this.map = L.map("map", { zoomControl: false, attributionControl: true, zoomSnap: 1, minZoom: 2 });
    this.map.attributionControl.setPrefix(false);
    L.control.zoom({ position: "topright", zoomInTitle: "Closer", zoomOutTitle: "Further away" }).addTo(this.map);
    L.control.scale({ imperial: false }).addTo(this.map);
    this.map.createPane("overlay").style.zIndex = 300;
    this.map.on("moveend", () => this.#remember());
    for (const name of maps) get("layer").add(new Option(name, name));
    for (const one of models) get("model").add(new Option(one.name, one.name));
    get("layer-row").hidden = maps.length < 2;
    get("model-row").hidden = models.length < 2;
    get("layer").addEventListener("change", () => this.#change({ layer: get("layer").value, view: null }));
    get("model").addEventListener("change", () => this.#change({ model: get("model").value }));
    get("style").addEventListener("change", () => this.#change({ style: get("style").value }));
    get("seed").addEventListener("change", () => this.#change({ seed: seedOf(get("seed").value) }));
    get("dice").addEventListener("click", () => this.#change({ seed: Math.floor(Math.random() * 10_000) }));
    get("mask").addEventListener("input", () => this.#showMask());
    get("draw").addEventListener("click", () => this.#draw());
  }

  #change = (what) => this.open({ view: this.#view(), ...what }).catch((error) => tell(error, "map"));

  /** Show a layer in a model, style and seed; what is left out stays. */
  async open({ layer = this.layer, model = this.model?.name, style = this.style, seed = this.seed, view = null }) {
    this.layer = layer;
    this.model = this.models.find((one) => one.name === model) ?? this.models[0];
    this.style = this.model.styles.includes(style) ? style : "";
    this.seed = seed;
    this.#show();
    const base = `/v1/maps/${encodeURIComponent(layer)}`;
    const of = new URLSearchParams({ model: this.model.name });
    const look = new URLSearchParams(of);
    if (this.style) look.set("style", this.style);
    if (seed !== null) look.set("seed", seed);
    const opening = (this.opening = {});
    const told = await this.server.json(`${base}/tilejson.json?${look}`);
    if (this.opening !== opening) return; // another one was asked for meanwhile
    hush("map");
    const [west, south, east, north] = told.bounds;
    const bounds = L.latLngBounds([south, west], [north, east]);
    const options = {
      minZoom: 2, maxNativeZoom: told.maxzoom, maxZoom: told.maxzoom + BEYOND, bounds, noWrap: true, updateWhenZooming: false,
      keepBuffer: 1, onTrouble: (error) => tell(error, "tile"), attribution: "",
    };
    this.map.setMaxZoom(options.maxZoom);
    this.map.setMaxBounds(bounds.pad(0.5));
    const [cx, cy, z] = told.center;
    this.map.setView(view?.at ?? [cy, cx], view?.zoom ?? z, { animate: false });
    const before = this.layers ?? [];
    const masks = `${base}/masks/{z}/{x}/{y}.png?${of}`;
    // What is not made yet is the mask meanwhile.
    const sketch = new Tiles(this.server, masks, { ...options, opacity: 0.3, className: this.model.classes ? "" : "sketch" });
    const image = new Tiles(this.server, `${base}/tiles/{z}/{x}/{y}.png?${look}`, options);
    this.overlay = new Tiles(this.server, masks, { ...options, pane: "overlay", opacity: get("mask").value / 100 });
    image.on("loading", () => document.body.classList.add("working"));
    image.on("load", () => this.#loaded());
    this.layers = [sketch, image, this.overlay];
    for (const one of [sketch, image]) one.addTo(this.map);
    for (const one of before) one.remove();
    this.#showMask();
    get("attribution").textContent = told.attribution ?? "";
    this.#remember();
  }

  /** The mask over the image, which nothing is asked for as long as it is not seen. */
  #showMask() {
    if (!this.overlay) return;
    const opacity = get("mask").value / 100;
    this.overlay.setOpacity(opacity);
    if (opacity && !this.map.hasLayer(this.overlay)) this.overlay.addTo(this.map);
    if (!opacity) this.overlay.remove();
  }

  #loaded() {
    document.body.classList.remove("working");
    hush("tile");
    document.documentElement.dataset.tiles = Number(document.documentElement.dataset.tiles ?? 0) + 1;
    announce("The map is there");
  }

  #view = () => ({ at: this.map.getCenter(), zoom: this.map.getZoom() });

  #show() {
    get("layer").value = this.layer;
    get("model").value = this.model.name;
    get("style").replaceChildren(new Option("Any, by the seed", ""), ...this.model.styles.map((name) => new Option(name, name)));
    get("style").value = this.style;
    get("style-row").hidden = !this.model.styles.length;
    get("seed-row").hidden = !this.model.seed_changes_the_image;
    get("seed").value = this.seed ?? "";
  }

  /** The view as the page's address, so that a link shows it. */
  #remember() {
    if (!this.layer) return;
    const { lat, lng } = this.map.getCenter();
    const view = new URLSearchParams({ map: this.layer, z: this.map.getZoom(), at: `${lng.toFixed(6)},${lat.toFixed(6)}`, model: this.model.name });
    if (this.style) view.set("style", this.style);
    if (this.seed !== null) view.set("seed", this.seed);
    history.replaceState(null, "", `#${view}`);
  }

  /** The houses in the middle of the view, to be drawn on. */
  #draw() {
    const { lat, lng } = this.map.getCenter();
    const from = new URLSearchParams({ map: this.layer, at: `${lng.toFixed(6)},${lat.toFixed(6)}`, model: this.model.name });
    if (this.style) from.set("style", this.style);
    if (this.seed !== null) from.set("seed", this.seed);
    location.href = `/#${from}`;
  }
}

/** The seed that a text says; null, the server's own, for what says none. */
function seedOf(text) {
  const seed = Math.trunc(Number(text));
  return text === null || text === "" || !Number.isFinite(seed) ? null : Math.min(MOST_SEED, Math.max(0, seed));
}

async function begin() {
  useTheme(get("theme"));
  const server = new Server(askKey);
  const [{ models }, { maps }] = [await server.json("/v1/models"), await server.json("/v1/maps")];
  if (!maps.length) throw new Error("This server has no map. Start it with --layers and a file of footprints, or a mask with a place.");
  const names = maps.map((one) => one.name);
  const usable = models.filter((one) => one.bands >= 3);
  if (!usable.length) throw new Error("No model of this server makes images of three bands, which a map can show.");
  const living = new LivingMap(server, usable, names);
  const asked = new URLSearchParams(location.hash.slice(1));
  const [lng, lat] = (asked.get("at") ?? "").split(",").map(Number);
  const view = asked.has("at") && Number.isFinite(lat) ? { at: [lat, lng], zoom: Number(asked.get("z")) || 17 } : null;
  await living.open({
    layer: names.includes(asked.get("map")) ? asked.get("map") : names[0], model: asked.get("model"), style: asked.get("style") ?? "",
    seed: seedOf(asked.get("seed")), view,
  });
  window.orthoforge = living;
}

// A link that is opened in this tab changes no more than what follows the #.
addEventListener("hashchange", () => location.reload());
begin().catch((error) => tell(error));
