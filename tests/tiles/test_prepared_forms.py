"""Tiles of scenes without coordinates, of masks of classes, and of outlines."""

import json

import numpy as np
import pytest
from PIL import Image

from conftest import make_dataset, make_image, make_mask, make_pair, write_tiff
from orthoforge.errors import ConfigError, GridError, OutputExistsError
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore


@pytest.fixture
def tiles(tmp_path):
    return tmp_path / "tiles"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Three scenes of 64 px without coordinates."""
    return make_dataset(tmp_path_factory.mktemp("plain"), ["a1", "a2", "b1"], suffix=".png", crs=None)


def test_a_stated_pixel_size_lets_scenes_be_cut_by_ground_resolution(plain, tiles, capsys):
    store = prepare(plain, tiles, gsd=1.0, size=16, pixel_size=0.5)
    assert store.gsd_m == 1.0
    assert {(row.window.height, row.gsd_m) for row in store.rows} == {(32, 1.0)}
    assert len(store.rows) == 3 * 4
    assert store.settings["pixel_sizes"] == [["*", 0.5]]
    prepare(plain, tiles, gsd=1.0, size=16, pixel_size=0.5)
    assert "nothing to do" in capsys.readouterr().out
    with pytest.raises(OutputExistsError, match="other settings"):
        prepare(plain, tiles, gsd=1.0, size=16, pixel_size=0.25)


def test_a_table_beside_the_data_says_it_by_name(tmp_path, tiles):
    data = make_dataset(tmp_path / "data", ["a1", "b1"], suffix=".png", crs=None)
    (data / "pixel_size.csv").write_text("a*,0.5\nb1,1\n")
    windows = {row.scene: row.window.height for row in prepare(data, tiles, gsd=1.0, size=16).rows}
    assert windows == {"a1": 32, "b1": 16}
    (data / "pixel_size.csv").write_text("c*,0.5\n")
    with pytest.raises(GridError, match="State it with --pixel-size METRES"):
        prepare(data, tmp_path / "other", gsd=1.0, size=16)


def test_a_scene_of_unknown_pixel_size_is_left_out_and_named_and_stops_no_other(tmp_path, tiles, capsys):
    make_dataset(tmp_path / "data", ["a1", "a2"])
    make_pair(tmp_path / "data", "b1", suffix=".png", crs=None)
    store = prepare(tmp_path / "data", tiles, gsd=0.3, size=32)
    assert {row.scene for row in store.rows} == {"a1", "a2"}
    assert "b1: does not say how large its pixels are" in (told := capsys.readouterr().out) and "--pixel-size METRES" in told
    prepare(tmp_path / "data", tiles, gsd=0.3, size=32)  # and needs no --skip-bad the second time either
    assert "nothing to do" in capsys.readouterr().out
    assert json.loads((tiles / "store.json").read_text())["counts"]["left_out"] == ["b1"]


def test_a_file_keeps_the_pixel_size_that_it_says_itself(tmp_path, tiles, capsys):
    make_dataset(tmp_path / "data", ["a1", "a2"])
    store = prepare(tmp_path / "data", tiles, gsd=0.3, size=32, pixel_size=5)
    assert store.gsd_m == 0.3
    assert "2 scenes (a1, a2): the file itself says that a pixel is 0.3 m, and that holds" in capsys.readouterr().out


def coded(folder, names):
    """Masks of 0, 1 and 2 for ground, building and water."""
    for seed, name in enumerate(names):
        labels = make_mask(seed=seed) // 255
        labels[40:] = 2
        Image.fromarray(make_image(labels * 255)).save((folder / "images").joinpath(f"{name}.png"))
        Image.fromarray(labels).save((folder / "masks").joinpath(f"{name}.png"))
    (folder / "palette.json").write_text('{"Ground": 0, "House": 1, "Water": 2}')
    return folder


@pytest.fixture
def classes(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / "classes" / name).mkdir(parents=True)
    return coded(tmp_path / "classes", ["a1", "a2"])


def test_class_indices_are_classes_or_buildings_as_asked(classes, tmp_path):
    palette = classes / "palette.json"
    store = prepare(classes, tmp_path / "classes_tiles", size=64, palette=palette)
    assert store.classes.names == ("Ground", "House", "Water")
    assert np.unique(store.tile(0)[1]).tolist() == [0, 1, 2]
    wet = prepare(classes, tmp_path / "wet", size=64, palette=palette, building=["water"])
    assert wet.classes is None
    assert np.array_equal(wet.tile(0)[1] > 0, store.tile(0)[1] == 2)
    assert wet.rows[0].building_share == pytest.approx(24 / 64)
    by_value = prepare(classes, tmp_path / "values", size=64, building=["2"])
    assert np.array_equal(by_value.tile(1)[1], wet.tile(1)[1])
    assert TileStore.open(tmp_path / "wet").settings["coding"]["becomes"] == [0, 0, 255]
    with pytest.raises(ConfigError, match="no class of the palette is called so"):
        prepare(classes, tmp_path / "none", palette=palette, building=["Haus"])


def test_folders_of_images_and_masks_name_the_data(plain, tiles):
    store = prepare(tiles, images=plain / "images", masks=plain / "masks", size=32)
    assert {row.scene for row in store.rows} == {"a1", "a2", "b1"}
    with pytest.raises(ConfigError, match="where to"):
        prepare(plain)


def outlined(folder, names=("house",)):
    """An image with a square of each category, one below the other, as COCO."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (32, 32, 3), np.uint8)).save(folder / "images/a1.png")
    write_tiff(folder / "images/a2.tif", rng.integers(0, 255, (32, 32, 3), np.uint8))
    squares = [
        {"image_id": 1, "category_id": n, "segmentation": [[0, 8 * n, 8, 8 * n, 8, 8 * n + 8, 0, 8 * n + 8]]}
        for n in range(len(names))
    ]
    images = [{"id": 1, "file_name": "a1.png"}, {"id": 2, "file_name": "a2.tif"}]
    content = {"images": images, "annotations": squares, "categories": [{"id": n, "name": name} for n, name in enumerate(names)]}
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def test_outlines_of_one_kind_are_buildings(tmp_path, tiles, capsys):
    data = outlined(tmp_path / "data")
    store = prepare(data, tiles, size=32)
    assert store.classes is None
    assert np.array_equal(np.argwhere(store.tile(0)[1] == 255), np.argwhere(np.pad(np.ones((8, 8)), (0, 24))))
    assert not store.tile(1)[1].any()
    assert "outlines of COCO in annotations.json" in capsys.readouterr().out
    prepare(data, tiles, size=32)
    assert "nothing to do" in capsys.readouterr().out
    content = (data / "annotations.json").read_text().replace("0, 0, 8", "1, 0, 8")
    (data / "annotations.json").write_text(content)
    with pytest.raises(OutputExistsError, match="other scenes"):
        prepare(data, tiles, size=32)


def test_outlines_of_several_kinds_are_classes_or_buildings_as_asked(tmp_path, tiles):
    data = outlined(tmp_path / "data", ("house", "pool", "shed"))
    store = prepare(data, tiles, size=32)
    assert store.classes.names == ("background", "house", "pool", "shed")
    assert store.tile(0)[1][::8, 0].tolist() == [1, 2, 3, 0]
    built = prepare(data, tmp_path / "built", size=32, building=["house", "shed"])
    assert built.tile(0)[1][::8, 0].tolist() == [255, 0, 255, 0]
