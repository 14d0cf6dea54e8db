import errno
import json
import os
import pickle
import re
import shutil
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rasterio.crs import CRS

from conftest import UTM, make_dataset, make_grid, make_image, make_mask, write_tiff
from made_runs import RECIPE, make_run
from orthoforge import files
from orthoforge.errors import ConfigError, DataError, OutputExistsError, ResourceError
from orthoforge.generation.scene import place_of_name
from orthoforge.geo.grid import Grid, Window
from orthoforge.geo.rasters import open_raster, read_image, read_mask, read_tags
from orthoforge.geo.resampling import resample
from orthoforge.growing import grow
from orthoforge.growing.judging import judge_of
from orthoforge.growing.scale import Scale
from orthoforge.masks.reader import MaskReader
from orthoforge.measures.segmenter.segmentation import SegmenterSettings
from orthoforge.run_files import read_results
from orthoforge.scenes.checks import check
from orthoforge.scenes.sources import find_pairs
from orthoforge.tiles.prepare import prepare
from orthoforge.trained_generator import load_generator
from orthoforge.training import train

SRC = Path(__file__).parents[2] / "src"
NAMES = [f"austin{number}" for number in range(1, 11)] + [f"tyrol-w{number}" for number in (2, 3, 7, 16)]
TRAINING = {"austin1", "austin2", "austin3", "austin4", "austin5", "austin6", "austin10", "tyrol-w2", "tyrol-w3", "tyrol-w16"}
QUICK = SegmenterSettings(steps=2, batch_size=2, crop_px=32, width=2)


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """Data in the layout of Inria's archive, its tiles by the split of 2021, and a run on them."""
    root = tmp_path_factory.mktemp("town")
    data = root / "data"
    for number, name in enumerate(NAMES):
        write_scene(data, name, number, seed=number)
    store = prepare(data, root / "tiles", grid=2, size=32, split="digits", attribution="Town survey, CC0")
    return data, store, make_run(root / "run", store)


@pytest.fixture(scope="module")
def grown(town, tmp_path_factory):
    data, _, run = town
    return grow(run, data, tmp_path_factory.mktemp("grown") / "more", least_agreement=0)


def write_scene(data, name, number, *, seed):
    """A pair whose ground lies apart from that of other numbers."""
    grid, mask = make_grid(2000).window(Window(0, 100 * number, 64, 64)), make_mask(seed=seed)
    write_tiff(data / "AerialImageDataset/train/images" / f"{name}.tif", make_image(mask, seed=seed), grid)
    write_tiff(data / "AerialImageDataset/train/gt" / f"{name}.tif", mask, grid)


def synthetic(folder):
    return [pair for pair in find_pairs(folder).pairs if read_tags(pair.image).get("SYNTHETIC") == "YES"]


def content(folder):
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.parent.name != "stac"]  # an item has its time
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def torchgeo_files(root, split):
    """What torchgeo's InriaAerialImageLabeling(root, split) pairs: sorted globs side by side, by the first number after letters."""
    images, labels = (sorted((root / "AerialImageDataset/train" / part).glob("*.tif")) for part in ("images", "gt"))
    found = []
    for image, label in zip(images, labels, strict=True):
        if match := re.search(r"([A-Za-z]+)(\d+)", image.name):
            number = int(match[2])
            if number > 5 if split == "train" else number < 6:
                found.append((image, label))
    return found


def test_each_training_mask_gets_another_image(town, grown):
    data, store, _ = town
    assert (grown.wanted, grown.added, grown.rejected, grown.real_iou) == (10, 10, 0, None)
    real = {pair.name: pair for pair in find_pairs(data).pairs}
    assert {row["mask"]["scene"] for row in grown.rows} == TRAINING == {row.scene for row in store.rows if row.split == "train"}
    assert {pair.name for pair in synthetic(grown.path)} == {row["name"] for row in grown.rows if row["accepted"]}
    for row in grown.rows:
        folder = grown.path / "AerialImageDataset/train"
        source = real[row["mask"]["scene"]]
        with open_raster(folder / "gt" / f"{row['name']}.tif") as mask, open_raster(source.mask) as original:
            np.testing.assert_array_equal(read_mask(mask), read_mask(original))
            assert mask.grid == original.grid
        with open_raster(folder / "images" / f"{row['name']}.tif") as image, open_raster(source.image) as original:
            assert image.grid == original.grid
            assert (read_image(image) != read_image(original)).any()


