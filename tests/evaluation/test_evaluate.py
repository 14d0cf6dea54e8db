"""``evaluate``: the report holds the scores of the images, and says what they belong to."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import structural_similarity

from conftest import make_dataset, make_grid, write_tiff
from lpips_files import write_lpips
from orthoforge import cli
from orthoforge.config import Recipe
from orthoforge.errors import ConfigError, DataError, OutputExistsError
from orthoforge.evaluation.evaluate import FORMAT, evaluate, summary_lines
from orthoforge.evaluation.measure import NEAREST
from orthoforge.evaluation.page import SHOWN, warnings_of
from orthoforge.evaluation.tables import score_parts
from orthoforge.measures.pixels import detail_levels
from orthoforge.measures.realism import lpips
from orthoforge.measures.realism.distances import Gaussian, frechet_distance, kernel_distance
from orthoforge.measures.realism.features import LiteFeatures, ScoreNetwork
from orthoforge.measures.segmenter.segmentation import SegmenterSettings
from orthoforge.models.conditions import encode_image
from orthoforge.pages.html import Html
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import load_generator
from orthoforge.training import train
from page_checks import read_page

RECIPE = Recipe(
    name="speck", crop_px=32, batch_size=4, generator="resnet6", generator_width=2, discriminator_width=2, norm="batch", epochs=1,
    decay_epochs=0, precision="float32",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run, and the tiles of two places that it was trained on: 8 to train, 4 to validate, 8 to test."""
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
        "gsd_m": generator.gsd_m,
        "epochs": {"done": 1, "planned": 1},
    }
    assert result["data"]["fingerprint"] == store.fingerprint
    data = result["data"]
    assert (result["format"], data["split"], data["n"], data["trained_on_these"], result["seed"]) == (FORMAT, "test", 8, True, 0)
    assert result["images"] == {"source": str(folder / "run"), "kind": "run", "n": 8, "paired": 8, "masks": None}
    for section in ("realism", "diversity", "memorisation"):
        said = result[section]["circumstances"]
        assert {"network", "layer", "weights_sha256", "resizing", "n", "split", "fingerprint", "seed"} == set(said)
        assert len(said["weights_sha256"]) == 64
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


def test_other_tiles_are_scored_and_the_report_says_what_is_known(folder, tmp_path, capsys):
    data = make_dataset(tmp_path / "data", ("uma9",), 96, crs=None)
    prepare(data, tmp_path / "tiles", grid=1, size=40, split="digits", workers=1)
    capsys.readouterr()
    assert cli.main(["evaluate", str(folder / "run"), "--data", str(tmp_path / "tiles"), "--out", str(tmp_path / "report")]) == 0
    printed = capsys.readouterr().out
    assert "1 image against 1 tile of split test" in printed
    assert "needs 2 images of each kind; there are 1 generated and 1 real" in printed
    assert str(tmp_path / "report" / "report.html") in printed
    result = json.loads((tmp_path / "report" / "report.json").read_text())
    assert (result["data"]["trained_on_these"], result["data"]["trained_tiles"]) == (False, 0)
    assert result["scores"]["generated"]["psnr"]["standard_error"] is None  # of one tile nothing is known about the spread
    assert result["realism"]["frechet"]["value"] is None


def test_a_split_without_tiles_names_those_that_have_some(folder, tmp_path):
    data = make_dataset(tmp_path / "data", ("aba1", "aba7"), 96)
    prepare(data, tmp_path / "tiles", grid=2, size=40, split="digits", workers=1)
    with pytest.raises(DataError, match=r"no tile is in split test. Splits with tiles: train \(4\), val \(4\)"):
        evaluate(folder / "run", tmp_path / "tiles", tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_a_report_that_is_there_is_kept(folder):
    before = (folder / "report" / "report.json").read_bytes()
    with pytest.raises(OutputExistsError, match="overwrite"):
        evaluate(folder / "run", folder / "tiles", folder / "report", split="val")
    assert (folder / "report" / "report.json").read_bytes() == before


def test_a_seed_below_0_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ConfigError, match="seed is -1; it must be 0 or more"):
        evaluate(tmp_path / "run", tmp_path / "tiles", tmp_path / "report", seed=-1)
    assert not (tmp_path / "report").exists()


