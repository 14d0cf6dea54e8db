"""The search for places, with a segmenter that is replaced by what a good one would say: the truth, blurred."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import ndimage
from scipy.special import logit

from orthoforge.realigning.search import (
    SPREADS_M,
    Placed,
    buildings_of,
    common_shifts,
    drawn,
    evidence_of,
    place,
    spread_scores,
)

SHAPE, GSD_M, REACH_PX = (120, 140), 0.5, 12
# Row, column, height and width of houses that have room around them.
HOUSES = [
    (10, 12, 14, 18),
    (12, 60, 16, 12),
    (15, 105, 12, 20),
    (60, 14, 18, 14),
    (62, 58, 12, 22),
    (58, 108, 20, 14),
    (95, 40, 12, 16),
]
moves = st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=len(HOUSES), max_size=len(HOUSES))


def ids_of(houses) -> np.ndarray:
    ids = np.zeros(SHAPE, np.int32)
    for number, (row, col, height, width) in enumerate(houses, 1):
        ids[row : row + height, col : col + width] = number
    return ids


def said_of(mask: np.ndarray, blur_px: float = 2.0) -> np.ndarray:
    """Log-odds as of a segmenter that draws edges softly."""
    return logit(np.clip(ndimage.gaussian_filter((mask > 0).astype(float), blur_px), 0.01, 0.99)).astype(np.float32)


def put(ids: np.ndarray, odds: np.ndarray, spread_m: float | None = None) -> Placed:
    buildings = list(buildings_of(ids).values())
    evidence = [evidence_of(one, odds, reach_px=REACH_PX, gsd_m=GSD_M) for one in buildings]
    spread_m = spread_m or SPREADS_M[int(spread_scores(evidence, reach_px=REACH_PX, gsd_m=GSD_M).argmax())]
    told = {"reach_px": REACH_PX, "gsd_m": GSD_M, "spread_m": spread_m}
    return place(buildings, evidence, common_shifts(buildings, evidence, **told), ids.shape, **told)


def moved_ids(houses, by) -> np.ndarray:
    return ids_of([(row + down, col + right, *size) for (row, col, *size), (down, right) in zip(houses, by, strict=True)])


@given(moves)
@example([(5, 5)] * len(HOUSES))
@example([(0, 0)] * len(HOUSES))
def test_shifted_buildings_come_back_to_a_pixel(by):
    found = put(moved_ids(HOUSES, by), said_of(ids_of(HOUSES)), spread_m=3.0)
    assert np.abs(found.shift + np.array(by)).max() <= 1
    assert found.sure.all()


def test_a_shift_of_all_is_found_where_they_touch_each_other():
    row = [(50, 10 + 15 * number, 20, 14) for number in range(8)]  # a terrace: a pixel apart
    found = put(moved_ids(row, [(4, 6)] * 8), said_of(ids_of(row), 1.0))
    assert (found.shift == (-4, -6)).all()


def test_right_masks_stay():
    found = put(ids_of(HOUSES), said_of(ids_of(HOUSES)))
    assert not found.shift.any() and found.sure.all()


def test_nothing_moves_where_a_segmenter_sees_nothing():
    found = put(moved_ids(HOUSES, [(3, 3)] * len(HOUSES)), np.zeros(SHAPE, np.float32))
    assert not found.shift.any() and not found.sure.any()
    found = put(ids_of(HOUSES), np.full(SHAPE, -5, np.float32))
    assert not found.shift.any() and not found.sure.any()


@pytest.mark.parametrize("seed", range(4))
def test_no_two_overlap_more_than_before_and_their_order_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    close = [(20 + 22 * row, 10 + 20 * col, 18, 16) for row in range(4) for col in range(6)]
    truth = [one for one in close if rng.random() < 0.8]  # some are gone, so that others may be drawn to what is not theirs
    ids = moved_ids(truth, rng.integers(-1, 2, (len(truth), 2)))
    odds = said_of(ids_of(close), 3.0) + rng.normal(0, 1, SHAPE).astype(np.float32)
    found = put(ids, odds, spread_m=2.0)
    buildings = list(buildings_of(ids).values())
    covered = sum(drawn([one], found.shift[at : at + 1], SHAPE).astype(int) // 255 for at, one in enumerate(buildings))
    assert covered.max() == 1
    order = rng.permutation(len(buildings))
    renamed = np.concatenate([[0], np.argsort(order) + 1])[ids].astype(np.int32)
    assert (put(renamed, odds, spread_m=2.0).shift == found.shift[order]).all()


def test_what_leaves_the_mask_is_lost_and_the_rest_is_drawn():
    ids = ids_of([(0, 0, 10, 10), (100, 120, 20, 20)])
    mask = drawn(list(buildings_of(ids).values()), np.array([[-4, -30], [5, 5]]), SHAPE)
    assert (mask > 0).sum() == 15 * 15 and mask[105, 125] == 255