def test_every_file_says_what_it_is(town, grown):
    for pair in synthetic(grown.path):
        image, mask = read_tags(pair.image), read_tags(pair.mask)
        assert image["MODEL_SHA256"] == mask["MODEL_SHA256"] == grown.rows[0]["model_sha256"]
        assert image["SOURCE_ATTRIBUTION"] == mask["SOURCE_ATTRIBUTION"] == "Town survey, CC0"
        assert mask["SOURCE_SCENES"] in TRAINING
        item = json.loads((grown.path / "stac" / f"{pair.name}.json").read_text())
        href = item["assets"]["image"]["href"]
        assert (grown.path / "stac" / href).resolve() == pair.image.resolve()
    card = (grown.path / "README.md").read_text()
    assert "**10 of its 24 image/mask pairs are synthetic**" in card
    assert "| austin | 10 | 7 | 7 | 0 |" in card
    assert grown.rows[0]["model_sha256"] in card and "Town survey, CC0" in card
    assert "`prepare --split digits`" in card and "{" not in card
    assert (grown.path / "contact-sheet.jpg").stat().st_size > 10_000


def test_originals_are_the_same_files(town, grown):
    data = town[0]
    for path in sorted(data.rglob("*.tif")):
        assert (grown.path / path.relative_to(data)).samefile(path)


def test_torchgeos_loader_pairs_everything_and_trains_on_what_is_synthetic(grown):
    training, validation = (torchgeo_files(grown.path, split) for split in ("train", "val"))
    assert len(training) + len(validation) == 24
    assert all(image.name == label.name for image, label in training + validation)
    made = {row["name"] for row in grown.rows}
    assert made <= {image.stem for image, _ in training}
    assert not made & {image.stem for image, _ in validation}
    for image, label in training + validation:
        with open_raster(image) as pixels, open_raster(label) as labels:
            assert pixels.read().shape == (64, 64, 3)
            assert labels.read()[..., 0].max() == 255  # clipped to 1 there


def test_check_finds_nothing_new(town, grown):
    before, after = check(town[0]), check(grown.path)
    assert (after.faults, after.warnings) == (0, before.warnings)


@pytest.mark.parametrize("split", ["digits", "inria", "blocks", "random"])
def test_the_split_of_real_scenes_is_what_it_was(town, grown, tmp_path, split):
    before = prepare(town[0], tmp_path / "before", grid=2, size=32, split=split, seed=3)
    after = prepare(grown.path, tmp_path / "after", grid=2, size=32, split=split, seed=3)
    assert [row for row in after.rows if not row.synthetic] == list(before.rows)
    assert {row.split for row in after.rows if row.synthetic} == {"train"}
    counts = json.loads((tmp_path / "after/store.json").read_text())["counts"]
    assert counts["synthetic"] == {"scenes": 10, "tiles": 40}
    leaks = any("masks of scenes that are in val or test here" in note for note in counts["notes"])
    assert leaks == (split in ("inria", "blocks"))  # here the run was trained on other scenes than train now


def test_one_epoch_of_training(grown, tmp_path):
    store = prepare(grown.path, tmp_path / "tiles", grid=2, size=32, split="digits")
    assert len(store.ids("train")) == 2 * len(TRAINING) * 4
    recipe = replace(RECIPE, epochs=1, decay_epochs=0, batch_size=20, discriminator_width=2, discriminator_layers=1)
    run = train(recipe, tmp_path / "tiles", tmp_path / "run", trackers=(), quiet=True)
    assert len(read_results(run)) == 1


