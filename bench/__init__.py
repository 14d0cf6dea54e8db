"""Every figure in the README and docs is printed by a script in this folder; ``python -m bench`` runs those that take minutes."""

from pathlib import Path

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from orthoforge.geo.cog import write_geotiff
from orthoforge.geo.grid import Grid
from orthoforge.scenes.simulate import simulate
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore


def small_store(folder: Path, *, size_px: int) -> TileStore:
    """A few tiles of the simulated town below ``folder``."""
    simulate(folder / "scenes", places=("arden", "brennau"), scenes_per_place=2, size_px=2 * size_px, gsd_m=0.6)
    return prepare(folder / "scenes", folder / "tiles", grid=2, size=size_px, split="random")


def pairs_of_rectangles(root: Path, count: int, side_px: int) -> Path:
    """Pairs of random rectangles below ``root``, which is returned; they lie apart on the ground, pixels of 0.3 m."""
    rng = np.random.default_rng(0)
    for number in range(count):
        mask = np.zeros((side_px, side_px), np.uint8)
        for row, col, height, width in rng.integers((0, 0, 12, 12), (side_px - 40, side_px - 40, 40, 40), (side_px // 12, 4)):
            mask[row : row + height, col : col + width] = 255
        image = rng.integers(60, 140, (side_px, side_px, 3), np.uint8) + (mask[..., None] // 4)
        place = Affine(0.3, 0, 500_000 + 2 * number * side_px * 0.3, 0, -0.3, 5_000_000)
        grid = Grid(side_px, side_px, place, CRS.from_epsg(32633))
        for name, pixels in (("images", image), ("masks", mask)):
            (root / name).mkdir(parents=True, exist_ok=True)
            write_geotiff(root / name / f"town{number}.tif", pixels, grid)
    return root
