"""The process that decodes uploads: it reads files of strangers, with limits of memory, and knows nothing of the server.

Started as ``python -m orthoforge.serving.decoding BYTES``. Each line of its input is an order (``Order``, as JSON); the decoded
mask then lies in the order's folder.
"""

import json
import math
import os
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform

from orthoforge.errors import ConfigError, DataError, GridError
from orthoforge.geo.grid import Grid, Window, require_north_up, require_possible
from orthoforge.geo.rasters import open_raster, read_reference
from orthoforge.masks.classes import Classes
from orthoforge.masks.reader import open_raster_mask
from orthoforge.serving.answering import TooLargeError, answer_all
from orthoforge.serving.decoded import LABELS, PHOTO, VALID, write_grid
from orthoforge.vectors import FootprintMask, load_footprints, reproject, utm_zone

FOOTPRINTS = "footprints.geojson"
_STRIP_PIXELS = 2**22
_SAME_PIXEL = 0.02  # a share; a degree's pixels change with the latitude
_WGS84 = CRS.from_epsg(4326)


@dataclass(frozen=True)
class Order:
    """What to decode: the file ``name`` in ``folder``, of ``classes`` (``Classes.plain``) or of buildings.

    A mask of more than ``most_pixels`` is refused, with the words ``way_out``. Footprints become a mask of ``width`` × ``height``
    pixels around ``center`` (longitude, latitude), or around the middle of their own bounds. A raster without a CRS lies where
    ``crs`` (of EPSG), ``left`` and ``top`` say. Pixels are ``pixel_size_m`` long; where that is 0, ``gsd_m``, but for a raster
    without ``crs``, whose pixels then have no known size. With ``photo_bands`` the file is a photo of so many bands, of which at
    least ``photo_px`` a side are wanted.
    """

    folder: str
    name: str
    classes: dict[str, Any] | None
    threshold: int | None
    most_pixels: int
    way_out: str = ""
    width: int = 0
    height: int = 0
    pixel_size_m: float = 0.0
    gsd_m: float = 1.0
    center: tuple[float, float] | None = None
    crs: int | None = None
    left: float = 0.0
    top: float = 0.0
    photo_bands: int = 0
    photo_px: int = 0

    @property
    def pixel_m(self) -> float:
        """Metres of a pixel on the ground, where it lies somewhere."""
        return self.pixel_size_m or self.gsd_m

    def line(self) -> bytes:
        """As the process reads it."""
        return json.dumps(asdict(self)).encode() + b"\n"


def decode(order: Order) -> None:
    """Write the mask into the order's folder. Raises what reading raises, with the file's name alone."""
    os.chdir(order.folder)  # names in messages are then those of the file alone
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if order.photo_bands:
            _decode_photo(order)
        elif order.name == FOOTPRINTS:
            _decode_footprints(order)
        else:
            _decode_raster(order)


def _decode_raster(order: Order) -> None:
    path = Path(order.name)
    with open_raster_mask(path, classes=Classes.of_plain(order.classes), threshold=order.threshold) as mask:
        grid = _placed(path, mask.grid, order)
        _require_size(grid.width, grid.height, order.most_pixels, order.way_out)
        require_north_up(path, grid)
        mask.require_sound()
        labels = _new(LABELS, grid, np.uint8)
        valid = None
        for window in _strips(grid):
            labels[window.slices], holds = mask.read(window)
            if holds is not None and valid is None:
                valid = _new(VALID, grid, np.bool_)
                valid[: window.row] = True
            if valid is not None:
                valid[window.slices] = True if holds is None else holds
        labels.flush()
    write_grid(Path(), grid)


