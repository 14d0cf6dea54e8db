"""Lines: where ground of a class runs along a line as a road does, in which direction, and how wide it is."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

MOST_HALF_PX = 20.0  # half of the width: what is wider is a square, and has no direction
_BORDER_PX = 1.5
_REACH_PX = 21  # direction is that of the borders within so much
_LEAST_COHERENCE = 0.5
_RIDGE_PX = 0.3


class Lines(NamedTuple):
    """Of what is so of (h, w): ``angle`` (h, w) float32 from columns to rows, within half a turn; ``depth`` (h, w) float32, how far
    inside of its border a pixel lies; ``half`` (h, w) float32, half of the width there, infinite where it is no line; and places on
    its middle, ``middle`` (n, 2) rows and columns."""

    angle: np.ndarray
    depth: np.ndarray
    half: np.ndarray
    middle: np.ndarray


def lines_of(own: np.ndarray) -> Lines:
    """The lines of ``own`` (h, w) bool. What is cut off by the edge of the array goes on beyond it."""
    padded = np.pad(own, 1, mode="edge")
    depth = (ndimage.distance_transform_edt(padded) if not own.all() else np.full(padded.shape, 1e3)).astype(np.float32)[1:-1, 1:-1]
    angle, coherence = _direction(own)
    ridge = own & (depth >= ndimage.maximum_filter(depth, 3) - _RIDGE_PX)
    if not ridge.any():
        return Lines(angle, depth, np.full(own.shape, np.inf, np.float32), np.zeros((0, 2), np.int64))
    nearest = ndimage.distance_transform_edt(~ridge, return_distances=False, return_indices=True)
    half = depth[tuple(nearest)] - np.float32(0.5)
    half = np.where(own & (half <= MOST_HALF_PX) & (coherence > _LEAST_COHERENCE), half, np.float32(np.inf))
    return Lines(angle, depth, half, np.argwhere(ridge & np.isfinite(half)))


def _direction(own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The direction in which the borders run, by their structure tensor, and how much they agree, from 0 to 1; (h, w) each."""
    down, along = (
        ndimage.gaussian_filter(own.astype(np.float32), _BORDER_PX, order=order, mode="nearest") for order in ((1, 0), (0, 1))
    )
    rows, cols, both = (
        ndimage.uniform_filter(ndimage.uniform_filter(product, _REACH_PX, mode="constant"), _REACH_PX, mode="constant")
        for product in (down * down, along * along, down * along)
    )
    difference, twice = cols - rows, 2 * both
    angle = np.arctan2(twice, difference) / 2 + np.pi / 2  # borders run across their gradient
    return angle.astype(np.float32), np.hypot(difference, twice) / (rows + cols + 1e-9)
