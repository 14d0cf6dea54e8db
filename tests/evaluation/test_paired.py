"""``evaluate``: the numbers are those of the images, and the report says what they belong to."""

import json
import shutil

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from conftest import make_dataset
from orthoforge import cli
from orthoforge.checkpoints import load_generator
from orthoforge.config import Recipe
from orthoforge.errors import ConfigError, DataError, OutputExistsError
from orthoforge.evaluation import paired
from orthoforge.evaluation.paired import detail_levels, evaluate, mean_colours, overlap_statement, tile_scores
from orthoforge.evaluation.report import Html
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore
from orthoforge.training import train
from pages import read_page

RECIPE = Recipe(
    name="speck", crop_px=32, batch_size=4, generator="resnet6", generator_width=2, discriminator_width=2, norm="batch", epochs=1,
    decay_epochs=0, precision="float32",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run, and the tiles of two places that it was trained on: 8 to train, 4 to validate, 4 to test."""
    torch.set_num_threads(1)  # with more, tiny networks wait for each other's threads
    root = tmp_path_factory.mktemp("evaluate")
    data = make_dataset(root / "data", ("aba1", "oro2", "aba7", "aba9", "oro9"), 96)
    prepare(data, root / "tiles", grid=2, size=40, split="digits", workers=1)
    train(RECIPE, root / "tiles", root / "run", quiet=True)
    evaluate(root / "run", root / "tiles", root / "report")
    return root


@pytest.fixture(scope="module")
def result(folder):
    return json.loads((folder / "report" / "report.json").read_text())


def test_every_score_is_that_of_the_generated_tile(folder, result):
    store, generator = TileStore.open(folder / "tiles"), load_generator(folder / "run")
    assert [row["id"] for row in result["tiles"]] == store.ids("test").tolist()
    for row in result["tiles"]:
        real, mask = store.tile(row["id"])
        fake = generator(mask).astype(float)
        error = fake - real
        similarity = structural_similarity(
            fake, real.astype(float), data_range=255, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert row["generated"]["psnr"] == pytest.approx(10 * np.log10(255**2 / (error**2).mean()), abs=1e-4)
        assert row["generated"]["psnr_seed"] == pytest.approx(row["generated"]["psnr"] - 20 * np.log10(2))
        assert row["generated"]["l1_levels"] == pytest.approx(np.abs(error).mean())
        assert row["generated"]["ssim"] == pytest.approx(similarity, abs=1e-4)
        assert row["real"]["detail_levels"] == pytest.approx(detail_levels(real))


def test_means_errors_and_places_are_those_of_the_tiles(result):
    for part, tiles in [(result["scores"], result["tiles"])] + [
        (part, [row for row in result["tiles"] if row["place"] == place]) for place, part in result["by_place"].items()
    ]:
        for image, metrics in part.items():
            for metric, score in metrics.items():
                values = [row[image][metric] for row in tiles]
                assert score["n"] == len(values) > 1
                assert score["mean"] == pytest.approx(np.mean(values))
                assert score["standard_error"] == pytest.approx(np.std(values, ddof=1) / np.sqrt(len(values)))
    assert set(result["by_place"]) == {"aba", "oro"}
    assert sum(part["real"]["detail_levels"]["n"] for part in result["by_place"].values()) == len(result["tiles"]) == 8


def test_the_numbers_come_with_their_circumstances(folder, result):
    generator, store = load_generator(folder / "run"), TileStore.open(folder / "tiles")
    assert result["checkpoint"] == {
        "run": str(folder / "run"),
        "sha256": generator.sha256,
        "recipe": "speck",
        "step": generator.step,
    }
    assert result["data"]["fingerprint"] == store.fingerprint
    assert (result["data"]["split"], result["data"]["n"], result["data"]["trained_on_these"], result["seed"]) == (
        "test",
        8,
        True,
        0,
    )
    assert set(result["metrics"]) == set(result["tiles"][0]["generated"])
    text = read_page((folder / "report" / "report.html").read_text()).text
    for fact in (
        "speck, step 2",
        generator.sha256[:16],
        store.fingerprint[:16],
        "8 tiles of split test",
        "kept out of its training",
    ):
        assert fact in text


def test_the_floor_has_the_mean_colours_of_each_places_training_tiles(folder):
    store = TileStore.open(folder / "tiles")
    floor, words = mean_colours(store, store.ids("test"))
    assert words == "the training tiles of each place"
    for place in ("aba", "oro"):
        tiles = [store.tile(tile_id) for tile_id in store.ids("train") if store.rows[tile_id].place == place]
        images, masks = (np.stack(arrays) for arrays in zip(*tiles, strict=True))
        for value in (0, 255):
            assert np.abs(floor[place][value] - images[masks == value].mean(0)).max() <= 0.5
    assert not np.array_equal(floor["aba"], floor["oro"])
    # Values that no training mask has get the mean of all, not black.
    assert (floor["aba"][7] > 50).all()


def test_without_training_tiles_of_a_place_the_floor_says_where_its_colours_come_from(folder, tmp_path):
    data = make_dataset(tmp_path / "data", ("aba1", "oro9", "oro7"), 96)
    store = prepare(data, tmp_path / "tiles", grid=2, size=40, split="digits", workers=1)
    assert "of all places for oro" in mean_colours(store, store.ids("test"))[1]
    shutil.rmtree(tmp_path / "data")
    data = make_dataset(tmp_path / "data", ("oro9",), 96)
    store = prepare(data, tmp_path / "tiles", grid=2, size=40, split="digits", workers=1, overwrite=True)
    assert "for want of training tiles" in mean_colours(store, store.ids("test"))[1]


def test_scores_of_known_pictures():
    flat = np.full((16, 16, 3), 100, np.uint8)
    brighter = flat + np.uint8(10)
    stripes = flat.copy()
    stripes[:, ::2] = 120  # 20 levels between neighbours across, 0 down
    assert tile_scores(flat, flat)["psnr"] == paired.PSNR_OF_EQUAL_DB  # finite, so that a mean exists
    assert tile_scores(brighter, flat)["psnr"] == pytest.approx(20 * np.log10(255 / 10), abs=1e-3)
    assert tile_scores(brighter, flat)["l1_levels"] == 10
    assert (detail_levels(flat), detail_levels(stripes)) == (0, 10)


@pytest.mark.parametrize(
    ("same", "split", "method", "words", "is_warning"),
    [
        (True, "test", "blocks", "kept out of its training", False),
        (True, "val", "blocks", "chose its best checkpoint", False),
        (True, "train", "blocks", "measure memory", True),
        (True, "test", "random", "neighbours", True),
        (False, "test", "blocks", "unknown", True),
    ],
)
def test_the_report_says_whether_tiles_were_trained_on(same, split, method, words, is_warning):
    text, warned = overlap_statement({"trained_on_these": same, "split": split, "split_method": method})
    assert words in text
    assert warned == is_warning


def test_other_tiles_are_scored_with_a_warning(folder, tmp_path, capsys):
    data = make_dataset(tmp_path / "data", ("uma9",), 96)
    prepare(data, tmp_path / "tiles", grid=1, size=40, split="digits", workers=1)
    capsys.readouterr()
    assert cli.main(["evaluate", str(folder / "run"), "--data", str(tmp_path / "tiles"), "--out", str(tmp_path / "report")]) == 0
    printed = capsys.readouterr().out
    assert "1 tile of split test" in printed
    assert "warning: These are not the tiles" in printed
    assert str(tmp_path / "report" / "report.html") in printed
    result = json.loads((tmp_path / "report" / "report.json").read_text())
    assert not result["data"]["trained_on_these"]
    assert result["scores"]["generated"]["psnr"]["standard_error"] is None  # of one tile nothing is known about the spread


def test_a_split_without_tiles_names_those_that_have_some(folder, tmp_path):
    data = make_dataset(tmp_path / "data", ("aba1", "aba7"), 96)
    prepare(data, tmp_path / "tiles", grid=2, size=40, split="digits", workers=1)
    with pytest.raises(DataError, match=r"no tile is in split test. Splits with tiles: train \(4\), val \(4\)"):
        evaluate(folder / "run", tmp_path / "tiles", tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_a_folder_of_images_is_said_to_be_none_of_ours(folder, tmp_path):
    with pytest.raises(ConfigError, match="folder of images is not possible yet"):
        evaluate(folder / "data" / "images", folder / "tiles", tmp_path / "report")


def test_a_report_that_is_there_is_kept(folder):
    before = (folder / "report" / "report.json").read_bytes()
    with pytest.raises(OutputExistsError, match="overwrite"):
        evaluate(folder / "run", folder / "tiles", folder / "report", split="val")
    assert (folder / "report" / "report.json").read_bytes() == before


def test_the_same_call_gives_the_same_report(folder, tmp_path):
    for name in ("a", "b"):
        evaluate(folder / "run", folder / "tiles", tmp_path / name, split="val", seed=3)
    for file in ("report.json", "report.html"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_the_page_shows_tiles_from_worst_to_best(folder, result):
    page = read_page((folder / "report" / "report.html").read_text())
    assert page.unclosed == []
    assert len(page.images()) == paired.SHOWN_TILES * 4
    ranked = sorted(row["generated"]["ssim"] for row in result["tiles"])
    assert page.text.index(f"SSIM {ranked[0]:.3f}") < page.text.index(f"SSIM {ranked[-1]:.3f}")
    assert isinstance(paired.score_parts(result)[0], Html)
