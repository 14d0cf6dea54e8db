"""What the pixels of a mask stand for: classes by index, each with a name and its colours or values."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from orthoforge.errors import DataError
from orthoforge.files import no_such_file, require_end
from orthoforge.geo.rasters import percent

Colour = tuple[int, int, int]
# What a pixel holds: a colour, or the one value of a mask with a single band.
Code = tuple[int, ...]
# What building is in a mask that knows nothing else.
BUILDING = 255
# An entry of that name adds a colour to another class: '(also seen, treat as Unlabeled)' in the Dubai data set.
_ALIAS = re.compile(r"treat(?:ed)?\s+as\s+(?P<name>.+?)\s*\)?\s*$", re.IGNORECASE)
_SHOWN_COLOURS = 4
# Of classes that have values alone, in pictures: told apart also by those who see no red or green (Okabe and Ito 2008).
_SHOWN: tuple[Colour, ...] = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167), (153, 153, 153),
)  # fmt: skip
_UNKNOWN = 255


@dataclass(frozen=True)
class Classes:
    """The classes of a mask by index: their names, and of each the colours that it has in files. Masks of buildings have none.

    ``values`` are those that each class has in masks of one band; empty where the palette names none.
    """

    names: tuple[str, ...]
    colours: tuple[tuple[Colour, ...], ...]
    values: tuple[tuple[int, ...], ...] = ()

    @staticmethod
    def of_plain(plain: Mapping[str, Any] | None) -> "Classes | None":
        """From the names and lists of colours that ``store.json`` and ``state.json`` hold; ``None`` for masks of buildings."""
        if plain is None:
            return None
        colours = tuple(tuple((r, g, b) for r, g, b in of_class) for of_class in plain["colours"])
        return Classes(tuple(plain["names"]), colours, tuple(map(tuple, plain.get("values", ()))))

    def plain(self) -> dict[str, list[Any]]:
        """As ``of_plain`` takes it."""
        values: dict[str, list[Any]] = {"values": [list(of_class) for of_class in self.values]} if self.values else {}
        colours = [[list(colour) for colour in of_class] for of_class in self.colours]
        return {"names": list(self.names), "colours": colours, **values}

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

    @cached_property
    def index_of_value(self) -> dict[int, int]:
        """The class of each value."""
        return {value: index for index, of_class in enumerate(self.values) for value in of_class}

    def indices(self, codes: np.ndarray, path: object = "mask") -> np.ndarray:
        """Class indices (H, W) uint8 of a mask of colours (H, W, 3) or of values (H, W, 1).

        ``DataError`` names the colours or values that no class has, and their share. ``path`` is for that message.
        """
        indices, unknown = self.sort(codes)
        require_known(path, unknown, indices.size)
        return indices

    def sort(self, codes: np.ndarray) -> tuple[np.ndarray, Counter[Code]]:
        """Class indices (H, W), 255 where no class has the code, and the count of pixels of each such code."""
        in_colour = codes.shape[-1] == 3
        packed = _packed(codes) if in_colour else codes[..., 0]
        known = {_packed(np.array(colour)).item(): index for colour, index in self.index_of.items()}
        indices = np.full(packed.shape, _UNKNOWN, np.uint8)
        for code, index in (known if in_colour else self.index_of_value).items():
            indices[packed == code] = index
        left, counts = np.unique(packed[indices == _UNKNOWN], return_counts=True)
        unknown: Counter[Code] = Counter()
        for code, pixels in zip(left.tolist(), counts.tolist(), strict=True):
            unknown[(code >> 16, code >> 8 & 255, code & 255) if in_colour else (code,)] = pixels
        return indices, unknown

    def rgb(self, mask: np.ndarray) -> np.ndarray:
        """Class indices (…, H, W) as a picture (…, H, W, 3) of each class's first colour, or one of our own where it has none."""
        shown = [next(iter(of_class), _SHOWN[index % len(_SHOWN)]) for index, of_class in enumerate(self.colours)]
        return np.array(shown, np.uint8)[mask]


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

    For masks of one band it gives values, ``{"Building": 1, …}``, or both,
    ``{"Building": {"colour": [60, 16, 152], "value": 1}, …}``. A key that ends in 'treat as NAME' gives the class NAME one
    more of them. ``DataError`` says what is wrong otherwise.
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
    index_of_value: dict[int, int] = {}
    for name, entry in entries:
        colour, value = _codes(path, name, entry)
        meant = aliases.get(name, name)
        if meant not in names:
            raise DataError(f"{path}: {name!r} refers to {meant!r}, which is not in it. It has {', '.join(names)}.")
        index = names.index(meant)
        if colour is not None and index_of.setdefault(colour, index) != index:
            raise DataError(f"{path}: {list(colour)} stands for both {names[index_of[colour]]!r} and {meant!r}.")
        if value is not None and index_of_value.setdefault(value, index) != index:
            raise DataError(f"{path}: {value} stands for both {names[index_of_value[value]]!r} and {meant!r}.")
    values = _by_class(index_of_value, len(names)) if index_of_value else ()
    return Classes(tuple(names), _by_class(index_of, len(names)), values)


