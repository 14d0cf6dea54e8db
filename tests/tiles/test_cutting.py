from itertools import pairwise

import numpy as np
import pytest
import torch
from affine import Affine
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from rasterio.crs import CRS

from orthoforge.errors import ConfigError, GridError
from orthoforge.geo.grid import Grid
from orthoforge.masks.classes import Classes
from orthoforge.tiles import cutting
from orthoforge.tiles.cutting import Cut, cut_by_gsd, cut_by_number, cut_images, cut_masks

UTM = CRS.from_epsg(32633)


def reader(array):
    return lambda window: np.ascontiguousarray(array[window.slices])


def grid(height, width, gsd_m=0.3, crs=UTM):
    return Grid(height, width, Affine(gsd_m, 0, 500_000, 0, -gsd_m, 5_000_000), crs)


def areas(mask, size):
    """Share of ones in each pixel of a size² grid, from the definition: the overlap of every pair of intervals."""
    weights = []
    for length in mask.shape:
        borders = np.arange(length + 1) * size
        low, high = np.arange(size)[:, None] * length, np.arange(1, size + 1)[:, None] * length
        weights.append(np.clip(np.minimum(high, borders[1:]) - np.maximum(low, borders[:-1]), 0, None))
    return weights[0] @ mask.astype(np.int64) @ weights[1].T, mask.size


@pytest.mark.parametrize(("side", "size"), [(500, 143), (100, 30), (64, 64), (40, 96), (286, 100)])
def test_images_resize_as_pillow_does(side, size):
    scene = np.random.default_rng(side).integers(0, 256, (side, 2 * side, 3), np.uint8)
    tiles = cut_images(reader(scene), Cut(side, side, 1, 2), 0, size)
    for col, tile in enumerate(tiles):
        window = Image.fromarray(scene[:, col * side : (col + 1) * side])
        expected = np.asarray(window.resize((size, size), Image.Resampling.BICUBIC)).astype(int)
        assert np.abs(tile.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("height", "width", "size"), [(200, 200, 60), (100, 130, 33), (30, 20, 50)])
def test_strips_give_the_same_bits_as_one_call(monkeypatch, height, width, size):
    monkeypatch.setattr(cutting, "_STRIP_PIXELS", 7 * width)
    scene = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    planar = torch.from_numpy(scene).permute(2, 0, 1)[None].contiguous()
    whole = torch.nn.functional.interpolate(planar, size=(size, size), mode="bicubic", antialias=True)
    tile = cut_images(reader(scene), Cut(height, width, 1, 1), 0, size)[0]
    np.testing.assert_array_equal(tile, whole[0].permute(1, 2, 0))


@given(
    height=st.integers(1, 40), width=st.integers(1, 40), size=st.integers(1, 30), strip=st.integers(1, 200), seed=st.integers(0, 99)
)
def test_a_mask_pixel_is_building_when_half_its_area_is(height, width, size, strip, seed):
    mask = np.random.default_rng(seed).integers(0, 2, (height, 2 * width), np.uint8)
    kept, cutting._STRIP_PIXELS = cutting._STRIP_PIXELS, strip
    try:
        masks, shares = cut_masks(reader(mask * 255), Cut(height, width, 1, 2), 0, size, None)
    finally:
        cutting._STRIP_PIXELS = kept
    for col in range(2):
        window = mask[:, col * width : (col + 1) * width]
        counted, whole = areas(window, size)
        np.testing.assert_array_equal(masks[col], np.where(2 * counted >= whole, 255, 0))
        assert shares[col] == pytest.approx(window.mean(), abs=1e-12)


def test_exactly_half_is_building_and_less_is_not():
    mask = np.zeros((2, 4), np.uint8)
    mask[0, :2] = 255
    mask[0, 2] = 255
    masks, _ = cut_masks(reader(mask), Cut(2, 2, 1, 2), 0, 1, None)
    assert masks.ravel().tolist() == [255, 0]


def test_rows_beyond_a_byte_are_counted():
    mask = np.full((1300, 2), 255, np.uint8)
    masks, shares = cut_masks(reader(mask), Cut(1300, 2, 1, 1), 0, 2, None)
    assert (masks == 255).all()
    assert shares.tolist() == [1.0]


def test_classes_take_what_covers_most_of_a_pixel():
    labels = np.array([[2, 2, 0, 1], [2, 1, 1, 1], [0, 0, 3, 3], [0, 3, 3, 0]], np.uint8)
    masks, shares = cut_masks(reader(labels), Cut(4, 4, 1, 1), 0, 2, Classes(("land", "building", "road", "water"), ()))
    assert masks[0].tolist() == [[2, 1], [0, 3]]
    assert shares.tolist() == [4 / 16]


def test_classes_without_a_building_class_have_no_share():
    labels = np.ones((4, 4), np.uint8)
    assert cut_masks(reader(labels), Cut(4, 4, 1, 1), 0, 2, Classes(("land", "road"), ()))[1].tolist() == [0]


