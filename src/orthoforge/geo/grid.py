"""Where pixels lie: a CRS, a transform and a size that travel together, and the windows into them. Opens no file."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from affine import Affine
from rasterio._err import CPLE_BaseError  # GDAL's own errors, which reach the caller where rasterio does not wrap them
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform as transform_points

from orthoforge.errors import GridError

# WGS 84 ellipsoid: semi-major axis in metres, first eccentricity squared.
_SEMI_MAJOR_M, _ECCENTRICITY_2 = 6378137.0, 6.69437999014e-3
# Two transforms agree when no corner moves by more than this share of a pixel: room for the rounding of other people's writers.
_SAME_PLACE_PX = 0.01
# Pixels whose sides differ by a larger share show buildings at another scale.
GSD_TOLERANCE = 0.15
# A pixel from a micrometre to a thousand kilometres, and coordinates no further than 25 times around the Earth, in any unit in use.
_PIXEL_SIDES, _FURTHEST = (1e-11, 1e7), 1e9
# What is worked on at a time, and the rows of a GeoTIFF's tiles.
_STRIP_PIXELS, _STRIP_ROWS = 2**22, 256
# Metres: what a pixel's side may be stated to be, the same range.
POSSIBLE_PIXEL_M = (1e-6, 1e6)


class Window(NamedTuple):
    """A rectangle of pixels: first row and column, height and width."""

    row: int
    col: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices, for indexing an array."""
        return slice(self.row, self.row + self.height), slice(self.col, self.col + self.width)


@dataclass(frozen=True)
class Grid:
    """A raster's size in pixels, its transform from pixels to the CRS, and its CRS (``None`` when it has none).

    ``unit_m`` is how many metres a unit of the transform is stated to be, where no CRS says it (``with_pixel_size``). It is no part
    of the place: grids that differ in it alone are equal.
    """

    height: int
    width: int
    transform: Affine = Affine.identity()  # noqa: RUF009 (immutable)
    crs: CRS | None = None
    unit_m: float | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        assert self.height > 0 and self.width > 0, (self.height, self.width)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) in CRS units; in pixels when there is no CRS."""
        a, b, c, d, e, f = self.transform[:6]
        xs = [col * a + row * b + c for row in (0, self.height) for col in (0, self.width)]
        ys = [col * d + row * e + f for row in (0, self.height) for col in (0, self.width)]
        return min(xs), min(ys), max(xs), max(ys)

    @property
    def is_north_up(self) -> bool:
        """Columns run east and rows run south, without rotation."""
        t = self.transform
        return t.b == 0 and t.d == 0 and t.a > 0 and t.e < 0

    def window(self, window: Window) -> "Grid":
        """The grid of ``window``."""
        moved = self.transform @ Affine.translation(window.col, window.row)
        return Grid(window.height, window.width, moved, self.crs, self.unit_m)

    def resized(self, height: int, width: int) -> "Grid":
        """The same ground covered by ``height`` × ``width`` pixels."""
        scaled = self.transform @ Affine.scale(self.width / width, self.height / height)
        return Grid(height, width, scaled, self.crs, self.unit_m)

    def with_pixel_size(self, metres: float) -> "Grid":
        """The grid with pixels that are stated to be so long on the ground."""
        return replace(self, unit_m=2 * metres / sum(self._sides()))

    def gsd_m(self) -> float | None:
        """Ground sampling distance in metres at the grid's centre, the mean of both axes; ``None`` where it is unknown."""
        pixel = self.pixel_m()
        return None if pixel is None else sum(pixel) / 2

    def pixel_m(self) -> tuple[float, float] | None:
        """Width and height of the centre pixel in metres on the ground.

        ``None`` without a CRS, or with one that has no known place on Earth (a local grid, coordinates beyond its range), where
        none is stated. Measured on the WGS 84 ellipsoid, so degrees and web-mercator pixels come out in true metres.
        """
        if self.unit_m is not None:
            width, height = self._sides()
            return width * self.unit_m, height * self.unit_m
        if self.crs is None:
            return None
        row, col = self.height / 2, self.width / 2
        points = [self.transform @ (col, row), self.transform @ (col + 1, row), self.transform @ (col, row + 1)]
        xs, ys = zip(*points, strict=True)
        try:
            (lon, lon_x, lon_y), (lat, lat_x, lat_y) = transform_points(self.crs, CRS.from_epsg(4326), xs, ys)
        except (RasterioError, CPLE_BaseError):
            return None
        if not all(map(math.isfinite, (lon, lon_x, lon_y, lat, lat_x, lat_y))):
            return None
        sin_lat = math.sin(math.radians(lat))
        flattening = math.sqrt(1 - _ECCENTRICITY_2 * sin_lat**2)
        metres_per_lon = math.radians(_SEMI_MAJOR_M / flattening * math.cos(math.radians(lat)))
        metres_per_lat = math.radians(_SEMI_MAJOR_M * (1 - _ECCENTRICITY_2) / flattening**3)
        east_x, east_y = ((other - lon + 180) % 360 - 180 for other in (lon_x, lon_y))  # also across the antimeridian
        width_m = math.hypot(east_x * metres_per_lon, (lat_x - lat) * metres_per_lat)
        height_m = math.hypot(east_y * metres_per_lon, (lat_y - lat) * metres_per_lat)
        return width_m, height_m

    def _sides(self) -> tuple[float, float]:
        """Width and height of a pixel in units of the transform."""
        t = self.transform
        return math.hypot(t.a, t.d), math.hypot(t.b, t.e)

    def offset_px(self, other: "Grid") -> float:
        """Largest distance in pixels between the corners of both grids, in this grid's pixels."""
        to_pixels = ~self.transform
        offsets = []
        for row, col in ((0, 0), (0, other.width), (other.height, 0), (other.height, other.width)):
            x, y = to_pixels @ (other.transform @ (col, row))
            offsets.append(math.hypot(x - col, y - row))
        return max(offsets)


