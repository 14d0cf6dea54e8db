"""Winograd's convolutions beside plain ones."""

import pytest
import torch
import torch.nn.functional as F

from orthoforge.models import winograd

NATIVE = torch.ops.aten.convolution_backward


def drawn(channels, out, height, width, padding):
    """An image, a kernel, and a gradient of what they make, in float64."""
    torch.manual_seed(0)
    x = torch.randn(2, channels, height, width, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(out, channels, 3, 3, dtype=torch.float64)
    return x, weight, torch.randn_like(F.conv2d(x, weight, padding=padding))


def plain(x, weight, gradient, padding):
    """The convolution, and its gradients to both."""
    ways = None, [1, 1], [padding] * 2, [1, 1], False, [0, 0], 1, [True, True, False]
    return F.conv2d(x, weight, padding=padding), *NATIVE(gradient, x, weight, *ways)[:2]


def by_winograd(x, weight, gradient, padding):
    return winograd.convolved(x, weight, padding), *winograd.gradients(x, weight, gradient, padding)


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize(("height", "width"), [(18, 18), (6, 7), (13, 21), (3, 40)])
def test_exact_values_are_those_of_a_convolution_and_its_gradients(height, width, padding):
    given = *drawn(3, 5, height, width, padding), padding
    for own, exact in zip(by_winograd(*given), plain(*given), strict=True):
        assert own.shape == exact.shape
        torch.testing.assert_close(own, exact, rtol=0, atol=1e-12)


def test_float32_rounds_little_more_than_a_plain_convolution():
    """Three times as much at the points that were chosen; at 2 in place of 1/2 five times."""
    tensors = drawn(128, 128, 34, 34, 0)
    exact = plain(*tensors, 0)
    of_both = [way(*(tensor.float() for tensor in tensors), 0) for way in (by_winograd, plain)]
    for own, native, true in zip(*of_both, exact, strict=True):
        assert float((own - true).norm() / true.norm()) < 2e-6
        assert float((own - true).norm()) < 5 * float((native - true).norm())


def test_what_it_makes_lies_in_channels_last():
    made, of_x, _ = by_winograd(*drawn(3, 5, 18, 18, 1), 1)
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert of_x.is_contiguous(memory_format=torch.channels_last)


def test_forms_that_are_given_are_not_made_again(monkeypatch):
    x, weight, gradient = drawn(3, 5, 13, 21, 1)
    given = winograd.forms(x, weight, 1)
    expected = winograd.convolved(x, weight, 1), *winograd.gradients(x, weight, gradient, 1)
    monkeypatch.delattr(winograd, "forms")
    found = winograd.convolved(x, weight, 1, given=given), *winograd.gradients(x, weight, gradient, 1, given)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_a_bias_is_added():
    x, weight, _ = drawn(3, 5, 13, 21, 1)
    bias = torch.arange(5.0, dtype=torch.float64)
    torch.testing.assert_close(winograd.convolved(x, weight, 1, bias), F.conv2d(x, weight, bias, padding=1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("channels", [48, 192])
def test_narrow_maps_round_little_more_than_plain_float32(channels):
    x, weight, gradient = drawn(channels, channels, 18, 18, 0)
    rounded = by_winograd(*(each.float() for each in (x, weight, gradient)), 0)
    for one, exact in zip(rounded, plain(x, weight, gradient, 0), strict=True):
        assert float((one - exact).norm()) < 3e-6 * float(exact.norm())


def test_a_gradient_of_weights_lies_in_memory_as_weights_do():
    _, of_weight = winograd.gradients(*drawn(3, 5, 12, 12, 0), 0)
    assert of_weight.is_contiguous(memory_format=torch.channels_last)
