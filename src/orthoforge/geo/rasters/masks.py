"""Masks: what their pixels say, and where they say nothing."""

from pathlib import Path

import numpy as np

from orthoforge.errors import DataError
from orthoforge.geo.grid import Window
from orthoforge.geo.rasters.raster import Raster

# What a mask's pixels may say. A file that declares one of them to be nodata, as many tools do with 0, means its background.
MASK_VALUES = (0, 1, 255)
# Above this many distinct bad values a mask is most likely an image; the message then shows the first few only.
_SHOWN_VALUES = 4


def read_mask(raster: Raster, window: Window | None = None, *, threshold: int | None = None) -> np.ndarray:
    """Building mask as (H, W) uint8 of 0 and 255.

    Takes one band, or three equal ones, with values 0, 1 and 255; above 0 is building. With ``threshold`` any values do, and those
    at or above it are building. Pixels without data are 0. Of a band with a colour table, the values are the greys that it shows.
    ``DataError`` names other values and the share of pixels that have them, or a colour.
    """
    return read_mask_and_valid(raster, window, threshold=threshold)[0]


def read_mask_and_valid(
    raster: Raster, window: Window | None = None, *, threshold: int | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Building mask as (H, W) uint8 of 0 and 255, and where it has data, (H, W) bool.

    A pixel has none where the file's own mask or its alpha band says so, or where it holds the declared nodata value; the mask is
    then 0. A declared nodata of 0, 1 or 255 is ignored. The second is ``None`` when the file declares nothing. ``DataError`` as
    from ``read_mask``.
    """
    values, valid = _mask_values_and_valid(raster, window)
    if threshold is None and ((values > 1) & (values < 255)).any():
        # Row by row: bincount copies what it counts to int64, 200 MB for a scene of 5000².
        require_mask_values(raster.path, np.sum([np.bincount(row, minlength=256) for row in values], axis=0))
    mask = (values >= (1 if threshold is None else threshold)).view(np.uint8) * np.uint8(255)
    if valid is not None:
        mask[~valid] = 0
    return mask, valid


def require_mask_values(path: Path, counts: np.ndarray) -> None:
    """Raise ``DataError`` when a mask's pixel counts (256,) by value name values other than 0, 1 and 255."""
    bad = [value for value in np.flatnonzero(counts) if value not in MASK_VALUES]
    if bad:
        named = ", ".join(f"value {value} in {percent(counts[value] / counts.sum())}" for value in bad[:_SHOWN_VALUES])
        more = f" and {len(bad) - _SHOWN_VALUES} more values" if len(bad) > _SHOWN_VALUES else ""
        raise DataError(
            f"{path}: mask must hold 0 and 1, or 0 and 255; it has {named} of pixels{more}; pass --threshold "
            "(for example 128). Masks of classes are told apart by the --palette of check and prepare."
        )


def read_mask_values(raster: Raster, window: Window | None = None) -> np.ndarray:
    """The mask's own values as (H, W) uint8, 0 where it has no data: one band, or three equal ones. ``DataError`` otherwise.

    Of a band with a colour table they are the greys that it shows.
    """
    return _mask_values_and_valid(raster, window)[0]


def read_mask_rgb(raster: Raster, window: Window | None = None) -> np.ndarray:
    """A colour-coded mask as (H, W, 3) uint8: three bands, or one band with a colour table (a palette PNG)."""
    if raster.dtype == "uint8" and raster.band_count == 3:
        return raster.read(window)
    if raster.dtype == "uint8" and raster.band_count == 1 and (table := raster.colour_table()) is not None:
        return table[raster.read(window)[..., 0]]
    raise DataError(
        f"{raster.path}: mask has {raster.band_count} band{'s' * (raster.band_count > 1)} of {raster.dtype} and no colours; with a "
        "palette, red, green and blue bands of uint8, or one band with a colour table, are expected."
    )


def _mask_values_and_valid(raster: Raster, window: Window | None) -> tuple[np.ndarray, np.ndarray | None]:
    if raster.dtype not in ("uint8", "int8", "bool"):
        raise DataError(f"{raster.path}: mask is {raster.dtype}; uint8 is expected. Export it with 8 bits.")
    bands = raster.read(window)
    if raster.has_alpha:
        valid: np.ndarray | None = bands[..., -1] > 0
        bands = bands[..., :-1]
    else:
        valid = raster.read_valid(window)
    count = bands.shape[2]
    if count != 1 and not (count == 3 and (bands == bands[..., :1]).all()):
        raise DataError(
            f"{raster.path}: mask has {count} bands that differ; one band, or three equal ones, are expected. "
            "Is it the image instead of its mask? A colour-coded mask of classes is read by `check` and `prepare` with --palette."
        )
    values = bands[..., 0]
    if raster.nodata is not None and raster.nodata not in MASK_VALUES:
        has_value = values != raster.nodata
        valid = has_value if valid is None else valid & has_value
    values = values.astype(np.uint8)  # a copy, (H, W): the other bands go
    if (levels := raster.grey_levels()) is not None:
        _require_grey(raster, values if valid is None else values[valid], levels)
        values = levels.astype(np.uint8)[values]
    if valid is not None:
        values[~valid] = 0
    return values, valid


def _require_grey(raster: Raster, values: np.ndarray, levels: np.ndarray) -> None:
    """Raise ``DataError`` when some of the values are shown in a colour."""
    in_colour = values[(levels < 0)[values]]
    if in_colour.size:
        table = raster.colour_table()
        assert table is not None
        raise DataError(
            f"{raster.path}: its palette shows pixels in colours, such as {table[in_colour[0]].tolist()}, which do not say what is "
            "building. Save it as grey, 0 and 255, or pass --palette for a mask of classes."
        )


def percent(share: float) -> str:
    """'12.3 %', or two significant digits below 0.1 %."""
    return f"{100 * share:.1f} %" if share >= 0.001 or share == 0 else f"{100 * share:.2g} %"
