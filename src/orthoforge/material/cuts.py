"""Least-error cuts: where to change from one picture to another that overlaps it (Efros and Freeman 2001)."""

import numpy as np


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
    for row in range(1, count):
        before = summed[row - 1]
        np.minimum(before[:-2], before[1:-1], out=summed[row, 1:-1])
        np.minimum(summed[row, 1:-1], before[2:], out=summed[row, 1:-1])
        summed[row, 1:-1] += cost[row]
    cut = np.empty(count, np.int64)
    at = int(summed[-1].argmin()) if last is None else last + 1
    for row in range(count - 1, -1, -1):
        if row < count - 1:
            at += int(summed[row, at - 1 : at + 2].argmin()) - 1
        cut[row] = at - 1
    return cut
