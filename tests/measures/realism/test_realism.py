"""Realism ranks sets of images as they must: equal ones at the floor, and worse ones further away."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from orthoforge.geo.rasters import open_raster, read_image
from orthoforge.measures.realism.features import LiteFeatures
from orthoforge.measures.realism.figures import FIGURES
from orthoforge.measures.realism.realism import KEPT_VECTORS, Vectors, is_reliable, realism, split_halves
from orthoforge.models.conditions import encode_image
from orthoforge.scenes.simulate import simulate

TILE_PX, SCENES = 64, 3


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """Tiles of a simulated town (48, 3, 64, 64) in [-1, 1], and the scene of each."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("town")
    simulate(folder, places=("arden",), scenes_per_place=SCENES, size_px=4 * TILE_PX, gsd_m=0.6)
    images, scenes = [], []
    for path in sorted(folder.rglob("images/*.tif")):
        with open_raster(path) as raster:
            scene = encode_image(torch.from_numpy(read_image(raster))[None])[0]
        for row in range(0, 4 * TILE_PX, TILE_PX):
            for column in range(0, 4 * TILE_PX, TILE_PX):
                images.append(scene[:, row : row + TILE_PX, column : column + TILE_PX])
                scenes.append(path.stem)
    return torch.stack(images), scenes


@pytest.fixture(scope="module")
def lite():
    return LiteFeatures()


@pytest.fixture(scope="module")
def measure(town, lite):
    """Realism of any images against those of the town."""
    images, scenes = town

    def vectors(some, names=scenes):
        found = Vectors(names, 1280)
        for begin in range(0, len(some), 16):
            batch = some[begin : begin + 16]
            found.add(range(begin, begin + len(batch)), lite(batch)[1], batch)
        return found

    real = vectors(images)
    return lambda some, paired=True, names=scenes: realism(vectors(some, names), real, paired=paired)


def blurred(images, times):
    for _ in range(times):
        images = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), "reflect"), 3, 1)
    return images


def noisy(images, size):
    return (images + size * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))).clamp(-1, 1)


def coloured(images, share):
    return (images + share * torch.tensor([0.5, -0.2, 0.7]).view(3, 1, 1)).clamp(-1, 1)


def checkered(images, size):
    board = (torch.arange(TILE_PX)[:, None] + torch.arange(TILE_PX)) % 2 * 2.0 - 1
    return (images + size * board).clamp(-1, 1)


