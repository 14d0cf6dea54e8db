"""The demo, shrunken: the real road on scenes of a few pixels and a network of two channels."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from orthoforge import cli, demonstration, run_files
from orthoforge.config import load_recipe
from orthoforge.demonstration import Extent, run_demo, run_map_demo, stages
from orthoforge.demonstration.from_map import levels_on, read_mapped
from orthoforge.demonstration.journal import JOURNAL
from orthoforge.demonstration.page import _panel_rows
from orthoforge.errors import OutputExistsError
from orthoforge.generation import generate
from orthoforge.geo.rasters import open_raster, read_image, read_tags
from orthoforge.geo.signing import SOURCE_TYPE
from orthoforge.masks.layer_style import load_style
from orthoforge.masks.reader import MaskReader
from orthoforge.measures.paired import tile_scores
from orthoforge.scenes.sources import find_pairs
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import load_generator
from page_checks import read_page

EXTENT = Extent(places=("arden", "brennau"), scenes_per_place=2, scene_px=160, gsd_m=0.6, tile_px=32)
RECIPE = load_recipe(
    "orthoforge-xs",
    crop_px=32,
    crops_per_tile=1,
    generator_width=2,
    discriminator_width=2,
    batch_size=8,
    epochs=2,
    decay_epochs=1,
    precision="float32",
    panels_every=1,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished demo."""
    torch.set_num_threads(1)  # with more, tiny networks wait for each other's threads
    out = tmp_path_factory.mktemp("demo") / "country"
    assert run_demo(out, EXTENT, RECIPE) == out / "report.html"
    return out


@pytest.fixture(scope="module")
def page(made):
    return read_page((made / "report.html").read_text(encoding="utf-8"))


def test_the_last_scene_of_each_place_is_set_aside(made):
    unseen = find_pairs(made / "scenes" / "unseen").pairs
    assert [pair.name for pair in unseen] == ["arden2", "brennau2"]
    store = TileStore.open(made / "tiles")
    assert {row.scene for row in store.rows} == {"arden1", "brennau1"}
    assert all(len(store.ids(split)) for split in ("train", "val", "test"))
    # On other ground too: no tile's box meets an unseen scene's.
    for pair in unseen:
        with open_raster(pair.mask) as mask:
            left, bottom, right, top = mask.grid.bounds
        for row in store.rows:
            if row.place == pair.place:
                west, south, east, north = row.grid.bounds
                assert east <= left or right <= west or north <= bottom or top <= south


def test_generated_scenes_lie_on_their_masks_grids(made):
    for pair in find_pairs(made / "scenes" / "unseen").pairs:
        path = made / "generated" / f"{pair.name}.tif"
        with open_raster(pair.mask) as mask, open_raster(path) as image:
            assert image.grid == mask.grid
            assert read_image(image).std() > 1
        assert read_tags(path)["DIGITAL_SOURCE_TYPE"] == SOURCE_TYPE


def test_the_report_fetches_nothing_and_every_picture_decodes(page):
    assert page.unclosed == []
    assert [address for address in page.addresses if not address.startswith("data:")] == []
    assert not re.search(r"https?:|//cdn|url\(|@import", page.source)
    # The headline, each of two unseen scenes with its detail, a mask in two styles, four validation tiles over three epochs, and
    # three plots for two schemes.
    shown_tiles = min(4, page.source.count('alt="epoch 1"'))
    assert shown_tiles > 0
    assert len(page.images()) == 3 + 2 * (3 + 3) + 3 + shown_tiles * 5 + 3 * 2
    assert len(page.source) < 10e6


def test_each_unseen_mask_is_made_in_its_own_places_style_and_the_first_in_the_others(made):
    for place in ("arden", "brennau"):
        assert read_tags(made / "generated" / f"{place}2.tif")["STYLE"] == place
    restyled = made / "styles" / "brennau.tif"
    assert read_tags(restyled)["STYLE"] == "brennau"
    assert read_tags(restyled)["MASK"] == read_tags(made / "generated" / "arden2.tif")["MASK"]
    assert [path.name for path in (made / "styles").glob("*.tif")] == ["brennau.tif"]


def test_the_report_shows_the_unseen_scenes_as_they_are(made, page):
    sizes = {(160, 160)}
    shown = [np.asarray(image.convert("RGB")).astype(int) for _, image in page.images() if image.size in sizes]
    for pair in find_pairs(made / "scenes" / "unseen").pairs:
        for path in (pair.image, made / "generated" / f"{pair.name}.tif"):
            with open_raster(path) as raster:
                pixels = read_image(raster).astype(int)
            assert min(np.abs(image - pixels).mean() for image in shown) < 8, path  # JPEG's loss


