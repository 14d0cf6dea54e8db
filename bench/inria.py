"""Inria's own recipes on scenes of its size: is every tile's share of building right, and every pixel of its mask?

    python -m bench.inria

Scenes of 5000 × 5000 px with 10, 30, 60 and 95 % building become tiles as `low`, `mid-2x2`, `mid-full` and `high-5x5` ask.
The truth is counted apart from it: whole numbers, one pixel of a tile after the other, from the mask as it was written.
"""

import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from orthoforge.config import load_recipe
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore

SIDE_PX = 5000
SHARES = (0.10, 0.30, 0.60, 0.95)
# Names of the tile sets, and recipes that are trained on them.
SETS = {"low": "baseline", "mid-2x2": "mid-2x2", "mid-full": "mid-full-512", "high-5x5": "high-5x5"}
LARGEST_ERROR = 1e-6


def main() -> None:
    """Print a line for each tile set and scene; exit 1 when a share or a pixel is wrong."""
    with tempfile.TemporaryDirectory() as work:
        masks = {f"town{number}": scene_mask(share, number) for number, share in enumerate(SHARES, 1)}
        for name, mask in masks.items():
            write_pair(Path(work) / "data", name, mask)
        print(f"{'tiles':10}{'building':>10}{'tiles of':>10}{'px':>6}{'share off by':>16}{'wrong pixels':>14}{'of':>12}{'s':>7}")
        right = True
        for tiles, recipe in SETS.items():
            started_at = time.monotonic()
            store = prepare(Path(work) / "data", Path(work) / tiles, **load_recipe(recipe).tile_options)
            seconds = (time.monotonic() - started_at) / len(masks)
            for name, mask in masks.items():
                count, off, wrong = compared(store, name, mask)
                right &= count > 0 and off <= LARGEST_ERROR and wrong == 0
                share = np.count_nonzero(mask) / mask.size
                pixels = count * store.size_px**2
                figures = f"{share:10.2%}{count:10}{store.size_px:6}{off:16.1e}{wrong:14}{pixels:12}{seconds:7.1f}"
                print(f"{tiles:10}{figures}", flush=True)
    print("all shares and pixels are right" if right else "WRONG")
    sys.exit(not right)


def scene_mask(share: float, seed: int) -> np.ndarray:
    """(5000, 5000) uint8 of 0 and 255: rectangles of 10 to 400 px at random places, up to a share."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((SIDE_PX, SIDE_PX), bool)
    wanted = min(share, 1 - share)  # of a mask that is mostly building, the gaps are drawn
    while mask.mean() < wanted:
        for _ in range(3):
            row, col = rng.integers(0, SIDE_PX, 2)
            height, width = rng.integers(10, 400, 2)
            mask[row : row + height, col : col + width] = True
    return (mask if share <= 0.5 else ~mask).view(np.uint8) * np.uint8(255)


def write_pair(data: Path, name: str, mask: np.ndarray) -> None:
    """A grey image and the mask, in Austin's CRS at 0.3 m."""
    place = {"crs": "EPSG:26914", "transform": Affine(0.3, 0, 616_500, 0, -0.3, 3_345_000)}
    shape = {"driver": "GTiff", "height": SIDE_PX, "width": SIDE_PX, "dtype": "uint8", "compress": "lzw"}
    for folder, bands in (("images", [np.full_like(mask, 90)] * 3), ("masks", [mask])):
        (data / folder).mkdir(parents=True, exist_ok=True)
        with rasterio.open(data / folder / f"{name}.tif", "w", count=len(bands), **shape, **place) as dataset:
            for number, band in enumerate(bands, 1):
                dataset.write(band, number)


def compared(store: TileStore, name: str, mask: np.ndarray) -> tuple[int, float, int]:
    """How many tiles the store has of a scene, the largest error of their shares, and how many pixels of their masks are wrong."""
    count, off, wrong = 0, Fraction(0), 0
    for tile_id, row in enumerate(store.rows):
        if row.scene == name:
            building = (mask[row.window.slices] > 0).astype(np.int64)
            exact = Fraction(int(building.sum()), building.size)
            off = max(off, abs(Fraction(row.building_share) - exact))
            wrong += int(np.count_nonzero(store.tile(tile_id)[1] != true_mask(building, store.size_px)))
            count += 1
    return count, float(off), wrong


def true_mask(building: np.ndarray, size_px: int) -> np.ndarray:
    """(S, S) uint8: 255 where building (n, n) of 0 and 1 covers at least half a pixel. Areas in 1/S² of a scene's pixel."""
    areas = along_rows(along_rows(building, size_px).T, size_px).T
    return np.where(2 * areas >= building.size, np.uint8(255), np.uint8(0))


def along_rows(values: np.ndarray, size_px: int) -> np.ndarray:
    """(n, m) whole numbers to (S, m): the sum over each of S equal parts of the rows, in units of 1/S row."""
    count = len(values)
    sums = np.zeros((size_px, values.shape[1]), np.int64)
    for part in range(size_px):
        begin, end = part * count, (part + 1) * count  # in units of 1/S row
        for row in range(begin // size_px, -(-end // size_px)):
            weight = min(end, (row + 1) * size_px) - max(begin, row * size_px)
            sums[part] += weight * values[row]
    return sums


if __name__ == "__main__":
    main()