@pytest.mark.parametrize("how", ["transform", "recombine"])
def test_forged_masks_are_new_and_of_training_ground(town, tmp_path, how):
    data, _, run = town
    made = grow(run, data, tmp_path / "more", masks=how, ratio=0.4, least_agreement=0)
    assert (made.wanted, made.added) == (4, 3)
    (note,) = made.notes  # three masks of 64 px tell too little of a place
    assert note.startswith("tyrol-w: 0 of 1 synthetic pairs: ")
    known = [read(pair.mask) for pair in find_pairs(data).pairs]
    for pair in synthetic(made.path):
        mask, tags = read(pair.mask), read_tags(pair.mask)
        assert not any(np.array_equal(mask, other) for other in known)
        assert set(tags["SOURCE_SCENES"].split(", ")) <= TRAINING
        assert (tags["MASK_ORIGIN"], tags["SYNTHETIC_MASK"]) == (how, "YES")
    assert all(row["mask"]["kind"] == how and row["mask"]["parameters"] for row in made.rows)
    assert [path.name for path in (made.path / "cards").iterdir()] == ["austin.html"]
    assert "`cards/PLACE.html`" in (made.path / "README.md").read_text()


def test_variants_share_a_mask_and_differ(town, tmp_path):
    data, store, _ = town
    run = make_run(tmp_path / "noisy", store, generator="unet256", crop_px=256)
    made = grow(run, data, tmp_path / "more", ratio=2, variants=2, least_agreement=0)
    assert made.added == 20
    assert Counter(row["mask"]["scene"] for row in made.rows) == dict.fromkeys(TRAINING, 2)
    assert [row["seed"] for row in made.rows] == list(range(20))
    folder = made.path / "AerialImageDataset/train"
    for first, second in zip(made.rows[::2], made.rows[1::2], strict=True):
        assert second["seed"] == first["seed"] + 1
        masks, images = (
            [read_image_or_mask(folder / part / f"{row['name']}.tif") for row in (first, second)] for part in ("gt", "images")
        )
        np.testing.assert_array_equal(*masks)
        assert (images[0] != images[1]).any()


def test_images_have_the_style_of_their_place(town, tmp_path):
    data, store, _ = town
    run = make_run(tmp_path / "styled", store, generator="modulated")
    write_tiff(tmp_path / "drawn/nowhere1.tif", make_mask(48), make_grid(48, crs=None))
    (folder,) = {write_tiff(tmp_path / f"drawn/{name}.tif", make_mask(48)).parent for name in ("austin1", "tyrol-w1")}
    made = grow(run, data, tmp_path / "more", masks=folder, ratio=0.6, least_agreement=0)
    assert [row["style"] for row in made.rows] == ["austin", None, "tyrol-w"] * 2
    assert [row["seed"] for row in made.rows] == list(range(6))
    generator = load_generator(run)
    for row in made.rows:
        path = made.path / "AerialImageDataset/train/images" / f"{row['name']}.tif"
        with open_raster(path) as raster:
            image = read_image(raster)
        of_place = generator.with_style(row["style"])
        place = place_of_name(row["name"])
        assert np.array_equal(image, of_place(make_mask(48), seed=row["seed"], origin=place))
        assert read_tags(path).get("STYLE") == row["style"]
    assert len({read_tags(pair.image)["SEED"] for pair in synthetic(made.path)}) == 6


