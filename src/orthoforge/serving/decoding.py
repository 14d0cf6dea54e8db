"""The process that decodes uploads: it reads files of strangers, with limits of memory, and knows nothing of the server.

Started as ``python -m orthoforge.serving.decoding BYTES``. Each line of its input is an order (``Order``, as JSON). It answers
each by a line: ``{}`` when the decoded mask lies in the order's folder, or the error's kind and words.
"""

import json
import math
import os
import re
import resource
import sys
import traceback
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import transform

from orthoforge.errors import ConfigError, DataError, OrthoforgeError
from orthoforge.geo.grid import Grid, Window, require_north_up
from orthoforge.masks.classes import Classes
from orthoforge.masks.reader import open_raster_mask
from orthoforge.serving.decoded import LABELS, VALID, write_grid
from orthoforge.vectors import FootprintMask, load_footprints, reproject, utm_zone

FOOTPRINTS = "footprints.geojson"
_STRIP_PIXELS = 2**22
_FILES = 64  # open at once
_OPTION = re.compile(r"--([a-z][a-z-]*)")  # of the command line; here it is a field
_WGS84 = CRS.from_epsg(4326)


@dataclass(frozen=True)
class Order:
    """What to decode: the file ``name`` in ``folder``, of ``classes`` (``Classes.plain``) or of buildings.

    Footprints become a mask of ``width`` × ``height`` pixels of ``pixel_size_m`` around ``center`` (longitude, latitude), or around
    the middle of their own bounds.
    """

    folder: str
    name: str
    classes: dict[str, Any] | None
    threshold: int | None
    most_pixels: int
    width: int = 0
    height: int = 0
    pixel_size_m: float = 0.0
    center: tuple[float, float] | None = None

    def line(self) -> bytes:
        """As the process reads it."""
        return json.dumps(asdict(self)).encode() + b"\n"


def decode(order: Order) -> None:
    """Write the mask into the order's folder. Raises what reading raises, with the file's name alone."""
    os.chdir(order.folder)  # names in messages are then those of the file alone
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if order.name == FOOTPRINTS:
            _decode_footprints(order)
        else:
            _decode_raster(order)


def _decode_raster(order: Order) -> None:
    path = Path(order.name)
    with open_raster_mask(path, classes=Classes.of_plain(order.classes), threshold=order.threshold) as mask:
        grid = mask.grid
        _require_size(grid.width, grid.height, order.most_pixels)
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


def _decode_footprints(order: Order) -> None:
    if order.classes is not None:
        raise ConfigError("footprints give building masks; this model was trained on classes. Send a mask of classes.")
    _require_size(order.width, order.height, order.most_pixels)
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
    pixel = order.pixel_size_m
    left, top = (round(x / pixel) - order.width // 2) * pixel, (round(y / pixel) + order.height // 2) * pixel
    return Grid(order.height, order.width, Affine(pixel, 0, left, 0, -pixel, top), crs)


def _require_size(width: int, height: int, most_pixels: int) -> None:
    if width * height > most_pixels:
        raise TooLargeError(
            f"the mask has {width}×{height} px; {most_pixels} pixels are the most here. Send a smaller one, "
            "or a job (POST /v1/jobs)."
        )


class TooLargeError(DataError):
    """A mask of more pixels than are allowed."""


def _strips(grid: Grid) -> list[Window]:
    rows = max(1, _STRIP_PIXELS // grid.width)
    return [Window(row, 0, min(rows, grid.height - row), grid.width) for row in range(0, grid.height, rows)]


def _new(name: str, grid: Grid, dtype: type) -> np.memmap:
    return np.lib.format.open_memmap(name, "w+", dtype, (grid.height, grid.width))


def answer(line: bytes) -> dict[str, str]:
    """Do what an order says, and what to say of it."""
    try:
        given = json.loads(line)
        decode(Order(**given))
    except TooLargeError as error:
        return {"error": "too-large", "words": str(error)}
    except OrthoforgeError as error:
        return {"error": "invalid", "words": _OPTION.sub(r"`\1`", str(error))}
    except MemoryError:
        return {
            "error": "too-large",
            "words": "decoding the file needs more memory than the server gives to it. Send a smaller one.",
        }
    except OSError as error:
        return {"error": "no-room", "words": f"the upload could not be decoded ({error.strerror})."}
    except Exception as error:
        traceback.print_exc()  # into the server's log: a fault of ours, which the client need not read
        return {"error": "invalid", "words": f"the file cannot be decoded ({type(error).__name__}). Export it again."}
    return {}


def main() -> None:
    """Read orders until there are none any more."""
    most_bytes = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    out.write(b"{}\n")  # ready
    out.flush()
    for line in sys.stdin.buffer:
        out.write(json.dumps(answer(line)).encode() + b"\n")
        out.flush()


if __name__ == "__main__":
    main()