def test_the_numbers_on_the_page_are_those_of_the_files(made, page):
    store, rows = TileStore.open(made / "tiles"), run_files.read_results(made / "run")
    text = page.text
    for split in ("train", "val", "test"):
        assert re.search(rf"\b{len(store.ids(split))} to {split}", text)
    assert "4 scenes" in text
    assert "simulated" in text
    assert f"{rows[-1]['step']:.0f} steps" in text
    parameters = sum(parameter.numel() for parameter in load_generator(made / "run").network.parameters())
    assert f"{parameters / 1e6:.2g} million parameters in the generator" in text, "as many as a model card says"
    weights = load_file(made / "run" / "weights" / "last" / "train.safetensors")
    trained = [name for name in weights if re.fullmatch(r"discriminator\..*\.(bias|original)", name)]
    assert f"{sum(weights[name].numel() for name in trained)} in the discriminator" in text
    for pair in find_pairs(made / "scenes" / "unseen").pairs:
        with open_raster(pair.image) as real, open_raster(made / "generated" / f"{pair.name}.tif") as fake:
            scores = tile_scores(read_image(fake), read_image(real))
        assert f"{pair.name}: PSNR {scores['psnr']:.1f} dB, SSIM {scores['ssim']:.2f}" in text
    result = json.loads((made / "evaluation" / "report.json").read_text())
    assert result["data"]["trained_on_these"]
    assert result["data"]["n"] == len(store.ids("test"))
    assert f"{result['scores']['generated']['psnr']['mean']:.2f} ±" in text


def test_links_lead_to_files_and_commands_exist(made, page):
    assert page.links
    for link in page.links:
        assert (made / link).exists(), link
    typed = re.findall(r"^(?:<pre><code>)?orthoforge (\w+)", page.source, flags=re.MULTILINE)
    assert len(typed) >= 6
    assert set(typed) <= set(cli.COMMANDS)


def test_a_panel_is_taken_apart_as_it_was_put_together():
    rng = np.random.default_rng(0)
    masks, fakes, reals = rng.integers(0, 256, (3, 2, 24, 24, 3), dtype=np.uint8)
    for row, parts in enumerate(_panel_rows(run_files.panel(masks, fakes, reals), 24)):
        for part, whole in zip(parts, (masks, fakes, reals), strict=True):
            assert np.array_equal(part, whole[row])


def test_a_finished_demo_is_kept(made, capsys):
    before = (made / "report.html").stat().st_mtime_ns
    assert run_demo(made, EXTENT, RECIPE) == made / "report.html"
    assert "is there already" in capsys.readouterr().out
    assert (made / "report.html").stat().st_mtime_ns == before


def test_another_demos_folder_and_a_strangers_are_left_alone(made, tmp_path):
    with pytest.raises(OutputExistsError, match="other settings"):
        run_demo(made, EXTENT, load_recipe("orthoforge-xs"))
    (tmp_path / "letter.txt").write_text("dear")
    for overwrite in (False, True):
        with pytest.raises(OutputExistsError, match="not of a demo"):
            run_demo(tmp_path, EXTENT, RECIPE, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_interrupted_it_goes_on_and_ends_with_the_same_pictures(made, tmp_path, monkeypatch, capsys):
    out, stops = tmp_path / "demo", ["training", "scenes"]
    whole_train = stages.train

    def simulate(folder, **options):
        for part in ("train", "unseen"):  # those of the same seed, which are the same (tests/scenes)
            shutil.copytree(made / "scenes" / part, folder / "train", dirs_exist_ok=True)
        if stops[-1:] == ["scenes"]:
            stops.pop()
            raise KeyboardInterrupt

    def train(recipe, *args, **options):
        # As after Ctrl-C: training saves what it has and returns.
        if stops[-1:] == ["training"]:
            stops.pop()
            options["stop_after"] = 2
        return whole_train(recipe, *args, **options)

    monkeypatch.setattr(stages, "simulate", simulate)
    monkeypatch.setattr(stages, "train", train)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run_demo(out, EXTENT, RECIPE)
        assert not (out / "report.html").exists()
    said = capsys.readouterr().out
    assert said.count("he same command goes on.") == 3, "at each start, and where training stopped"
    assert "--resume" not in said, "which is no option of it"
    before = (out / "scenes" / "train" / "images" / "arden1.tif").stat().st_mtime_ns
    capsys.readouterr()
    run_demo(out, EXTENT, RECIPE)
    assert (out / "scenes" / "train" / "images" / "arden1.tif").stat().st_mtime_ns == before
    assert "simulate" not in capsys.readouterr().out
    assert len(run_files.read_results(out / "run")) == RECIPE.total_epochs
    panels = sorted(path.name for path in (made / "run" / "panels").iterdir())
    assert panels[0] == "epoch00001.png"
    first = [np.asarray(Image.open(folder / "run" / "panels" / panels[0])) for folder in (made, out)]
    assert np.array_equal(*first)


def test_overwriting_removes_the_demo_and_nothing_else(made, tmp_path, monkeypatch):
    out = tmp_path / "demo"
    out.mkdir()
    (out / JOURNAL).write_text(json.dumps({"settings": {}, "seconds": {}}))
    (out / "run").mkdir()
    (out / "run" / "old").touch()
    (out / "mine.txt").touch()
    with pytest.raises(OutputExistsError, match="Pass --overwrite"):
        run_demo(out, EXTENT, RECIPE)

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "simulate", stop)
    with pytest.raises(KeyboardInterrupt):
        run_demo(out, EXTENT, RECIPE, overwrite=True)
    assert not (out / "run").exists()
    assert (out / "mine.txt").exists()


