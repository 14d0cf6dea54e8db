"""The kernel distance of generated images beside the largest that real sets of as many images have between them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orthoforge.measures.realism.distances import kernel_distance
from orthoforge.measures.realism.realism import KERNEL_UNIT, LEAST_SET, split_halves

SPLITS = 20


@dataclass(frozen=True)
class BesideReal:
    """Kernel distances × 1000 of a half of the images, ``n`` of them, from the other half of the real ones, over ``splits``.

    ``generated`` is the mean where the first half is generated, ``real`` where it is real, ``largest`` the largest of the latter.
    """

    generated: float
    real: float
    largest: float
    n: int
    splits: int

    @property
    def share(self) -> float | None:
        """``generated`` as a share of ``largest``: up to 1 real sets are as far apart. ``None`` where none of them is."""
        return self.generated / self.largest if self.largest > 0 else None


def beside_real_sets(fake: np.ndarray, real: np.ndarray, scenes: Sequence[str], *, seed: int = 0) -> BesideReal | None:
    """Of vectors (N, C) of generated and of real images of the same tiles, in one order; ``None`` with fewer than 4 images, or when
    one scene has nearly all.

    Halves share no scene where there are several.
    """
    rng = np.random.default_rng(seed)
    by_scene = len(set(scenes)) > 1
    halves = [split_halves(scenes, rng, by_scene=by_scene) for _ in range(SPLITS)]
    halves = [(one, other) for one, other in halves if min(len(one), len(other)) >= LEAST_SET]
    if not halves:
        return None
    generated = [KERNEL_UNIT * kernel_distance(fake[other], real[one]) for one, other in halves]
    apart = [KERNEL_UNIT * kernel_distance(real[other], real[one]) for one, other in halves]
    n = round(float(np.mean([len(other) for _, other in halves])))
    return BesideReal(float(np.mean(generated)), float(np.mean(apart)), max(apart), n, len(halves))
