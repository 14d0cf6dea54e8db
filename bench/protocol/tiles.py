"""The tiles of the protocol: 0.3 m, 224 px, split by blocks in each place; set distances look at their quarters."""

import re
from pathlib import Path

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from orthoforge.geo.cog import write_geotiff
from orthoforge.geo.grid import Grid
from orthoforge.geo.rasters import open_raster, read_image, read_mask
from orthoforge.scenes.sources import Pair, survey
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore

GSD_M, SIZE_PX = 0.3, 224
# One scene each, with three held-out tiles at most: too few for a distance of sets. The second is coarser than 0.3 m, too.
LEFT_OUT = ("quebec", "massachusetts")
# The small Austin scenes have no CRS. Their edges continue one another: 00 to 18 from north to south, 19 and 20 east of 00 and 01.
# Laid out so, blocks keep neighbours together. The origin is arbitrary, and far from the Austin scene that has one; correlation
# finds none of them in that scene.
_AUSTIN, _AUSTIN_LARGE = re.compile(r"inria_austin1_(\d+)"), "inria_austin_geo1000_a"
_AUSTIN_CRS, _AUSTIN_ROWS = "EPSG:26914", 19
LEAST_HELD_OUT = 4  # tiles of a place, for figures of its own


def make_tiles(data: Path, out: Path) -> TileStore:
    """Tiles of the image/mask pairs below ``data`` in ``out/tiles``, by way of ``out/scenes``. Made before, they are opened."""
    for pair in survey(data).pairs:
        if not pair.name.startswith(LEFT_OUT):
            _stage(pair, out / "scenes")
    return prepare(out / "scenes", out / "tiles", gsd=GSD_M, size=SIZE_PX, split="blocks")


def held_out(store: TileStore) -> np.ndarray:
    """Ids of the tiles that are scored: validation and test together, of places with ``LEAST_HELD_OUT`` of them.

    Nothing is chosen by validation here: the last weights are scored, so both splits are unseen alike.
    """
    ids = np.sort(np.concatenate([store.ids("val"), store.ids("test")]))
    places = np.array([store.rows[tile_id].place for tile_id in ids.tolist()])
    enough = [place for place in np.unique(places) if (places == place).sum() >= LEAST_HELD_OUT]
    return ids[np.isin(places, enough)]


def quarters(tiles: np.ndarray) -> np.ndarray:
    """(N, S, S, …) to (4N, S/2, S/2, …): each tile's four quarters, one after the other."""
    half = tiles.shape[1] // 2
    parts = [tiles[:, row : row + half, col : col + half] for row in (0, half) for col in (0, half)]
    return np.stack(parts, axis=1).reshape(-1, half, half, *tiles.shape[3:])


def _stage(pair: Pair, scenes: Path) -> None:
    """The pair under ``scenes``, by a name that says its place, with a CRS."""
    small = _AUSTIN.fullmatch(pair.name)
    name = f"austin_{int(small[1]):02d}" if small else "austin_1000" if pair.name == _AUSTIN_LARGE else pair.name
    for folder, source in (("images", pair.image), ("masks", pair.mask)):
        target = scenes / folder / f"{name}{source.suffix}"
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if not small:
            target.symlink_to(source.resolve())
            continue
        with open_raster(source) as raster:
            pixels = read_image(raster) if folder == "images" else read_mask(raster)
        height, width = pixels.shape[:2]
        col, row = divmod(int(small[1]), _AUSTIN_ROWS)
        transform = Affine(GSD_M, 0, col * width * GSD_M, 0, -GSD_M, -row * height * GSD_M)
        write_geotiff(target, pixels, Grid(height, width, transform, CRS.from_user_input(_AUSTIN_CRS)))
