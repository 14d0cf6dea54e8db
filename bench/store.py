"""Crops a second out of a tile store of the size of the seed's high-5x5: 3375 tiles of 286 px, crops of 256 px.

    python bench/store.py [--tiles 3375] [--batch 16] [--json PATH]

The page cache is warm and the store lies on local disk; one thread.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import cast, get_args

import numpy as np
from affine import Affine

from orthoforge.geo.grid import Grid, Window
from orthoforge.tiles.forms import SettingsForm
from orthoforge.tiles.manifest import TileRow, shard_header, shard_paths, shard_shapes
from orthoforge.tiles.store import Flips, TileStore, crop_batch, epoch_order

SIZE, CROP, PER_SCENE = 286, 256, 25
GOAL = 5000


def make_store(path: Path, count: int) -> TileStore:
    """A store of noise, 25 tiles a scene, without going through scenes."""
    rng = np.random.default_rng(0)
    rows = []
    for first in range(0, count, PER_SCENE):
        scene, number = f"austin{first // PER_SCENE}", min(PER_SCENE, count - first)
        for shard, shape in zip(shard_paths(path, scene), shard_shapes(number, SIZE), strict=True):
            shard.write_bytes(shard_header(shape) + rng.integers(0, 256, shape, np.uint8).tobytes())
        grid = Grid(SIZE, SIZE, Affine.identity())
        rows += [TileRow(scene, "austin", i, Window(0, 0, SIZE, SIZE), grid, None, "train", 0.0, "") for i in range(number)]
    settings = cast(SettingsForm, {"attribution": "", "split": "blocks"})
    return TileStore(path, SIZE, None, None, "", settings, tuple(rows))


def rate(store: TileStore, flips: Flips, batch: int, epoch: int) -> tuple[float, float]:
    """Crops a second, by the clock and by CPU time."""
    order = epoch_order(store.ids("train"), seed=0, epoch=epoch)
    wall, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(order), batch):
        ids = order[start : start + batch]
        keys = [(0, epoch, start + position) for position in range(len(ids))]
        crop_batch(store, ids, crop_px=CROP, flips=flips, keys=keys)
    return len(order) / (time.perf_counter() - wall), len(order) / (time.process_time() - cpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiles", type=int, default=3375)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder), args.tiles)
        rate(store, "none", args.batch, 0)  # warms the page cache
        rates: dict[Flips, list[tuple[float, float]]] = {flips: [] for flips in get_args(Flips)}
        for epoch in range(1, 6):
            for flips, seen in rates.items():
                seen.append(rate(store, flips, args.batch, epoch))
        for flips, seen in rates.items():
            best, median = np.max(seen, axis=0), np.median(seen, axis=0)
            figures[flips] = {"best": best[0], "median": median[0], "per_cpu_second": median[1]}
            print(
                f"flips={flips:11} {best[0]:6.0f} crops/s (median {median[0]:.0f}; {median[1]:.0f} per CPU second); "
                f"goal {GOAL}: {'reached' if best[0] >= GOAL else 'MISSED'}"
            )
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
