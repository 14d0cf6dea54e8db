"""Footprints become pixels: whole, and by windows."""

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import assume, given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.features import rasterize

from conftest import UTM, examples, make_grid
from orthoforge.errors import DataError
from orthoforge.geo.grid import Grid, Window
from orthoforge.scenes.simulate import PLACES, render_scene
from orthoforge.vectors import FootprintMask, footprint_mask, rasterize_footprints


def test_a_pixel_belongs_to_the_polygon_that_holds_its_centre():
    grid = Grid(4, 6, Affine(2, 0, 100, 0, -2, 208), UTM)  # x 100 to 112, y 200 to 208
    mask = rasterize_footprints([shapely.box(101.5, 203, 106.9, 206.5)], grid)
    assert mask.dtype == np.uint8
    assert mask.tolist() == [[0] * 6, [0, 255, 255, 0, 0, 0], [0, 255, 255, 0, 0, 0], [0] * 6]
    assert not rasterize_footprints([], grid).any()
    assert not rasterize_footprints([shapely.box(0, 0, 1, 1)], grid).any()


@given(st.integers(0, 19), st.integers(0, 19), st.integers(1, 20), st.integers(1, 20))
def test_a_box_of_whole_pixels_becomes_just_those(row, col, height, width):
    grid = make_grid(20)
    west, north = grid.transform @ (col, row)
    east, south = grid.transform @ (col + width, row + height)
    expected = np.zeros((20, 20), np.uint8)
    expected[row : row + height, col : col + width] = 255
    assert np.array_equal(rasterize_footprints([shapely.box(west, south, east, north)], grid), expected)


def test_footprints_that_would_lie_in_the_scene_when_exchanged_are_refused():
    grid = Grid(10, 10, Affine(0.001, 0, 13.4, 0, -0.001, 52.5), CRS.from_epsg(4326))
    good = shapely.box(13.402, 52.494, 13.406, 52.498)
    swapped = shapely.transform(good, lambda xy: xy[:, ::-1])
    assert rasterize_footprints([good], grid).any()
    with pytest.raises(DataError, match="none of the 1 footprints lies in the scene, but they would with longitude and latitude"):
        rasterize_footprints([swapped], grid)
    assert not rasterize_footprints([shapely.box(0, 0, 1, 1)], grid).any()


@pytest.mark.parametrize("name", PLACES)
def test_a_town_is_what_gdal_makes_of_it_in_one_go(name):
    scene = render_scene(PLACES[name], seed=5, height_px=160, width_px=1200)
    shape = (scene.grid.height, scene.grid.width)
    expected = rasterize(scene.footprints, out_shape=shape, transform=scene.grid.transform, default_value=255, dtype=np.uint8)
    np.testing.assert_array_equal(rasterize_footprints(scene.footprints, scene.grid), expected)


# Corners on centres and on corners of pixels, and on fractions of them where rounding decides.
PIXELS = st.one_of(st.integers(-28, 252).map(lambda n: n / 7), st.integers(-24, 216).map(lambda n: n / 6))


@st.composite
def triangles_and_boxes(draw):
    points = [(draw(PIXELS), draw(PIXELS)) for _ in range(draw(st.integers(3, 5)))]
    return shapely.convex_hull(shapely.MultiPoint(points))


@pytest.mark.parametrize(
    "transform",
    [
        Affine(1, 0, 0, 0, -1, 0),
        Affine(0.3, 0, 457_076.7, 0, -0.3, 5_550_470.4),
        Affine(2.7e-6, 0, 13.4, 0, -1.8e-6, 52.5),
        Affine(0.21, 0.2, 457_076.7, 0.19, -0.23, 5_550_470.4),
    ],
)
@examples(0.4)
@given(st.lists(triangles_and_boxes(), min_size=1, max_size=6), st.data())
def test_any_window_is_that_part_of_the_whole_to_the_bit(transform, shapes, data):
    polygons = [shape for shape in shapes if isinstance(shape, shapely.Polygon)]
    assume(polygons)
    grid = Grid(30, 34, transform, UTM)
    ground = [shapely.transform(polygon, lambda xy: np.column_stack(transform @ tuple(xy.T))) for polygon in polygons]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(footprint_mask, "_BLOCK_PX", 8)  # windows inside a block, and over many
        mask = FootprintMask(ground, grid)
        whole = rasterize_footprints(ground, grid)
        row, col = data.draw(st.integers(0, 29)), data.draw(st.integers(0, 33))
        window = Window(row, col, data.draw(st.integers(1, 30 - row)), data.draw(st.integers(1, 34 - col)))
        np.testing.assert_array_equal(mask.read(window), whole[window.slices])
        tiles = np.block([[mask.read(Window(r, c, 15, 17)) for c in (0, 17)] for r in (0, 15)])
    np.testing.assert_array_equal(tiles, whole)
    assert set(np.unique(whole)) <= {0, 255}


def test_centres_that_lie_on_an_edge_are_the_same_in_every_window():
    # Corners on sevenths of a pixel: some edges cross a row within the last digit of a centre, where the origin decides for GDAL.
    rng = np.random.default_rng(0)
    cells = np.stack(np.meshgrid(np.arange(38), np.arange(38)), axis=-1).reshape(-1, 1, 2) * 36
    corners = rng.integers(0, 252, (len(cells), 3, 2)) / 7 + cells
    triangles = shapely.polygons(corners * (1, -1))
    grid = Grid(1368, 1368, Affine(1, 0, 0, 0, -1, 0))
    mask = FootprintMask(triangles[shapely.is_valid(triangles)], grid)
    whole = mask.read()
    for row, col in rng.integers(0, 1000, (40, 2)):
        window = Window(int(row), int(col), 368, 368)
        np.testing.assert_array_equal(mask.read(window), whole[window.slices])


def test_a_large_mask_needs_no_more_memory_than_a_window():
    grid = make_grid(50_000)
    west, north = grid.transform @ (49_990, 49_990)
    mask = FootprintMask([shapely.box(west, north - 3, west + 3, north), shapely.box(0, 0, 1, 1)], grid)
    assert len(mask) == 1  # the other lies elsewhere
    corner = mask.read(Window(49_980, 49_980, 20, 20))
    assert (corner[10:, 10:] == 255).all() and corner.sum() == 255 * 100
    assert not mask.read(Window(0, 0, 64, 64)).any()
