"""What a network is told of a mask's buildings: which pixels are one, and its colour or its part of a canvas."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from orthoforge.geo.buildings import Buildings, Read
from orthoforge.geo.grid import Window
from orthoforge.geo.houses import Houses
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
_KEPT_COMPOSERS = 4  # each some 50 MB for a drawing of 512 px
_PLACE = 400  # the purpose of chance by which the seed chooses a place


def buildings_of(
    network: Generator, read: Read, height: int, width: int, *, classes: bool, origin: tuple[int, int]
) -> Buildings | None:
    """The buildings of a mask that ``read`` gives by windows, of ``classes`` or of buildings alone; ``None`` where the network is
    told nothing of them. ``origin`` is where the mask's first (row, column) lies."""
    if not network.follows_buildings:
        return None
    at = network.building if classes else None
    kind = Houses if network.refines else Buildings
    return kind(lambda window: read(window) > 0 if at is None else read(window) == at, height, width, origin=origin)


def canvas_teller(
    library: Library, buildings: Buildings, seed: int, place: int, classes: Read | None, sun: float | None = None
) -> Teller:
    """Canvases (h, w, B) uint8 of windows, composed of the library's material of a place; ``classes`` are those of a mask that has
    some, ``sun`` is the azimuth of the sun where it is not the place's own."""
    composer = Composer.of(library, buildings, seed=seed, place=place, classes=classes, sun=sun)

    def tell(window: Window) -> Told:
        canvas = composer.canvas(window)
        return Told(canvas.image, canvas.source)

    return tell


class Composers:
    """Composers of the masks that were looked at lately, as a whole: of a drawing that changes, what has not changed is kept.

    Any thread may ask. What they give is what ``canvas_teller`` gives.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, int, int, float | None], Composer] = OrderedDict()
        self._lock = threading.Lock()

    def told(
        self, library: Library, buildings: Buildings, seed: int, place: int, classes: Read | None, sun: float | None = None
    ) -> Told:
        """The canvas of all of a mask."""
        key = id(library), seed, place, sun
        with self._lock:
            before = self._kept.pop(key, None)  # nobody else has it meanwhile
        if before is None:
            composer = Composer.of(library, buildings, seed=seed, place=place, classes=classes, sun=sun, keeps=True)
        else:
            composer = before.after(buildings, classes)
        canvas = composer.canvas(Window(0, 0, *buildings.shape))
        with self._lock:
            self._kept[key] = composer
            while len(self._kept) > _KEPT_COMPOSERS:
                self._kept.popitem(last=False)
        return Told(canvas.image, canvas.source)


def roof_teller(buildings: Buildings, seed: int) -> Teller:
    """Which colour of its palette each pixel's building has in a window, (h, w) uint8 from 1, 0 outside."""
    entries = entries_of(torch.from_numpy(buildings.numbers(seed, ROOF_LAYER))).numpy()
    return lambda window: Told(entries[buildings.ids(window)], None)


def refined(canvas: np.ndarray, image: np.ndarray, share: float) -> np.ndarray:
    """``canvas`` (h, w, B) uint8 with this share of the changes that made ``image`` of it."""
    kept = canvas.astype(np.float32)
    changed = kept + np.float32(share) * (image - kept)
    return changed.round().astype(np.uint8)


def place_of(bank: StyleBank, seed: int, places: int) -> int:
    """The place whose material and style an image gets: the one that was asked for, or one of ``places`` by the seed."""
    if bank.fixed is not None:
        return bank.nearest_place(bank.fixed.code)
    return bank.place if bank.place is not None else int(uniform(seed, _PLACE) * places)
