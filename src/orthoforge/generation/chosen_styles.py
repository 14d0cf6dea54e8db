"""The look that images are asked to have: that of a place of the run, or of a reference image."""

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orthoforge.errors import ConfigError, DataError
from orthoforge.generation.scene_masks import other_scale
from orthoforge.geo.grid import Window
from orthoforge.geo.rasters import Raster, open_raster, read_image
from orthoforge.geo.stamps import source_sha256
from orthoforge.models.styles import bank_of
from orthoforge.scenes.sources import place_key
from orthoforge.trained_generator import LEAST_REFERENCE_PX, TrainedGenerator

BY_NAME = "by-name"
# A style is a mean over the image: more than its middle changes it little, and would need memory for all of it.
REFERENCE_PX = 1024
# Parts of a reference image are left out by cells of this side, where more than a tenth has no data: a black pixel is often real.
_CELL_PX = 16
_VOID_SHARE = 0.1


@dataclass(frozen=True)
class Style:
    """What is said of a style in an image's tags, and what tells it from others. Both are empty for any style by the seed."""

    name: str = ""
    identity: str = ""

    @property
    def tags(self) -> dict[str, str]:
        """``STYLE`` and, of what is no place of the run, ``STYLE_SHA256``."""
        if not self.name:
            return {}
        return {"STYLE": self.name} | ({"STYLE_SHA256": self.identity} if self.identity != self.name else {})


def styled(generator: TrainedGenerator, style: str | Path | None) -> tuple[TrainedGenerator, Style]:
    """The generator that makes every image in ``style``, and what to say of it.

    ``style`` is one of ``generator.styles``, or else the file of a reference image. ``None`` leaves the generator as it is.

    Of a reference image the middle is looked at, ``REFERENCE_PX`` wide and high at most; where parts of that have no data, the
    largest square that has. Raises ``ConfigError`` for a name that is neither, and for a network without styles, ``DataError`` for
    a file that is no image of 8 bits in the run's bands, or has too little data.
    """
    if style is None:
        return generator, own_style(generator)
    if not generator.styles or str(style) in generator.styles:
        return generator.with_style(str(style)), Style(str(style), str(style))
    path = Path(style)
    if not path.exists():
        raise ConfigError(
            f"no style {str(style)!r}: it is neither a place of this run, which knows {', '.join(generator.styles)}, nor the file "
            "of a reference image."
        )
    with open_raster(path) as raster:
        reference = _reference(raster, generator.bands)
        _say_what_is_seen(raster, reference, generator.gsd_m)
    return generator.with_style(reference), Style(path.name, source_sha256(path))


def styles_of(generator: TrainedGenerator, masks: Sequence[Path], style: str | Path | None) -> list[str | Path | None]:
    """What ``styled`` is asked for, mask by mask: ``style``, or for ``"by-name"`` the place that the mask's file is named by.

    Where several masks get one look of which nobody said which, stderr does. Raises ``ConfigError`` for a name without a style.
    """
    if style != BY_NAME:
        if style is None and len(masks) > 1 and len(generator.styles) > 1 and not own_style(generator).name:
            print(
                f"all {len(masks)} masks get one look, by the seed; --style chooses it ({', '.join(generator.styles)}), and "
                f"--style {BY_NAME} takes each mask's place from its name",
                file=sys.stderr,
            )
        return [style] * len(masks)
    places = [place_key(mask.stem) for mask in masks]
    if nameless := [mask for mask, place in zip(masks, places, strict=True) if place not in generator.styles]:
        raise ConfigError(
            f"{nameless[0]}: is not named by a place of this run, which knows {', '.join(generator.styles) or 'no styles'}. Rename "
            "it, as in PLACE_1.tif, or choose one style for all masks."
        )
    return list(places)


def own_style(generator: TrainedGenerator) -> Style:
    """That of a generator which was given one before it came here."""
    if not generator.styles:
        return Style()
    bank = bank_of(generator.network)
    assert bank is not None
    if bank.fixed is not None:
        return Style("reference image", hashlib.sha256(bank.fixed.code.cpu().numpy().tobytes()).hexdigest())
    place = "" if bank.place is None else generator.styles[bank.place]
    return Style(place, place)


def _reference(raster: Raster, bands: int) -> np.ndarray:
    """What is looked at of a reference image, (H, W, B) uint8."""
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
    if min(pixels.shape[:2]) < LEAST_REFERENCE_PX:
        data = " with data in its middle" if valid is not None else ""
        raise DataError(
            f"{raster.path}: has {pixels.shape[1]}×{pixels.shape[0]} px{data}; a reference image needs {LEAST_REFERENCE_PX} px or "
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


def _say_what_is_seen(raster: Raster, reference: np.ndarray, gsd_m: float | None) -> None:
    """On stderr: what part of the image gives the style, and that its scale is another one, where it is so."""
    whole = f"{raster.grid.width}×{raster.grid.height}"
    seen = f"{reference.shape[1]}×{reference.shape[0]}"
    words = f"style of {raster.path.name}: {'all of it' if seen == whole else f'{seen} of its {whole} px'}"
    pixel_m = raster.grid.gsd_m()
    if other_scale(pixel_m, gsd_m):
        words += f"; its pixels are {pixel_m:.3g} m, the run's {gsd_m:.3g} m, so its texture is seen at another scale"
    print(words, file=sys.stderr)
