"""A mask that is read as long as somebody waits for what is made of it."""

import threading

import numpy as np

from orthoforge.geo.grid import Window
from orthoforge.masks.opening import SceneMask
from orthoforge.serving.problems import ClientLeft


class LeavableMask:
    """``source``, until ``left`` is set: reading then raises ``ClientLeft``.

    What looks at a whole scene by windows ends at the next one.
    """

    def __init__(self, source: SceneMask, left: threading.Event) -> None:
        self._source, self._left = source, left
        self.grid = source.grid

    @property
    def identity(self) -> str:
        return self._source.identity

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        self._require_wanted()
        return self._source.read(window)

    def valid(self, window: Window) -> np.ndarray | None:
        self._require_wanted()
        return self._source.valid(window)

    def require_sound(self) -> None:
        self._source.require_sound()

    def _require_wanted(self) -> None:
        if self._left.is_set():
            raise ClientLeft
