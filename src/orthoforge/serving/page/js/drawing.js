// The tools that set corners: rectangles at any angle, polygons, and what moves, turns and reshapes them. terra-draw holds what is
// being drawn or is selected; everything else is the document's.

import { added, find, item, newId, replaced } from "./document.js";
import { boundsOf, followed, holds, middleOf, snapped, turned } from "./geometry.js";
import { say } from "./messages.js";
import { Adapter, dragged, pressed, snapping } from "./modes.js";

/* global L, terraDraw */

const SNAP_SCREEN_PX = 9;
const FEW_CORNERS = 48; // of an outline whose corners one may take hold of
const HANDLE_SCREEN_PX = 34;
const DECIMALS = 9; // of a degree, as terra-draw wants them

export class Drawing {
  constructor(stage, session) {
    Object.assign(this, { stage, session, selected: null });
    const shown = { fillOpacity: 0.25, outlineWidth: 2 };
    const colour = () => session.shownColour(this.selected ? (find(session.doc, this.selected)?.cls ?? session.cls) : session.cls);
    const styles = { ...shown, fillColor: colour, outlineColor: colour, closingPointColor: colour };
    const corners = { snappable: { toCustom: (event) => this.#snap(event) }, draggable: true, midpoints: true, deletable: true };
    const rectangle = new terraDraw.TerraDrawAngledRectangleMode({ styles });
    const [snap, place] = [(event) => this.#snap(event), () => this.#place(this.pressed)];
    this.draw = new terraDraw.TerraDraw({
      adapter: new Adapter({ lib: L, map: stage.map, coordinatePrecision: DECIMALS }),
      idStrategy: { isValidId: (id) => typeof id === "string", getId: newId },
      modes: [
        dragged(snapping(rectangle, snap, stage.map), place),
        snapping(new terraDraw.TerraDrawPolygonMode({ styles }), snap, stage.map),
        new terraDraw.TerraDrawFreehandMode({ styles }),
        pressed(new terraDraw.TerraDrawSelectMode({
          keyEvents: null, pointerDistance: 14,
          styles: { selectedPolygonColor: colour, selectedPolygonOutlineColor: colour, selectedPolygonFillOpacity: 0.25,
                    selectionPointWidth: 6, selectionPointColor: "#ffffff", selectionPointOutlineColor: "#14857a",
                    selectionPointOutlineWidth: 2, midPointWidth: 4, midPointColor: "#14857a", midPointOutlineColor: "#ffffff",
                    midPointOutlineWidth: 1 },
          flags: {
            polygon: { feature: { draggable: true, coordinates: corners } },
            freehand: { feature: { draggable: true } },
          },
        }), place),
      ],
    });
    this.draw.start();
    this.draw.on("finish", (id, { action }) => (action === "draw" ? this.#drawn(id) : this.#reshaped(id)));
    this.draw.on("change", (ids, kind) => kind === "update" && ids.includes(this.selected) && this.#moving());
    this.draw.on("deselect", (id) => id === this.selected && setTimeout(() => this.selected === id && this.deselect()));
    stage.map.getContainer().addEventListener("pointerdown", (event) => this.#press(event), true);
    stage.map.on("zoomend", () => this.#placeHandle());
  }

  /** Take a tool: `select`, `rectangle`, `polygon`; any other is nothing that terra-draw does. */
  use(tool) {
    if (tool !== "select") this.deselect();
    const mode = { select: "select", rectangle: "angled-rectangle", polygon: "polygon" }[tool] ?? "static";
    if (this.draw.getMode() !== mode) this.draw.setMode(mode);
  }

  /** Drop what was begun and is not finished. */
  cancel() {
    const mode = this.draw.getMode();
    this.deselect();
    this.draw.setMode("static");
    this.draw.clear();
    this.draw.setMode(mode);
  }

  select(id) {
    if (this.selected === id) return;
    this.deselect();
    const one = find(this.session.doc, id);
    if (!one) return;
    if (this.draw.getMode() !== "select") this.session.setTool("select");
    const [added] = this.draw.addFeatures([this.#feature(one)]);
    if (!added.valid) {
      say(`This area cannot be selected: ${added.reason}.`, { kind: "error", name: "select" });
      return;
    }
    this.selected = id;
    this.draw.selectFeature(id);
    this.stage.hidden.add(id);
    this.stage.draw(this.session.doc);
    this.#placeHandle();
    this.session.dispatchEvent(new CustomEvent("selected"));
  }

  deselect() {
    if (!this.selected) return;
    const id = this.selected;
    this.selected = this.turning = null;
    this.handle?.remove();
    this.handle = null;
    if (this.draw.hasFeature(id)) this.draw.removeFeatures([id]);
    this.stage.hidden.delete(id);
    this.stage.draw(this.session.doc);
    if (this.previewed) this.#settle(this.session.doc); // dropped on the way: the image goes back too
    this.session.dispatchEvent(new CustomEvent("selected"));
  }

  /** After the document has changed by other hands: what is selected stays so where it is still there. */
  refresh() {
    const id = this.selected;
    if (!id) return;
    this.deselect();
    if (find(this.session.doc, id)) this.select(id);
  }

  #drawn(id) {
    const ring = this.#ring(this.draw.getSnapshotFeature(id));
    setTimeout(() => this.draw.hasFeature(id) && this.draw.removeFeatures([id]));
    const { left, top, right, bottom } = boundsOf([ring]);
    if (right - left < 1 || bottom - top < 1) return;
    this.session.apply(added(this.session.doc, item(this.session.cls, [ring])));
  }

  #current() {
    const one = find(this.session.doc, this.selected);
    const feature = this.draw.getSnapshotFeature(this.selected);
    if (!one || !feature) return null;
    const ring = this.#ring(feature);
    const [outer, ...holes] = one.rings;
    const rounded = this.#ring(this.#feature(one));
    return JSON.stringify(ring) === JSON.stringify(rounded) ? one.rings : [ring, ...followed(holes, outer, ring)];
  }

  #moving() {
    const rings = this.#current();
    if (!rings) return;
    this.#placeHandle(rings);
    this.#preview(rings);
  }

  #preview(rings) {
    this.previewed = true;
    this.session.preview(replaced(this.session.doc, this.selected, rings));
  }

  /** What the hand moved stays as `doc` has it. */
  #settle(doc) {
    this.previewed = false;
    this.session.apply(doc);
  }

  #reshaped(id) {
    const rings = id === this.selected && this.#current();
    if (rings && rings !== find(this.session.doc, id).rings) this.#settle(replaced(this.session.doc, id, rings));
  }

  #feature(one) {
    const [outer] = one.rings;
    const coordinates = [...outer, outer[0]].map((point) => this.stage.frame.toLngLat(point).map((degrees) => Number(degrees.toFixed(DECIMALS))));
    const mode = outer.length > FEW_CORNERS ? "freehand" : "polygon";
    return { id: one.id, type: "Feature", properties: { mode }, geometry: { type: "Polygon", coordinates: [coordinates] } };
  }

  #ring = (feature) => feature.geometry.coordinates[0].slice(0, -1).map((point) => this.stage.frame.toPixel(point));

  /** A click or a drag takes hold of what lies under it, before terra-draw sees it. */
  #press(event) {
    this.pressed = event;
    if (this.session.tool !== "select" || event.button !== 0 || event.target.closest(".leaflet-control, .turn-handle")) return;
    const point = this.stage.pixel(this.stage.map.mouseEventToLatLng(event));
    const current = this.selected && find(this.session.doc, this.selected);
    if (current && (holds(current.rings, point) || snapped([current], point, 12 * this.stage.pixelsOfScreen))) return;
    const hit = this.session.doc.findLast((one) => holds(one.rings, point));
    if (hit) this.select(hit.id);
  }

  #placeHandle(rings = this.selected && find(this.session.doc, this.selected)?.rings) {
    if (!rings) return;
    const { left, right, top } = boundsOf(rings);
    const at = this.stage.latLng([(left + right) / 2, top - HANDLE_SCREEN_PX * this.stage.pixelsOfScreen]);
    if (this.handle) {
      if (!this.turning) this.handle.setLatLng(at);
      return;
    }
    const icon = L.divIcon({ className: "turn-handle", iconSize: [28, 28], html: '<svg aria-hidden="true"><use href="#i-turn"/></svg>' });
    this.handle = L.marker(at, { icon, draggable: true, keyboard: false, title: "Turn", zIndexOffset: 1000 }).addTo(this.stage.map);
    this.handle.on("dragstart", () => this.#beginTurning());
    this.handle.on("drag", ({ latlng }) => this.#turn(latlng));
    this.handle.on("dragend", () => this.#endTurning());
  }

  #beginTurning() {
    const { rings } = find(this.session.doc, this.selected);
    this.turning = { rings, middle: middleOf(rings), result: rings };
  }

  #turn(latlng) {
    if (!this.turning) return; // Escape or undo came meanwhile
    const { rings, middle } = this.turning;
    const [x, y] = this.stage.pixel(latlng);
    const degrees = (Math.atan2(x - middle[0], middle[1] - y) * 180) / Math.PI;
    this.turning.result = turned(rings, degrees, middle);
    const one = { ...find(this.session.doc, this.selected), rings: this.turning.result };
    this.draw.updateFeatureGeometry(this.selected, this.#feature(one).geometry);
    this.#preview(one.rings);
  }

  #endTurning() {
    if (!this.turning) return;
    const [id, { result }] = [this.selected, this.turning];
    this.turning = null;
    this.#settle(replaced(this.session.doc, id, result));
    this.refresh();
  }

  /** Where an event is, as terra-draw has it: it tells of a drag when the pointer has gone some way already. */
  #place(event) {
    const { map } = this.stage;
    const [{ lng, lat }, { x, y }] = [map.mouseEventToLatLng(event), map.mouseEventToContainerPoint(event)];
    return { lng, lat, containerX: x, containerY: y };
  }

  #snap(event) {
    if (event.heldKeys.includes("Alt")) return undefined;
    const others = this.session.doc.filter((one) => one.id !== this.selected);
    const at = snapped(others, this.stage.pixel(event), SNAP_SCREEN_PX * this.stage.pixelsOfScreen);
    return at ? this.stage.frame.toLngLat(at).map((degrees) => Number(degrees.toFixed(DECIMALS))) : undefined;
  }
}
