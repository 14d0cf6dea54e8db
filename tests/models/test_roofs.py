"""Which pixels are one building, and which colour of a palette it has."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from drawn_masks import tensor, town
from orthoforge.geo.buildings import Buildings
from orthoforge.geo.grid import Window
from orthoforge.models.roofs import COLOURS, buildings_of, entries_of

seeds = st.integers(0, 2**32 - 1)


def numbers_of(mask):
    return buildings_of(tensor(mask)[0])[0][0].numpy()


def rectangle(row, col, height, width, side=128):
    mask = np.zeros((side, side), bool)
    mask[row : row + height, col : col + width] = True
    return mask


@given(seeds)
def test_the_buildings_of_each_image_are_those_of_its_mask(seed):
    rng = np.random.default_rng(seed)
    masks = [town(rng, 40, longest=16), np.zeros((40, 40), bool), rng.random((40, 40)) < 0.6]
    buildings, first = buildings_of(torch.cat([tensor(mask)[:, 0] for mask in masks]))
    before = 0
    for number, (mask, found) in enumerate(zip(masks, buildings.numpy(), strict=True)):
        expected = Buildings.of(mask)
        ids = expected.ids(Window(0, 0, 40, 40))
        np.testing.assert_array_equal(found > 0, mask)
        there = np.unique(found[mask])
        assert len(np.unique(np.stack([found[mask], ids[mask]]), axis=1).T) == len(there) == len(expected), "one for one"
        assert not (there <= before).any(), "numbers are not shared by images"
        before = max(before, there.max(initial=0))
        places = first[there - 1].numpy()
        assert (places[:, 0] == number).all()
        assert {tuple(place) for place in places[:, 1:].tolist()} == {tuple(place) for place in expected.anchor.tolist()}
        assert (found[tuple(places[:, 1:].T)] == there).all()
    assert before == len(first)


SHAPES = {
    "300 px wide around a court": rectangle(6, 7, 300, 300, 320) & ~rectangle(20, 21, 270, 270, 320),
    "a corridor of a pixel": rectangle(4, 0, 1, 400, 400),
    "L": rectangle(3, 5, 40, 9, 64) | rectangle(34, 5, 9, 38, 64),
    "all over": np.ones((500, 500), bool),
    "a speck": rectangle(5, 5, 1, 1, 16),
}


@pytest.mark.parametrize("name", SHAPES)
def test_one_building_has_one_number_in_any_shape_and_size(name):
    numbers = numbers_of(SHAPES[name])
    assert (numbers == SHAPES[name]).all()


def test_houses_that_touch_at_a_corner_or_lie_a_pixel_apart_are_two():
    for other in (rectangle(10, 10, 8, 8, 32), rectangle(2, 11, 8, 8, 32), rectangle(11, 2, 8, 8, 32)):
        assert numbers_of(rectangle(2, 2, 8, 8, 32) | other).max() == 2


def test_nothing_inside_is_no_building():
    buildings, first = buildings_of(torch.zeros(2, 8, 8))
    assert not buildings.any() and first.shape == (0, 3)
    assert entries_of(torch.rand(0)).tolist() == [0]


def test_a_number_names_each_colour_as_often_and_0_and_1_are_within():
    drawn = torch.rand(32_000, generator=torch.Generator().manual_seed(0))
    outside, *entries = entries_of(drawn).tolist()
    assert outside == 0
    counts = np.bincount(entries, minlength=COLOURS + 1)
    assert counts[0] == 0 and len(counts) == COLOURS + 1
    # The sum of 16 squared deviations is chi-square with 15 degrees of freedom: mean 15, deviation 5.5.
    assert ((counts[1:] - 2000) ** 2 / 2000).sum() < 15 + 5 * 5.5
    assert entries_of(torch.tensor([0.0, 1 - 2**-24])).tolist() == [0, 1, COLOURS]