def test_masks_of_a_folder(town, tmp_path):
    data, _, run = town
    for number in range(3):
        write_tiff(tmp_path / f"drawn/austin{number}.tif", make_mask(48, seed=70 + number))
    made = grow(run, data, tmp_path / "more", masks=tmp_path / "drawn", ratio=0.5, least_agreement=0)
    assert (made.wanted, made.added) == (5, 3)
    assert made.notes == ("3 of 5 synthetic pairs: there were no more masks.",)
    assert [row["mask"]["file"] for row in made.rows] == ["austin0.tif", "austin1.tif", "austin2.tif"]
    shutil.copy(data / "AerialImageDataset/train/gt/austin9.tif", tmp_path / "drawn/sketch.tif")
    with pytest.raises(DataError, match=r"sketch\.tif: shows ground of austin9, which does not train"):
        grow(run, data, tmp_path / "leak", masks=tmp_path / "drawn", least_agreement=0)
    with open_raster(tmp_path / "drawn/sketch.tif") as raster:
        there = replace(raster.grid, crs=CRS.from_epsg(25833))
    assert raster.grid.crs == CRS.from_epsg(32633)
    write_tiff(tmp_path / "drawn/sketch.tif", make_mask((there.height, there.width), seed=70), there)
    with pytest.raises(DataError, match=r"sketch\.tif: shows ground of austin9, which does not train"):
        grow(run, data, tmp_path / "leak", masks=tmp_path / "drawn", least_agreement=0)
    write_tiff(tmp_path / "drawn/sketch.tif", make_mask(seed=NAMES.index("austin9")))
    with pytest.raises(DataError, match=r"sketch\.tif: is the mask of austin9, which does not train"):
        grow(run, data, tmp_path / "leak", masks=tmp_path / "drawn", least_agreement=0)


def test_images_that_do_not_show_their_masks_are_left_out_and_listed(town, tmp_path, monkeypatch):
    data, _, run = town
    judges = []

    def keeping(*arguments):
        judges.append(judge_of(*arguments))
        return judges[-1]

    monkeypatch.setattr(sys.modules["orthoforge.growing.grow"], "judge_of", keeping)
    settings = SegmenterSettings(steps=25, batch_size=4, crop_px=32, width=4)
    made = grow(run, data, tmp_path / "more", ratio=0.2, least_agreement=1, segmenter=settings)
    assert made.real_iou > 0.15  # seen: 0.24
    assert (made.wanted, made.added, made.rejected) == (2, 0, 10)  # an untrained network's; one image for each of all masks
    assert all(row["agreement"] < row["least"] == made.real_iou for row in made.rows)
    assert synthetic(made.path) == []
    assert "austin: 0 of 1 synthetic pairs: 7 were rejected and no mask was left to try." in made.notes
    card = (made.path / "README.md").read_text()
    assert "| **all** | 14 | 10 | 0 | 10 |" in card and f"IoU of {made.real_iou:.2f} on real images" in card
    (judge,), reader = judges, MaskReader(None, None)
    real = next(pair for pair in find_pairs(data).pairs if pair.name == "austin7")
    beside = write_tiff(tmp_path / "beside.tif", np.roll(read(real.mask), (12, 12), axis=(0, 1)))
    right, wrong = (judge.agreement(real.image, mask, Scale(), reader) for mask in (real.mask, beside))
    assert right > 2 * wrong  # seen: 0.22 and 0.04
    elsewhere = pickle.loads(pickle.dumps(judge))
    assert elsewhere.agreement(real.image, beside, Scale(), reader) == wrong


@pytest.mark.parametrize("crs", [UTM, None])
def test_a_scene_that_trains_in_part_gives_that_part(tmp_path, crs):
    data = make_dataset(tmp_path / "data", ["town1"], (192, 256), crs=crs)
    store = prepare(data, tmp_path / "tiles", grid=6, size=32)
    run = make_run(tmp_path / "run", store)
    made = grow(run, data, tmp_path / "more", least_agreement=0)
    (row,) = made.rows
    window, mask = Window(*row["mask"]["window"]), make_mask((192, 256))
    training = np.zeros((192, 256), bool)
    for tile in store.rows:
        if tile.split == "train":
            training[tile.window.slices] = True
    assert training[window.slices].all() and training[window.slices].sum() > 0.4 * training.sum()
    np.testing.assert_array_equal(read(made.path / "masks" / f"{row['name']}.tif"), mask[window.slices])
    with open_raster(made.path / "images" / f"{row['name']}.tif") as image:
        place = make_grid((192, 256)).window(window) if crs else Grid(window.height, window.width)
        assert image.grid == place


