import json

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from conftest import UTM, make_grid
from orthoforge.errors import DataError, OutputExistsError
from orthoforge.geo.footprints import rasterize_footprints, read_footprints, write_footprints
from orthoforge.geo.grid import Grid

SQUARE = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]


def write_geojson(folder, *geometries, name="f.geojson", **members):
    features = [{"type": "Feature", "properties": {}, "geometry": geometry} for geometry in geometries]
    path = folder / name
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features} | members))
    return path


def polygon(*rings):
    return {"type": "Polygon", "coordinates": list(rings)}


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg", ".JSON"])
@pytest.mark.parametrize("crs", [UTM, CRS.from_epsg(4326), CRS.from_epsg(3857)])
def test_polygons_and_crs_survive_the_file(tmp_path, suffix, crs):
    yard = shapely.Polygon([(0, 0), (9, 0), (9, 9), (0, 9)], [[(3, 3), (6, 3), (6, 6), (3, 6)]])
    path = tmp_path / f"f{suffix}"
    write_footprints(path, [yard, shapely.box(20, 0, 25, 5)], crs)
    polygons, found = read_footprints(path)
    assert found == crs
    assert [round(part.area) for part in polygons] == [72, 25]
    assert polygons[0].equals(yard)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    with pytest.raises(OutputExistsError):
        write_footprints(path, [], crs)


def test_a_town_without_buildings_is_a_file_too(tmp_path):
    for name in ("f.geojson", "f.gpkg"):
        write_footprints(tmp_path / name, [], UTM)
        assert read_footprints(tmp_path / name) == ([], UTM)


def test_multipolygons_are_taken_apart_and_points_left_out(tmp_path):
    far = [[5, 5], [6, 5], [6, 6], [5, 5]]
    path = write_geojson(
        tmp_path, None, {"type": "Point", "coordinates": [0, 0]}, {"type": "MultiPolygon", "coordinates": [[SQUARE], [far]]}
    )
    polygons, crs = read_footprints(path)
    assert [part.area for part in polygons] == [1, 0.5]
    assert crs == CRS.from_epsg(4326)  # GeoJSON's own


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        (polygon([[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]), r"feature 1 is no valid polygon: Self-intersection"),
        (polygon([[0, 0], [1, 0], [1, 1], [0, 1]]), r"feature 1 is no valid geometry: its ring is not closed"),
        (polygon(SQUARE, [[2, 2], [3, 2], [3, 3]]), "feature 1 .* ring is not closed: it starts at"),
        (polygon([[0, 0], [1, 0]]), "feature 1 is no valid geometry"),
        ({"type": "Blob"}, "feature 1 is no valid geometry"),
        ({"type": "Polygon", "coordinates": [[["a", "b"]]]}, "feature 1 is no valid geometry"),
        (polygon([[0, 0], [1, 0], [0, 0]]), "feature 1 is no valid"),
    ],
)
def test_a_broken_polygon_is_named_by_its_feature(tmp_path, geometry, message):
    with pytest.raises(DataError, match=message):
        read_footprints(write_geojson(tmp_path, polygon(SQUARE), geometry))


def test_latitudes_beyond_the_pole_are_longitudes(tmp_path):
    ring = [[52.5, 130.4], [52.6, 130.4], [52.6, 130.5], [52.5, 130.4]]
    with pytest.raises(DataError, match=r"latitudes run from 130\.4 to 130\.5\. Longitude and latitude seem to be swapped"):
        read_footprints(write_geojson(tmp_path, polygon(ring)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("f.geojson", b"", "not a readable GeoJSON"),
        ("f.geojson", b"<html>", "not a readable GeoJSON"),
        ("f.geojson", b"[1, 2]", "not a readable GeoJSON"),
        ("f.geojson", b'{"type": "FeatureCollection"}', "not a readable GeoJSON"),
        ("f.geojson", b'{"type": "FeatureCollection", "features": [], "crs": {"properties": {"name": "Mars"}}}', "not a readable"),
        ("f.gpkg", b"", "not a GeoPackage"),
        ("f.gpkg", b"SQLite format 3\0" + bytes(200), "cannot be read"),
        ("f.shp", b"x", r"read and written as \.geojson or \.gpkg"),
    ],
)
def test_files_that_hold_no_footprints(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_footprints(tmp_path / name)
    with pytest.raises(DataError, match="no such file"):
        read_footprints(tmp_path / "none.gpkg")


def test_a_vector_vrt_named_geojson_reads_nothing_of_the_file_it_points_to(tmp_path):
    write_geojson(tmp_path, polygon(SQUARE), name="secret.geojson")
    leak = tmp_path / "leak.geojson"
    leak.write_text(
        f'<OGRVRTDataSource><OGRVRTLayer name="secret"><SrcDataSource>{tmp_path}/secret.geojson</SrcDataSource>'
        "</OGRVRTLayer></OGRVRTDataSource>"
    )
    for name in ("leak.geojson", "leak.gpkg"):
        (tmp_path / name).write_text(leak.read_text())
        with pytest.raises(DataError, match="not a"):
            read_footprints(tmp_path / name)


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
