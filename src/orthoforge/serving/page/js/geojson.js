// Areas as GeoJSON (RFC 7946) in longitude and latitude, and back.

import { flat, item } from "./document.js";
import { placeAt, toLonLat, toPixel } from "./places.js";

/** A feature for each area; what lies under another is cut away. */
export function toGeoJson(doc, place, classes) {
  const features = flat(doc).map(({ cls, rings }) => ({
    type: "Feature",
    properties: { class: classes[cls].name },
    geometry: { type: "Polygon", coordinates: rings.map((ring, index) => closed(ring, index > 0, place)) },
  }));
  return { type: "FeatureCollection", features };
}

function closed(ring, isHole, place) {
  const turns = ring.reduce((sum, [x, y], i) => {
    const [u, v] = ring[(i + 1) % ring.length];
    return sum + x * v - u * y;
  }, 0);
  // Pixels run down: what turns clockwise there, outer rings, has to turn the other way on the ground.
  const right = turns < 0 === isHole ? ring : [...ring].reverse();
  const points = [...right].reverse().map((point) => toLonLat(place, point).map((degrees) => Number(degrees.toFixed(8))));
  return [...points, points[0]];
}

/** The areas of GeoJSON, and a place around them if they do not lie on the one that is there, of a canvas of that `size`. */
export function ofGeoJson(document, place, size, classes, drawn) {
  const found = polygonsOf(document).map(({ name, rings }) => ({ name, rings: (rings ?? []).map(opened).filter((ring) => ring.length >= 3) }))
    .filter(({ rings }) => rings.length);
  if (!found.length) throw new Error("The file holds no polygon. Choose GeoJSON with polygons in longitude and latitude.");
  const points = found.flatMap(({ rings }) => rings.flat());
  if (!points.every(([lon, lat]) => Math.abs(lon) <= 180 && Math.abs(lat) < 84)) {
    throw new Error("The file's coordinates are not longitude and latitude. Export it as GeoJSON in EPSG:4326.");
  }
  const inside = points.some((point) => toPixel(place, point).every((at, i) => at >= 0 && at <= size[i]));
  const [lons, lats] = [points.map(([lon]) => lon), points.map(([, lat]) => lat)];
  const middle = (all) => (all.reduce((a, b) => Math.min(a, b)) + all.reduce((a, b) => Math.max(a, b))) / 2;
  const there = inside ? place : placeAt(middle(lons), middle(lats), place.pixel, ...size);
  const areas = found.map(({ name, rings }) => {
    const known = classes.find((one) => one.name === name && one.index !== drawn.background);
    return item(known?.index ?? drawn.cls, rings.map((ring) => ring.map((point) => toPixel(there, point))));
  });
  return { areas, place: there };
}

/** A ring without its last point, where that is its first again. */
function opened(ring) {
  const [[x, y], [u, v]] = [ring[0] ?? [], ring.at(-1) ?? []];
  return x === u && y === v ? ring.slice(0, -1) : ring;
}

function polygonsOf(node) {
  if (node?.type === "FeatureCollection") return (node.features ?? []).flatMap(polygonsOf);
  const geometry = node?.type === "Feature" ? node.geometry : node;
  const name = node?.properties?.class;
  if (geometry?.type === "GeometryCollection") return geometry.geometries.flatMap(polygonsOf);
  if (geometry?.type === "Polygon") return [{ name, rings: geometry.coordinates }];
  if (geometry?.type === "MultiPolygon") return geometry.coordinates.map((rings) => ({ name, rings }));
  return [];
}
