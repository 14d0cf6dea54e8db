"""Ground by cells: what is seen of it, and how it is laid out over the plane."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import examples
from drawn_masks import tensor, town
from orthoforge.models.ground import GROUND_CELL, GROUND_SIDE, LEAST_GROUND, OVERLAP, ground_of, laid, middle_of

SIDE = 5  # cells of ground in these tests
GROUND = torch.arange(3 * SIDE * SIDE, dtype=torch.float32).reshape(1, 3, SIDE, SIDE)  # each of another colour


def image_of(height, width, seed=0):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


# What is seen


@examples(0.4)
@given(st.integers(0, 1000))
def test_a_cell_with_ground_has_its_mean_and_one_with_little_that_around_it(seed):
    mask, image = town(np.random.default_rng(seed), 64), image_of(64, 64, seed)
    found = ground_of(image, tensor(mask))[0]
    assert found.shape == (3, 4, 4)
    pixels, open_ground = image[0].double().numpy(), ~mask
    for row, col in np.ndindex(4, 4):
        margin = 0
        while True:  # ever larger surroundings: 1, 3, 7, 15 cells
            near = tuple(slice(max(0, at - margin) * GROUND_CELL, (at + margin + 1) * GROUND_CELL) for at in (row, col))
            share = open_ground[near].sum() / ((2 * margin + 1) * GROUND_CELL) ** 2
            if share >= (LEAST_GROUND if margin == 0 else 2e-3):
                expected = pixels[:, *near][:, open_ground[near]].mean(axis=1)
                break
            assert share < 5e-4 or margin == 0, "not on the edge of what counts"
            margin = 2 * margin + 1
        np.testing.assert_allclose(found[:, row, col], expected, atol=1e-4)


def test_an_image_that_is_all_building_has_its_mean_colour():
    image = image_of(48, 64)
    found = ground_of(image, torch.ones(1, 1, 48, 64))
    torch.testing.assert_close(found, image.mean(dim=(2, 3), keepdim=True).expand(1, 3, 3, 4))


def test_what_lies_under_buildings_is_not_seen_and_each_image_is_seen_alone():
    building, image = torch.zeros(2, 1, 64, 64), torch.full((2, 3, 64, 64), 0.25)
    building[0, :, 10:50, 10:50] = 1
    image[0, :, 10:50, 10:50] = 9.0
    image[1] = -0.5
    found = ground_of(image, building)
    torch.testing.assert_close(found, torch.tensor([0.25, -0.5])[:, None, None, None].expand(2, 3, 4, 4))


def test_a_lone_yard_far_from_the_edge_colours_all_cells():
    building, image = torch.ones(1, 1, 256, 256), torch.zeros(1, 3, 256, 256)
    building[..., :16, :16] = 0
    image[..., :16, :16] = 0.5
    torch.testing.assert_close(ground_of(image, building), torch.full((1, 3, 16, 16), 0.5))


def test_what_is_left_over_makes_a_smaller_cell():
    image = image_of(70, 47)
    found = ground_of(image, torch.zeros(1, 1, 70, 47))
    assert found.shape == (1, 3, 5, 3)
    torch.testing.assert_close(found[..., -1, -1], image[..., 64:, 32:].mean(dim=(2, 3)))
    torch.testing.assert_close(found[..., 0, 0], image[..., :16, :16].mean(dim=(2, 3)))


@pytest.mark.parametrize(("count", "first"), [(16, 0), (20, 2), (21, 2)])
def test_the_middle_of_large_ground(count, first):
    ground = torch.rand(1, 3, count, count + 2)
    expected = ground[..., first : first + GROUND_SIDE, (count + 2 - GROUND_SIDE) // 2 :][..., :GROUND_SIDE]
    assert torch.equal(middle_of(ground), expected)


@pytest.mark.parametrize("count", [1, 4, 14, 15])
def test_small_ground_is_mirrored(count):
    ground = torch.rand(2, 3, count, count)
    expected = np.pad(ground.numpy(), ((0, 0), (0, 0), (0, GROUND_SIDE), (0, GROUND_SIDE)), mode="symmetric")
    np.testing.assert_array_equal(middle_of(ground), expected[..., :GROUND_SIDE, :GROUND_SIDE])


# How it is laid


def eight(ground):
    """All that turning and mirroring make of a block, as bytes."""
    both = ground, ground.transpose(2, 3)
    return [one.flip(axes).numpy().tobytes() for one in both for axes in ((), (2,), (3,), (2, 3))]


def test_a_block_lies_in_each_of_eight_ways():
    ways = eight(GROUND)
    assert len(set(ways)) == 8
    turned = torch.zeros(1, 1, 2, 9)
    turned[..., 1, 1:] = (torch.arange(8) + 0.5) / 8
    plane = laid(GROUND, turned, 0, 0, SIDE, 8 * SIDE)
    blocks = [plane[..., SIDE * number : SIDE * (number + 1)].contiguous().numpy().tobytes() for number in range(8)]
    assert sorted(blocks) == sorted(ways)


@given(st.integers(-30, 30), st.integers(-30, 30), st.integers(1, 12), st.integers(1, 12), st.integers(0, 2), st.integers(0, 1000))
def test_any_window_is_cut_from_one_plane(row, col, height, width, overlap, seed):
    hop = SIDE - overlap
    turned = torch.rand(1, 1, 30, 30, generator=torch.Generator().manual_seed(seed))
    plane = laid(GROUND, turned, -12 * hop, -12 * hop, 26 * hop, 26 * hop, overlap=overlap)
    first = row // hop + 12, col // hop + 12
    window = laid(GROUND, turned[..., first[0] :, first[1] :], row, col, height, width, overlap=overlap)
    there = slice(row + 12 * hop, row + 12 * hop + height), slice(col + 12 * hop, col + 12 * hop + width)
    assert torch.equal(window, plane[..., *there])


def test_blocks_fade_into_each_other():
    """Two blocks of one colour each, that of the other mirrored away: along a line, shares of the second rise by a third a cell."""
    ground = torch.zeros(1, 3, 5, 5)
    ground[..., :3] = 1.0  # bright, then dark; mirrored: dark, then bright
    bright_first, dark_first = 0.01, 2.5 / 8  # ways 0 and 2
    turned = torch.full((1, 1, 3, 4), bright_first)
    turned[..., 2] = dark_first
    line = laid(ground, turned, 0, 0, 1, 8, overlap=2)[0, 0, 0]
    # Blocks begin at cells -3, 0 (bright 0 to 2, dark 3 and 4) and 3 (dark 3 and 4, bright 5 to 7), and the next at 6, bright.
    third = 1 / 3
    before = [0.0, 0.0]  # the last cells of the block at -3 are dark
    expected = [third * 1 + 2 * third * before[0], 2 * third * 1 + third * before[1], 1.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    torch.testing.assert_close(line, torch.tensor(expected))


def test_a_colour_stays_itself_wherever_blocks_overlap():
    plane = laid(torch.full((1, 3, 16, 16), 0.7), torch.rand(1, 1, 8, 8), -20, 7, 60, 60, overlap=OVERLAP)
    torch.testing.assert_close(plane, torch.full_like(plane, 0.7))


def test_each_image_has_its_own_ground_and_turns_or_all_the_same_turns():
    grounds, turned = torch.cat([GROUND, -GROUND]), torch.rand(2, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    both = laid(grounds, turned, 0, 0, 2 * SIDE, 2 * SIDE)
    for number in (0, 1):
        alone = laid(grounds[number, None], turned[number, None], 0, 0, 2 * SIDE, 2 * SIDE)
        assert torch.equal(both[number], alone[0])
    same = laid(grounds, turned[:1], 0, 0, 2 * SIDE, 2 * SIDE)
    assert torch.equal(same[1], -same[0])