def test_the_same_call_gives_the_same_report(folder, tmp_path):
    for name in ("a", "b"):
        evaluate(folder / "run", folder / "tiles", tmp_path / name, split="val", seed=3)
    for file in ("report.json", "report.html"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_an_unfinished_run_is_said_to_be_one(result):
    assert not any("Unfinished" in text for text in result["warnings"])
    begun = {**result["checkpoint"], "epochs": {"done": 3, "planned": 200}}
    warned = warnings_of({**result, "checkpoint": begun})
    assert "Unfinished: 3 of 200 epochs. What is shown of it is where it stands." in warned


def test_the_page_begins_with_the_verdict_then_pictures_then_tables(folder, result):
    """Of 8 tiles there is none, and the page says how many it takes."""
    source = (folder / "report" / "report.html").read_text()
    marks = ['<p class="verdict">No verdict on whether', 'class="note warning"', "<h2>From worst to best", "<h2>Realism"]
    places = [source.index(mark) for mark in marks]
    assert places == sorted(places)
    assert "8 generated and 8 real images are fewer than the 30 of each kind that a verdict needs" in source
    assert source.count("No verdict on whether") == 1


def test_the_page_shows_tiles_from_worst_to_best(folder, result):
    page = read_page((folder / "report" / "report.html").read_text())
    assert page.unclosed == []
    assert len(page.images()) == (SHOWN + NEAREST) * 4  # tiles by rank, and nearest training tiles
    ranked = sorted(row["generated"]["ssim"] for row in result["tiles"])
    assert page.text.index(f"SSIM {ranked[0]:.3f}") < page.text.index(f"SSIM {ranked[-1]:.3f}")
    assert isinstance(score_parts(result)[0], Html)


def test_tiles_of_another_resolution_than_the_runs_are_scored_with_a_warning(folder, tmp_path):
    data = make_dataset(tmp_path / "data", ("aba1", "aba2"), 192)
    for gsd, warned in ((0.36, False), (0.6, True)):
        prepare(data, tmp_path / str(gsd), gsd=gsd, size=40, split="blocks", workers=1)
        found = evaluate(
            folder / "run", tmp_path / str(gsd), tmp_path / "report", split="train", allow_trained=True, overwrite=True
        )
        assert any("trained at 0.36 m a pixel, the tiles have 0.6 m" in text for text in found["warnings"]) is warned
        text = read_page((tmp_path / "report" / "report.html").read_text()).text
        assert ("trained at 0.36 m, so buildings are made in the wrong size" in text) is warned


def save(folder, images, suffix=".png"):
    folder.mkdir(parents=True)
    for name, image in images.items():
        Image.fromarray(image).save(folder / f"{name}{suffix}")
    return folder


@pytest.fixture(scope="module")
def test_images(folder):
    """What the run makes of the test tiles, by the tiles' names."""
    store, generator = TileStore.open(folder / "tiles"), load_generator(folder / "run")
    return {
        f"{row.scene}_{row.window.row}_{row.window.col}": generator(store.tile(tile_id)[1])
        for tile_id, row in enumerate(store.rows)
        if row.split == "test"
    }


def test_a_folder_of_the_runs_images_scores_as_the_run_does(folder, result, test_images, tmp_path):
    found = evaluate(save(tmp_path / "images", test_images), folder / "tiles", tmp_path / "report")
    assert found["scores"] == result["scores"]
    for part in ("realism", "memorisation"):
        same = set(found[part]) & set(result[part])
        assert {"frechet", "kernel_x1000"} <= same or "ratio" in same
        assert {key: found[part][key] for key in same} == {key: result[part][key] for key in same}
    assert found["images"]["kind"] == "folder"
    assert "assumed" in found["memorisation"]
    assert "several seeds need a run" in found["diversity"]["why"]
    assert "What made these images is not known" in found["warnings"][0]


def test_two_threads_side_by_side_find_the_same(folder, test_images, tmp_path):
    images = save(tmp_path / "images", dict(list(test_images.items())[:5]))
    one = evaluate(images, folder / "tiles", tmp_path / "one")
    torch.set_num_threads(2)
    try:
        two = evaluate(images, folder / "tiles", tmp_path / "two")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert two == one


def test_lpips_comes_beside_the_other_scores_when_its_files_are_given(folder, test_images, tmp_path, monkeypatch):
    _, _, sums = write_lpips(tmp_path, "alexnet")
    kind = lpips.KINDS["alexnet"]
    ours = replace(kind, linear_sha256=sums[kind.linear_file], network_sha256=sums[kind.network_file])
    monkeypatch.setitem(lpips.KINDS, "alexnet", ours)
    store, distance = TileStore.open(folder / "tiles"), lpips.load_lpips(tmp_path)
    found = evaluate(save(tmp_path / "images", test_images), store.path, tmp_path / "report", lpips=tmp_path)
    for row in found["tiles"]:
        both = test_images[row["image"]], store.tile(row["id"])[0]
        pair = [encode_image(torch.from_numpy(np.array(pixels)[None])) for pixels in both]
        assert row["generated"]["lpips"] == pytest.approx(distance(*pair).item(), rel=1e-4)
        assert row["mean_colours"]["lpips"] > 0
    assert found["networks"]["LPIPS"]["network"] == "LPIPS 0.1, alexnet"
    assert "lpips" in found["metrics"]
    assert "LPIPS" in read_page((tmp_path / "report" / "report.html").read_text()).text
    with pytest.raises(ConfigError, match="LPIPS needs"):
        evaluate(tmp_path / "images", store.path, tmp_path / "other", lpips=tmp_path / "images")


def test_realism_is_that_of_the_networks_vectors(folder, result, test_images):
    store, lite = TileStore.open(folder / "tiles"), LiteFeatures()
    sets = [list(test_images.values()), [store.tile(tile_id)[0] for tile_id in store.ids("test")]]
    x, y = (np.concatenate([lite(encode_image(torch.from_numpy(np.array(i)[None])))[1].numpy() for i in images]) for images in sets)
    assert result["realism"]["frechet"]["value"] == pytest.approx(
        frechet_distance(Gaussian.fitted(x), Gaussian.fitted(y)), rel=1e-4
    )
    assert result["realism"]["kernel_x1000"]["value"] == pytest.approx(1000 * kernel_distance(x, y), rel=1e-3)
    assert result["realism"]["halves"]["by"] == "scene"


def test_the_real_images_themselves_are_at_the_floor(folder, tmp_path):
    store = TileStore.open(folder / "tiles")
    names = {f"{r.scene}_{r.window.row}_{r.window.col}": store.tile(i)[0] for i, r in enumerate(store.rows) if r.split == "test"}
    found = evaluate(save(tmp_path / "images", names), folder / "tiles", tmp_path / "report")
    assert found["scores"]["generated"]["perceptual"]["mean"] == 0
    assert found["scores"]["generated"]["ssim"]["mean"] == pytest.approx(1)
    assert found["realism"]["frechet"]["value"] == pytest.approx(0, abs=1e-3)
    assert found["realism"]["frechet"]["matched"] == found["realism"]["frechet"]["floor"]
    assert found["memorisation"]["ratio"] == 1


def test_copies_of_training_tiles_are_found_out(folder, tmp_path):
    store = TileStore.open(folder / "tiles")
    copies = {f"copy{number}": store.tile(tile_id)[0] for number, tile_id in enumerate(store.ids("train"))}
    found = evaluate(save(tmp_path / "images", copies), folder / "tiles", tmp_path / "report")["memorisation"]
    assert found["nearer_than_real"] == 1
    assert found["ratio"] < 0.01
    assert [entry["training_tile"] for entry in found["nearest"]] == [
        int(store.ids("train")[entry["number"]]) for entry in found["nearest"]
    ]
    text = read_page((tmp_path / "report" / "report.html").read_text()).text
    assert "Copies would lie there" in text
    assert "0 levels apart pixel by pixel" in text


def test_images_without_pairs_get_realism_alone(folder, test_images, tmp_path):
    images = save(tmp_path / "images", {f"foreign{n}": image for n, image in enumerate(test_images.values())}, ".tif")
    masks = save(tmp_path / "masks", {f"foreign{n}": np.zeros((40, 40), np.uint8) for n in range(len(test_images))})
    found = evaluate(images, folder / "tiles", tmp_path / "report", masks=masks)
    assert (found["scores"], found["tiles"], found["images"]["paired"]) == (None, [], 0)
    assert found["realism"]["frechet"]["value"] > 0
    page = read_page((tmp_path / "report" / "report.html").read_text())
    assert page.unclosed == []
    assert "No image is named as a tile" in page.text


def test_some_pairs_are_scored_and_all_images_count_for_realism(folder, test_images, tmp_path):
    names = [*list(test_images)[:3], *(f"foreign{n}" for n in range(5))]
    images = save(tmp_path / "images", dict(zip(names, test_images.values(), strict=True)))
    found = evaluate(images, folder / "tiles", tmp_path / "report")
    assert found["scores"]["generated"]["psnr"]["n"] == found["images"]["paired"] == 3
    assert found["realism"]["frechet"]["n_generated"] == found["realism"]["frechet"]["n_real"] == 8


def test_any_network_can_be_looked_through(folder, tmp_path):
    colours = ScoreNetwork("segmenter", "colours", "ab" * 32, "none", 3, lambda images: images.mean(dim=(2, 3)))
    found = evaluate(folder / "run", folder / "tiles", tmp_path / "report", network=colours)
    assert found["realism"]["circumstances"]["network"] == found["memorisation"]["circumstances"]["network"] == "segmenter"
    assert found["networks"]["perceptual distance"]["network"] == "efficientnet-lite0"
    assert found["realism"]["frechet"]["value"] < 12  # three means between -1 and 1


def test_tiles_that_were_trained_on_are_refused_unless_that_is_wanted(folder, tmp_path, capsys):
    words = [
        "evaluate",
        str(folder / "run"),
        "--data",
        str(folder / "tiles"),
        "--out",
        str(tmp_path / "report"),
        "--split",
        "train",
    ]
    assert cli.main(words) == 3
    error = capsys.readouterr().err
    assert "trained on 8 of the 8 tiles of split train (for example aba1 at row 0, column 0" in error
    assert "--allow-trained" in error
    assert not (tmp_path / "report").exists()
    assert cli.main([*words, "--allow-trained"]) == 0
    found = json.loads((tmp_path / "report" / "report.json").read_text())
    assert found["data"]["allowed_trained"]
    assert "8 scored tiles were trained on; --allow-trained was given." in found["warnings"]
    assert "no yardstick" in found["memorisation"]["why"]
    assert "measure memory" in read_page((tmp_path / "report" / "report.html").read_text()).text


def test_tiles_of_the_same_ground_are_refused_though_they_were_cut_anew(folder, tmp_path):
    store = prepare(folder / "data", tmp_path / "tiles", grid=3, size=40, split="random", workers=1)
    assert len(store.ids("test"))
    with pytest.raises(DataError, match=r"its training tiles show the same ground"):
        evaluate(folder / "run", tmp_path / "tiles", tmp_path / "report")


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({}, "no GeoTIFF, PNG or JPEG in it"),
        (
            {"a": (40, 40, 3), "b": (40, 41, 3)},
            r"images of different sizes cannot be scored together \(40×40 px: a.png; 41×40 px: b.png",
        ),
        ({"a": (48, 48, 3), "b": (48, 48, 3)}, r"its images have 48×48 px, the tiles .* 40×40 px.*--size 48"),
        ({"a": (40, 40), "b": (40, 40)}, "image has 1 band"),
        ({"aba1_0_0": (40, 40, 3)}, "which is in split train, not test"),
    ],
)
def test_bad_folders_are_refused_with_the_reason(folder, tmp_path, sizes, words):
    images = save(tmp_path / "images", {name: np.zeros(size, np.uint8) for name, size in sizes.items()})
    with pytest.raises(DataError, match=words):
        evaluate(images, folder / "tiles", tmp_path / "report")


