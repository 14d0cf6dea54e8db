"""Where a file's coordinates lie: stated CRSs, metres without one, corners far off, the antimeridian."""

import json

import numpy as np
import pyogrio.raw
import pytest
import shapely
from rasterio.crs import CRS

from conftest import UTM, make_grid, write_tiff
from orthoforge.errors import ConfigError, DataError, GridError
from orthoforge.geo.grid import Grid
from orthoforge.geo.rasters import open_raster
from orthoforge.vectors import load_footprints, open_mask, rasterize_file, write_footprints

HOUSE = shapely.box(500_000, 5_500_000, 500_020, 5_500_020)
STATED = "State theirs with --footprints-crs, for example --footprints-crs EPSG:32633"


def square(x, y, side=2e-4):
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def geojson(path, *rings, **members):
    features = [{"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}} for ring in rings]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features} | members))
    return path


def shapefile_without_prj(folder):
    path = folder / "buildings.shp"
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(np.array([HOUSE], object)),
        field_data=[],
        fields=[],
        geometry_type="Polygon",
        crs="EPSG:32633",
    )
    path.with_suffix(".prj").unlink()
    return path


def test_a_shapefile_without_prj_asks_for_its_crs_and_takes_the_one_that_is_stated(tmp_path):
    path = shapefile_without_prj(tmp_path)
    like = Grid(100, 100, make_grid(100).transform.__class__(1, 0, 499_990, 0, -1, 5_500_050), UTM)
    for options in ({"gsd_m": 1.0}, {"like": like}):
        with pytest.raises(GridError, match=r"buildings\.shp: the footprints name no CRS .*\.prj beside it.*" + STATED):
            open_mask(path, **options)
    assert open_mask(path, gsd_m=1.0, footprints_crs="EPSG:32633").grid.crs == UTM
    assert (open_mask(path, like=like, footprints_crs="EPSG:32633").read() > 0).sum() == 400
    with open_raster(rasterize_file(path, tmp_path / "m.tif", gsd=1, footprints_crs="EPSG:32645", crs="EPSG:32645")) as raster:
        assert raster.grid.crs.to_epsg() == 32645
    with pytest.raises(ConfigError, match="no CRS is called '/etc/hostname'"):
        open_mask(path, gsd_m=1.0, footprints_crs="/etc/hostname")


def test_a_raster_without_a_crs_is_what_lacks_one(tmp_path):
    write_tiff(tmp_path / "like.tif", np.zeros((9, 9, 3), np.uint8), Grid(9, 9))
    write_footprints(tmp_path / "f.gpkg", [HOUSE], UTM)
    with pytest.raises(
        GridError, match=r"footprints in EPSG:32633 cannot be moved to a raster without a CRS\. Assign the raster's"
    ):
        open_mask(tmp_path / "f.gpkg", like=tmp_path / "like.tif")


@pytest.mark.parametrize("name", ["metres.geojson", "metres.csv", "metres.geojsonl"])
def test_metres_in_a_file_that_names_no_crs_are_no_swapped_degrees(tmp_path, name):
    path = tmp_path / name
    ring = [list(corner) for corner in HOUSE.exterior.coords]
    if name.endswith(".csv"):
        path.write_text(f'WKT\n"{HOUSE.wkt}"\n')
    elif name.endswith("l"):
        path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}) + "\n")
    else:
        geojson(path, ring)
    with pytest.raises(DataError, match=r"x 500000 to 500020, y 5500000 to 5500020\) are no degrees.*names no CRS.*" + STATED):
        load_footprints(path)
    found = load_footprints(path, footprints_crs="EPSG:32645")
    assert (found.crs.to_epsg(), shapely.area(found.polygons).tolist()) == (32645, [400])


def test_degrees_are_not_what_a_stated_metric_crs_says(tmp_path):
    path = geojson(tmp_path / "f.geojson", square(15, 50))
    with pytest.raises(
        DataError, match=r"look like degrees, not like EPSG:32633\. --footprints-crs says which CRS the footprints are in"
    ):
        load_footprints(path, footprints_crs="EPSG:32633")
    write_footprints(tmp_path / "f.gpkg", [HOUSE], UTM)
    with pytest.warns(UserWarning, match="names EPSG:32633 itself; it is read as EPSG:25833, as --footprints-crs says"):
        assert load_footprints(tmp_path / "f.gpkg", footprints_crs="EPSG:25833").crs.to_epsg() == 25833


