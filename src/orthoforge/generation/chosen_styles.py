"""The look that images are asked to have: that of a place of the run, or of a reference image."""

import hashlib
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orthoforge.errors import ConfigError
from orthoforge.generation.given_masks import GivenMasks
from orthoforge.geo.grid import other_scale
from orthoforge.geo.rasters import Raster, open_raster, read_reference
from orthoforge.geo.stamps import source_sha256
from orthoforge.scenes.place_names import PlaceNames
from orthoforge.trained_generator import LEAST_REFERENCE_PX, TrainedGenerator

BY_NAME = "by-name"
EACH = "each"
# Looks of so many images are said one by one, those of more by place.
_LISTED = 20


@dataclass(frozen=True)
class Style:
    """What is said of a style in an image's tags, and what tells it from others. Both are empty for any style by the seed.

    ``each`` says that every mask has a seed of its own, and so a look.
    """

    name: str = ""
    identity: str = ""
    each: bool = False

    @property
    def tags(self) -> dict[str, str]:
        """``STYLE`` and, of what is no place of the run, ``STYLE_SHA256``."""
        if not self.name:
            return {}
        return {"STYLE": self.name} | ({"STYLE_SHA256": self.identity} if self.identity != self.name else {})


def tags_of(style: Style, generator: TrainedGenerator, seed: int) -> dict[str, str]:
    """What the image with this seed says of its style; where each mask has its own look, the place that has it."""
    return {"STYLE": generator.place_of(seed) or ""} if style.each else style.tags


def styled(generator: TrainedGenerator, style: str | Path | None) -> tuple[TrainedGenerator, Style]:
    """The generator that makes every image in ``style``, and what to say of it.

    ``style`` is one of ``generator.styles``, or else the file of a reference image. ``None`` leaves the generator as it is, and so
    does ``"each"``.

    Of a reference image the middle is looked at, ``REFERENCE_PX`` wide and high at most; where parts of that have no data, the
    largest square that has. Raises ``ConfigError`` for a name that is neither, and for a network without styles, ``DataError`` for
    a file that is no image of 8 bits in the run's bands, or has too little data.
    """
    if style is None:
        return generator, Style(*generator.own_style)
    if style == EACH:
        return generator.with_style(None), Style(each=True)
    if not generator.styles or str(style) in generator.styles:
        return generator.with_style(str(style)), Style(str(style), str(style))
    path = Path(style)
    if not path.exists():
        raise ConfigError(
            f"no style {str(style)!r}: it is neither a place of this run, which knows {', '.join(generator.styles)}, nor the file "
            "of a reference image."
        )
    with open_raster(path) as raster:
        reference = read_reference(raster, generator.bands, LEAST_REFERENCE_PX)
        _say_what_is_seen(raster, reference, generator.gsd_m)
    return generator.with_style(reference), Style(path.name, source_sha256(path))


def styles_of(generator: TrainedGenerator, masks: GivenMasks, style: str | Path | None) -> list[str | Path | None]:
    """What ``styled`` is asked for, mask by mask: ``style``, or for ``"by-name"`` the place that the mask's file is named by.

    ``places.csv`` beside the masks, or one folder above, says it for names that do not. Masks of the generator's library have the
    styles of their places where none is asked for. Raises ``ConfigError`` for a name without a style.
    """
    if style is None and masks.places:
        return list(masks.places)
    if style != BY_NAME:
        return [style] * len(masks.paths)
    names = PlaceNames.stated(None, *masks.homes)
    places = [names.key(masks.told(mask)) for mask in masks.paths]
    if nameless := [mask for mask, place in zip(masks.paths, places, strict=True) if place not in generator.styles]:
        known = ", ".join(generator.styles) or "no styles"
        raise ConfigError(
            f"{masks.told(nameless[0])}: is not named by a place of this run, which knows {known}. Rename it, as in PLACE_1.tif, "
            "say its place in a table places.csv beside it, or choose one style for all masks."
        )
    return list(places)


def seeds_of(masks: Sequence[Path], style: str | Path | None, seed: int) -> list[int]:
    """The seed of each mask: ``seed``, or for ``"each"`` one of its own, a function of ``seed`` and the file's name."""
    if style != EACH:
        return [seed] * len(masks)
    return [int.from_bytes(hashlib.sha256(f"{seed} {mask.stem}".encode()).digest()[:4]) >> 1 for mask in masks]


def say_material(generator: TrainedGenerator) -> None:
    """On stderr: how many tiles were given as material, and that the first image waits for them."""
    count = len(generator.library or ())
    places = ", ".join(generator.styles)
    print(f"material: {count} tiles of {places}; the first image takes a tenth of a second more for each", file=sys.stderr)


def say_looks(
    generator: TrainedGenerator, masks: Sequence[Path], style: str | Path | None, seeds: Sequence[int], variants: int
) -> None:
    """On stderr: which looks the seed chose, where nobody said them."""
    if style != EACH and (style is not None or len(generator.styles) < 2 or generator.own_style[0]):
        return
    looks = [[generator.place_of(seed + variant) or "" for variant in range(variants)] for seed in seeds]
    places = {place for of_mask in looks for place in of_mask}
    if style == EACH and len(places) == 1 and len(masks) > 1:
        lines = [f"looks: all {len(masks) * variants} images look like {places.pop()}, each by a seed of its own (tag SEED)."]
    elif style == EACH and len(masks) > _LISTED:
        counts = Counter(place for of_mask in looks for place in of_mask)
        words = ", ".join(f"{place} {count}" for place, count in sorted(counts.items()))
        lines = [f"looks: {words}. The tags STYLE and SEED of an image say its own."]
    elif style == EACH:
        each = zip(masks, looks, seeds, strict=True)
        lines = [f"{mask.stem}: look of {', '.join(of_mask)} (seed {seed})" for mask, of_mask, seed in each]
    else:
        whose = f", for all {len(masks)} masks" if len(masks) > 1 else ""
        lines = [
            f"look: {', '.join(looks[0])}{whose}. The seed chose it.",
            f"  --style PLACE   one of {', '.join(generator.styles)}",
            f"  --style {EACH}    a look of its own for each mask",
            f"  --style {BY_NAME} the place in the name of each mask, as in {generator.styles[0]}_1.tif",
        ]
    print("\n".join(lines), file=sys.stderr)


def _say_what_is_seen(raster: Raster, reference: np.ndarray, gsd_m: float | None) -> None:
    """On stderr: what part of the image gives the style, and that its scale is another one, where it is so."""
    whole = f"{raster.grid.width}×{raster.grid.height}"
    seen = f"{reference.shape[1]}×{reference.shape[0]}"
    words = f"style of {raster.path.name}: {'all of it' if seen == whole else f'{seen} of its {whole} px'}"
    pixel_m = raster.grid.gsd_m()
    if other_scale(pixel_m, gsd_m):
        words += f"; its pixels are {pixel_m:.3g} m, the run's {gsd_m:.3g} m, so its texture is seen at another scale"
    print(words, file=sys.stderr)
