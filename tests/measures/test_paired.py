"""Scores of pairs: the numbers are those of the images."""

import shutil

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from conftest import make_dataset
from orthoforge.measures import paired
from orthoforge.measures.paired import (
    METRICS,
    mean_colours,
    mean_scores,
    pair_scores,
    tile_scores,
)
from orthoforge.measures.pixels import detail_levels
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tiles of two places."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("paired")
    data = make_dataset(root / "data", ("aba1", "oro2", "aba9", "oro9"), 96)
    prepare(data, root / "tiles", grid=2, size=40, split="digits", workers=1)
    return root


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


def test_pixel_scores_are_scikit_images_to_the_fourth_digit():
    rng = np.random.default_rng(0)
    reals = np.kron(rng.integers(0, 256, (5, 16, 16, 3)), np.ones((1, 12, 12, 1))).astype(np.uint8)
    images = (reals + rng.normal(0, [[[[3]]], [[[10]]], [[[30]]], [[[60]]], [[[100]]]], reals.shape)).clip(0, 255).astype(np.uint8)
    for image, real, scores in zip(images, reals, pair_scores(images, reals), strict=True):
        similarity = structural_similarity(
            image, real, data_range=255, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert scores["ssim"] == pytest.approx(similarity, abs=1e-4)
        assert scores["psnr"] == pytest.approx(peak_signal_noise_ratio(real, image), abs=1e-4)
        assert scores["l1_levels"] == pytest.approx(np.abs(image.astype(float) - real).mean())
        assert tile_scores(image, real) == {name: scores[name] for name in METRICS}


def worsen(real, kind, amount):
    """A copy of (192, 192, 3) float levels."""
    rng = np.random.default_rng(0)
    if kind == "blur":
        for _ in range(amount):
            real = sum(np.roll(real, shift, axis) for axis in (0, 1) for shift in (-1, 0, 1)) / 6
        return real
    board = np.indices(real.shape[:2]).sum(0)[..., None] % 2 * 2 - 1
    return (
        real
        + {"noise": rng.normal(0, amount, real.shape), "colour": amount * np.array([1, -1, 0.5]), "board": amount * board}[kind]
    )


@pytest.mark.parametrize(
    ("kind", "amounts"), [("blur", (1, 4, 12)), ("noise", (5, 15, 40)), ("colour", (5, 20, 60)), ("board", (5, 15, 40))]
)
def test_worse_copies_score_worse_and_a_mismatched_image_worst(kind, amounts):
    rng = np.random.default_rng(1)
    real, other = np.kron(rng.integers(40, 216, (2, 24, 24, 3)), np.ones((1, 8, 8, 1)))
    copies = [worsen(real, kind, amount) for amount in amounts]
    images = np.stack([real, *copies, other]).clip(0, 255).astype(np.uint8)
    scores = pair_scores(images, np.stack([real] * 5).astype(np.uint8))
    for metric, better in (("psnr", 1), ("ssim", 1), ("ms_ssim", 1), ("l1_levels", -1)):
        values = [better * row[metric] for row in scores]
        assert values[:4] == sorted(values[:4], reverse=True), metric
        assert values[4] < values[1], metric


def test_means_are_over_the_tiles_that_have_a_score():
    rows = [
        {"generated": {"psnr": 10.0}, "mean_colours": {"psnr": 1.0, "perceptual": 0.5}, "real": {}},
        {"generated": {"psnr": 20.0}, "mean_colours": {"psnr": 3.0}, "real": {}},
    ]
    means = mean_scores(rows)
    assert means["generated"]["psnr"] == {"mean": 15.0, "standard_error": pytest.approx(5.0), "n": 2}
    assert means["mean_colours"]["perceptual"] == {"mean": 0.5, "standard_error": None, "n": 1}
