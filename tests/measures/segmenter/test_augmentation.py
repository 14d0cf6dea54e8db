"""Strong augmentation: what changes, what stays, and that a key says all."""

import colorsys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orthoforge.measures.segmenter.augmentation import _hue_turned, source_px, strongly_augmented


def crops(side, count=3):
    """Dark ground, and a bright square on it that the mask shows."""
    masks = np.zeros((count, side, side), np.uint8)
    masks[:, side // 4 : side // 2, side // 4 : side // 2] = 255
    images = np.where(masks[..., None] > 0, np.uint8(190), np.uint8(60)).repeat(3, axis=-1)
    return images, masks


def test_a_crop_is_a_function_of_its_key_alone():
    images, masks = crops(46)
    keys = [(0, 5, 1, number) for number in range(3)]
    first = strongly_augmented(images, masks, crop_px=32, keys=keys)
    assert first[0].shape == (3, 32, 32, 3)
    assert first[1].shape == (3, 32, 32)
    one = strongly_augmented(images[2:], masks[2:], crop_px=32, keys=keys[2:])
    np.testing.assert_array_equal(one[0][0], first[0][2])
    np.testing.assert_array_equal(one[1][0], first[1][2])
    assert not np.array_equal(first[0][0], first[0][1]), "another number, another crop"
    assert images[0, 0, 0].tolist() == [60] * 3, "what is given is left as it is"


@given(st.integers(0, 10_000))
def test_image_and_mask_are_scaled_alike_and_a_mask_has_no_value_of_its_own(number):
    images, masks = crops(46, 1)
    (image,), (mask,) = strongly_augmented(images, masks, crop_px=32, keys=[(0, number)])
    assert set(np.unique(mask)) <= {0, 255}
    if 20 < (mask > 0).sum() < 1000:
        inside, outside = image[mask > 0].mean(), image[mask == 0].mean()
        assert inside > outside, "whatever the colours, the square is where the mask says"


def test_the_ground_that_a_crop_shows_lies_between_the_scales():
    """Rows and columns that tell where they were: 1 px of the source is 0.7 to 1.4 px of the crop."""
    masks = np.broadcast_to(np.arange(100, dtype=np.uint8), (200, 100, 100)).copy()
    images = np.zeros((200, 100, 100, 3), np.uint8)
    _, turned = strongly_augmented(images, masks, crop_px=64, keys=[(1, number) for number in range(200)])
    spans = (turned[:, 0, -1].astype(int) - turned[:, 0, 0]) / 63
    assert 1 / 1.4 - 0.02 <= spans.min() < 0.8
    assert 1.3 < spans.max() <= 1 / 0.7 + 0.02
    assert len(np.unique(turned[:, 0, 0])) > 20, "at random places"


def test_a_tile_without_room_is_mirrored_at_its_edges():
    assert [source_px(128, size) for size in (128, 150, 224)] == [128, 150, 183]
    images, masks = crops(32, 40)
    augmented, _ = strongly_augmented(images, masks, crop_px=32, keys=[(2, number) for number in range(40)])
    assert augmented.shape == (40, 32, 32, 3)


def test_hue_turns_as_in_hsv_and_grey_stays():
    grey = np.full((1, 1, 3), 90, np.float32)
    np.testing.assert_allclose(_hue_turned(grey, 0.2), grey, rtol=1e-5)
    red = np.array([[[255, 0, 0]]], np.float32)
    np.testing.assert_allclose(_hue_turned(red, 1 / 3)[0, 0], [0, 255, 0], atol=1e-3)
    hue = colorsys.rgb_to_hsv(*(_hue_turned(np.array([[[200, 100, 100]]], np.float32), 0.05)[0, 0] / 255))[0]
    assert hue == pytest.approx(0.05, abs=0.01)


def test_colours_vary_widely_over_many_crops():
    images, masks = np.full((60, 40, 40, 3), (120, 110, 90), np.uint8), np.zeros((60, 40, 40), np.uint8)
    means = strongly_augmented(images, masks, crop_px=28, keys=[(3, number) for number in range(60)])[0].mean(axis=(1, 2))
    assert means.mean(axis=1).std() > 15, "brightness"
    assert (means[:, 0] - means[:, 2]).std() > 8, "colour"
