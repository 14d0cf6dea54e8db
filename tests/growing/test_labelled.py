"""Labels of a grown data set: every pair has them, synthetic ones only train, and what is finished gets what it lacks."""

import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from conftest import make_grid, make_image, make_mask, write_tiff
from made_runs import make_run
from orthoforge.errors import ConfigError
from orthoforge.geo.grid import Window
from orthoforge.geo.rasters import open_raster, read_mask
from orthoforge.growing import grow, staging
from orthoforge.growing.labelling import scene_splits
from orthoforge.scenes.sources import Pair, find_pairs
from orthoforge.tiles.prepare import prepare
from yolo_layout import check

FORMATS = ["coco", "yolo", "instances"]
SCENES = [f"town{number}" for number in range(1, 11)]


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    root = tmp_path_factory.mktemp("town")
    for number, name in enumerate(SCENES):
        grid, mask = make_grid(2000).window(Window(0, 100 * number, 48, 48)), make_mask(48, seed=number)
        write_tiff(root / "data/train/images" / f"{name}.tif", make_image(mask), grid)
        write_tiff(root / "data/train/gt" / f"{name}.tif", mask, grid)
    store = prepare(root / "data", root / "tiles", grid=1, size=32, split="digits")
    return root / "data", store, make_run(root / "run", store)


@pytest.fixture(scope="module")
def grown(town, tmp_path_factory):
    data, _, run = town
    return grow(run, data, tmp_path_factory.mktemp("grown") / "more", ratio=0.4, least_agreement=0, labels=FORMATS)


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_pair_is_labelled_to_the_pixel(grown):
    images, objects = {}, {}
    for path in (grown.path / "annotations").iterdir():
        coco = COCO(path)
        for number, image in coco.imgs.items():
            rows = coco.loadAnns(coco.getAnnIds(number))
            images[image["file_name"]] = path.stem.removeprefix("instances_"), image["synthetic"]
            objects[image["file_name"]] = [(row["instance"], coco.annToMask(row).astype(bool)) for row in rows]
    pairs = find_pairs(grown.path).pairs
    assert set(images) == {pair.image.name for pair in pairs} and len(pairs) == 13
    for pair in pairs:
        with open_raster(pair.mask) as raster:
            mask = read_mask(raster)
        with open_raster(grown.path / "train/instances" / pair.image.name) as raster:
            numbers = raster.read()[..., 0]
        np.testing.assert_array_equal(numbers > 0, mask > 0)
        for number, inside in objects[pair.image.name]:
            np.testing.assert_array_equal(inside, numbers == number)


def test_scenes_keep_their_split_and_synthetic_ones_train(grown):
    made = {row["name"] for row in grown.rows if row["accepted"]}
    training, held_back = (set(check(grown.path / "data.yaml", split)) for split in ("train", "val"))
    assert made <= training and not made & held_back
    assert training - made == {f"town{number}" for number in (1, 2, 3, 4, 5, 6, 10)}
    assert held_back | set(check(grown.path / "data.yaml", "test")) == {"town7", "town8", "town9"}
    coco = COCO(grown.path / "annotations/instances_train.json")
    assert {image["file_name"][:-4] for image in coco.imgs.values() if image["synthetic"]} == made


def test_a_finished_data_set_gets_what_it_lacks_and_nothing_is_grown_again(town, grown, tmp_path, monkeypatch):
    data, _, run = town
    plain = grow(run, data, tmp_path / "more", ratio=0.4, least_agreement=0)
    before = content(plain.path)
    with monkeypatch.context() as patch:
        patch.setattr(staging.os, "replace", stopped_after(4))
        with pytest.raises(KeyboardInterrupt):
            grow(run, data, tmp_path / "more", ratio=0.4, least_agreement=0, labels=["yolo"])
    assert not (plain.path / "data.yaml").exists()
    grow(run, data, tmp_path / "more", ratio=0.4, least_agreement=0, labels=["yolo"])
    assert not (plain.path / "annotations").exists()
    grow(run, data, tmp_path / "more", ratio=0.4, least_agreement=0, labels=FORMATS)
    after, whole = content(plain.path), content(grown.path)
    assert {name: after[name] for name in before if name != "grown.json"} == {
        name: body for name, body in before.items() if name != "grown.json"
    }
    assert set(after) == set(whole)
    labels = [name for name in after if name not in before]
    assert {name: after[name] for name in labels} == {name: whole[name] for name in labels} and labels


def stopped_after(count):
    replace, done = staging.os.replace, []

    def stopping(source, target):
        if len(done) == count:
            raise KeyboardInterrupt
        done.append(target)
        replace(source, target)

    return stopping


def test_overwriting_takes_the_labels_along(town, tmp_path):
    data, _, run = town
    grow(run, data, tmp_path / "more", ratio=0.4, least_agreement=0, labels=["coco", "yolo"])
    again = grow(run, data, tmp_path / "more", ratio=0.1, least_agreement=0, overwrite=True)
    assert sorted(path.name for path in again.path.iterdir()) == [
        "README.md", "contact-sheet.jpg", "grown.json", "stac", "synthetic.jsonl", "train",
    ]  # fmt: skip
    assert not (again.path / "train/labels").exists()


def test_a_scene_in_several_splits_is_in_no_list(town, capsys, tmp_path):
    data, _, _ = town
    store = prepare(data, tmp_path / "tiles", grid=2, size=16, split="random", seed=1)
    pairs = find_pairs(data).pairs
    splits = scene_splits(pairs, store, None)
    of_tiles = {name: {row.split for row in store.rows if row.scene == name} for name in SCENES}
    assert splits == {name: next(iter(found)) if len(found) == 1 else "other" for name, found in of_tiles.items()}
    assert scene_splits([Pair("nowhere", pairs[0].image, pairs[0].mask)], store, None) == {"nowhere": "other"}
    assert set(scene_splits(pairs, None, "inria").values()) == {"train", "val"}


def test_unknown_labels_are_refused_before_anything(town, tmp_path):
    data, _, run = town
    with pytest.raises(ConfigError, match="'voc'"):
        grow(run, data, tmp_path / "more", labels=["voc"])
    assert not (tmp_path / "more").exists()


def test_the_settings_do_not_speak_of_labels(grown):
    body = json.loads((grown.path / "grown.json").read_text())
    assert body["labels"] == FORMATS and "labels" not in body["settings"]
