// Plane geometry in pixels of the canvas: x to the right, y down. A ring is a list of [x, y], its last point not its first again.

const EARTH_M = 6378137;

/** Between pixels and the degrees of a map whose equator the canvas lies on, where a metre is a metre in each direction. */
export function frame(pixelM) {
  const degrees = 180 / Math.PI / EARTH_M;
  return {
    toLngLat: ([x, y]) => [x * pixelM * degrees, (2 * Math.atan(Math.exp((-y * pixelM) / EARTH_M)) - Math.PI / 2) * (180 / Math.PI)],
    toPixel: ([lng, lat]) => [lng / degrees / pixelM, (-Math.asinh(Math.tan((lat * Math.PI) / 180)) * EARTH_M) / pixelM],
  };
}

export function boundsOf(rings) {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const ring of rings) {
    for (const [x, y] of ring) {
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
    }
  }
  return { left, top, right, bottom };
}

export function middleOf(rings) {
  const { left, top, right, bottom } = boundsOf(rings);
  return [(left + right) / 2, (top + bottom) / 2];
}

export function meet(one, other) {
  return one.left <= other.right && other.left <= one.right && one.top <= other.bottom && other.top <= one.bottom;
}

/** Whether a point is inside, holes being outside. */
export function holds(rings, [x, y]) {
  let inside = false;
  for (const ring of rings) {
    for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) {
      const [x1, y1] = ring[i];
      const [x2, y2] = ring[j];
      if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
    }
  }
  return inside;
}

export const mapped = (rings, point) => rings.map((ring) => ring.map(point));

export const moved = (rings, dx, dy) => mapped(rings, ([x, y]) => [x + dx, y + dy]);

/** Turned clockwise, as seen, about a point. */
export function turned(rings, degrees, [cx, cy] = middleOf(rings)) {
  const cos = Math.cos((degrees * Math.PI) / 180);
  const sin = Math.sin((degrees * Math.PI) / 180);
  return mapped(rings, ([x, y]) => [cx + (x - cx) * cos - (y - cy) * sin, cy + (x - cx) * sin + (y - cy) * cos]);
}

/** `rings` as one ring of them was moved and turned, from `before` to `after`; as they are where it changed its shape. */
export function followed(rings, before, after) {
  if (before.length !== after.length) return rings;
  const [[ax, ay], [bx, by]] = [before[0], before[Math.floor(before.length / 2)]];
  const [[cx, cy], [dx, dy]] = [after[0], after[Math.floor(after.length / 2)]];
  const square = (bx - ax) ** 2 + (by - ay) ** 2;
  const re = ((dx - cx) * (bx - ax) + (dy - cy) * (by - ay)) / square;
  const im = ((dy - cy) * (bx - ax) - (dx - cx) * (by - ay)) / square;
  const carry = ([x, y]) => [cx + re * (x - ax) - im * (y - ay), cy + im * (x - ax) + re * (y - ay)];
  const isRigid = before.every((point, i) => Math.hypot(...carry(point).map((v, k) => v - after[i][k])) < 0.05);
  return isRigid ? mapped(rings, carry) : rings;
}

/** The corner or, else, the edge that is nearest to a point and at most `most` away; null where there is none. */
export function snapped(items, [x, y], most) {
  let corner = null;
  let edge = null;
  const better = (found, px, py) => {
    const away = Math.hypot(px - x, py - y);
    return away <= (found?.away ?? most) ? { away, at: [px, py] } : found;
  };
  for (const { rings } of items) {
    const { left, top, right, bottom } = boundsOf(rings);
    if (x < left - most || x > right + most || y < top - most || y > bottom + most) continue;
    for (const ring of rings) {
      for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) {
        const [[ax, ay], [bx, by]] = [ring[j], ring[i]];
        corner = better(corner, bx, by);
        const square = (bx - ax) ** 2 + (by - ay) ** 2;
        const share = square ? Math.min(1, Math.max(0, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / square)) : 0;
        edge = better(edge, ax + share * (bx - ax), ay + share * (by - ay));
      }
    }
  }
  return (corner ?? edge)?.at ?? null;
}

/** A line with fewer points, none of which is further than `most` from where it was (Douglas and Peucker 1973). */
export function simplified(line, most) {
  const keep = new Uint8Array(line.length);
  keep[0] = keep[line.length - 1] = 1;
  const parts = [[0, line.length - 1]];
  while (parts.length) {
    const [from, to] = parts.pop();
    const [[ax, ay], [bx, by]] = [line[from], line[to]];
    const [ux, uy] = [bx - ax, by - ay];
    const square = ux * ux + uy * uy;
    let [furthest, at] = [most * most, -1];
    for (let i = from + 1; i < to; i++) {
      const [px, py] = [line[i][0] - ax, line[i][1] - ay];
      const share = square ? Math.min(1, Math.max(0, (px * ux + py * uy) / square)) : 0;
      const away = (px - share * ux) ** 2 + (py - share * uy) ** 2;
      if (away > furthest) [furthest, at] = [away, i];
    }
    if (at > 0) {
      keep[at] = 1;
      parts.push([from, at], [at, to]);
    }
  }
  return line.filter((_, i) => keep[i]);
}
