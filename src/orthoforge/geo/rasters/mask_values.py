"""Masks: what their pixels say, and where they say nothing."""

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from orthoforge.errors import ConfigError, DataError, NotBuildingsError
from orthoforge.geo.grid import Window
from orthoforge.geo.rasters.raster import Raster, open_raster

# What a mask's pixels may say. A file that declares 0 to be nodata, as many tools do, means its background. One that declares 1 or
# 255 means it where it holds other values besides 0.
MASK_VALUES = (0, 1, 255)
# What to do with a mask that holds more than two kinds of pixels.
_OF_CLASSES = "If it is one of classes, say what they are with --palette, or which are building with --building."
_SAY_CLASSES = "Say with --palette what the values stand for, or with --building which of them are building."
# More distinct values than that are levels: masks that were scaled, or saved as JPEG.
_MOST_CODES = 64


# Above this many distinct bad values a mask is most likely an image; the message then shows the first few only.
_SHOWN_VALUES = 4


def read_mask(raster: Raster, window: Window | None = None, *, threshold: int | None = None) -> np.ndarray:
    """Building mask as (H, W) uint8 of 0 and 255.

    Takes one band, or three equal ones, with values 0 and 1, or 0 and 255; above 0 is building. With ``threshold`` any values do,
    and those at or above it are building. Pixels without data are 0. Of a band with a colour table, the values are the greys that
    it shows. ``DataError`` names other values and the share of pixels that have them, or a colour.
    """
    return read_mask_and_valid(raster, window, threshold=threshold)[0]