@pytest.mark.parametrize("georeferenced", [True, False])
def test_images_are_made_at_the_scale_of_the_tiles(tmp_path, georeferenced):
    data = make_dataset(tmp_path / "data", [f"a{n}" for n in range(10)], crs=UTM if georeferenced else None)
    store = prepare(data, tmp_path / "tiles", grid=1, size=32, split="digits")  # half the scenes' resolution
    run = make_run(tmp_path / "run", store)
    made = grow(run, data, tmp_path / "more", ratio=0.1, least_agreement=0)
    (row,) = made.rows
    mask = read(made.path / "masks" / f"{row['name']}.tif")
    with open_raster(made.path / "images" / f"{row['name']}.tif") as raster:
        image, grid = read_image(raster), raster.grid
    assert (grid.height, grid.width, grid.crs) == (64, 64, UTM if georeferenced else None)
    share = resample(lambda window: mask[window.slices] > 0, (64, 64), (32, 32), Window(0, 0, 32, 32), kernel="linear")
    made_small = load_generator(run)(share >= 0.5 - 1e-9, seed=0)
    whole = Window(0, 0, 64, 64)
    expected = resample(lambda window: made_small[window.slices], (32, 32), (64, 64), whole, kernel="cubic")
    np.testing.assert_allclose(image, np.clip(expected, 0, 255), atol=1.01)
    assert read_tags(made.path / "images" / f"{row['name']}.tif")["MASK"] == f"{row['name']}.tif"


def test_classes(tmp_path):
    colours = np.array([[0, 0, 0], [200, 30, 30], [10, 20, 250]], np.uint8)
    (tmp_path / "palette.json").write_text('{"Land": [0, 0, 0], "Building": [200, 30, 30], "Water": [10, 20, 250]}')
    for seed in range(14):
        labels = (make_mask(seed=seed) > 0).astype(np.uint8)
        labels[40:] = 2
        write_tiff(tmp_path / f"data/images/a{seed}.tif", make_image(labels, seed=seed), make_grid())
        write_tiff(tmp_path / f"data/masks/a{seed}.tif", colours[labels], make_grid())
    store = prepare(tmp_path / "data", tmp_path / "tiles", size=64, split="digits", palette=tmp_path / "palette.json")
    run = make_run(tmp_path / "run", store, classes=store.classes)
    made = grow(run, tmp_path / "data", tmp_path / "more", ratio=0.3, least_agreement=0.01, segmenter=QUICK)
    again = prepare(made.path, tmp_path / "again", size=64, split="digits", palette=tmp_path / "palette.json")
    assert sum(row.synthetic for row in again.rows) == made.added
    assert made.added + made.rejected >= 2
    with pytest.raises(ConfigError, match="forges masks of buildings; this run was trained on classes"):
        grow(run, tmp_path / "data", tmp_path / "other", masks="streets")
    make_dataset(tmp_path / "buildings", NAMES)
    with pytest.raises(DataError, match=r"none of its scenes is among those of the tiles"):
        grow(run, tmp_path / "buildings", tmp_path / "other", least_agreement=0)


def test_a_run_of_buildings_on_masks_of_classes(town, tmp_path):
    _, _, run = town
    for name in NAMES:
        labels = make_mask()[..., None] // 255 * np.array([200, 30, 30], np.uint8)
        write_tiff(tmp_path / f"data/images/{name}.tif", make_image(make_mask()), make_grid())
        write_tiff(tmp_path / f"data/masks/{name}.tif", labels.astype(np.uint8), make_grid())
    with pytest.raises(DataError, match="mask has 3 bands that differ"):
        grow(run, tmp_path / "data", tmp_path / "more", least_agreement=0)


def test_without_tiles_a_rule_must_say_what_trains(town, tmp_path):
    data, store, _ = town
    run = make_run(tmp_path / "run", store)
    args = (run / "args.yaml").read_text()
    (run / "args.yaml").write_text(args.replace(str(store.path), str(tmp_path / "gone")))
    with pytest.raises(ConfigError, match=r"which of its scenes train cannot be told.*--split digits or inria"):
        grow(run, data, tmp_path / "more", least_agreement=0)
    with pytest.raises(ConfigError, match="pass --least-agreement 0"):
        grow(run, data, tmp_path / "more", split="inria")
    made = grow(run, data, tmp_path / "more", split="inria", least_agreement=0)
    numbers = {int(re.search(r"\d+", row["mask"]["scene"])[0]) for row in made.rows}
    assert numbers == {6, 7, 8, 9, 10, 16}
    assert "By the rule `inria`, no mask of a validation or test scene was used." in (made.path / "README.md").read_text()


