"""Images: red, green and blue, or other bands, of 8 bits."""

from collections.abc import Sequence

import numpy as np

from orthoforge.errors import DataError
from orthoforge.geo.grid import Window
from orthoforge.geo.rasters.raster import Raster


def read_image(raster: Raster, window: Window | None = None, *, bands: Sequence[int] | None = None) -> np.ndarray:
    """Pixels as (H, W, B) uint8: of a file of three bands, or of these ``bands`` of any file, by their number from 1.

    ``DataError`` when the file holds anything but 8 bits, lacks one of ``bands``, or without ``bands`` has not three.
    """
    if raster.dtype != "uint8":
        hint = _nan_report(raster) if raster.dtype.startswith("float") else ""
        wanted = "three bands" if bands is None else "bands"
        raise DataError(
            f"{raster.path}: image is {raster.dtype}{hint}; {wanted} of uint8 are expected. Scale it to 8 bits first, "
            "for example with gdal_translate -ot Byte -scale."
        )
    count = f"{raster.band_count} band{'s' * (raster.band_count > 1)}"
    if bands is None and raster.band_count != 3:
        raise DataError(
            f"{raster.path}: image has {count}; three (red, green, blue) are expected. Others are "
            f"chosen with --bands of check and prepare, as in --bands {'1 2 3 4' if raster.band_count > 3 else '1'}; "
            "gdal_translate -b 1 -b 2 -b 3 keeps three."
        )
    if bands is not None and max(bands) > raster.band_count:
        raise DataError(f"{raster.path}: image has {count}, and no band {max(bands)}. Leave it out of --bands.")
    return raster.read(window, bands)


def _nan_report(raster: Raster) -> str:
    """', with N NaN pixels, the first at row R, column C' for a float raster that has any."""
    count, first = 0, None
    for window in raster.strips():
        bad = np.isnan(raster.read(window)).any(axis=-1)
        count += int(bad.sum())
        if first is None and bad.any():
            row, col = np.unravel_index(bad.argmax(), bad.shape)
            first = f"row {window.row + row}, column {col}"
    return f", with {count} NaN pixel{'s' * (count > 1)}, the first at {first}" if first else ""
