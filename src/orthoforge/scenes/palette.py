"""Colour-coded masks: which colour stands for which class."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from orthoforge.errors import DataError
from orthoforge.files import no_such_file, require_end
from orthoforge.geo.rasters import percent

Colour = tuple[int, int, int]
# An entry of that name adds a colour to another class: '(also seen, treat as Unlabeled)' in the Dubai data set.
_ALIAS = re.compile(r"treat(?:ed)?\s+as\s+(?P<name>.+?)\s*\)?\s*$", re.IGNORECASE)
_SHOWN_COLOURS = 4
_UNKNOWN = 255


@dataclass(frozen=True)
class Palette:
    """Class names, and each colour with the index of its class; a class may have several colours."""

    names: tuple[str, ...]
    colours: dict[Colour, int]

    @staticmethod
    def of(names: Sequence[str], colours: Sequence[Sequence[Sequence[int]]]) -> "Palette":
        """A palette from plain values: names, and of each the list of its colours (as in ``store.json``)."""
        return Palette(tuple(names), {(r, g, b): index for index, of_class in enumerate(colours) for r, g, b in of_class})

    @cached_property
    def building_index(self) -> int | None:
        """The class named 'building', else the first whose name contains it, in any case; ``None`` without one."""
        found = [index for index, name in enumerate(self.names) if "building" in name.lower()]
        exact = [index for index in found if self.names[index].lower() in ("building", "buildings")]
        return next(iter(exact + found), None)


def load_palette(path: Path) -> Palette:
    """A palette from a JSON file of ``{"Building": [60, 16, 152], …}``.

    A key that ends in 'treat as NAME' gives the class NAME one more colour. ``DataError`` says what is wrong otherwise.
    """
    path = Path(path)
    try:
        require_end(path)
        entries = json.loads(path.read_text("utf-8"), object_pairs_hook=list)
    except FileNotFoundError:
        raise DataError(no_such_file(path)) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f'{path}: not a readable palette ({error}). {{"Building": [60, 16, 152], …}} is expected.') from error
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, tuple) for entry in entries):
        raise DataError(f'{path}: not a palette; {{"Building": [60, 16, 152], …}} is expected.')
    aliases = {name: match["name"] for name, _ in entries if (match := _ALIAS.search(name))}
    names = [name for name, _ in entries if name not in aliases]
    if len(set(names)) < len(names):
        raise DataError(f"{path}: {next(name for name in names if names.count(name) > 1)!r} is there twice.")
    if len(names) > _UNKNOWN:
        raise DataError(f"{path}: {len(names)} classes; {_UNKNOWN} at most are taken.")
    colours: dict[Colour, int] = {}
    for name, value in entries:
        colour = _colour(path, name, value)
        meant = aliases.get(name, name)
        if meant not in names:
            raise DataError(f"{path}: {name!r} refers to {meant!r}, which is not in it. It has {', '.join(names)}.")
        if colours.setdefault(colour, names.index(meant)) != names.index(meant):
            raise DataError(f"{path}: {list(colour)} stands for both {names[colours[colour]]!r} and {meant!r}.")
    return Palette(tuple(names), colours)


def classes_from_palette(rgb: np.ndarray, palette: Palette, path: object = "mask") -> np.ndarray:
    """Class indices (H, W) uint8 of a colour-coded mask (H, W, 3).

    ``DataError`` names the colours that the palette lacks, and their share. ``path`` is for that message.
    """
    classes, unknown = sort_colours(rgb, palette)
    require_known(path, unknown, classes.size)
    return classes


def sort_colours(rgb: np.ndarray, palette: Palette) -> tuple[np.ndarray, Counter[Colour]]:
    """Class indices (H, W), 255 where the palette lacks the colour, and the count of pixels of each such colour."""
    packed = _packed(rgb)
    classes = np.full(packed.shape, _UNKNOWN, np.uint8)
    for colour, index in palette.colours.items():
        classes[packed == _packed(np.array(colour, np.uint8))] = index
    codes, counts = np.unique(packed[classes == _UNKNOWN], return_counts=True)
    unknown = {(int(code) >> 16, int(code) >> 8 & 255, int(code) & 255): int(n) for code, n in zip(codes, counts, strict=True)}
    return classes, Counter(unknown)


def require_known(path: object, unknown: Counter[Colour], pixels: int) -> None:
    """Raise ``DataError`` naming the commonest colours that a palette lacks, and the share of ``pixels`` they have."""
    if not unknown:
        return
    named = ", ".join(f"{list(colour)} in {percent(n / pixels)}" for colour, n in unknown.most_common(_SHOWN_COLOURS))
    more = len(unknown) - _SHOWN_COLOURS
    tail = f" and {more} more colours, {percent(unknown.total() / pixels)} in all" if more > 0 else ""
    raise DataError(f"{path}: colours that are not in the palette: {named} of pixels{tail}. Add them to the palette file.")


def _packed(rgb: np.ndarray) -> np.ndarray:
    """Red, green and blue as one number a pixel."""
    wide = rgb.astype(np.uint32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def _colour(path: Path, name: str, value: Any) -> Colour:
    whole = isinstance(value, list) and all(isinstance(part, int) and not isinstance(part, bool) for part in value)
    if not whole or len(value) != 3 or not all(0 <= part <= 255 for part in value):
        raise DataError(f"{path}: {name!r} is {value!r}; red, green and blue from 0 to 255 are expected, as [60, 16, 152].")
    return value[0], value[1], value[2]
