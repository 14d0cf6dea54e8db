// What the page is about: the canvas and its place, what is drawn on it, and how its image is to look. It tells of changes by events:
// `doc` (what is drawn, `live` while a hand still moves), `look`, `canvas`, `classes`, `tool`.

import { EMPTY, History, item } from "./document.js";
import { mapped } from "./geometry.js";
import { placeAt, resized, toLonLat } from "./places.js";

const BUILDINGS = [
  { index: 0, name: "ground", colour: [0, 0, 0], value: 0 },
  { index: 1, name: "building", colour: [255, 255, 255], value: 255 },
];
const GROUND = /background|ground|other|unlabel|void|clutter|none/i;
const SHOWN_BUILDING = "#ff7a45"; // white on white is not seen

export class Session extends EventTarget {
  constructor(models) {
    super();
    this.models = models;
    this.model = models[0];
    this.seed = 0;
    this.style = "";
    this.tool = "rectangle";
    this.brush = 6;
    this.width = this.height = 512;
    this.#useClasses();
    this.place = placeAt(0, 0, this.pixelM, this.width, this.height);
    this.history = new History(this.#state(EMPTY));
  }

  get doc() {
    return this.history.now.doc;
  }

  /** Metres of a pixel, as the model's are called: 0.3 where 0.299971 were measured. */
  get pixelM() {
    return Number((this.model.pixel_size_m ?? 0.3).toPrecision(3));
  }

  get drawn() {
    return { cls: this.cls, background: this.background };
  }

  shownColour(cls) {
    if (!this.model.classes) return SHOWN_BUILDING;
    const [red, green, blue] = this.classes[cls].colour;
    return `#${[red, green, blue].map((level) => level.toString(16).padStart(2, "0")).join("")}`;
  }

  /** What is drawn becomes something else. */
  apply(doc) {
    this.history.push(this.#state(doc));
    this.#tell("doc", { live: false });
  }

  /** How it looks while a hand still moves something; nothing that one can go back to. */
  preview(doc) {
    this.#tell("doc", { live: true, doc });
  }

  /** What is drawn is where one begins. */
  forgetPast() {
    this.history = new History(this.history.now);
  }

  undo() {
    this.#go(() => this.history.undo());
  }

  redo() {
    this.#go(() => this.history.redo());
  }

  setTool(tool) {
    this.tool = tool;
    this.#tell("tool");
  }

  setClass(cls) {
    this.cls = cls;
    this.#tell("tool");
  }

  setBrush(radius) {
    this.brush = Math.min(60, Math.max(1, radius));
    this.#tell("tool");
  }

  setLook(look) {
    Object.assign(this, look);
    this.#tell("look");
  }

  /** Another model: what is drawn keeps its classes by their names. Says how many areas had a class that it does not know. */
  setModel(name) {
    const [before, pixelBefore] = [this.classes, this.pixelM];
    this.#useModel(this.models.find((one) => one.name === name) ?? this.models[0]);
    const index = (cls) => this.classes.find((one) => one.name.toLowerCase() === before[cls].name.toLowerCase())?.index;
    const kept = this.doc.filter((one) => index(one.cls) !== undefined && index(one.cls) !== this.background);
    const lost = this.doc.length - kept.length;
    if (pixelBefore !== this.pixelM) this.place = placeAt(...this.#middle(), this.pixelM, this.width, this.height);
    this.history.push(this.#state(kept.map((one) => ({ ...one, cls: index(one.cls) }))));
    this.#tell("classes");
    this.#tell("canvas");
    return lost;
  }

  /** Another canvas with what is drawn on it. */
  open({ width, height, place, doc }) {
    Object.assign(this, { width, height, place });
    this.history.push(this.#state(doc));
    this.#tell("canvas");
  }

  /** The same ground in the middle of a canvas of another size. */
  resize(side) {
    const place = resized(this.place, [this.width, this.height], [side, side]);
    const [dx, dy] = [Math.floor(side / 2) - Math.floor(this.width / 2), Math.floor(side / 2) - Math.floor(this.height / 2)];
    const doc = this.doc.map((one) => item(one.cls, mapped(one.rings, ([x, y]) => [x + dx, y + dy]), one.id));
    this.open({ width: side, height: side, place, doc });
  }

  moveTo(lon, lat) {
    const { width, height, doc } = this;
    this.open({ width, height, place: placeAt(lon, lat, this.place.pixel, width, height), doc });
  }

  /** What is gone back to together: areas are pixels of a canvas in the classes of a model. */
  #state(doc) {
    const { width, height, place, model } = this;
    return { doc, width, height, place, model };
  }

  #go(step) {
    const before = this.history.now;
    step();
    const { width, height, place, model } = this.history.now;
    Object.assign(this, { width, height, place });
    if (model !== before.model) {
      this.#useModel(model);
      this.#tell("classes");
    }
    const isOther = ["width", "height", "place", "model"].some((name) => this.history.now[name] !== before[name]);
    if (isOther) this.#tell("canvas");
    else this.#tell("doc", { live: false, undone: true });
  }

  #middle = () => toLonLat(this.place, [this.width / 2, this.height / 2]);

  #useModel(model) {
    this.model = model;
    if (!model.styles.includes(this.style)) this.style = "";
    this.#useClasses();
  }

  #useClasses() {
    this.classes = this.model.classes ?? BUILDINGS;
    const named = this.classes.find((one) => GROUND.test(one.name)) ?? this.classes[0];
    this.background = named.index;
    const building = this.classes.find((one) => /building|house|roof/i.test(one.name) && one.index !== this.background);
    this.cls = (building ?? this.classes.find((one) => one.index !== this.background)).index;
  }

  #tell(type, detail = {}) {
    this.dispatchEvent(new CustomEvent(type, { detail: { doc: this.doc, ...detail } }));
  }
}
