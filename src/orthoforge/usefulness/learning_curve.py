"""How many labels are needed: IoU over the number of real tiles, with and without synthetic ones, as a power law."""

from collections.abc import Mapping, Sequence

import numpy as np

from orthoforge.usefulness.choosing import choose
from orthoforge.usefulness.design import Arm
from orthoforge.usefulness.findings import CurveSide, LearningCurve
from orthoforge.usefulness.paired_statistics import LEAST_SCENES, LEVEL, ROUNDS, iou

NEXT_LABELS = 50
LEAST_POINTS = 3
_TINY = 1e-6  # an error of nothing has no logarithm


def learning_curve(
    tests: Mapping[tuple[Arm, float], np.ndarray], validation: Mapping[tuple[Arm, float], np.ndarray], tiles: Mapping[float, int]
) -> LearningCurve | None:
    """The curve of the best arm without synthetic images and of the best with them, over all fractions.

    ``None`` with fewer than ``LEAST_POINTS`` numbers of real tiles.

    ``tests`` and ``validation`` are counts (seeds, scenes, classes, 2) by arm and fraction, ``tiles`` real tiles by fraction. The
    law is 1 − IoU = a · n^−b (Hestness et al. 2017), fitted by least squares of logarithms. Its intervals are those of a bootstrap
    over seeds and test scenes, which knows nothing of how far the law holds beyond the tiles there are.
    """
    numbers = {count: fraction for fraction, count in sorted(tiles.items())}
    if len(numbers) < LEAST_POINTS:
        return None
    arms = list(dict.fromkeys(arm for arm, _ in tests))
    of_all = {arm: np.concatenate([validation[arm, fraction] for fraction in tiles], axis=1) for arm in arms} if validation else {}
    chosen = choose(of_all, arms)
    synthetic = chosen.synthetic or next(arm for arm in arms if arm.kind == "mixed")
    counts = [np.stack([tests[arm, fraction] for fraction in numbers.values()]) for arm in (chosen.baseline, synthetic)]
    sides = [_side(arm, side, list(numbers)) for arm, side in zip((chosen.baseline, synthetic), counts, strict=True)]
    return {"labels": NEXT_LABELS, "sides": sides, "text": " ".join(_said(side) for side in sides)}


def _side(arm: Arm, counts: np.ndarray, numbers: Sequence[int]) -> CurveSide:
    """``counts`` (fractions, seeds, scenes, classes, 2)."""
    scores = iou(counts.sum(axis=2)).mean(axis=1)
    slope, brings = _fitted(scores[None], numbers)
    drawn = _drawn(counts)
    slopes, more = (None, None) if drawn is None else _fitted(drawn, numbers)
    return {
        "arm": arm.name, "real_tiles": list(numbers), "iou": scores.tolist(), "exponent": float(slope[0]),
        "exponent_interval": _interval(slopes), "next_labels_bring": float(brings[0]), "next_labels_interval": _interval(more),
    }  # fmt: skip


def _drawn(counts: np.ndarray) -> np.ndarray | None:
    """IoU (rounds, fractions) of draws of seeds and scenes, the same at all fractions; ``None`` with too few of either."""
    seeds, scenes = counts.shape[1:3]
    if seeds < 2 or scenes < LEAST_SCENES:
        return None
    rng = np.random.default_rng(0)
    times = rng.multinomial(scenes, np.full(scenes, 1 / scenes), size=ROUNDS)
    chosen = rng.integers(0, seeds, (ROUNDS, seeds))
    by_seed = [iou(np.einsum("rs,nskc->rnkc", times, of)) for of in counts]
    return np.stack([np.take_along_axis(scores, chosen, axis=1).mean(axis=1) for scores in by_seed], axis=1)


def _fitted(scores: np.ndarray, numbers: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Exponents b (rounds,) of IoU (rounds, fractions), and what the next labels bring by that law."""
    x = np.log(numbers)
    y = np.log(np.maximum(1 - scores, _TINY))
    slope = ((x - x.mean()) * y).sum(axis=1) / ((x - x.mean()) ** 2).sum()
    level = y.mean(axis=1) - slope * x.mean()
    now, then = (np.exp(level + slope * np.log(number)) for number in (numbers[-1], numbers[-1] + NEXT_LABELS))
    return -slope, now - then


def _interval(values: np.ndarray | None) -> tuple[float, float] | None:
    if values is None:
        return None
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _said(side: CurveSide) -> str:
    """What the next labels would bring, in words, or that it cannot be told."""
    here = f"{side['arm']}: IoU {side['iou'][-1]:.3f} with {side['real_tiles'][-1]} real tiles"
    interval = side["next_labels_interval"]
    if interval is None:
        return f"{here}; what further labels bring cannot be told from one seed or one test scene."
    low, high = (f"{value:+.3f}".replace("-", "−") for value in interval)
    if interval[0] <= 0:
        return f"{here}; what the next {NEXT_LABELS} labelled tiles bring cannot be told ({low} to {high})."
    return (
        f"{here}; by the power law of these tiles the next {NEXT_LABELS} labelled ones bring {side['next_labels_bring']:+.3f} "
        f"({low} to {high})."
    )
