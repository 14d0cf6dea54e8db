"""How far apart two sets of feature vectors are: pure functions on arrays (N, C), in float64.

The libraries at hand (torchmetrics) have Fréchet and kernel distances too. Ours are here for what they lack: a distance that stays
0 for equal sets when there are fewer images than channels, the kernel distance over all pairs instead of random subsets, and
intervals that resample scenes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Rows that are compared with all others at a time: 512 × 10 000 distances are 41 MB.
_BLOCK = 512
NEAREST = 3  # Kynkäänniemi et al. 2019
NEAREST_DENSITY = 5  # Naeem et al. 2020
# The spread of a Fréchet distance is that of its leading axes; the others hold little, and each round would take seconds.
SPREAD_AXES = 128
ROUNDS = 200
_INTERVAL = (2.5, 97.5)


class Moments:
    """Mean and covariance of vectors that come in batches. Memory does not grow with their number.

    Batches are joined by Chan et al. 1979's formula, which loses no digits where the mean is large; small ones are gathered first,
    since each joining goes through the whole covariance.
    """

    def __init__(self, channels: int) -> None:
        self._n = 0
        self._mean = np.zeros(channels)
        self._scatter = np.zeros((channels, channels))
        self._waiting: list[np.ndarray] = []

    @property
    def n(self) -> int:
        """How many vectors came."""
        return self._n + sum(map(len, self._waiting))

    @property
    def mean(self) -> np.ndarray:
        """(C,)."""
        self._join()
        return self._mean

    def add(self, features: np.ndarray) -> None:
        """Take in (N, C)."""
        self._waiting.append(np.asarray(features, np.float64))
        if sum(map(len, self._waiting)) >= _BLOCK:
            self._join()

    def covariance(self) -> np.ndarray:
        """(C, C), divided by n − 1; of two vectors at least."""
        self._join()
        assert self._n > 1, self._n
        return self._scatter / (self._n - 1)

    def _join(self) -> None:
        features = np.concatenate([np.empty((0, len(self._mean))), *self._waiting])
        self._waiting = []
        if not len(features):
            return
        mean = features.mean(axis=0)
        centred, shift = features - mean, mean - self._mean
        total = self._n + len(features)
        self._scatter += centred.T @ centred + np.outer(shift, shift) * (self._n * len(features) / total)
        self._mean = self._mean + shift * (len(features) / total)
        self._n = total


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution: its mean (C,), and a factor F (r, C) of its covariance FᵀF."""

    mean: np.ndarray
    factor: np.ndarray

    @staticmethod
    def of(mean: np.ndarray, covariance: np.ndarray) -> "Gaussian":
        """From a covariance of any rank; eigenvalues that are nothing but rounding are left out."""
        values, vectors = np.linalg.eigh(covariance)
        kept = values > values.max(initial=0) * len(values) * np.finfo(np.float64).eps
        return Gaussian(mean, (vectors[:, kept] * np.sqrt(values[kept])).T)

    @staticmethod
    def fitted(features: np.ndarray, weights: np.ndarray | None = None) -> "Gaussian":
        """To vectors (N, C), each counted ``weights`` times (N,)."""
        features = np.asarray(features, np.float64)
        counts = np.ones(len(features)) if weights is None else weights.astype(np.float64)
        assert counts.sum() > 1, counts
        mean = counts @ features / counts.sum()
        rows = (features - mean) * np.sqrt(counts / (counts.sum() - 1))[:, None]
        return Gaussian(mean, rows) if len(rows) <= rows.shape[1] else Gaussian.of(mean, rows.T @ rows)


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """Squared Fréchet distance of two normal distributions (Heusel et al. 2017): |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½).

    tr (Σ₁Σ₂)^½ is the sum of the singular values of F₁F₂ᵀ. The root of a product of matrices, as usually computed, takes roots of
    rounding errors where covariances lack rank: with 1280 channels that makes distances of 1e-5 out of nothing.
    """
    overlap = np.linalg.svd(first.factor @ second.factor.T, compute_uv=False).sum()
    apart = np.square(first.mean - second.mean).sum()
    distance = apart + np.square(first.factor).sum() + np.square(second.factor).sum() - 2 * overlap
    return max(0.0, float(distance))


def polynomial_kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(x·y / C + 1)³ of every pair (N, M): Bińkowski et al. 2018's kernel. Their γ is 1 by the number of channels, c is 1."""
    products = x @ y.T / x.shape[1] + 1
    return products * products * products  # a power of floats takes ten times as long


def kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Squared maximum mean discrepancy of two sets of vectors (N, C) and (M, C), by ``polynomial_kernel``, without bias.

    The U-statistic over all pairs (Gretton et al. 2012, eq. 3). 0 on average for two samples of one distribution, so it may be
    negative. Two equal sets give a little less than 0, since a vector is compared with itself across the sets and not within.
    """
    return float(kernel_distances(x, y, None, None, None)[0])


def kernel_distance_of_subsets(x: np.ndarray, y: np.ndarray, *, subsets: int = 100, size: int = 1000, seed: int = 0) -> np.ndarray:
    """``kernel_distance`` of random subsets, (subsets,): Bińkowski et al. 2018's estimator, whose mean is usually called KID.

    Drawn without putting back. Only for comparison with other programs; all pairs tell more.
    """
    size = min(size, len(x), len(y))
    rng = np.random.default_rng(seed)
    chosen = [(rng.choice(len(x), size, replace=False), rng.choice(len(y), size, replace=False)) for _ in range(subsets)]
    return np.array([kernel_distance(x[some], y[others]) for some, others in chosen])


@dataclass(frozen=True)
class Resampled:
    """Bootstrap draws: how often each vector of two sets was drawn, (rounds, N) and (rounds, M), and whole groups at a time.

    ``x_groups`` (N,) and ``y_groups`` (M,) are numbers of groups; equal numbers are the same group of both sets.
    """

    x: np.ndarray
    y: np.ndarray
    x_groups: np.ndarray
    y_groups: np.ndarray


def resample(
    x_groups: Sequence[str], y_groups: Sequence[str], *, together: bool, rounds: int = ROUNDS, seed: int = 0
) -> Resampled | None:
    """Draw groups with putting back, of both sets at once or of each for itself; ``None`` where a set has fewer than two.

    ``together`` is for sets whose groups are the same scenes: a scene that is drawn twice is there twice in both.
    """
    rng = np.random.default_rng(seed)
    if together:
        names, numbers = np.unique([*x_groups, *y_groups], return_inverse=True)
        in_x, in_y = numbers[: len(x_groups)], numbers[len(x_groups) :]
        if len(names) < 2 or set(in_x) != set(in_y):
            return None
        draws = _draw(rng, len(names), rounds)
        return Resampled(draws[:, in_x], draws[:, in_y], in_x, in_y)
    x_names, in_x = np.unique(list(x_groups), return_inverse=True)
    y_names, in_y = np.unique(list(y_groups), return_inverse=True)
    if min(len(x_names), len(y_names)) < 2:
        return None
    x_draws, y_draws = _draw(rng, len(x_names), rounds), _draw(rng, len(y_names), rounds)
    return Resampled(x_draws[:, in_x], y_draws[:, in_y], in_x, in_y + len(x_names))


def kernel_interval(x: np.ndarray, y: np.ndarray, drawn: Resampled) -> tuple[float, float]:
    """95 % interval of ``kernel_distance``: percentiles over the draws.

    Pairs within a group that was drawn k times count k times, not k²: counted k² they would be there twice as often as in the sets,
    on average, and tiles of one scene are alike, so every draw would lie above the distance itself.
    """
    return _interval(kernel_distances(x, y, drawn, drawn.x, drawn.y))


def frechet_interval(x: np.ndarray, y: np.ndarray, drawn: Resampled, *, around: float) -> tuple[float, float]:
    """95 % interval of a Fréchet distance: the spread over the draws, put ``around`` the distance itself.

    A draw repeats vectors, has less rank than the set and lies further away, so its percentiles would miss the distance. The spread
    is that within the ``SPREAD_AXES`` axes along which both sets vary most.
    """
    both = _leading_axes(np.concatenate([x, y]), SPREAD_AXES)
    x, y = both[: len(x)], both[len(x) :]
    distances = [
        frechet_distance(Gaussian.fitted(x, some), Gaussian.fitted(y, others))
        for some, others in zip(drawn.x, drawn.y, strict=True)
        if min(some.sum(), others.sum()) > 1
    ]
    low, high = _interval(np.array(distances) - np.mean(distances))
    return max(0.0, around + low), around + high


def mean_interval(values: np.ndarray, draws: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean of (N,) over draws (rounds, N)."""
    totals = draws.sum(axis=1)
    return _interval((draws @ values.astype(np.float64))[totals > 0] / totals[totals > 0])


@dataclass(frozen=True)
class Manifolds:
    """Image by image, whether one set lies where the other does. The means over the images are the four scores."""

    precise: np.ndarray  # (N,) of the fakes, 0 or 1
    recalled: np.ndarray  # (M,) of the reals, 0 or 1
    density: np.ndarray  # (N,) of the fakes, 0 and up
    covered: np.ndarray  # (M,) of the reals, 0 or 1


def manifolds(fake: np.ndarray, real: np.ndarray) -> Manifolds:
    """Precision and recall (Kynkäänniemi et al. 2019, k = 3), density and coverage (Naeem et al. 2020, k = 5).

    Around each vector lies a ball that reaches to its k-th nearest neighbour in its own set. A fake is precise when it lies in a
    ball of a real one, a real one recalled when it lies in a ball of a fake. Density counts the balls, by k; a real one is covered
    when a fake lies in its own ball. Sets of ``NEAREST`` + 1 vectors at least; below ``NEAREST_DENSITY`` + 1 reals k is smaller.
    """
    assert min(len(fake), len(real)) > NEAREST, (len(fake), len(real))
    wide_k = min(NEAREST_DENSITY, len(real) - 1)
    near_fake = _radii(fake, [NEAREST])[0]
    near_real, wide_real = _radii(real, [NEAREST, wide_k])
    precise, density = np.zeros(len(fake)), np.zeros(len(fake))
    recalled, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for begin in range(0, len(fake), _BLOCK):
        block = slice(begin, begin + _BLOCK)
        apart = squared_distances(fake[block], real)
        precise[block] = (apart <= near_real).any(axis=1)
        density[block] = (apart <= wide_real).sum(axis=1) / wide_k
        recalled |= (apart <= near_fake[block, None]).any(axis=0)
        covered |= (apart <= wide_real).any(axis=0)
    return Manifolds(precise, recalled.astype(float), density, covered.astype(float))


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances (N, M). Of equal vectors 0 exactly, not a rounding error that is larger than a radius of 0."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    x_sums, y_sums = np.square(x).sum(axis=1)[:, None], np.square(y).sum(axis=1)[None, :]
    apart = x_sums + y_sums - 2 * (x @ y.T)
    apart[apart < 1e-12 * (x_sums + y_sums)] = 0
    return apart


