"""What fills the holes that the first piece of a patch leaves, as under the houses of its tile."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from orthoforge.material.continuing import CELL_PX, Beside, in_cells

_RING_PX = 8  # so much of what lies around a hole says what fills it
_LEAST_COMMON_PX = 60
_MOST_SHIFT = 45.0  # levels


@dataclass(frozen=True)
class Laid:
    """What the pieces of a patch show so far: ``shown`` (P, P, B) where they are ``covered`` (P, P)."""

    shown: np.ndarray
    covered: np.ndarray

    @staticmethod
    def nothing(shape: tuple[int, ...], bands: int) -> "Laid":
        return Laid(np.zeros((*shape, bands), np.float32), np.zeros(shape, bool))

    def add(self, shown: np.ndarray, covers: np.ndarray) -> None:
        np.copyto(self.shown, shown, where=covers[..., None])
        np.copyto(self.covered, covers, where=covers)

    def _ring(self, left: np.ndarray) -> np.ndarray:
        """What is covered and lies beside what is ``left`` (P, P)."""
        return ndimage.binary_dilation(left, iterations=_RING_PX) & self.covered

    def around(self, left: np.ndarray) -> Beside | None:
        """What lies beside what is ``left`` (P, P), if anything."""
        ring = self._ring(left)
        share = in_cells(ring, CELL_PX)
        if not share.any():
            return None
        return Beside(in_cells(self.shown * ring[..., None], CELL_PX) / np.maximum(share, 1e-6)[..., None], share)

    def shifts(self, shown: np.ndarray, covers: np.ndarray, left: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
        """(K + 1, B): by how much to move a piece that shows ``shown`` (P, P, B) where it ``covers`` (P, P), so that it has the
        tone of what lies beside what is ``left`` (P, P); ``otherwise`` where the two have too little in common."""
        both = self._ring(left) & covers
        if both.sum() < _LEAST_COMMON_PX:
            return otherwise
        off = (self.shown[both] - shown[both]).mean(axis=0)
        return np.broadcast_to(np.clip(off, -_MOST_SHIFT, _MOST_SHIFT), otherwise.shape)
