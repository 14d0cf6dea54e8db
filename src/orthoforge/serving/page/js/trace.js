// Pixels to areas: the outlines of each class, with as few corners as give the same pixels again.

import { simplified } from "./geometry.js";
import { item } from "./document.js";

// A pixel's middle is half a pixel from its sides: outlines that move by less leave all of them where they are.
const MOST_PX = 0.49;

/** The areas of `labels` (width × height) that are not `background`. */
export function traced(labels, width, height, background) {
  const classes = [...new Set(labels)].filter((cls) => cls !== background);
  return classes.flatMap((cls) => areas(labels, width, height, cls).map((rings) => item(cls, rings)));
}

function areas(labels, width, height, cls) {
  const is = (col, row) => col >= 0 && row >= 0 && col < width && row < height && labels[row * width + col] === cls;
  const outlines = loops(width, height, is).map((loop) => ({ loop, twice: area2(loop) }));
  const outer = outlines.filter(({ twice }) => twice > 0).sort((one, other) => one.twice - other.twice);
  const found = outer.map(({ loop }) => ({ loop, rings: [smooth(loop)] }));
  for (const { loop } of outlines.filter(({ twice }) => twice < 0)) {
    const around = found.find((one) => one.loop !== loop && within(loop[0], loop[1], one.loop));
    around?.rings.push(smooth(loop));
  }
  return found.map(({ rings }) => rings);
}

/** Closed lines along the sides of pixels, with the area on their right. Areas that meet at a corner alone are two. */
function loops(width, height, is) {
  const steps = [[1, 0], [0, 1], [-1, 0], [0, -1]];
  const key = (x, y, direction) => ((y * (width + 1) + x) << 2) | direction;
  const side = new Uint8Array(4 * (width + 1) * (height + 1)); // from a corner, in a direction: whether there is one to go along
  const starts = [];
  const add = (at) => {
    side[at] = 1;
    starts.push(at);
  };
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!is(x, y)) continue;
      if (!is(x, y - 1)) add(key(x, y, 0));
      if (!is(x + 1, y)) add(key(x + 1, y, 1));
      if (!is(x, y + 1)) add(key(x + 1, y + 1, 2));
      if (!is(x - 1, y)) add(key(x, y + 1, 3));
    }
  }
  const found = [];
  for (const start of starts) {
    if (!side[start]) continue;
    const loop = [];
    const corner = start >> 2;
    let [x, y, direction] = [corner % (width + 1), Math.floor(corner / (width + 1)), start & 3];
    while (side[key(x, y, direction)]) {
      side[key(x, y, direction)] = 0;
      loop.push([x, y]);
      [x, y] = [x + steps[direction][0], y + steps[direction][1]];
      direction = [1, 0, 3].map((turn) => (direction + turn) & 3).find((way) => side[key(x, y, way)]) ?? direction;
    }
    found.push(loop);
  }
  return found;
}

function area2(loop) {
  return loop.reduce((sum, [x, y], i) => {
    const [u, v] = loop[(i + 1) % loop.length];
    return sum + x * v - u * y;
  }, 0);
}

/** Whether the side of a hole lies inside a loop. */
function within([ax, ay], [bx, by], loop) {
  const [x, y] = [(ax + bx) / 2 + (by - ay) * 0.25, (ay + by) / 2 - (bx - ax) * 0.25];
  let inside = false;
  for (let i = 0, j = loop.length - 1; i < loop.length; j = i++) {
    const [[x1, y1], [x2, y2]] = [loop[i], loop[j]];
    if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
  }
  return inside;
}

/** The loop with fewer corners: those at the ends of its longest straight sides stay, stairs become lines. */
function smooth(loop) {
  const corners = loop.filter(([x, y], i) => {
    const [px, py] = loop.at(i - 1);
    const [nx, ny] = loop[(i + 1) % loop.length];
    return (x - px) * (ny - y) !== (y - py) * (nx - x);
  });
  let [longest, start] = [-1, 0];
  corners.forEach(([x, y], i) => {
    const [nx, ny] = corners[(i + 1) % corners.length];
    const length = Math.abs(nx - x) + Math.abs(ny - y);
    if (length > longest) [longest, start] = [length, i];
  });
  const turned = [...corners.slice(start), ...corners.slice(0, start + 1)];
  // Lines may also begin in the middle of a short side, so that a diagonal runs through the middles of its stairs.
  const points = turned.flatMap(([x, y], i) => {
    if (i + 1 === turned.length) return [[x, y]];
    const [nx, ny] = turned[i + 1];
    return Math.abs(nx - x) + Math.abs(ny - y) <= 2 ? [[x, y], [(x + nx) / 2, (y + ny) / 2]] : [[x, y]];
  });
  const ring = simplified(points, MOST_PX).slice(0, -1);
  return ring.length >= 3 ? ring : corners;
}