@pytest.mark.parametrize(("side", "size", "first", "last"), [(500, 143, 130, 330), (100, 286, 30, 61), (300, 299, 10, 150)])
def test_a_white_square_stays_where_it_is(side, size, first, last):
    mask = np.zeros((side, side), np.uint8)
    mask[first:last, first:last] = 255
    masks, _ = cut_masks(reader(mask), Cut(side, side, 1, 1), 0, size, None)
    images = cut_images(reader(np.repeat(mask[..., None], 3, axis=2)), Cut(side, side, 1, 1), 0, size)
    scale = size / side
    # Half a pixel for the mask; an image's grey at an edge is rounded to 8 bits as well.
    for tile, most in ((masks[0] > 127, 0.5), (images[0, ..., 0] > 127, 0.55)):
        rows, cols = (np.flatnonzero(tile.any(axis=axis)) for axis in (1, 0))
        for found in (rows, cols):
            assert abs(found[0] - first * scale) <= most + 1e-9
            assert abs(found[-1] + 1 - last * scale) <= most + 1e-9


def test_tiles_do_not_see_their_neighbours():
    scene = np.zeros((100, 200, 3), np.uint8)
    scene[:, 100:] = 255
    left, right = cut_images(reader(scene), Cut(100, 100, 1, 2), 0, 30)
    assert (left == 0).all()
    assert (right == 255).all()


@given(height=st.integers(1, 300), width=st.integers(1, 300), count=st.integers(1, 12))
def test_cutting_by_number_gives_squares_inside_the_scene(height, width, count):
    cut = cut_by_number(grid(height, width), count)
    if cut is None:
        assert min(height, width) < count
        return
    assert cut.height == cut.width == min(height, width) // count
    assert min(cut.rows, cut.cols) == count
    assert cut.rows * cut.height <= height
    assert cut.cols * cut.width <= width
    assert cut.rest(grid(height, width)) == pytest.approx(1 - cut.rows * cut.cols * cut.height**2 / (height * width))


def test_a_square_scene_gives_n_by_n_whatever_its_size():
    assert cut_by_number(grid(10, 10), 4) == Cut(2, 2, 4, 4)
    assert cut_by_number(grid(5000, 5000), 5) == Cut(1000, 1000, 5, 5)
    assert cut_by_number(grid(901, 1182), 1) == Cut(901, 901, 1, 1)


def test_cutting_by_gsd_takes_true_ground_metres():
    assert cut_by_gsd("a", grid(1000, 1000, 0.3), 0.6, 100) == Cut(200, 200, 5, 5)
    # Web mercator at 60° north: a pixel of 1 unit is half a metre on the ground.
    mercator = Grid(400, 400, Affine(1, 0, 0, 0, -1, 8_399_738), CRS.from_epsg(3857))
    cut = cut_by_gsd("a", mercator, 1.0, 50)
    assert cut.height == cut.width == pytest.approx(100, abs=1)
    # Degrees at 60° north, the same number both ways: a pixel is half as wide as it is high.
    degrees = Grid(400, 400, Affine(1e-5, 0, 10, 0, -1e-5, 60.002), CRS.from_epsg(4326))
    cut = cut_by_gsd("a", degrees, 2.0, 50)
    assert cut.width == pytest.approx(2 * cut.height, rel=0.02)


def test_a_scene_of_almost_that_gsd_keeps_its_pixels():
    assert cut_by_gsd("a", grid(300, 300, 0.3), 0.3011, 128).height == 128
    assert cut_by_gsd("a", grid(300, 300, 0.3), 0.305, 128).height == 130
    assert cut_by_gsd("a", grid(300, 300, 0.3), 0.28, 128).height == 119
    assert cut_by_gsd("a", grid(100, 300, 0.3), 0.3, 128) is None


def test_finer_pixels_than_the_scenes_are_refused():
    with pytest.raises(ConfigError, match=r"austin1: its pixels are 1 m, so tiles of 0\.3 m would hold invented detail"):
        cut_by_gsd("austin1", grid(300, 300, 1.0), 0.3, 64)


def test_a_scene_without_crs_has_no_gsd():
    with pytest.raises(GridError, match=r"austin1: does not say how large its pixels are.*has no CRS.*--grid"):
        cut_by_gsd("austin1", Grid(300, 300), 0.3, 64)


@given(width=st.integers(1, 20_000), size=st.sampled_from([1, 64, 143, 286, 542, 1024]), full=st.floats(0, 1))
@example(width=5000, size=542, full=1.0)
@example(width=20_000, size=1024, full=1.0)
def test_areas_of_long_rows_are_counted_without_overflow(width, size, full):
    # Windows of up to 20 000²: one row of areas, each as large as so high a window makes it, against Python's integers.
    height, building = width, round(full * width)
    row = np.where(np.arange(width) < building, height, 0).astype(np.uint32)
    counted = cutting._sum_columns(row[None, None], size, height)[0, 0]
    borders = [min(index * width, building * size) * height for index in range(size + 1)]
    expected = [high - low for low, high in pairwise(borders)]
    assert counted.tolist() == expected


def test_a_large_window_full_of_building_is_all_building():
    # 1500² px at 2048 px: areas beyond 2³², as in the whole scenes of 5000² px that the recipes of 2021 cut.
    side, size = 1500, 2048
    masks, shares = cut_masks(lambda window: np.full(window[2:], 255, np.uint8), Cut(side, side, 1, 1), 0, size, None)
    assert (masks == 255).all()
    assert shares.tolist() == [1.0]
    labels = lambda window: np.full(window[2:], 2, np.uint8)  # noqa: E731
    classes, shares = cut_masks(labels, Cut(side, side, 1, 1), 0, size, Classes(("land", "road", "building"), ()))
    assert (classes == 2).all()
    assert shares.tolist() == [1.0]
