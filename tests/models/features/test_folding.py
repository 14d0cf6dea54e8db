"""A folded network gives the same values, whatever the size, and with or without oneDNN's fused operations."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from orthoforge.models.features import folding
from orthoforge.models.features.efficientnet import InvertedBottleneck
from orthoforge.models.features.folding import clamped, convolved_by_channel, folded
from orthoforge.models.perceptual import load_features

LAYERS = ("stem", "stage2", "stage5", "stage7", "head")


@pytest.fixture(scope="module")
def plain():
    return load_features("efficientnet-lite0", LAYERS)


def smooth(count, height, width):
    torch.manual_seed(0)
    coarse = torch.rand(count, 3, -(-height // 8), -(-width // 8)) * 2 - 1
    return nn.functional.interpolate(coarse, size=(height, width), mode="bilinear").contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("size", [(1, 64, 96), (3, 50, 37), (2, 33, 40)])
def test_values_are_the_same_to_rounding(plain, size, fused, monkeypatch):
    if not fused:
        monkeypatch.setattr(folding, "_LINEAR", None)
        monkeypatch.setattr(folding, "_CONVOLUTION", None)
    images = smooth(*size)
    with torch.inference_mode():
        expected, found = plain(images), folded(plain)(images)
    for layer, one, other in zip(LAYERS, expected, found, strict=True):
        assert one.shape == other.shape, layer
        assert (one - other).abs().max() < 1e-4 * one.abs().max(), layer


def test_nothing_is_left_to_normalise_and_the_network_itself_stays(plain):
    fast = folded(plain)
    kinds = {type(module) for module in fast.modules()}
    assert not kinds & {nn.BatchNorm2d, InvertedBottleneck}
    assert {nn.BatchNorm2d, InvertedBottleneck} <= {type(module) for module in plain.modules()}
    assert not any(parameter.requires_grad for parameter in fast.parameters())


def test_what_it_was_given_is_not_written_over(plain):
    images, fast = smooth(1, 64, 64), folded(plain)
    before = images.clone()
    with torch.inference_mode():
        first = [maps.clone() for maps in fast(images)]
        second = fast(images)
    assert torch.equal(images, before)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("kernel", "sides"), [(3, (9, 12)), (5, (13, 8)), (3, (3, 4))])
def test_convolutions_by_channel_pass_on_the_gradients_that_they_should(kernel, sides, kind):
    torch.manual_seed(0)
    x, weight, bias = (torch.randn(shape).to(kind) for shape in ((2, 4, *sides), (4, 1, kernel, kernel), (4,)))
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    expected = nn.functional.conv2d(x, weight, bias, stride=2, groups=4)
    found = convolved_by_channel(x, weight, bias)
    assert torch.equal(found, expected)
    incoming = torch.randn_like(expected)
    slope = torch.autograd.grad(found, x, incoming)[0]
    assert slope.is_contiguous(memory_format=torch.channels_last)
    # To what is exact: PyTorch's own bfloat16 is off by more on processors without it.
    precise = x.detach().double().requires_grad_()
    of_precise = nn.functional.conv2d(precise, weight.double(), bias.double(), stride=2, groups=4)
    exact = torch.autograd.grad(of_precise, precise, incoming.double())[0]
    torch.testing.assert_close(slope.double(), exact, rtol=0, atol=torch.finfo(kind).eps * float(exact.abs().max()))


def test_features_that_are_learnt_from_convolve_by_channel(plain, monkeypatch):
    sizes = []
    monkeypatch.setattr(folding, "convolved_by_channel", lambda *given: sizes.append(len(given[1])) or convolved_by_channel(*given))
    fast, images = folded(plain), smooth(1, 64, 64)
    with torch.no_grad():
        expected = fast(images)
    assert not sizes
    found = fast(images.requires_grad_())
    assert sizes == [96, 144, 240, 672], "of the four stages that halve the map"
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4 * float(other.abs().max()))


def test_a_clamp_passes_on_the_gradients_of_a_relu6_and_keeps_no_copy():
    torch.manual_seed(0)
    x = (torch.randn(2, 3, 4, 5, dtype=torch.float64) * 6).requires_grad_()
    assert torch.equal(clamped(x * 1), nn.functional.relu6(x))
    assert torch.autograd.gradcheck(lambda x: clamped(x * 1), x)
    assert torch.autograd.gradgradcheck(lambda x: clamped(x * 1), x), "as a gradient penalty asks"
    called = []

    class Calls(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            called.append(str(operation))
            return operation(*args, **(kwargs or {}))

    y = x * 1
    with Calls():
        clamped(y)
    assert set(called) == {"aten.clamp_.default", "aten.detach.default"}
