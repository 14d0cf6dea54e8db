"""The CRS of a raster is made once for all files whose tags say it alike, and is the one that GDAL says."""

import os

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from conftest import UTM, make_grid, make_mask, write_tiff
from orthoforge.geo.rasters import open_raster, reader

LOCAL = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')
OWN = CRS.from_proj4("+proj=tmerc +lat_0=1 +lon_0=15 +k=0.9999 +x_0=500 +y_0=7 +ellps=bessel +units=m")
KINDS = {
    "utm": {"crs": UTM},
    "other zone": {"crs": CRS.from_epsg(32632)},
    "degrees": {"crs": CRS.from_epsg(4326), "transform": Affine(1e-5, 0, 15, 0, -1e-5, 45)},
    "own": {"crs": OWN},
    "own of ESRI": {"crs": OWN, "GEOTIFF_KEYS_FLAVOR": "ESRI_PE"},
    "local": {"crs": LOCAL},
    "compound": {"crs": CRS.from_user_input("EPSG:27700+5701")},
    "none": {"crs": None},
    "big": {"crs": UTM, "BIGTIFF": "YES"},
    "big endian": {"crs": UTM, "ENDIANNESS": "BIG"},
    "rotated": {"crs": UTM, "transform": Affine(0.3, 0.1, 5e5, 0.1, -0.3, 5e6)},
    "tags": {"crs": UTM, "tags": {"SYNTHETIC": "YES"}},
}


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch):
    monkeypatch.setattr(reader, "_known", {})


def write(path, kind, corner=0.0):
    options = {"transform": Affine(0.3, 0, 500_000, 0, -0.3, 5_000_000)} | KINDS[kind]
    tags = options.pop("tags", {})
    options["transform"] = Affine.translation(corner, 0) @ options["transform"]
    write_tiff(path, make_mask(8), **options)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(**tags)
    return path


def crs_and_transform(path):
    with rasterio.open(path) as dataset:
        return dataset.crs, dataset.transform, dataset.tags()


def test_files_of_all_kinds_have_the_crs_that_gdal_says(tmp_path):
    for number in range(3):
        for kind in KINDS:
            path = write(tmp_path / f"{kind}{number}.tif", kind, corner=number)
            with open_raster(path) as raster:
                found = raster._dataset.crs, raster._dataset.transform, raster.tags()
            assert found == crs_and_transform(path), kind
    assert len(reader._known) == len(KINDS) - 1  # a large TIFF says it in the same tags as a plain one


def test_a_crs_is_made_once(tmp_path):
    paths = [write(tmp_path / f"{number}.tif", "utm", corner=number) for number in range(3)]
    found = []
    for path in paths:
        with open_raster(path) as raster:
            found.append(raster._dataset.crs)
    assert found[0] is found[1] is found[2]


@pytest.mark.parametrize("side", ["b.tif.aux.xml", "b.aux.xml"])
def test_what_lies_beside_a_file_still_counts(tmp_path, side):
    for name in ("a", "b"):
        write(tmp_path / f"{name}.tif", "utm")
    with open_raster(tmp_path / "a.tif") as raster:
        assert raster.grid.crs == UTM
    (tmp_path / side).write_text("<PAMDataset><SRS>EPSG:32632</SRS></PAMDataset>")
    with open_raster(tmp_path / "b.tif") as raster:
        assert raster.grid.crs == crs_and_transform(tmp_path / "b.tif")[0]


def test_control_points_are_no_crs(tmp_path):
    write(tmp_path / "a.tif", "utm")
    points = [GroundControlPoint(row, col, 5e5 + col, 5e6 - row) for row, col in ((0, 0), (0, 8), (8, 0), (8, 8))]
    write_tiff(tmp_path / "b.tif", make_mask(8), gcps=points, crs=UTM)
    for name in ("a", "b", "a"):
        with open_raster(tmp_path / f"{name}.tif") as raster:
            assert raster.grid.crs == crs_and_transform(tmp_path / f"{name}.tif")[0]


def test_a_file_that_takes_the_place_of_another_says_nothing_of_its_tags(tmp_path, monkeypatch):
    path, other = write(tmp_path / "a.tif", "utm"), write(tmp_path / "other.tif", "other zone")
    tags = reader.crs_tags(path)
    os.replace(other, path)
    with rasterio.Env(), reader.Reader(path, tags, driver="GTiff") as dataset:
        assert dataset.crs == CRS.from_epsg(32632)
    assert reader._known == {}


def test_only_so_many_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "_MOST", 2)
    for kind in ("utm", "other zone", "degrees", "own"):
        with open_raster(write(tmp_path / f"{kind}.tif", kind)):
            pass
    assert len(reader._known) == 2


def test_a_damaged_directory_is_left_to_gdal(tmp_path):
    path = write_tiff(tmp_path / "a.tif", np.zeros((8, 8), np.uint8), make_grid(8))
    assert reader.crs_tags(path)
    path.write_bytes(path.read_bytes()[:20])
    assert reader.crs_tags(path) is None
