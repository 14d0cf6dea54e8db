import numpy as np
import pytest

from orthoforge.geo.grid import Window
from orthoforge.geo.houses import Houses
from orthoforge.material.edges import Edges

SIZE = 64
WHOLE = Window(0, 0, SIZE, SIZE)


def edges_of(mask, origin=(0, 0)):
    houses = Houses.of(mask, origin=origin)

    def own(building):
        row, col, height, width = houses.bbox[building].tolist()
        return houses.ids(Window(row - origin[0], col - origin[1], height, width)) == building + 1

    return Edges(houses, own), houses.ids(WHOLE)


def covered(mask, origin=(0, 0)):
    edges, ids = edges_of(mask, origin)
    window = WHOLE._replace(row=origin[0], col=origin[1])
    return edges.covered(edges.drawn(ids, window), window)


@pytest.mark.parametrize("slope", [0.06, 0.1, 0.3, 0.6])
def test_long_stairs_become_a_line(slope):
    rows, cols = np.mgrid[:SIZE, :SIZE]
    line = 12 + slope * cols
    mask = (rows > line) & (rows < 56) & (cols > 4) & (cols < 60)
    edge = covered(mask).cumsum(axis=0)[50, 12:52]  # how far down the edge lies, in each column
    off = 51 - edge - (line[0, 12:52] + 0.5)
    fitted = np.polyval(np.polyfit(np.arange(40), off, 1), np.arange(40))
    assert np.abs(off - fitted).max() < 0.15  # stairs are a pixel high
    assert np.abs(off).max() < 0.7
    assert abs(off.mean()) < 0.4


def test_a_wobbling_label_becomes_a_straight_wall():
    rows, cols = np.mgrid[:SIZE, :SIZE]
    mask = (rows >= 12 + (cols // 8) % 2) & (rows < 52) & (cols >= 10) & (cols < 54)
    edge = covered(mask).cumsum(axis=0)[40, 14:50]
    assert np.abs(np.diff(edge)).max() < 0.3


def test_roofs_stay_on_their_labels():
    rng = np.random.default_rng(0)
    mask = np.zeros((SIZE, SIZE), bool)
    for row, col in ((4, 5), (4, 36), (34, 8), (36, 38)):
        high, wide = rng.integers(12, 24, 2)
        mask[row : row + high, col : col + wide] = True
        mask[row : row + 5, col : col + 6] = False
    roof = covered(mask) > 0.5
    assert (roof & mask).sum() / (roof | mask).sum() > 0.93


def test_a_building_that_the_mask_cuts_off_goes_on():
    mask = np.zeros((SIZE, SIZE), bool)
    mask[:20, 10:40] = True
    assert covered(mask)[0, 14:36].min() > 0.99


def test_where_houses_touch_no_ground_shows():
    mask = np.zeros((SIZE, SIZE), bool)
    mask[10:30, 8:56] = True
    mask[11:29, 31] = False
    mask[20, 31] = True  # a broken crack
    edges, ids = edges_of(mask)
    assert len(np.unique(ids)) == 3
    part = slice(14, 26), slice(20, 44)
    drawn = edges.drawn(ids, WHOLE)
    assert set(np.unique(drawn[part])) == {1, 2}
    assert edges.covered(drawn, WHOLE)[part].min() > 0.99


@pytest.mark.parametrize("broken_by", [2, 3])  # such a crack parts two houses, or nothing
def test_a_broken_crack_is_no_row_of_dots(broken_by):
    mask = np.zeros((SIZE, SIZE), bool)
    mask[10:40, 8:56] = True
    for row in range(12, 38):
        mask[row, 28 + row // 4] = row % 4 < broken_by
    assert covered(mask)[12:38, 12:52].min() > 0.99


def test_an_alley_of_two_pixels_stays():
    mask = np.zeros((SIZE, SIZE), bool)
    mask[10:30, 8:56] = True
    mask[:, 31:33] = False
    edges, ids = edges_of(mask)
    assert not edges.drawn(ids, WHOLE)[12:28, 31:33].any()


def test_a_hut_of_a_few_pixels_is_there():
    mask = np.zeros((SIZE, SIZE), bool)
    mask[20:23, 20:23] = True
    assert covered(mask)[20:23, 20:23].mean() >= 0.5


def test_another_place_on_the_plane_changes_nothing():
    rows, cols = np.mgrid[:SIZE, :SIZE]
    mask = (np.abs(rows - 30 + 0.4 * cols) < 14) & (cols > 8) & (cols < 50)
    assert np.array_equal(covered(mask), covered(mask, origin=(1000, -70)))


@pytest.mark.parametrize("slope", [0.1, 0.3])
def test_houses_that_touch_meet_along_a_line(slope):
    rows, cols = np.mgrid[:SIZE, :SIZE]
    line = 31 + slope * (rows - 30)
    mask = (rows > 8) & (rows < 54) & (cols > 6) & (cols < 58)
    mask &= (np.abs(cols - line) > 0.6) | (rows % 3 == 0)  # a broken crack
    edges, ids = edges_of(mask)
    drawn = edges.drawn(ids, WHOLE)
    shares = edges.meeting(drawn, WHOLE)
    assert len(shares) == 2
    left = (drawn == drawn[20, 10]).astype(float)
    in_all = np.zeros(mask.shape)
    for number, (at, share) in shares.items():
        in_all[at] += share
        left[at] = share if number == drawn[20, 10] else left[at]
    assert in_all[in_all > 0] == pytest.approx(1, abs=1e-5)
    wall = left[14:48, 10:].sum(axis=1)
    assert np.abs(np.diff(wall) - slope).max() < 0.25  # stairs are a pixel wide
    assert np.polyfit(np.arange(34), wall, 1)[0] == pytest.approx(slope, abs=0.05)
