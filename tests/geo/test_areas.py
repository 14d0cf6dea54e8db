"""Areas that meet: in one CRS, in several, at the antimeridian, and where nothing is known."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.warp import transform as transform_points

from conftest import examples
from orthoforge.geo.areas import Areas, meetings, on_one_plane, place_is_known
from orthoforge.geo.grid import Grid

UTM33, ETRS33, UTM32, MERCATOR, DEGREES = (CRS.from_epsg(code) for code in (32633, 25833, 32632, 3857, 4326))
LOCAL = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')


def tile_at(lon, lat, side_m, crs):
    """A north-up box of about ``side_m`` metres on the ground around a place."""
    (x,), (y,) = transform_points(DEGREES, crs, [lon], [lat])
    grid = Grid(2, 2, Affine(1e-6 if crs.is_geographic else 0.01, 0, x, 0, -(1e-6 if crs.is_geographic else 0.01), y), crs)
    width_m, height_m = grid.pixel_m()
    unit = grid.transform.a
    half = side_m / 2 * unit / width_m, side_m / 2 * unit / height_m
    return x - half[0], y - half[1], x + half[0], y + half[1]


def meet(box, crs, other, other_crs, near=0.0):
    a, b = Areas.of_boxes([box], [crs], near), Areas.of_boxes([other], [other_crs], near)
    assert meetings(a, b).shape == meetings(b, a).shape
    return meetings(a, b).shape[1] == 1


@pytest.mark.parametrize("crs", [UTM33, ETRS33, UTM32, MERCATOR, DEGREES])
@pytest.mark.parametrize("other", [UTM33, ETRS33, UTM32, MERCATOR, DEGREES])
@examples(0.3)
@given(angle=st.floats(0, 6.28), lat=st.floats(-60, 68), share=st.floats(0, 3))
def test_what_meets_does_so_in_every_crs(crs, other, angle, lat, share):
    """Squares of 80 m in CRSs whose axes differ by up to 9° meet when their centres are near, and not when they are far."""
    lon, side = 11.9, 80.0
    east, north = share * side * np.cos(angle), share * side * np.sin(angle)
    there = lon + east / (111_320 * np.cos(np.radians(lat))), lat + north / 111_132
    farther = max(abs(east), abs(north))
    found = meet(tile_at(lon, lat, side, crs), crs, tile_at(*there, side, other), other)
    if farther < 0.8 * side:
        assert found
    if farther > 1.25 * side:
        assert not found


def test_the_same_ground_in_two_crss_is_found_tile_by_tile():
    boxes = [(500_000 + 30 * i, 5_000_000, 500_030 + 30 * i, 5_000_030) for i in range(10)]
    here, there = Areas.of_boxes(boxes, [UTM33] * 10, -1e-3), Areas.of_boxes(boxes, [ETRS33] * 10, 0.0)
    assert meetings(here, there).tolist() == [list(range(10))] * 2
    near = meetings(Areas.of_boxes(boxes, [UTM33] * 10, 0.01), Areas.of_boxes(boxes, [ETRS33] * 10, 0.01))
    assert near.shape[1] == 10 + 2 * 9


def test_equal_definitions_are_one_crs():
    boxes = [(0.0, 0.0, 10.0, 10.0), (10.05, 0.0, 20.0, 10.0)]
    spaces = [UTM33, CRS.from_wkt(UTM33.to_wkt())]
    assert meetings(Areas.of_boxes(boxes, spaces, 0.01), Areas.of_boxes(boxes, spaces, 0.01)).shape[1] == 4
    assert meetings(Areas.of_boxes(boxes, spaces, 0.0), Areas.of_boxes(boxes, spaces, 0.0)).shape[1] == 2


@pytest.mark.parametrize("lat", [-16.8, 66.0])
def test_across_the_antimeridian(lat):
    east, west = CRS.from_epsg(32660), CRS.from_epsg(32601)
    assert meet(tile_at(179.9999, lat, 80, east), east, tile_at(-179.9999, lat, 80, west), west)
    assert meet(tile_at(179.9999, lat, 80, east), east, tile_at(-179.9999, lat, 80, DEGREES), DEGREES)
    assert not meet(tile_at(179.995, lat, 80, east), east, tile_at(-179.995, lat, 80, west), west)
    plane = on_one_plane([tile_at(179.9999, lat, 80, east), tile_at(-179.9999, lat, 80, west)], [east, west])
    assert abs(plane[0] - plane[1]).max() < 0.01


def test_what_has_no_place_on_earth_meets_nothing_of_another_crs():
    box = (0.0, 0.0, 10.0, 10.0)
    for space in (LOCAL, "scene"):
        assert meet(box, space, box, space)
        assert not meet(box, space, box, UTM33)
        assert not place_is_known(box, space)
    assert not place_is_known((1e30, 1e30, 2e30, 2e30), UTM33)
    assert place_is_known((500_000, 5_000_000, 500_010, 5_000_010), UTM33)
    both = Areas.of_boxes([(500_000, 5_000_000, 500_010, 5_000_010), (1e30, 1e30, 2e30, 2e30)], [UTM33, UTM33], 0.0)
    assert meetings(Areas.of_boxes([both.boxes[0]], [ETRS33], 0.0), both).tolist() == [[0], [0]]


def test_boxes_of_one_space_stay_as_they_are():
    boxes = [(0.0, 1.0, 2.0, 3.0), (4.0, 5.0, 6.0, 7.0)]
    assert on_one_plane(boxes, ["a", "a"]).tolist() == [list(box) for box in boxes]
    assert meetings(Areas.of_boxes([], [], 0.0), Areas.of_boxes(boxes, ["a", "a"], 0.0)).shape == (2, 0)
