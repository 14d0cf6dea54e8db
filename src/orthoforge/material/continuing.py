"""How well a piece of ground goes on where the patches beside it end: as a whole, and along the best cut."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy import fft

from orthoforge.material.library import Library

CELL_PX = 4  # pieces are compared as wholes by cells of so many pixels
_HALF_PX = 2  # and along cuts by so many
_LEAST_SHARED = 0.1  # of what is to be seen: with less open ground in common nothing can be said
_USUAL_LEVELS = 15.0  # of difference where one of two is not open: what is made up there


class Shown(NamedTuple):
    """A piece that a patch beside shows first: tile ``tile`` from its pixel (``row``, ``col``) on. It begins ``down`` and ``right``
    px from the patch."""

    tile: int
    row: int
    col: int
    down: int
    right: int


class _Coarse(NamedTuple):
    """Open ground off its mean tone in blocks of pixels, (C, C, B) float32, and the share of each that is open, (C, C)."""

    values: np.ndarray
    is_open: np.ndarray


@dataclass
class Continuing:
    """Compares pieces of the tiles ``allowed`` with what patches beside show, for patches of ``side`` px."""

    library: Library
    allowed: np.ndarray
    side: int
    _coarse: dict[tuple[int, int], _Coarse] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._cells = self.library.size_px // CELL_PX
        maps = [self._of(tile, CELL_PX) for tile in self.allowed.tolist()]
        is_open, values = (np.stack([of[part] for of in maps]) for part in (1, 0))
        squares = is_open * (values**2).sum(axis=-1)
        # (2 + B, tiles, …): of squares, of open shares, of values
        self._spectra = fft.rfft2(np.stack([squares, is_open, *np.moveaxis(is_open[..., None] * values, -1, 0)]))

    def misfits(self, shown: Sequence[Shown], needed: np.ndarray) -> np.ndarray:
        """(tiles, shifts, shifts): by how many levels each allowed tile, from each cell on, differs from what is ``shown``.

        A root mean square over the cells that are ``needed`` (C, C) and open in both. Where those are few, as usual.
        """
        values, counts = self._shown_in(shown, len(needed), CELL_PX)
        counts = counts * needed
        squares, is_open, own = self._spectra[0], self._spectra[1], self._spectra[2:]
        both = squares * self._spectrum(counts) + is_open * self._spectrum(counts * (values**2).sum(axis=-1))
        both -= 2 * (own * self._spectrum(np.moveaxis(counts[..., None] * values, -1, 0))[:, None]).sum(axis=0)
        room = self._cells - len(needed) + 1
        apart, shared = (
            fft.irfft2(of, (self._cells, self._cells))[:, :room, :room] for of in (both, is_open * self._spectrum(counts))
        )
        least = _LEAST_SHARED * counts.sum() + 1e-3
        misfit: np.ndarray = np.sqrt(np.maximum(apart, 0) / np.maximum(shared, least) / self.library.bands)
        known = shared > least
        return np.where(known, misfit, np.median(misfit[known]) if known.any() else 0.0)

    def cuts(self, shown: Sequence[Shown], needed: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """(n,): by how many levels candidates (n, 3), index of an allowed tile and first row and column in px, differ from what is
        ``shown`` along the best cuts between them; ``needed`` (P, P) bool is what will be seen."""
        strips = [self._strip(one, needed, candidates) for one in shown]
        costs = np.stack([strip for strip in strips if strip is not None] or [np.zeros((len(candidates), 1, 1), np.float32)])
        best = costs[..., 0, :]
        for line in range(1, costs.shape[2]):
            beside = np.pad(best, ((0, 0), (0, 0), (1, 1)), constant_values=np.inf)
            best = np.minimum(np.minimum(beside[..., :-2], beside[..., 2:]), best) + costs[..., line, :]
        levels: np.ndarray = np.sqrt(best.min(axis=-1) / costs.shape[2]).mean(axis=0)
        return levels

    def _strip(self, one: Shown, needed: np.ndarray, candidates: np.ndarray) -> np.ndarray | None:
        """(n, length, width): mean squared difference of candidates and ``one`` in the ground that they share, along it."""
        side = self.side // _HALF_PX
        down, right = int(one.down / _HALF_PX), int(one.right / _HALF_PX)  # towards zero, so that both sides mean the same blocks
        here, there = (_shared(down, side), _shared(right, side)), (_shared(-down, side), _shared(-right, side))
        values, is_open = self._part(one.tile, one.row, one.col, there)
        seen = _blocks(needed[: side * _HALF_PX, : side * _HALF_PX].astype(np.float32), _HALF_PX)[here]
        parts = [self._part(int(self.allowed[tile]), row, col, here) for tile, row, col in candidates.tolist()]
        others, open_others = (np.stack([part[index] for part in parts]) for index in range(2))
        both = is_open * open_others
        cost: np.ndarray = both * ((values - others) ** 2).mean(axis=-1) + (1 - both) * _USUAL_LEVELS**2
        cost = cost * seen
        return cost if down == 0 else np.swapaxes(cost, 1, 2)

    def _part(self, tile: int, row: int, col: int, part: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
        coarse, (rows, cols) = self._of(tile, _HALF_PX), part
        first_row, first_col = row // _HALF_PX, col // _HALF_PX
        at = slice(first_row + rows.start, first_row + rows.stop), slice(first_col + cols.start, first_col + cols.stop)
        return coarse.values[at], coarse.is_open[at]

    def _shown_in(self, shown: Sequence[Shown], side: int, block: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean values (C, C, B) of what is shown in the blocks of the patch, and how open it is there (C, C), at most 1."""
        values, counts = np.zeros((side, side, self.library.bands), np.float32), np.zeros((side, side), np.float32)
        for one in shown:
            down, right = int(one.down / block), int(one.right / block)
            here, there = (_shared(down, side), _shared(right, side)), (_shared(-down, side), _shared(-right, side))
            coarse, row, col = self._of(one.tile, block), one.row // block, one.col // block
            is_open = coarse.is_open[row : row + side, col : col + side][there]
            values[here] += is_open[..., None] * coarse.values[row : row + side, col : col + side][there]
            counts[here] += is_open
        return values / np.maximum(counts, 1e-6)[..., None], np.minimum(counts, 1)

    def _spectrum(self, of: np.ndarray) -> np.ndarray:
        """Of something (…, C, C) that is laid over a tile, to be multiplied by those of tiles."""
        side = of.shape[-1]
        padded = np.zeros((*of.shape[:-2], self._cells, self._cells), np.float32)
        padded[..., :side, :side] = of
        conjugate: np.ndarray = np.conj(fft.rfft2(padded))
        return conjugate

    def _of(self, tile: int, block: int) -> _Coarse:
        if (tile, block) not in self._coarse:
            size = self.library.size_px // block * block
            is_open = self.library.open_ground(tile)[:size, :size]
            image = np.where(is_open[..., None], self.library.images[tile][:size, :size] - self.library.tone(tile), 0)
            share = _blocks(is_open.astype(np.float32), block)
            means = _blocks(image.astype(np.float32), block) / np.maximum(share, 1 / block**2)[..., None]
            self._coarse[tile, block] = _Coarse(means, share)
        return self._coarse[tile, block]


def _blocks(of: np.ndarray, block: int) -> np.ndarray:
    """Means of (S, S, …) over blocks of pixels."""
    count = len(of) // block
    means: np.ndarray = of.reshape(count, block, of.shape[1] // block, block, *of.shape[2:]).mean(axis=(1, 3))
    return means


def _shared(offset: int, side: int) -> slice:
    """What a side has in common with one that begins ``offset`` farther on."""
    return slice(max(0, offset), min(side, side + offset))
