"""A mask brought to another grid over the same ground."""

from collections.abc import Callable

import numpy as np

from orthoforge.geo.grid import Grid, Window
from orthoforge.geo.resampling import nearest, resample
from orthoforge.masks.classes import BUILDING
from orthoforge.masks.opening import SceneMask


def resample_building(
    read: Callable[[Window], np.ndarray], source: tuple[int, int], target: tuple[int, int], window: Window
) -> np.ndarray:
    """``window`` of a building mask, (h, w) uint8 of 0 and 255, brought from ``source`` to ``target`` (height, width).

    ``read`` gives windows of the source, building where they are above 0. A pixel is building where at least half of it is.
    """
    share = resample(lambda part: read(part) > 0, source, target, window, kernel="linear")
    # The sum of a tie's weights may fall short of a half by rounding, and differently in another window.
    return np.where(share >= 0.5 - 1e-9, np.uint8(BUILDING), np.uint8(0))


class ResampledMask:
    """A mask on another grid: buildings where they cover at least half a pixel, classes by nearest."""

    def __init__(self, source: SceneMask, grid: Grid, *, classes: bool) -> None:
        self.grid, self.identity, self._source, self._classes = grid, source.identity, source, classes
        self._sizes = (source.grid.height, source.grid.width), (grid.height, grid.width)

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        labels = (nearest if self._classes else resample_building)(lambda part: self._source.read(part)[0], *self._sizes, window)
        return labels, self.valid(window)

    def valid(self, window: Window) -> np.ndarray | None:
        def read(part: Window) -> np.ndarray:
            valid = self._source.valid(part)
            return np.ones((part.height, part.width), bool) if valid is None else valid

        valid = nearest(read, *self._sizes, window)
        return None if valid.all() else valid

    def require_sound(self) -> None:
        self._source.require_sound()