def test_one_image_without_a_pair_is_too_few(folder, tmp_path):
    images = save(tmp_path / "images", {"a": np.zeros((40, 40, 3), np.uint8)})
    with pytest.raises(DataError, match=r"1 image and 8 real tiles are too few.*Realism needs 2 of each, its floor 4 real ones"):
        evaluate(images, folder / "tiles", tmp_path / "report")


def test_nan_pixels_are_counted_and_placed(folder, tmp_path):
    pixels = np.zeros((40, 40, 3), np.float32)
    pixels[7, 9] = np.nan
    for name in "ab":
        write_tiff(tmp_path / "images" / f"{name}.tif", pixels, make_grid(40))
    with pytest.raises(DataError, match=r"a.tif: image is float32, with 1 NaN pixel, the first at row 7, column 9"):
        evaluate(tmp_path / "images", folder / "tiles", tmp_path / "report")


def test_masks_must_be_there_and_of_the_images_size(folder, tmp_path):
    images = save(tmp_path / "images", {n: np.zeros((40, 40, 3), np.uint8) for n in "abc"})
    masks = save(tmp_path / "masks", {"b": np.zeros((40, 40), np.uint8)})
    with pytest.raises(DataError, match=r"no mask for 2 of 3 images \(a, c\)"):
        evaluate(images, folder / "tiles", tmp_path / "report", masks=masks)
    save(tmp_path / "larger", {n: np.zeros((41, 40), np.uint8) for n in "abc"})
    with pytest.raises(DataError, match=r"the mask is 40×41 px, its image 40×40 px"):
        evaluate(images, folder / "tiles", tmp_path / "report", masks=tmp_path / "larger")
    with pytest.raises(ConfigError, match="--masks is for a folder of images"):
        evaluate(folder / "run", folder / "tiles", tmp_path / "report", masks=masks)


