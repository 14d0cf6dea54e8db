"""Masks that are no copies to the eye: turned or mirrored, and shifted."""

import numpy as np

_STREAM = 11
_SHIFT_SHARE = 0.25


def mirrored_to(mask: np.ndarray, size_px: int) -> np.ndarray:
    """A square mask (S, S), gone on with as in a mirror below and on the right where it is smaller than ``size_px``."""
    more = max(0, size_px - len(mask))
    return np.pad(mask, ((0, more), (0, more)), mode="symmetric")


def turned_mask(mask: np.ndarray, *key: int) -> np.ndarray:
    """A copy of a square mask that is no copy to the eye: turned or mirrored, and shifted, mirrored at the edge.

    A function of ``key``: a tile's id, and which of several copies it is.
    """
    rng = np.random.default_rng((_STREAM, *key))
    state = int(rng.integers(1, 8))
    turned = np.rot90(mask.T if state & 4 else mask, state & 3)
    reach = max(1, round(_SHIFT_SHARE * mask.shape[0]))
    row, col = rng.integers(0, 2 * reach, 2)
    padded = np.pad(turned, reach, mode="symmetric")
    return np.ascontiguousarray(padded[row : row + mask.shape[0], col : col + mask.shape[1]])
