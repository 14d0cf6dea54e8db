// Towns to begin with, drawn by rule for a canvas of any size: houses, and what else the model has classes for.

import { stroke } from "./clip.js";
import { item } from "./document.js";
import { turned } from "./geometry.js";

const CLASSES = { building: /building|house|roof/i, road: /road|street|paved|imperv/i, trees: /tree|forest|wood/i, water: /water|lake|river/i };

export const EXAMPLES = { village: "Village street", terraces: "Terraces", courtyards: "Courtyards", hamlet: "Hamlet" };

/** The areas of an example. */
export function example(name, session) {
  const { width, height, classes, cls, background } = session;
  const towns = { village, terraces, courtyards, hamlet };
  const index = (kind) => classes.find((one) => CLASSES[kind].test(one.name) && one.index !== background)?.index;
  return towns[name](width, height, random(7)).flatMap(([kind, rings]) => {
    const of = index(kind) ?? (kind === "building" ? cls : undefined);
    return of === undefined ? [] : [item(of, rings)];
  });
}

/** Numbers between 0 and 1 that are the same each time (Mulberry32). */
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const box = (x, y, wide, high, degrees = 0) =>
  turned([[[x - wide / 2, y - high / 2], [x + wide / 2, y - high / 2], [x + wide / 2, y + high / 2], [x - wide / 2, y + high / 2]]], degrees, [x, y]);

const disc = (x, y, radius) => [Array.from({ length: 20 }, (_, i) => [x + radius * Math.cos((i * Math.PI) / 10), y + radius * Math.sin((i * Math.PI) / 10)])];

const lined = (kind, line, radius) => stroke(line, radius).map((rings) => [kind, rings]);

function village(width, height, rnd) {
  const street = (x) => height / 2 + 0.13 * height * Math.sin((x / width) * 5.2 - 0.6);
  const line = Array.from({ length: 41 }, (_, i) => [(i / 40) * width, street((i / 40) * width)]);
  const found = lined("road", line, 9);
  for (let x = 34; x < width - 20; x += 52) {
    const slope = (Math.atan2(street(x + 5) - street(x - 5), 10) * 180) / Math.PI;
    for (const side of [-1, 1]) {
      for (const row of [0, 1]) {
        if (row && rnd() < 0.35) continue;
        const away = side * (36 + row * 62 + 8 * rnd());
        const [wide, high] = [28 + 14 * rnd(), 24 + 10 * rnd()];
        found.push(["building", box(x + 8 * (rnd() - 0.5), street(x) + away, wide, high, slope + 6 * (rnd() - 0.5))]);
        if (rnd() < 0.3) found.push(["building", box(x + 24, street(x) + away + side * 20, 12, 12, slope)]);
        if (rnd() < 0.6) found.push(["trees", disc(x + 20, street(x) + away + side * 26, 7 + 6 * rnd())]);
      }
    }
  }
  return found;
}

function terraces(width, height, rnd) {
  const found = [];
  for (let y = 44; y < height - 20; y += 94) {
    found.push(...lined("road", [[0, y + 46], [width, y + 46]], 8));
    for (let x = 20; x < width - 60; ) {
      const houses = 3 + Math.floor(rnd() * 4);
      const wide = Math.min(houses * 20, width - 20 - x);
      found.push(["building", box(x + wide / 2, y + 4 * Math.round(rnd()), wide, 30)]);
      x += wide + 22;
    }
    for (let x = 30; x < width; x += 70) found.push(["trees", disc(x, y + 28, 6 + 3 * rnd())]);
  }
  return found;
}

function courtyards(width, height, rnd) {
  const found = [];
  const step = 158;
  for (let y = 84; y - 60 < height; y += step) {
    found.push(...lined("road", [[0, y + step / 2], [width, y + step / 2]], 11));
    for (let x = 84; x - 60 < width; x += step) {
      if (y === 84) found.push(...lined("road", [[x + step / 2, 0], [x + step / 2, height]], 11));
      if (rnd() < 0.14) {
        found.push(["trees", disc(x - 20, y, 22)], ["trees", disc(x + 22, y - 16, 18)], ["water", disc(x + 14, y + 26, 16)]);
        continue;
      }
      const turn = 4 * (rnd() - 0.5);
      const [outer] = box(x, y, 116, 112, turn);
      const [inner] = box(x + 6 * (rnd() - 0.5), y, 116 - 64 - 10 * rnd(), 112 - 64, turn);
      found.push(["building", [outer, inner.reverse()]], ["trees", disc(x, y, 9)]);
    }
  }
  return found;
}

function hamlet(width, height, rnd) {
  const [x, y] = [width / 2, height / 2];
  const found = lined("road", [[0, y + 90], [x - 40, y + 60], [x + 60, y + 70], [width, y - 40]], 8);
  const ell = [[0, 0], [74, 0], [74, 30], [32, 30], [32, 72], [0, 72]].map(([a, b]) => [x - 90 + a, y - 60 + b]);
  found.push(["building", turned([ell], -14)], ["building", box(x + 50, y - 10, 44, 34, 20)], ["building", box(x + 108, y - 62, 30, 26, 34)]);
  found.push(["building", box(x - 30, y + 118, 38, 30, 8)], ["building", box(x + 44, y + 124, 26, 24, 8)], ["water", disc(x - 130, y + 10, 34)]);
  for (let i = 0; i < 26; i++) found.push(["trees", disc(rnd() * width, rnd() * height * 0.32, 10 + 9 * rnd())]);
  return found;
}
