from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_library import make_library, make_town
from scipy import ndimage

from conftest import examples
from orthoforge.geo.grid import Window
from orthoforge.geo.houses import Houses
from orthoforge.material.canvas import Composer
from orthoforge.material.library import Library

TOWN = make_town()
LIBRARY = make_library()
WHOLE = Window(0, 0, *TOWN.shape)


def composer(mask=TOWN, origin=(0, 0), seed=3, library=LIBRARY, **options):
    return Composer.of(library, Houses.of(mask, origin=origin), seed=seed, **options)


@pytest.fixture(scope="module")
def whole():
    return composer().canvas(WHOLE)


def test_roofs_lie_on_buildings_and_ground_beside_them(whole):
    image = whole.image.astype(int)
    inner = np.zeros_like(TOWN)
    inner[2:-2, 2:-2] = TOWN[2:-2, 2:-2] & TOWN[:-4, 2:-2] & TOWN[4:, 2:-2] & TOWN[2:-2, :-4] & TOWN[2:-2, 4:]
    red = image[..., 0] > image[..., 1]
    assert red[inner].mean() > 0.99
    off = ~(TOWN | np.roll(TOWN, 4, 0) | np.roll(TOWN, -4, 0) | np.roll(TOWN, 4, 1) | np.roll(TOWN, -4, 1))
    assert red[off].mean() < 0.01


@examples(0.24)
@given(st.integers(0, 250), st.integers(0, 200), st.integers(1, 120), st.integers(1, 120))
def test_any_window_is_that_part_of_the_whole(whole, row, col, height, width):
    window = Window(row, col, min(height, TOWN.shape[0] - row), min(width, TOWN.shape[1] - col))
    found = composer().canvas(window)
    assert np.abs(found.image.astype(int) - whole.image[window.slices]).max() <= 1
    np.testing.assert_array_equal(found.source, whole.source[window.slices])


def test_the_order_of_windows_does_not_matter(whole):
    one = composer()
    one.canvas(Window(200, 100, 60, 60))
    np.testing.assert_array_equal(one.canvas(WHOLE).image, whole.image)


def test_a_scene_that_begins_elsewhere_shows_the_same_ground():
    # Cut where no building is: what is left keeps its anchors, so its roofs.
    town = make_town(480, 460)
    whole = composer(town).canvas(Window(0, 0, *town.shape))
    moved = composer(town[16:, 12:], origin=(16, 12)).canvas(Window(0, 0, town.shape[0] - 16, town.shape[1] - 12))
    # Patches at the cut need less ground than before, and patches look at others up to three of 64 px farther on.
    far = slice(300, None), slice(300, None)
    assert np.abs(moved.image[far].astype(int) - whole.image[16:, 12:][far]).max() <= 1


def test_the_seed_decides(whole):
    assert np.abs(composer(seed=4).canvas(WHOLE).image.astype(int) - whole.image).mean() > 1
    np.testing.assert_array_equal(composer().canvas(WHOLE).image, whole.image)


@pytest.mark.parametrize("left_out", [0, 3])
def test_a_tile_that_is_left_out_gives_nothing(whole, left_out):
    source = composer(without=[left_out]).canvas(WHOLE).source
    assert left_out not in source
    assert set(np.unique(source)) <= set(range(len(LIBRARY)))
    assert left_out in whole.source


def test_a_place_gives_its_own_tiles_alone():
    library = make_library(8, places=2)
    source = composer(library=library, place=1).canvas(WHOLE).source
    assert set(np.unique(source) % 2) == {1}


def test_the_source_says_where_a_pixel_is_from():
    library = make_library(4)
    for number, image in enumerate(library.images):
        image[...] = 50 * number  # each tile of one tone; a piece's is moved towards its surroundings'
    whole = composer(library=library).canvas(WHOLE)
    roofs = [
        whole.image[TOWN & (whole.source == number)].mean() for number in range(4) if (TOWN & (whole.source == number)).sum() > 50
    ]
    assert len(roofs) > 1
    assert roofs == sorted(roofs)


def test_no_piece_of_ground_is_all_there_is():
    source = composer(np.zeros((600, 600), bool)).canvas(Window(0, 0, 600, 600)).source
    assert np.bincount(source.ravel(), minlength=len(LIBRARY)).max() < 0.5 * source.size


def test_ground_is_nowhere_smeared_where_tiles_have_little_of_it():
    random = np.random.default_rng(0)
    image = np.where(np.arange(112) < 86, 200, 120) + random.normal(0, 8, (4, 112, 112))
    masks = np.broadcast_to(np.arange(112) < 86, image.shape).copy()
    masks[:, 100:] = False
    images = np.repeat(np.clip(image, 0, 255).astype(np.uint8)[..., None], 3, axis=3)
    library = Library(images, masks, np.zeros(4, int), ("town",), tuple("abcd"))
    shown = composer(np.zeros((300, 300), bool), library=library).canvas(Window(0, 0, 300, 300)).image[..., 0].astype(float)
    detail = ndimage.generic_filter(shown, np.std, 7)
    assert (detail < 2).mean() < 0.01


def test_ground_between_houses_is_from_between_houses():
    library = make_library(12)
    masks = library.masks.copy()
    masks[::2] = False  # fields
    library = replace(library, masks=masks)
    dense = np.kron(np.ones((10, 10), bool), np.pad(np.ones((20, 22), bool), ((0, 8), (0, 10))))
    source = composer(dense, library=library).canvas(Window(0, 0, *dense.shape)).source
    assert (source[~dense] % 2 == 1).mean() > 0.8
    open_land = composer(np.zeros_like(dense), library=library).canvas(Window(0, 0, *dense.shape)).source
    assert 0.2 < (open_land % 2).mean() < 0.8, "there all tiles lend"
    assert np.bincount(open_land.ravel()).max() < 0.4 * open_land.size


def test_a_broken_crack_parts_two_roofs():
    mask = np.zeros((60, 100), bool)
    mask[20:40, 20:80] = True
    mask[[row for row in range(20, 40) if row % 4], 50] = False
    differ = 0
    for seed in range(4):
        left, right = (composer(mask, seed=seed).canvas(Window(22, col, 16, 20)).source for col in (24, 56))
        assert len(np.unique(left)) == len(np.unique(right)) == 1
        differ += left[0, 0] != right[0, 0]
    assert differ > 0


def test_images_of_four_bands():
    library = make_library(4, bands=4)
    assert composer(library=library).canvas(Window(0, 0, 50, 40)).image.shape == (50, 40, 4)


@pytest.mark.parametrize("mask", [np.zeros((40, 30), bool), np.ones((40, 30), bool), np.ones((1, 1), bool)])
def test_masks_without_ground_or_without_buildings(mask):
    canvas = composer(mask).canvas(Window(0, 0, *mask.shape))
    assert canvas.image.shape == (*mask.shape, 3)
    red = canvas.image[..., 0] > canvas.image[..., 1]
    assert (red.mean() > 0.9) == bool(mask.all())