def test_two_files_for_one_tile_are_refused(folder, tmp_path):
    data = make_dataset(tmp_path / "data", ("uma9", "zen9"), 96)
    prepare(data, tmp_path / "tiles", grid=1, size=40, split="digits", workers=1)
    images = save(tmp_path / "images", {name: np.zeros((40, 40, 3), np.uint8) for name in ("uma9", "uma9_0_0")})
    with pytest.raises(DataError, match=r"uma9.png and uma9_0_0.png both mean uma9 at row 0"):
        evaluate(images, tmp_path / "tiles", tmp_path / "report")
    save(tmp_path / "twins", {"uma9": np.zeros((40, 40, 3), np.uint8)})
    (tmp_path / "twins" / "uma9.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="share one stem"):
        evaluate(tmp_path / "twins", tmp_path / "tiles", tmp_path / "report")


def test_a_mask_value_that_means_nothing_is_named(folder, tmp_path):
    images = save(tmp_path / "images", {n: np.zeros((40, 40, 3), np.uint8) for n in "ab"})
    masks = save(tmp_path / "masks", {n: np.full((40, 40), 37, np.uint8) for n in "ab"})
    with pytest.raises(DataError, match=r"value 37 in 100\.0 % of pixels\. If it is one of classes"):
        evaluate(images, folder / "tiles", tmp_path / "report", masks=masks)
    evaluate(images, folder / "tiles", tmp_path / "report", masks=masks, threshold=30)
    (tmp_path / "palette.json").write_text('{"Land": 0, "House": 37}')
    said = {"palette": tmp_path / "palette.json", "building": ["House"], "overwrite": True}
    evaluate(images, folder / "tiles", tmp_path / "report", masks=masks, **said)


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((40, 40, 4), r"image has 4 bands with alpha, the tiles in .* have 3\. .* gdal_translate -b 1 -b 2 -b 3 a\.png OUT"),
        ((40, 40), r"image has 1 band, the tiles in .* have 3\. .* gdal_translate -b 1 -b 1 -b 1 a\.png OUT"),
    ],
)
def test_images_of_other_bands_are_advised_what_evaluate_can_do(folder, tmp_path, shape, advice):
    images = save(tmp_path / "images", {name: np.zeros(shape, np.uint8) for name in "ab"})
    with pytest.raises(DataError, match=rf"a\.png: {advice}"):
        evaluate(images, folder / "tiles", tmp_path / "report")


