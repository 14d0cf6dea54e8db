"""A linear probe: can generated images be told from real ones in a network's vectors, in places that it did not learn from?

Pure functions on arrays. A kernel distance compares sets; the probe says how often one image gives itself away.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orthoforge.measures.realism.distances import ROUNDS

# Of a logistic regression on standardised vectors, by image and per dimension: with hundreds of images and channels everything is
# separable in training, and less than this learns the images by heart (docs/decisions/scores.md).
PENALTY = 1.0
FOLDS = 5
_STEPS, _TOLERANCE = 50, 1e-8
_HALVINGS = 50


@dataclass(frozen=True)
class Probed:
    """How well the probe told images that it did not learn from: 0.5 is by chance, 1 always. ``groups``: how many were left out in
    turn, ``n`` images of each kind.

    ``low`` and ``high`` are 95 % of bootstrap draws of scenes within the groups; ``None`` where no group has two scenes.
    """

    auc: float
    low: float | None
    high: float | None
    by_group: dict[str, float]
    n: int


def probe(
    fake: np.ndarray, real: np.ndarray, groups: Sequence[str], scenes: Sequence[str], *, penalty: float = PENALTY, seed: int = 0
) -> Probed:
    """A probe for each group of images, taught on the others: vectors (N, C) of generated and of real images of the same tiles.

    ``groups`` (N,) are places, or ``folds_of`` one place's scenes. ``auc`` is the mean over groups, so that a probe's threshold
    need not be the same in each. Of two groups at least.
    """
    assert fake.shape == real.shape and len(groups) == len(scenes) == len(fake)
    places, of_scene = np.array(groups), np.array(scenes)
    names = np.unique(places).tolist()
    assert len(names) > 1, names
    rng = np.random.default_rng(seed)
    values, drawn = {}, []
    for name in names:
        test = places == name
        weights = fitted(np.concatenate([fake[~test], real[~test]]), np.repeat([1.0, 0.0], (~test).sum()), penalty=penalty)
        wins = _wins(weights.scores(fake[test]), weights.scores(real[test]))
        values[name] = float(wins.mean())
        drawn.append(_draws(wins, of_scene[test], rng))
    low = high = None
    known = [each for each in drawn if each is not None]
    if known:  # a group of one scene does not vary: nothing is known of how it would
        rest = [np.full(ROUNDS, value) for value, each in zip(values.values(), drawn, strict=True) if each is None]
        low, high = (float(value) for value in np.percentile(np.mean([*known, *rest], axis=0), (2.5, 97.5)))
    return Probed(float(np.mean(list(values.values()))), low, high, values, len(fake))


def folds_of(scenes: Sequence[str], *, folds: int = FOLDS, seed: int = 0) -> list[str]:
    """A fold's name for each image, (N,): scenes go whole into one, the folds are as even as they come."""
    names, numbers, counts = np.unique(list(scenes), return_inverse=True, return_counts=True)
    sizes, of_scene = np.zeros(min(folds, len(names)), int), np.zeros(len(names), int)
    for scene in np.random.default_rng(seed).permutation(len(names)):
        of_scene[scene] = sizes.argmin()
        sizes[of_scene[scene]] += counts[scene]
    return [f"fold {number}" for number in of_scene[numbers].tolist()]


@dataclass(frozen=True)
class Probe:
    """A logistic regression: the log odds that an image is generated."""

    mean: np.ndarray
    direction: np.ndarray
    bias: float

    def scores(self, vectors: np.ndarray) -> np.ndarray:
        """(N,) of vectors (N, C)."""
        return (vectors - self.mean) @ self.direction + self.bias


def fitted(vectors: np.ndarray, labels: np.ndarray, *, penalty: float = PENALTY) -> Probe:
    """Logistic regression of ``labels`` (N,), 1 or 0, on vectors (N, C) scaled to a deviation of 1, by Newton's method.

    Minimises Σ log loss + ``penalty``/2 · |w|², without a penalty of the bias. It is solved in the span of the vectors, which has N
    dimensions at most: the solution lies there.
    """
    vectors = vectors.astype(np.float64)
    mean, deviation = vectors.mean(axis=0), vectors.std(axis=0)
    scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 1e-12 * (1 + np.abs(mean)))
    left, sizes, axes = np.linalg.svd((vectors - mean) * scale, full_matrices=False)
    design = np.concatenate([left * sizes, np.ones((len(vectors), 1))], axis=1)
    ridge = np.append(np.full(len(sizes), penalty), 0.0)
    weights = np.zeros(design.shape[1])
    loss = _loss(design, labels, weights, ridge)
    for _ in range(_STEPS):
        odds = 1 / (1 + np.exp(-np.clip(design @ weights, -500, 500)))
        slope = design.T @ (odds - labels) + ridge * weights
        curve = (design * (odds * (1 - odds))[:, None]).T @ design + np.diag(ridge + 1e-12)
        step = np.linalg.solve(curve, slope)
        for halving in range(_HALVINGS):  # a whole step overshoots where classes are far apart
            found = _loss(design, labels, weights - step / 2**halving, ridge)
            if found <= loss:
                weights = weights - step / 2**halving
                break
        if loss - found <= _TOLERANCE * len(vectors):
            break
        loss = found
    return Probe(mean, scale * (weights[:-1] @ axes), float(weights[-1]))


def _loss(design: np.ndarray, labels: np.ndarray, weights: np.ndarray, ridge: np.ndarray) -> float:
    odds = design @ weights
    return float(np.logaddexp(0, odds).sum() - labels @ odds + 0.5 * ridge @ np.square(weights))


def _wins(fake: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Whether the generated image of each pair (N, M) has the higher score; a tie is a half. The mean is the AUC (Mann-Whitney)."""
    return (fake[:, None] > real[None]) + 0.5 * (fake[:, None] == real[None])


def _draws(wins: np.ndarray, scenes: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """The mean of ``wins`` (N, N) in each of the draws of scenes with putting back (rounds,); ``None`` with one scene.

    Real and generated images of a scene are drawn together.
    """
    names, numbers = np.unique(scenes, return_inverse=True)
    if len(names) < 2:
        return None
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=ROUNDS).astype(float)[:, numbers]
    return np.einsum("ri,ij,rj->r", counts, wins, counts, optimize=True) / counts.sum(axis=1) ** 2
