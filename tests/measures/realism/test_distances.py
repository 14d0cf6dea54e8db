"""Distances between sets of vectors have the values that theory and other programs give them."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

from orthoforge.measures.realism.distances import (
    Gaussian,
    Moments,
    frechet_distance,
    frechet_interval,
    kernel_distance,
    kernel_distance_of_subsets,
    kernel_interval,
    manifolds,
    mean_interval,
    polynomial_kernel,
    resample,
    squared_distances,
)


def gaussian(rng, channels, rank=None):
    root = rng.normal(size=(rank or channels, channels))
    return rng.normal(size=channels), root.T @ root


@pytest.mark.parametrize("channels", [1, 5, 40])
def test_frechet_is_scipys_closed_form_on_gaussians(channels):
    rng = np.random.default_rng(channels)
    (mean, covariance), (mean2, covariance2) = gaussian(rng, channels), gaussian(rng, channels)
    root = scipy.linalg.sqrtm(covariance @ covariance2).real
    expected = ((mean - mean2) ** 2).sum() + np.trace(covariance + covariance2 - 2 * root)
    assert frechet_distance(Gaussian.of(mean, covariance), Gaussian.of(mean2, covariance2)) == pytest.approx(expected, rel=1e-9)


def test_frechet_of_a_gaussian_to_itself_is_zero_whatever_its_rank():
    rng = np.random.default_rng(0)
    for rank in (1, 10, 200):
        mean, covariance = gaussian(rng, 200, rank)
        distance = frechet_distance(Gaussian.of(mean, covariance), Gaussian.of(mean, covariance))
        assert distance < 1e-9 * np.trace(covariance)


def test_frechet_does_not_care_whether_it_is_given_vectors_or_moments():
    rng = np.random.default_rng(0)
    for n in (7, 200):  # fewer and more than channels
        x, y = rng.normal(3, 1, (n, 50)), rng.normal(0, 2, (n + 3, 50))
        by_moments = []
        for features in (x, y):
            moments = Moments(50)
            moments.add(features)
            by_moments.append(Gaussian.of(moments.mean, moments.covariance()))
        assert frechet_distance(Gaussian.fitted(x), Gaussian.fitted(y)) == pytest.approx(frechet_distance(*by_moments), rel=1e-9)


@given(sizes=st.lists(st.integers(0, 7), min_size=2, max_size=8).filter(lambda sizes: sum(sizes) > 1), shift=st.floats(-1e4, 1e4))
def test_moments_of_batches_are_those_of_the_whole(sizes, shift):
    features = np.random.default_rng(0).normal(shift, 1, (sum(sizes), 3))
    moments = Moments(3)
    for batch in np.split(features, np.cumsum(sizes)[:-1]):
        moments.add(batch)
    assert moments.n == len(features)
    assert moments.mean == pytest.approx(features.mean(axis=0), abs=1e-8)
    assert moments.covariance() == pytest.approx(np.cov(features.T), abs=1e-7)


def test_weights_count_as_repetitions():
    rng = np.random.default_rng(0)
    features, weights = rng.normal(size=(6, 3)), np.array([0, 2, 1, 3, 0, 1])
    repeated, weighted = Gaussian.fitted(np.repeat(features, weights, axis=0)), Gaussian.fitted(features, weights)
    assert frechet_distance(repeated, weighted) == pytest.approx(0, abs=1e-12)
    assert np.square(weighted.factor).sum() == pytest.approx(np.cov(np.repeat(features, weights, axis=0).T).trace())


def test_kernel_distance_by_hand():
    x, y = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.array([[2.0, 0.0], [0.0, 0.0]])
    within_x = np.mean([1, 1.5**3, 1.5**3])  # (0, 1), (0, 2), (1, 2)
    across = np.mean([2**3, 1, 1, 1, 2**3, 1])
    assert kernel_distance(x, y) == pytest.approx(within_x + 1 - 2 * across)


def test_kernel_distance_is_without_bias_and_the_biased_one_is_not():
    rng = np.random.default_rng(0)
    unbiased, biased = [], []
    for _ in range(400):
        x, y = rng.normal(0.5, 1, (2, 8, 4))
        unbiased.append(kernel_distance(x, y))
        biased.append(polynomial_kernel(x, x).mean() + polynomial_kernel(y, y).mean() - 2 * polynomial_kernel(x, y).mean())
    error = np.std(unbiased) / np.sqrt(len(unbiased))
    assert abs(np.mean(unbiased)) < 3 * error
    assert np.mean(biased) > 10 * error


def test_kernel_distance_finds_on_average_what_lies_between_two_distributions():
    """Against the expectation of the kernel, which is known for normal distributions, from many more samples."""
    rng = np.random.default_rng(1)
    many_x, many_y = rng.normal(0, 1, (4000, 3)), rng.normal(1, 1, (4000, 3))
    truth = kernel_distance(many_x, many_y)
    few = [kernel_distance(rng.normal(0, 1, (10, 3)), rng.normal(1, 1, (15, 3))) for _ in range(500)]
    assert np.mean(few) == pytest.approx(truth, abs=3 * np.std(few) / np.sqrt(len(few)))


def test_subsets_of_everything_are_the_whole_and_small_ones_agree_on_average():
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, (60, 5)), rng.normal(0.3, 1, (60, 5))
    assert kernel_distance_of_subsets(x, y, subsets=2, size=1000) == pytest.approx(kernel_distance(x, y))
    some = kernel_distance_of_subsets(x, y, subsets=400, size=20)
    assert some.mean() == pytest.approx(kernel_distance(x, y), abs=3 * some.std() / np.sqrt(400))


def test_blocks_do_not_change_a_thing(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(23, 4)), rng.normal(size=(19, 4))
    drawn = resample(["a", "b"] * 11 + ["c"], ["a", "b", "c"] * 6 + ["a"], together=True, rounds=20)
    whole = kernel_distance(x, y), kernel_interval(x, y, drawn), manifolds(x, y).density
    monkeypatch.setattr("orthoforge.measures.realism.distances._BLOCK", 5)
    assert kernel_distance(x, y) == pytest.approx(whole[0])
    assert kernel_interval(x, y, drawn) == pytest.approx(whole[1])
    assert np.array_equal(manifolds(x, y).density, whole[2])


def test_kernel_intervals_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    truth = kernel_distance(rng.normal(0, 1, (3000, 3)), rng.normal(0.7, 1, (3000, 3)))
    names, hits = [str(number) for number in range(40)], 0
    for seed in range(80):
        x, y = rng.normal(0, 1, (40, 3)), rng.normal(0.7, 1, (40, 3))
        low, high = kernel_interval(x, y, resample(names, names, together=False, rounds=100, seed=seed))
        hits += low <= truth <= high
    assert 0.8 < hits / 80 <= 1  # 95 % when there are many vectors


def test_drawing_scenes_twice_does_not_move_the_distance():
    """Pairs within a scene counted k² times for a scene drawn k times would lift every draw by what those pairs have in common."""
    rng = np.random.default_rng(0)
    x, y = (np.repeat(rng.normal(0, 1, (15, 3)), 6, axis=0) + rng.normal(0, 0.1, (90, 3)) for _ in range(2))
    scenes = np.repeat([str(group) for group in range(15)], 6).tolist()
    for together in (False, True):
        low, high = kernel_interval(x, y, resample(scenes, scenes, together=together, rounds=400))
        assert low < kernel_distance(x, y) < high
        assert (low + high) / 2 == pytest.approx(kernel_distance(x, y), abs=(high - low) / 4)


def test_resampling_images_as_if_they_were_independent_gives_too_narrow_an_interval():
    rng = np.random.default_rng(0)
    x, y = (np.repeat(rng.normal(shift, 1, (12, 3)), 10, axis=0) + rng.normal(0, 0.1, (120, 3)) for shift in (0, 1))
    scenes, images = np.repeat([str(group) for group in range(12)], 10).tolist(), [str(number) for number in range(120)]
    by_scene, by_image = (
        np.ptp(kernel_interval(x, y, resample(names, names, together=False, rounds=200))) for names in (scenes, images)
    )
    assert by_scene > 2 * by_image


def test_the_frechet_interval_lies_around_the_distance_and_shrinks_with_more_images():
    rng = np.random.default_rng(0)
    widths = []
    for n in (30, 300):
        x, y = rng.normal(0, 1, (n, 6)), rng.normal(0.5, 1, (n, 6))
        names = [str(number) for number in range(n)]
        distance = frechet_distance(Gaussian.fitted(x), Gaussian.fitted(y))
        low, high = frechet_interval(x, y, resample(names, names, together=False), around=distance)
        assert low <= distance <= high
        widths.append(high - low)
    assert widths[0] > 2 * widths[1]


def test_the_frechet_intervals_spread_is_that_of_new_samples():
    """Also where only the leading axes are looked at: 200 channels of falling variance."""
    rng = np.random.default_rng(0)
    scales = 1 / np.arange(1, 201)

    def sample():
        return rng.normal(0.3, 1, (150, 200)) * scales, rng.normal(0, 1, (150, 200)) * scales

    names = [str(number) for number in range(150)]
    distances, spreads = [], []
    for seed in range(40):
        x, y = sample()
        distances.append(frechet_distance(Gaussian.fitted(x), Gaussian.fitted(y)))
        if seed < 6:
            low, high = frechet_interval(x, y, resample(names, names, together=False, rounds=60), around=distances[-1])
            spreads.append((high - low) / (2 * 1.96))
    assert np.mean(spreads) == pytest.approx(np.std(distances), rel=0.3)


def test_scenes_of_both_sets_are_drawn_together_or_each_for_itself():
    groups = ["a", "a", "b", "c"]
    together = resample(groups, groups[::-1], together=True, rounds=50)
    assert np.array_equal(together.x, together.y[:, ::-1])
    assert np.array_equal(together.x[:, 0], together.x[:, 1])
    apart = resample(groups, groups, together=False, rounds=50)
    assert not np.array_equal(apart.x, apart.y)
    assert not set(apart.x_groups) & set(apart.y_groups)
    assert resample(["a", "a"], ["a", "b"], together=False) is None


def test_manifolds_by_hand():
    real = np.array([[0.0], [1.0], [2.0], [3.0], [10.0]])
    fake = np.array([[1.5], [1.6], [1.7], [1.8], [100.0]])
    found = manifolds(fake, real)
    # The third neighbour of 0 is 3, of 1 is 2 away (3), of 2 is 2 away (0), of 3 is 3 away (0), of 10 is 9 away (1).
    assert found.precise.tolist() == [1, 1, 1, 1, 0]
    # Balls of the fakes reach 0.3, 0.2, 0.2, 0.3 around them, and that of 100 reaches 98.4: to 1.6.
    assert found.recalled.tolist() == [0, 0, 1, 1, 1]
    # k is 4 at most with five reals; those balls reach 10, 9, 8, 7, 10.
    assert found.density.tolist() == [5 / 4, 5 / 4, 5 / 4, 5 / 4, 0]
    assert found.covered.tolist() == [1, 1, 1, 1, 1]


def test_equal_sets_are_precise_and_recalled_and_far_ones_are_neither():
    x = np.random.default_rng(0).normal(size=(30, 8))
    for scores in (manifolds(x, x), manifolds(np.repeat(x[:10], 3, axis=0), np.repeat(x[:10], 3, axis=0))):
        assert scores.precise.all() and scores.recalled.all() and scores.covered.all()
    far = manifolds(x + 100, x)
    assert not (far.precise.any() or far.recalled.any() or far.density.any() or far.covered.any())


def test_distances_of_equal_vectors_are_zero_exactly():
    x = np.random.default_rng(0).normal(1000, 1, (20, 30)).astype(np.float32)
    apart = squared_distances(x, x)
    assert (np.diag(apart) == 0).all()
    assert apart[0, 1] == pytest.approx(((x[0].astype(float) - x[1]) ** 2).sum(), rel=1e-6)


def test_the_interval_of_a_mean():
    values = np.random.default_rng(0).normal(5, 1, 400)
    names = [str(number) for number in range(400)]
    low, high = mean_interval(values, resample(names, names, together=False, rounds=400).x)
    assert low < values.mean() < high
    assert (high - low) / (2 * 1.96) == pytest.approx(1 / 20, rel=0.2)
