"""What a loader gets for an index: an image, its mask, and where both come from. Everything random follows from the index."""

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypedDict

import numpy as np
import torch
from torch import Tensor

from orthoforge.errors import ConfigError

Transforms = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Meta(TypedDict):
    """Where a sample comes from. Real and synthetic ones have the same keys, so that a batch may hold both.

    ``name`` is that of the scene or mask, ``place`` the town it is named by. ``row`` and ``col`` are the window's first pixel in
    it, ``gsd_m`` the metres of a pixel, NaN where nobody knows. ``seed`` made the image and ``style`` is its look; -1 and empty
    for a real one, empty also where the seed chose the look.
    """

    name: str
    place: str
    index: int
    row: int
    col: int
    gsd_m: float
    synthetic: bool
    seed: int
    style: str


class Sample(NamedTuple):
    """``image`` (B, H, W) float32 from 0 to 1, ``mask`` (H, W) int64: 0 and 1 for buildings, or indices of classes; ``meta``."""

    image: Tensor
    mask: Tensor
    meta: Meta


class Epoch:
    """The number of the epoch, which all workers of a loader see, also those that live on."""

    def __init__(self) -> None:
        self._number = torch.zeros((), dtype=torch.int64).share_memory_()

    def __int__(self) -> int:
        return int(self._number)

    def set(self, epoch: int) -> None:
        """``ConfigError`` below 0."""
        if epoch < 0:
            raise ConfigError(f"epoch is {epoch}; epochs are counted from 0.")
        self._number.fill_(epoch)


def require_sound(length: int | None, crop_px: int | None, seed: int) -> None:
    """``ConfigError`` for numbers that are none of a data set's."""
    if length is not None and length < 1:
        raise ConfigError(f"length is {length}; a data set has 1 pair or more.")
    if crop_px is not None and crop_px < 1:
        raise ConfigError(f"crop_px is {crop_px}; it must be 1 or more.")
    if seed < 0:
        raise ConfigError(f"seed is {seed}; it must be 0 or more.")


def position(index: int, length: int) -> int:
    """``index``, counted from the end where it is negative. ``IndexError`` beyond both ends, by which a ``for`` ends."""
    if not -length <= index < length:
        raise IndexError(f"index {index} of {length} pairs")
    return int(index) % length


def sample_of(
    image: np.ndarray, mask: np.ndarray, meta: Meta, *, buildings: bool, transforms: Transforms | None, rng: np.random.Generator
) -> Sample:
    """A sample of an image (H, W, B) and a mask (H, W), uint8; ``buildings`` are 0 and 255.

    ``transforms`` gets image and mask as tensors. What it draws from torch, ``random`` and ``numpy.random`` follows from ``rng``.
    """
    bands = np.moveaxis(image, -1, 0).astype(np.float32, order="C")  # by NumPy: torch's threads would wait for each other
    bands /= 255
    pixels = torch.from_numpy(bands)
    labels = torch.from_numpy((mask > 0 if buildings else mask).astype(np.int64))
    if transforms is not None:
        with _chance(int(rng.integers(2**31))):
            pixels, labels = transforms(pixels, labels)
    return Sample(pixels, labels, meta)


@contextlib.contextmanager
def _chance(seed: int) -> Iterator[None]:
    """Global generators of random numbers begin anew here; afterwards they are as they were."""
    there, of_numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed)
            yield
    finally:
        random.setstate(there)
        np.random.set_state(of_numpy)
