"""Least-error cuts: where to change from one picture to another that overlaps it (Efros and Freeman 2001)."""

import numpy as np
from scipy import ndimage

_SOFT_PX = 0.7  # pixels beside a cut show so much of those beyond it, as a camera would


def least_cut(cost: np.ndarray, *, first: int | None = None, last: int | None = None) -> np.ndarray:
    """The column at which to cut each row of ``cost`` (n, w), (n,) int64: a path of least cost in all.

    From row to row it moves by one column at most. ``first`` and ``last`` are the columns where it begins and ends, if that is
    given; they must be in reach of each other.
    """
    count, width = cost.shape
    summed = np.empty((count, width + 2), np.float64)
    summed[:, [0, -1]] = np.inf
    summed[0, 1:-1] = cost[0]
    if first is not None:
        summed[0, 1:-1] = np.where(np.arange(width) == first, cost[0], np.inf)
    left, straight, right = summed[:, :-2], summed[:, 1:-1], summed[:, 2:]
    for from_left, from_here, from_right, here, own in zip(left, straight, right, straight[1:], cost[1:], strict=False):
        np.minimum(from_left, from_here, out=here)
        np.minimum(here, from_right, out=here)
        np.add(here, own, out=here)
    moves = np.where((left <= straight) & (left <= right), -1, np.where(straight <= right, 0, 1)).tolist()  # to the row before
    at = int(straight[-1].argmin()) if last is None else last
    cut = [at]
    for move in moves[-2::-1]:
        at += move[at]
        cut.append(at)
    return np.array(cut[::-1], np.int64)


def softened(image: np.ndarray, below: np.ndarray, beside: np.ndarray) -> np.ndarray:
    """An image (H, W, B) whose cuts have no stairs: pixels on both sides of a cut run into each other.

    There is a cut between a pixel and the one ``below`` it, (H - 1, W) bool, or the one right ``beside`` it, (H, W - 1) bool.
    """
    at = np.zeros(image.shape[:2], bool)
    at[:-1] |= below
    at[1:] |= below
    at[:, :-1] |= beside
    at[:, 1:] |= beside
    if not at.any():
        return image
    return np.where(at[..., None], ndimage.gaussian_filter(image, (_SOFT_PX, _SOFT_PX, 0), truncate=2, mode="nearest"), image)


def between(parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cuts between ``parts`` (H, W) of an image, as ``softened`` takes them."""
    return parts[1:] != parts[:-1], parts[:, 1:] != parts[:, :-1]
