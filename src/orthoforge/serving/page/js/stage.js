// What is seen: a map of the canvas with the image, the areas that are drawn, a scale, and a line to swipe between two pictures.

import { frame } from "./geometry.js";

/* global L */

const FADE_MS = 250;
const NAMES = { mask: "Mask", image: "Image", other: "Other seed" };

export class Stage {
  constructor(element, session) {
    this.session = session;
    this.map = L.map(element, {
      zoomControl: false, attributionControl: false, keyboard: false, boxZoom: false, doubleClickZoom: false, zoomSnap: 0,
      zoomDelta: 0.75, wheelPxPerZoomLevel: 120, minZoom: 15, maxZoom: 24,
    });
    L.control.scale({ imperial: false, maxWidth: 120 }).addTo(this.map);
    for (const [name, z] of [["right", 240], ["left", 250], ["areas", 410]]) this.map.createPane(name).style.zIndex = z;
    this.renderer = L.canvas({ pane: "areas", padding: 0.5 });
    this.shapes = new Map();
    this.pictures = { mask: "", image: "", other: "" };
    this.overlays = {};
    this.sides = { left: "mask", right: "image" };
    this.compares = false;
    this.share = 0.5;
    this.hidden = new Set();
    this.showsAreas = true;
    this.map.on("move zoom resize viewreset zoomanim", () => this.#clip());
    this.useCanvas();
  }

  /** The session's canvas: its size and the length of its pixels. */
  useCanvas() {
    const { width, height, place } = this.session;
    this.frame = frame(place.pixel);
    this.bounds = L.latLngBounds([this.latLng([0, 0]), this.latLng([width, height])]);
    this.outline?.remove();
    this.outline = L.rectangle(this.bounds, { renderer: this.renderer, interactive: false, fill: false, color: "#8888", weight: 1 }).addTo(this.map);
    for (const overlay of Object.values(this.overlays)) overlay?.remove();
    this.overlays = {};
    for (const name of ["image", "other"]) {
      URL.revokeObjectURL(this.pictures[name]);
      this.pictures[name] = "";
    }
    this.#forget();
    this.fit();
    this.draw(this.session.doc);
  }

  fit() {
    this.map.fitBounds(this.bounds, { padding: [12, 12], animate: false });
  }

  latLng(point) {
    const [lng, lat] = this.frame.toLngLat(point);
    return L.latLng(lat, lng);
  }

  pixel({ lng, lat }) {
    return this.frame.toPixel([lng, lat]);
  }

  /** Pixels of the canvas in one of the screen. */
  get pixelsOfScreen() {
    const one = this.map.latLngToContainerPoint(this.latLng([0, 0]));
    const other = this.map.latLngToContainerPoint(this.latLng([1, 0]));
    return 1 / (other.x - one.x);
  }

  /** Show areas; those that are the same as before stay. */
  draw(doc) {
    const wanted = new Map(doc.map((one) => [one.id, one]));
    for (const [id, { one, layer }] of this.shapes) {
      if (wanted.get(id) !== one || this.hidden.has(id)) {
        layer.remove();
        this.shapes.delete(id);
      }
    }
    for (const one of doc) {
      if (!this.shapes.has(one.id) && !this.hidden.has(one.id)) {
        const layer = L.polygon(one.rings.map((ring) => ring.map((point) => this.latLng(point))), this.#looks(one)).addTo(this.map);
        this.shapes.set(one.id, { one, layer });
      }
    }
  }

  restyle() {
    for (const { one, layer } of this.shapes.values()) layer.setStyle(this.#looks(one));
  }

  toggleAreas(shown = !this.showsAreas) {
    this.showsAreas = shown;
    this.restyle();
  }

  /** One of the pictures `mask`, `image` and `other`, as an address of this page's own. */
  setPicture(name, blob) {
    if (this.pictures[name]) URL.revokeObjectURL(this.pictures[name]);
    this.pictures[name] = blob ? URL.createObjectURL(blob) : "";
    if (name === "image") this.restyle();
    this.#refresh();
  }

  setCompare(on, sides = this.sides) {
    this.compares = on;
    this.sides = sides;
    this.restyle();
    this.#refresh();
  }

  setShare(share) {
    this.share = share;
    this.#clip();
  }

  /** What a side shows; its name for people. */
  nameOf = (side) => NAMES[this.sides[side]];

  #looks(one) {
    const color = this.session.shownColour(one.cls);
    const shown = this.showsAreas && !this.compares;
    const fillOpacity = !shown ? 0 : this.pictures.image ? 0.1 : 0.55;
    return { renderer: this.renderer, interactive: false, color, weight: 1.5, opacity: shown ? 0.9 : 0, fillColor: color, fillOpacity };
  }

  #refresh() {
    this.#show("left", this.compares ? this.pictures[this.sides.left] : this.pictures.image);
    this.#show("right", this.compares ? this.pictures[this.sides.right] : "");
    this.#clip();
  }

  #show(side, url) {
    const before = this.overlays[side];
    if (before?._url === url || (!before && !url)) return;
    this.overlays[side] = url ? L.imageOverlay(url, this.bounds, { pane: side, className: "picture", alt: "" }).addTo(this.map) : null;
    if (!before) return;
    if (!url) before.remove();
    else setTimeout(() => before.remove(), FADE_MS + 100);
  }

  /** The left picture ends, and the right one begins, at the line. */
  #clip() {
    const size = this.map.getSize();
    const top = this.map.containerPointToLayerPoint([0, 0]);
    const at = top.x + size.x * this.share;
    const box = (from, to) => `polygon(${from}px ${top.y}px, ${to}px ${top.y}px, ${to}px ${top.y + size.y}px, ${from}px ${top.y + size.y}px)`;
    this.map.getPane("left").style.clipPath = this.compares ? box(top.x, at) : "";
    this.map.getPane("right").style.clipPath = this.compares ? box(at, top.x + size.x) : "";
  }

  #forget() {
    for (const { layer } of this.shapes.values()) layer.remove();
    this.shapes.clear();
  }
}
