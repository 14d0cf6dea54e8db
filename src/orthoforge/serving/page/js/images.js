// Images of what is drawn: the preview that follows the hand, and those for other seeds and files.

import { labelsOf, maskPng } from "./raster.js";
import { formOf } from "./server.js";

const PAUSE_MS = 40; // after a stroke, in case the next one comes at once
const KEPT = 32;

export class Images extends EventTarget {
  #kept = new Map();
  #revisions = new WeakMap();
  #revision = 0;
  #running = null;
  #next = null;
  #timer = 0;

  constructor(server, session) {
    super();
    Object.assign(this, { server, session });
  }

  mask(doc = this.session.doc) {
    const { width, height, background, classes } = this.session;
    return maskPng(labelsOf(doc, width, height, background), width, height, classes);
  }

  /** What the server is sent with a mask. */
  fields(mask, changes = {}) {
    const { model, seed, style, place } = this.session;
    return { mask, model: model.name, seed, style, crs: place.crs, left: place.left, top: place.top, pixel_size_m: place.pixel, ...changes };
  }

  /** The image for a seed, from those that were made lately where it is one of them. */
  async image({ doc = this.session.doc, seed = this.session.seed, signal, mask = null } = {}) {
    const key = this.#key(doc, seed);
    const kept = this.#kept.get(key);
    if (kept) return kept;
    const body = formOf(this.fields(mask ?? this.mask(doc), { seed }));
    const response = await this.server.ask("/v1/images", { method: "POST", body, headers: { Accept: "image/png" }, signal });
    const blob = await response.blob();
    this.#kept.set(key, blob);
    if (this.#kept.size > KEPT) this.#kept.delete(this.#kept.keys().next().value);
    return blob;
  }

  /** The same image as a GeoTIFF on its place. */
  async geoTiff() {
    const body = formOf(this.fields(this.mask()));
    return (await this.server.ask("/v1/images", { method: "POST", body, headers: { Accept: "image/tiff" } })).blob();
  }

  /** The mask on its place, as a GeoTIFF. */
  async maskGeoTiff() {
    const body = formOf(this.fields(this.mask(), { seed: null, style: null }));
    return (await this.server.ask("/v1/masks", { method: "POST", body, headers: { Accept: "image/tiff" } })).blob();
  }

  /** Show what is drawn. While a hand moves (`live`) one image follows the other; at its end what runs is dropped for the last. */
  follow(doc, live) {
    clearTimeout(this.#timer);
    this.#next = doc;
    if (live) {
      if (!this.#running) this.#make();
      return;
    }
    this.#timer = setTimeout(() => {
      if (!this.#next) return; // it is being made already, after the image that ran when the hand let go
      this.#running?.abort();
      this.#make();
    }, PAUSE_MS);
  }

  async #make() {
    const doc = this.#next;
    this.#next = null;
    const running = (this.#running = new AbortController());
    const began = performance.now();
    try {
      const mask = this.mask(doc);
      this.#tell("begun", { mask });
      const image = await this.image({ doc, mask, signal: running.signal });
      if (this.#running === running) this.#tell("made", { image, doc, seconds: (performance.now() - began) / 1000 });
    } catch (error) {
      if (this.#running === running && error.name !== "AbortError") this.#tell("failed", { error, doc });
    }
    if (this.#running !== running) return;
    this.#running = null;
    if (this.#next) this.#make();
  }

  #key(doc, seed) {
    if (!this.#revisions.has(doc)) this.#revisions.set(doc, ++this.#revision);
    const { model, style, place, width, height } = this.session;
    return JSON.stringify([this.#revisions.get(doc), seed, model.name, style, place, width, height]);
  }

  #tell = (type, detail) => this.dispatchEvent(new CustomEvent(type, { detail }));
}
