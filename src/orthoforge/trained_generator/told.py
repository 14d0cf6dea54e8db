"""What a network is told of a mask's buildings: which pixels are one, and its colour or its part of a canvas."""

from collections.abc import Callable

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

Teller = Callable[[Window], np.ndarray]
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
    return lambda window: composer.canvas(window).image


def roof_teller(buildings: Buildings, seed: int) -> Teller:
    """Which colour of its palette each pixel's building has in a window, (h, w) uint8 from 1, 0 outside."""
    entries = entries_of(torch.from_numpy(buildings.numbers(seed, ROOF_LAYER))).numpy()
    return lambda window: entries[buildings.ids(window)]


def place_of(bank: StyleBank, seed: int, places: int) -> int:
    """The place whose material and style an image gets: the one that was asked for, or one of ``places`` by the seed."""
    if bank.fixed is not None:
        return bank.nearest_place(bank.fixed.code)
    return bank.place if bank.place is not None else int(uniform(seed, _PLACE) * places)