def test_the_real_demo_uses_the_recipes_own_tiles():
    extent = Extent()
    assert load_recipe(stages.RECIPE).tiles == f"--gsd {extent.gsd_m} --size {extent.tile_px}"
    assert extent.scenes_per_place >= 2
    assert extent.scene_px % extent.tile_px == 0  # no strip of a scene is lost


def test_the_command_line_calls_it(monkeypatch):
    calls = []
    monkeypatch.setattr(demonstration, "demo", lambda *args, **options: calls.append((args, options)))
    assert cli.main(["demo", "--out", "somewhere", "--overwrite"]) == 0
    [((out,), options)] = calls
    assert (str(out), options) == ("somewhere", {"map": False, "overwrite": True})


@pytest.fixture(scope="module")
def from_map(made):
    """The second half of the demo."""
    report = run_map_demo(made, EXTENT, replace(RECIPE, epochs=1, decay_epochs=0))
    assert report == made / "map" / "report.html"
    return report.parent


def test_layers_and_labels_of_one_mask_fit_each_other(made, from_map, tmp_path):
    mask, layers = made / "scenes" / "unseen" / "gt" / "arden2.tif", from_map / "maps" / "arden2.geojson"
    generate(from_map / "run", mask, tmp_path / "out", layers=[layers], keep_mask=True, labels=["instances"], device="cpu")
    reader = MaskReader(load_style().classes)
    kept = reader.labels(tmp_path / "out" / "masks" / "arden2.tif")
    assert np.array_equal(kept, reader.labels(from_map / "land-cover" / "arden2.tif"))
    with open_raster(tmp_path / "out" / "instances" / "arden2.tif") as raster:
        numbers = raster.read()[..., 0]
    assert numbers.min() > 0 and all(len(np.unique(kept[numbers == one])) == 1 for one in np.unique(numbers))


def test_the_second_half_learns_and_generates_from_maps(made, from_map):
    store = TileStore.open(from_map / "tiles")
    assert store.classes == load_style().classes
    assert {row.scene for row in store.rows} == {"arden1", "brennau1"}
    before = TileStore.open(made / "tiles")
    building = store.classes.building
    for tile_id in range(len(before.rows)):
        images, masks = zip(*(one.tile(tile_id) for one in (store, before)), strict=True)
        assert np.array_equal(*images) and np.array_equal(masks[0] == building, masks[1] > 0)
    for one in read_mapped(made):
        paths = made / "scenes" / "unseen" / "gt" / f"{one.scene.name}.tif", from_map / "generated" / f"{one.scene.name}.tif"
        with open_raster(paths[0]) as mask, open_raster(paths[1]) as image:
            assert image.grid == mask.grid
        assert np.array_equal(one.labels == building, one.scene.mask > 0)
        assert one.fake.std() > 1 and not np.array_equal(one.fake, one.scene.fake)


def test_the_second_report_says_how_near_each_class_is(from_map):
    page = read_page((from_map / "report.html").read_text(encoding="utf-8"))
    for words in ("Streets where streets are", "generated from the map", "road", "minutes in all"):
        assert words in page.text
    assert not [address for address in page.addresses if not address.startswith("data:")]


def test_the_second_half_is_made_once(made, from_map, capsys):
    stamp = (from_map / "report.html").stat().st_mtime_ns
    run_map_demo(made, EXTENT, replace(RECIPE, epochs=1, decay_epochs=0))
    assert "is there already" in capsys.readouterr().out
    assert (from_map / "report.html").stat().st_mtime_ns == stamp


def test_colours_are_compared_class_by_class():
    labels = np.array([[0, 1], [1, 2]])
    image, real = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 7, np.uint8)
    real[0, 1] = 3
    assert levels_on(labels, 1, image, real) == 5 and np.isnan(levels_on(labels, 4, image, real))
