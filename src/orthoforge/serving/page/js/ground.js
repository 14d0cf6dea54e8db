// The areas of a living map around a place, for a canvas: its mask's tiles, looked up pixel by pixel.

import { placeAt, toLonLat } from "./places.js";
import { traced } from "./trace.js";

const TILE_PX = 256;
const CELL_PX = 16; // between corners whose place is computed; in between it is straight

/** Let a session have the ground of a map at a longitude and latitude. */
export async function openGround(server, session, map, lon, lat) {
  const { width, height, model } = session;
  const base = `/v1/maps/${encodeURIComponent(map)}/masks`;
  const query = new URLSearchParams({ model: model.name });
  const { maxzoom } = await server.json(`${base}/tilejson.json?${query}`);
  const place = placeAt(lon, lat, session.pixelM, width, height);
  const z = Math.max(0, maxzoom - 2);
  const at = mercator(place, width, height, z);
  const tiles = await pictures(server, at, width, height, ([x, y]) => `${base}/${z}/${x}/${y}.png?${query}`);
  const known = new Map(session.classes.map((one) => [(one.colour[0] << 16) | (one.colour[1] << 8) | one.colour[2], one.index]));
  const labels = new Uint8Array(width * height).fill(session.background);
  for (let row = 0; row < height; row++) {
    for (let col = 0; col < width; col++) {
      const [x, y] = at(col + 0.5, row + 0.5);
      const tile = tiles.get(`${Math.floor(x / TILE_PX)}/${Math.floor(y / TILE_PX)}`);
      const i = 4 * ((Math.floor(y) % TILE_PX) * TILE_PX + (Math.floor(x) % TILE_PX));
      if (!tile?.[i + 3]) continue;
      labels[row * width + col] = known.get((tile[i] << 16) | (tile[i + 1] << 8) | tile[i + 2]) ?? session.background;
    }
  }
  session.open({ width, height, place, doc: traced(labels, width, height, session.background) });
}

/** From pixels of the canvas to those of the world at a zoom. */
function mercator(place, width, height, z) {
  const world = TILE_PX * 2 ** z;
  const exact = (x, y) => {
    const [lon, lat] = toLonLat(place, [x, y]);
    return [((lon + 180) / 360) * world, (0.5 - Math.asinh(Math.tan((lat * Math.PI) / 180)) / (2 * Math.PI)) * world];
  };
  const [columns, rows] = [width, height].map((side) => Math.ceil(side / CELL_PX) + 1);
  const corners = Array.from({ length: columns * rows }, (_, i) =>
    exact((i % columns) * CELL_PX, Math.floor(i / columns) * CELL_PX));
  return (x, y) => {
    const [col, row] = [Math.min(columns - 2, Math.floor(x / CELL_PX)), Math.min(rows - 2, Math.floor(y / CELL_PX))];
    const [u, v] = [x / CELL_PX - col, y / CELL_PX - row];
    const corner = (dx, dy) => corners[(row + dy) * columns + col + dx];
    return [0, 1].map((k) => (1 - v) * ((1 - u) * corner(0, 0)[k] + u * corner(1, 0)[k]) + v * ((1 - u) * corner(0, 1)[k] + u * corner(1, 1)[k]));
  };
}

/** The pixels of all tiles that the canvas touches. */
async function pictures(server, at, width, height, addressOf) {
  const corners = [[0, 0], [width, 0], [0, height], [width, height]].map(([x, y]) => at(x, y).map((value) => Math.floor(value / TILE_PX)));
  const [xs, ys] = [0, 1].map((k) => corners.map((corner) => corner[k]));
  const wanted = [];
  for (let x = Math.min(...xs); x <= Math.max(...xs); x++) {
    for (let y = Math.min(...ys); y <= Math.max(...ys); y++) wanted.push([x, y]);
  }
  const found = await Promise.all(wanted.map(async (tile) => [tile.join("/"), await pixels(await (await server.ask(addressOf(tile))).blob())]));
  return new Map(found);
}

async function pixels(blob) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const context = new OffscreenCanvas(TILE_PX, TILE_PX).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, TILE_PX, TILE_PX).data;
}
