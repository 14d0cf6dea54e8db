"""What the pixels of a mask stand for: buildings, or classes by index, each with a name and its colours or values; and rasters that
are read as that."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from orthoforge.errors import DataError
from orthoforge.geo.rasters import (
    percent,
)

Colour = tuple[int, int, int]
# What a pixel holds: a colour, or the one value of a mask with a single band.
Code = tuple[int, ...]
# What building is in a mask that knows nothing else.
BUILDING = 255
_SHOWN_COLOURS = 4
# Of classes that have values alone, in pictures: told apart also by those who see no red or green (Okabe and Ito 2008).
_SHOWN: tuple[Colour, ...] = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167), (153, 153, 153),
)  # fmt: skip
_UNKNOWN = 255


@dataclass(frozen=True)
class Classes:
    """The classes of a mask, by index: the name of each, and the colours that it has in files. Masks of buildings have none.

    ``colours`` has a tuple of (red, green, blue) for each class. ``values`` are the numbers that each class has in masks of one
    band; it is empty where the palette names none.

    Examples:
        >>> import numpy as np
        >>> from orthoforge import Classes
        >>> classes = Classes(names=("ground", "building"), colours=(((0, 0, 0),), ((255, 0, 0),)))
        >>> classes.count, classes.building
        (2, 1)
        >>> classes.rgb(np.array([[0, 1]], np.uint8)).tolist()  # (H, W) to (H, W, 3)
        [[[0, 0, 0], [255, 0, 0]]]
    """

    names: tuple[str, ...]
    colours: tuple[tuple[Colour, ...], ...]
    values: tuple[tuple[int, ...], ...] = ()

    @staticmethod
    def of_plain(plain: Mapping[str, Any] | None) -> "Classes | None":
        """The classes from the names and lists of colours that ``store.json`` and ``state.json`` hold. ``None`` for masks of
        buildings.
        """
        if plain is None:
            return None
        colours = tuple(tuple((r, g, b) for r, g, b in of_class) for of_class in plain["colours"])
        return Classes(tuple(plain["names"]), colours, tuple(map(tuple, plain.get("values", ()))))

    def plain(self) -> dict[str, list[Any]]:
        """The names, colours and values as lists, as ``of_plain`` takes them."""
        values: dict[str, list[Any]] = {"values": [list(of_class) for of_class in self.values]} if self.values else {}
        colours = [[list(colour) for colour in of_class] for of_class in self.colours]
        return {"names": list(self.names), "colours": colours, **values}

    @property
    def count(self) -> int:
        """The number of classes."""
        return len(self.names)

    @cached_property
    def building(self) -> int | None:
        """Index of the class named 'building', in any case. If there is none, that of the first class whose name contains it, or
        ``None``.
        """
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
        if in_colour:
            indices = np.full(packed.shape, _UNKNOWN, np.uint8)
            for colour, index in self.index_of.items():
                indices[packed == _packed(np.array(colour)).item()] = index
        else:
            table = np.full(256, _UNKNOWN, np.uint8)
            table[list(self.index_of_value)] = list(self.index_of_value.values())
            indices = table[packed]
        left, counts = np.unique(packed[indices == _UNKNOWN], return_counts=True)
        unknown: Counter[Code] = Counter()
        for code, pixels in zip(left.tolist(), counts.tolist(), strict=True):
            unknown[(code >> 16, code >> 8 & 255, code & 255) if in_colour else (code,)] = pixels
        return indices, unknown

    def codes(self, mask: np.ndarray) -> np.ndarray:
        """Class indices (H, W) as a file holds them that ``indices`` reads: values (H, W) where all have one, else colours."""
        if self.values and all(self.values):
            return np.array([of_class[0] for of_class in self.values], np.uint8)[mask]
        return self.rgb(mask)

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


NAME_THEM = "Say what they are with --palette FILE, or add them to that file."


def require_known(path: object, unknown: Counter[Code], pixels: int) -> None:
    """Raise ``DataError`` naming the commonest colours or values that a palette lacks, and the share of ``pixels`` they have."""
    if not unknown:
        return
    commonest = unknown.most_common(_SHOWN_COLOURS)
    kind = "colours" if len(commonest[0][0]) == 3 else "values"
    named = ", ".join(f"{list(code) if kind == 'colours' else code[0]} in {percent(n / pixels)}" for code, n in commonest)
    more = len(unknown) - _SHOWN_COLOURS
    tail = f" and {more} more {kind}, {percent(unknown.total() / pixels)} in all" if more > 0 else ""
    raise DataError(f"{path}: {kind} that are not in the palette: {named} of pixels{tail}. {NAME_THEM}")


def _packed(rgb: np.ndarray) -> np.ndarray:
    """Red, green and blue as one number a pixel."""
    wide = rgb.astype(np.uint32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
