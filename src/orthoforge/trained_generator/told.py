"""What a network is told of a mask's buildings: which pixels are one, and its colour or its part of a canvas."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from orthoforge.geo.buildings import Buildings, Read
from orthoforge.geo.grid import Window
from orthoforge.material.canvas import Composer
from orthoforge.material.chance import uniform
from orthoforge.material.library import Library
from orthoforge.models.generator import Generator
from orthoforge.models.roofs import ROOF_LAYER, entries_of
from orthoforge.models.styles import StyleBank


class Told(NamedTuple):
    """What a network is told of a window: ``values`` (h, w, B) or (h, w) uint8, and the tile of the library that each pixel of a
    canvas comes from, ``source`` (h, w) int32; ``None`` where there is no library."""

    values: np.ndarray
    source: np.ndarray | None


Teller = Callable[[Window], Told]
_PLACE = 400  # the purpose of chance by which the seed chooses a place


def buildings_of(
    network: Generator, read: Read, height: int, width: int, *, classes: bool, origin: tuple[int, int]
) -> Buildings | None:
    """The buildings of a mask that ``read`` gives by windows, of ``classes`` or of buildings alone; ``None`` where the network is
    told nothing of them. ``origin`` is where the mask's first (row, column) lies."""
    if not network.follows_buildings:
        return None
    at = network.building if classes else None
    return Buildings(lambda window: read(window) > 0 if at is None else read(window) == at, height, width, origin=origin)


def canvas_teller(library: Library, buildings: Buildings, seed: int, place: int) -> Teller:
    """Canvases (h, w, B) uint8 of windows, composed of the library's material of a place."""
    composer = Composer.of(library, buildings, seed=seed, place=place)

    def tell(window: Window) -> Told:
        canvas = composer.canvas(window)
        return Told(canvas.image, canvas.source)

    return tell


def roof_teller(buildings: Buildings, seed: int) -> Teller:
    """Which colour of its palette each pixel's building has in a window, (h, w) uint8 from 1, 0 outside."""
    entries = entries_of(torch.from_numpy(buildings.numbers(seed, ROOF_LAYER))).numpy()
    return lambda window: Told(entries[buildings.ids(window)], None)


def place_of(bank: StyleBank, seed: int, places: int) -> int:
    """The place whose material and style an image gets: the one that was asked for, or one of ``places`` by the seed."""
    if bank.fixed is not None:
        return bank.nearest_place(bank.fixed.code)
    return bank.place if bank.place is not None else int(uniform(seed, _PLACE) * places)
