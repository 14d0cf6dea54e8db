"""Seams: which of overlapping patches of the plane is seen, so that they join where they differ least (Efros and Freeman 2001).

Each seam is a function of the patches that meet there and of no others, so that it is the same whatever is looked at.
"""

from collections.abc import Callable, Container
from dataclasses import dataclass

import numpy as np

from orthoforge.material.cuts import least_cut
from orthoforge.material.lately import Lately

_STEP = 30.0  # what each pixel of a seam costs, as a difference of so many squared levels: under roofs, where nothing else does
_END_PX = 4  # a seam ends where the columns that far off differ least
_KEPT = 4096  # seams of 1 KB each: more than a row of blocks has in a scene of 60 000 px


@dataclass
class Seams:
    """Seams of patches of ``side`` px that overlap by ``overlap``. ``patch`` gives a part of the image (P, P, B) of one, and where
    its ground is seen."""

    side: int
    overlap: int
    patch: Callable[[tuple[int, int], tuple[slice, slice]], tuple[np.ndarray, np.ndarray]]

    def __post_init__(self) -> None:
        self._beside = Lately[tuple[int, int], np.ndarray](_KEPT)
        self._below = Lately[tuple[int, int], np.ndarray](_KEPT)

    def keep(self, before: "Seams", patches: Container[tuple[int, int]]) -> None:
        """Take over the seams between ``patches``, which are the same here."""
        for reach, mine, its in ((1, self._beside, before._beside), (2, self._below, before._below)):
            mine.take(
                ((row, col), cut)
                for (row, col), cut in its.kept()
                if all((row + down, col + right) in patches for down in range(reach) for right in range(2))
            )

    def mine(self, patch: tuple[int, int], inside: tuple[slice, slice]) -> np.ndarray:
        """(h, w) bool: where a patch is seen, in a part of it."""
        row, col = patch
        rows, cols = (np.arange(part.start, part.stop) for part in inside)
        hop, half = self.side - self.overlap, self.side // 2
        mine = np.ones((len(rows), len(cols)), bool)
        if cols[0] < self.overlap:
            mine &= cols >= self._cut_beside(row, col - 1)[rows, None]
        if cols[-1] >= hop:
            mine &= cols - hop < self._cut_beside(row, col)[rows, None]
        for above, offset, is_upper in ((row - 1, 0, False), (row, hop, True)):
            lines = rows - offset
            if lines[0] >= self.overlap or lines[-1] < 0:
                continue
            cut = np.empty(len(cols), np.int64)
            for first, part in ((col - 1, cols < half), (col, cols >= half)):
                if part.any():
                    cut[part] = self._cut_below(above, first)[cols[part] + (hop - half if first < col else -half)]
            mine &= (lines[:, None] < cut) if is_upper else (lines[:, None] >= cut)
        return mine

    def _cut_beside(self, row: int, col: int) -> np.ndarray:
        """(P,): from which column of their overlap on the patch right of (row, col) is seen, in each of their rows."""
        return self._beside.of((row, col), self._beside_anew)

    def _beside_anew(self, patch: tuple[int, int]) -> np.ndarray:
        (row, col), hop, lines = patch, self.side - self.overlap, slice(0, self.side)
        left, seen = self.patch((row, col), (lines, slice(hop, self.side)))
        right, _ = self.patch((row, col + 1), (lines, slice(0, self.overlap)))
        return least_cut(_cost(left, right, seen))

    def _cut_below(self, row: int, col: int) -> np.ndarray:
        """(hop,): from which row of their overlap on the patches below are seen, from the middle of patch (row, col) to that of the
        patch right of it."""
        return self._below.of((row, col), self._below_anew)

    def _below_anew(self, patch: tuple[int, int]) -> np.ndarray:
        (row, col), hop = patch, self.side - self.overlap
        upper, seen = self._row(row, col, slice(hop, self.side))
        lower, _ = self._row(row + 1, col, slice(0, self.overlap))
        cost = _cost(upper, lower, seen).T
        return least_cut(cost, first=self._end(row, col), last=self._end(row, col + 1))

    def _row(self, row: int, col: int, lines: slice) -> tuple[np.ndarray, np.ndarray]:
        """Some lines of a row of patches from the middle of one to that of the next: image, and where it is seen."""
        hop, half = self.side - self.overlap, self.side // 2
        left, left_seen = self.patch((row, col), (lines, slice(half, self.side)))
        right, right_seen = self.patch((row, col + 1), (lines, slice(0, half)))
        cols = np.arange(half, half + hop)
        is_left = (cols - hop)[None] < self._cut_beside(row, col)[lines, None]
        of_left, of_right = (cols - half).clip(0, left.shape[1] - 1), (cols - hop).clip(0)
        return (
            np.where(is_left[..., None], left[:, of_left], right[:, of_right]),
            np.where(is_left, left_seen[:, of_left], right_seen[:, of_right]),
        )

    def _end(self, row: int, col: int) -> int:
        """Where the seam below patch (row, col) crosses its middle column."""
        hop, half, quarter = self.side - self.overlap, self.side // 2, self.overlap // 4
        near = slice(half - _END_PX, half + _END_PX)
        upper, seen = self.patch((row, col), (slice(hop, self.side), near))
        lower, _ = self.patch((row + 1, col), (slice(0, self.overlap), near))
        cost = _cost(upper, lower, seen).sum(axis=1)
        return quarter + int(cost[quarter : self.overlap - quarter].argmin())


def _cost(one: np.ndarray, other: np.ndarray, seen: np.ndarray) -> np.ndarray:
    return ((one - other) ** 2).sum(axis=2) * seen + _STEP
