"""How well tiles go on from what lies beside a patch already: where both overlap, they should show the same."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import fft

from orthoforge.material.library import Library


class Beside(NamedTuple):
    """What is laid already where a patch overlaps others: colours (C, C, B) of its cells, and the share of each, (C, C) from 0 to
    1, that is laid and to be seen."""

    colours: np.ndarray
    share: np.ndarray


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

    def off(self, beside: Beside, shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each tile and each shift of a patch on it: the squared differences to what lies ``beside``, in levels, summed over
        cells that both have, and how many cells these are, (T, R, R) each. Tones of tiles are moved by ``shifts`` (T, B) first.
        """
        cells = len(beside.share)
        share = self._spectrum(beside.share)
        moved = shifts.T[:, :, None, None]  # (B, T, 1, 1)
        colours = np.stack([self._spectrum(beside.share * band) for band in np.moveaxis(beside.colours, 2, 0)])[:, None]
        squares = self._spectrum(beside.share * (beside.colours**2).sum(axis=2))
        # Of (a - b - s)²: a lies beside, b is of a tile, s is by how much it is moved.
        of_open = squares - (2 * moved * colours).sum(axis=0) + (moved**2).sum(axis=0) * share
        spectrum = self._open * of_open + self._squares * share
        for own, laid, by in zip(self._colours, colours, moved, strict=True):
            spectrum += 2 * own * (by * share - laid)
        room = self._side - cells + 1
        off, common = (
            fft.irfft2(of, (self._side, self._side))[:, :room, :room] for of in (spectrum, self._open * share)
        )
        return np.maximum(off, 0) / len(shifts[0]), np.maximum(common, 0)

    def _spectrum(self, of_patch: np.ndarray) -> np.ndarray:
        """Of what is correlated with tiles: (S, S/2 + 1)."""
        padded = np.zeros((self._side, self._side), np.float32)
        padded[: len(of_patch), : len(of_patch)] = of_patch
        return np.conj(fft.rfft2(padded))


def in_cells(of_pixels: np.ndarray, cell_px: int) -> np.ndarray:
    """The mean of each cell, (H / cell_px, W / cell_px, ...)."""
    rows, cols = (length // cell_px for length in of_pixels.shape[:2])
    return of_pixels.reshape(rows, cell_px, cols, cell_px, *of_pixels.shape[2:]).mean(axis=(1, 3), dtype=np.float32)
