// What is drawn as a link, and as what the browser remembers: corners in tenths of a pixel, packed.

import { deflateSync, inflateSync, strFromU8, strToU8 } from "../vendor/fflate/browser.js";
import { item } from "./document.js";
import { toLonLat } from "./places.js";

const VERSION = 1;
const TENTH = 10;
const MOST_PIXELS = 2 ** 26;

export function packed(session) {
  const { width, height, place, model, seed, style, classes } = session;
  const areas = session.doc.map(({ cls, rings }) => [classes[cls].name, rings.map(steps)]);
  const kept = model.styles.includes(style) ? style : "";
  const state = { v: VERSION, w: width, h: height, p: place, m: model.name, s: seed, y: kept, a: areas };
  const bytes = deflateSync(strToU8(JSON.stringify(state)), { level: 9 });
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")).replace(/[+/=]/g, (sign) => ({ "+": "-", "/": "_" })[sign] ?? "");
}

/** The state of a link; null for what is none. */
export function unpacked(text) {
  try {
    const bytes = Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
    const state = JSON.parse(strFromU8(inflateSync(bytes)));
    return isSound(state) ? state : null;
  } catch {
    return null;
  }
}

/** Whether a state is one that a page can be in: links are written by anybody. */
function isSound({ v, w, h, p, s, a }) {
  const isSize = [w, h].every((side) => Number.isInteger(side) && side > 0) && w * h <= MOST_PIXELS;
  const isPlace = [p.left, p.top, p.pixel].every(Number.isFinite) && p.pixel > 0 && Number.isInteger(p.crs);
  const isRing = (ring) => ring.length >= 6 && ring.every(Number.isFinite);
  const areAreas = a.every(([name, rings]) => typeof name === "string" && rings.length && rings.every(isRing));
  return v === VERSION && isSize && isPlace && Number.isInteger(s) && s >= 0 && areAreas && toLonLat(p, [0, 0]).every(Number.isFinite);
}

/** Let a session be what a state says, with the classes and styles that its models have. */
export function restore(session, state) {
  if (session.models.some((one) => one.name === state.m)) session.setModel(state.m);
  const known = (name) => session.classes.find((one) => one.name === name && one.index !== session.background)?.index ?? session.cls;
  const doc = state.a.map(([name, rings]) => item(known(name), rings.map(corners)));
  session.seed = state.s;
  session.style = session.model.styles.includes(state.y) ? state.y : "";
  session.open({ width: state.w, height: state.h, place: state.p, doc });
  session.setLook({});
}

/** Corners as the steps between them, which are short numbers. */
function steps(ring) {
  let [x, y] = [0, 0];
  return ring.flatMap((point) => {
    const [nx, ny] = point.map((at) => Math.round(at * TENTH));
    const step = [nx - x, ny - y];
    [x, y] = [nx, ny];
    return step;
  });
}

function corners(numbers) {
  let [x, y] = [0, 0];
  const ring = [];
  for (let i = 0; i + 1 < numbers.length; i += 2) {
    [x, y] = [x + numbers[i], y + numbers[i + 1]];
    ring.push([x / TENTH, y / TENTH]);
  }
  return ring;
}
