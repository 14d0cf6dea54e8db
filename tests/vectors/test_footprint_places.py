"""From one CRS to another, and the grids that footprints are laid on."""

import math

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from conftest import UTM, make_grid
from orthoforge.errors import ConfigError, DataError, GridError
from orthoforge.geo.grid import Grid
from orthoforge.vectors import grid_for, reproject, utm_zone

WGS84 = CRS.from_epsg(4326)
MERCATOR = CRS.from_epsg(3857)
HOUSE = shapely.Polygon(
    [(500_000, 5_000_000), (500_020, 5_000_000), (500_020, 5_000_010), (500_000, 5_000_010)],
    [[(500_005, 5_000_004), (500_010, 5_000_004), (500_010, 5_000_008)]],
)


def test_footprints_come_back_from_another_crs():
    for crs in (WGS84, MERCATOR, CRS.from_epsg(5514), CRS.from_epsg(2263)):
        there = reproject([HOUSE, HOUSE], UTM, crs)
        assert not np.allclose(there[0].bounds, HOUSE.bounds)
        back = reproject(there, crs, UTM)
        assert len(back) == 2
        assert back[1].equals_exact(HOUSE, 1e-3)
    assert reproject([HOUSE], UTM, UTM)[0] is HOUSE
    assert len(reproject([], UTM, WGS84)) == 0
    degrees = reproject([HOUSE], UTM, WGS84)[0]
    assert degrees.bounds[0] == pytest.approx(15)  # longitude first


def test_a_corner_without_a_place_names_its_feature():
    pole = shapely.box(14.9, 89.5, 15.1, 91)
    good = shapely.box(14.9, 50, 15.1, 51)
    with pytest.raises(DataError, match=r"feature 2: its corner at 15\.1, 91 \(EPSG:4326\) has no place in EPSG:32633"):
        reproject([good, good, pole, pole, good], WGS84, UTM)
    with pytest.raises(DataError, match="feature 70: "):
        reproject([good, pole], WGS84, UTM, features=np.array([7, 70]))
    with pytest.raises(GridError, match="the footprints name no CRS"):
        reproject([good], None, UTM)


@pytest.mark.parametrize(
    ("lon", "lat", "epsg"),
    [
        (15, 50, 32633),
        (-180, 0, 32601),
        (180, 0, 32601),
        (179.9, -0.1, 32760),
        (-74, 40.7, 32618),
        (36.8, -1.3, 32737),
        (0, 51, 32631),
    ],
)
def test_utm_zones(lon, lat, epsg):
    assert utm_zone(lon, lat).to_epsg() == epsg


def test_the_poles_have_no_utm_zone():
    with pytest.raises(GridError, match=r"no UTM zone covers latitude 85\."):
        utm_zone(0, 85)


def test_a_reference_raster_gives_its_grid():
    like = make_grid(100)
    left, bottom, _, _ = like.bounds
    inside = shapely.box(left + 3, bottom + 3, left + 9, bottom + 9)
    assert grid_for([inside], UTM, like=like, gsd_m=7) is like
    assert grid_for(reproject([inside], UTM, WGS84), WGS84, like=like) is like
    with pytest.raises(
        DataError, match=r"none of the 1 footprints lies on the reference raster's ground \(EPSG:32633\): they cover 0 0"
    ):
        grid_for([shapely.box(0, 0, 1, 1)], UTM, like=like)
    with pytest.raises(DataError, match="there are no footprints on the reference"):
        grid_for([], UTM, like=like)
    with pytest.raises(GridError, match="the footprints name no CRS"):
        grid_for([inside], None, like=like)
    no_crs = Grid(9, 9)
    assert grid_for([shapely.box(1, 1, 3, 3)], None, like=no_crs) is no_crs
    degrees = Grid(10, 10, Affine(0.001, 0, 13.4, 0, -0.001, 52.5), WGS84)
    with pytest.raises(DataError, match="They would with longitude and latitude exchanged"):
        grid_for([shapely.box(52.492, 13.402, 52.494, 13.404)], WGS84, like=degrees)


