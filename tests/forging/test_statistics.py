import math

import numpy as np
import pytest
import shapely

from orthoforge.errors import DataError
from orthoforge.forging.measuring import measure
from orthoforge.forging.shapes import draw, rectangle, smallest_rectangle, take_apart
from orthoforge.forging.statistics import floor_of


def rows_of_houses(size: int = 120, *, long: int = 12, short: int = 6, gap: int = 8) -> np.ndarray:
    """Houses of ``short`` × ``long`` px, ``gap`` px apart in rows, whole ones only."""
    mask = np.zeros((size, size), np.uint8)
    for row in range(5, size - short - 1, short + 2 * gap):
        for col in range(5, size - long - 1, long + gap):
            mask[row : row + short, col : col + long] = 255
    return mask


def test_a_layout_by_hand():
    mask = rows_of_houses()
    houses = 6 * 5  # rows at 5, 27, 49, 71, 93; columns at 5, 25, …, 105
    found = measure([take_apart(mask)], window=(120, 120))
    assert found.buildings == houses
    assert found.share.tolist() == [houses * 72 / 120**2]
    assert found.per_ha.tolist() == [pytest.approx(houses / 1.44)]
    assert set(found.area) == {72.0}
    np.testing.assert_allclose(found.elongation, 2)
    np.testing.assert_allclose(found.fill, 1)
    np.testing.assert_allclose(found.orientation % 90, 0, atol=1e-9)
    np.testing.assert_allclose(found.coherence, 1)
    # At the border there may be a nearer one behind it: those 5 px from it do not tell.
    assert set(found.spacing[~np.isnan(found.spacing)]) == {8.0}
    assert np.count_nonzero(~np.isnan(found.spacing)) == 4 * 4
    assert found.touching == 0


def test_metres_scale_lengths_and_areas_and_nothing_else():
    mask = rows_of_houses()
    px, m = measure([take_apart(mask)]), measure([take_apart(mask, (0.5, 0.5))], "m")
    np.testing.assert_allclose(m.area, px.area / 4)
    np.testing.assert_allclose(m.per_ha, px.per_ha * 4)
    np.testing.assert_allclose(m.spacing, px.spacing / 2)
    np.testing.assert_allclose(m.elongation, px.elongation)
    np.testing.assert_allclose(m.share, px.share)


@pytest.mark.parametrize("bearing", [0, 20, 45, 70])
def test_orientation_is_clockwise_from_north(bearing):
    """A long house along a line of that bearing; x runs east and y south."""
    along = math.radians(bearing - 90)
    mask = draw([rectangle(100, 100, 120, 40, along)], (200, 200), (1, 1))
    found = measure([take_apart(mask)], window=(200, 200))
    assert abs((found.orientation[0] - bearing + 45) % 90 - 45) < 0.7
    assert found.elongation[0] == pytest.approx(3, abs=0.1)
    assert found.area[0] == pytest.approx(4800, rel=0.02)


def test_cut_buildings_count_in_the_share_but_have_no_shape():
    mask = np.zeros((60, 60), np.uint8)
    mask[0:10, 20:30] = 255  # cut
    mask[30:40, 20:30] = 255
    found = measure([take_apart(mask)], window=(60, 60))
    assert found.buildings == 1
    assert found.share[0] == 200 / 3600
    assert found.per_ha[0] == pytest.approx(1.5 / 0.36)
    assert found.spacing[0] == 20  # the cut one is there all the same; the border is as far


def test_neighbours_a_pixel_apart_touch():
    mask = np.zeros((60, 60), np.uint8)
    mask[20:30, 20:30] = mask[20:30, 31:41] = 255
    assert measure([take_apart(mask)], window=(60, 60)).touching == 1


def test_smallest_rectangle_of_a_turned_one():
    x, y, long, short, angle = smallest_rectangle(rectangle(3, -2, 10, 4, 0.7))
    assert (x, y, long, short, angle) == pytest.approx((3, -2, 10, 4, 0.7))
    assert smallest_rectangle(shapely.box(0, 0, 2, 5))[2:] == pytest.approx((5, 2, math.pi / 2))


def test_distances_are_zero_to_itself_and_name_what_differs():
    plain = measure([take_apart(rows_of_houses())])
    assert all(distance == pytest.approx(0, abs=1e-12) for distance in plain.distances(plain).values())
    twice = measure([take_apart(np.kron(rows_of_houses(), np.ones((2, 2), np.uint8)))])
    distances, differences = twice.distances(plain), twice.differences(plain)
    assert distances["area"] == pytest.approx(3)  # four times as large
    assert differences["spacing"] == pytest.approx(1)
    assert distances["elongation"] == pytest.approx(0)
    turned = measure([take_apart(draw([rectangle(50, 50, 60, 20, 0.3)], (100, 100), (1, 1)))], window=(100, 100))
    straight = measure([take_apart(draw([rectangle(50, 50, 60, 20, 0.0)], (100, 100), (1, 1)))], window=(100, 100))
    assert turned.distances(straight)["orientation"] == pytest.approx(math.degrees(0.3), abs=1.6)
    assert turned.differences(straight)["orientation"] == pytest.approx(math.degrees(0.3), abs=1.6)


def test_density_moves_what_share_and_number_are_compared_with():
    found = measure([take_apart(rows_of_houses())])
    assert found.distances(found, density=2)["share"] == pytest.approx(0.5, abs=0.02)  # quantiles of nine windows are interpolated
    assert found.distances(found, density=2)["area"] == 0


def test_windows_partition_buildings_and_the_floor_of_one_pattern_is_low():
    found = measure([take_apart(rows_of_houses(240))])  # one mask: nine windows
    assert found.windows == 9
    parts = [found.of_windows(np.array([i])) for i in range(9)]
    assert sum(part.buildings for part in parts) == found.buildings
    assert np.mean([part.share for part in parts]) == pytest.approx(np.count_nonzero(rows_of_houses(240)) / 240**2)
    floor = floor_of(found)
    assert floor.windows == (4, 5)
    assert floor.highest["area"] == 0 and floor.highest["elongation"] == pytest.approx(0, abs=1e-9)


def test_too_few_and_no_buildings_say_so():
    mask = np.zeros((64, 64), np.uint8)
    with pytest.raises(DataError, match="no building in any of the 2 masks"):
        measure([take_apart(mask), take_apart(mask)])
    mask[10:20, 10:20] = 255
    with pytest.raises(DataError, match="1 whole building in 1 mask; at least 20 are needed"):
        measure([take_apart(mask)])


def test_polygons_keep_the_area_and_hit_the_same_pixels():
    angle = 0.5
    mask = draw([rectangle(60, 60, 60, 24, angle)], (120, 120), (1, 1))
    layout = take_apart(mask)
    assert layout.polygons[0].area == pytest.approx(np.count_nonzero(mask))
    assert len(layout.polygons[0].exterior.coords) == 5  # four walls, not a staircase
    again = draw(layout.polygons, mask.shape, (1, 1))
    assert np.count_nonzero(again != mask) < 0.02 * np.count_nonzero(mask)
