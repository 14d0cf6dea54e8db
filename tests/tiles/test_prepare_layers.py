"""Images, masks of buildings and map layers become tiles of classes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import shapely

from conftest import UTM, make_grid, make_image, make_mask, make_pair, write_tiff
from map_files import write_geojson
from orthoforge.errors import ConfigError, DataError, OutputExistsError
from orthoforge.masks.layer_mask import load_layers
from orthoforge.masks.layer_style import DEFAULT_STYLE, load_style
from orthoforge.tiles.prepare import prepare

STYLE = load_style()
LEFT, BOTTOM, RIGHT, TOP = make_grid().bounds


@pytest.fixture
def roads(tmp_path: Path) -> Path:
    line = shapely.LineString([(LEFT, BOTTOM), (RIGHT, TOP)])
    return write_geojson(tmp_path / "roads.geojson", [(line, {"highway": "service"})], UTM)


def test_tiles_have_the_classes_of_the_map_and_the_buildings_of_the_mask(tmp_path: Path, roads: Path) -> None:
    for number in (1, 2):
        make_pair(tmp_path / "data", f"austin{number}", seed=number)
    store = prepare(tmp_path / "data", tmp_path / "tiles", size=64, layers=[roads], min_building=0.05)
    assert store.classes == STYLE.classes
    for tile_id, row in enumerate(store.rows):
        expected = load_layers([roads]).on(row.grid).labels()
        buildings = make_mask(seed=int(row.scene[-1])) > 0
        expected[buildings] = STYLE.building
        assert np.array_equal(store.tile(tile_id)[1], expected)
        assert row.building_share == buildings.mean()
    body = json.loads((tmp_path / "tiles" / "store.json").read_text())
    assert body["classes"]["names"] == list(STYLE.classes.names) and len(body["settings"]["layers"]["files"]) == 1
    assert (
        prepare(tmp_path / "data", tmp_path / "tiles", size=64, layers=[roads], min_building=0.05).fingerprint == store.fingerprint
    )


def test_images_need_no_masks_where_the_map_has_buildings(tmp_path: Path, roads: Path) -> None:
    image = make_image(make_mask())
    write_tiff(tmp_path / "data" / "images" / "austin1.tif", image, make_grid())
    house = shapely.box(LEFT + 3, BOTTOM + 3, LEFT + 9, BOTTOM + 9)
    houses = write_geojson(tmp_path / "buildings.geojson", [(house, {})], UTM)
    store = prepare(tmp_path / "data", tmp_path / "tiles", size=64, layers=[roads, houses])
    assert np.array_equal(store.tile(0)[1], load_layers([roads, houses]).on(make_grid()).labels())
    assert store.rows[0].building_share == 400 / 64**2
    with pytest.raises(DataError, match="no image/mask folders recognised"):
        prepare(tmp_path / "data", tmp_path / "other", size=64)


def test_other_layers_or_another_style_give_other_tiles(tmp_path: Path, roads: Path) -> None:
    make_pair(tmp_path / "data", "austin1")
    road = STYLE.classes.names.index("road")
    first = prepare(tmp_path / "data", tmp_path / "tiles", size=64, layers=[roads])
    narrow = (first.tile(0)[1] == road).sum()
    style = tmp_path / "style.yaml"
    shutil.copyfile(DEFAULT_STYLE, style)
    same = prepare(tmp_path / "data", tmp_path / "tiles", size=64, layers=[roads], layer_style=style)
    assert same.fingerprint == first.fingerprint
    style.write_text(style.read_text().replace("service: 4", "service: 8"))
    with pytest.raises(OutputExistsError, match="made with other settings"):
        prepare(tmp_path / "data", tmp_path / "tiles", size=64, layers=[roads], layer_style=style)
    other = prepare(tmp_path / "data", tmp_path / "tiles", size=64, layers=[roads], layer_style=style, overwrite=True)
    assert (other.tile(0)[1] == road).sum() > 1.5 * narrow
    with pytest.raises(ConfigError, match="--layers are painted under masks of buildings"):
        prepare(tmp_path / "data", tmp_path / "tiles", layers=[roads], palette=tmp_path / "palette.json")


def test_what_is_not_painted_is_said_once(tmp_path: Path, roads: Path) -> None:
    for number in range(3):
        make_pair(tmp_path / "data", f"austin{number}")
    paths = write_geojson(tmp_path / "paths.geojson", [(shapely.LineString([(LEFT, TOP), (RIGHT, TOP)]), {"highway": "path"})], UTM)
    with pytest.warns(UserWarning, match=r"paths.geojson: 1 features are of no class.*highway=path \(1\)") as told:
        prepare(tmp_path / "data", tmp_path / "tiles", size=64, layers=[roads, paths], workers=3)
    assert len([one for one in told if "of no class" in str(one.message)]) == 1
