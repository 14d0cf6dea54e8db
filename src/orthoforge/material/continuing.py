"""How well tiles go on from what lies beside a patch already: where both overlap, they should show the same."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import fft

from orthoforge.material.library import Library

CELL_PX = 4  # fit is judged by cells of so many pixels


class Beside(NamedTuple):
    """What is laid already where a patch overlaps others: colours (C, C, B) of its cells, the share of each, (C, C) from 0 to 1,
    that is laid and to be seen, and the names of the ``tiles`` that those patches are of."""

    colours: np.ndarray
    share: np.ndarray
    tiles: frozenset[str] = frozenset()


class Continuing:
    """Compares the open ground ``is_open`` (T, S, S) of ``tiles`` of a library with what lies beside a patch.

    As image quilting does (Efros and Freeman 2001), but for all shifts at once, by correlation of cells of ``cell_px``.
    """

    def __init__(self, library: Library, tiles: Sequence[int], is_open: np.ndarray, cell_px: int) -> None:
        count, side = len(tiles), is_open.shape[1] // cell_px
        self._side = side
        shape = (count, side, side)
        share, colours = np.empty(shape, np.float32), np.empty((library.bands, *shape), np.float32)
        for at, tile in enumerate(tiles):
            shown = library.images[tile][: side * cell_px, : side * cell_px] * is_open[at, ..., None]
            share[at] = in_cells(is_open[at], cell_px)
            colours[:, at] = np.moveaxis(in_cells(shown, cell_px), 2, 0)
        squares = (colours**2 / np.maximum(share, 1e-6)).sum(axis=0)
        self._open, self._colours, self._squares = (fft.rfft2(of) for of in (share, colours, squares))

    def off(self, beside: Beside, tiles: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        """(n, R, R): for each of ``tiles`` (n,), by index, and each shift of a patch on it, the squared differences to what lies
        ``beside``, in levels, summed over cells that both have. Tones of tiles are moved by ``shifts`` (n, B) first."""
        share, shifts = spectrum(beside.share, self._side), shifts.astype(np.float32)
        colours = np.stack([spectrum(beside.share * band, self._side) for band in np.moveaxis(beside.colours, 2, 0)])
        squares = spectrum(beside.share * (beside.colours**2).sum(axis=2), self._side)
        # Of (a - b - s)²: a lies beside, b is of a tile, s is by how much it is moved.
        moved = (shifts**2).sum(axis=1)[:, None, None] * share - 2 * np.tensordot(shifts, colours, 1)
        summed = self._open[tiles] * (squares + moved) + self._squares[tiles] * share
        for own, laid, by in zip(self._colours, colours, shifts.T, strict=True):
            summed += 2 * own[tiles] * (by[:, None, None] * share - laid)
        room = self._side - len(beside.share) + 1
        off = fft.irfft2(summed, (self._side, self._side))[:, :room, :room]
        return np.maximum(off, 0) / shifts.shape[1]


def spectrum(of_patch: np.ndarray, side: int) -> np.ndarray:
    """Of what is correlated with tiles of ``side`` cells, by a product with theirs: (S, S/2 + 1) of (C, C)."""
    padded = np.zeros((side, side), np.float32)
    padded[: len(of_patch), : len(of_patch)] = of_patch
    return np.conj(fft.rfft2(padded))


def in_cells(of_pixels: np.ndarray, cell_px: int) -> np.ndarray:
    """The mean of each cell, (H / cell_px, W / cell_px, ...)."""
    rows, cols = (length // cell_px for length in of_pixels.shape[:2])
    return of_pixels.reshape(rows, cell_px, cols, cell_px, *of_pixels.shape[2:]).mean(axis=(1, 3), dtype=np.float32)
