"""Tiles of one's own as the material of weights that never saw them: their pixels, their places, and who is named for them."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import make_grid, write_tiff
from made_runs import make_run
from material_runs import TOWN, refiner
from orthoforge.errors import ConfigError, DataError
from orthoforge.files import sha256_of
from orthoforge.generation import generate
from orthoforge.geo.rasters import read_tags
from orthoforge.masks.classes import Classes
from orthoforge.models.conditions import encode_image
from orthoforge.networks import new_generator
from orthoforge.tiles.prepare import prepare
from orthoforge.trained_generator import TrainedGenerator, given_material, load_generator

VILLAGE = TOWN[:96, :80]
EMPTY = np.zeros((32, 32), bool)
GREY_ROOFS, BLUE_GROUND = (120, 120, 130), (60, 70, 120)


def scene(data, name, brighter):
    """A town on bluish ground, as no tile of the run's own material has it."""
    noise = np.random.default_rng(len(name)).normal(0, 4, (*TOWN.shape, 1))
    image = np.where(TOWN[..., None], GREY_ROOFS, BLUE_GROUND) + noise + brighter
    grid = make_grid(TOWN.shape, gsd_m=0.5)
    write_tiff(data / "images" / f"{name}.tif", np.clip(image, 0, 255).astype(np.uint8), grid)
    write_tiff(data / "gt" / f"{name}.tif", TOWN.astype(np.uint8) * 255, grid)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Training tiles of the places heath and, brighter, mead; heath7 is for validation, and black."""
    root = tmp_path_factory.mktemp("tiles")
    for name, brighter in (("heath1", 0), ("mead1", 80), ("heath7", -255)):
        scene(root / "data", name, brighter)
    return prepare(root / "data", root / "tiles", gsd=0.5, size=80, split="digits", attribution="© Heath", workers=1)


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    return load_generator(refiner(tmp_path_factory.mktemp("run"), attribution="© Survey"))


@pytest.fixture(scope="module")
def given(generator, store):
    return generator.with_material(store.path)


def is_blue(image):
    return image[..., 2].astype(int) > image[..., 0]


def test_an_image_is_made_of_the_tiles_given(generator, given):
    before = generator(VILLAGE, seed=3)
    image = given(VILLAGE, seed=3)
    assert is_blue(image).mean() > 0.9 > 0.5 > is_blue(before).mean()
    assert image.mean() > 60  # what is for validation, black, is not in it
    assert (generator.styles, len(generator.library)) == (("place0", "place1"), 8)
    np.testing.assert_array_equal(generator(VILLAGE, seed=3), before)
    assert all(a is b for a, b in zip(generator.network.parameters(), given.network.parameters(), strict=True))


def test_styles_are_the_places_of_the_tiles(given):
    assert given.styles == ("heath", "mead")
    heath, mead = (given.with_style(place)(EMPTY, seed=1).mean() for place in given.styles)
    assert mead - heath > 50
    by_seed = [given(EMPTY, seed=seed).mean() for seed in range(8)]
    assert min(by_seed) < heath + 20 < mead - 20 < max(by_seed)
    with pytest.raises(ConfigError, match="it knows heath, mead"):
        given.with_style("place0")


def test_looks_are_what_the_networks_own_encoder_sees(given):
    bank, library = given.network.styles, given.library
    of_mead = library.images[library.of_place(1)]
    codes = given.network.style_encoder(encode_image(torch.from_numpy(of_mead)))
    assert bank.looks(1) == len(of_mead)
    torch.testing.assert_close(bank.codes[1, : len(codes)], codes)
    roofs = (bank.roofs[1, : len(codes)].mean(dim=(0, 1)) + 1) * 127.5
    torch.testing.assert_close(roofs, torch.tensor(GREY_ROOFS) + 80.0, atol=8, rtol=0)


def test_of_classes_the_one_called_building_counts(generator, given, store):
    """In the tiles, whose masks hold it as 0 here, and in the network, whose third channel shows it."""
    road_last = replace(store, classes=Classes(("building", "road"), (((0, 0, 255),), ((0, 0, 0),))))
    np.testing.assert_array_equal(generator.with_material(road_last).library.masks, ~given.library.masks)
    classes = Classes(("road", "water", "building"), ((), (), ()))
    network = new_generator(generator.recipe, classes, places=2)
    of_classes = TrainedGenerator(replace(generator.saved, network=network), device="cpu").with_material(store)
    torch.testing.assert_close(of_classes.network.styles.roofs, given.network.styles.roofs)


def test_classes_of_tiles_become_those_of_the_network_by_their_names(generator, store, tmp_path):
    tiles = replace(store, classes=Classes(("Building", "marsh"), (((0, 0, 0),), ((255, 0, 0),))))
    assert generator.with_material(tiles).library.classes is None  # it knows buildings alone
    told = load_generator(refiner(tmp_path / "run", classes=Classes(("road", "building"), ((), ()))))
    library = told.with_material(tiles).library
    assert library.masks.any() and not library.masks.all()
    np.testing.assert_array_equal(library.classes, np.where(library.masks, 1, 2))  # marsh is none of its classes


def test_a_reference_image_stays_the_style_and_a_place_that_is_gone_does_not(generator, store):
    photo = generator.library.images[1]
    styled = generator.with_style(photo).with_material(store)
    assert styled.own_style == generator.with_style(photo).own_style
    assert is_blue(styled(VILLAGE)).mean() > 0.9
    with pytest.raises(ConfigError, match="style of place1, a place of its own material"):
        generator.with_style("place1").with_material(store)


def test_the_network_is_left_out_of_images_of_given_material_until_it_is_asked_for(generator, given, store, tmp_path):
    assert (generator.refinement, given.refinement) == (1, 0)
    np.testing.assert_array_equal(given(VILLAGE, seed=2), given.told(VILLAGE, seed=2).values)
    mask = write_tiff(tmp_path / "mask.tif", VILLAGE.astype(np.uint8), make_grid(VILLAGE.shape, gsd_m=0.5))
    said = [
        read_tags(generate(generator, [mask], tmp_path / f"{name}.tif", material_from=store.path, refinement=share)[0]).get(
            "REFINEMENT"
        )
        for name, share in (("left", None), ("half", 0.5), ("all", 1.0))
    ]
    assert said == ["0", "0.5", None]


def test_files_say_whose_material_they_show_and_get_the_place_of_their_name(generator, given, store, tmp_path):
    grid = make_grid(VILLAGE.shape, gsd_m=0.5)
    masks = [write_tiff(tmp_path / f"{place}_1.tif", VILLAGE.astype(np.uint8), grid) for place in ("heath", "mead")]
    paths = generate(generator, masks, tmp_path / "given", style="by-name", material_from=store.path)
    heath, mead = map(read_tags, paths)
    assert (heath["STYLE"], mead["STYLE"]) == ("heath", "mead")
    assert heath["MATERIAL_SHA256"] == given.material_sha256 != generator.material_sha256
    assert heath["MATERIAL_SOURCES"] == f"© Heath ({len(store.ids('train'))} tiles)"
    assert heath["SOURCE_ATTRIBUTION"] == "© Survey; © Heath"
    (kept,) = generate(generator, masks[:1], tmp_path / "own", material_from=store.path)
    (own,) = generate(generator, masks[:1], tmp_path / "own material")
    assert read_tags(own)["SOURCE_ATTRIBUTION"] == "© Survey"
    assert read_tags(own)["REQUEST_SHA256"] != read_tags(kept)["REQUEST_SHA256"]


def test_of_many_tiles_some_of_each_scene_are_taken_and_their_number_is_told(generator, store, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(given_material, "MOST_OF_A_PLACE", 1)
    few = generator.with_material(store)
    assert len(few.library) == len(few.styles) == 2 < len(store.ids("train"))
    write_tiff(tmp_path / "heath.tif", EMPTY.astype(np.uint8), make_grid(EMPTY.shape, gsd_m=0.5))
    generate(generator, tmp_path / "heath.tif", tmp_path / "made", material_from=store.path)
    assert "material: 2 tiles of heath, mead;" in capsys.readouterr().err


def test_it_is_kept_with_the_refinement_that_was_asked_for(generator, given, store, tmp_path):
    assert load_generator(given.with_refinement(1).save_pretrained(tmp_path / "all-material")).refinement == 1
    half = load_generator(generator.with_refinement(0.5).save_pretrained(tmp_path / "half-material"))
    assert (half.refinement, half.with_material(store).refinement) == (0.5, 0)


def test_it_can_be_kept(given, tmp_path):
    folder = given.save_pretrained(tmp_path / "heath-material", name="heath-material")
    again = load_generator(folder)
    assert (again.styles, again.attribution, again.material) == (given.styles, "© Survey; © Heath", given.material)
    assert sha256_of(folder / "material.zip") == given.material_sha256
    assert np.abs(again(VILLAGE, seed=3).astype(int) - given(VILLAGE, seed=3)).max() <= 3  # weights are kept as float16
    card = (folder / "README.md").read_text()
    assert "not trained on these tiles, which were given to it afterwards (attribution: © Heath)" in card
    assert "as given with the training tiles: © Survey" in card


WITHOUT_BUILDINGS = Classes(("road", "water"), (((0, 0, 0),), ((0, 0, 255),)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shown": (0, 1)}, "its tiles have 2 bands, orthoforge-material makes images of 3"),
        ({"gsd_m": 0.3}, r"its tiles have 0\.3 m a pixel, .* trained at 0\.5 m; .* --gsd 0\.5"),
        ({"classes": WITHOUT_BUILDINGS}, r"no class is called building.* Prepare tiles of masks"),
        ({"rows": ()}, "has 0 training tiles"),
    ],
)
def test_tiles_that_do_not_fit(generator, store, changes, message):
    with pytest.raises(DataError, match=message):
        generator.with_material(replace(store, **changes))


def test_damaged_tiles_are_refused(generator, store, tmp_path):
    copy = shutil.copytree(store.path, tmp_path / "tiles")
    shard = next((copy / "together").glob("*.images.npy"))
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DataError, match=rf"{store.rows[-1].scene} at row .* checksums differ"):
        generator.with_material(copy)


def test_a_network_that_makes_everything_itself_takes_none(store, tmp_path):
    with pytest.raises(ConfigError, match="makes roofs and ground itself"):
        load_generator(make_run(tmp_path / "run", store)).with_material(store)