def test_with_tiles_and_a_rule_both_must_agree(town, tmp_path):
    data, _, run = town
    made = grow(run, data, tmp_path / "more", split="inria", least_agreement=0)
    assert {row["mask"]["scene"] for row in made.rows} == {"austin6", "austin10", "tyrol-w16"}


def test_another_scene_of_the_same_name_is_no_training_ground(town, tmp_path):
    data, _, run = town
    other = shutil.copytree(data, tmp_path / "data")
    write_scene(other, "austin3", NAMES.index("austin3"), seed=77)
    with pytest.raises(DataError, match=r"austin3: .* is not the mask that the tiles .*tiles were cut from"):
        grow(run, other, tmp_path / "more", least_agreement=0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ratio": 0}, ConfigError, "ratio is 0"),
        ({"ratio": 1e308}, ConfigError, r"ratio is 1e\+308.* up to 1000000"),
        ({"ratio": -1}, ConfigError, "ratio is -1"),
        ({"ratio": float("nan")}, ConfigError, "ratio is nan"),
        ({"ratio": 1.5}, ConfigError, "austin: 11 pairs are wanted and 7 masks train"),
        ({"variants": 0}, ConfigError, "variants is 0"),
        ({"variants": 2}, ConfigError, "has no noise: its 2 variants of a mask would be one image"),
        ({"least_agreement": 2}, ConfigError, "least_agreement is 2"),
        ({"split": "blocks"}, ConfigError, "split is 'blocks'"),
        ({"seed": -1}, ConfigError, "seed is -1"),
        ({"masks": Path("nowhere")}, DataError, "nowhere: no such folder"),
    ],
)
def test_impossible_settings_are_refused(town, tmp_path, options, error, message):
    data, _, run = town
    with pytest.raises(error, match=message):
        grow(run, data, tmp_path / "more", **{"least_agreement": 0} | options)
    assert not (tmp_path / "more").exists()


def test_places_that_are_taken_are_refused(town, tmp_path, grown):
    data, _, run = town
    for out in (data, data / "more", data / "AerialImageDataset/train"):
        with pytest.raises(OutputExistsError, match="which is only read"):
            grow(run, data, out)
    with pytest.raises(OutputExistsError, match=r"holds .*, which is only read"):
        grow(run, data, data.parent)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep me")
    with pytest.raises(OutputExistsError, match="exists and was not made by grow"):
        grow(run, data, tmp_path / "mine", least_agreement=0, overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputExistsError, match="is a file"):
        grow(run, data, tmp_path / "file", least_agreement=0)
    with pytest.raises(OutputExistsError, match="grown with other settings"):
        grow(run, data, grown.path, least_agreement=0, ratio=0.5)
    empty = tmp_path / "empty"
    (empty / "images").mkdir(parents=True)
    (empty / "masks").mkdir()
    with pytest.raises(DataError, match="no image has a mask of the same name"):
        grow(run, empty, tmp_path / "more")
    lonely = make_dataset(tmp_path / "lonely", ["austin1", "austin2"])
    (lonely / "masks/austin2.tif").unlink()
    with pytest.raises(DataError, match=r"austin2\.tif: has no partner"):
        grow(run, lonely, tmp_path / "more")


