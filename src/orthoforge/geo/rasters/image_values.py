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
    if (table := raster.colour_table()) is not None and not _is_grey_ramp(table):
        raise DataError(
            f"{raster.path}: image has a palette: its pixels are numbers of colours, no colours. Expand it with "
            "gdal_translate -expand rgb, and use that."
        )
    count = f"{raster.band_count} band{'s' * (raster.band_count > 1)}"
    if bands is None and raster.band_count != 3:
        raise DataError(f"{raster.path}: image has {count}; three (red, green, blue) are expected. {_choice(raster)}")
    if bands is not None and max(bands) > raster.band_count:
        raise DataError(f"{raster.path}: image has {count}, and no band {max(bands)}. Leave it out of --bands.")
    return raster.read(window, bands)


def image_without_data(raster: Raster, window: Window | None = None) -> np.ndarray | None:
    """Where an image holds no data, (H, W) bool: by its own mask or alpha band, or by the declared nodata value in every band.

    ``None`` when the file declares nothing.
    """
    valid = raster.read_valid(window)
    missing = None if valid is None else ~valid
    if raster.nodata is not None:
        colours = range(1, raster.band_count + (not raster.has_alpha))
        no_value = (raster.read(window, colours) == raster.nodata).all(axis=-1)
        missing = no_value if missing is None else missing | no_value
    return missing


def _choice(raster: Raster) -> str:
    """How the bands are chosen that an image has, where they are not three."""
    if not raster.has_alpha:
        bands = "1 2 3 4" if raster.band_count > 3 else "1"
        chosen = f"Others are chosen with --bands of check and prepare, as in --bands {bands}; "
        return chosen + "gdal_translate -b 1 -b 2 -b 3 keeps three."
    last = raster.band_count
    colours = " ".join(map(str, range(1, last))) if last != 3 else "1"
    kept = " ".join(f"-b {band}" for band in colours.split())
    return (
        f"Its band {last} is declared to be alpha, which says what is transparent: leave it out with --bands {colours} of check "
        f"and prepare, or with gdal_translate {kept}. If it holds a colour such as near infrared, name it too."
    )


def _is_grey_ramp(table: np.ndarray) -> bool:
    """Whether every value is shown as the grey that it would be without a table."""
    return bool((table == np.arange(256)[:, None]).all())


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