def test_equal_sets_have_no_distance(town, measure):
    found = measure(town[0])
    assert found["frechet"]["value"] == pytest.approx(0, abs=1e-6)
    assert (
        found["kernel_x1000"]["value"]
        < found["kernel_x1000"]["floor"]["mean"] + found["kernel_x1000"]["floor"]["standard_deviation"]
    )
    assert [found[name]["value"] for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    assert found["spectrum_db"]["value"] == 0
    assert found["checkerboard"]["value"] == found["checkerboard"]["real"]
    # In place of one half, the other half itself: the floor, to the digit.
    for name in FIGURES:
        assert found[name]["matched"] == found[name]["floor"]


@pytest.mark.parametrize(
    ("worsen", "amounts"),
    [(blurred, (1, 3, 12)), (noisy, (0.1, 0.3, 0.8)), (coloured, (0.15, 0.5, 1)), (checkered, (0.05, 0.15, 0.5))],
)
def test_worse_copies_lie_further_away(town, measure, worsen, amounts):
    found = [measure(worsen(town[0], amount)) for amount in (0, *amounts)]
    for name in ("frechet", "kernel_x1000"):
        values = [one[name]["value"] for one in found]
        assert values == sorted(values), name
    for name in ("precision", "recall", "density", "coverage"):
        assert found[-1][name]["value"] < found[0][name]["value"], name
    assert found[-1]["coverage"]["value"] < 0.5
    floor = found[-1]["kernel_x1000"]["floor"]
    assert found[-1]["kernel_x1000"]["matched"]["mean"] > floor["mean"] + 3 * floor["standard_deviation"]


def test_a_spectrum_tells_blur_from_noise_and_a_checkerboard_stands_out(town, measure):
    blur, noise, board = (measure(worsen(town[0], amount)) for worsen, amount in ((blurred, 2), (noisy, 0.3), (checkered, 0.15)))
    assert blur["spectrum_db"]["by_frequency"][-1] < -3
    assert noise["spectrum_db"]["by_frequency"][-1] > 3
    assert min(blur["spectrum_db"]["value"], noise["spectrum_db"]["value"]) > 5 * blur["spectrum_db"]["floor"]
    assert board["checkerboard"]["value"] > 5 * board["checkerboard"]["real"]
    assert noise["checkerboard"]["value"] < 2


def test_the_same_images_in_another_order_are_as_real(town, measure):
    """Mismatched pairs: sets do not notice, and pixel scores must."""
    found = measure(town[0].roll(7, dims=0), paired=False)
    assert found["frechet"]["value"] == pytest.approx(0, abs=1e-6)
    assert found["precision"]["value"] == 1


def test_one_image_repeated_is_precise_without_recall(town, measure):
    found = measure(town[0][:1] + 1e-3 * torch.randn(town[0].shape, generator=torch.Generator().manual_seed(0)))
    assert found["recall"]["value"] < 0.1
    assert found["coverage"]["value"] < 0.3
    assert found["precision"]["value"] > found["recall"]["value"]


def test_intervals_and_floors_come_with_how_they_were_made(measure, town):
    found = measure(noisy(town[0], 0.3))
    assert found["interval"]["resampled"] == "scenes"
    assert found["halves"] == {"splits": 20, "by": "scene", "n": [32, 16]}
    for name in FIGURES:
        figure = found[name]
        assert figure["low"] <= figure["value"] <= figure["high"]
        assert (figure["n_generated"], figure["n_real"]) == (48, 48)
    foreign = measure(noisy(town[0], 0.3)[:20], paired=False, names=[str(number) for number in range(20)])
    assert foreign["frechet"]["n_generated"] == 20
    assert foreign["kernel_x1000"]["low"] < foreign["kernel_x1000"]["high"]
    assert not is_reliable(found)


def test_the_same_images_give_the_same_figures(measure, town):
    some = noisy(town[0], 0.2)
    assert measure(some) == measure(some)


@pytest.mark.parametrize(
    ("n", "measured"), [(1, ()), (2, ("frechet", "kernel_x1000")), (4, ("frechet", "kernel_x1000")), (30, tuple(FIGURES))]
)
def test_too_few_images_are_said_to_be_too_few(n, measured):
    rng = np.random.default_rng(0)
    sets = []
    for _ in range(2):
        vectors = Vectors([str(number) for number in range(n)], 5)
        images = torch.from_numpy(rng.uniform(-1, 1, (n, 3, 16, 16)))
        vectors.add(range(n), torch.from_numpy(rng.normal(size=(n, 5))), images)
        sets.append(vectors)
    found = realism(*sets, paired=True)
    for name in FIGURES:
        if name in measured:
            assert np.isfinite(found[name]["value"])
        else:
            assert found[name]["value"] is None
            assert f"there are {n} generated and {n} real" in found[name]["why"]
    assert "sides of 40 px" in found["checkerboard"]["why"]


def test_halves_share_no_scene_and_lose_no_image():
    scenes = ["a"] * 5 + ["b"] * 3 + ["c"] * 4 + ["d"]
    for seed in range(10):
        one, other = split_halves(scenes, np.random.default_rng(seed), by_scene=True)
        assert not {scenes[index] for index in one} & {scenes[index] for index in other}
        assert sorted([*one, *other]) == list(range(13))
        assert min(len(one), len(other)) >= 3


def test_memory_is_bounded_by_the_vectors_that_are_kept(monkeypatch):
    monkeypatch.setattr("orthoforge.measures.realism.realism.KEPT_VECTORS", 10)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 4)).astype(np.float32)
    vectors = Vectors([str(number) for number in range(200)], 4)
    for begin in range(0, 200, 8):
        vectors.add(range(begin, begin + 8), torch.from_numpy(rows[begin : begin + 8]), torch.zeros(8, 3, 16, 16))
    assert len(vectors.array) == len(set(vectors.kept)) == 10 < KEPT_VECTORS
    assert np.array_equal(vectors.array, rows[vectors.kept])
    assert vectors.moments.covariance() == pytest.approx(np.cov(rows.T), abs=1e-5)  # of all of them
    assert len(vectors.decibels) <= 128
