"""What the pixels of a mask stand for: classes by index, each with a name and its colours."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from orthoforge.errors import DataError
from orthoforge.files import no_such_file
from orthoforge.geo.rasters import percent

Colour = tuple[int, int, int]
# What building is in a mask that knows nothing else.
BUILDING = 255
# An entry of that name adds a colour to another class: '(also seen, treat as Unlabeled)' in the Dubai data set.
_ALIAS = re.compile(r"treat(?:ed)?\s+as\s+(?P<name>.+?)\s*\)?\s*$", re.IGNORECASE)
_SHOWN_COLOURS = 4
_UNKNOWN = 255


@dataclass(frozen=True)
class Classes:
    """The classes of a mask by index: their names, and of each the colours that it has in files. Masks of buildings have none."""

    names: tuple[str, ...]
    colours: tuple[tuple[Colour, ...], ...]

    @staticmethod
    def of_plain(plain: Mapping[str, Any] | None) -> "Classes | None":
        """From the names and lists of colours that ``store.json`` and ``state.json`` hold; ``None`` for masks of buildings."""
        if plain is None:
            return None
        colours = tuple(tuple((r, g, b) for r, g, b in of_class) for of_class in plain["colours"])
        return Classes(tuple(plain["names"]), colours)

    def plain(self) -> dict[str, list[Any]]:
        """As ``of_plain`` takes it."""
        return {"names": list(self.names), "colours": [[list(colour) for colour in of_class] for of_class in self.colours]}

    @property
    def count(self) -> int:
        """How many classes."""
        return len(self.names)

    @cached_property
    def building(self) -> int | None:
        """Index of the class named 'building', else of the first whose name contains it, in any case; ``None`` without one."""
        found = [index for index, name in enumerate(self.names) if "building" in name.lower()]
        exact = [index for index in found if self.names[index].lower() in ("building", "buildings")]
        return next(iter(exact + found), None)

    @cached_property
    def index_of(self) -> dict[Colour, int]:
        """The class of each colour."""
        return {colour: index for index, of_class in enumerate(self.colours) for colour in of_class}

    def indices(self, rgb: np.ndarray, path: object = "mask") -> np.ndarray:
        """Class indices (H, W) uint8 of a colour-coded mask (H, W, 3).

        ``DataError`` names the colours that no class has, and their share. ``path`` is for that message.
        """
        indices, unknown = self.sort(rgb)
        require_known(path, unknown, indices.size)
        return indices

    def sort(self, rgb: np.ndarray) -> tuple[np.ndarray, Counter[Colour]]:
        """Class indices (H, W), 255 where no class has the colour, and the count of pixels of each such colour."""
        packed = _packed(rgb)
        indices = np.full(packed.shape, _UNKNOWN, np.uint8)
        for colour, index in self.index_of.items():
            indices[packed == _packed(np.array(colour, np.uint8))] = index
        codes, counts = np.unique(packed[indices == _UNKNOWN], return_counts=True)
        unknown = {(int(code) >> 16, int(code) >> 8 & 255, int(code) & 255): int(n) for code, n in zip(codes, counts, strict=True)}
        return indices, Counter(unknown)

    def rgb(self, mask: np.ndarray) -> np.ndarray:
        """Class indices (…, H, W) as a picture (…, H, W, 3) of each class's first colour."""
        return np.array([of_class[0] for of_class in self.colours], np.uint8)[mask]


def plain_classes(classes: Classes | None) -> dict[str, list[Any]] | None:
    """``Classes.plain``; ``None`` for masks of buildings."""
    return None if classes is None else classes.plain()


def class_count(classes: Classes | None) -> int | None:
    """How many classes a mask has; ``None`` for one of buildings."""
    return None if classes is None else classes.count


def building_value(classes: Classes | None) -> int | None:
    """What building is in a mask: 255, or the index of the class; ``None`` where no class is called building."""
    return BUILDING if classes is None else classes.building


def load_classes(path: Path) -> Classes:
    """The classes of a palette: a JSON file of ``{"Building": [60, 16, 152], …}``.

    A key that ends in 'treat as NAME' gives the class NAME one more colour. ``DataError`` says what is wrong otherwise.
    """
    path = Path(path)
    entries = _entries(path)
    aliases = {name: match["name"] for name, _ in entries if (match := _ALIAS.search(name))}
    names = [name for name, _ in entries if name not in aliases]
    if len(set(names)) < len(names):
        raise DataError(f"{path}: {next(name for name in names if names.count(name) > 1)!r} is there twice.")
    if len(names) > _UNKNOWN:
        raise DataError(f"{path}: {len(names)} classes; {_UNKNOWN} at most are taken.")
    index_of: dict[Colour, int] = {}
    for name, value in entries:
        colour = _colour(path, name, value)
        meant = aliases.get(name, name)
        if meant not in names:
            raise DataError(f"{path}: {name!r} refers to {meant!r}, which is not in it. It has {', '.join(names)}.")
        if index_of.setdefault(colour, names.index(meant)) != names.index(meant):
            raise DataError(f"{path}: {list(colour)} stands for both {names[index_of[colour]]!r} and {meant!r}.")
    colours = tuple(tuple(colour for colour, of in index_of.items() if of == index) for index in range(len(names)))
    return Classes(tuple(names), colours)


def require_known(path: object, unknown: Counter[Colour], pixels: int) -> None:
    """Raise ``DataError`` naming the commonest colours that a palette lacks, and the share of ``pixels`` they have."""
    if not unknown:
        return
    named = ", ".join(f"{list(colour)} in {percent(n / pixels)}" for colour, n in unknown.most_common(_SHOWN_COLOURS))
    more = len(unknown) - _SHOWN_COLOURS
    tail = f" and {more} more colours, {percent(unknown.total() / pixels)} in all" if more > 0 else ""
    raise DataError(f"{path}: colours that are not in the palette: {named} of pixels{tail}. Add them to the palette file.")


def _entries(path: Path) -> list[tuple[str, Any]]:
    """What a palette file holds, entries of the same name included."""
    try:
        entries = json.loads(path.read_text("utf-8"), object_pairs_hook=list)
    except FileNotFoundError:
        raise DataError(no_such_file(path)) from None
    except (OSError, ValueError) as error:
        raise DataError(f'{path}: not a readable palette ({error}). {{"Building": [60, 16, 152], …}} is expected.') from error
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, tuple) for entry in entries):
        raise DataError(f'{path}: not a palette; {{"Building": [60, 16, 152], …}} is expected.')
    return entries


def _packed(rgb: np.ndarray) -> np.ndarray:
    """Red, green and blue as one number a pixel."""
    wide = rgb.astype(np.uint32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def _colour(path: Path, name: str, value: Any) -> Colour:
    whole = isinstance(value, list) and all(isinstance(part, int) and not isinstance(part, bool) for part in value)
    if not whole or len(value) != 3 or not all(0 <= part <= 255 for part in value):
        raise DataError(f"{path}: {name!r} is {value!r}; red, green and blue from 0 to 255 are expected, as [60, 16, 152].")
    return value[0], value[1], value[2]
