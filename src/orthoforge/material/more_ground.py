"""More ground: the same tiles turned by right angles and mirrored, so that less of it comes again and more of it goes on."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from orthoforge.material.library import Library
from orthoforge.material.sun import turns_by_sun

_ENOUGH = 165  # tiles, turned ones among them: beyond, finding what fits a patch takes longer
_MOST_OFF = 90.0  # degrees that the sun stands elsewhere in a turned tile: shadows of trees never fall towards it


class MoreGround(NamedTuple):
    """Tiles ``allowed`` (n,) of a ``library`` for ground alone; ``origin`` (N,) says which tile of the first library each shows."""

    library: Library
    allowed: np.ndarray
    origin: np.ndarray


def more_ground(library: Library, allowed: np.ndarray) -> MoreGround:
    """Tiles for ground: those that are ``allowed``, and as long as these are not many, turned copies of them as well.

    A copy has the sun within 90° of where it stands in the tile, the nearest ones first. It is remembered by the library.
    """
    places = sorted(set(library.places[allowed].tolist()))
    own = np.flatnonzero(np.isin(library.places, places))
    copies = _ENOUGH // len(own)
    if copies < 2:
        return MoreGround(library, allowed, np.arange(len(library)))
    kept: dict[tuple[int, ...], tuple[Library, np.ndarray]] = library.__dict__.setdefault("_more_ground", {})
    key = tuple(places)
    if key not in kept:
        kept[key] = _turned(library, places, copies)
    more, origin = kept[key]
    return MoreGround(more, np.flatnonzero(np.isin(origin, allowed)), origin)


def _turned(library: Library, places: Sequence[int], copies: int) -> tuple[Library, np.ndarray]:
    """The tiles of ``places``, each in ``copies`` turns at most, and which tile of the library each is."""
    parts = []
    for place in places:
        own = np.flatnonzero(library.places == place)
        turns = [turn for turn, off in turns_by_sun(library.light(place).azimuth) if abs(off) <= _MOST_OFF]
        parts += [(own, turn) for turn in turns[:copies]]
    origin = np.concatenate([own for own, _ in parts])

    def turned(layers: np.ndarray) -> np.ndarray:
        return np.concatenate([turn.of(layers[own]) for own, turn in parts])

    classes = None if library.classes is None else turned(library.classes)
    names = tuple(library.names[tile] for tile in origin.tolist())
    images, masks = turned(library.images), turned(library.masks)
    more = Library(images, masks, library.places[origin], library.place_names, names, classes)
    turns = [turn for own, turn in parts for _ in own]
    for tile, (turn, of) in enumerate(zip(turns, origin.tolist(), strict=True)):
        more.take_ground(tile, turn.of, library, of)
    return more, origin
