// What terra-draw's modes learn here: to see corners near the pointer, to take hold where it was pressed, and to take drags.

/* global terraDrawLeafletAdapter */

/** terra-draw's own, which would write a style sheet into the page for each pane; this page takes none but its own. */
export class Adapter extends terraDrawLeafletAdapter.TerraDrawLeafletAdapter {
  createPaneStyleSheet(name, z) {
    const pane = this._map.getPane(name) ?? this._map.createPane(name);
    pane.style.zIndex = z + 600;
    return document.createElement("i"); // in place of the sheet, which is removed in the end
  }
}

/** Let a mode see the corner or the edge that a pointer is near, as `snap` finds it for an event. */
export function snapping(mode, snap, map) {
  const near = (event) => {
    const [lng, lat] = snap(event) ?? [event.lng, event.lat];
    if (lng === event.lng && lat === event.lat) return event;
    const { x, y } = map.latLngToContainerPoint([lat, lng]);
    return { ...event, lng, lat, containerX: x, containerY: y };
  };
  for (const name of ["onClick", "onMouseMove"]) {
    const original = mode[name].bind(mode);
    mode[name] = (event) => original(near(event));
  }
  return mode;
}

/** Let a mode take hold of things where the pointer was pressed, which is what `place` says. */
export function pressed(mode, place) {
  const original = mode.onDragStart.bind(mode);
  mode.onDragStart = (event, setMapDraggability) => original({ ...event, ...place() }, setMapDraggability);
  return mode;
}

/** Let a mode of clicks take drags too: pressed at the one corner, let go at the other. */
export function dragged(mode, place) {
  mode.onDragStart = (event, setMapDraggability) => {
    setMapDraggability(false);
    if (mode.state !== "drawing") mode.onClick({ ...event, ...place(), button: "left", isContextMenu: false });
  };
  mode.onDrag = (event) => mode.onMouseMove(event);
  mode.onDragEnd = (event, setMapDraggability) => {
    mode.onMouseMove(event);
    mode.onClick({ ...event, button: "left", isContextMenu: false });
    setMapDraggability(true);
  };
  return mode;
}
