"""A probe tells what differs, in images that it did not learn from, and is at chance where nothing does."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from orthoforge.measures.realism import probe as probing
from orthoforge.measures.realism.distances import kernel_distance
from orthoforge.measures.realism.probe import fitted, folds_of, probe
from orthoforge.measures.realism.real_sets import beside_real_sets

PLACES = [place for place in ("aba", "bim", "cob") for _ in range(40)]
SCENES = [f"{place}{number // 4 % 10}" for number, place in enumerate(PLACES)]


def vectors(seed, shift=0.0, channels=12):
    """Images of one scene and of one place are alike, and generated ones may be shifted in one direction."""
    ground = np.random.default_rng(12345)
    scene = {name: ground.normal(size=channels) for name in sorted(set(SCENES))}
    place = {name: 3 * ground.normal(size=channels) for name in sorted(set(PLACES))}
    of_place = np.array([scene[s] + place[p] for s, p in zip(SCENES, PLACES, strict=True)])
    return of_place + np.random.default_rng(seed).normal(size=of_place.shape) + shift * np.eye(channels)[0]


def test_separable_images_are_always_told():
    found = probe(vectors(0, shift=40), vectors(0), PLACES, SCENES)
    assert (found.auc, found.low, found.high) == (1, 1, 1)
    assert found.by_group == {"aba": 1, "bim": 1, "cob": 1}
    assert found.n == 120


def test_images_of_one_distribution_are_told_by_chance():
    """Chance lies within the interval in 19 of 20 cases; that it is missed more than 3 times in 20 happens in one of 60."""
    found = [probe(vectors(seed), vectors(100 + seed), PLACES, SCENES) for seed in range(20)]
    assert sum(not each.low <= 0.5 <= each.high for each in found) <= 3
    assert np.mean([each.auc for each in found]) == pytest.approx(0.5, abs=0.05)


def test_a_difference_that_one_place_alone_has_is_not_told_elsewhere():
    """What gives images away in one place only says nothing of the others: left out, no place teaches the probe its own."""
    fake = vectors(0)
    for number, place in enumerate(("aba", "bim", "cob")):
        fake[np.array(PLACES) == place] += 30 * np.eye(12)[number]
    real = vectors(1)
    assert probe(fake, real, PLACES, SCENES).auc < 0.7
    assert probe(fake, real, folds_of(SCENES), SCENES).auc > 0.95


def test_the_regression_is_scikit_learns():
    fake, real = vectors(0, shift=1), vectors(1)
    both, labels = np.concatenate([fake, real]), np.repeat([1.0, 0.0], len(fake))
    scaled = (both - both.mean(axis=0)) / both.std(axis=0)
    expected = LogisticRegression(C=1 / 3.0, tol=1e-10, max_iter=1000).fit(scaled, labels).decision_function(scaled)
    assert np.allclose(fitted(both, labels, penalty=3.0).scores(both), expected, atol=1e-4)


def test_more_channels_than_images_and_a_constant_channel_are_no_matter():
    rng = np.random.default_rng(0)
    both, labels = rng.normal(size=(20, 200)), np.repeat([1.0, 0.0], 10)
    both[:, 7] = 3.0
    found = fitted(both, labels)
    scaled = np.delete(both, 7, axis=1)
    scaled = (scaled - scaled.mean(axis=0)) / scaled.std(axis=0)
    expected = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(scaled, labels).decision_function(scaled)
    assert np.allclose(found.scores(both), expected, atol=1e-4)
    assert found.direction[7] == 0


def test_auc_counts_pairs_and_halves_ties():
    rng = np.random.default_rng(0)
    fake, real = rng.integers(0, 5, 30).astype(float), rng.integers(0, 4, 30).astype(float)
    expected = roc_auc_score(np.repeat([1, 0], 30), np.concatenate([fake, real]))
    assert probing._wins(fake, real).mean() == pytest.approx(expected)


def test_folds_keep_scenes_whole_and_are_even():
    folds = folds_of(SCENES)
    assert len({(scene, fold) for scene, fold in zip(SCENES, folds, strict=True)}) == len(set(SCENES))
    assert [folds.count(name) for name in sorted(set(folds))] == [24] * 5


def test_groups_of_one_scene_leave_no_interval():
    found = probe(vectors(0), vectors(1), PLACES, PLACES)
    assert found.low is None and found.high is None
    assert 0 <= found.auc <= 1


def test_generated_images_stand_beside_the_furthest_real_sets():
    real = vectors(0)[:40]
    as_real, shifted = real.copy(), vectors(1, shift=10)[:40]
    found = beside_real_sets(as_real, real, SCENES[:40])
    assert found.generated == pytest.approx(found.real)  # the other half itself
    assert found.real < found.largest and found.share < 1
    assert (found.n, found.splits) == (20, 20)
    assert beside_real_sets(shifted, real, SCENES[:40]).share > 3
    assert beside_real_sets(real[:3], real[:3], ["aba"] * 3) is None
    assert kernel_distance(shifted, real) > kernel_distance(as_real, real)
