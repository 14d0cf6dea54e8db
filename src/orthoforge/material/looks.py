"""The colours of a place that the material is not of: histograms of a library's place become those of an image there."""

from dataclasses import dataclass

import numpy as np

from orthoforge.material.chance import uniform

_LOOK = 41  # a purpose of chance
_LEVELS = 256


@dataclass(frozen=True)
class Looks:
    """``counts`` (T, B, 256) are the histograms of T images, ``identity`` a checksum of where they come from."""

    counts: np.ndarray
    identity: str

    def table(self, own: np.ndarray, seed: int) -> np.ndarray:
        """(B, 256) uint8: what each level of each band becomes where all images together have the histograms ``own`` (B, 256).

        The seed draws one of the looks. Levels keep their order, and the share of pixels below each: histogram matching (Gonzalez
        and Woods, *Digital Image Processing*, section 3.3). One table is for a whole scene, whatever part of it is looked at.
        """
        look = self.counts[int(uniform(seed, _LOOK) * len(self.counts))]
        return np.stack([_matched(*levels) for levels in zip(own, look, strict=True)])


def histograms(images: np.ndarray) -> np.ndarray:
    """(B, 256) counts of the levels of each band of ``images`` (..., B) uint8."""
    return np.stack([np.bincount(images[..., band].ravel(), minlength=_LEVELS) for band in range(images.shape[-1])])


def recoloured(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    """``image`` (H, W, B) uint8 with the levels of each band by its row of ``table``."""
    return np.stack([row[image[..., band]] for band, row in enumerate(table)], axis=-1)


def _matched(own: np.ndarray, there: np.ndarray) -> np.ndarray:
    below, wanted = (np.cumsum(counts) / counts.sum() for counts in (own, there))
    is_there = there > 0
    return np.rint(np.interp(below, wanted[is_there], np.flatnonzero(is_there))).astype(np.uint8)
