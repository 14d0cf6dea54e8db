"""Scenes of a generator that refines material: blocks meet, places give their own, and nothing is needed of a mask."""

import copy
import dataclasses
import json
import shutil

import numpy as np
import pytest

from conftest import make_grid, write_tiff
from material_runs import TOWN, refiner
from orthoforge.checkpoints import MATERIAL
from orthoforge.errors import CheckpointError, ConfigError, OutputExistsError
from orthoforge.files import sha256_of
from orthoforge.generation import generate
from orthoforge.generation.outputs import is_made, synthetic_tags
from orthoforge.generation.scene import Scene
from orthoforge.geo.grid import Window
from orthoforge.geo.rasters import read_tags
from orthoforge.hub import publish
from orthoforge.material.canvas import Composer
from orthoforge.material.packing import pack
from orthoforge.trained_generator import TrainedGenerator, load_generator


class Mask:
    """A mask (H, W) in memory, as a scene reads it."""

    def __init__(self, values, grid):
        self._values, self.grid = values, grid

    def read(self, window):
        return self._values[window.slices], None

    def valid(self, window):
        return None


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return refiner(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def generator(run):
    return load_generator(run)


def scene_of(generator, values=TOWN, **options):
    mask = Mask(values, make_grid(values.shape, gsd_m=0.5))
    return Scene(generator, mask, mask, seed=5, **options)


def test_blocks_are_the_scene_in_one_piece(generator):
    scene = scene_of(generator)
    whole = scene.whole().image
    for window in (Window(0, 0, 96, 128), Window(96, 0, 96, 128), Window(130, 77, 61, 83)):
        block = scene.block(window).image
        assert np.abs(block.astype(int) - whole[window.slices]).max() <= 1


def test_pixels_are_counted_by_the_tile_that_they_come_from(generator):
    scene = scene_of(generator)
    whole, height, width = scene.whole().pixels_of, *TOWN.shape
    assert whole.shape == (len(generator.library),) and whole.sum() == TOWN.size and (whole > 0).sum() > 1
    parts = [Window(0, 0, 96, width), Window(96, 0, height - 96, 100), Window(96, 100, height - 96, width - 100)]
    np.testing.assert_array_equal(sum(scene.block(part).pixels_of for part in parts), whole)


def test_an_image_is_made_of_the_library(generator):
    image = scene_of(generator).whole()[0].astype(int)
    red = image[..., 0] > image[..., 1]
    inner = TOWN & np.roll(TOWN, 4, 0) & np.roll(TOWN, -4, 0) & np.roll(TOWN, 4, 1) & np.roll(TOWN, -4, 1)
    assert red[inner].mean() > 0.9
    assert red[~TOWN].mean() < 0.3


@pytest.mark.parametrize("values", [np.zeros((50, 40), bool), np.ones((50, 40), bool), np.ones((1, 1), bool)])
def test_masks_without_buildings_or_without_ground(generator, values):
    assert generator(values).shape == (*values.shape, 3)


def test_seed_and_origin_decide(generator):
    image = generator(TOWN, seed=1)
    np.testing.assert_array_equal(generator(TOWN, seed=1), image)
    assert np.abs(generator(TOWN, seed=2).astype(int) - image).mean() > 1
    assert np.abs(generator(TOWN, seed=1, origin=(5000, 0)).astype(int) - image).mean() > 1


@pytest.fixture(scope="module")
def changing(run):
    """A generator whose network changes its canvases by many levels."""
    generator = load_generator(run)
    for weights in generator.network.parameters():
        weights.data.mul_(3)
    return generator


def test_the_refinement_is_the_share_of_the_networks_changes_that_an_image_gets(changing):
    canvas, full = changing.told(TOWN, seed=3).values, changing(TOWN, seed=3)
    assert np.abs(full.astype(int) - canvas).mean() > 2
    np.testing.assert_array_equal(changing.with_refinement(0)(TOWN, seed=3), canvas)
    np.testing.assert_array_equal(changing.with_refinement(1)(TOWN, seed=3), full)
    half = changing.with_refinement(0.5)(TOWN, seed=3)
    assert np.abs(half - (full.astype(float) + canvas) / 2).max() <= 0.5
    part = changing.with_refinement(0.5)(TOWN, seed=3, part=(slice(40, 90), slice(8, 70)))
    assert np.abs(part.astype(int) - half[40:90, 8:70]).max() <= 1


@pytest.mark.parametrize("refinement", [0, 0.5])
def test_blocks_and_images_made_together_have_the_refinement(changing, refinement):
    generator = changing.with_refinement(refinement)
    scene = scene_of(generator)
    whole, window = scene.whole().image, Window(130, 77, 61, 83)
    assert np.abs(scene.block(window).image.astype(int) - whole[window.slices]).max() <= 1
    parts = [TOWN[:96, :80], TOWN[96:, 80:]]
    together = generator.together(parts, seeds=[1, 2], origins=[(0, 0), (96, 80)])
    alone = [generator(part, seed=seed, origin=at) for part, seed, at in zip(parts, (1, 2), ((0, 0), (96, 80)), strict=True)]
    assert max(np.abs(one.astype(int) - other).max() for one, other in zip(together, alone, strict=True)) <= 1


def test_no_network_is_asked_where_nothing_is_refined(run, monkeypatch):
    generator = load_generator(run).with_refinement(0)
    monkeypatch.setattr(type(generator.network), "made", lambda *_, **__: pytest.fail("the network was asked"))
    assert generator(TOWN).shape == (*TOWN.shape, 3)


def test_no_margin_is_composed_where_no_network_looks_at_it(generator, monkeypatch):
    bare, composed, canvas = generator.with_refinement(0), [], Composer.canvas
    assert generator.with_refinement(0.5).reach_px == generator.reach_px > 0 == bare.reach_px
    monkeypatch.setattr(Composer, "canvas", lambda self, window: composed.append(window) or canvas(self, window))
    scene_of(bare).block(Window(64, 32, 48, 64))
    assert composed == [Window(64, 32, 48, 64)]


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_refinement_is_a_share(generator, share):
    with pytest.raises(ConfigError, match="from 0"):
        generator.with_refinement(share)


def test_what_refines_nothing_has_no_refinement():
    with pytest.raises(ConfigError, match="refines no canvas"):
        load_generator("orthoforge-s").with_refinement(0.5)


def test_what_composes_nothing_has_no_sun():
    with pytest.raises(ConfigError, match="no material to light"):
        load_generator("orthoforge-s").with_sun(90)


def test_a_sun_is_an_azimuth_and_none_is_that_of_the_material(generator):
    with pytest.raises(ConfigError, match="clockwise from north"):
        generator.with_sun(400)
    north, plain = generator.with_sun(0), generator(TOWN, seed=3)
    assert np.abs(north(TOWN, seed=3).astype(int) - plain).mean() > 1
    np.testing.assert_array_equal(north.with_sun(None)(TOWN, seed=3), plain)
    scene = scene_of(north)
    whole, window = scene.whole().image, Window(130, 77, 61, 83)
    assert np.abs(scene.block(window).image.astype(int) - whole[window.slices]).max() <= 1


def test_files_say_their_sun_and_another_one_is_another_image(generator, tmp_path):
    mask = write_tiff(tmp_path / "town.tif", TOWN.astype(np.uint8), make_grid(TOWN.shape, gsd_m=0.5))
    paths = generate(generator, [mask], tmp_path / "made", variants=2, sun=225)
    assert {read_tags(path)["SUN_AZIMUTH"] for path in paths} == {"225"}
    assert generate(generator, [mask], tmp_path / "made", variants=2, sun=225) == paths, "kept"
    for sun in (45, None):
        with pytest.raises(OutputExistsError, match="with other settings"):
            generate(generator, [mask], tmp_path / "made", variants=2, sun=sun)


def test_files_say_their_refinement_and_another_one_is_another_image(changing, tmp_path):
    mask = write_tiff(tmp_path / "town.tif", TOWN.astype(np.uint8), make_grid(TOWN.shape, gsd_m=0.5))
    paths = generate(changing, [mask], tmp_path / "made", variants=2, refinement=0.25)
    assert {read_tags(path)["REFINEMENT"] for path in paths} == {"0.25"}
    before = [path.stat().st_mtime_ns for path in paths]
    generate(changing, [mask], tmp_path / "made", variants=2, refinement=0.25)
    assert [path.stat().st_mtime_ns for path in paths] == before, "kept"
    with pytest.raises(OutputExistsError, match="with other settings, or by another version"):
        generate(changing, [mask], tmp_path / "made", variants=2)
    with pytest.raises(OutputExistsError, match="made with another seed"):
        generate(changing, [mask], tmp_path / "made", variants=2, refinement=0.25, seed=7)
    generate(changing, [mask], tmp_path / "full.tif")
    assert "REFINEMENT" not in read_tags(tmp_path / "full.tif")


def test_a_style_takes_the_material_of_its_place(generator):
    assert generator.styles == ("place0", "place1")
    tones = [generator.with_style(place)(np.zeros((96, 96), bool), seed=1).mean() for place in generator.styles]
    assert tones[1] - tones[0] > 10
    photo = generator.library.images[1]
    assert generator.with_style(photo)(np.zeros((96, 96), bool)).shape == (96, 96, 3)


def test_weights_without_their_library_are_refused(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "weights/last/material.zip").unlink()
    with pytest.raises(CheckpointError, match=r"material\.zip: missing; it holds the roofs and the ground"):
        load_generator(copy)


def test_the_library_goes_along_when_it_is_published(generator, tmp_path):
    folder = generator.save_pretrained(tmp_path / "town-material", name="town-material")
    again = load_generator(folder)
    assert again.material == generator.material
    assert "material.zip" in (folder / "README.md").read_text()
    assert np.abs(again(TOWN, seed=3).astype(int) - generator(TOWN, seed=3)).max() <= 3  # weights are kept as float16


@pytest.mark.parametrize("share", [0, 0.25, 1])
def test_a_published_folder_says_how_much_its_network_changes_by_default(run, generator, share, tmp_path):
    folder = publish(run, tmp_path / "town-material", refinement=share)
    published = load_generator(folder)
    assert published.refinement == share
    again = published.save_pretrained(tmp_path / "again-material")
    assert load_generator(again).refinement == share
    assert load_generator(published.with_refinement(0.5).save_pretrained(tmp_path / "half-material")).refinement == 0.5
    said = {0: "by default the network changes nothing of the canvas", 0.25: "by default images get 25% of what", 1: ""}[share]
    assert said in (folder / "README.md").read_text()
    canvas = generator.told(TOWN, seed=3).values
    assert (published(TOWN, seed=3) == canvas).all() == (share == 0)
    mask = write_tiff(tmp_path / "town.tif", TOWN.astype(np.uint8), make_grid(TOWN.shape, gsd_m=0.5))
    tags = read_tags(generate(published, [mask], tmp_path / "made.tif")[0])
    assert tags.get("REFINEMENT") == {0: "0", 0.25: "0.25", 1: None}[share]


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_folder_is_not_published_with_what_is_no_share(run, share, tmp_path):
    with pytest.raises(ConfigError, match="a share from 0"):
        publish(run, tmp_path / "town-material", refinement=share)
    assert not (tmp_path / "town-material").exists()


def test_tags_and_stac_item_say_whose_pixels_an_image_holds(generator, run, tmp_path):
    mask = write_tiff(tmp_path / "town.tif", TOWN.astype(np.uint8), make_grid(TOWN.shape, gsd_m=0.5))
    (path,) = generate(generator, [mask], tmp_path / "out" / "town.tif")
    checksum = sha256_of(run / "weights" / "last" / MATERIAL)
    tags = read_tags(path)
    assert tags["MATERIAL_SHA256"] == checksum
    assert tags["MATERIAL_SOURCES"] == "no attribution was given (8 tiles)"
    shares = json.loads(tags["MATERIAL_SHARES"])
    assert set(shares) <= {f"town{number}" for number in range(8)} and sum(shares.values()) == pytest.approx(1, abs=1e-3)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    properties = json.loads(path.with_suffix(".json").read_bytes())["properties"]
    assert properties["orthoforge:material_shares"] == shares
    assert properties["orthoforge:material_sha256"] == checksum
    assert properties["orthoforge:material_sources"] == tags["MATERIAL_SOURCES"]
    named = copy.copy(generator)
    named.attribution = "© Survey"
    assert synthetic_tags(named, 0, mask, "")["MATERIAL_SOURCES"] == "© Survey (8 tiles)"


def test_a_scene_of_blocks_says_the_same_shares_also_when_it_goes_on(generator, tmp_path, monkeypatch):
    mask = write_tiff(tmp_path / "town.tif", TOWN.astype(np.uint8), make_grid(TOWN.shape, gsd_m=0.5))
    (whole,) = generate(generator, [mask], tmp_path / "whole" / "town.tif", seed=5)
    monkeypatch.setattr(Scene, "block_side_px", lambda self, at_once=1: 80)
    folder = tmp_path / "blocks"
    with monkeypatch.context() as patch:
        patch.setattr("orthoforge.generation.batch.assemble", lambda *args, **options: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            generate(generator, [mask], folder / "town.tif", seed=5)
    (path,) = generate(generator, [mask], folder / "town.tif", seed=5)
    assert read_tags(path)["MATERIAL_SHARES"] == read_tags(whole)["MATERIAL_SHARES"]


def test_an_image_of_another_library_is_not_kept(generator, tmp_path):
    mask = write_tiff(tmp_path / "town.tif", TOWN.astype(np.uint8), make_grid(TOWN.shape, gsd_m=0.5))
    library = dataclasses.replace(generator.library, images=255 - generator.library.images)
    other = TrainedGenerator(dataclasses.replace(generator.saved, material=pack(library)), device="cpu")
    requests = []
    for number, one in enumerate((generator, other)):
        (path,) = generate(one, [mask], tmp_path / str(number) / "town.tif")
        requests.append(read_tags(path)["REQUEST_SHA256"])
    assert requests[0] != requests[1]
    with pytest.raises(OutputExistsError, match="Pass --overwrite"):
        is_made(tmp_path / "0" / "town.tif", read_tags(tmp_path / "1" / "town.tif"))
