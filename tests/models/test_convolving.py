"""Convolutions whose gradients follow another way on some processors."""

import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from orthoforge.models import convolving
from orthoforge.models.convolving import Conv2d, ConvTranspose2d, conv2d, conv_transpose2d, weight_gradient
from orthoforge.models.discriminators import PatchDiscriminator
from orthoforge.models.layers import ResizeConv2d
from orthoforge.models.losses import gradient_penalty
from orthoforge.models.resnet import ResNetGenerator

WAYS = {"_ConvolutionBackward", "_TransposedBackward", "_WinogradBackward"}


@pytest.fixture
def slow(monkeypatch):
    """As on a processor with AVX2 alone."""
    monkeypatch.setattr(convolving, "_IS_SLOW_HERE", True)


@pytest.fixture
def everywhere(monkeypatch, slow):
    """There, whatever the size; by Winograd from 8 channels on."""
    winograds = {"_WINOGRAD_CHANNELS": 8, "_WINOGRAD_TILES": 0}
    for name, least in {**winograds, "_MANY_CHANNELS": 8, "_WIDE_PX": 0, "_FEW_CHANNELS": 0, "_LARGE_MAP": 0}.items():
        monkeypatch.setattr(convolving, name, least)


def image(*shape, dtype=torch.float32):
    return torch.randn(*shape, dtype=dtype).contiguous(memory_format=torch.channels_last)


def gradients(function, tensors, of):
    tensors = [tensor.detach().requires_grad_() for tensor in tensors]
    made = function(*tensors)
    return made, *torch.autograd.grad(made, tensors, of.to(made.dtype))


def require_near(own, native, exact):
    """Each tensor is as near to the exact one as PyTorch's own, times 3."""
    for one, other, true in zip(own, native, exact, strict=True):
        assert one.shape == true.shape
        rounded, natively = float((one - true).detach().norm()), float((other - true).detach().norm())
        assert rounded <= 3 * natively + 1e-7 * float(true.detach().norm())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "sides"),
    [(3, 1, 0, (18, 18)), (3, 1, 1, (13, 17)), (4, 2, 1, (16, 16)), (3, 2, 1, (16, 18)), (4, 1, 1, (9, 8)), (1, 1, 0, (8, 8)),
     (7, 1, 3, (12, 12)), (3, 2, 0, (12, 13)), (5, 3, 2, (17, 16)), (2, 3, 0, (9, 11))],
)  # fmt: skip
def test_a_convolution_and_its_gradients(everywhere, kernel, stride, padding, sides, bias):
    torch.manual_seed(0)
    tensors = [image(2, 6, *sides), image(5, 6, kernel, kernel), *([torch.randn(5)] if bias else [])]
    native = partial(F.conv2d, stride=stride, padding=padding)
    given = torch.randn_like(native(*tensors))
    own = gradients(partial(conv2d, stride=stride, padding=padding), tensors, given)
    assert own[0].grad_fn.name() == "_ConvolutionBackward"
    require_near(own, gradients(native, tensors, given), gradients(native, [tensor.double() for tensor in tensors], given))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "more"),
    [(4, 2, 1, 0), (3, 2, 1, 1), (3, 2, 1, 0), (3, 1, 1, 0), (2, 2, 0, 0), (5, 3, 1, 2)],
)  # fmt: skip
def test_a_transposed_convolution_and_its_gradients(everywhere, kernel, stride, padding, more, bias):
    torch.manual_seed(0)
    tensors = [image(2, 6, 8, 9), image(6, 5, kernel, kernel), *([torch.randn(5)] if bias else [])]
    ways = {"stride": stride, "padding": padding, "output_padding": (more, more)}
    native = partial(F.conv_transpose2d, **ways)
    given = torch.randn_like(native(*tensors))
    own = gradients(partial(conv_transpose2d, **ways), tensors, given)
    assert own[0].grad_fn.name() == "_TransposedBackward"
    require_near(own, gradients(native, tensors, given), gradients(native, [tensor.double() for tensor in tensors], given))


@pytest.mark.parametrize("padding", [0, 1])
def test_wide_3x3_convolutions_are_winograds(everywhere, padding):
    torch.manual_seed(0)
    tensors = [image(2, 16, 14, 18), image(12, 16, 3, 3), torch.randn(12)]
    native = partial(F.conv2d, padding=padding)
    given = torch.randn_like(native(*tensors))
    own = gradients(partial(conv2d, padding=padding), tensors, given)
    assert own[0].grad_fn.name() == "_WinogradBackward"
    for one, true in zip(own, gradients(native, [tensor.double() for tensor in tensors], given), strict=True):
        assert float((one - true).detach().norm()) < 3e-6 * float(true.detach().norm())


def test_a_gradient_of_weights_takes_any_precision():
    x, given = image(2, 3, 9, 10, dtype=torch.float64), image(2, 5, 4, 5, dtype=torch.float64)
    weight = torch.zeros(5, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    (exact,) = torch.autograd.grad(F.conv2d(x, weight, stride=2, padding=1), weight, given)
    torch.testing.assert_close(weight_gradient(x, given, 4, 2, 1), exact)


@pytest.mark.parametrize(
    "padded", [Conv2d(16, 16, 3, padding=1), ConvTranspose2d(4, 6, 4, stride=2, padding=1), Conv2d(4, 6, 4, 2, 1)]
)
def test_gradients_have_gradients(everywhere, padded):
    x = image(1, padded.in_channels, 8, 8).requires_grad_()

    def second(run):
        made = run(x).square().sum()
        (slope,) = torch.autograd.grad(made, x, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), (x, padded.weight))

    plain = partial(type(padded).__base__.forward, padded)
    for own, native in zip(second(padded), second(plain), strict=True):
        torch.testing.assert_close(own, native, rtol=1e-3, atol=1e-4 * float(native.abs().max()))


