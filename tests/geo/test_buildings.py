"""Which pixels of a mask are one building, and what is said of each."""

from collections import deque

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from orthoforge.geo.buildings import Buildings
from orthoforge.geo.grid import Window
from orthoforge.models.noise import NoiseField

ROWS = ("anchor", "area", "bbox", "centroid", "angle", "length", "width")
seeds = st.integers(0, 2**32 - 1)
places = st.tuples(st.integers(-(2**24), 2**24), st.integers(-(2**24), 2**24))


@st.composite
def masks(draw, longest=24):
    height, width = draw(st.integers(1, longest)), draw(st.integers(1, longest))
    share = draw(st.sampled_from([0, 0.3, 0.5, 0.6, 0.7, 0.95, 1]))
    return np.random.default_rng(draw(seeds)).random((height, width)) < share


def chunked(mask, chunk_px, origin=(0, 0)):
    return Buildings(lambda window: mask[window.slices], *mask.shape, origin=origin, chunk_px=chunk_px)


def whole(mask):
    return Window(0, 0, *mask.shape)


def followed(mask):
    """Numbers of buildings from 1 by following each from pixel to pixel, in the order of their first pixels."""
    ids = np.zeros(mask.shape, np.int32)
    for start in zip(*np.nonzero(mask), strict=True):
        if ids[start]:
            continue
        ids[start] = number = ids.max() + 1
        left = deque([start])
        while left:
            row, col = left.popleft()
            for beside in ((row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)):
                inside = 0 <= beside[0] < mask.shape[0] and 0 <= beside[1] < mask.shape[1]
                if inside and mask[beside] and not ids[beside]:
                    ids[beside] = number
                    left.append(beside)
    return ids


@example(np.eye(4, dtype=bool), 2)  # corners that touch, on the borders of chunks too
@given(masks(), st.integers(1, 30))
def test_pixels_that_share_a_side_are_one_building(mask, chunk_px):
    buildings = chunked(mask, chunk_px)
    expected = followed(mask)
    found = buildings.ids(whole(mask))
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, expected)
    assert len(buildings) == expected.max(initial=0)
    for number in range(1, len(buildings) + 1):
        rows, cols = np.nonzero(expected == number)
        assert buildings.anchor[number - 1].tolist() == [rows[0], cols[0]]
        assert buildings.area[number - 1] == len(rows)
        box = [rows.min(), cols.min(), np.ptp(rows) + 1, np.ptp(cols) + 1]
        assert buildings.bbox[number - 1].tolist() == box
        np.testing.assert_allclose(buildings.centroid[number - 1], [rows.mean() + 0.5, cols.mean() + 0.5])
        spread = np.cov(rows, cols, bias=True) + np.eye(2) / 12
        shorter, longer = np.sqrt(12 * np.linalg.eigvalsh(spread))
        np.testing.assert_allclose([buildings.length[number - 1], buildings.width[number - 1]], [longer, shorter])
        angle = buildings.angle[number - 1]
        along = np.array([np.sin(angle), np.cos(angle)])
        np.testing.assert_allclose(along @ spread @ along * 12, longer**2)
        assert -np.pi / 2 < angle <= np.pi / 2


@given(masks(40), st.integers(4, 50), st.integers(4, 50), places)
def test_nothing_depends_on_the_chunks(mask, one_px, other_px, origin):
    one, other = chunked(mask, one_px, origin), chunked(mask, other_px, origin)
    for name in ROWS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.ids(whole(mask)), other.ids(whole(mask)))


@given(masks(40), st.integers(4, 20), st.data())
def test_the_ids_of_a_window_are_those_of_the_whole_there(mask, chunk_px, data):
    height, width = (data.draw(st.integers(1, side)) for side in mask.shape)
    row, col = (data.draw(st.integers(0, side - part)) for side, part in zip(mask.shape, (height, width), strict=True))
    buildings, window = chunked(mask, chunk_px, (data.draw(st.integers(-50, 50)), 7)), Window(row, col, height, width)
    np.testing.assert_array_equal(buildings.ids(window), followed(mask)[window.slices])


@given(masks(), places, places)
def test_a_mask_and_its_origin_moved_together_move_places_and_change_nothing_else(mask, origin, by):
    here = chunked(mask, 9, origin)
    there = chunked(mask, 9, (origin[0] + by[0], origin[1] + by[1]))
    np.testing.assert_array_equal(there.anchor, here.anchor + by)
    np.testing.assert_array_equal(there.bbox, here.bbox + np.array([*by, 0, 0]))
    np.testing.assert_allclose(there.centroid, here.centroid + by, rtol=0, atol=1e-6)
    for name in ("area", "angle", "length", "width"):
        np.testing.assert_array_equal(getattr(there, name), getattr(here, name))
    np.testing.assert_array_equal(there.ids(whole(mask)), here.ids(whole(mask)))


