"""Diversity is 0 for what does not vary, and grows with what does."""

import numpy as np
import pytest
import torch

from orthoforge.measures.realism.diversity import PROBED, SEEDS, diversity
from orthoforge.measures.realism.features import LiteFeatures
from orthoforge.models.conditions import encode_image


@pytest.fixture(scope="module")
def maps_of():
    torch.set_num_threads(1)
    lite = LiteFeatures()
    return lambda pixels: lite(encode_image(torch.from_numpy(pixels)))[0]


REALS = [np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8) for number in range(4)]


def drawn(spread):
    def draw(number, seed):
        noise = np.random.default_rng([number, seed]).normal(0, spread, REALS[number].shape)
        return (REALS[number] * 0.5 + 64 + noise).clip(0, 255).astype(np.uint8)

    return draw


def test_a_deterministic_network_has_none_and_is_not_asked_for_every_mask(maps_of):
    asked = []

    def draw(number, seed):
        asked.append(number)
        return drawn(0)(number, seed)

    found = diversity(draw, REALS, maps_of, first_seed=3)
    assert (found["value"], found["levels"], found["deterministic"]) == (0, 0, True)
    assert found["seeds"] == [3, 4, 5, 6]
    assert found["masks"] == PROBED == len(asked) / SEEDS
    assert found["between_masks"] > 0.1


def test_it_grows_with_the_spread_over_seeds(maps_of):
    found = [diversity(drawn(spread), REALS, maps_of, first_seed=0) for spread in (2, 10, 40)]
    values = [one["value"] for one in found]
    assert values == sorted(values) and values[0] > 0
    assert [one["masks"] for one in found] == [4] * 3
    assert not any(one["deterministic"] for one in found)
    # Two normal deviates of one size are 2 / √π of it apart on average.
    assert found[1]["levels"] == pytest.approx(10 * 2 / np.sqrt(np.pi), rel=0.05)


def test_a_single_mask_has_no_error_and_nothing_to_compare_with(maps_of):
    found = diversity(drawn(10), REALS[:1], maps_of, first_seed=0)
    assert found["standard_error"] is None
    assert found["between_masks"] is None
