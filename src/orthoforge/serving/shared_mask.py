"""A mask that several threads read."""

import threading

import numpy as np

from orthoforge.geo.grid import Window
from orthoforge.masks.opening import SceneMask


class SharedMask:
    """``source``, one reader at a time: GDAL's files are not made for two."""

    def __init__(self, source: SceneMask) -> None:
        self._source, self._lock = source, threading.Lock()
        self.grid = source.grid

    @property
    def identity(self) -> str:
        with self._lock:
            return self._source.identity

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        with self._lock:
            return self._source.read(window)

    def valid(self, window: Window) -> np.ndarray | None:
        with self._lock:
            return self._source.valid(window)

    def require_sound(self) -> None:
        with self._lock:
            self._source.require_sound()
