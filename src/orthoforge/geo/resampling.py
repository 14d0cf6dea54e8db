"""Resampling by windows: what a window gets does not depend on which window it is asked for in.

A raster's own resampling looks at the window that it reads, so two windows may disagree along their border. Here the weights of
every target pixel follow from its place in the whole raster.
"""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy.sparse import csr_array

from orthoforge.geo.grid import Window

Kernel = Literal["linear", "cubic"]
_SUPPORT: dict[Kernel, int] = {"linear": 1, "cubic": 2}


def resample(
    read: Callable[[Window], np.ndarray], source: tuple[int, int], target: tuple[int, int], window: Window, *, kernel: Kernel
) -> np.ndarray:
    """``window`` of the raster that ``read`` gives windows of, brought from ``source`` to ``target`` (height, width), as float64.

    ``read`` returns (h, w) or (h, w, C) for windows of the source. Both rasters cover the same ground. When shrinking, the kernel
    is stretched, so that every source pixel counts (antialiasing, as in Pillow).
    """
    row, rows = _weights(window.row, window.height, source[0], target[0], kernel)
    col, cols = _weights(window.col, window.width, source[1], target[1], kernel)
    pixels = read(Window(row, col, rows.shape[1], cols.shape[1])).astype(np.float64)
    return _along_first(cols, _along_first(rows, pixels).swapaxes(0, 1)).swapaxes(0, 1)


def nearest(read: Callable[[Window], np.ndarray], source: tuple[int, int], target: tuple[int, int], window: Window) -> np.ndarray:
    """As ``resample``, taking the source pixel at each target pixel's centre: for classes, which have no mean."""
    rows = _centres(window.row, window.height, source[0], target[0]).astype(np.int64)
    cols = _centres(window.col, window.width, source[1], target[1]).astype(np.int64)
    pixels = read(Window(int(rows[0]), int(cols[0]), int(rows[-1] - rows[0]) + 1, int(cols[-1] - cols[0]) + 1))
    return pixels[rows - rows[0]][:, cols - cols[0]]


def _along_first(weights: csr_array, pixels: np.ndarray) -> np.ndarray:
    """``weights`` (count, n) times pixels (n, m, …): (count, m, …)."""
    return np.asarray(weights @ pixels.reshape(len(pixels), -1)).reshape(weights.shape[0], *pixels.shape[1:])


def _weights(start: int, count: int, source: int, target: int, kernel: Kernel) -> tuple[int, csr_array]:
    """First source pixel and weights (count, n) of ``count`` target pixels from ``start``; the rows sum to 1."""
    stretch = max(1.0, source / target)
    support = _SUPPORT[kernel] * stretch
    centres = _centres(start, count, source, target)
    at = np.floor(centres - support).astype(np.int64)[:, None] + np.arange(math.ceil(2 * support) + 1)  # (count, taps)
    distance = np.abs(at + 0.5 - centres[:, None]) / stretch
    weights = np.where((at >= 0) & (at < source), _linear(distance) if kernel == "linear" else _cubic(distance), 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    at = at.clip(0, source - 1)
    first = int(at[0, 0])
    shape = count, int(at[-1, -1]) + 1 - first
    return first, csr_array((weights.ravel(), (at - first).ravel(), np.arange(count + 1) * at.shape[1]), shape=shape)


def _centres(start: int, count: int, source: int, target: int) -> np.ndarray:
    """Where the centres of target pixels lie, in source pixels."""
    return (np.arange(start, start + count) + 0.5) * (source / target)


def _linear(distance: np.ndarray) -> np.ndarray:
    return np.maximum(0.0, 1 - distance)


def _cubic(distance: np.ndarray, a: float = -0.5) -> np.ndarray:
    """Keys' kernel (1981) with a = −1/2, which reproduces parabolas."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