def test_degrees_and_web_mercator_get_the_utm_zone():
    own = grid_for([HOUSE], UTM, gsd_m=0.3)
    assert own.crs == UTM
    for crs in (WGS84, MERCATOR):
        grid = grid_for(reproject([HOUSE], UTM, crs), crs, gsd_m=0.3)
        assert grid.crs == UTM
        assert grid.offset_px(own) < 1e-6
        assert (grid.height, grid.width) == (own.height, own.width)
    south = shapely.box(36.8, -1.3, 36.801, -1.299)
    assert grid_for([south], WGS84, gsd_m=0.5).crs.to_epsg() == 32737
    assert grid_for([south], WGS84, gsd_m=0.5, crs_out=CRS.from_epsg(21037)).crs.to_epsg() == 21037
    for crs in (WGS84, MERCATOR):
        with pytest.raises(GridError, match=r"pixels of 0\.3 m cannot be laid in EPSG:\d+: its unit is not a metre"):
            grid_for([HOUSE], UTM, gsd_m=0.3, crs_out=crs)


def test_feet_are_turned_into_metres():
    new_york = CRS.from_epsg(2263)
    grid = grid_for(
        [shapely.box(980_000, 200_000, 981_000, 200_500)], new_york, gsd_m=0.3, extent=(980_000, 200_000, 981_000, 200_500)
    )
    assert grid.crs == new_york
    assert grid.gsd_m() == pytest.approx(0.3, rel=1e-3)
    assert grid.width == pytest.approx(1000 * 0.3048 / 0.3, abs=2)


@given(
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    st.floats(1, 500),
    st.floats(1, 500),
    st.sampled_from([0.075, 0.1, 0.3, 0.5, 1.0, 2.5]),
)
def test_grids_cover_the_ground_and_fit_together(left, bottom, width, height, gsd):
    crs = UTM
    left, bottom = left / 4 + 500_000, bottom + 5_000_000
    ground = shapely.box(left, bottom, left + width, bottom + height)
    by_bounds = grid_for([ground], crs, gsd_m=gsd)
    by_extent = grid_for([ground], crs, gsd_m=gsd, extent=ground.bounds)
    for grid, margin in ((by_bounds, 10), (by_extent, 0)):
        west, south, east, north = grid.bounds
        room = 1e-5 * gsd
        assert west <= left - margin + room and south <= bottom - margin + room
        assert east >= left + width + margin - room and north >= bottom + height + margin - room
        assert west > left - margin - 1.001 * gsd and north < bottom + height + margin + 1.001 * gsd
        for edge in (west, north):
            assert edge / gsd == pytest.approx(round(edge / gsd), abs=1e-6)


def test_neighbouring_extents_share_a_border():
    ground = shapely.box(500_000, 5_000_000, 500_060, 5_000_030)
    west = grid_for([ground], UTM, gsd_m=0.3, extent=(500_000.1, 5_000_000.1, 500_029.8, 5_000_030))
    east = grid_for([ground], UTM, gsd_m=0.3, extent=(500_029.8, 5_000_000.1, 500_060, 5_000_030))
    col, row = ~west.transform @ (east.transform.c, east.transform.f)
    assert (col, row) == pytest.approx((west.width, 0), abs=1e-6)
    assert math.isclose(west.bounds[2], east.bounds[0])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ConfigError, "say how large one is with --gsd METRES, or give a raster with --like"),
        ({"gsd_m": 0}, ConfigError, "a ground resolution of 0 m is impossible"),
        ({"gsd_m": math.nan}, ConfigError, "a ground resolution of nan m is impossible"),
        ({"gsd_m": 1, "extent": (0, 0, 0, 9)}, ConfigError, "the extent 0 0 0 9 has no area; it is written left bottom right top"),
        ({"gsd_m": 1, "extent": (0, 0, 9, math.inf)}, ConfigError, "has no area"),
        (
            {"gsd_m": 1, "extent": (0, 0, 9, 9)},
            DataError,
            "none of the 1 footprints lies in the extent: they cover 500000 5000000 500020",
        ),
        ({"gsd_m": 1e-4}, GridError, r"a mask of 400000×300000 px at 0\.0001 m is too large; 2\.5 billion pixels"),
    ],
)
def test_impossible_grids(options, error, message):
    with pytest.raises(error, match=message):
        grid_for([HOUSE], UTM, **options)


def test_no_footprints_and_no_crs():
    with pytest.raises(DataError, match="there are no footprints"):
        grid_for([], UTM, gsd_m=1)
    with pytest.raises(GridError, match="the footprints name no CRS"):
        grid_for([HOUSE], None, gsd_m=1)
    with pytest.raises(GridError, match=r"the extent 0 91 9 99 in EPSG:4326 has no place in EPSG:32633"):
        grid_for([shapely.box(0, 0, 500, 99)], WGS84, gsd_m=1, extent=(0, 91, 9, 99), crs_out=UTM)
