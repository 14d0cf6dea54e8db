"""The whole road on real pairs: check, prepare, train, generate, evaluate, through the command line."""

import csv
import json

import numpy as np
import pytest

from orthoforge.cli import main
from orthoforge.geo.rasters import open_raster, read_image, read_mask, read_tags
from orthoforge.scenes.checks import check
from orthoforge.tiles.store import TileStore

pytestmark = pytest.mark.real_data

# The recipe `tiny` made smaller still: a network of 6 channels sees a part of each tile four times.
SMALL = [
    "--crop-px", "64", "--generator-width", "6", "--discriminator-width", "4", "--batch-size", "4", "--epochs", "4",
    "--decay-epochs", "0", "--learning-rate", "1e-3", "--ema-decay", "0",
]  # fmt: skip


@pytest.fixture(scope="module")
def made(shared_data, tmp_path_factory):
    """A folder with tiles and a run, made from the real pairs."""
    folder = tmp_path_factory.mktemp("real")
    words = ["prepare", shared_data / "building", folder / "tiles", "--gsd", 0.3, "--size", 128, "--skip-bad"]
    assert main([str(word) for word in words]) == 0
    assert main(["train", "tiny", "--data", str(folder / "tiles"), "--out", str(folder / "run"), *SMALL]) == 0
    return folder


def test_check_reads_all_pairs(shared_data):
    report = check(shared_data / "building")
    assert len(report.scenes) == 118
    assert report.faults == 0


def test_tiles_come_from_every_place_with_georeference_and_no_two_splits_touch(made):
    store = TileStore.open(made / "tiles")
    assert store.verify() == []
    assert {row.place for row in store.rows} >= {"banepa_core", "zanzibar"}
    assert all(len(store.ids(split)) for split in ("train", "val", "test"))
    assert store.gsd_m == pytest.approx(0.3, rel=0.01)
    boxes = [(row.split, str(row.grid.crs), row.grid.bounds) for row in store.rows if row.split != "buffer"]
    for index, (split, crs, (left, bottom, right, top)) in enumerate(boxes):
        for other_split, other_crs, (l2, b2, r2, t2) in boxes[index + 1 :]:
            if split != other_split and crs == other_crs:
                assert right < l2 or r2 < left or top < b2 or t2 < bottom


def test_training_brings_the_images_closer(made):
    with open(made / "run" / "results.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert float(rows[-1]["loss_g_l1"]) < 0.95 * float(rows[0]["loss_g_l1"])  # seen: 0.92
    assert float(rows[-1]["psnr"]) > 12


@pytest.mark.parametrize("name", ["banepa_core_386690_220243", "zanzibar_319294_270962", "inria_austin1_10"])
def test_a_mask_becomes_an_image_in_its_place_whose_roofs_stand_out(made, shared_data, tmp_path, name):
    mask_path = shared_data / "building" / "masks" / f"{name}.tif"
    assert main(["generate", str(made / "run"), str(mask_path), "--out", str(tmp_path / "image.tif"), "--resample"]) == 0
    with open_raster(mask_path) as raster:
        mask, grid = read_mask(raster) > 0, raster.grid
    with open_raster(tmp_path / "image.tif") as raster:
        image = read_image(raster)
        assert raster.grid == grid
    assert read_tags(tmp_path / "image.tif")["SYNTHETIC"] == "YES"
    apart = np.abs(image[mask].mean(axis=0) - image[~mask].mean(axis=0)).max()
    assert apart > 8, "mask and ground have the same colour"


def test_the_report_scores_the_test_tiles(made, tmp_path):
    assert main(["evaluate", str(made / "run"), "--data", str(made / "tiles"), "--out", str(tmp_path / "scores")]) == 0
    report = json.loads((tmp_path / "scores" / "report.json").read_text(encoding="utf-8"))
    assert report["data"]["n"] == len(TileStore.open(made / "tiles").ids("test"))
    assert report["data"]["trained_on_these"] is True
    assert report["scores"]["generated"]["psnr"]["mean"] > 10
