// What is drawn: areas of a class, the later over the earlier. A document never changes; each change gives another one.

import { boundsOf, meet } from "./geometry.js";
import { polygons, united, without } from "./clip.js";

let count = 0;
export const newId = () => `area-${++count}`;

export const item = (cls, rings, id = newId()) => ({ id, cls, rings });

export const EMPTY = [];

export const find = (doc, id) => doc.find((one) => one.id === id);

export const added = (doc, ...items) => [...doc, ...items];

export const removed = (doc, id) => doc.filter((one) => one.id !== id);

export const replaced = (doc, id, rings) => doc.map((one) => (one.id === id ? { ...one, rings } : one));

export const recoloured = (doc, id, cls) => doc.map((one) => (one.id === id ? { ...one, cls } : one));

/** With an area painted on it, which grows together with what it touches of its class. */
export function painted(doc, cls, area) {
  const bounds = boundsOf(area.flat());
  const touched = doc.filter((one) => one.cls === cls && meet(boundsOf(one.rings), bounds));
  const grown = [...area];
  const joined = new Set();
  for (let more = true; more; ) {
    more = false;
    for (const one of touched.filter((other) => !joined.has(other.id))) {
      if (united([...grown, one.rings]).length < united(grown).length + 1) {
        joined.add(one.id);
        grown.push(one.rings);
        more = true;
      }
    }
  }
  return [...doc.filter((one) => !joined.has(one.id)), ...united(grown).map((rings) => item(cls, rings))];
}

/** Without an area, of whatever class it was. */
export function erased(doc, area) {
  const bounds = boundsOf(area.flat());
  const less = area.flat();
  if (!doc.some((one) => meet(boundsOf(one.rings), bounds))) return doc;
  return doc.flatMap((one) => {
    if (!meet(boundsOf(one.rings), bounds)) return [one];
    const left = without(one.rings, less);
    return left.map((rings, index) => item(one.cls, rings, index ? newId() : one.id));
  });
}

/** Areas that do not lie over each other: of two, the later has the ground. */
export function flat(doc) {
  const made = [];
  const above = [];
  for (const one of [...doc].reverse()) {
    const bounds = boundsOf(one.rings);
    const over = above.filter((other) => meet(other.bounds, bounds));
    const left = over.reduce((parts, other) => parts.flatMap((rings) => without(rings, other.rings)), polygons(one.rings));
    made.push(...left.map((rings) => ({ cls: one.cls, rings })));
    above.push({ bounds, rings: one.rings });
  }
  return made.reverse();
}

const isSame = (one, other) => Object.keys(one).every((name) => one[name] === other[name]);

/** States, one after the other, and the way back. A state is a document and what else one goes back to together with it. */
export class History {
  #past = [];
  #future = [];

  constructor(state) {
    this.now = state;
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  push(state) {
    if (isSame(state, this.now)) return;
    this.#past = [...this.#past.slice(-199), this.now];
    this.#future = [];
    this.now = state;
  }

  undo() {
    if (this.canUndo) {
      this.#future.push(this.now);
      this.now = this.#past.pop();
    }
  }

  redo() {
    if (this.canRedo) {
      this.#past.push(this.now);
      this.now = this.#future.pop();
    }
  }
}