def kernel_distances(
    x: np.ndarray, y: np.ndarray, drawn: Resampled | None, x_draws: np.ndarray | None, y_draws: np.ndarray | None
) -> np.ndarray:
    """Kernel distances of resampled sets, (rounds,), or (1,) of the sets themselves.

    ``x`` (N, D) and ``y`` (M, D) are features, ``x_draws`` (rounds, N) and ``y_draws`` (rounds, M) how often each was drawn.
    Members of one group of ``drawn`` are not compared with each other. Without all three the sets are taken as they are.
    """
    x, y = x.astype(np.float64), y.astype(np.float64)
    x_groups = np.arange(len(x)) if drawn is None else drawn.x_groups
    y_groups = np.arange(len(y)) + len(x) if drawn is None else drawn.y_groups
    x_draws = np.ones((1, len(x))) if x_draws is None else x_draws.astype(np.float64)
    y_draws = np.ones((1, len(y))) if y_draws is None else y_draws.astype(np.float64)
    within_x = _mean_kernel(x, x, x_groups, x_groups, x_draws, x_draws, same=True)
    within_y = _mean_kernel(y, y, y_groups, y_groups, y_draws, y_draws, same=True)
    return within_x + within_y - 2 * _mean_kernel(x, y, x_groups, y_groups, x_draws, y_draws, same=False)


def _mean_kernel(
    x: np.ndarray,
    y: np.ndarray,
    x_groups: np.ndarray,
    y_groups: np.ndarray,
    x_draws: np.ndarray,
    y_draws: np.ndarray,
    *,
    same: bool,
) -> np.ndarray:
    """Mean kernel of all pairs in each draw (rounds,); when x and y are the ``same`` set, without pairs of a vector with itself."""
    sums, counts = np.zeros(len(x_draws)), np.zeros(len(x_draws))
    for begin in range(0, len(x), _BLOCK):
        rows = np.arange(begin, min(begin + _BLOCK, len(x)))
        kernel = polynomial_kernel(x[rows], y)
        alike = x_groups[rows, None] == y_groups[None, :]
        weights = x_draws[:, rows]
        if same:
            itself = np.arange(len(rows)), rows
            kernel[itself], alike[itself] = 0, False
            counts -= (weights**2).sum(axis=1)
        # Within a group the count is the same for both, k: take k² off and add k.
        correction = weights - weights**2
        sums += ((weights @ kernel) * y_draws).sum(axis=1) + correction @ (kernel * alike).sum(axis=1)
        counts += weights.sum(axis=1) * y_draws.sum(axis=1) + correction @ alike.sum(axis=1)
    return sums / np.where(counts > 0, counts, np.nan)


def _leading_axes(features: np.ndarray, axes: int) -> np.ndarray:
    """Coordinates (N, ``axes`` or fewer) of vectors (N, C) along the axes on which they vary most."""
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    if centred.shape[1] <= axes:
        return centred
    if len(centred) < centred.shape[1]:  # the smaller of two matrices with the same eigenvalues
        values, vectors = np.linalg.eigh(centred @ centred.T)
        return vectors[:, -axes:] * np.sqrt(values[-axes:].clip(min=0))
    return centred @ np.linalg.eigh(centred.T @ centred)[1][:, -axes:]


def _radii(features: np.ndarray, ks: Sequence[int]) -> list[np.ndarray]:
    """Squared distance (N,) of each vector to its k-th nearest other one, for each k."""
    radii = np.empty((len(ks), len(features)))
    for begin in range(0, len(features), _BLOCK):
        rows = np.arange(begin, min(begin + _BLOCK, len(features)))
        apart = squared_distances(features[rows], features)
        apart[np.arange(len(rows)), rows] = np.inf
        nearest = np.sort(np.partition(apart, max(ks) - 1, axis=1)[:, : max(ks)], axis=1)
        radii[:, rows] = nearest[:, [k - 1 for k in ks]].T
    return list(radii)


def _draw(rng: np.random.Generator, groups: int, rounds: int) -> np.ndarray:
    """How often each group is drawn (rounds, groups), as many times as there are groups."""
    return rng.multinomial(groups, np.full(groups, 1 / groups), size=rounds).astype(np.float64)


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.nanpercentile(values, _INTERVAL)
    return float(low), float(high)
