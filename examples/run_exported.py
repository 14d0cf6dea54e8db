"""Runs a file of `orthoforge export --to onnx` with ONNX Runtime and NumPy alone: the mask of a file .npy to an image in .npy.

    python run_exported.py generator.onnx mask.npy image.npy [--seed 0] [--place NAME] [--canvas canvas.npy]

The mask is (H, W): bool or 0 and 255 of buildings, or indices of classes. The image is (H, W, B) uint8. A generator that refines
real material needs a canvas (H, W, B) uint8 of roofs and ground. The image is that of `orthoforge generate` to a level.
"""

import argparse
import base64
import json

import numpy as np
import onnxruntime

MASK32 = np.uint64(0xFFFFFFFF)
LOOK_LAYER = 2**20  # of the noise that chooses a look


def mixed(value):
    """MurmurHash3's finalizer on 32 bits."""
    value = (value + np.uint64(0x9E3779B9)) & MASK32
    value = (value ^ value >> np.uint64(16)) * np.uint64(0x85EBCA6B) & MASK32
    value = (value ^ value >> np.uint64(13)) * np.uint64(0xC2B2AE35) & MASK32
    return value ^ value >> np.uint64(16)


def places(values):
    """Rows or columns as numbers of 32 bits; those before the first are negative."""
    return np.asarray(values, np.int64).view(np.uint64) & MASK32


def start_of(seed, layer):
    """What the noise of a layer begins with."""
    low, high, of_layer = (np.array([value & 0xFFFFFFFF], np.uint64) for value in (seed, seed >> 32, layer))
    return mixed(of_layer ^ mixed(high ^ mixed(low)))[0]


def noise(seed, layer, channels, height, width, row=0, col=0):
    """Noise (C, H, W) in [0, 1) of the cells from (row, col) on: a function of seed, layer and place."""
    down, right = places(np.arange(height) + row), places(np.arange(width) + col)
    value = mixed(right[None, :] ^ mixed(down[:, None] ^ start_of(seed, layer)))
    value = mixed(np.arange(channels, dtype=np.uint64)[:, None, None] ^ value[None])
    return (value >> np.uint64(8)).astype(np.float32) / np.float32(2**24)


def first_pixels(inside):
    """For each pixel (H, W) the number of the first pixel of its building, line by line, and -1 outside. Sides connect."""
    height, width = inside.shape
    parent, runs, above = [], [], []

    def root(run):
        while parent[run] != run:
            run = parent[run]
        return run

    for row in range(height):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], inside[row].astype(np.int8), [0]])))
        line = []
        for begin, end in edges.reshape(-1, 2).tolist():
            run = len(parent)
            parent.append(run)
            for other, first, last in above:
                if first < end and begin < last:  # the earlier of two roots stays: it holds the first pixel
                    one, another = sorted((root(other), root(run)))
                    parent[another] = one
            runs.append((row, begin, end))
            line.append((run, begin, end))
        above = line
    found = np.full((height, width), -1, np.int64)
    for run, (row, begin, end) in enumerate(runs):
        first_row, first_col, _ = runs[root(run)]
        found[row, begin:end] = first_row * width + first_col
    return found


def roof_entries(inside, seed, told):
    """Which colour of the palette each pixel's roof has, (H, W) from 1; 0 outside."""
    first = first_pixels(inside)
    row, col = np.divmod(np.maximum(first, 0), inside.shape[1])
    value = mixed(mixed(places(col) ^ mixed(places(row) ^ start_of(seed, told["roof_layer"]))))
    drawn = (value >> np.uint64(8)).astype(np.float64) / 2**24
    return np.where(first >= 0, 1 + (drawn * told["palette"]).astype(np.int64), 0)


def covering(count, side, hop):
    """Blocks of ground over a line of cells from -1 on: number, cell within it, share of the blend."""
    at = np.arange(-1, count - 1)
    block, within = at // hop - (-1) // hop + 1, at % hop
    rising = np.minimum((within + 1) / (side - hop + 1), 1)
    return [(block, within, rising), (block - 1, np.minimum(within + hop, side - 1), 1 - rising)]