def test_a_gradient_penalty_is_right(everywhere):
    torch.manual_seed(0)
    critic = PatchDiscriminator(3, 3, width=8, norm="instance").to(memory_format=torch.channels_last)
    condition, real, fake = (image(2, 3, 64, 64) for _ in range(3))
    mix = torch.rand(2, 1, 1, 1)

    def of_weights(network, *images):
        penalty = gradient_penalty(partial(network, images[0]), *images[1:])
        return torch.autograd.grad(penalty, list(network.parameters()), allow_unused=True)

    own = of_weights(critic, condition, real, fake, mix)
    exact = of_weights(copy.deepcopy(critic).double(), *(tensor.double() for tensor in (condition, real, fake, mix)))
    assert sum(one is not None for one in own) >= 5
    largest = max(float(true.abs().max()) for true in exact if true is not None)
    for one, true in zip(own, exact, strict=True):
        assert (one is None) == (true is None)
        if one is not None:
            torch.testing.assert_close(one.double(), true, rtol=1e-3, atol=1e-5 * largest)


def nodes(made):
    """Names of all that a tensor's gradient passes."""
    seen, waiting = set(), [made.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
    return {node.name() for node in seen}


@pytest.mark.parametrize("upsample", ["transposed", "resize"])
def test_a_network_has_the_same_gradients(everywhere, monkeypatch, upsample):
    torch.manual_seed(0)
    network = ResNetGenerator(width=8, blocks=2, norm="group", upsample=upsample).to(memory_format=torch.channels_last)
    condition = image(1, 3, 32, 32)

    def of_weights():
        made = network(condition)
        return nodes(made), torch.autograd.grad(made.square().mean(), list(network.parameters()))

    ways, own = of_weights()
    assert ways >= WAYS
    monkeypatch.setattr(convolving, "_IS_SLOW_HERE", False)
    ways, native = of_weights()
    assert not ways & WAYS
    for one, other in zip(own, native, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))


def test_weights_have_their_usual_names_and_copies(everywhere):
    layer = spectral_norm(Conv2d(16, 16, 3, padding=1))
    assert set(layer.state_dict()) == set(spectral_norm(nn.Conv2d(16, 16, 3, padding=1)).state_dict())
    x = image(1, 16, 8, 8)
    assert torch.equal(copy.deepcopy(layer).eval()(x), layer.eval()(x))
    layer(x).sum().backward()
    assert layer.parametrizations.weight.original.grad is not None


@pytest.mark.parametrize(
    ("layer", "side", "way"),
    [
        (Conv2d(256, 256, 3), 66, "_WinogradBackward"),
        (Conv2d(64, 128, 3, stride=2, padding=1), 256, "_ConvolutionBackward"),
        (ConvTranspose2d(128, 64, 3, stride=2, padding=1, output_padding=1), 128, "_TransposedBackward"),
        (ResizeConv2d(128, 64, 3), 128, "_TransposedBackward"),
        (Conv2d(256, 512, 4, padding=1), 32, "_ConvolutionBackward"),
        (Conv2d(6, 64, 4, stride=2, padding=1), 256, "ConvolutionBackward0"),
        (Conv2d(64, 64, 3, padding=1), 16, "ConvolutionBackward0"),
        (Conv2d(512, 512, 4, stride=2, padding=1), 8, "ConvolutionBackward0"),
    ],
)
def test_sizes_for_which_it_pays_take_it(slow, layer, side, way):
    assert layer(image(1, layer.in_channels, side, side)).grad_fn.name() == way


@pytest.mark.parametrize(("images", "way"), [(8, "_WinogradBackward"), (7, "ConvolutionBackward0")])
def test_winograds_convolutions_pay_for_small_maps_of_many_images(slow, images, way):
    assert Conv2d(192, 192, 3)(image(images, 192, 10, 10)).grad_fn.name() == way


def test_nothing_changes_where_it_does_not_pay(everywhere, monkeypatch):
    layer, x = Conv2d(16, 16, 3), image(1, 16, 9, 9)
    assert layer(x).grad_fn.name() == "_WinogradBackward"
    assert layer(x.contiguous()).grad_fn.name() == "ConvolutionBackward0"
    assert layer.double()(x.double()).grad_fn.name() == "ConvolutionBackward0"
    layer.float()
    with torch.autocast("cpu", torch.bfloat16):
        assert "_WinogradBackward" not in nodes(layer(x))
    layer.requires_grad_(False)
    assert layer(x.requires_grad_()).grad_fn.name() == "ConvolutionBackward0"
    with torch.no_grad():
        assert torch.equal(layer(x), F.conv2d(x, layer.weight, layer.bias))
    layer.requires_grad_()
    with monkeypatch.context() as patched:
        patched.setattr(torch.compiler, "is_compiling", lambda: True)
        assert layer(x).grad_fn.name() == "ConvolutionBackward0"
    monkeypatch.setattr(convolving, "_IS_SLOW_HERE", False)
    assert layer(x).grad_fn.name() == "ConvolutionBackward0"
