"""Images of other than three bands, from scenes to tiles, a run, generated images, scores and a larger data set."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rasterio.enums import ColorInterp

from conftest import make_grid, make_image, make_mask, write_tiff
from orthoforge import cli, generate, load_generator, prepare, train, utility
from orthoforge.bands import RGB, band_views, shown_bands
from orthoforge.config import load_recipe
from orthoforge.errors import CheckpointError, ConfigError, DataError
from orthoforge.evaluation.evaluate import evaluate
from orthoforge.generation.scene import place_of_name
from orthoforge.geo.grid import Window
from orthoforge.geo.rasters import open_raster
from orthoforge.growing import grow
from orthoforge.measures.segmenter.segmentation import SegmenterSettings
from orthoforge.scenes.checks import check
from orthoforge.scenes.sources import find_pairs
from orthoforge.tiles.store import TileStore, crop_batch
from orthoforge.training.state import STYLE_BANKS

NAMES = ("aba1", "oro2", "aba7", "aba9", "oro9")
FALSE_COLOUR = (3, 0, 1)
RECIPE = load_recipe(
    "orthoforge-s", tiles="", crop_px=32, generator_width=2, discriminator_width=2, batch_size=5, crops_per_tile=1, epochs=1,
    decay_epochs=1, precision="float32", ema_decay=0.8,
)  # fmt: skip
QUICK = SegmenterSettings(steps=2, batch_size=2, crop_px=32, width=2)


def four_bands(mask, seed):
    """Red, green, blue, and near infrared: dark roofs on bright ground."""
    image = make_image(mask, seed=seed)
    infrared = np.random.default_rng(seed).normal(np.where(mask > 0, 50, 190), 8)
    return np.dstack([image, np.clip(infrared, 0, 255).astype(np.uint8)])


def write_scene(data, name, seed):
    grid, mask = make_grid(2000).window(Window(0, 100 * seed, 96, 96)), make_mask(96, seed=seed)
    write_tiff(data / "images" / f"{name}.tif", four_bands(mask, seed), grid)
    write_tiff(data / "masks" / f"{name}.tif", mask, grid)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Scenes of four bands, their tiles and a run on these; and tiles of their infrared, red and green alone."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("bands")
    for seed, name in enumerate(NAMES):
        write_scene(root / "data", name, seed)
    for name, bands in (("tiles", (1, 2, 3, 4)), ("false-colour", (4, 1, 2))):
        prepare(root / "data", root / name, grid=2, size=48, split="digits", workers=1, bands=bands)
    train(RECIPE, root / "tiles", root / "run", quiet=True)
    return root


# Which bands are looked at


@given(st.integers(1, 14))
def test_networks_of_three_bands_see_every_band(count):
    views = band_views(count)
    assert {band for view in views for band in view} == set(range(count))
    assert all(len(view) == 3 for view in views)
    assert views[0] == shown_bands(count)
    assert len(views) == 1 + max(0, -(-(count - 3) // 2))


def test_bands_by_hand():
    assert [shown_bands(count) for count in (1, 2, 3, 4)] == [(0, 0, 0), (0, 1, 1), RGB, RGB]
    assert shown_bands(4, FALSE_COLOUR) == FALSE_COLOUR
    assert band_views(4) == [RGB, FALSE_COLOUR]


@pytest.mark.parametrize("wanted", [(0, 1), (0, 1, 4), (0, 1, -1), (0, 1, 2, 3)])
def test_others_than_three_bands_that_are_there_are_refused(wanted):
    with pytest.raises(ConfigError, match="three bands from 1 to 4"):
        shown_bands(4, wanted)


# Scenes and tiles


def test_check_reads_the_bands_that_are_asked_for_and_refuses_what_is_not_there(root):
    plain, chosen, missing = (check(root / "data", bands=bands) for bands in (None, (1, 2, 3, 4), (5,)))
    assert chosen.faults == 0 and plain.faults == missing.faults == len(NAMES)
    assert "If it holds a colour such as near infrared, name it too." in str(plain)
    assert "image has 4 bands, and no band 5" in str(missing)
    with pytest.raises(ConfigError, match="numbers from 1 on, each once"):
        check(root / "data", bands=(0, 1, 2))


def test_tiles_hold_each_band_as_it_would_be_cut_alone(root, tmp_path):
    prepare(root / "data", tmp_path / "one", grid=2, size=48, split="digits", workers=1, bands=(4,))
    all_four, alone, false_colour = (TileStore.open(path) for path in (root / "tiles", tmp_path / "one", root / "false-colour"))
    assert (all_four.bands, alone.bands, false_colour.bands) == (4, 1, 3)
    for tile_id in range(len(all_four.rows)):
        image, mask = all_four.tile(tile_id)
        assert image.shape == (48, 48, 4)
        assert np.array_equal(image[..., 3:], alone.tile(tile_id)[0])
        assert np.array_equal(image[..., FALSE_COLOUR], false_colour.tile(tile_id)[0])
        assert np.array_equal(mask, alone.tile(tile_id)[1])
    assert all_four.verify() == [] == all_four.showing().verify()


def test_a_store_shows_three_bands_and_one_of_three_is_itself(root):
    four, three = TileStore.open(root / "tiles"), TileStore.open(root / "false-colour")
    assert np.array_equal(four.showing(FALSE_COLOUR).tile(3)[0], three.tile(3)[0])
    assert np.array_equal(four.showing().tile(3)[0], four.tile(3)[0][..., :3])
    assert three.showing() is three


@pytest.mark.parametrize("flips", ["none", "dihedral"])
def test_all_bands_of_a_crop_lie_alike(root, flips):
    store = TileStore.open(root / "tiles")
    ids, keys = store.ids("train"), [(7, number) for number in range(len(store.ids("train")))]
    whole, shown = (crop_batch(some, ids, crop_px=24, flips=flips, keys=keys) for some in (store, store.showing(FALSE_COLOUR)))
    assert whole.image.shape[3] == 4
    assert np.array_equal(whole.image[..., FALSE_COLOUR], shown.image)
    assert np.array_equal(whole.mask, shown.mask)


def test_a_store_knows_that_it_was_made_with_other_bands(root, tmp_path):
    data, options = root / "data", {"grid": 2, "size": 48, "split": "digits", "workers": 1}
    prepare(data, tmp_path / "tiles", bands=(1, 2, 3), **options)
    assert "bands" in json.loads((tmp_path / "tiles" / "store.json").read_text())["settings"]
    with pytest.raises(Exception, match="made with other settings"):
        prepare(data, tmp_path / "tiles", bands=(3, 2, 1), **options)
    with pytest.raises(ConfigError, match="numbers from 1 on, each once"):
        prepare(data, tmp_path / "others", bands=(0, 1), **options)


# A run, and its images


def test_all_that_a_run_keeps_has_four_bands_and_goes_on_to_the_same_bits(root, tmp_path):
    generator = load_generator(root / "run")
    assert generator.bands == 4
    ground = generator.network.get_buffer(STYLE_BANKS[2])
    assert ground.shape[2] == 4 * 16 * 16 and ground.abs().amax() > 0
    train(RECIPE, root / "tiles", tmp_path / "run", quiet=True, stop_after=1)
    train(RECIPE, root / "tiles", tmp_path / "run", quiet=True, resume=True)
    resumed = load_generator(tmp_path / "run").network.state_dict()
    for name, tensor in generator.network.state_dict().items():
        assert torch.equal(tensor, resumed[name]), name


def test_what_is_learned_of_a_band_reaches_that_band(root, tmp_path):
    """Ground colours of the bank are those of the tiles: infrared is bright on ground, whatever the other bands are."""
    network = load_generator(root / "run").network
    ground = network.get_buffer(STYLE_BANKS[2]).unflatten(2, (4, 16 * 16)).mean(dim=(0, 1, 3))
    assert 127.5 * (ground[3] + 1) == pytest.approx(190, abs=10)
    assert 127.5 * (ground[:3] + 1) == pytest.approx(np.array([90, 100, 70]), abs=10)


@pytest.mark.parametrize("changes", [
    {"generator": "resnet6", "discriminator": "patch", "gan_loss": "lsgan"},
    {"generator": "unet256", "discriminator": "pixel", "gan_loss": "wgan-gp", "discriminator_norm": "none"},
], ids=["resnet and PatchGAN", "U-Net and PixelGAN"])  # fmt: skip
def test_other_networks_learn_four_bands_too(root, tmp_path, changes):
    size = {"crop_px": 256} if changes["generator"] == "unet256" else {}
    if size:
        prepare(root / "data", tmp_path / "tiles", size=256, split="digits", workers=1, bands=(1, 2, 3, 4))
    quick = {"generator_width": 2, "discriminator_width": 2, "epochs": 1, "decay_epochs": 0, "precision": "float32", "crop_px": 32}
    recipe = load_recipe("tiny", **quick | {"batch_size": 2} | changes | size)
    run = train(recipe, tmp_path / "tiles" if size else root / "tiles", tmp_path / "run", quiet=True)
    assert load_generator(run)(make_mask(48)).shape == (48, 48, 4)


def test_images_are_geotiffs_of_four_bands_of_which_none_is_alpha(root, tmp_path):
    mask = root / "data" / "masks" / "aba9.tif"
    (path,) = generate(root / "run", [mask], tmp_path / "image.tif", seed=3)
    with open_raster(mask) as given, open_raster(path) as made:
        assert made.read().std(axis=(0, 1)).min() > 1
        assert made.grid == given.grid and not made.has_alpha
        assert made._dataset.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined)
    generator, anywhere = load_generator(root / "run"), make_mask(48)
    (path,) = generate(root / "run", [write_tiff(tmp_path / "anywhere.tif", anywhere)], tmp_path / "other.tif", seed=3)
    with open_raster(path) as made:
        pixels = made.read()
    place = place_of_name("anywhere")
    assert np.array_equal(pixels, generator(anywhere, seed=3, origin=place))
    shown = generator.showing(FALSE_COLOUR)(anywhere, seed=3, origin=place)
    assert np.array_equal(pixels[..., FALSE_COLOUR], shown)
    with pytest.raises(ConfigError, match=r"a PNG holds one band or three; images of 4 are written as \.tif"):
        generate(root / "run", [mask], tmp_path / "image.png")
    with pytest.raises(ConfigError, match="jpeg is for images of three bands"):
        generate(root / "run", [mask], tmp_path / "lossy.tif", compress="jpeg")


def test_a_reference_image_has_the_bands_of_the_run(root, tmp_path):
    mask, image = (root / "data" / folder / "aba9.tif" for folder in ("masks", "images"))
    generate(root / "run", [mask], tmp_path / "image.tif", style=image)
    write_tiff(tmp_path / "rgb.tif", four_bands(make_mask(), 0)[..., :3])
    with pytest.raises(DataError, match="image has 3 bands; the run's images, and so a reference image, have 4"):
        generate(root / "run", [mask], tmp_path / "other.tif", style=tmp_path / "rgb.tif")
    with pytest.raises(DataError, match=r"of shape \(height, width, 4\)"):
        load_generator(root / "run").with_style(np.zeros((64, 64, 3), np.uint8))


def test_weights_of_other_bands_are_not_taken_over(root, tmp_path):
    with pytest.raises(CheckpointError, match="makes images of 4 bands, the tiles have 3"):
        train(RECIPE, root / "false-colour", tmp_path / "run", init_from=root / "run", quiet=True)


def test_a_published_folder_says_how_many_bands_its_images_have(root, tmp_path):
    generator = load_generator(root / "run")
    folder = generator.save_pretrained(tmp_path / "town-s")
    again = load_generator(folder)
    assert again.bands == 4
    assert again(make_mask(48)).shape == (48, 48, 4)
    card, item = (folder / "README.md").read_text(), json.loads((folder / "stac-item.json").read_text())
    assert "| image | 4 bands, 8 bits; any size |" in card and "image (H, W, 4) uint8" in card
    assert item["properties"]["mlm:output"][0]["result"]["shape"] == [-1, 4, -1, -1]


# Scores


def test_scores_look_at_the_bands_that_are_asked_for(root, tmp_path):
    """Images that are wrong in infrared alone are perfect to a look at red, green and blue."""
    store = TileStore.open(root / "tiles")
    for tile_id in store.ids("test").tolist():
        row = store.rows[tile_id]
        image = store.tile(tile_id)[0].copy()
        image[..., 3] = image[..., 3] // 2
        write_tiff(tmp_path / "images" / f"{row.scene}_{row.window.row}_{row.window.col}.tif", image, row.grid)
    visible = evaluate(tmp_path / "images", root / "tiles", tmp_path / "visible")
    infrared = evaluate(tmp_path / "images", root / "tiles", tmp_path / "infrared", bands=(4, 1, 2))
    assert visible["data"]["bands"] == [1, 2, 3] and infrared["data"]["bands"] == [4, 1, 2]
    assert "4, 1, 2 of 4, as red, green and blue" in (tmp_path / "infrared" / "report.html").read_text()
    assert "Of 4 bands only 1, 2, 3 were looked at. --bands chooses others." in visible["warnings"]
    halves = [store.tile(tile_id)[0][..., 3] for tile_id in store.ids("test").tolist()]
    off = np.mean([(half - half // 2).astype(float).mean() for half in halves]) / 3
    assert visible["scores"]["generated"]["l1_levels"]["mean"] == 0
    assert infrared["scores"]["generated"]["l1_levels"]["mean"] == pytest.approx(off)
    with pytest.raises(ConfigError, match="three bands from 1 to 4"):
        evaluate(tmp_path / "images", root / "tiles", tmp_path / "none", bands=(1, 2, 5))
    write_tiff(tmp_path / "images" / "another.tif", np.zeros((48, 48, 3), np.uint8))
    with pytest.raises(DataError, match=r"another\.tif: image has 3 bands, the tiles in .* have 4"):
        evaluate(tmp_path / "images", root / "tiles", tmp_path / "none")


def test_a_run_is_scored_as_one_of_these_three_bands_would_be(root, tmp_path, capsys):
    options = ["--data", str(root / "tiles"), "--out", str(tmp_path / "report"), "--bands", "4", "1", "2"]
    assert cli.main(["evaluate", str(root / "run"), *options]) == 0
    result = json.loads((tmp_path / "report" / "report.json").read_text())
    store, generator = TileStore.open(root / "false-colour"), load_generator(root / "run").showing(FALSE_COLOUR)
    for row in result["tiles"]:
        real, mask = store.tile(row["id"])
        place = generator.with_style(store.rows[row["id"]].place)
        made = place(mask, seed=1_000_000 * row["id"])
        assert row["generated"]["l1_levels"] == pytest.approx(np.abs(made.astype(float) - real).mean())
    with pytest.raises(DataError, match=r"its images have 3 bands, those of .* 4"):
        evaluate(root / "run", root / "false-colour", tmp_path / "other")


def test_utility_and_compare_take_runs_of_four_bands(root, tmp_path):
    result = utility(
        root / "run", root / "tiles", tmp_path / "utility", ratios=[1], fractions=[1.0], seeds=1, steps=1, segmenter=QUICK
    )
    synthetic = TileStore.open(tmp_path / "utility" / "synthetic")
    assert synthetic.bands == 3 and result["synthetic"]["n"] == len(synthetic.rows)
    with pytest.raises(ConfigError, match=r"makes images of 4 bands; those in .* have 3"):
        utility(root / "run", root / "false-colour", tmp_path / "other", seeds=1, steps=1, segmenter=QUICK)
    assert cli.main(["compare", str(root / "run"), "--out", str(tmp_path / "compared.html")]) == 0
    page = (tmp_path / "compared.html").read_text()
    assert "No pictures and no scores" not in page
    unseen = "Of 4 bands only 1, 2, 3 were looked at."
    assert unseen in page and unseen in result["warnings"]
    options = ["--data", str(root / "false-colour"), "--out", str(tmp_path / "others.html")]
    assert cli.main(["compare", str(root / "run"), *options]) == 0
    assert "have 3 bands, the run" in (tmp_path / "others.html").read_text()


def test_a_data_set_grows_by_images_of_four_bands(root, tmp_path):
    grow(root / "run", root / "data", tmp_path / "more", ratio=0.5, least_agreement=0.01, segmenter=QUICK)
    kinds = {}
    for pair in find_pairs(tmp_path / "more").pairs:
        with open_raster(pair.image) as image:
            kinds[pair.name] = (image.tags().get("SYNTHETIC"), image.band_count)
    assert set(kinds.values()) <= {(None, 4), ("YES", 4)} and (None, 4) in kinds.values()
    run = train(RECIPE, root / "false-colour", tmp_path / "run", quiet=True)
    with pytest.raises(ConfigError, match=r"was trained on bands \[4, 1, 2\] of the scenes"):
        grow(run, root / "data", tmp_path / "other", ratio=0.5, least_agreement=0)
