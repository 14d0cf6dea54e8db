// A line over the stage: on its left one picture, on its right another, of mask, image and the image of another seed.

import { tell } from "./messages.js";

const get = (id) => document.getElementById(id);

export class Swipe {
  #asking = null;

  constructor(stage, session, images) {
    Object.assign(this, { stage, session, images });
    for (const side of ["left", "right"]) {
      get(`side-${side}`).value = stage.sides[side];
      get(`side-${side}`).addEventListener("change", () => this.#choose());
    }
    get("compare").addEventListener("click", () => this.toggle());
    get("swipe").addEventListener("input", ({ target }) => this.#move(Number(target.value) / 1000));
    const handle = get("swipe-line");
    handle.addEventListener("pointerdown", (event) => handle.setPointerCapture(event.pointerId));
    handle.addEventListener("pointermove", (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return;
      const box = get("stage").getBoundingClientRect();
      this.#move(Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
    });
    this.#move(0.5);
  }

  toggle() {
    const on = !this.stage.compares;
    document.body.classList.toggle("comparing", on);
    get("compare").ariaPressed = String(on);
    this.stage.setCompare(on);
    if (on) this.refresh(this.session.doc);
  }

  /** The other seed's image follows what is drawn too, after the image itself. */
  async refresh(doc) {
    const sides = Object.values(this.stage.sides);
    if (!this.stage.compares || !sides.includes("other")) return;
    this.#asking?.abort();
    const asking = (this.#asking = new AbortController());
    try {
      const image = await this.images.image({ doc, seed: this.session.seed + 1, signal: asking.signal });
      if (this.#asking === asking) this.stage.setPicture("other", image);
    } catch (error) {
      tell(error, "other");
    }
  }

  #choose() {
    this.stage.setCompare(true, { left: get("side-left").value, right: get("side-right").value });
    this.refresh(this.session.doc);
  }

  #move(share) {
    get("swipe").value = Math.round(share * 1000);
    get("swipe-line").style.left = `${100 * share}%`;
    this.stage.setShare(share);
  }
}
