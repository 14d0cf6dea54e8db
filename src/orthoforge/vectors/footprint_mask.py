"""Footprints as a mask: the whole of it, or any window, to the bit the same."""

from collections.abc import Sequence

import numpy as np
import shapely
from affine import Affine
from rasterio.features import rasterize

from orthoforge.errors import DataError
from orthoforge.geo.grid import Grid, Window
from orthoforge.geo.rasters import quiet_about_places
from orthoforge.vectors.places import applied

# GDAL fills a pixel when its centre lies between the two edges that cross its row, and finds those crossings in floating point,
# which rounds otherwise in every window: a centre on an edge would be inside one and outside the next. So the grid is divided into
# blocks of this size, and each pixel is always found from the corner of its block, whatever window was asked for.
_BLOCK_PX = 1024
# GDAL turns rings by their sense on the ground, with north up; that decides which centres on an edge belong to a polygon.
_UPRIGHT = Affine(1, 0, 0, 0, -1, 0)


class FootprintMask:
    """The mask of polygons in a grid's CRS, read by windows: memory goes by the window and the polygons, not by the grid.

    ``features`` (n,) says of each polygon which footprint it is a part of; without it each is one of its own. Raises ``DataError``
    when no polygon touches the grid, but some would with longitude and latitude exchanged.
    """

    def __init__(self, polygons: Sequence[shapely.Polygon] | np.ndarray, grid: Grid, *, features: np.ndarray | None = None) -> None:
        _refuse_exchanged(polygons, grid)
        self._set(in_pixels(polygons, grid), grid, features)

    @classmethod
    def of_pixels(cls, polygons: np.ndarray, grid: Grid) -> "FootprintMask":
        """The same of polygons in the grid's pixels."""
        mask = cls.__new__(cls)
        mask._set(polygons, grid, None)
        return mask

    def _set(self, polygons: np.ndarray, grid: Grid, features: np.ndarray | None) -> None:
        self.grid = grid
        left, top, right, bottom = shapely.bounds(polygons).reshape(-1, 4).T
        on_grid = (left < grid.width) & (right > 0) & (top < grid.height) & (bottom > 0)
        self._polygons = polygons[on_grid]
        self._numbers = (np.arange(len(polygons)) if features is None else np.asarray(features))[on_grid].astype(np.int32) + 1
        self._tree = shapely.STRtree(self._polygons)

    def __len__(self) -> int:
        """How many polygons touch the grid."""
        return len(self._polygons)

    def read(self, window: Window | None = None) -> np.ndarray:
        """(h, w) uint8 of the window, or of the whole grid: 255 where a pixel's centre lies inside a polygon, else 0."""
        return self._filled(window, np.full(len(self), 255, np.int32), np.uint8)

    def numbers(self, window: Window | None = None) -> np.ndarray:
        """(h, w) int32: which footprint each pixel shows, as its feature's index and 1; 0 where ``read`` is 0.

        Where footprints overlap, the pixel is that of the later one.
        """
        return self._filled(window, self._numbers, np.int32)

    def _filled(self, window: Window | None, values: np.ndarray, dtype: type[np.integer]) -> np.ndarray:
        w = window or Window(0, 0, self.grid.height, self.grid.width)
        assert w.row >= 0 and w.col >= 0 and w.row + w.height <= self.grid.height and w.col + w.width <= self.grid.width, w
        mask = np.zeros((w.height, w.width), dtype)
        for block_row in range(w.row // _BLOCK_PX * _BLOCK_PX, w.row + w.height, _BLOCK_PX):
            for block_col in range(w.col // _BLOCK_PX * _BLOCK_PX, w.col + w.width, _BLOCK_PX):
                top, bottom = max(w.row, block_row), min(w.row + w.height, block_row + _BLOCK_PX)
                left, right = max(w.col, block_col), min(w.col + w.width, block_col + _BLOCK_PX)
                near = np.sort(self._tree.query(shapely.box(left, top, right, bottom)))
                if len(near):
                    height, width = bottom - block_row, right - block_col
                    inside = _fill(self._polygons[near], values[near], block_row, block_col, height, width, dtype)
                    mask[top - w.row : bottom - w.row, left - w.col : right - w.col] = inside[top - block_row :, left - block_col :]
        return mask


def in_pixels(shapes: Sequence[shapely.Geometry] | np.ndarray, grid: Grid) -> np.ndarray:
    """Shapes in the grid's CRS, in its pixels: x by columns, y by rows, from the corner of the first."""
    table = np.empty(len(shapes), object)
    table[:] = shapes
    to_pixels = ~grid.transform
    return np.asarray(shapely.transform(table, lambda xy: applied(to_pixels, xy)))


def rasterize_footprints(polygons: Sequence[shapely.Polygon] | np.ndarray, grid: Grid) -> np.ndarray:
    """Mask (H, W) uint8, 255 where a pixel's centre lies inside a polygon. Polygons are in the grid's CRS.

    Raises ``DataError`` when none touches the grid, but would with longitude and latitude exchanged.
    """
    return FootprintMask(polygons, grid).read()


def _fill(
    polygons: np.ndarray, values: np.ndarray, row: int, col: int, height: int, width: int, dtype: type[np.integer]
) -> np.ndarray:
    """(height, width) of polygons in pixels, from the pixel (row, col) on, each with its value; later ones lie on top."""
    upright = shapely.transform(polygons, lambda xy: (xy - (col, row)) * (1, -1))
    burnt = zip(upright, values.tolist(), strict=True)
    with quiet_about_places():
        return rasterize(burnt, out_shape=(height, width), transform=_UPRIGHT, fill=0, dtype=dtype)


def _refuse_exchanged(polygons: Sequence[shapely.Polygon] | np.ndarray, grid: Grid) -> None:
    if not (len(polygons) and grid.crs and grid.crs.is_geographic):
        return
    left, bottom, right, top = grid.bounds
    ground = shapely.box(left, bottom, right, top)
    exchanged = shapely.box(bottom, left, top, right)
    if not shapely.intersects(ground, polygons).any() and shapely.intersects(exchanged, polygons).any():
        raise DataError(
            f"none of the {len(polygons)} footprints lies in the scene, but they would with longitude and latitude "
            "exchanged. Longitude comes first."
        )
