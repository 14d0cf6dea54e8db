"""What synthetic images are compared with: the best that costs nothing, by validation tiles, never by those that test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orthoforge.usefulness.design import STRONG, Arm
from orthoforge.usefulness.paired_statistics import iou


@dataclass(frozen=True)
class Chosen:
    """``baseline`` is the best arm without synthetic images, ``synthetic`` the best with them; ``scores`` are on validation tiles.

    Without such tiles there are no scores and no ``synthetic``.
    """

    baseline: Arm
    synthetic: Arm | None
    scores: Mapping[Arm, float]


def choose(validation: Mapping[Arm, np.ndarray], arms: Sequence[Arm]) -> Chosen:
    """By the mean IoU over seeds of counts (seeds, scenes, classes, 2) of validation tiles.

    Where there are none, nothing can choose: the baseline is strong augmentation, fixed beforehand.
    """
    if not validation:
        return Chosen(STRONG, None, {})
    scores = {arm: float(iou(validation[arm].sum(axis=1)).mean()) for arm in arms}
    free, synthetic = (max((arm for arm in arms if arm.is_free == kind), key=scores.__getitem__) for kind in (True, False))
    return Chosen(free, synthetic, scores)
