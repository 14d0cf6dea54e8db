"""Masks of classes in files that mean something else to whoever reads them: buildings alone, or the classes of a run."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from orthoforge.errors import ConfigError
from orthoforge.masks.classes import BUILDING, Classes


@dataclass(frozen=True)
class Coding:
    """How files code classes, and what each ``becomes``: 0 or 255 in a mask of buildings, or the index of another class."""

    palette: Classes
    becomes: tuple[int, ...]

    @staticmethod
    def of_plain(plain: Mapping[str, Any] | None) -> "Coding | None":
        """From what ``plain`` gave."""
        if plain is None:
            return None
        palette = Classes.of_plain(plain["palette"])
        assert palette is not None
        return Coding(palette, tuple(plain["becomes"]))

    def plain(self) -> dict[str, Any]:
        """As ``of_plain`` takes it."""
        return {"palette": self.palette.plain(), "becomes": list(self.becomes)}

    def translated(self, indices: np.ndarray) -> np.ndarray:
        """Indices of the palette's classes (H, W) as what they become, (H, W) uint8. What no class has becomes 0."""
        return self._table[indices]

    @cached_property
    def _table(self) -> np.ndarray:
        table = np.zeros(256, np.uint8)
        table[: len(self.becomes)] = self.becomes
        return table


def buildings_of(palette: Classes | None, names: Sequence[str]) -> Coding:
    """Those of ``names`` are building, everything else is not. Without a palette the names are values of a mask of one band.

    Without names, building is the class that is called so. Raises ``ConfigError`` for a name that is no class, for no such class,
    and for a word that is no value.
    """
    if palette is None:
        return _values_are_building(names)
    if not names:
        if palette.building is None:
            raise ConfigError(
                f"which class is building? None of {', '.join(palette.names)} is called so. Name one or more with --building."
            )
        names = (palette.names[palette.building],)
    chosen = {_index(palette, name) for name in names}
    return Coding(palette, tuple(BUILDING if index in chosen else 0 for index in range(palette.count)))


def same_classes(palette: Classes, classes: Classes) -> Coding | None:
    """Each class of the palette becomes that of ``classes`` with its name; ``None`` where both are coded alike.

    ``ConfigError`` names the classes of the palette that are not among ``classes``.
    """
    if palette == classes:
        return None
    known = {name.lower(): index for index, name in enumerate(classes.names)}
    unknown = [name for name in palette.names if name.lower() not in known]
    if unknown:
        raise ConfigError(
            f"the run does not know {', '.join(map(repr, unknown))}, which the palette names; it was trained on "
            f"{', '.join(classes.names)}. Call the palette's classes so; several of its colours and values may be one class: "
            f'"treat as {classes.names[-1]}".'
        )
    return Coding(palette, tuple(known[name.lower()] for name in palette.names))


def _values_are_building(names: Sequence[str]) -> Coding:
    chosen = set()
    for name in names:
        if not (name.isdecimal() and int(name) <= 255):
            raise ConfigError(
                f"--building {name}: is no value of a mask, 0 to 255. To name a class, say with --palette what the values or "
                "colours of the mask stand for."
            )
        chosen.add(int(name))
    others = tuple(value for value in range(256) if value not in chosen)
    return Coding(Classes(("other", "building"), ((), ()), (others, tuple(sorted(chosen)))), (0, BUILDING))


def _index(palette: Classes, name: str) -> int:
    lower = [known.lower() for known in palette.names]
    if name.lower() in lower:
        return lower.index(name.lower())
    close = difflib.get_close_matches(name.lower(), lower, n=1)
    guess = f" Did you mean {palette.names[lower.index(close[0])]!r}?" if close else ""
    raise ConfigError(f"--building {name}: no class of the palette is called so.{guess} It has {', '.join(palette.names)}.")