@given(masks(40), st.integers(0, 19), st.integers(0, 19))
def test_a_building_that_no_border_cuts_is_the_same_in_a_larger_mask(mask, row, col):
    larger = np.zeros((80, 80), bool)
    larger[2:6, 2:70] = True
    larger[10 + row : 10 + row + mask.shape[0], 10 + col : 10 + col + mask.shape[1]] = mask
    alone = Buildings.of(np.pad(mask, 1), (100 + 9 + row, 100 + 9 + col))
    among = Buildings.of(larger, (100, 100))
    for name in ROWS:
        np.testing.assert_array_equal(getattr(among, name)[1:], getattr(alone, name))
    np.testing.assert_array_equal(among.numbers(3, 5)[1:], alone.numbers(3, 5))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 40), (40, 7), (300, 300)])
def test_a_rectangle_has_its_own_sides(height, width):
    mask = np.zeros((310, 310), np.uint8)
    mask[4 : 4 + height, 5 : 5 + width] = 255
    (one,) = zip(*(getattr(chunked(mask, 64), name) for name in ROWS), strict=True)
    anchor, area, bbox, centroid, angle, length, breadth = one
    assert anchor.tolist() == [4, 5] and area == height * width and bbox.tolist() == [4, 5, height, width]
    assert centroid.tolist() == [4 + height / 2, 5 + width / 2]
    np.testing.assert_allclose([length, breadth], sorted([height, width], reverse=True))
    if height != width:
        assert angle == (0 if width > height else np.pi / 2), "a line is 0, a column a quarter turn"


@pytest.mark.parametrize("degrees", [-70, -30, 20, 45, 80])
def test_a_turned_house_has_its_angle_from_lines_towards_columns(degrees):
    rows, cols = np.mgrid[:200, :200] - 99.5
    turn = np.radians(degrees)
    mask = (abs(cols * np.cos(turn) + rows * np.sin(turn)) < 60) & (abs(rows * np.cos(turn) - cols * np.sin(turn)) < 20)
    house = chunked(mask, 30)
    assert len(house) == 1
    assert np.degrees(house.angle[0]) == pytest.approx(degrees, abs=0.5)
    assert house.length[0] == pytest.approx(120, abs=1) and house.width[0] == pytest.approx(40, abs=1)


def ones(window):
    return np.ones((window.height, window.width), bool)


def test_a_building_of_20_000_px_all_over_is_one():
    height, width, origin = 1100, 20_000, (-16_000_000, 1_700_001)
    buildings = Buildings(ones, height, width, origin=origin)
    assert len(buildings) == 1 and buildings.area[0] == height * width
    np.testing.assert_allclose([buildings.length[0], buildings.width[0]], [width, height], rtol=1e-12)
    assert buildings.centroid[0].tolist() == [origin[0] + height / 2, origin[1] + width / 2]
    assert (buildings.ids(Window(900, 15_000, 200, 900)) == 1).all()


def test_sums_beyond_64_bits_are_added_up_all_the_same():
    """A wall of four million pixels: their squares sum to 2^64."""
    side = 2**22
    line = Buildings(ones, 1, side, chunk_px=2**14)
    assert len(line) == 1 and line.area[0] == side
    assert line.length[0] == pytest.approx(side, rel=1e-12) and line.width[0] == pytest.approx(1)
    assert line.centroid[0].tolist() == [0.5, side / 2]


def test_without_buildings_there_are_none():
    buildings = Buildings.of(np.zeros((30, 40), bool))
    assert len(buildings) == 0 and not buildings.ids(Window(3, 4, 5, 6)).any()
    assert [getattr(buildings, name).shape for name in ROWS] == [(0, 2), (0,), (0, 4), (0, 2), (0,), (0,), (0,)]
    assert buildings.numbers(0, 0).shape == (0,)


@given(masks(), st.integers(0, 2**63 - 1), st.integers(0, 2**22), places)
def test_numbers_are_those_of_the_noise_at_the_anchors(mask, seed, layer, origin):
    buildings = Buildings.of(mask, origin)
    one, cpu = torch.Size((1, 1, 1, 1)), torch.device("cpu")
    expected = [NoiseField(seed, *anchor).uniform(layer, one, 1, cpu).item() for anchor in buildings.anchor.tolist()]
    assert buildings.numbers(seed, layer).tolist() == expected


def test_only_the_chunks_that_a_window_meets_are_read_again():
    mask, read = np.random.default_rng(0).random((400, 400)) < 0.3, []

    def reading(window):
        read.append(window)
        return mask[window.slices]

    buildings = Buildings(reading, 400, 400, chunk_px=100)
    assert len(read) == 16, "one pass"
    read.clear()
    buildings.ids(Window(120, 250, 60, 100))
    assert sorted(read) == [Window(100, 200, 100, 100), Window(100, 300, 100, 100)]
    buildings.ids(Window(150, 210, 10, 10))
    assert len(read) == 2, "kept"
