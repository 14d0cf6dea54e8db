"""Writes rasters of one band strip by strip: masks with their colours, and numbers beyond a byte."""

import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio.windows
from rasterio.enums import ColorInterp

from orthoforge.errors import DataError
from orthoforge.geo.cog import new_raster, with_pixel_size, write_error
from orthoforge.geo.grid import Grid, Window
from orthoforge.geo.rasters import DRIVERS, GDAL_ERRORS, open_quietly

_OPTIONS: dict[str, dict[str, object]] = {
    "GTiff": {"compress": "deflate", "predictor": 2, "tiled": True, "blockxsize": 256, "blockysize": 256, "bigtiff": "IF_SAFER"},
    "PNG": {"WRITE_METADATA_AS_TEXT": "YES"},
}


def write_band(
    path: Path,
    strips: Iterable[tuple[Window, np.ndarray, np.ndarray | None]],
    grid: Grid,
    *,
    dtype: Literal["uint8", "uint16", "uint32"] = "uint8",
    colours: Mapping[int, tuple[int, int, int]] | None = None,
    masked: bool = False,
    tags: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a tiled GeoTIFF, or a PNG when ``path`` ends in ``.png``, with one band; memory grows with a strip of a GeoTIFF.

    ``strips`` are windows of whole rows from the top, with their pixels (h, W) and, with ``masked``, which of them hold data,
    (h, W) bool, ``None`` for all. ``colours`` is the colour of each value. Written under a temporary name, read back and compared,
    then renamed. Raises ``DataError`` for another suffix, and ``OutputExistsError``, ``LockedError`` or ``ResourceError``.
    """
    path = Path(path)
    driver = DRIVERS.get(path.suffix.lower())
    if driver not in _OPTIONS:
        raise DataError(f"{path}: masks are written as .tif or .png.")
    assert driver == "GTiff" or dtype != "uint32", (path, dtype)
    size_bytes = grid.height * grid.width * np.dtype(dtype).itemsize
    with new_raster(path, size_bytes, overwrite=overwrite) as partial:
        shape = {"height": grid.height, "width": grid.width, "count": 1, "dtype": dtype}
        place: dict[str, object] = {} if driver == "PNG" else {"transform": grid.transform, "crs": grid.crs}
        checksums = {}
        with open_quietly(partial, "w", driver=driver, **shape, **place, **_OPTIONS[driver]) as dataset:
            dataset.colorinterp = [ColorInterp.palette if colours else ColorInterp.gray]
            if colours:
                # What no pixel has is black: without a colour it would be transparent, of which a PNG makes a second table.
                dataset.write_colormap(1, {value: colours.get(value, (0, 0, 0)) for value in range(max(colours) + 1)})
            dataset.update_tags(**with_pixel_size(tags, grid))
            for strip, pixels, valid in strips:
                dataset.write(pixels, 1, window=_part(strip))
                checksums[strip] = zlib.crc32(np.ascontiguousarray(pixels).data)
                if masked and driver == "GTiff":
                    everywhere = np.ones(pixels.shape, bool)
                    dataset.write_mask(everywhere if valid is None else valid, window=_part(strip))
        if not _reads_back(partial, driver, checksums):
            raise write_error(path, size_bytes, "the file does not read back as it was written")


def _reads_back(path: Path, driver: str, checksums: Mapping[Window, int]) -> bool:
    """GDAL tells nobody of a disk that is full when it closes the file."""
    try:
        with open_quietly(path, driver=driver) as dataset:
            return all(
                zlib.crc32(np.ascontiguousarray(dataset.read(1, window=_part(strip))).data) == checksum
                for strip, checksum in checksums.items()
            )
    except GDAL_ERRORS:
        return False


def _part(strip: Window) -> rasterio.windows.Window:
    return rasterio.windows.Window(strip.col, strip.row, strip.width, strip.height)
