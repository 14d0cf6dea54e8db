"""Which pixels of a block are one house."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orthoforge.geo.grid import Window
from orthoforge.geo.houses import Houses

seeds = st.integers(0, 2**32 - 1)


def block(*, crack=()):
    """Two houses of 20 x 15 px with a wall between them; where the ``crack`` is the mask has none of it."""
    mask = np.zeros((30, 40), bool)
    mask[5:25, 5:35] = True
    mask[list(crack), 20] = False
    return mask


def rows_of_houses(seed, side=64):
    """Houses in rows that touch, with broken cracks between them, and some noise."""
    random = np.random.default_rng(seed)
    mask = np.zeros((side, side), bool)
    for top in range(2, side - 12, int(random.integers(13, 22))):
        mask[top : top + int(random.integers(8, 14))] = True
        for col in range(0, side, int(random.integers(7, 15))):
            mask[:, col] &= random.random(side) < 0.3
    return mask ^ (random.random(mask.shape) < 0.02)


def whole(mask):
    return Window(0, 0, *mask.shape)


@pytest.mark.parametrize(
    ("crack", "houses"),
    [((), 1), (range(5, 25), 2), ([row for row in range(5, 25) if row % 4], 2), (range(5, 13), 1)],
    ids=["a wall", "a crack", "a broken crack", "half a crack"],
)
def test_a_crack_makes_two_houses_also_where_it_is_broken(crack, houses):
    mask = block(crack=crack)
    found = Houses.of(mask)
    ids = found.ids(whole(mask))
    assert len(found) == houses
    np.testing.assert_array_equal(ids > 0, mask)
    if houses == 2:
        assert set(np.unique(ids[:, :20])) == {0, 1}
        assert set(np.unique(ids[:, 21:])) == {0, 2}


def test_what_is_thin_is_of_the_house_beside_it_or_one_of_its_own():
    mask = np.zeros((40, 60), bool)
    mask[10:30, 10:30] = True
    mask[12:14, 30:34] = True  # a porch
    mask[20:22, 40:55] = True  # a wall somewhere else
    ids = Houses.of(mask).ids(whole(mask))
    assert set(np.unique(ids[10:30, 10:34])) == {0, 1}
    assert set(np.unique(ids[20:22, 40:55])) == {2}


@given(seeds, st.integers(7, 70))
def test_every_pixel_of_a_mask_is_of_one_house_whatever_the_chunks(seed, chunk_px):
    mask = rows_of_houses(seed)
    houses = Houses.of(mask)
    ids = houses.ids(whole(mask))
    np.testing.assert_array_equal(ids > 0, mask)
    np.testing.assert_array_equal(np.unique(ids[ids > 0]), np.arange(1, len(houses) + 1))
    for number, box in enumerate(houses.bbox, 1):
        rows, cols = np.nonzero(ids == number)
        assert box[0] <= rows.min() and rows.max() < box[0] + box[2]
        assert box[1] <= cols.min() and cols.max() < box[1] + box[3]
    chunked = Houses(lambda window: mask[window.slices], *mask.shape, chunk_px=chunk_px)
    np.testing.assert_array_equal(chunked.ids(whole(mask)), ids)
    np.testing.assert_array_equal(chunked.bbox, houses.bbox)


@given(seeds, st.integers(0, 60), st.integers(0, 60), st.integers(1, 64), st.integers(1, 64))
def test_a_window_shows_what_the_whole_shows(seed, row, col, height, width):
    mask = rows_of_houses(seed)
    houses = Houses.of(mask)
    window = Window(row, col, min(height, 64 - row), min(width, 64 - col))
    np.testing.assert_array_equal(houses.ids(window), houses.ids(whole(mask))[window.slices])


def test_houses_are_found_at_the_same_place_in_a_scene_that_begins_elsewhere():
    mask = np.pad(block(crack=range(5, 25, 2)), 20)
    one, moved = Houses.of(mask, origin=(100, 7)), Houses.of(mask[13:, 9:], origin=(113, 16))
    np.testing.assert_array_equal(one.anchor, moved.anchor)
    np.testing.assert_array_equal(one.bbox, moved.bbox)
    np.testing.assert_array_equal(one.ids(whole(mask))[13:, 9:], moved.ids(whole(mask[13:, 9:])))
