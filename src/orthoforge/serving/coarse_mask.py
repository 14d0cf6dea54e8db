"""A mask in pixels that are several times as long, read in flat memory however large the part is."""

import numpy as np

from orthoforge.geo.grid import Window
from orthoforge.masks.opening import SceneMask
from orthoforge.masks.resampled import ResampledMask

_SOURCE_PX = 2048  # of the finer mask that are read at once, to a side


class CoarseMask:
    """``source`` with pixels ``factor`` times as long: buildings where they cover at least half of one, classes by nearest."""

    def __init__(self, source: SceneMask, factor: int, *, classes: bool) -> None:
        height, width = (max(1, round(side / factor)) for side in (source.grid.height, source.grid.width))
        self._mask = ResampledMask(source, source.grid.resized(height, width), classes=classes)
        self.grid, self.identity = self._mask.grid, f"{source.identity} 1/{factor}"
        self._step = max(1, _SOURCE_PX // factor)

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        labels = np.empty((window.height, window.width), np.uint8)
        valid = np.ones((window.height, window.width), bool)
        for row in range(0, window.height, self._step):
            for col in range(0, window.width, self._step):
                height, width = min(self._step, window.height - row), min(self._step, window.width - col)
                part = Window(row, col, height, width)
                read, holds = self._mask.read(Window(window.row + row, window.col + col, height, width))
                labels[part.slices] = read
                valid[part.slices] = True if holds is None else holds
        return labels, None if valid.all() else valid

    def valid(self, window: Window) -> np.ndarray | None:
        return self.read(window)[1]

    def require_sound(self) -> None:
        """The finer one says it."""