def test_fidelity_is_what_a_segmenter_finds_of_the_masks(folder, tmp_path, capsys):
    prepare(folder / "data", tmp_path / "tiles", grid=4, size=40, split="digits", workers=1)  # enough of them to train a segmenter
    train(RECIPE, tmp_path / "tiles", tmp_path / "run", quiet=True)
    settings = SegmenterSettings(steps=3, batch_size=2, crop_px=32, seed=0)
    result = evaluate(tmp_path / "run", tmp_path / "tiles", tmp_path / "report", fidelity=settings)
    found = json.loads((tmp_path / "report/report.json").read_text())["fidelity"]
    assert found["segmenter"] == {**asdict(settings), "n": 16}, "the validation tiles"
    assert found["n"] == 32
    assert 0 <= found["generated"]["iou"] <= 1
    assert (tmp_path / "report/segmenter").is_dir()
    assert "Fidelity to the mask" in read_page((tmp_path / "report/report.html").read_text()).text
    assert "fidelity to the mask" in "\n".join(summary_lines(result))


def test_fidelity_is_measured_of_runs(folder, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for number in range(4):
        Image.fromarray(np.full((40, 40, 3), 60 * number, np.uint8)).save(images / f"{number}.png")
    with pytest.raises(ConfigError, match="fidelity is measured of a run"):
        evaluate(images, folder / "tiles", tmp_path / "report", fidelity=True)