def _placed(path: Path, grid: Grid, order: Order) -> Grid:
    """The grid of a raster, which lies where the order says if its file does not say it, and has pixels of the order's size."""
    if order.crs is None:
        own = grid.gsd_m()
        if order.pixel_size_m and own is not None and abs(own / order.pixel_size_m - 1) > _SAME_PIXEL:
            raise ConfigError(
                f"pixel_size_m: the mask says itself that a pixel is {own:.3g} m. Leave pixel_size_m out: it is for masks that do "
                "not say it."
            )
        return grid.with_pixel_size(order.pixel_size_m) if order.pixel_size_m and own is None else grid
    if grid.crs is not None:
        raise ConfigError("crs: the mask has a place of its own. Leave crs, left and top out.")
    try:
        crs = CRS.from_epsg(order.crs)
    except CRSError as error:
        raise ConfigError(f"crs: EPSG:{order.crs} is not known here.") from error
    if not crs.is_projected:
        raise ConfigError(f"crs: EPSG:{order.crs} is not in metres. Choose a projected one, for example a UTM zone.")
    pixel = order.pixel_m / crs.linear_units_factor[1]
    placed = Grid(grid.height, grid.width, Affine(pixel, 0, order.left, 0, -pixel, order.top), crs)
    try:
        require_possible(path, placed)
    except GridError as error:
        raise ConfigError(
            "crs, left, top: a mask there lies nowhere on the ground. Send its upper left corner in that CRS."
        ) from error
    return placed


def _decode_photo(order: Order) -> None:
    with open_raster(Path(order.name)) as raster:
        np.save(PHOTO, read_reference(raster, order.photo_bands, order.photo_px), allow_pickle=False)


def _decode_footprints(order: Order) -> None:
    if order.classes is not None:
        raise ConfigError("footprints give building masks; this model was trained on classes. Send a mask of classes.")
    _require_size(order.width, order.height, order.most_pixels, order.way_out)
    found = load_footprints(Path(order.name))
    center = order.center
    if center is None:
        if not len(found):
            raise DataError("the footprints hold no polygon. Send some, or say the image's center (longitude, latitude).")
        bounds = np.array([polygon.bounds for polygon in reproject(found.polygons, found.crs, _WGS84, features=found.features)])
        lon, lat = (bounds[:, :2].min(axis=0) + bounds[:, 2:].max(axis=0)) / 2
        center = float(lon), float(lat)
    grid = _grid_around(center, order)
    polygons = reproject(found.polygons, found.crs, grid.crs, features=found.features)
    mask = FootprintMask(polygons, grid, features=found.features)
    labels = _new(LABELS, grid, np.uint8)
    for window in _strips(grid):
        labels[window.slices] = mask.read(window)
    labels.flush()
    write_grid(Path(), grid)


def _grid_around(center: tuple[float, float], order: Order) -> Grid:
    """The grid of the image, its corner at whole pixels from the CRS's origin: grids of one pixel size then fit together."""
    lon, lat = center
    if not (math.isfinite(lon) and math.isfinite(lat) and abs(lon) <= 180 and abs(lat) < 84):
        raise ConfigError(f"the center {lon:g}, {lat:g} is no longitude and latitude between 84° south and north.")
    crs = utm_zone(lon, lat)
    (x,), (y,) = transform(_WGS84, crs, [lon], [lat])
    pixel = order.pixel_m
    left, top = (round(x / pixel) - order.width // 2) * pixel, (round(y / pixel) + order.height // 2) * pixel
    return Grid(order.height, order.width, Affine(pixel, 0, left, 0, -pixel, top), crs)


def _require_size(width: int, height: int, most_pixels: int, way_out: str) -> None:
    if width * height > most_pixels:
        raise TooLargeError(f"the mask has {width}×{height} px; {most_pixels} pixels are the most here. {way_out}")


def _strips(grid: Grid) -> list[Window]:
    rows = max(1, _STRIP_PIXELS // grid.width)
    return [Window(row, 0, min(rows, grid.height - row), grid.width) for row in range(0, grid.height, rows)]


def _new(name: str, grid: Grid, dtype: type) -> np.memmap:
    return np.lib.format.open_memmap(name, "w+", dtype, (grid.height, grid.width))


def main() -> None:
    """Read orders until there are none any more."""
    answer_all(lambda line: decode(Order(**json.loads(line))))


if __name__ == "__main__":
    main()
