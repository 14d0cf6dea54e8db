"""Paired statistics of the augmentation experiment, and what they say in words."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from orthoforge.measures.means import Mean, mean_and_error

Score = Callable[[np.ndarray], np.ndarray]
Verdict = Literal["gain", "loss", "no measurable gain", "undecided"]
LEVEL = 0.95
ROUNDS = 2000
# With fewer test scenes a bootstrap over them mostly repeats the same ones.
LEAST_SCENES = 2


class Difference(Mean):
    """A mean of differences paired by seed, with both intervals and what they say."""

    t_interval: tuple[float, float] | None
    bootstrap_interval: tuple[float, float] | None
    by_seed: list[float]
    verdict: Verdict


def iou(counts: np.ndarray) -> np.ndarray:
    """Mean over classes of intersection / union, from counts (..., classes, 2).

    A class that is neither there nor predicted does not count; where that is so of all, nothing was missed and the IoU is 1.
    """
    intersection, union = counts[..., 0].astype(float), counts[..., 1].astype(float)
    present = (union > 0).sum(axis=-1)
    total = (intersection / np.where(union > 0, union, 1)).sum(axis=-1)
    return np.where(present > 0, total / np.maximum(present, 1), 1.0)


def boundary_f(counts: np.ndarray) -> np.ndarray:
    """Mean over classes of the boundary F-score (Csurka et al. 2013), from counts (..., classes, 4) of edge pixels.

    The four are those predicted, those of them near a real edge, those that are real, those of them near a predicted edge. Classes
    count as for ``iou``.
    """
    predicted, right, real, found = np.moveaxis(counts.astype(float), -1, 0)
    present = predicted + real > 0
    hit = (right > 0) & (found > 0)
    inverses = [np.divide(all_of, near, where=hit, out=np.ones_like(near)) for all_of, near in ((predicted, right), (real, found))]
    total = np.where(hit, 2 / sum(inverses), 0).sum(axis=-1)
    return np.where(present.any(axis=-1), total / np.maximum(present.sum(axis=-1), 1), 1.0)


def t_interval(differences: Sequence[float]) -> tuple[float, float] | None:
    """Student's 95 % interval for the mean of differences that pair by seed; ``None`` for fewer than two."""
    figures = mean_and_error(differences)
    if figures["standard_error"] is None:
        return None
    reach = t_quantile(len(differences) - 1) * figures["standard_error"]
    return figures["mean"] - reach, figures["mean"] + reach


def bootstrap_interval(
    arms: np.ndarray, references: np.ndarray, *, score: Score = iou, seed: int = 0
) -> tuple[float, float] | None:
    """95 % percentile interval of the mean difference in ``score``: seeds and test scenes are drawn anew.

    Efron and Tibshirani 1993.
    ``arms`` and ``references`` are counts (seeds, scenes, classes, K) for ``score``; or ``arms`` (arms, seeds, scenes, classes, K),
    whose mean is compared. A round draws as many seeds and scenes as there are, with replacement, the same for both sides; counts
    of the drawn scenes are summed before they become a score. ``None`` with fewer than two seeds or ``LEAST_SCENES`` scenes.
    """
    several = arms if arms.ndim == references.ndim + 1 else arms[None]
    seeds, scenes = references.shape[:2]
    if seeds < 2 or scenes < LEAST_SCENES:
        return None
    rng = np.random.default_rng(seed)
    times = rng.multinomial(scenes, np.full(scenes, 1 / scenes), size=ROUNDS)  # (rounds, scenes): how often each was drawn
    drawn = rng.integers(0, seeds, (ROUNDS, seeds))
    sides = [score(np.einsum("rs,...skc->r...kc", times, side)) for side in (several, references[None])]
    by_seed = sides[0].mean(axis=1) - sides[1].mean(axis=1)  # (rounds, seeds)
    means = np.take_along_axis(by_seed, drawn, axis=1).mean(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def difference(arms: np.ndarray, references: np.ndarray, *, score: Score = iou) -> Difference:
    """Paired difference of one arm (or the mean of several) to a reference, with both intervals and what they say.

    Shapes as in ``bootstrap_interval``.
    """
    several = arms if arms.ndim == references.ndim + 1 else arms[None]
    by_seed = (score(several.sum(axis=2)).mean(axis=0) - score(references.sum(axis=1))).tolist()
    t, bootstrap = t_interval(by_seed), bootstrap_interval(arms, references, score=score)
    return {
        **mean_and_error(by_seed), "t_interval": t, "bootstrap_interval": bootstrap, "by_seed": by_seed,
        "verdict": verdict(t, bootstrap),
    }  # fmt: skip


def verdict(t: tuple[float, float] | None, bootstrap: tuple[float, float] | None) -> Verdict:
    """A gain or loss only where every interval there is lies on one side of 0.

    The t interval answers for other seeds, and is honest with few of them; the bootstrap also for other test scenes, but is too
    narrow with few seeds. Neither alone is enough.
    """
    intervals = [interval for interval in (t, bootstrap) if interval is not None]
    if t is None:
        return "undecided"
    if all(low > 0 for low, _ in intervals):
        return "gain"
    return "loss" if all(high < 0 for _, high in intervals) else "no measurable gain"


def t_quantile(freedom: int, level: float = LEVEL) -> float:
    """The t with ``level`` of Student's distribution between −t and t, by bisection."""
    low, high = 0.0, 1e4
    while high - low > 1e-9 * max(1.0, high):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < level else (low, middle)
    return (low + high) / 2


def _within(t: float, freedom: int) -> float:
    """Student's distribution between −t and t for whole degrees of freedom (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, square = math.sin(angle), math.cos(angle) ** 2
    term = math.cos(angle) if freedom % 2 else 1.0
    total = term if freedom > 1 or freedom % 2 == 0 else 0.0
    for k in range(2 if freedom % 2 else 1, freedom - 2, 2):
        term *= square * k / (k + 1)
        total += term
    return 2 / math.pi * (angle + sine * total) if freedom % 2 else sine * total