def laid_ground(ground, seed, height, width, told):
    """Ground (B, side, side) over a mask of so many pixels, (B, height, width): turned block by block, and blended."""
    cell, side, hop = told["ground_cell_px"], told["ground_side"], told["ground_side"] - told["ground_overlap"]
    rows, cols = (-(-length // cell) + 2 for length in (height, width))
    first = -1 // hop - 1
    ways = (noise(seed, told["roof_layer"] + 1, 1, -(-rows // hop) + 2, -(-cols // hop) + 2, first, first)[0] * 8).astype(int)
    plane = np.zeros((len(ground), rows, cols))
    for down_block, down, share_down in covering(rows, side, hop):
        for right_block, right, share_right in covering(cols, side, hop):
            way = ways[down_block[:, None], right_block[None, :]]
            near = np.where(way & 4, right[None, :], down[:, None])
            far = np.where(way & 4, down[:, None], right[None, :])
            near, far = np.where(way & 1, side - 1 - near, near), np.where(way & 2, side - 1 - far, far)
            plane += ground[:, near, far] * (share_down[:, None] * share_right[None, :])
    for axis, length in ((1, height), (2, width)):  # cells to pixels, bilinear; the first cell lies before the mask
        at = (np.arange(length) + 0.5) / cell + 0.5
        before = np.floor(at).astype(int)
        share = (at - before).reshape([-1 if axis == other else 1 for other in range(3)])
        plane = plane.take(before, axis) * (1 - share) + plane.take(before + 1, axis) * share
    return plane


def unpacked(told, name, *shape):
    """The looks' part of that name, one a row."""
    return np.frombuffer(base64.b64decode(told[name]), "<f4").reshape(-1, *shape)


def look_of(told, seed, place):
    """The number of the look that the seed chooses, of one place or of all."""
    looks, first, count = told["looks"], 0, told["looks"]["each"] * max(1, len(told["looks"]["places"]))
    if place is not None:
        first, count = looks["places"].index(place) * looks["each"], looks["each"]
    return first + int(noise(seed, LOOK_LAYER, 1, 1, 1)[0, 0, 0] * np.float32(count))


def padded(values, told):
    """(H, W, …) grown at its ends to what the network takes: by reflection, or by the last pixels where there is too little."""
    sides = values.shape[:2]
    wanted = [max(told["least_px"], -(-side // told["multiple_of"]) * told["multiple_of"]) for side in sides]
    grow = [(0, want - side) for want, side in zip(wanted, sides, strict=True)]
    reflects = all(after < side for (_, after), side in zip(grow, sides, strict=True))
    return np.pad(values, grow + [(0, 0)] * (values.ndim - 2), mode="reflect" if reflects else "edge")


def colours_of(mask, seed, told, look, canvas):
    """The input `colours` (B, H, W) of a padded mask, or of a canvas."""
    colours, bands = told["colours"], told["bands"]
    if colours["refines"]:
        if canvas is None:
            raise SystemExit("this generator refines a canvas: give one with --canvas")
        return np.arctanh(np.clip(padded(canvas, told).astype(np.float32) / 127.5 - 1, -0.98, 0.98)).transpose(2, 0, 1)
    whole = padded(mask, told)
    if colours["building"] is None:
        return np.zeros((bands, *whole.shape))
    is_building = (lambda values: values > 0) if told["classes"] is None else (lambda values: values == colours["building"])
    made = np.zeros((bands, *whole.shape))
    if colours["roofs"]:
        palette = unpacked(told["looks"], "roofs", colours["palette"], bands)[look]
        entries = padded(roof_entries(is_building(mask), seed, colours), told)
        made += np.concatenate([np.zeros((1, bands)), palette])[entries].transpose(2, 0, 1)
    if colours["ground"]:
        side = colours["ground_side"]
        ground = unpacked(told["looks"], "ground", bands, side, side)[look]
        made += laid_ground(ground, seed, *whole.shape, colours) * ~is_building(whole)
    return made


def image_of(session, mask, *, seed=0, place=None, canvas=None):
    """The image (H, W, B) uint8 of a mask (H, W)."""
    told = json.loads(session.get_modelmeta().custom_metadata_map["orthoforge"])
    mask = np.where(mask > 0, 255, 0) if told["classes"] is None else mask.astype(int)
    whole = padded(mask, told)
    if told["classes"] is None:
        condition = np.repeat((whole / 127.5 - 1)[None], told["channels"], axis=0)
    else:
        condition = (np.arange(told["channels"])[:, None, None] == whole[None]) * 2.0 - 1
    given = {"condition": condition}
    for one in told["noise"]:
        cells = [(side + one["margin_px"]) // one["stride"] for side in whole.shape]
        given[one["name"]] = noise(seed, one["layer"], one["channels"], *cells)
    if "colours" in told["inputs"]:
        look = look_of(told, seed, place) if told["looks"] else None
        given["colours"] = colours_of(mask, seed, told, look, canvas)
        if "code" in told["inputs"]:
            given["code"] = unpacked(told["looks"], "codes", 16)[look]
    image = session.run(None, {name: value[None].astype(np.float32) for name, value in given.items()})[0][0]
    pixels = np.clip(np.rint((image + 1) * 127.5), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    return pixels[: mask.shape[0], : mask.shape[1]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("mask")
    parser.add_argument("image")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--place")
    parser.add_argument("--canvas")
    options = parser.parse_args()
    session = onnxruntime.InferenceSession(options.model, providers=["CPUExecutionProvider"])
    canvas = np.load(options.canvas) if options.canvas else None
    np.save(options.image, image_of(session, np.load(options.mask), seed=options.seed, place=options.place, canvas=canvas))


if __name__ == "__main__":
    main()
