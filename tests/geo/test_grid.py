import math

import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from conftest import UTM, make_grid
from orthoforge.errors import GridError
from orthoforge.geo.grid import Grid, Window, crs_name, require_north_up, require_same_grid

WGS84, WEB = CRS.from_epsg(4326), CRS.from_epsg(3857)
sides = st.integers(1, 5000)


@st.composite
def grids(draw):
    gsd = draw(st.floats(0.05, 30))
    return Grid(draw(sides), draw(sides), Affine(gsd, 0, draw(st.floats(3e5, 7e5)), 0, -gsd, draw(st.floats(1e6, 9e6))), UTM)


@st.composite
def windows(draw, grid):
    row, col = draw(st.integers(0, grid.height - 1)), draw(st.integers(0, grid.width - 1))
    return Window(row, col, draw(st.integers(1, grid.height - row)), draw(st.integers(1, grid.width - col)))


@given(st.data())
def test_a_windows_pixels_lie_where_the_grids_do(data):
    grid = data.draw(grids())
    window = data.draw(windows(grid))
    part = grid.window(window)
    assert (part.height, part.width, part.crs) == (window.height, window.width, grid.crs)
    for row, col in ((0, 0), (part.height, part.width), (0.5, 0.5)):
        assert part.transform @ (col, row) == pytest.approx(grid.transform @ (col + window.col, row + window.row), rel=1e-12)


@given(st.data())
def test_a_window_of_a_window_is_the_window_at_the_sum_of_both(data):
    grid = data.draw(grids())
    outer = data.draw(windows(grid))
    inner = data.draw(windows(grid.window(outer)))
    at_once = grid.window(Window(outer.row + inner.row, outer.col + inner.col, inner.height, inner.width))
    assert grid.window(outer).window(inner).offset_px(at_once) < 1e-5


@given(grids(), sides, sides)
def test_resizing_covers_the_same_ground(grid, height, width):
    resized = grid.resized(height, width)
    assert (resized.height, resized.width) == (height, width)
    assert resized.bounds == pytest.approx(grid.bounds, rel=1e-9)
    assert resized.resized(grid.height, grid.width).offset_px(grid) < 1e-4


@given(grids())
def test_gsd_in_metres_is_the_pixel_in_a_utm_zone(grid):
    # UTM's scale runs from 0.9996 at its middle to about 1.0001 where zones are cut at 200 km.
    if grid.bounds[1] > 0 and grid.bounds[3] < 9.3e6:
        assert grid.gsd_m() == pytest.approx(grid.transform.a, rel=2e-3)


@pytest.mark.parametrize("latitude", [0, 27.6, -33.9, 52.5, 69.6])
def test_gsd_at_latitudes(latitude):
    # Metres per degree of the WGS 84 ellipsoid: series of the National Geospatial-Intelligence Agency.
    phi = math.radians(latitude)
    per_lat = 111132.92 - 559.82 * math.cos(2 * phi) + 1.175 * math.cos(4 * phi) - 0.0023 * math.cos(6 * phi)
    per_lon = 111412.84 * math.cos(phi) - 93.5 * math.cos(3 * phi) + 0.118 * math.cos(5 * phi)
    step = 1e-6
    degrees = Grid(100, 100, Affine(step, 0, 10 - 50 * step, 0, -step, latitude + 50 * step), WGS84)
    assert degrees.gsd_m() == pytest.approx(step * (per_lat + per_lon) / 2, rel=1e-5)
    width_m, height_m = degrees.pixel_m()
    assert (width_m, height_m) == pytest.approx((step * per_lon, step * per_lat), rel=1e-5)
    # Web mercator stretches a sphere: a metre on its map is cos(latitude) on the ground, up to the flattening (0.34 %).
    x, y = math.radians(10) * 6378137, math.asinh(math.tan(phi)) * 6378137
    web = Grid(10, 10, Affine(0.3, 0, x, 0, -0.3, y), WEB)
    assert web.gsd_m() == pytest.approx(0.3 * math.cos(phi), rel=7e-3)


def test_gsd_is_unknown_without_a_crs_or_a_place_on_earth():
    assert Grid(4, 4).gsd_m() is None
    assert Grid(4, 4, Affine(1, 0, 0, 0, -1, 0), CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')).gsd_m() is None
    assert Grid(4, 4, Affine(0.3, 0, 1e12, 0, -0.3, 1e12), UTM).gsd_m() is None


@pytest.mark.parametrize(
    ("transform", "how"),
    [
        (Affine(0.3, 0.01, 0, 0.01, -0.3, 0), "rotated"),
        (Affine(0.3, 0, 0, 0, 0.3, 0), "south-up"),
        (Affine(-0.3, 0, 0, 0, -0.3, 0), "mirrored"),
    ],
)
def test_rotated_and_flipped_transforms_are_refused(transform, how):
    with pytest.raises(GridError, match=rf"a\.tif: its transform is {how}.*gdalwarp"):
        require_north_up("a.tif", Grid(4, 4, transform, UTM))
    require_north_up("a.tif", make_grid(4))
    require_north_up("plain.png", Grid(4, 4))


def test_a_mask_on_another_grid_is_refused_with_the_difference():
    image = make_grid((50, 60))
    require_same_grid("a1", image, image)
    with pytest.raises(GridError, match="a1: mask is 59×50 but image is 60×50"):
        require_same_grid("a1", image, make_grid((50, 59)))
    with pytest.raises(GridError, match="mask is in EPSG:3857 but image is in EPSG:32633"):
        require_same_grid("a1", image, make_grid((50, 60), crs=WEB))
    half = Grid(50, 60, image.transform @ Affine.translation(0.5, 0), UTM)
    with pytest.raises(GridError, match=r"mask lies 0\.50 px off"):
        require_same_grid("a1", image, half)
    with pytest.raises(GridError, match="px off"):  # same corner, other pixel size: the far corner tells
        require_same_grid("a1", image, Grid(50, 60, image.transform @ Affine.scale(1.001), UTM))


def test_rounding_and_a_missing_crs_are_no_difference():
    image = make_grid(50)
    rounded = Grid(50, 50, image.transform @ Affine.translation(1e-4, -1e-4), UTM)
    for same in (rounded, Grid(50, 50)):
        assert same != image
        require_same_grid("a1", image, same)  # raises otherwise


def test_names_of_crs():
    assert crs_name(None) == "no CRS"
    assert crs_name(UTM) == "EPSG:32633"
    assert crs_name(CRS.from_wkt('LOCAL_CS["building site",UNIT["metre",1]]')) == "building site"


@given(st.data())
def test_window_slices_cut_what_the_window_says(data):
    grid = data.draw(grids())
    window = data.draw(windows(grid))
    rows, cols = window.slices
    assert (rows.stop - rows.start, cols.stop - cols.start) == (window.height, window.width)
    assert (rows.start, cols.start) == (window.row, window.col)
