"""Chance that is a function of place: a hash of whole numbers, the same whatever window is looked at."""

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniform(*keys: int | np.ndarray) -> np.ndarray:
    """Values in [0, 1), of the shape that ``keys`` broadcast to; ``keys`` are whole numbers, such as a seed, a purpose and a place.

    The finalizer of splitmix64 (Steele, Lea and Flood 2014) after each key.
    """
    state = np.zeros((), np.uint64)
    with np.errstate(over="ignore"):
        for key in keys:
            state = _mixed((state ^ np.asarray(key, np.int64).astype(np.uint64)) + _GOLDEN)
    return (state >> np.uint64(11)).astype(np.float64) / 2**53


def _mixed(bits: np.ndarray) -> np.ndarray:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
