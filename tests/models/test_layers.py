"""Norms, upsampling, noise and initial weights, layer by layer."""

from typing import get_args

import pytest
import torch
from torch import nn

from orthoforge.models.layers import (
    NoiseDropout,
    Norm,
    ReflectionPad2d,
    ResizeConv2d,
    group_count,
    has_bias,
    init_weights,
    norm_layer,
    reflected,
)

KINDS = (*get_args(Norm), "none")


def test_every_norm_has_its_layer_and_a_bias_stands_before_it_where_it_shifts_nothing_itself():
    layers = {kind: norm_layer(kind, 8) for kind in KINDS}
    assert {kind: type(layer) for kind, layer in layers.items()} == {
        "batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d, "group": nn.GroupNorm, "none": nn.Identity,
    }  # fmt: skip
    for kind, layer in layers.items():
        assert has_bias(kind) == (not list(layer.parameters()))
    assert list(layers["instance"].buffers()) == list(layers["group"].buffers()) == []


@pytest.mark.parametrize(
    ("channels", "groups"),
    [
        (1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (37, 1),  # too narrow, or prime
        (8, 2), (12, 3), (16, 4), (32, 8), (36, 9), (48, 12), (80, 20),
        (64, 32), (96, 32), (128, 32), (192, 32), (256, 32), (512, 32),
    ],
)  # fmt: skip
def test_groups_are_32_or_leave_four_channels_each(channels, groups):
    assert group_count(channels) == groups


def test_groups_divide_the_channels_and_none_is_a_channel_alone():
    for channels in range(2, 600):
        groups = group_count(channels)
        assert channels % groups == 0
        assert groups <= 32
        assert channels // groups >= 2
        norm_layer("group", channels)


def test_group_norm_remembers_how_channels_of_a_group_compare_and_instance_norm_does_not():
    x = torch.arange(4.0).reshape(1, 4, 1, 1) + 0.1 * torch.randn(1, 4, 8, 8)
    means = {kind: norm_layer(kind, 4)(x).mean(dim=(0, 2, 3)) for kind in ("group", "instance")}
    assert means["group"].diff().min() > 0.5
    assert means["instance"].abs().max() < 1e-5


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (6, 7), (8, 8), (8, 9), (12, 13)])  # the last two in one, the others step by step
def test_resizing_and_convolving_in_one_is_the_same_as_one_after_the_other(bias, size):
    torch.manual_seed(0)
    layer = ResizeConv2d(3, 5, 3, bias=bias).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    resized = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
    expected = nn.functional.conv2d(resized, layer.weight, layer.bias, padding=1)
    found = layer(x)
    torch.testing.assert_close(found, expected)
    direction = torch.randn_like(found)
    for wanted in (x, *layer.parameters()):
        one, other = (torch.autograd.grad((y * direction).sum(), wanted, retain_graph=True)[0] for y in (found, expected))
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kernel", [{"kernel_size": 3, "output_padding": 1}, {"kernel_size": 4}])
def test_a_flat_image_stays_flat_through_resizing_and_shows_a_checkerboard_through_transposing(kernel):
    # One level after another, at random weights: inside, away from the borders.
    flat = torch.ones(1, 3, 12, 12)
    torch.manual_seed(0)
    resized = ResizeConv2d(3, 4, 3)(flat)[..., 3:-3, 3:-3]
    transposed = nn.ConvTranspose2d(3, 4, stride=2, padding=1, **kernel)(flat)[..., 3:-3, 3:-3]
    assert resized.std(dim=(2, 3)).max() < 1e-6
    assert transposed.std(dim=(2, 3)).min() > 1e-3


def test_noise_drops_the_share_asked_for_and_scales_the_rest_whether_training_or_not():
    torch.manual_seed(0)
    for layer in (NoiseDropout(0.3).train(), NoiseDropout(0.3).eval()):
        dropped = layer(torch.ones(4, 8, 32, 32))
        assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)  # 32 768 draws: sigma 0.0025
        assert dropped[dropped != 0].unique().tolist() == [pytest.approx(1 / 0.7)]


def seeded(layer, x):
    torch.manual_seed(3)
    return layer(x)


def test_what_is_dropped_is_a_function_of_the_seed_and_the_shape():
    layer, x = NoiseDropout().eval(), torch.ones(2, 8, 5, 7)
    once = seeded(layer, x)
    assert torch.equal(once, seeded(layer, x))
    assert torch.equal(once, seeded(layer, x.bfloat16()).float())
    columns = seeded(layer, x.to(memory_format=torch.channels_last))
    assert columns.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(once, columns)
    assert not torch.equal(once, layer(x))  # the generator has run on


def test_noise_lets_gradients_through_where_it_keeps():
    x = torch.ones(1, 4, 8, 8, requires_grad=True)
    dropped = NoiseDropout()(x)
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped.detach())  # 0 or 2, as the values of ones


def test_scales_of_affine_norms_scatter_around_one():
    torch.manual_seed(0)
    network = init_weights(nn.Sequential(nn.GroupNorm(32, 4096), nn.BatchNorm2d(4096), nn.InstanceNorm2d(4096)))
    for norm in network[:2]:
        assert norm.weight.mean().item() == pytest.approx(1, abs=5 * 0.02 / 64)
        assert norm.weight.std().item() == pytest.approx(0.02, rel=0.1)
        assert not norm.bias.any()


def test_on_the_meta_device_nothing_is_drawn(monkeypatch):
    """Drawing there imports torch's compiler, which takes seconds before the first image."""
    monkeypatch.setattr(nn.init, "normal_", None)  # would fail if it were called
    with torch.device("meta"):
        network = init_weights(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)))
    assert all(parameter.is_meta for parameter in network.parameters())
    with pytest.raises(TypeError):
        init_weights(nn.Conv2d(1, 2, 3))


@pytest.mark.parametrize("pad", [ReflectionPad2d(2), lambda x: reflected(x, 2)])
def test_autocast_pads_what_a_convolution_takes_and_in_its_type(pad):
    x = torch.randn(1, 2, 5, 6, requires_grad=True)
    expected = nn.ReflectionPad2d(2)(x)
    assert torch.equal(pad(x), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert nn.ReflectionPad2d(2)(x).dtype == torch.float32, "or there is nothing to win"
        padded = pad(x)
        assert torch.is_autocast_enabled("cpu")
    assert padded.dtype == torch.bfloat16
    assert torch.equal(padded, expected.bfloat16())
    padded.sum().backward()
    assert x.grad.dtype == torch.float32
    assert x.grad.sum() == padded.numel()


@pytest.mark.parametrize("sides", [(5, 6), (4, 4)])
@pytest.mark.parametrize("px", [1, 3])
def test_gradients_of_a_reflection_and_theirs_are_right_and_lie_as_its_image_does(px, sides):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *sides, dtype=torch.float64).contiguous(memory_format=torch.channels_last).requires_grad_()
    padded = reflected(x, px)
    assert padded.grad_fn.name() == "_ReflectedBackward"
    assert torch.equal(padded, nn.ReflectionPad2d(px)(x))
    (gradient,) = torch.autograd.grad(padded, x, torch.ones_like(padded))
    assert gradient.is_contiguous(memory_format=torch.channels_last)
    assert torch.autograd.gradcheck(reflected, (x, px))
    assert torch.autograd.gradgradcheck(reflected, (x, px))
