// Brush and eraser: round, as wide as one likes, led over the canvas.

import { stroke } from "./clip.js";
import { erased, painted } from "./document.js";
import { simplified } from "./geometry.js";

/* global L */

const MOST_OFF_PX = 0.4; // of a line from what the hand did

export class Brush {
  #line = null;
  #pointer = null;
  #tool = null; // with which the stroke was begun

  constructor(stage, session) {
    Object.assign(this, { stage, session });
    this.ring = document.createElement("div");
    this.ring.className = "brush-ring";
    this.ring.hidden = true;
    const container = stage.map.getContainer();
    container.append(this.ring);
    container.addEventListener("pointerdown", (event) => this.#down(event), true);
    container.addEventListener("pointermove", (event) => this.#move(event));
    container.addEventListener("pointerup", (event) => this.#up(event));
    container.addEventListener("pointercancel", () => this.cancel());
    container.addEventListener("pointerleave", () => (this.ring.hidden = true));
    session.addEventListener("tool", () => this.#dress());
  }

  get #isOn() {
    return ["brush", "eraser"].includes(this.session.tool);
  }

  #down(event) {
    if (!this.#isOn || event.target.closest(".leaflet-control")) return;
    if (this.#line) return this.cancel(); // a second finger: the map is moved
    if (event.button !== 0) return;
    this.stage.map.dragging.disable();
    if (event.isTrusted) this.stage.map.getContainer().setPointerCapture(event.pointerId); // strokes may end outside the window
    this.#pointer = event.pointerId;
    this.#tool = this.session.tool;
    this.#line = [this.#at(event)];
    this.trail = L.polyline([], { renderer: this.stage.renderer, interactive: false, ...this.#looks() }).addTo(this.stage.map);
    this.#extend(event);
  }

  #move(event) {
    if (this.#isOn && event.pointerType !== "touch") this.#place(event);
    if (!this.#line || event.pointerId !== this.#pointer) return;
    for (const one of event.getCoalescedEvents?.() ?? [event]) this.#line.push(this.#at(one));
    this.#extend(event);
  }

  #up(event) {
    if (!this.#line || event.pointerId !== this.#pointer) return;
    const line = simplified(this.#line, MOST_OFF_PX);
    this.cancel();
    const area = stroke(line, this.session.brush);
    const { doc, cls, tool } = this.session;
    this.session.apply(tool === "eraser" || cls === this.session.background ? erased(doc, area) : painted(doc, cls, area));
  }

  /** Drop the stroke that was begun, if there is one. */
  cancel() {
    if (!this.#line) return;
    this.#line = this.#pointer = null;
    this.trail.remove();
    this.stage.map.dragging.enable();
  }

  #at = (event) => this.stage.pixel(this.stage.map.mouseEventToLatLng(event));

  #extend() {
    this.trail.setLatLngs(this.#line.map((point) => this.stage.latLng(point)));
  }

  #looks() {
    const erases = this.session.tool === "eraser";
    const color = erases ? "#ffffff" : this.session.shownColour(this.session.cls);
    return { color, opacity: 0.5, weight: (2 * this.session.brush) / this.stage.pixelsOfScreen, lineCap: "round", lineJoin: "round" };
  }

  #place(event) {
    const box = this.stage.map.getContainer().getBoundingClientRect();
    const wide = (2 * this.session.brush) / this.stage.pixelsOfScreen;
    Object.assign(this.ring.style, {
      width: `${wide}px`, height: `${wide}px`, transform: `translate(${event.clientX - box.left - wide / 2}px, ${event.clientY - box.top - wide / 2}px)`,
    });
    this.ring.hidden = false;
  }

  #dress() {
    if (this.session.tool !== this.#tool) this.cancel();
    this.stage.map.getContainer().classList.toggle("brushing", this.#isOn);
    if (!this.#isOn) this.ring.hidden = true;
  }
}