def palette_of(classes: Classes) -> dict[str, Any]:
    """As a palette file holds them (``load_classes``): the first colour and value of each class."""
    values = classes.values or ((),) * classes.count
    found: dict[str, Any] = {}
    for name, colours, own in zip(classes.names, classes.colours, values, strict=True):
        found[name] = ({"colour": list(colours[0])} if colours else {}) | ({"value": own[0]} if own else {})
    return found


def require_known(path: object, unknown: Counter[Code], pixels: int) -> None:
    """Raise ``DataError`` naming the commonest colours or values that a palette lacks, and the share of ``pixels`` they have."""
    if not unknown:
        return
    commonest = unknown.most_common(_SHOWN_COLOURS)
    kind = "colours" if len(commonest[0][0]) == 3 else "values"
    named = ", ".join(f"{list(code) if kind == 'colours' else code[0]} in {percent(n / pixels)}" for code, n in commonest)
    more = len(unknown) - _SHOWN_COLOURS
    tail = f" and {more} more {kind}, {percent(unknown.total() / pixels)} in all" if more > 0 else ""
    raise DataError(f"{path}: {kind} that are not in the palette: {named} of pixels{tail}. Add them to the palette file.")


def _entries(path: Path) -> list[tuple[str, Any]]:
    """What a palette file holds, entries of the same name included."""
    try:
        require_end(path)
        entries = json.loads(path.read_text("utf-8"), object_pairs_hook=list)
    except FileNotFoundError:
        raise DataError(no_such_file(path)) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f'{path}: not a readable palette ({error}). {{"Building": [60, 16, 152], …}} is expected.') from error
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, tuple) for entry in entries):
        raise DataError(f'{path}: not a palette; {{"Building": [60, 16, 152], …}} is expected.')
    return entries


def _packed(rgb: np.ndarray) -> np.ndarray:
    """Red, green and blue as one number a pixel."""
    wide = rgb.astype(np.uint32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


_T = TypeVar("_T")


def _by_class(index_of: Mapping[_T, int], count: int) -> tuple[tuple[_T, ...], ...]:
    return tuple(tuple(code for code, of in index_of.items() if of == index) for index in range(count))


def _codes(path: Path, name: str, entry: Any) -> tuple[Colour | None, int | None]:
    """The colour and the value that an entry of a palette gives: either, or both."""
    if _is_byte(entry):
        return None, entry
    if not (isinstance(entry, list) and entry and all(isinstance(part, tuple) for part in entry)):
        return _colour(path, name, entry), None
    both = dict(entry)
    if not both.keys() <= {"colour", "value"} or len(both) < len(entry) or not ("value" not in both or _is_byte(both["value"])):
        raise DataError(f'{path}: {name!r} is {both!r}; {{"colour": [60, 16, 152], "value": 1}} or one of both is expected.')
    return _colour(path, name, both["colour"]) if "colour" in both else None, both.get("value")


def _is_byte(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255


def _colour(path: Path, name: str, value: Any) -> Colour:
    if not isinstance(value, list) or len(value) != 3 or not all(map(_is_byte, value)):
        raise DataError(f"{path}: {name!r} is {value!r}; red, green and blue from 0 to 255 are expected, as [60, 16, 152].")
    return value[0], value[1], value[2]