@pytest.mark.parametrize(
    ("member", "found"),
    [
        ({"type": "EPSG", "properties": {"code": 32633}}, 32633),
        ({"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::25833"}}, 25833),
        ({"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}, 4326),
        (None, 4326),
        ({"type": "link", "properties": {"href": "http://127.0.0.1:1/crs"}}, "names none by a name or an EPSG code"),
        ({"type": "name", "properties": {"name": "http://127.0.0.1:1/crs"}}, "'http://127.0.0.1:1/crs' is no CRS"),
        ({"type": "name", "properties": {"name": "/etc/hostname"}}, "'/etc/hostname' is no CRS"),
        ("EPSG:32633", "names none by a name or an EPSG code"),
        (5, "names none by a name or an EPSG code"),
        ({"type": "name", "properties": {"name": 5}}, "names none by a name or an EPSG code"),
    ],
)
def test_the_crs_member_of_a_geojson(tmp_path, member, found):
    path = geojson(tmp_path / "f.geojson", square(15, 50), crs=member)
    if isinstance(found, int):
        assert load_footprints(path).crs.to_epsg() == found
        return
    with pytest.raises(DataError, match=f"its CRS cannot be read .*{found}.*--footprints-crs"):
        load_footprints(path)
    assert load_footprints(path, footprints_crs="EPSG:4326").crs.to_epsg() == 4326


def test_latitude_400_names_its_feature(tmp_path):
    path = geojson(tmp_path / "f.geojson", square(15, 50), square(15, 50.1), square(15, 400), square(15, 50.2))
    with pytest.raises(
        DataError, match=r"f\.geojson: feature 2 has a corner at .*, 400.*which is no longitude and latitude\. Mend"
    ):
        load_footprints(path)


def test_a_corner_at_zero_names_its_feature(tmp_path):
    spike = [[15, 50], [15.001, 50], [15.001, 50.001], [0, 0], [15, 50]]
    path = geojson(tmp_path / "f.geojson", square(15, 50), [[15, 50], [15.001, 50], [0, 0], [15, 50]], square(15, 50.001))
    with pytest.raises(DataError, match=r"feature 1 is 50 degrees wide, which no building is; its corner at 0, 0 lies far"):
        load_footprints(path)
    with pytest.raises(DataError, match="feature 0 is no valid polygon"):
        load_footprints(geojson(tmp_path / "g.geojson", spike))
    with pytest.raises(DataError, match="feature 0 is 50 degrees wide"), pytest.warns(UserWarning, match="mended"):
        load_footprints(tmp_path / "g.geojson", repair=True)
    write_footprints(tmp_path / "f.gpkg", [HOUSE, shapely.Polygon([(500_000, 5_500_000), (500_020, 5_500_000), (0, 0)])], UTM)
    with pytest.raises(DataError, match=r"feature 1 is 5\.5e\+06 units of its CRS wide.* its corner at 0, 0"):
        load_footprints(tmp_path / "f.gpkg")


@pytest.mark.parametrize("crs", [None, "EPSG:32633"])
def test_a_building_at_zero_among_those_of_a_town_is_named(tmp_path, crs):
    town = [square(15 + 0.001 * n, 50) for n in range(20)]
    path = geojson(tmp_path / "f.geojson", *town[:7], square(0, 0), *town[7:])
    with pytest.raises(
        DataError, match=r"f\.geojson: feature 7 lies at 0\.0001, 0\.0001, far from the others around 15\.0.*too large"
    ):
        open_mask(path, gsd_m=0.3, crs=crs)


@pytest.mark.parametrize(
    ("longitudes", "epsg"),
    [((179.9990, -179.9992), (32701, 32760)), ((179.9950, -179.9992), (32760,)), ((179.9990, 180.0008), (32701, 32760))],
)
def test_a_town_across_the_antimeridian_is_one_town(tmp_path, longitudes, epsg):
    mask = open_mask(geojson(tmp_path / "f.geojson", *(square(lon, -16.8) for lon in longitudes)), gsd_m=0.3)
    assert mask.grid.crs.to_epsg() in epsg
    assert mask.grid.width * 0.3 < 1000
    assert mask.grid.pixel_m() == pytest.approx((0.3, 0.3), rel=0.01)
    pixels = mask.read()
    for half in (pixels[:, : mask.grid.width // 2], pixels[:, mask.grid.width // 2 :]):
        assert (half > 0).sum() * 0.09 == pytest.approx(21.3 * 22.1, rel=0.03)  # 2e-4 degrees squared there


def test_a_building_on_the_antimeridian_and_an_extent_beyond_it(tmp_path):
    on_it = [[179.9999, -16.8], [-179.9999, -16.8], [-179.9999, -16.7999], [179.9999, -16.7999], [179.9999, -16.8]]
    path = geojson(tmp_path / "f.geojson", on_it, square(-179.9992, -16.8), square(170, -16.8))
    found = load_footprints(path, within=(179.9, -17, 180.1, -16))
    assert found.features.tolist() == [0, 1]
    assert shapely.total_bounds(found.polygons) == pytest.approx((179.9999, -16.8, 180.001, -16.7998))
    assert len(open_mask(path, gsd_m=0.3, extent=(179.9, -16.81, 180.1, -16.79))) == 2
    with pytest.raises(ConfigError, match="across the antimeridian its right edge goes on beyond 180"):
        open_mask(path, gsd_m=0.3, extent=(179.9, -16.81, -179.9, -16.79))
    like = open_mask(path, gsd_m=1, extent=(179.99, -16.81, 180.01, -16.79)).grid
    assert len(open_mask(path, like=like)) == 2


@pytest.mark.parametrize("gsd", [1e-300, 1e-9])
def test_absurdly_small_pixels_are_too_many(tmp_path, gsd):
    write_footprints(tmp_path / "f.gpkg", [HOUSE], UTM)
    with pytest.raises(GridError, match=rf"f\.gpkg: a mask of \S+ px at {gsd:g} m is too large"):
        open_mask(tmp_path / "f.gpkg", gsd_m=gsd)
    flat = Grid(9, 9, make_grid(9).transform.__class__(1e-300, 0, 500_000, 0, -1e-300, 5_500_020), CRS.from_epsg(32633))
    with pytest.raises(GridError, match="the reference raster's pixels have no area: 1e-300 × -1e-300"):
        open_mask(tmp_path / "f.gpkg", like=flat)
