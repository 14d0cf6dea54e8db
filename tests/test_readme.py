"""Every command and every line of Python in the README is run, in order, and does what it says."""

import json
import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import make_dataset
from material_runs import refiner
from orthoforge import RealPairs, SyntheticPairs
from orthoforge.cli import main
from orthoforge.config import FIELD_NAMES, Recipe, load_recipe
from orthoforge.geo import example
from orthoforge.geo.rasters import open_raster
from orthoforge.scenes.simulate import simulate
from orthoforge.training import session

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
# All that the test changes: smaller tiles, networks of a few channels, one epoch, one small crop a tile.
# All options of the README stay.
SMALL = {"generator_width": 4, "discriminator_width": 4, "crop_px": 64, "crops_per_tile": 1, "epochs": 1, "decay_epochs": 0}
SMALL_OPTIONS = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
SMALL_TILES = ["--gsd", "0.6", "--size", "160"]
SMALL_SETTINGS = [f"{name}={value}" for name, value in SMALL.items()]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


def commands(text):
    return [shlex.split(line)[1:] for line in text.splitlines() if line.startswith("orthoforge ")]


def run(words):
    print("orthoforge", *words)
    small = {"prepare": SMALL_TILES, "forge": ["--count", "2"], "train": SMALL_OPTIONS, "sweep": ["--set", *SMALL_SETTINGS]}
    small["experiment"] = small["sweep"]
    small["grow"] = ["--least-agreement", "0"]  # no image of such a network would pass
    assert main([*words, *small.get(words[0], [])]) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pairs, masks without images, and a small Inria."""
    folder = tmp_path_factory.mktemp("reader")
    places = ("arden", "brennau", "hohental")
    simulate(folder, places=places, scenes_per_place=5, size_px=320, gsd_m=0.6)
    (folder / "train").rename(folder / "my-data")
    (folder / "new-masks").mkdir()
    for path in (folder / "my-data" / "images").glob("*5.tif"):
        path.unlink()
        (folder / "my-data" / "gt" / path.name).rename(folder / "new-masks" / path.name)
    make_dataset(folder / "inria", [f"vienna{n}" for n in range(1, 10)], 300, layout="archive")
    (folder / "inria" / "AerialImageDataset").rename(folder / "AerialImageDataset")
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def test_a_first_image_without_training(folder, monkeypatch):
    mask = np.zeros((64, 96), np.uint8)
    mask[20:40, 30:60] = 255
    Image.fromarray(mask).save(folder / "small.png")
    monkeypatch.setattr(example, "EXAMPLE_MASK", folder / "small.png")  # that of the package takes seconds
    for words in commands(blocks("sh")[0]):
        run(words)
    assert np.asarray(Image.open(folder / "image.png")).shape == (64, 96, 3)


def test_the_steps_on_your_own_pairs(folder, capsys):
    _, without_training, path, others = blocks("sh")
    weights = refiner(folder / "weights", gsd_m=0.6)  # those of the package know 0.3 m
    for words in commands(without_training + path + others):
        run([str(weights) if word == "orthoforge-material" else word for word in words])
    assert len(RealPairs("tiles", crop_px=64)) > len(SyntheticPairs.generated("images", crop_px=64)) == 6
    with open_raster(folder / "new-images/arden5.tif") as image, open_raster(folder / "new-masks/arden5.tif") as mask:
        assert image.grid == mask.grid
    assert (folder / "scores" / "report.html").is_file()
    assert len(list((folder / "new").glob("*.tif"))) == 6
    rows = [json.loads(line) for line in (folder / "larger" / "synthetic.jsonl").read_text().splitlines()]
    assert any(row["accepted"] for row in rows)
    assert all((folder / "larger" / "gt" / f"{row['name']}.tif").is_file() for row in rows if row["accepted"])
    assert len(list((folder / "sweep" / "runs").iterdir())) == 4
    assert "learning_rate" in (folder / "compared.html").read_text()

    resume = commands("\n".join(re.findall(r"`(orthoforge train [^`]*--resume)`", README)))
    assert len(resume) == 1
    run(resume[0])
    assert "resuming runs/first" in capsys.readouterr().out


def test_python(folder, monkeypatch, capsys):
    (code,) = blocks("python")
    monkeypatch.setattr(session, "load_recipe", lambda name: load_recipe(name, **SMALL))
    names: dict = {}
    exec(code, names)
    assert names["image"].shape == (*names["mask"].shape, 3)
    assert names["image"].dtype == np.uint8


def test_the_experiments_of_2021(folder):
    for words in commands("\n".join(re.findall(r"`(orthoforge experiment [^`]*)`", README))):
        run(words)
    assert (folder / "experiments" / "runs" / "instance-norm" / "results.csv").is_file()
    assert (folder / "experiments" / "report.html").is_file()


def test_every_link_leads_somewhere():
    root = Path(__file__).parents[1]
    for target in re.findall(r"\]\((?!http)([^)#]+)[^)]*\)", README):
        assert (root / target).exists(), target


def test_it_fits_on_a_few_screens():
    assert len(README.splitlines()) <= 150


def test_the_small_fields_are_fields():
    assert set(SMALL) <= set(FIELD_NAMES)
    assert Recipe(name="x", **SMALL).total_epochs == 1