def strips_of(grid: Grid) -> Iterator[Window]:
    """Windows of whole rows that cover a grid, from the top: some million pixels each, and whole tiles of 256 rows."""
    rows = max(1, _STRIP_PIXELS // (grid.width * _STRIP_ROWS)) * _STRIP_ROWS
    for row in range(0, grid.height, rows):
        yield Window(row, 0, min(rows, grid.height - row), grid.width)


def require_same_grid(name: str, image: Grid, mask: Grid) -> None:
    """Raise ``GridError`` saying how the mask's grid differs from the image's, in size, CRS or place.

    A side without a CRS takes the other's: only the sizes can then be compared.
    """
    if (mask.height, mask.width) != (image.height, image.width):
        raise GridError(
            f"{name}: mask is {mask.width}×{mask.height} but image is {image.width}×{image.height}. "
            "Re-export one of them on the other's grid."
        )
    if mask.crs is None or image.crs is None:
        return
    if mask.crs != image.crs:
        raise GridError(
            f"{name}: mask is in {crs_name(mask.crs)} but image is in {crs_name(image.crs)}. "
            "Warp the mask to the image's grid with nearest-neighbour resampling."
        )
    offset = image.offset_px(mask)
    if offset > _SAME_PLACE_PX:
        raise GridError(
            f"{name}: mask lies {offset:.2f} px off the image's grid. "
            "Warp the mask to the image's grid with nearest-neighbour resampling."
        )


def grid_of_pair(image: Grid, mask: Grid) -> Grid:
    """Where a pair lies and how large its pixels are: by the image, or the mask where only that says it. CRS come first."""
    if (image.crs is None) != (mask.crs is None):
        return mask if image.crs is None else image
    return mask if image.crs is None and image.pixel_m() is None else image


def require_north_up(path: object, grid: Grid) -> None:
    """Raise ``GridError`` for a georeferenced grid that is rotated, mirrored, or has its first row in the south."""
    t = grid.transform
    if t == Affine.identity() or grid.is_north_up:
        return
    how = "rotated" if t.b or t.d else "south-up" if t.a > 0 else "mirrored"
    raise GridError(
        f"{path}: its transform is {how}; rows must run from north to south and columns from west to east. "
        "Warp it north-up, for example with gdalwarp."
    )


def require_possible(path: object, grid: Grid) -> None:
    """Raise ``GridError`` for a transform that cannot be: not finite, without area, or with coordinates that are not on Earth."""
    if reason := _impossible(grid):
        raise GridError(
            f"{path}: {reason}, so it lies nowhere. Write its place anew, for example with gdal_edit.py -a_ullr, or drop it with "
            "gdal_edit.py -unsetgt; look into a world file or .aux.xml beside it too."
        )


def _impossible(grid: Grid) -> str | None:
    t, bounds = grid.transform, grid.bounds
    if not all(map(math.isfinite, (*t[:6], *bounds))):
        return "its transform holds a number that is not finite"
    sides = grid._sides()
    low, high = _PIXEL_SIDES
    if not (low <= min(sides) and max(sides) <= high) or abs(t.a * t.e - t.b * t.d) < low * low:
        return f"its pixels are {sides[0]:.3g} × {sides[1]:.3g} in size"
    left, bottom, right, top = bounds
    reach = max(map(abs, bounds))
    if grid.crs is not None and grid.crs.is_geographic and (max(-bottom, top) > 90 + sides[1] or max(-left, right) > 540):
        return f"its degrees reach from {left:.6g}, {bottom:.6g} to {right:.6g}, {top:.6g}"
    if reach > _FURTHEST or reach * 2**-52 > _SAME_PLACE_PX * min(sides):
        return f"its coordinates reach {reach:.3g}"
    return None


def other_scale(one_m: float | None, other_m: float | None) -> bool:
    """Whether pixels of these sizes would show buildings at different scales; of an unknown one nothing is said."""
    return bool(one_m and other_m and abs(one_m / other_m - 1) > GSD_TOLERANCE)


def crs_name(crs: CRS | None) -> str:
    """'EPSG:26914' where the CRS has a code, else the name in its WKT, else 'no CRS'."""
    if crs is None:
        return "no CRS"
    epsg = crs.to_epsg()
    return f"EPSG:{epsg}" if epsg else crs.to_wkt().split('"')[1]
