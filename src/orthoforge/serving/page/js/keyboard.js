// Drawing without a pointer: arrows lead a cross over the canvas, Space does there what a click does; and the short ways to tools.

import { added, find, item, recoloured, removed, replaced } from "./document.js";
import { moved, turned } from "./geometry.js";
import { announce } from "./messages.js";

const STEP_PX = 8;
const TOOLS = { v: "select", r: "rectangle", p: "polygon", b: "brush", e: "eraser" };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const COPY_PX = 14; // beside the original

export class Keyboard {
  #copied = null;
  #isPressed = false;

  constructor({ stage, session, drawing, brush, actions }) {
    Object.assign(this, { stage, session, drawing, brush, actions, tool: session.tool });
    this.container = stage.map.getContainer();
    this.cross = document.createElement("div");
    this.cross.className = "cross";
    this.cross.hidden = true;
    this.container.append(this.cross);
    this.#toMiddle();
    session.addEventListener("canvas", () => this.#toMiddle());
    session.addEventListener("classes", () => (this.#copied = null)); // its class is one of another model
    session.addEventListener("tool", () => {
      if (this.tool !== session.tool) this.#isPressed = false;
      this.tool = session.tool;
    });
    this.container.addEventListener("keydown", (event) => this.#onCanvas(event));
    this.container.addEventListener("blur", () => (this.cross.hidden = true));
    stage.map.on("move zoom", () => this.#place());
    document.addEventListener("keydown", (event) => this.#anywhere(event));
  }

  #onCanvas(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = ARROWS[event.key];
    if (arrow) this.drawing.selected ? this.#nudge(arrow, event.shiftKey) : this.#lead(arrow, event.shiftKey);
    else if (event.key === " ") this.#press(event.repeat);
    else if (event.key === "Enter") this.#finish();
    else return;
    event.preventDefault();
  }

  #anywhere(event) {
    if (event.target.closest?.("input:not([type=range]), select, textarea, dialog")) return;
    const { actions } = this;
    const key = event.key.toLowerCase();
    if (event.ctrlKey || event.metaKey) {
      const ways = {
        z: () => (event.shiftKey ? this.session.redo() : this.session.undo()), y: () => this.session.redo(),
        d: () => this.duplicate(), c: () => (this.#copied = this.#selected), v: () => this.#paste(),
      };
      const isText = key === "c" && (String(getSelection()) || !this.drawing.selected);
      if (!ways[key] || isText) return;
      ways[key]();
    } else if (event.altKey) return;
    else if (TOOLS[key]) this.session.setTool(TOOLS[key]);
    else if (/^[1-9]$/.test(key)) this.#takeClass(Number(key));
    else if (key === "delete" || key === "backspace") this.remove();
    else if (key === "escape") this.#drop();
    else if (key === "[" || key === "]") this.#turnOrSize(key === "]" ? 1 : -1);
    else if (key === "n") this.#next(event.shiftKey ? -1 : 1);
    else {
      const ways = { s: actions.roll, h: actions.toggleAreas, c: actions.toggleCompare, 0: actions.fit, "?": actions.help, "+": actions.zoomIn, "-": actions.zoomOut };
      if (!ways[key]) return;
      ways[key]();
    }
    event.preventDefault();
  }

  /** What was begun with whatever tool. */
  #drop() {
    this.#isPressed = false;
    this.brush.cancel();
    this.drawing.cancel();
  }

  remove() {
    const id = this.drawing.selected;
    if (!id) return;
    this.drawing.deselect();
    this.session.apply(removed(this.session.doc, id));
    announce("Removed");
  }

  duplicate() {
    this.#copied = this.#selected ?? this.#copied;
    this.#paste();
  }

  #paste() {
    if (!this.#copied) return;
    const copy = item(this.#copied.cls, moved(this.#copied.rings, COPY_PX, COPY_PX));
    this.#copied = copy;
    this.session.apply(added(this.session.doc, copy));
    this.drawing.select(copy.id);
    announce("Copied");
  }

  get #selected() {
    return this.drawing.selected ? find(this.session.doc, this.drawing.selected) : null;
  }

  #change(rings) {
    this.session.apply(replaced(this.session.doc, this.drawing.selected, rings));
    this.drawing.refresh();
  }

  #nudge([dx, dy], far) {
    const step = far ? 10 : 1;
    this.#change(moved(this.#selected.rings, dx * step, dy * step));
  }

  #turnOrSize(direction) {
    if (this.drawing.selected) this.#change(turned(this.#selected.rings, 5 * direction));
    else this.session.setBrush(this.session.brush + 2 * direction);
  }

  #takeClass(number) {
    const one = this.session.classes.filter(({ index }) => index !== this.session.background)[number - 1];
    if (!one) return;
    if (this.drawing.selected) {
      this.session.apply(recoloured(this.session.doc, this.drawing.selected, one.index));
      this.drawing.refresh();
    }
    this.session.setClass(one.index);
  }

  #next(direction) {
    const { doc } = this.session;
    if (!doc.length) return;
    const at = doc.findIndex((one) => one.id === this.drawing.selected);
    const next = doc[(at + direction + doc.length) % doc.length];
    this.drawing.select(next.id);
    announce(`${this.session.classes[next.cls].name}, ${doc.indexOf(next) + 1} of ${doc.length}`);
  }

  #lead([dx, dy], fine) {
    const step = fine ? 1 : STEP_PX;
    const { width, height } = this.session;
    this.at = [Math.min(width, Math.max(0, this.at[0] + dx * step)), Math.min(height, Math.max(0, this.at[1] + dy * step))];
    this.cross.hidden = false;
    this.#place();
    this.#send("pointermove");
    announce(`${Math.round(this.at[0])}, ${Math.round(this.at[1])}`);
  }

  /** Space: a click, and with brush and eraser the beginning and the end of a stroke. */
  #press(isRepeated) {
    if (isRepeated) return;
    this.cross.hidden = false;
    this.#place();
    if (["brush", "eraser"].includes(this.session.tool)) {
      this.#isPressed = !this.#isPressed;
      this.#send(this.#isPressed ? "pointerdown" : "pointerup");
      return;
    }
    this.#send("pointermove");
    this.#send("pointerdown");
    this.#send("pointerup");
  }

  #finish() {
    if (this.session.tool === "polygon") this.container.dispatchEvent(new KeyboardEvent("keyup", { key: "Enter", bubbles: true }));
    else this.#press(false);
  }

  #send(type) {
    const box = this.container.getBoundingClientRect();
    const { x, y } = this.stage.map.latLngToContainerPoint(this.stage.latLng(this.at));
    const pressed = type === "pointermove" ? Number(this.#isPressed) : Number(type === "pointerdown");
    this.container.dispatchEvent(new PointerEvent(type, {
      bubbles: true, cancelable: true, pointerId: 99, isPrimary: true, pointerType: "mouse", button: type === "pointermove" ? -1 : 0,
      buttons: pressed, clientX: box.left + x, clientY: box.top + y,
    }));
  }

  #toMiddle() {
    this.at = [this.session.width / 2, this.session.height / 2];
    this.#place();
  }

  #place() {
    const { x, y } = this.stage.map.latLngToContainerPoint(this.stage.latLng(this.at));
    this.cross.style.transform = `translate(${x}px, ${y}px)`;
  }
}
