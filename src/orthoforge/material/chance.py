"""Chance that is a function of place: a hash of whole numbers, the same whatever window is looked at."""

import numpy as np

_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_BITS = 2**64 - 1


def uniform(*keys: int | np.ndarray) -> np.ndarray:
    """Values in [0, 1), of the shape that ``keys`` broadcast to; ``keys`` are whole numbers, such as a seed, a purpose and a place.

    The finalizer of splitmix64 (Steele, Lea and Flood 2014) after each key.
    """
    # Single numbers, with which most calls begin, are mixed as Python's own: twenty times as fast as arrays of one.
    single = next((at for at, key in enumerate(keys) if isinstance(key, np.ndarray)), len(keys))
    begun = 0
    for key in keys[:single]:
        begun = _mixed_number(((begun ^ (int(key) & _BITS)) + _GOLDEN) & _BITS)
    state = np.array(begun, np.uint64)
    with np.errstate(over="ignore"):
        for key in keys[single:]:
            state = _mixed((state ^ np.asarray(key, np.int64).astype(np.uint64)) + np.uint64(_GOLDEN))
    return (state >> np.uint64(11)).astype(np.float64) / 2**53


def _mixed(bits: np.ndarray) -> np.ndarray:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(_FIRST)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(_SECOND)
    return bits ^ (bits >> np.uint64(31))


def _mixed_number(bits: int) -> int:
    bits = (bits ^ (bits >> 30)) * _FIRST & _BITS
    bits = (bits ^ (bits >> 27)) * _SECOND & _BITS
    return bits ^ (bits >> 31)
