"""Which pixels are one building."""

from collections import deque

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drawn_masks import drawn_for, numbers_of, tensor, town
from orthoforge.models.roofs import CELL, REACH, buildings_of

WIDEST = 96  # px; of a building that surely has one number
seeds = st.integers(0, 2**32 - 1)


def whole_cells(mask):
    """Where the cells lie that are all building, by pixel."""
    rows, cols = (side // CELL for side in mask.shape)
    return np.kron(mask.reshape(rows, CELL, cols, CELL).all(axis=(1, 3)), np.ones((CELL, CELL), bool))


def rectangle(row, col, height, width, side=128):
    mask = np.zeros((side, side), bool)
    mask[row : row + height, col : col + width] = True
    return mask


def streets(rng, side):
    """Long corridors that cross: from each of their pixels others are seen that lie as far away as can be."""
    mask = np.zeros((side, side), bool)
    for start in rng.integers(0, side, 8):
        lines = mask if rng.random() < 0.5 else mask.T
        lines[start : start + rng.integers(4, 12)] = True
    return mask & (rng.random((side, side)) > 1e-4)


# Buildings


@given(st.integers(7, WIDEST), st.integers(7, WIDEST), st.integers(0, 30), st.integers(0, 30), seeds)
def test_a_building_of_up_to_96_px_has_one_number_the_largest_drawn_on_it(height, width, row, col, seed):
    mask = rectangle(row, col, height, width)
    drawn = drawn_for(mask, seed)
    expected = drawn[0, 0][whole_cells(mask)[::CELL, ::CELL]].max().item()
    assert set(numbers_of(mask, seed)[mask].tolist()) == {expected}


def turned_house(height, width, degrees, side=64):
    rows, cols = np.mgrid[:side, :side] - (side - 1) / 2
    angle = np.radians(degrees)
    across, along = rows * np.cos(angle) + cols * np.sin(angle), cols * np.cos(angle) - rows * np.sin(angle)
    return (abs(across) <= height / 2) & (abs(along) <= width / 2)


SHAPES = {
    "L": rectangle(3, 5, 40, 9, 64) | rectangle(34, 5, 9, 38, 64),
    "T": rectangle(2, 1, 8, 45, 64) | rectangle(2, 18, 40, 8, 64),
    "around a court": rectangle(6, 7, 31, 31, 64) & ~rectangle(14, 15, 15, 15, 64),
    "15°": turned_house(16, 30, 15),
    "45°": turned_house(20, 35, 45),
    "70°": turned_house(18, 44, 70),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("seed", range(4))
def test_one_building_has_one_number_in_any_shape_and_to_its_edges(name, seed):
    (number,) = np.unique(numbers_of(SHAPES[name], seed)[SHAPES[name]])
    assert number > 0


@example(sides=(8, 8, 8, 8), corner=(0, 0), seed=0, apart=("aslant", 0))  # whole cells that touch at a corner
@example(sides=(8, 8, 8, 8), corner=(0, 0), seed=0, apart=("aslant, to the left", 0))
@given(
    sides=st.tuples(*[st.integers(7, 30)] * 4), corner=st.tuples(*[st.integers(0, 3)] * 2), seed=seeds,
    apart=st.sampled_from([("beside", 1), ("below", 1), ("aslant", 0), ("aslant", 1), ("aslant, to the left", 0)]),
)  # fmt: skip
def test_two_houses_a_pixel_apart_are_two(sides, corner, seed, apart):
    (height, width, other_height, other_width), (row, col), (where, gap) = sides, corner, apart
    down, right = {"beside": (0, width + gap), "below": (height + gap, 0)}.get(where, (height + gap, width + gap))
    one = rectangle(row, col, height, width, 68)
    other = rectangle(row + down, col + right, other_height, other_width, 68)
    if where == "aslant, to the left":
        one, other = one[:, ::-1].copy(), other[:, ::-1].copy()
    numbers = numbers_of(one | other, seed)
    # A half cell that lies inside a house has its number; one with a bit of each has one of both.
    inside = [np.kron(house.reshape(34, 2, 34, 2).all(axis=(1, 3)), np.ones((2, 2), bool)) for house in (one, other)]
    (first,), (second,) = (np.unique(numbers[house]) for house in inside)
    assert 0 < first != second > 0
    assert set(np.unique(numbers[one | other])) == {first, second}


def labelled(mask, drawn):
    """What ``buildings_of`` says, by following each building from cell to cell: largest numbers, then the edges step by step."""
    rows, cols = drawn.shape
    whole = whole_cells(mask)[::CELL, ::CELL]
    numbers = np.zeros((rows, cols), np.float32)
    for start in zip(*np.nonzero(whole), strict=True):
        if numbers[start]:
            continue
        cells, left = {start}, deque([start])
        while left:
            row, col = left.popleft()
            for cell in ((row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)):
                if 0 <= cell[0] < rows and 0 <= cell[1] < cols and whole[cell] and cell not in cells:
                    cells.add(cell)
                    left.append(cell)
        numbers[tuple(zip(*cells, strict=True))] = max(drawn[cell] for cell in cells)
    numbers = np.pad(numbers.repeat(2, axis=0).repeat(2, axis=1), 1)
    touched = np.pad(mask.reshape(2 * rows, 2, 2 * cols, 2).any(axis=(1, 3)), 1)
    for _ in range(4):
        before = numbers.copy()
        for row, col in zip(*np.nonzero(touched & (before == 0)), strict=True):
            numbers[row, col] = before[row - 1 : row + 2, col - 1 : col + 2].max()
    return numbers[1:-1, 1:-1]


@settings(max_examples=60)
@given(seeds)
def test_the_buildings_of_a_town_are_those_that_one_finds_by_following_them(seed):
    mask = town(np.random.default_rng(seed), 40, longest=16)
    found = buildings_of(tensor(mask), drawn_for(mask, seed))[0, 0].numpy()
    np.testing.assert_array_equal(found, labelled(mask, drawn_for(mask, seed)[0, 0].numpy()))


def test_of_a_longer_building_parts_may_differ():
    mask = rectangle(4, 0, 8, 400, 400)
    drawn = 0.5 * drawn_for(mask, 0)
    drawn[0, 0, 1, 20] = 0.875
    numbers = numbers_of(mask, drawn=drawn)[4]
    assert set(np.unique(numbers[(20 + 1) * CELL : (20 + 24) * CELL])) == {0.875}, "24 cells along, and one is across"
    further = numbers[(20 + 25) * CELL :]
    assert further.min() > 0 and further.max() < 0.5


def test_specks_without_a_whole_cell_have_none():
    for row, col in np.ndindex(4, 4):
        assert not numbers_of(rectangle(8 + row, 8 + col, 3, 40, 64)).any(), "thinner than a cell"
        assert numbers_of(rectangle(8 + row, 8 + col, 7, 7, 64)).any(), "a cell fits in wherever it lies"
    assert numbers_of(rectangle(8, 8, 4, 4, 64)).any() and not numbers_of(rectangle(9, 9, 6, 6, 64)).any()


def test_what_is_drawn_as_zero_is_a_building_too():
    mask = rectangle(4, 4, 12, 12, 32)
    numbers = buildings_of(tensor(mask), torch.zeros(1, 1, 8, 8))
    assert (numbers > 0).sum() == 36


def test_an_edge_is_followed_for_four_half_cells_and_no_further():
    mask = rectangle(8, 8, 8, 8, 64)
    mask[9, 16:40] = True  # a wall of one pixel
    assert (numbers_of(mask)[9] > 0).nonzero()[0].tolist() == list(range(8, 16 + 8))


# How far


def window_of(array, row, col, side):
    return array[row : row + side, col : col + side]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 20), st.integers(0, 20), st.tuples(st.integers(-(2**20), 2**20), st.integers(-(2**20), 2**20)), seeds)