def read_mask_and_valid(
    raster: Raster, window: Window | None = None, *, threshold: int | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Building mask as (H, W) uint8 of 0 and 255, and where it has data, (H, W) bool.

    A pixel has none where the file's own mask or its alpha band says so, or where it holds the declared nodata value; the mask is
    then 0. A declared nodata of 0 is ignored, and so is 1 or 255 where 0 is the only other value. A file whose opaque pixels are
    all building has data everywhere: its background was left transparent. The second is ``None`` when the file declares nothing.
    ``DataError`` as from ``read_mask``, ``ConfigError`` for a threshold that no pixel can lie on either side of.
    """
    require_threshold(threshold)
    values, valid = _mask_values_and_valid(raster, window)
    if threshold is None and 1 not in _require_mask_values(raster, values):
        mask = values  # 0 and 255 already
    else:
        mask = (values >= (1 if threshold is None else threshold)).view(np.uint8) * np.uint8(255)
    if valid is not None:
        mask[~valid] = 0
    return mask, valid


def require_threshold(threshold: int | None) -> None:
    """Raise ``ConfigError`` for a threshold that makes everything building, or nothing, whatever a mask of 8 bits holds."""
    if threshold is not None and not 1 <= threshold <= 255:
        raise ConfigError(
            f"threshold {threshold} makes {'everything' if threshold < 1 else 'nothing'} building: masks hold 0 to 255. Choose one "
            "from 1 to 255."
        )


def nodata_note(raster: Raster) -> str | None:
    """What is unclear about a mask that declares 1 or 255 to be nodata and holds no other value but 0; ``None`` for any other."""
    if raster.nodata not in (1, 255) or _nodata_is_meant(raster) or not _whole(raster).counts[int(raster.nodata)]:
        return None
    value = int(raster.nodata)
    return (
        f"{raster.path}: declares {value} to be no data and holds no other value but 0, so {value} is taken for building. If those "
        "pixels are no data, leave this file out; else remove the declaration, for example with gdal_edit.py -unsetnodata."
    )


def require_mask_values(path: Path, counts: np.ndarray) -> None:
    """Raise ``DataError`` when a mask's pixel counts (256,) by value name values other than 0 and 1, or 0 and 255."""
    bad = [value for value in np.flatnonzero(counts) if value not in MASK_VALUES]
    if bad:
        named = ", ".join(f"value {value} in {percent(counts[value] / counts.sum())}" for value in bad[:_SHOWN_VALUES])
        more = f" and {len(bad) - _SHOWN_VALUES} more values" if len(bad) > _SHOWN_VALUES else ""
        codes = _looks_like_classes(counts, len(bad))
        advice = f". It looks like a mask of classes. {_SAY_CLASSES}" if codes else f"{_threshold_for(counts)}. {_OF_CLASSES}"
        raise NotBuildingsError(f"{path}: mask must hold 0 and 1, or 0 and 255; it has {named} of pixels{more}{advice}")
    if counts[1] and counts[255]:
        shares = [percent(counts[value] / counts.sum()) for value in (1, 255)]
        raise DataError(
            f"{path}: mask holds 1 in {shares[0]} and 255 in {shares[1]} of pixels, and one of them is hardly building. If 255 is "
            "no data, declare it, for example with gdal_edit.py -a_nodata 255. If both are building, pass --threshold 1; if only "
            "255 is, --threshold 255."
        )


def _looks_like_classes(counts: np.ndarray, bad: int) -> bool:
    """Whether a mask has several values beside 0, and few enough to be codes. 255 is among the levels of a mask of buildings."""
    return bool(bad + (counts[1] > 0) > 1 and np.count_nonzero(counts) <= _MOST_CODES and not counts[255])


def _threshold_for(counts: np.ndarray) -> str:
    """'; pass --threshold (for example 128, ...)': half way between the values seen, so that it parts them."""
    low, *_, high = np.flatnonzero(counts).tolist() * 2
    if low == high:
        return ""
    threshold = math.ceil((low + high + 1) / 2)
    share = percent(counts[threshold:].sum() / counts.sum())
    return f"; pass --threshold (for example {threshold}, which makes {share} of them building)"


def read_mask_values(raster: Raster, window: Window | None = None) -> np.ndarray:
    """The mask's own values as (H, W) uint8, 0 where it has no data: one band, or three equal ones. ``DataError`` otherwise.

    Of a band with a colour table they are the greys that it shows.
    """
    return _mask_values_and_valid(raster, window)[0]


def read_mask_rgb(raster: Raster, window: Window | None = None) -> np.ndarray:
    """A colour-coded mask as (H, W, 3) uint8: of three bands, alpha apart, or of one with a colour table (a palette PNG)."""
    if raster.dtype == "uint8" and raster.band_count - raster.has_alpha == 3:
        return raster.read(window, range(1, 4))
    if raster.dtype == "uint8" and raster.band_count == 1 and (table := raster.colour_table()) is not None:
        return table[raster.read(window)[..., 0]]
    raise DataError(
        f"{raster.path}: mask has {raster.band_count} band{'s' * (raster.band_count > 1)} of {raster.dtype} and no colours. A "
        "palette of colours is for red, green and blue bands of uint8, or for one band with a colour table. Say "
        'what the numbers are with --palette FILE, a JSON file such as {"Building": 1}.'
    )


def _require_mask_values(raster: Raster, values: np.ndarray) -> set[int]:
    """Which of 1 and 255 are among the values. ``DataError`` for others, also where 1 and 255 were read from two windows."""
    after = values + np.uint8(1)  # 255 becomes 0, so that what may be are the three lowest numbers
    highest = int(after.max(initial=0))
    if highest > 2:
        # Row by row: bincount copies what it counts to int64, 200 MB for a scene of 5000².
        require_mask_values(raster.path, np.sum([np.bincount(row, minlength=256) for row in values], axis=0))
    found = {value for value, is_there in ((1, highest == 2), (255, after.min(initial=1) == 0)) if is_there}
    raster.seen.update(found)
    if {1, 255} <= raster.seen:
        require_mask_values(raster.path, _whole(raster).counts)
    return found


def _mask_values_and_valid(raster: Raster, window: Window | None) -> tuple[np.ndarray, np.ndarray | None]:
    values, opaque = _values_and_opaque(raster, window)
    valid = opaque
    if opaque is not None and _whole(raster).background_is_transparent:
        valid = None
    if _nodata_is_meant(raster):
        has_value = values != raster.nodata
        valid = has_value if valid is None else valid & has_value
    if values.dtype == np.int8 and (values < 0).any():
        raise DataError(f"{raster.path}: mask is {raster.dtype} and holds values below 0. Export it as uint8.")
    values = np.require(values, np.uint8, "C")  # (H, W): the other bands go
    if (levels := raster.grey_levels()) is not None:
        _require_grey(raster, values if valid is None else values[valid], levels)
        values = levels.astype(np.uint8)[values]
    for known in (opaque, valid):
        if known is not None:
            values[~known] = 0
    return values, valid


def _nodata_is_meant(raster: Raster) -> bool:
    """Whether pixels of the declared nodata value hold none."""
    if raster.nodata not in (1, 255):
        return raster.nodata not in (None, 0)
    counts = _whole(raster).counts.copy()
    counts[[0, int(raster.nodata)]] = 0
    return bool(counts.any())


def _values_and_opaque(raster: Raster, window: Window | None) -> tuple[np.ndarray, np.ndarray | None]:
    """The values as they are stored, (H, W), and which are not transparent by the file's own mask or alpha band."""
    if raster.dtype not in ("uint8", "int8", "bool"):
        raise DataError(f"{raster.path}: mask is {raster.dtype}; uint8 is expected. Export it with 8 bits.")
    bands = raster.read(window)
    if raster.has_alpha:
        opaque: np.ndarray | None = bands[..., -1] > 0
        bands = bands[..., :-1]
    else:
        opaque = raster.read_valid(window)
    count = bands.shape[2]
    if count != 1 and not (count == 3 and (bands == bands[..., :1]).all()):
        raise NotBuildingsError(
            f"{raster.path}: mask has {count} bands that differ; one band, or three equal ones, are expected. "
            f"Is it the image instead of its mask? {_OF_CLASSES}"
        )
    return bands[..., 0], opaque


@dataclass(frozen=True)
class _Whole:
    """What all opaque pixels of a mask hold: a window alone cannot say what 255 or transparency mean."""

    counts: np.ndarray
    transparent: bool
    background: int
    """How many of them show background."""

    @property
    def background_is_transparent(self) -> bool:
        """Every opaque pixel is building, so that the transparent ones are the background."""
        return self.transparent and self.background == 0 and bool(self.counts.any())


def _whole(raster: Raster) -> _Whole:
    stat = raster.path.stat()
    return _look_at_all(raster.path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)
def _look_at_all(path: Path, mtime_ns: int, size: int) -> _Whole:
    """The file is opened anew: another thread may be reading the raster that asks."""
    counts, transparent = np.zeros(256, np.int64), False
    with open_raster(path) as raster:
        for strip in raster.strips():
            values, opaque = _values_and_opaque(raster, strip)
            if opaque is not None:
                transparent |= not opaque.all()
                values = values[opaque]
            counts += np.bincount(values.astype(np.uint8).ravel(), minlength=256)
        levels = raster.grey_levels()
    return _Whole(counts, transparent, int(counts[0] if levels is None else counts[levels == 0].sum()))


def _require_grey(raster: Raster, values: np.ndarray, levels: np.ndarray) -> None:
    """Raise ``DataError`` when some of the values are shown in a colour."""
    in_colour = values[(levels < 0)[values]]
    if in_colour.size:
        table = raster.colour_table()
        assert table is not None
        raise NotBuildingsError(
            f"{raster.path}: its palette shows pixels in colours, such as {table[in_colour[0]].tolist()}, which do not say what is "
            f"building. Save it as grey, 0 and 255. {_OF_CLASSES}"
        )


def percent(share: float) -> str:
    """'12.3 %', or two significant digits below 0.1 %."""
    return f"{100 * share:.1f} %" if share >= 0.001 or share == 0 else f"{100 * share:.2g} %"
