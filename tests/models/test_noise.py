"""Noise by place: a window sees what the whole plane holds there, and it looks like noise."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from orthoforge.models.layers import NoiseDropout
from orthoforge.models.noise import NoiseField, is_noisy, place_noise
from orthoforge.networks import build_generator

CPU = torch.device("cpu")
places = st.integers(-(2**20), 2**20)


def values(field, shape=(1, 4, 32, 32), *, layer=0, stride=1):
    return field.uniform(layer, torch.Size(shape), stride, CPU)


@given(places, places, st.integers(0, 20), st.integers(0, 20), st.sampled_from([1, 4, 64]))
def test_a_window_sees_what_lies_there(row, col, down, right, stride):
    row, col = row * stride, col * stride
    whole = values(NoiseField(3, row, col), stride=stride)
    window = values(NoiseField(3, row + down * stride, col + right * stride), (1, 4, 8, 8), stride=stride)
    assert torch.equal(window, whole[..., down : down + 8, right : right + 8])


def test_it_is_uniform_and_neighbours_are_independent():
    noise = values(NoiseField(0), (1, 16, 128, 128)).double()
    assert 0 <= noise.min() < 1e-4 and 1 - 1e-4 < noise.max() < 1
    counts = torch.histc(noise, bins=64, min=0, max=1)
    expected = noise.numel() / 64
    # The sum of 64 squared deviations is chi-square with 63 degrees of freedom: mean 63, deviation 11.
    assert ((counts - expected) ** 2 / expected).sum() < 63 + 5 * 11.2
    centred = noise - noise.mean()
    for axis in (1, 2, 3):
        neighbours = (centred * centred.roll(1, axis)).mean() / centred.var()
        assert abs(neighbours) < 5 / noise.numel() ** 0.5, axis


@pytest.mark.parametrize(
    "other", [NoiseField(1), NoiseField(2**32), NoiseField(0, 1), NoiseField(0, 0, 1), NoiseField(-1)], ids=repr
)
def test_other_seeds_and_places_have_other_noise(other):
    a, b = values(NoiseField(0)).flatten(), values(other).flatten()
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / len(a) ** 0.5
    assert not torch.equal(values(NoiseField(0)), values(NoiseField(0), layer=1))


def test_dropout_by_place_drops_its_share_and_keeps_the_mean():
    layer, x = NoiseDropout(0.3, stride=4), torch.ones(2, 8, 50, 50)
    layer.noise_fields = (NoiseField(7, 40, 80),)
    out = layer(x)
    assert torch.equal(out[0], out[1])
    assert out.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert out.mean() == pytest.approx(1, abs=0.02)
    assert torch.equal(layer(x), out)
    layer.noise_fields = (NoiseField(7, 40, 80), NoiseField(7, 44, 80))  # a cell further down for the second image
    two = layer(x)
    assert torch.equal(two[0], out[0]) and torch.equal(two[1, :, :-1], out[0, :, 1:])
    layer.noise_fields = ()
    assert not torch.equal(layer(x), out)


def test_only_networks_with_noise_are_noisy():
    noisy, still = (build_generator(name, 3, width=2, norm="batch", upsample="transposed") for name in ("unet256", "resnet6"))
    assert is_noisy(noisy) and not is_noisy(still)
    place_noise(noisy, NoiseField(5))
    layers = [module for module in noisy.modules() if isinstance(module, NoiseDropout)]
    assert [module.noise_fields for module in layers] == [(NoiseField(5),)] * 3
    assert [(module.layer, module.stride) for module in layers] == [(0, 128), (1, 64), (2, 32)]
