"""Which layer of a file holds the buildings."""

import re
from pathlib import Path

from orthoforge.errors import DataError
from orthoforge.vectors.limits import shown

_BUILDINGS = re.compile("building|footprint", re.IGNORECASE)
_LISTED_CHARACTERS = 2000


def choose(path: Path, names: list[str], asked: str | None, *, every: list[str] | None = None) -> str:
    """The layer that was asked for, or the only one of ``names``, or the only one of them that speaks of buildings.

    ``every`` are the layers that may be asked for. ``DataError`` lists them where none can be chosen.
    """
    every = names if every is None else every
    if asked is not None:
        if asked not in every:
            raise DataError(f"{path}: has no layer {asked!r}; it has {shown(', '.join(every), _LISTED_CHARACTERS)}.")
        return asked
    if len(names) == 1:
        return names[0]
    of_buildings = [name for name in names if _BUILDINGS.search(name)]
    if len(of_buildings) == 1:
        return of_buildings[0]
    if not names:
        raise DataError(f"{path}: has no layer of polygons; it has {shown(', '.join(every) or 'no layer', _LISTED_CHARACTERS)}.")
    listed = shown(", ".join(names), _LISTED_CHARACTERS)
    raise DataError(f"{path}: has {len(names)} layers of polygons; say with --layer which one holds the buildings: {listed}.")
