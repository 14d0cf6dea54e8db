"""The town or site that a scene belongs to: by its name, or as a table states it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orthoforge.geo.name_table import Told, first_fitting, fits, rules_of

TABLE = "places.csv"
"""A table of this name in a folder of data is used without being named."""
_TOLD = Told(
    "place",
    "Each line is a name or a pattern, a comma, and a place: rf_0*,village. A place is a word that does not end in a number.",
    "--places takes a table of names and places.",
)
_LONGEST = 80


@dataclass(frozen=True)
class PlaceNames:
    """Pairs of a name pattern (``rf_0*``) and a place. The first pattern that fits a file's name decides."""

    rules: tuple[tuple[str, str], ...] = ()

    @staticmethod
    def stated(table: str | Path | None, *folders: Path) -> "PlaceNames":
        """What ``--places`` says: the path of a table. ``None`` looks for ``places.csv`` in ``folders``.

        Raises ``DataError`` for a table that cannot be read.
        """
        found = next((folder / TABLE for folder in folders if (folder / TABLE).is_file()), None) if table is None else Path(table)
        return PlaceNames(rules_of(found, _place, _TOLD)) if found else PlaceNames()

    @staticmethod
    def of_plain(plain: Sequence[Sequence[str]] | None) -> "PlaceNames":
        """From what ``plain`` gave."""
        return PlaceNames(tuple((pattern, place) for pattern, place in plain or ()))

    @property
    def plain(self) -> list[list[str]]:
        """The rules as plain values."""
        return [list(rule) for rule in self.rules]

    def of(self, path: Path) -> str | None:
        """The place that is stated for the file ``path``, by its name with or without the suffix; ``None`` where none is."""
        return first_fitting(self.rules, path)

    def key(self, path: Path) -> str:
        """The place of the file ``path``: as it is stated, else by its name (``place_key``)."""
        return self.of(path) or place_key(path.stem)

    def unused(self, paths: Sequence[Path]) -> list[str]:
        """Patterns that fit none of the files."""
        return [pattern for pattern, _ in self.rules if not any(fits(pattern, path) for path in paths)]


def place_of(name: str) -> str:
    """The place in a scene's name: 'austin12' → 'austin', 'banepa_core_386690_220241' → 'banepa_core'. Never empty."""
    return re.sub(r"(?:[-_.\s]*\d)+\Z", "", name) or name


def place_key(name: str) -> str:
    """The same, but one place for all scenes whose names have no letter: "scenes"."""
    place = place_of(name)
    return place if any(char.isalpha() for char in place) else "scenes"


def _place(text: str) -> str | None:
    """A place, which names of new masks begin with and are known by: ``village_1001``."""
    is_word = re.fullmatch(r"[\w. -]+", text) and not text.startswith(".") and len(text) <= _LONGEST
    return text if is_word and place_key(f"{text}_1") == text else None