def test_a_windows_middle_has_the_numbers_of_the_whole_scene(down, right, origin, seed):
    row, col, side = CELL * down, CELL * right, 4 * (2 * REACH // 4 + 5)
    mask = streets(np.random.default_rng(seed), side + 80)
    whole = numbers_of(mask, seed, tuple(CELL * place for place in origin))
    window = numbers_of(window_of(mask, row, col, side), seed, (CELL * origin[0] + row, CELL * origin[1] + col))
    inner = REACH, REACH, side - 2 * REACH
    np.testing.assert_array_equal(window_of(window, *inner), window_of(window_of(whole, row, col, side), *inner))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 7), st.integers(0, 7), seeds)
def test_what_lies_further_away_changes_nothing(row, col, seed):
    side = 4 * (2 * REACH // 4 + 8)
    row, col = REACH + 1 + row, REACH + 1 + col
    near = np.zeros((side, side), bool)
    near[row - REACH : row + REACH + 1, col - REACH : col + REACH + 1] = True
    masks = [streets(np.random.default_rng(seed + number), side) for number in (0, 1)]
    masks[0][row, col - 20 : col + 20] = masks[0][row - 4 : row + 4, col] = True  # some building near it
    masks[1] = np.where(near, masks[0], masks[1])
    drawn = [drawn_for(near, seed + number) for number in (0, 1)]
    drawn[1] = torch.where(tensor(near)[..., ::CELL, ::CELL] * tensor(near)[..., 3::CELL, 3::CELL] > 0, drawn[0], drawn[1])
    one, other = (numbers_of(mask, drawn=of_mask) for mask, of_mask in zip(masks, drawn, strict=True))
    assert one[row, col] == other[row, col]


@pytest.mark.parametrize("turned", range(4))
def test_what_lies_as_far_as_the_reach_can_change_a_number(turned):
    """A corridor of one cell, and from its beginning a wall of a pixel as long as edges are followed."""
    mask = np.zeros((160, 160), bool)
    wall, corridor = 40, 48
    mask[8, wall:corridor] = True
    mask[8:12, corridor:] = True
    drawn = 0.5 * drawn_for(mask)
    drawn[0, 0, 2, (wall + REACH) // CELL] = 0.75
    drawn[0, 0, 2, (wall + REACH) // CELL + 1] = 0.875

    def seen(mask):
        numbers = numbers_of(np.rot90(mask, turned).copy(), drawn=torch.rot90(drawn, turned, dims=(2, 3)))
        return np.rot90(numbers, -turned)[8, wall]

    assert seen(mask) == 0.75
    mask[9, wall + REACH + 1] = False
    assert seen(mask) == 0.75
    mask[9, wall + REACH] = False
    assert 0 < seen(mask) < 0.5
