"""A mask of a layer, which several threads read."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from orthoforge.errors import OrthoforgeError
from orthoforge.geo.grid import Window
from orthoforge.masks.opening import SceneMask
from orthoforge.serving.problems import Problem
from orthoforge.serving.wording import over_http


@contextlib.contextmanager
def told_of_layer(name: str, path: Path) -> Iterator[None]:
    """``Problem`` for what is wrong with a layer, which names it as clients do: its path is nobody's business."""
    try:
        yield
    except OrthoforgeError as error:
        words = over_http(str(error), is_sent=False).replace(str(path), f"the layer {name}")
        raise Problem("invalid", words) from error


class SharedMask:
    """``source``, the mask of the layer ``name``, one reader at a time: GDAL's files are not made for two."""

    def __init__(self, source: SceneMask, name: str, path: Path) -> None:
        self._source, self._lock, self._name, self._path = source, threading.Lock(), name, path
        self.grid = source.grid

    @property
    def identity(self) -> str:
        with self._lock:
            return self._source.identity

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        with self._lock, told_of_layer(self._name, self._path):
            return self._source.read(window)

    def valid(self, window: Window) -> np.ndarray | None:
        with self._lock, told_of_layer(self._name, self._path):
            return self._source.valid(window)

    def require_sound(self) -> None:
        with self._lock, told_of_layer(self._name, self._path):
            self._source.require_sound()
