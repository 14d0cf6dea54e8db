// Files in and out: GeoJSON, PNG and GeoTIFF, a pair to train on, and forged towns.

import { zipSync, strToU8 } from "../vendor/fflate/browser.js";
import { toGeoJson, ofGeoJson } from "./geojson.js";
import { say, tell } from "./messages.js";
import { placeOf, resized } from "./places.js";
import { labelsOfPicture } from "./raster.js";
import { formOf } from "./server.js";
import { traced } from "./trace.js";

const GEOJSON = /\.(geo)?json$/i;
const MOST_FORGED = 2048;

export class Files {
  constructor(server, session, images, look) {
    Object.assign(this, { server, session, images, look });
  }

  get name() {
    return `town-${this.session.seed}`;
  }

  /** Open a mask or footprints; the canvas becomes as large as a mask is. */
  async open(file) {
    try {
      if (GEOJSON.test(file.name)) await this.#openGeoJson(file);
      else await this.#openMask(file);
      say(`${file.name} is open.`, { name: "open" });
    } catch (error) {
      this.#explain(error, file);
    }
  }

  async forge(how) {
    const { session } = this;
    const side = Math.min(MOST_FORGED, Math.max(session.width, session.height));
    const body = JSON.stringify({ how, width: side, height: side, seed: Math.floor(Math.random() * 1e6) });
    const headers = { "Content-Type": "application/json", Accept: "image/png" };
    const response = await this.server.ask("/v1/masks/forged", { method: "POST", body, headers });
    const buildings = session.classes.map((one) => ({ ...one, value: null, colour: [0, 0, 0] }));
    buildings[this.building].colour = [255, 255, 255];
    const { labels, width, height } = await labelsOfPicture(await response.blob(), buildings);
    const doc = traced(labels.map((cls) => (cls === this.building ? cls : session.background)), width, height, session.background);
    session.open({ width, height, place: session.place, doc });
  }

  get building() {
    return this.session.classes.find((one) => /building/i.test(one.name))?.index ?? this.session.cls;
  }

  /** Keep something as a file: `png`, `tif`, `mask-png`, `mask-tif`, `geojson` or `pair`. */
  async save(what) {
    try {
      const [blob, ending] = await this.#made(what);
      const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: `${this.name}${ending}` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    } catch (error) {
      tell(error, "save");
    }
  }

  async #made(what) {
    const { session, images } = this;
    if (what === "png") return [await images.image(), ".png"];
    if (what === "tif") return [await images.geoTiff(), ".tif"];
    if (what === "mask-png") return [images.mask(), "-mask.png"];
    if (what === "mask-tif") return [await images.maskGeoTiff(), "-mask.tif"];
    if (what === "geojson") {
      return [new Blob([JSON.stringify(toGeoJson(session.doc, session.place, session.classes))], { type: "application/geo+json" }), ".geojson"];
    }
    return [await this.#pair(), "-pair.zip"];
  }

  /** Image and mask on one grid, in the folders that `orthoforge check` and `prepare` read. */
  async #pair() {
    const [image, mask] = await Promise.all([this.images.geoTiff(), this.images.maskGeoTiff()]);
    const bytes = async (blob) => new Uint8Array(await blob.arrayBuffer());
    const entries = { [`images/${this.name}.tif`]: await bytes(image), [`masks/${this.name}.tif`]: await bytes(mask) };
    if (this.session.model.classes) entries["palette.json"] = strToU8(palette(this.session.classes));
    return new Blob([zipSync(entries, { level: 0 })], { type: "application/zip" });
  }

  async #openGeoJson(file) {
    const { session } = this;
    let document;
    try {
      document = JSON.parse(await file.text());
    } catch {
      throw new Error(`${file.name} is no JSON. Export it as GeoJSON.`);
    }
    const { areas, place } = ofGeoJson(document, session.place, [session.width, session.height], session.classes, session.drawn);
    session.open({ width: session.width, height: session.height, place, doc: areas });
  }

  async #openMask(file) {
    const { session } = this;
    const response = await this.server.ask("/v1/masks", {
      method: "POST", body: formOf({ mask: file, model: session.model.name }), headers: { Accept: "image/png" },
    });
    const grid = JSON.parse(response.headers.get("Orthoforge-Grid"));
    const { labels, width, height } = await labelsOfPicture(await response.blob(), session.classes);
    const doc = traced(labels, width, height, session.background);
    const own = placeOf(grid);
    if (grid.crs && !own) say(`The grid of ${file.name} has no square pixels in metres, so its place is left out.`);
    const place = own ?? resized(session.place, [session.width, session.height], [width, height]);
    session.open({ width, height, place, doc });
  }

  /** What is no mask may be a photo. */
  #explain(error, file) {
    const isPicture = error.status === 422 && !GEOJSON.test(file.name) && this.session.model.styles.length;
    const words = say(error.message, { kind: "error", title: error.title ?? "", name: "open" });
    if (!isPicture) return;
    const button = Object.assign(document.createElement("button"), { textContent: "It is a photo: take its look" });
    button.addEventListener("click", () => {
      words.parentElement.remove();
      this.look.usePhoto(file);
    });
    words.append(" ", button);
  }
}

/** The classes as the palette file that `prepare --palette` reads. */
function palette(classes) {
  const coded = ({ name, colour, value }) => [name, value === null ? colour : value];
  return `${JSON.stringify(Object.fromEntries(classes.map(coded)), null, 1)}\n`;
}
