"""Masks become footprints again."""

import numpy as np
import pytest
import shapely
import shapely.affinity
from affine import Affine
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from conftest import UTM, make_grid, make_mask
from orthoforge.geo.grid import Grid
from orthoforge.geo.rasters import open_raster, read_mask
from orthoforge.scenes.simulate import PLACES, render_scene
from orthoforge.vectors import footprints_of, footprints_of_strips, rasterize_footprints

PIXELS = st.integers(1, 12)
MASKS = arrays.arrays(np.uint8, st.tuples(PIXELS, PIXELS), elements=st.sampled_from([0, 255]))
TWO_COURTYARDS = np.full((8, 9), 255, np.uint8)
TWO_COURTYARDS[1, 2] = TWO_COURTYARDS[5:7, 1] = 0


def iou(a, b):
    either = ((a > 0) | (b > 0)).sum()
    return ((a > 0) & (b > 0)).sum() / either if either else 1.0


def again(mask, **options):
    grid = Grid(*mask.shape, Affine(0.3, 0, 500_000, 0, -0.3, 5_000_000), UTM)
    polygons = footprints_of(mask, grid=grid, **options)
    return polygons, rasterize_footprints(polygons, grid)


def test_a_box_is_its_four_corners_on_the_ground():
    grid, mask = make_grid(20), np.zeros((20, 20), np.uint8)
    mask[5:15, 2:12] = 255
    (polygon,) = footprints_of(mask, grid=grid)
    left, top = 500_000 + 2 * 0.3, 5_000_000 - 5 * 0.3
    assert polygon.normalize().equals_exact(shapely.box(left, top - 3, left + 3, top).normalize(), 1e-6)
    assert len(polygon.exterior.coords) == 5
    assert footprints_of(np.zeros((20, 20), np.uint8), grid=grid) == []


def test_courtyards_stay_and_specks_go():
    mask = np.zeros((30, 30), np.uint8)
    mask[2:28, 2:28] = 255
    mask[10:20, 10:20] = 0
    mask[14:16, 14:16] = 255  # 4 pixels in the yard
    mask[0, 29] = 255
    polygons, drawn = again(mask)
    assert [len(polygon.interiors) for polygon in polygons] == [1, 0]
    mask[0, 29] = 0
    np.testing.assert_array_equal(drawn, mask)
    assert len(again(mask, least_px=5)[0]) == 1


def test_pixels_that_touch_at_a_corner_are_two_buildings():
    mask = np.zeros((16, 16), np.uint8)
    mask[:8, :8] = mask[8:, 8:] = 255
    polygons, drawn = again(mask)
    assert len(polygons) == 2
    np.testing.assert_array_equal(drawn, mask)


@given(MASKS)
def test_without_simplifying_nothing_is_lost(mask):
    polygons, drawn = again(mask, simplify_px=0, least_px=1)
    np.testing.assert_array_equal(drawn, mask)
    assert shapely.is_valid(polygons).all()


@given(MASKS, st.floats(0.1, 4))
def test_outlines_are_valid_and_apart_however_coarse(mask, simplify_px):
    polygons, _ = again(mask, simplify_px=simplify_px, least_px=1)
    shapes = np.array(polygons, object)
    assert shapely.is_valid(shapes).all() and not shapely.is_empty(shapes).any()
    first, second = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    pairs = first < second
    assert shapely.area(shapely.intersection(shapes[first[pairs]], shapes[second[pairs]])).sum() < 1e-9


@example(TWO_COURTYARDS, [1, 5])  # the border of strips cuts one of them
@given(MASKS, st.lists(st.integers(1, 5), min_size=1, max_size=12))
def test_strips_give_what_the_whole_mask_gives(mask, heights):
    grid = Grid(*mask.shape, crs=UTM)
    cuts = np.cumsum(heights)
    strips = [strip for strip in np.split(mask, cuts[cuts < len(mask)]) if len(strip)]
    whole = footprints_of(mask, grid=grid, least_px=1)
    by_strips = footprints_of_strips(strips, grid=grid, least_px=1)
    assert [polygon.wkb for polygon in by_strips] == [polygon.wkb for polygon in whole]


def test_buildings_cut_by_many_strips_come_out_whole():
    mask = make_mask(96)
    mask[:, 40:44] = 255  # a wall through all strips
    grid = make_grid(96)
    strips = [mask[row : row + 1] for row in range(96)]
    assert [p.wkb for p in footprints_of_strips(strips, grid=grid)] == [p.wkb for p in footprints_of(mask, grid=grid)]


@pytest.mark.parametrize("name", PLACES)
def test_a_town_drawn_from_its_outlines_is_the_same_town(name):
    scene = render_scene(PLACES[name], seed=3, height_px=384, width_px=384)
    polygons = footprints_of(scene.mask, grid=scene.grid)
    assert iou(rasterize_footprints(polygons, scene.grid), scene.mask) >= 0.98
    stairs = footprints_of(scene.mask, grid=scene.grid, simplify_px=0)
    corners = [shapely.get_num_coordinates(shapes).sum() for shapes in (polygons, stairs)]
    assert corners[0] <= 0.5 * corners[1]  # least where houses stand along the pixels


@pytest.mark.parametrize("turned", [7, 20, 33, 45, 71])
def test_a_slanting_house_has_few_corners(turned):
    house = shapely.affinity.rotate(shapely.box(500_010, 4_999_975, 500_025, 4_999_985), turned)
    grid = make_grid(128)
    (outline,) = footprints_of(rasterize_footprints([house], grid), grid=grid)
    assert len(outline.exterior.coords) <= 12
    assert shapely.hausdorff_distance(outline.exterior, house.exterior) < 2 * 0.3
    assert outline.area == pytest.approx(house.area, rel=0.01)


@pytest.mark.real_data
def test_real_masks_drawn_from_their_outlines_are_the_same(shared_data):
    inside, either, worst = 0, 0, 1.0
    for path in sorted((shared_data / "building" / "masks").iterdir())[::3]:
        with open_raster(path) as raster:
            mask = read_mask(raster)
        _, drawn = again(mask)
        inside += int(((mask > 0) & (drawn > 0)).sum())
        either += int(((mask > 0) | (drawn > 0)).sum())
        if (mask > 0).mean() > 0.02:  # of a sliver at the border there may be nothing left
            worst = min(worst, iou(mask, drawn))
    assert inside / either >= 0.985
    assert worst >= 0.94
