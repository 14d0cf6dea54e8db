"""Real masks and a real town's footprints become images at their place."""

import importlib.util
from pathlib import Path

import pytest
import rasterio
import shapely
from rio_cogeo.cogeo import cog_validate

from orthoforge.config import Recipe
from orthoforge.generation import generate
from orthoforge.geo.rasters import open_raster
from orthoforge.vectors import load_footprints, reproject
from saved_runs import save_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    recipe = Recipe(name="small", generator="resnet6", generator_width=2, norm="instance", upsample="resize")
    return save_run(tmp_path_factory.mktemp("run"), recipe).parents[1]  # trained at 0.3 m, it says


@pytest.mark.real_data
def test_a_real_mosaic_of_several_blocks_lies_where_its_mask_lies(run, tmp_path, shared_data):
    mask = shared_data / "scenes" / "masks" / "banepa_core_0.27m.tif"
    (path,) = generate(run, [mask], tmp_path / "banepa.tif")
    with rasterio.open(mask) as source, rasterio.open(path) as image:
        assert (image.width, image.height, image.transform, image.crs) == (
            source.width,
            source.height,
            source.transform,
            source.crs,
        )
        assert image.bounds == source.bounds
    assert cog_validate(path, strict=True)[0]


def test_the_footprints_of_bubenec_become_an_image_around_them(run, tmp_path):
    spec = importlib.util.find_spec("momepy")
    assert spec is not None and spec.origin is not None
    town = Path(spec.origin).parent / "datasets" / "bubenec.gpkg"
    (path,) = generate(run, [town], tmp_path / "bubenec.tif", gsd=0.33)
    with open_raster(path) as raster:
        grid = raster.grid
    assert grid.crs is not None and grid.crs.to_epsg() == 32633  # web mercator's metres are none
    assert grid.gsd_m() == pytest.approx(0.33, rel=2e-3)
    found = load_footprints(town)
    buildings = shapely.union_all(reproject(found.polygons, found.crs, grid.crs))
    assert len(found) > 100
    assert shapely.box(*grid.bounds).contains(buildings)
    assert shapely.box(*buildings.bounds).area > 0.9 * shapely.box(*grid.bounds).area
    assert cog_validate(path, strict=True)[0]
