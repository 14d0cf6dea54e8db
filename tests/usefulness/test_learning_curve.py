"""What further labels would bring, by a power law, or that it cannot be told."""

import numpy as np
import pytest

from orthoforge.usefulness.design import Arm
from orthoforge.usefulness.learning_curve import learning_curve

FREE, MIXED = Arm("strong"), Arm("mixed", 1)
TILES = {0.125: 10, 0.25: 20, 0.5: 40, 1.0: 80}


def counts(score, *, seeds=3, scenes=6, spread=0.0, seed=0):
    """(seeds, scenes, 1, 2) with this IoU, give or take."""
    rng = np.random.default_rng(seed)
    drawn = np.clip(score + spread * rng.standard_normal((seeds, scenes)), 0, 1)
    return np.stack([np.round(1e6 * drawn).astype(int), np.full((seeds, scenes), 10**6)], axis=-1)[:, :, None]


def curve(law, *, tiles=TILES, validation=True, **options):
    tests = {
        (arm, fraction): counts(law(number) + gain, seed=number, **options)
        for arm, gain in ((FREE, 0.0), (MIXED, 0.05))
        for fraction, number in tiles.items()
    }
    return learning_curve(tests, tests if validation else {}, tiles)


def law(number):
    return 1 - 1.2 * number**-0.4


def test_a_power_law_is_found_and_followed():
    found = curve(law)
    assert [side["arm"] for side in found["sides"]] == ["real, strong augmentation", "real + synthetic 1:1"]
    side = found["sides"][0]
    assert side["real_tiles"] == [10, 20, 40, 80]
    assert side["exponent"] == pytest.approx(0.4, abs=1e-3)
    assert side["next_labels_bring"] == pytest.approx(law(130) - law(80), abs=1e-4)
    low, high = side["next_labels_interval"]
    assert low <= side["next_labels_bring"] <= high
    assert f"the next 50 labelled ones bring {law(130) - law(80):+.3f}" in found["text"]


def test_what_chance_could_have_made_is_not_told():
    found = curve(lambda number: 0.6, spread=0.1)
    assert "cannot be told (" in found["text"]
    assert found["sides"][0]["next_labels_interval"][0] < 0


def test_one_seed_or_two_fractions_tell_nothing():
    found = curve(law, seeds=1)
    assert found["sides"][0]["next_labels_interval"] is None
    assert "cannot be told from one seed" in found["text"]
    assert curve(law, tiles={0.5: 40, 1.0: 80}) is None
    assert curve(law, tiles={0.1: 40, 0.5: 40, 1.0: 80}) is None, "two fractions may be of the same tiles"


def test_without_validation_tiles_the_arms_are_fixed_beforehand():
    assert [side["arm"] for side in curve(law, validation=False)["sides"]] == ["real, strong augmentation", "real + synthetic 1:1"]
