"""Masks and images to [-1, 1] and back."""

import numpy as np
import pytest
import torch

from orthoforge.models.conditions import class_maps, condition_channels, decode_image, encode_image, encode_mask


def test_a_building_mask_is_repeated_as_often_as_an_image_has_channels():
    mask = torch.tensor([[[0, 255]]], dtype=torch.uint8)  # (1, 1, 2)
    assert encode_mask(mask, None).tolist() == [[[[-1.0, 1.0]]] * 3]
    assert condition_channels(None) == 3


def test_classes_become_one_channel_each():
    mask = torch.tensor([[[0, 2, 1]]], dtype=torch.uint8)
    assert encode_mask(mask, 4).tolist() == [[[[1, -1, -1]], [[-1, -1, 1]], [[-1, 1, -1]], [[-1, -1, -1]]]]
    assert condition_channels(4) == 4


def test_each_class_has_its_map_and_so_has_what_is_no_building():
    mask = torch.tensor([[[0, 255]]], dtype=torch.uint8)
    assert class_maps(encode_mask(mask, None), None).tolist() == [[[[1, 0]], [[0, 1]]]]
    classes = torch.tensor([[[0, 2, 1]]], dtype=torch.uint8)
    assert class_maps(encode_mask(classes, 3), 3).tolist() == [[[[1, 0, 0]], [[0, 0, 1]], [[0, 1, 0]]]]


def test_every_byte_survives_the_way_to_minus_one_to_one_and_back():
    image = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).repeat(1, 1, 1, 3)
    encoded = encode_image(image)
    assert encoded.shape == (1, 3, 16, 16)
    assert (encoded.min().item(), encoded.max().item()) == (-1.0, 1.0)
    np.testing.assert_array_equal(decode_image(encoded), image)


@pytest.mark.parametrize(("value", "byte"), [(-1.5, 0), (1.5, 255), (0.0, 128), (0.004, 128), (-0.004, 127)])
def test_decoding_rounds_and_stays_in_range(value, byte):
    assert decode_image(torch.full((1, 3, 1, 1), value)).flatten().tolist() == [byte] * 3


def test_decoding_takes_bfloat16_without_losing_levels_to_its_arithmetic():
    values = torch.linspace(-1, 1, 101, dtype=torch.bfloat16).reshape(1, 1, 1, -1).repeat(1, 3, 1, 1)
    assert torch.equal(decode_image(values), decode_image(values.float()))
