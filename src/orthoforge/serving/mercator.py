"""Tiles of Web Mercator: where they lie, and pixels of a local grid warped into them.

What a tile shows at a place depends on the place alone: transforms are exact, and the kernel's size is one for all tiles of a zoom.
Neighbouring tiles then meet.
"""

import math
from collections.abc import Sequence

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.warp import reproject, transform, transform_bounds

from orthoforge.geo.grid import Grid, Window

TILE_PX = 256
MOST_ZOOM = 24
WEB_MERCATOR, WGS84 = CRS.from_epsg(3857), CRS.from_epsg(4326)
_HALF_M = math.pi * 6378137.0  # of the world's width
_SEAMS = 2  # pixels beside those that a tile's centres fall on, for the kernel
_STEPS = 17  # along each side of a tile, to find what of a grid it covers


def tile_grid(z: int, x: int, y: int, size_px: int = TILE_PX) -> Grid:
    """The grid of a tile; (0, 0) is in the north-west."""
    side_m = 2 * _HALF_M / 2**z
    pixel = side_m / size_px
    return Grid(size_px, size_px, Affine(pixel, 0, x * side_m - _HALF_M, 0, -pixel, _HALF_M - y * side_m), WEB_MERCATOR)


def bounds_of(grid: Grid) -> tuple[float, float, float, float]:
    """(west, south, east, north) of a grid in degrees."""
    west, south, east, north = transform_bounds(grid.crs, WGS84, *grid.bounds)
    return west, south, east, north


def pixels_per_pixel(grid: Grid, z: int) -> float:
    """How many of the grid's pixels, at its middle, are as long as one of a tile's."""
    _, south, _, north = bounds_of(grid)
    metres = 2 * _HALF_M / 2**z / TILE_PX * math.cos(math.radians((south + north) / 2))
    gsd_m = grid.gsd_m()
    assert gsd_m is not None, "a map lies somewhere"
    return metres / gsd_m


def meeting(grid: Grid, tile: Grid) -> Window | None:
    """The pixels of a tile that a grid may reach; ``None`` for none. Further out, transforms of its CRS need not exist."""
    left, bottom, right, top = transform_bounds(grid.crs, tile.crs, *grid.bounds)
    back = ~tile.transform
    (first_col, first_row), (last_col, last_row) = back @ (left, top), back @ (right, bottom)
    row, col = max(0, math.floor(first_row) - 1), max(0, math.floor(first_col) - 1)
    end_row, end_col = min(tile.height, math.ceil(last_row) + 1), min(tile.width, math.ceil(last_col) + 1)
    return Window(row, col, end_row - row, end_col - col) if row < end_row and col < end_col else None


def placed(pixels: np.ndarray, there: np.ndarray, part: Window) -> tuple[np.ndarray, np.ndarray]:
    """A part of a tile in all of it: pixels (256, 256, B), and where there are any."""
    whole, holds = np.zeros((TILE_PX, TILE_PX, pixels.shape[2]), np.uint8), np.zeros((TILE_PX, TILE_PX), bool)
    whole[part.slices], holds[part.slices] = pixels, there
    return whole, holds


def covered(grid: Grid, tile: Grid) -> Window | None:
    """The window of ``grid`` that a tile shows, with what its kernel needs around it; ``None`` where they do not meet."""
    sides = (np.linspace(0, side, _STEPS) for side in (tile.width, tile.height))
    cols, rows = (axis.ravel() for axis in np.meshgrid(*sides))
    xs, ys = tile.transform.a * cols + tile.transform.c, tile.transform.e * rows + tile.transform.f
    there = np.array(transform(tile.crs, grid.crs, xs.tolist(), ys.tolist()))
    there = there[:, np.isfinite(there).all(axis=0)]
    if not there.size:
        return None
    back = ~grid.transform
    at_cols, at_rows = back.a * there[0] + back.c, back.e * there[1] + back.f
    scale = max(np.ptp(at_cols) / tile.width, np.ptp(at_rows) / tile.height)
    around = _SEAMS + math.ceil(2 * scale)
    top, bottom = max(0, math.floor(at_rows.min()) - around), min(grid.height, math.ceil(at_rows.max()) + around)
    left, right = max(0, math.floor(at_cols.min()) - around), min(grid.width, math.ceil(at_cols.max()) + around)
    return Window(top, left, bottom - top, right - left) if top < bottom and left < right else None


def warped(
    pixels: np.ndarray, valid: np.ndarray | None, grid: Grid, tile: Grid, *, scale: float, nearest: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (H, W, B) uint8 of ``grid`` on a tile's, and where there are any, (h, w) bool. ``scale`` is ``pixels_per_pixel``."""
    holds = np.full(pixels.shape[:2], 255, np.uint8) if valid is None else valid.astype(np.uint8) * 255
    # At the map's end the kernel finds the last pixels once more, in every tile alike.
    bands = np.ascontiguousarray(np.moveaxis(np.pad(pixels, ((_SEAMS, _SEAMS), (_SEAMS, _SEAMS), (0, 0)), mode="edge"), -1, 0))
    holds = np.pad(holds, _SEAMS)
    around = grid.transform @ Affine.translation(-_SEAMS, -_SEAMS)
    places = {"src_transform": around, "src_crs": grid.crs, "dst_transform": tile.transform, "dst_crs": tile.crs}
    kernel = {"XSCALE": 1 / max(1.0, scale), "YSCALE": 1 / max(1.0, scale)}
    made = np.zeros((len(bands), tile.height, tile.width), np.uint8)
    there = np.zeros((tile.height, tile.width), np.uint8)
    how = Resampling.nearest if nearest else Resampling.bilinear
    reproject(bands, made, resampling=how, tolerance=0, **places, **({} if nearest else kernel))
    reproject(holds, there, resampling=Resampling.nearest, tolerance=0, **places)
    return np.moveaxis(made, 0, -1), there > 0


def joined(parts: Sequence[tuple[Window, np.ndarray]], window: Window, bands: int) -> np.ndarray:
    """``window`` (h, w, B) put together of blocks that cover it."""
    whole = np.zeros((window.height, window.width, bands), np.uint8)
    for at, pixels in parts:
        top, left = max(at.row, window.row), max(at.col, window.col)
        bottom, right = min(at.row + at.height, window.row + window.height), min(at.col + at.width, window.col + window.width)
        whole[top - window.row : bottom - window.row, left - window.col : right - window.col] = pixels[
            top - at.row : bottom - at.row, left - at.col : right - at.col
        ].reshape(bottom - top, right - left, bands)
    return whole
