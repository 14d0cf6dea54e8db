"""Outlines of COCO and YOLO as masks of ``generate`` and ``forge``: what a mask of the same pixels gives."""

import json

import numpy as np
import pytest
from PIL import Image

from conftest import make_image, make_mask
from orthoforge.cli import main
from orthoforge.errors import ConfigError, DataError
from orthoforge.forging.forge import forge
from orthoforge.generation import generate
from orthoforge.generation.given_masks import given_masks
from orthoforge.geo.rasters import open_raster, read_image
from saved_runs import save_run

SIDE = 64
HOUSES = [(8, 8, 24, 20), (30, 12, 50, 30), (10, 36, 26, 58)]  # left, top, right, bottom


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("run")).parents[1]


def ring(box):
    left, top, right, bottom = box
    return [left, top, right, top, right, bottom, left, bottom]


def write_mask(path):
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for left, top, right, bottom in HOUSES:
        mask[top:bottom, left:right] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)
    return path


def data_set(folder, kind, names=("a1", "a2"), categories=("house",)):
    """Images with the same houses, outlined by one of the tools."""
    (folder / "images").mkdir(parents=True)
    for name in names:
        Image.fromarray(make_image(make_mask(SIDE))).save(folder / "images" / f"{name}.png")
    if kind == "coco":
        objects = [
            {"id": f"{index} {number}", "image_id": index, "category_id": 1, "segmentation": [ring(box)]}
            for index in range(len(names))
            for number, box in enumerate(HOUSES)
        ]
        images = [{"id": index, "file_name": f"{name}.png"} for index, name in enumerate(names)]
        kinds = [{"id": number, "name": name} for number, name in enumerate(categories, 1)]
        (folder / "annotations.json").write_text(json.dumps({"images": images, "annotations": objects, "categories": kinds}))
    else:
        (folder / "labels").mkdir()
        lines = "".join(f"0 {' '.join(str(value / SIDE) for value in ring(box))}\n" for box in HOUSES)
        for name in names:
            (folder / "labels" / f"{name}.txt").write_text(lines)
        (folder / "data.yaml").write_text(f"names: [{', '.join(categories)}]\n")
    return folder


def pixels(path):
    with open_raster(path) as raster:
        return read_image(raster)


@pytest.mark.parametrize(("kind", "named"), [("coco", ""), ("coco", "annotations.json"), ("yolo", ""), ("yolo", "labels")])
def test_outlines_give_the_image_that_their_mask_gives(run, tmp_path, kind, named):
    data = data_set(tmp_path / "data", kind)
    made = generate(run, data / named, tmp_path / "out", pixel_size=0.3)
    assert [path.name for path in made] == ["a1.tif", "a2.tif"]
    (alone,) = generate(run, write_mask(tmp_path / "a1.png"), tmp_path / "alone.tif", pixel_size=0.3)
    assert np.array_equal(pixels(made[0]), pixels(alone))


def test_a_data_set_gives_its_masks(run, tmp_path):
    data = data_set(tmp_path / "data", "coco", names=("a1",))
    (data / "annotations.json").unlink()
    write_mask(data / "masks" / "a1.png")
    assert [path.name for path in generate(run, data, tmp_path / "out")] == ["a1.tif"]


def test_of_several_classes_those_that_are_building_are_named(run, tmp_path):
    data = data_set(tmp_path / "data", "coco", names=("a1",), categories=("villa", "pool"))
    with pytest.raises(ConfigError, match=r"which class is building\? None of background, villa, pool .* --building"):
        generate(run, data, tmp_path / "out")
    (made,) = generate(run, data, tmp_path / "out", building=["villa"], pixel_size=0.3)
    (alone,) = generate(run, write_mask(tmp_path / "a1.png"), tmp_path / "alone.tif", pixel_size=0.3)
    assert np.array_equal(pixels(made), pixels(alone))


def test_a_failure_names_the_image_and_images_that_are_missing_are_said(run, tmp_path, capsys):
    data = data_set(tmp_path / "data", "coco")
    (data / "images" / "a2.png").unlink()
    assert main(["generate", str(run), str(data), "--out", str(tmp_path / "out")]) == 0
    assert "1 without an image or outlines are left out: a2.png" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="outlines of one data set are taken at a time"):
        given_masks([data, write_mask(tmp_path / "b.png")], lambda: tmp_path)


def test_a_folder_without_masks_says_so(run, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no mask in this folder"):
        generate(run, tmp_path / "empty", tmp_path / "out")


@pytest.mark.parametrize("kind", ["coco", "yolo"])
def test_forge_makes_masks_of_outlines(tmp_path, capsys, kind):
    data = data_set(tmp_path / "data", kind, names=[f"elm_{number}" for number in range(1, 8)])
    words = ["forge", str(data), "--out", str(tmp_path / "forged"), "--how", "transform", "--count", "2", "--pixel-size", "0.3"]
    assert main(words) == 0
    assert f"2 new masks in {tmp_path / 'forged' / 'masks'}. How alike" in capsys.readouterr().out
    with open_raster(tmp_path / "forged" / "masks" / "elm_1001.tif") as raster:
        assert raster.grid.gsd_m() == pytest.approx(0.3) and raster.read().any()
    assert forge(data, tmp_path / "forged", how="transform", count=2, pixel_size=0.3).kept == 2