def test_the_same_again_is_done_at_once_and_overwrite_replaces_only_what_was_grown(town, tmp_path, capsys):
    data, _, run = town
    out = tmp_path / "more"
    first = grow(run, data, out, ratio=0.3, least_agreement=0)
    (out / "notes.txt").write_text("keep me")
    capsys.readouterr()
    assert grow(run, data, out, ratio=0.3, least_agreement=0) == first
    assert "nothing to do" in capsys.readouterr().out
    second = grow(run, data, out, ratio=0.2, least_agreement=0, overwrite=True)
    assert (first.added, second.added) == (3, 2)
    assert len(find_pairs(out).pairs) == 16
    assert (out / "notes.txt").read_text() == "keep me"
    assert len(find_pairs(data).pairs) == 14


def test_a_grown_set_grows_from_its_real_pairs_only(town, grown, tmp_path):
    store = prepare(grown.path, tmp_path / "tiles", grid=2, size=32, split="digits")
    run = make_run(tmp_path / "run", store)
    made = grow(run, grown.path, tmp_path / "more", least_agreement=0)
    assert {row["mask"]["scene"] for row in made.rows} == TRAINING
    assert not {row["name"] for row in made.rows} & {row["name"] for row in grown.rows}
    assert len(find_pairs(made.path).pairs) == 34


