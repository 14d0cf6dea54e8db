// Areas united, subtracted and drawn with a brush, by Clipper2. An area is a list of polygons, a polygon its outer ring and its holes.

import { Clipper, ClipType, EndType, FillRule, JoinType, PolyTreeD } from "../vendor/clipper2-ts/index.js";

const DECIMALS = 3;
const LEAST_PX2 = 0.5; // smaller ones are crumbs

const toPath = (ring) => ring.map(([x, y]) => ({ x, y }));
const toRing = (path) => path.map(({ x, y }) => [x, y]);

/** The polygons that cover what `rings` do, by the even-odd rule, without `less`. */
export function polygons(rings, less = [], rule = FillRule.EvenOdd) {
  const tree = new PolyTreeD();
  const kind = less.length ? ClipType.Difference : ClipType.Union;
  Clipper.booleanOpDWithPolyTree(kind, rings.map(toPath), less.map(toPath), tree, rule, DECIMALS);
  const found = [];
  const walk = (node) => {
    for (let i = 0; i < node.count; i++) {
      const outer = node.child(i);
      const holes = Array.from({ length: outer.count }, (_, k) => outer.child(k));
      const paths = [outer, ...holes].map((one) => one.poly);
      if (Math.abs(Clipper.areaD(paths[0])) >= LEAST_PX2) found.push(paths.map(toRing));
      holes.forEach(walk);
    }
  };
  walk(tree);
  return found;
}

/** One area of all that any of the polygons covers. */
export function united(list) {
  // Each polygon by itself is even-odd; turned one way round outside and the other inside, all of them are by the sum.
  const oriented = list.flatMap((rings) => polygons(rings)).flat();
  return polygons(oriented, [], FillRule.NonZero);
}

export const without = (rings, less) => polygons(rings, less);

/** What a round brush covers that is led along a line. */
export function stroke(line, radius) {
  const points = line.length > 1 ? line : [line[0], [line[0][0] + 0.01, line[0][1]]];
  const paths = Clipper.inflatePathsD([toPath(points)], radius, JoinType.Round, EndType.Round, 2, DECIMALS, 0.1);
  return polygons(paths.map(toRing), [], FillRule.NonZero);
}
