"""Towns along streets as masks of classes."""

import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from scipy.ndimage import label
from towns import town_mask, write_place

from orthoforge.errors import ConfigError
from orthoforge.forging.forge import forge
from orthoforge.forging.layouts.streets import streets
from orthoforge.forging.layouts.town_map import map_of
from orthoforge.forging.measuring import measure
from orthoforge.forging.shapes import take_apart
from orthoforge.geo.rasters import open_raster, read_mask
from orthoforge.masks.layer_style import DEFAULT_STYLE, load_style
from orthoforge.masks.palette import load_classes
from orthoforge.masks.reader import open_raster_mask

STYLE = load_style()
SIDE = 220
ROAD = STYLE.classes.names.index("road")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_place(tmp_path_factory.mktemp("place"))


def test_streets_run_between_blocks_and_meet() -> None:
    real = measure([take_apart(town_mask(number)) for number in range(3)], "px")
    grown = streets(real, (SIDE, SIDE), 0.2, [0.3, 1.2], 1.0, np.random.default_rng(0))[0]
    town = map_of(grown, (SIDE, SIDE), 1.0, np.random.default_rng(0))
    blocks = shapely.union_all(np.array(grown.blocks, dtype=object))
    roads = shapely.union_all(town.roads).intersection(shapely.box(0, 0, SIDE, SIDE))
    assert roads.intersection(blocks).area < 1e-6
    largest = max(shapely.get_parts(roads), key=lambda part: part.area)
    assert largest.area > 0.9 * roads.area > 0.03 * SIDE**2
    assert len(town.crowns) > 5 and len(town.lawns) > 5
    for crown in town.crowns:
        assert blocks.contains(crown.centroid)
        assert all(not building.contains(crown.centroid) for building in grown.polygons)


def test_a_mask_of_classes_has_the_buildings_of_one_without(place: Path, tmp_path: Path) -> None:
    plain = forge(place, tmp_path / "plain", how="streets", count=1, seed=7)
    made = forge(place, tmp_path / "classes", how="streets", count=1, seed=7, classes=True)
    palette = load_classes(tmp_path / "classes" / "palette.json")
    assert palette == STYLE.classes
    for one, other in zip(plain.masks, made.masks, strict=True):
        with open_raster(one) as raster, open_raster_mask(other, classes=palette) as mask:
            labels = mask.labels()
            assert np.array_equal(read_mask(raster) > 0, labels == STYLE.building)
            assert (mask.grid.transform, mask.grid.crs) == (raster.grid.transform, raster.grid.crs)
        _, parts = label(labels == ROAD)
        assert 0 < parts < 12
    card = (tmp_path / "plain" / "card.json").read_text()
    assert (tmp_path / "classes" / "card.json").read_text() == card
    shares = made.rows[0]["parameters"]["class_shares"]
    assert isinstance(shares, dict) and sum(shares.values()) == pytest.approx(1, abs=1e-4)
    assert shares["road"] > 0.02 and shares["grass"] > 0.02
    kept = forge(place, tmp_path / "classes", how="streets", count=1, seed=7, classes=True)
    assert kept.kept == 1 and (tmp_path / "classes" / "card.json").read_text() == card


def test_a_style_decides_classes_and_colours(place: Path, tmp_path: Path) -> None:
    style = tmp_path / "style.yaml"
    style.write_text(
        "classes:\n  land: {colour: [0, 0, 0]}\n  building: {colour: [255, 0, 0]}\n  asphalt: {colour: [9, 9, 9]}\n"
        'paint:\n  - {class: asphalt, tags: {"area:highway": ["*"]}}\n'
    )
    made = forge(place, tmp_path / "out", how="streets", count=1, classes=True, layer_style=style)
    with open_raster(made.masks[0]) as raster:
        assert {tuple(colour) for colour in np.unique(raster.read().reshape(-1, 3), axis=0)} == {(0, 0, 0), (255, 0, 0), (9, 9, 9)}
    assert json.loads((tmp_path / "out" / "palette.json").read_text())["asphalt"] == {"colour": [9, 9, 9], "value": 2}


def test_classes_that_cannot_be_known_are_refused(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--classes goes with --how streets, whose streets are known; recombine knows"):
        forge(place, tmp_path / "out", classes=True)
    with pytest.raises(ConfigError, match="without --classes these are of buildings alone"):
        forge(place, tmp_path / "out", how="streets", layer_style=DEFAULT_STYLE)
    style = tmp_path / "style.yaml"
    style.write_text("classes: {land: {colour: [0, 0, 0]}}\npaint: [{class: land, layers: [land]}]\n")
    with pytest.raises(ConfigError, match="no class is called building"):
        forge(place, tmp_path / "out", how="streets", classes=True, layer_style=style)
