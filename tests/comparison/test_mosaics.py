"""Whole scenes out of tiles: every tile in its place, and masks reduced as ``prepare`` reduces them."""

import numpy as np
import pytest

from conftest import make_dataset, make_image, make_mask
from orthoforge.comparison import mosaics
from orthoforge.comparison.mosaics import (
    GAP,
    cut_mask,
    drawn_as_tiles,
    drawn_tile_by_tile,
    held_out_share,
    masks_of_own_tiles,
    scene_layout,
    whole_scene,
)
from orthoforge.masks.classes import Classes
from orthoforge.tiles.prepare import prepare

SIDE = 120


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("mosaics")
    make_dataset(root / "data", ("aba1", "aba9"), SIDE)
    return root


def store(root, grid, size, **options):
    out = root / f"{grid}-{size}-{options.get('min_building', 0)}"
    return prepare(root / "data", out, grid=grid, size=size, split="digits", workers=1, **options)


def colour_of(mask, place, **_):
    """A generator that can be checked: buildings red, the rest by their column."""
    image = np.zeros((*mask.shape, 3), np.uint8)
    image[..., 0] = mask
    image[..., 1] = np.arange(mask.shape[1])
    return image


def test_tiles_of_full_resolution_are_the_scene(root):
    full = store(root, 3, SIDE // 3)
    scene = whole_scene([store(root, 1, 40), full], "aba1")  # of two complete ones the finer
    mask = make_mask(SIDE, seed=0)
    assert np.array_equal(scene.mask, mask)
    assert np.array_equal(scene.image, make_image(mask, seed=0))
    assert (scene.side_px, scene.missing, scene.place) == ((SIDE, SIDE), 0, "aba")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_mask_is_cut_as_prepare_cuts_it(root, count):
    scene = whole_scene([store(root, 3, SIDE // 3)], "aba9")
    prepared = masks_of_own_tiles(store(root, count, 36), scene, count)
    cut = cut_mask(scene.mask, count, 36, None)
    assert len(cut) == len(cut[0]) == count
    assert np.array_equal(cut, prepared)
    assert set(np.unique(cut)) == {0, 255}


def test_half_an_area_is_building_and_of_classes_the_largest_counts():
    mask = np.zeros((8, 8), np.uint8)
    mask[:, :2] = 255  # half of the first column of 2 × 2 pixels
    mask[:, 4] = 255  # a quarter of the second
    assert np.array_equal(cut_mask(mask, 1, 2, None)[0][0], [[255, 0], [255, 0]])
    classes = np.array([[0, 0, 1, 1], [0, 2, 1, 2], [2, 2, 2, 0], [2, 0, 2, 2]], np.uint8)
    named = Classes(("land", "road", "water"), ())
    assert np.array_equal(cut_mask(classes, 1, 2, named)[0][0], [[0, 1], [2, 2]])
    assert np.array_equal(cut_mask(np.array([[0, 255]] * 2, np.uint8), 1, 4, None)[0][0][0], [0, 0, 255, 255])  # enlarged: squares


def test_a_long_scene_is_cut_into_squares():
    cut = cut_mask(np.zeros((40, 100), np.uint8), 2, 16, None)
    assert (len(cut), len(cut[0]), cut[0][0].shape) == (2, 5, (16, 16))


def test_each_tile_is_drawn_on_its_own():
    image = drawn_as_tiles(colour_of, cut_mask(make_mask(SIDE), 2, 30, None), "aba", 0)
    assert image.shape == (60, 60, 3)
    assert np.array_equal(image[0, :, 1], [*range(30), *range(30)])  # the seam


def test_left_out_tiles_are_grey_in_their_places(root):
    full, filtered = store(root, 3, 40), store(root, 3, 40, min_building=0.16)
    scene = whole_scene([filtered, full], "aba1")
    assert scene.missing == 0  # the complete store is preferred
    layout = scene_layout(filtered, "aba1", scene.side_px)
    assert layout.shape == (3, 3) and 0 < (layout < 0).sum() < 9
    assert masks_of_own_tiles(filtered, scene, 3) is None
    image, words = drawn_tile_by_tile(colour_of, filtered, scene)
    assert words == f"3 × 3 tiles of 40 px, {(layout < 0).sum()} left out by its tiles"
    grey = np.kron(layout < 0, np.ones((40, 40), bool))
    assert (image[grey] == GAP).all()
    assert np.array_equal(image[~grey][:, 0], scene.mask[~grey])
    alone = whole_scene([filtered], "aba1")  # nothing tells how far the scene went on beyond its last tile
    assert alone.mask.size < scene.mask.size or alone.missing == (layout < 0).sum()


def test_of_many_tiles_the_middle_is_drawn(root, monkeypatch):
    monkeypatch.setattr(mosaics, "MOST_TILES_A_SIDE", 2)
    fine = store(root, 5, 24)
    scene = whole_scene([fine], "aba9")
    image, words = drawn_tile_by_tile(colour_of, fine, scene)
    assert words == "2 × 2 tiles of 24 px, the middle of 5 × 5"
    assert np.array_equal(image[..., 0], scene.mask[24:72, 24:72])


def test_a_scene_too_large_for_memory_or_unknown_is_not_shown(root, monkeypatch):
    fine = store(root, 5, 24)
    assert whole_scene([fine], "oro1") is None
    monkeypatch.setattr(mosaics, "MOST_SCENE_PIXELS", 120 * 120 - 1)
    assert whole_scene([fine], "aba9") is None


def test_how_much_of_a_scene_is_held_out(root):
    fine = store(root, 5, 24)
    assert (held_out_share(fine, "aba9", "test"), held_out_share(fine, "aba1", "test")) == ((25, 25), (0, 25))
