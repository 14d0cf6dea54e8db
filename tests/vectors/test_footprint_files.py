"""From a file of footprints to a mask and back, and a real town."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from rasterio.crs import CRS

from conftest import UTM, make_grid, make_mask, write_tiff
from orthoforge.errors import ConfigError, DataError, GridError, OutputExistsError
from orthoforge.geo.grid import Grid
from orthoforge.geo.rasters import open_raster, read_mask
from orthoforge.vectors import (
    files,
    is_footprints,
    open_mask,
    polygonize_file,
    rasterize_file,
    rasterize_footprints,
    read_footprints,
    reproject,
    write_footprints,
)

WGS84 = CRS.from_epsg(4326)
BOXES = [shapely.box(500_000 + 10 * n, 5_000_000 - 8, 500_006 + 10 * n, 5_000_000 - 2) for n in range(8)]


def read(path):
    with open_raster(path) as raster:
        return read_mask(raster), raster.grid


def test_a_mask_lies_where_the_footprints_are(tmp_path):
    write_footprints(tmp_path / "town.gpkg", BOXES, UTM)
    out = rasterize_file(tmp_path / "town.gpkg", tmp_path / "mask.tif", gsd=0.5)
    mask, grid = read(out)
    assert (grid.crs, grid.transform.a, grid.transform.e) == (UTM, 0.5, -0.5)
    np.testing.assert_array_equal(mask, rasterize_footprints(BOXES, grid))
    assert (mask > 0).sum() == 8 * 12 * 12
    with pytest.raises(OutputExistsError):
        rasterize_file(tmp_path / "town.gpkg", out, gsd=0.5)
    rasterize_file(tmp_path / "town.gpkg", out, gsd=1, overwrite=True)
    assert read(out)[1].transform.a == 1


def test_a_reference_raster_decides_and_other_options_place_it_too(tmp_path):
    write_footprints(tmp_path / "town.geojson", reproject(BOXES, UTM, WGS84), WGS84)
    like = make_grid(64)
    write_tiff(tmp_path / "image.tif", np.zeros((64, 64, 3), np.uint8), like)
    mask, grid = read(rasterize_file(tmp_path / "town.geojson", tmp_path / "mask.tif", like=tmp_path / "image.tif"))
    assert (grid.transform, grid.crs) == (like.transform, like.crs)
    expected = rasterize_footprints(BOXES, like)
    assert (mask != expected).mean() < 1e-3  # corners moved to degrees and back by a hair

    degrees = tuple(shapely.total_bounds(reproject(BOXES[2:4], UTM, WGS84)))
    small = open_mask(tmp_path / "town.geojson", extent=degrees, gsd_m=0.5)
    assert len(small) == 2
    assert small.grid.crs == UTM
    assert open_mask(tmp_path / "town.geojson", gsd_m=0.5, crs="EPSG:25833").grid.crs.to_epsg() == 25833
    with pytest.raises(ConfigError, match="no CRS is called 'EPSG:nothing'"):
        open_mask(tmp_path / "town.geojson", gsd_m=0.5, crs="EPSG:nothing")


def test_what_goes_wrong_names_the_file(tmp_path):
    path = tmp_path / "town.geojson"
    write_footprints(path, BOXES, UTM)
    with pytest.raises(DataError, match=r"town\.geojson: none of the 8 footprints lies in the extent: they cover 500000 "):
        rasterize_file(path, tmp_path / "m.tif", extent=(0, 0, 9, 9), gsd=0.5)
    with pytest.raises(DataError, match=r"town\.geojson: none of the 8 footprints lies on the reference"):
        rasterize_file(path, tmp_path / "m.tif", like=Grid(9, 9, crs=UTM))
    with pytest.raises(DataError, match=r"m\.gif"):
        rasterize_file(path, tmp_path / "m.gif", gsd=0.5)
    write_footprints(tmp_path / "none.gpkg", BOXES, None)
    with pytest.raises(GridError, match=r"none\.gpkg: the footprints name no CRS .*--footprints-crs EPSG:32633"):
        rasterize_file(tmp_path / "none.gpkg", tmp_path / "m.tif", gsd=0.5)
    bow_tie = {"type": "Polygon", "coordinates": [[[15, 45], [15.001, 45.001], [15.001, 45], [15, 45.001], [15, 45]]]}
    path.write_text(json.dumps(bow_tie))
    with pytest.raises(DataError, match="feature 0 is no valid polygon"):
        rasterize_file(path, tmp_path / "m.tif", gsd=0.5)
    with pytest.warns(UserWarning, match="1 footprints were not valid"):
        rasterize_file(path, tmp_path / "m.tif", gsd=0.5, repair=True)
    assert {file.name for file in tmp_path.iterdir()} == {"town.geojson", "none.gpkg", "m.tif"}


def test_a_large_mask_goes_through_blocks_and_is_the_same(tmp_path, monkeypatch):
    write_footprints(tmp_path / "town.gpkg", BOXES, UTM)
    whole, grid = read(rasterize_file(tmp_path / "town.gpkg", tmp_path / "whole.tif", gsd=0.25))
    monkeypatch.setattr(files, "_WHOLE_PIXELS", 0)
    monkeypatch.setattr(files, "_BLOCK_PX", 128)
    (tmp_path / ".blocks.tif.blocks").mkdir()  # left by a process that was killed
    (tmp_path / ".blocks.tif.blocks" / "0-0.tif").write_bytes(b"half")
    blocks, same_grid = read(rasterize_file(tmp_path / "town.gpkg", tmp_path / "blocks.tif", gsd=0.25))
    np.testing.assert_array_equal(blocks, whole)
    assert same_grid == grid
    assert {file.name for file in tmp_path.iterdir()} == {"town.gpkg", "whole.tif", "blocks.tif"}


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg", ".parquet"])
def test_outlines_of_a_mask_lie_on_it(tmp_path, suffix):
    grid, mask = make_grid((70, 90)), make_mask((70, 90))
    write_tiff(tmp_path / "mask.tif", mask // 255, grid)
    out = polygonize_file(tmp_path / "mask.tif", tmp_path / f"f{suffix}")
    polygons, crs = read_footprints(out)
    assert crs == UTM
    np.testing.assert_array_equal(rasterize_footprints(polygons, grid), mask)
    with pytest.raises(OutputExistsError):
        polygonize_file(tmp_path / "mask.tif", out)


def test_masks_without_a_place_or_with_other_values_have_no_outlines(tmp_path):
    write_tiff(tmp_path / "bare.tif", make_mask(64))
    with pytest.raises(GridError, match="has no CRS, so its buildings have no place"):
        polygonize_file(tmp_path / "bare.tif", tmp_path / "f.gpkg")
    write_tiff(tmp_path / "grey.tif", make_mask(64) // 2, make_grid(64))
    with pytest.raises(DataError, match="value 127"):
        polygonize_file(tmp_path / "grey.tif", tmp_path / "f.gpkg")
    with pytest.raises(DataError, match=r"written as \.geojson"):
        polygonize_file(tmp_path / "grey.tif", tmp_path / "f.kml")
    assert not (tmp_path / "f.gpkg").exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.geojson", True),
        ("a.GPKG", True),
        ("a.osm.pbf", True),
        ("a.csv.gz", True),
        ("a.tif", False),
        ("a.png", False),
        ("a", False),
    ],
)
def test_names_of_footprints(name, expected):
    assert is_footprints(Path(name)) is expected


@pytest.fixture(scope="module")
def bubenec():
    """Bubeneč in Prague: a GeoPackage with buildings, plots, streets and tessellation, which momepy ships."""
    spec = importlib.util.find_spec("momepy")
    if spec is None or spec.origin is None:
        pytest.skip("momepy is not installed")
    return Path(spec.origin).parent / "datasets" / "bubenec.gpkg"


def test_a_real_town_becomes_a_mask_and_footprints_again(bubenec, tmp_path):
    polygons, crs = read_footprints(bubenec)
    assert (len(polygons), crs.to_epsg()) == (144, 3857)
    mask, grid = read(rasterize_file(bubenec, tmp_path / "town.tif", gsd=0.3))
    assert grid.crs.to_epsg() == 32633  # web mercator's metres are 0.64 m there
    assert grid.gsd_m() == pytest.approx(0.3, rel=1e-3)
    ground_m2 = shapely.area(reproject(polygons, crs, grid.crs)).sum()
    assert (mask > 0).sum() * 0.09 == pytest.approx(ground_m2, rel=2e-3)
    outlines, _ = read_footprints(polygonize_file(tmp_path / "town.tif", tmp_path / "town.parquet"))
    drawn = rasterize_footprints(outlines, grid)
    assert ((mask > 0) & (drawn > 0)).sum() / ((mask > 0) | (drawn > 0)).sum() >= 0.98
    assert len(outlines) < len(polygons)  # houses of a row share their walls
    plots, _ = read_footprints(bubenec, layer="plots")
    assert len(plots) > 400
