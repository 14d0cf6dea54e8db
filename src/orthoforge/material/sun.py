"""The sun from another side: tiles of a library turned by right angles and mirrored, and by how much roofs are turned further.

Azimuths are degrees clockwise from north, the direction in which the sun stands.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from orthoforge.errors import ConfigError
from orthoforge.material.library import Library

FULL_CIRCLE = 360.0
_KEPT = 3  # libraries that were turned, each as large as the one that they were made of


class Turn(NamedTuple):
    """A tile mirrored, its east to the west, where it is ``mirrored``, and then turned clockwise by so many ``quarters``."""

    quarters: int
    mirrored: bool

    def of(self, layers: np.ndarray) -> np.ndarray:
        """``layers`` (N, S, S, ...) so turned."""
        return np.rot90(layers[:, :, ::-1] if self.mirrored else layers, -self.quarters, axes=(1, 2))

    def azimuth(self, own: float) -> float:
        """Where the sun then stands that stood at ``own``."""
        return (-own if self.mirrored else own) + 90.0 * self.quarters


_TURNS = tuple(Turn(quarters, mirrored) for mirrored in (False, True) for quarters in range(4))
_SAME = _TURNS[0]


class Sunlit(NamedTuple):
    """A ``library`` whose tiles were turned, and by how many radians clockwise roofs of each of its places are to be turned
    ``further`` (P,), so that their light comes from where it was asked for."""

    library: Library
    further: np.ndarray


def require_azimuth(azimuth: float) -> float:
    """The azimuth from 0 to below 360. ``ConfigError`` where it is none."""
    if not 0 <= azimuth <= FULL_CIRCLE:
        raise ConfigError(f"sun is {azimuth:g}; it is the azimuth of the sun, 0 to 360 degrees clockwise from north.")
    return float(azimuth) % FULL_CIRCLE


def sunlit(library: Library, azimuth: float, places: Iterable[int]) -> Sunlit:
    """A library whose tiles of ``places`` have the sun at an azimuth, as near as right angles and a mirror come to it.

    Places in whose tiles no sun is seen stay as they are. What was turned lately is remembered.
    """
    turns, further = {}, np.zeros(len(library.place_names))
    for place in sorted(set(places)):
        own = library.light(place).azimuth
        if own is not None:
            turns[place], missing = _nearest(own, azimuth)
            further[place] = np.radians(missing)
    kept: OrderedDict[tuple[tuple[int, Turn], ...], Library] = library.__dict__.setdefault("_sunlit", OrderedDict())
    key = tuple(turns.items())
    turned = kept.get(key) or _turned(library, turns)
    kept[key] = turned
    while len(kept) > _KEPT:
        kept.popitem(last=False)
    return Sunlit(turned, further)


def turns_by_sun(own: float | None) -> list[tuple[Turn, float]]:
    """All turns of tiles in which the sun stands at the azimuth ``own``, and by how many degrees it then stands elsewhere, nearest
    first. Where no sun is seen it stands nowhere else."""
    return [(_SAME, 0.0), *((turn, 0.0) for turn in _TURNS if turn != _SAME)] if own is None else _by_missing(own, own)


def _nearest(own: float, asked: float) -> tuple[Turn, float]:
    """The turn that brings the sun from one azimuth nearest to another, and how many degrees are missing then."""
    return _by_missing(own, asked)[0]


def _by_missing(own: float, asked: float) -> list[tuple[Turn, float]]:
    missing = [(turn, (asked - turn.azimuth(own) + FULL_CIRCLE / 2) % FULL_CIRCLE - FULL_CIRCLE / 2) for turn in _TURNS]
    return sorted(missing, key=lambda one: abs(one[1]))


def _turned(library: Library, turns: Mapping[int, Turn]) -> Library:
    images, masks = library.images.copy(), library.masks.copy()
    classes = None if library.classes is None else library.classes.copy()
    for place, turn in turns.items():
        of = library.places == place
        for layers in (images, masks, classes):
            if layers is not None:
                layers[of] = turn.of(layers[of])
    return replace(library, images=images, masks=masks, classes=classes)
