"""What is looked at of an image whose look others shall have: its middle, or the largest square with data in it."""

import numpy as np

from orthoforge.errors import DataError
from orthoforge.geo.grid import Window
from orthoforge.geo.rasters.image_values import read_image
from orthoforge.geo.rasters.raster import Raster

# A style is a mean over the image: more than its middle changes it little, and would need memory for all of it.
REFERENCE_PX = 1024
# Parts of a reference image are left out by cells of this side, where more than a tenth has no data: a black pixel is often real.
_CELL_PX = 16
_VOID_SHARE = 0.1


def read_reference(raster: Raster, bands: int, least_px: int) -> np.ndarray:
    """The middle of an image, (H, W, B) uint8 of at most ``REFERENCE_PX`` a side; where parts have no data, the largest square that
    has.

    Raises ``DataError`` for an image of other bands, or with less than ``least_px`` of data a side.
    """
    height, width = (min(side, REFERENCE_PX) for side in (raster.grid.height, raster.grid.width))
    window = Window((raster.grid.height - height) // 2, (raster.grid.width - width) // 2, height, width)
    valid = raster.read_valid(window)
    if raster.band_count not in (bands, bands + raster.has_alpha):
        count = f"{raster.band_count} band{'s' * (raster.band_count > 1)}"
        raise DataError(f"{raster.path}: image has {count}; the run's images, and so a reference image, have {bands}.")
    pixels = read_image(raster, window, bands=range(1, bands + 1))
    if raster.nodata is not None:
        has_value = (pixels != raster.nodata).any(axis=2)
        valid = has_value if valid is None else valid & has_value
    if valid is not None:
        pixels = pixels[_largest_square(valid)]
    if min(pixels.shape[:2]) < least_px:
        data = " with data in its middle" if valid is not None else ""
        raise DataError(
            f"{raster.path}: has {pixels.shape[1]}×{pixels.shape[0]} px{data}; a reference image needs {least_px} px or "
            "more in each direction. Give a larger one, or cut it out where there is data."
        )
    return pixels


def _largest_square(valid: np.ndarray) -> tuple[slice, slice]:
    """The largest square of cells with data, of several the one nearest to the middle; everything where no cell lacks any."""
    rows, cols = (side // _CELL_PX for side in valid.shape)
    cells = valid[: rows * _CELL_PX, : cols * _CELL_PX].reshape(rows, _CELL_PX, cols, _CELL_PX).mean(axis=(1, 3)) >= 1 - _VOID_SHARE
    if cells.all():
        return slice(None), slice(None)
    sums = np.pad(cells.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    for side in range(min(rows, cols), 0, -1):
        counts = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
        found = np.argwhere(counts == side**2)
        if len(found):
            off_middle = np.abs(2 * found + side - (rows, cols)).sum(axis=1)
            row, col = (_CELL_PX * found[off_middle.argmin()]).tolist()
            return slice(row, row + side * _CELL_PX), slice(col, col + side * _CELL_PX)
    return slice(0), slice(0)