def test_room_on_the_disk_is_looked_at_first(town, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(ResourceError, match="a data set with 10 synthetic pairs needs about 0 MB"):
        grow(town[2], town[0], tmp_path / "more", least_agreement=0)


@pytest.mark.parametrize("what", ["image", "mask", "side file", "folder"])
def test_links_that_lead_out_of_the_data_are_refused_and_those_within_are_followed(town, tmp_path, what):
    data, _, run = town
    copied, secret = tmp_path / "data", tmp_path / "secret"
    shutil.copytree(data, copied)
    images, masks = (copied / "AerialImageDataset/train" / part for part in ("images", "gt"))
    os.rename(images / "austin1.tif", copied / "one.tif")
    (images / "austin1.tif").symlink_to(copied / "one.tif")
    grow(run, copied, tmp_path / "within", ratio=0.1, least_agreement=0)
    assert (tmp_path / "within/AerialImageDataset/train/images/austin1.tif").samefile(copied / "one.tif")
    link = {"image": images / "austin2.tif", "mask": masks / "austin2.tif", "side file": images / "austin2.txt", "folder": images}[
        what
    ]
    if link.exists():
        os.rename(link, secret)
    else:
        secret.write_text("a password")
    link.symlink_to(secret)
    with pytest.raises(
        DataError, match=rf"is a link to {re.escape(str(secret))}.*, outside {re.escape(str(copied))}, and would be"
    ):
        grow(run, copied, tmp_path / "more", ratio=0.1, least_agreement=0)
    assert not (tmp_path / "more").exists()


def test_links_to_nothing_and_in_a_circle_are_named(town, tmp_path):
    data, _, run = town
    shutil.copytree(data, tmp_path / "data")
    image = tmp_path / "data/AerialImageDataset/train/images/austin2.tif"
    for target in ("nothing.tif", "austin2.tif"):
        image.unlink()
        image.symlink_to(target)
        with pytest.raises(DataError, match=rf"austin2\.tif: is a link to {target}, which is not there"):
            grow(run, tmp_path / "data", tmp_path / "more", ratio=0.1, least_agreement=0)
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(DataError, match="circle: no such folder"):
        grow(run, data, tmp_path / "more", masks=tmp_path / "circle", least_agreement=0)


def test_sources_are_known_by_what_they_hold(town, tmp_path):
    """Neither other pixels under an old time, nor the same ones under a new time, deceive it."""
    data, _, run = town
    shutil.copytree(data, tmp_path / "data")
    image = tmp_path / "data/AerialImageDataset/train/images/austin2.tif"
    settings = {"ratio": 0.1, "least_agreement": 0}
    out = grow(run, tmp_path / "data", tmp_path / "more", **settings).path
    os.utime(image, (1, 1))
    assert grow(run, tmp_path / "data", out, **settings).path == out
    payload = image.read_bytes()
    image.write_bytes(payload[:-1] + bytes([payload[-1] ^ 1]))  # the grown data set's is a link to it
    os.utime(image, (1, 1))
    with pytest.raises(OutputExistsError, match="or from other data"):
        grow(run, tmp_path / "data", out, **settings)


def test_where_there_are_no_links_originals_are_copied(town, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    data, _, run = town
    side_file = data / "AerialImageDataset/train/images/austin1.tfw"
    side_file.write_text("0.3")
    monkeypatch.setattr(os, "link", refuse)
    out = grow(run, data, tmp_path / "more", ratio=0.1, least_agreement=0).path
    for path in [*data.rglob("*.tif"), side_file]:
        copy = out / path.relative_to(data)
        assert copy.read_bytes() == path.read_bytes() and not copy.samefile(path)
    assert "are unchanged (copies)" in (out / "README.md").read_text()
    side_file.unlink()


SLOW = """
import sys, time
from pathlib import Path
from orthoforge.growing import candidates, grow
make_image = candidates.make_image
def slowly(*args, **options):
    time.sleep(0.2)
    make_image(*args, **options)
candidates.make_image = slowly
grow(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), least_agreement=0)
"""


def test_killed_and_run_again_it_goes_on(warm_python, town, grown, tmp_path):
    data, _, run = town
    out = tmp_path / "more"
    process = warm_python.start("-c", SLOW, run, data, out)
    log, deadline = out / ".growing/log.jsonl", time.monotonic() + 60
    while (not log.exists() or log.read_bytes().count(b"\n") < 3) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    warm_python.kill(process)
    assert not (out / "AerialImageDataset").exists()  # nobody trains on half a data set
    with open(log, "ab") as file:
        file.write(b'{"name": "cut sh')
    done = next((out / ".growing/data/AerialImageDataset/train/images").glob(f"{grown.rows[0]['name']}.tif")).stat().st_mtime_ns
    made = grow(run, data, out, least_agreement=0)
    first = made.path / "AerialImageDataset/train/images" / f"{grown.rows[0]['name']}.tif"
    assert first.stat().st_mtime_ns == done
    assert made.rows == grown.rows
    assert {k: v for k, v in content(out).items() if k != "README.md"} == {
        k: v for k, v in content(grown.path).items() if k != "README.md"
    }
    assert not (out / ".growing").exists()


def test_killed_while_it_is_put_in_place(town, grown, tmp_path):
    out = shutil.copytree(grown.path, tmp_path / "more")
    body = json.loads((out / "grown.json").read_text())
    work = out / ".growing"
    (work / "data").mkdir(parents=True)
    (work / "settings.json").write_text(json.dumps(body["settings"]))
    ready = {key: value for key, value in body.items() if key not in ("settings", "format")}
    (work / "ready.json").write_text(json.dumps(ready))
    (out / "grown.json").unlink()
    for name in ("stac", "README.md"):
        os.rename(out / name, work / "data" / name)
    made = grow(town[2], town[0], out, least_agreement=0)
    assert content(out) == content(grown.path)
    assert made.rows == grown.rows


@pytest.mark.real_data
def test_real_pairs(shared_data, tmp_path):
    """A third of them, of every place."""
    data = tmp_path / "data"
    for folder in ("images", "masks"):
        (data / folder).mkdir(parents=True)
        for path in sorted((shared_data / "building" / folder).iterdir())[::3]:
            shutil.copy(path, data / folder)
    store = prepare(data, tmp_path / "tiles", grid=1, size=64)
    run = make_run(tmp_path / "run", store)
    made = grow(run, data, tmp_path / "more", ratio=0.2, least_agreement=0)
    assert made.added == made.wanted >= 4
    report = check(made.path)
    assert report.faults == 0
    again = prepare(made.path, tmp_path / "again", grid=1, size=64)
    assert [row for row in again.rows if not row.synthetic] == list(store.rows)
    held_back = {row.scene for row in store.rows if row.split != "train"}
    assert not held_back & {row["mask"]["scene"] for row in made.rows}
    assert all(row.split == "train" for row in again.rows if row.synthetic)


def read(path):
    with open_raster(path) as raster:
        return read_mask(raster)


def read_image_or_mask(path):
    with open_raster(path) as raster:
        return raster.read()
