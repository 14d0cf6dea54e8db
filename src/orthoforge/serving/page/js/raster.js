// Areas to the classes of pixels, and those to the bytes of a PNG.

import { zlibSync } from "../vendor/fflate/browser.js";

/** The class of each pixel, by its middle, as GDAL has it: an array of width × height. */
export function labelsOf(doc, width, height, background) {
  const labels = new Uint8Array(width * height).fill(background);
  for (const { cls, rings } of doc) fill(labels, width, height, rings, cls);
  return labels;
}

function fill(labels, width, height, rings, cls) {
  const crossings = new Map();
  for (const ring of rings) {
    for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) {
      let [[ax, ay], [bx, by]] = [ring[j], ring[i]];
      if (ay > by) [ax, ay, bx, by] = [bx, by, ax, ay];
      const last = Math.min(height, Math.ceil(by - 0.5));
      for (let row = Math.max(0, Math.ceil(ay - 0.5)); row < last; row++) {
        const x = ax + ((row + 0.5 - ay) / (by - ay)) * (bx - ax);
        if (crossings.has(row)) crossings.get(row).push(x);
        else crossings.set(row, [x]);
      }
    }
  }
  for (const [row, xs] of crossings) {
    xs.sort((one, other) => one - other);
    for (let i = 0; i + 1 < xs.length; i += 2) {
      const from = Math.max(0, Math.ceil(xs[i] - 0.5));
      const to = Math.min(width, Math.ceil(xs[i + 1] - 0.5));
      if (from < to) labels.fill(cls, row * width + from, row * width + to);
    }
  }
}

/** The labels as the server reads them: in the classes' values, or in their colours. */
export function maskPng(labels, width, height, classes) {
  const inValues = classes.every((one) => one.value !== null);
  const bands = inValues ? 1 : 3;
  const raw = new Uint8Array(height * (1 + width * bands));
  for (let row = 0, at = 0; row < height; row++) {
    at++; // no filter
    for (let col = 0; col < width; col++) {
      const one = classes[labels[row * width + col]];
      if (inValues) raw[at++] = one.value;
      else for (const level of one.colour) raw[at++] = level;
    }
  }
  return png(raw, width, height, inValues ? 0 : 2);
}

function png(raw, width, height, colourType) {
  const head = new Uint8Array(13);
  const view = new DataView(head.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  head.set([8, colourType, 0, 0, 0], 8);
  const parts = [[0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a], chunk("IHDR", head), chunk("IDAT", zlibSync(raw, { level: 1 })), chunk("IEND", new Uint8Array())];
  return new Blob(parts.map((part) => (Array.isArray(part) ? new Uint8Array(part) : part)), { type: "image/png" });
}

function chunk(name, data) {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set([...name].map((letter) => letter.charCodeAt(0)), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = TABLE[(value ^ byte) & 255] ^ (value >>> 8);
  return ~value >>> 0;
}

/** The labels of a picture of a mask, by values or nearest to the classes' colours, and its size. */
export async function labelsOfPicture(blob, classes) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const inValues = classes.every((one) => one.value !== null);
  const known = new Map(classes.map((one) => [inValues ? one.value : packed(...one.colour), one.index]));
  const labels = new Uint8Array(width * height);
  for (let i = 0; i < labels.length; i++) {
    labels[i] = known.get(inValues ? data[4 * i] : packed(data[4 * i], data[4 * i + 1], data[4 * i + 2])) ?? 0;
  }
  return { labels, width, height };
}

const packed = (red, green, blue) => (red << 16) | (green << 8) | blue;
