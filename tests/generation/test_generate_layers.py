"""Maps to images: footprints with layers, an extract alone, a mask of buildings with layers."""

from pathlib import Path

import numpy as np
import pytest
import shapely

from conftest import UTM, make_grid, make_mask, write_tiff
from map_files import write_geojson
from orthoforge.errors import ConfigError, DataError
from orthoforge.generation import generate
from orthoforge.geo.rasters import open_raster, read_image
from orthoforge.masks.layer_mask import load_layers
from orthoforge.masks.layer_style import load_style
from orthoforge.trained_generator import load_generator
from orthoforge.vectors import write_footprints
from saved_runs import save_run

GRID = make_grid(48)
LEFT, BOTTOM, RIGHT, TOP = GRID.bounds
HOUSE = shapely.box(LEFT + 3, BOTTOM + 3, LEFT + 8, BOTTOM + 9)
ROAD = shapely.LineString([(LEFT - 50, TOP - 3), (RIGHT + 50, TOP - 3)])
NAMES = list(load_style().classes.names)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("run"), classes=NAMES).parents[1]


def read(path: Path) -> np.ndarray:
    with open_raster(path) as raster:
        return read_image(raster)


def expected(run: Path, buildings: np.ndarray) -> np.ndarray:
    labels = np.zeros((48, 48), np.uint8)
    labels[:20] = NAMES.index("road")  # 6 m around 3 m below the upper edge
    labels[buildings > 0] = NAMES.index("building")
    return load_generator(run)(labels)


def test_footprints_and_layers_become_one_image(run: Path, tmp_path: Path) -> None:
    footprints = tmp_path / "houses.geojson"
    write_footprints(footprints, [HOUSE], UTM)
    roads = write_geojson(tmp_path / "roads.geojson", [(ROAD, {})], UTM)
    like = write_tiff(tmp_path / "like.tif", make_mask(48), GRID)
    (path,) = generate(run, [footprints], tmp_path / "town.tif", layers=[roads], like=like)
    buildings = np.zeros((48, 48), np.uint8)
    buildings[18:38, 10:27] = 255
    assert np.array_equal(read(path), expected(run, buildings))


def test_a_mask_of_buildings_lies_on_top_of_layers(run: Path, tmp_path: Path) -> None:
    buildings = make_mask(48)
    mask = write_tiff(tmp_path / "mask.tif", buildings, GRID)
    roads = write_geojson(tmp_path / "roads.geojson", [(ROAD, {})], UTM)
    (path,) = generate(run, [mask], tmp_path / "town.tif", layers=[roads], repair=True)
    assert np.array_equal(read(path), expected(run, buildings))
    assert generate(run, [mask], tmp_path / "town2.tif", layers=[roads])
    with pytest.raises(DataError, match=r"paths\.geojson: no such file"):
        generate(run, [mask], tmp_path / "other.tif", layers=[tmp_path / "paths.geojson"])


def test_a_map_is_painted_on_the_ground_of_its_buildings(run: Path, tmp_path: Path) -> None:
    town = write_geojson(tmp_path / "town.geojson", [(ROAD, {"highway": "residential"}), (HOUSE, {"building": "yes"})], UTM)
    trees = write_geojson(tmp_path / "trees.geojson", [(shapely.Point(RIGHT, TOP), {"natural": "tree"})], UTM)
    for layers in ([], [town, trees]):
        (path,) = generate(run, [town], tmp_path / "town.tif", layers=layers, overwrite=True)
        with open_raster(path) as raster:
            grid = raster.grid
        assert shapely.box(*grid.bounds).buffer(1e-6).covers(HOUSE.buffer(10, join_style="mitre"))
        assert grid.width < 100  # the road goes on
        read_whole = load_layers([town, *(layer for layer in layers if layer != town)]).on(grid).labels()
        assert np.array_equal(read(path), load_generator(run)(read_whole))


def test_what_layers_cannot_do_is_said(run: Path, tmp_path: Path) -> None:
    write_footprints(tmp_path / "houses.geojson", [HOUSE], UTM)
    roads = write_geojson(tmp_path / "roads.geojson", [(ROAD, {})], UTM)
    out = tmp_path / "out.tif"
    with pytest.raises(ConfigError, match=r"footprints give building masks; this run was trained on classes\. Add roads"):
        generate(run, [tmp_path / "houses.geojson"], out)
    with pytest.raises(ConfigError, match="--layer-style says how map layers are painted, and no --layers were given"):
        generate(run, [tmp_path / "houses.geojson"], out, layer_style=tmp_path / "style.yaml")
    of_buildings = save_run(tmp_path / "run").parents[1]
    with pytest.raises(ConfigError, match="--layers give masks of classes; this run was trained on buildings alone"):
        generate(of_buildings, [tmp_path / "houses.geojson"], out, layers=[roads])
    without = save_run(tmp_path / "other", classes=["ground", "building"]).parents[1]
    with pytest.raises(ConfigError, match="no class of the run is called 'road'; it has ground, building"):
        generate(without, [tmp_path / "houses.geojson"], out, layers=[roads])
    nowhere = write_tiff(tmp_path / "nowhere.tif", make_mask(48))
    with pytest.raises(DataError, match="map layers have a place on the ground and the mask has none"):
        generate(run, [nowhere], out, layers=[roads])
