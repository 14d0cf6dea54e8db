"""One battery for every generator, and what the seed's facts say of each."""

import itertools

import pytest
import torch
from torch import nn

from orthoforge.models.generators import GENERATORS, STRIDE, ResidualBlock, ResizeConv2d, build_generator

NORMS, UPSAMPLES = ("batch", "instance"), ("transposed", "resize")
EVERY = list(itertools.product(GENERATORS, NORMS, UPSAMPLES))
PARAMETERS = {  # at 3 channels and width 64
    ("resnet6", "batch"): 7_841_411, ("resnet6", "instance"): 7_837_699,
    ("resnet9", "batch"): 11_383_427, ("resnet9", "instance"): 11_378_179,  # the seed's 11.38 M, both
    ("resunet6", "batch"): 8_219_459, ("resunet6", "instance"): 8_215_747,
    ("resunet9", "batch"): 11_761_475, ("resunet9", "instance"): 11_756_227,
}  # fmt: skip


def small(name="resnet6", norm="batch", upsample="transposed", channels=3, width=4):
    torch.manual_seed(0)
    return build_generator(name, channels, width=width, norm=norm, upsample=upsample)


def convolutions(network):
    return {n: m for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)}


@pytest.mark.parametrize(("name", "norm", "upsample"), EVERY)
def test_parameter_counts(name, norm, upsample):
    with torch.device("meta"):
        network = GENERATORS[name](3, width=64, norm=norm, upsample=upsample)
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name, norm]


@pytest.mark.parametrize(("name", "norm", "upsample"), EVERY)
def test_an_image_of_the_conditions_size_in_minus_one_to_one_and_gradients_everywhere(name, norm, upsample):
    network = small(name, norm, upsample, channels=5)
    condition = torch.randn(2, 5, 24, 32)
    image = network(condition)
    assert image.shape == (2, 3, 24, 32)
    assert image.abs().max() <= 1
    assert image.std() > 0
    image.square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    weights = [p for p in network.parameters() if p.dim() == 4]
    assert all((p.grad != 0).any() for p in weights)


@pytest.mark.parametrize(("name", "norm", "upsample"), EVERY)
def test_a_bias_only_before_instance_norm_and_in_the_last_layer(name, norm, upsample):
    network = small(name, norm, upsample)
    layers = convolutions(network)
    assert layers.pop("head.1").bias is not None
    assert len(layers) == 5 + 2 * int(name[-1])
    assert all((layer.bias is not None) == (norm == "instance") for layer in layers.values())


@pytest.mark.parametrize("name", GENERATORS)
def test_padding_reflects_wherever_the_seed_reflects(name):
    network = small(name)
    pads = [m.padding[0] for m in network.modules() if isinstance(m, nn.ReflectionPad2d)]
    assert pads == [3] + [1, 1] * int(name[-1]) + [3]
    inside = {n: m.padding for n, m in convolutions(network).items()}
    assert {n for n, padding in inside.items() if padding != (0, 0)} == {"down1.0", "down2.0", "up1.0", "up2.0"}


@pytest.mark.parametrize("norm", NORMS)
def test_a_block_ends_in_a_relu_after_the_sum(norm):
    block = ResidualBlock(2, norm).eval()
    for parameter in block.parameters():
        nn.init.zeros_(parameter)  # the body adds nothing
    x = torch.tensor([-1.0, 2.0]).reshape(1, 2, 1, 1).repeat(1, 1, 4, 4)
    assert torch.equal(block(x), x.clamp(min=0))


def test_instance_norm_has_neither_weights_nor_running_statistics():
    network = small(norm="instance")
    norms = [m for m in network.modules() if isinstance(m, nn.InstanceNorm2d)]
    assert len(norms) == 5 + 2 * 6
    assert not any(m.affine or m.track_running_stats for m in norms)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    assert not list(network.buffers())


def test_instance_norm_makes_an_image_independent_of_its_batch_and_batch_norm_does_not():
    conditions = torch.randn(3, 3, 16, 16)
    for norm in NORMS:
        network = small(norm=norm)
        alone, together = network(conditions[:1]), network(conditions)[:1]
        assert torch.allclose(alone, together, atol=1e-5) == (norm == "instance")


@pytest.mark.parametrize("norm", NORMS)
def test_initial_weights(norm):
    network = small(norm=norm, width=32)
    for layer in convolutions(network).values():
        count = layer.weight.numel()
        assert abs(layer.weight.mean().item()) < 5 * 0.02 / count**0.5
        assert layer.weight.std().item() == pytest.approx(0.02, rel=5 / (2 * count) ** 0.5)
        assert layer.bias is None or not layer.bias.any()
    scales = [m.weight for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(scales) == (17 if norm == "batch" else 0)
    if scales:
        values = torch.cat(scales)
        assert values.mean().item() == pytest.approx(1, abs=5 * 0.02 / len(values) ** 0.5)
        assert values.std().item() == pytest.approx(0.02, rel=0.2)
        assert not any(m.bias.any() for m in network.modules() if isinstance(m, nn.BatchNorm2d))


@pytest.mark.parametrize("bias", [True, False])
def test_resizing_and_convolving_in_one_is_the_same_as_one_after_the_other(bias):
    torch.manual_seed(0)
    layer = ResizeConv2d(3, 5, 3, bias=bias).double()
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64, requires_grad=True)
    resized = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
    expected = nn.functional.conv2d(resized, layer.weight, layer.bias, padding=1)
    found = layer(x)
    torch.testing.assert_close(found, expected)
    direction = torch.randn_like(found)
    for wanted in (x, *layer.parameters()):
        one, other = (torch.autograd.grad((y * direction).sum(), wanted, retain_graph=True)[0] for y in (found, expected))
        torch.testing.assert_close(one, other)


def test_a_flat_image_stays_flat_through_resizing_and_shows_a_checkerboard_through_transposing():
    # One level after another, at random weights: inside, away from the borders.
    flat = torch.ones(1, 3, 12, 12)
    torch.manual_seed(0)
    resized = ResizeConv2d(3, 4, 3)(flat)[..., 3:-3, 3:-3]
    transposed = nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1)(flat)[..., 3:-3, 3:-3]
    assert resized.std(dim=(2, 3)).max() < 1e-6
    assert transposed.std(dim=(2, 3)).min() > 1e-3


def test_initial_weights_are_a_function_of_the_seed():
    one, same = small(), small()
    torch.manual_seed(1)
    other = build_generator("resnet6", 3, width=4, norm="batch", upsample="transposed")
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.head[1].weight, other.head[1].weight)


def pixel_pattern_left(network):
    """How much of a checkerboard of single pixels gets through when the bottleneck is silenced."""
    network = network.eval()
    for block in network.blocks:
        block.register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
    board = (torch.arange(32)[:, None] + torch.arange(32)) % 2 * 2.0 - 1
    patterned = network(board.expand(1, 3, 32, 32))
    return (patterned - network(-board.expand(1, 3, 32, 32))).abs().max().item()


@pytest.mark.parametrize("upsample", UPSAMPLES)
def test_skips_carry_a_pattern_of_single_pixels_past_the_bottleneck(upsample):
    assert pixel_pattern_left(small("resnet6", upsample=upsample)) == 0  # no way around the blocks
    assert pixel_pattern_left(small("resunet6", upsample=upsample)) > 1e-4


@pytest.mark.parametrize("stage", ["stem", "down1", "down2"])
def test_each_skip_is_used(stage):
    network = small("resunet6").eval()
    decoder = {"stem": network.head, "down1": network.up1, "down2": network.up2}[stage]
    condition = torch.randn(1, 3, 16, 16)
    before = network(condition)
    layer = next(m for m in decoder if isinstance(m, nn.Conv2d | nn.ConvTranspose2d))
    with torch.no_grad():  # the second half of the inputs are the encoder's features
        inputs = layer.weight if isinstance(layer, nn.ConvTranspose2d) else layer.weight.transpose(0, 1)
        inputs[inputs.shape[0] // 2 :] = 0
    assert not torch.allclose(before, network(condition), atol=1e-6)


def test_the_stride_is_what_the_networks_take():
    network = small("resunet6")
    assert network(torch.zeros(1, 3, 4 * STRIDE, 5 * STRIDE)).shape[2:] == (16, 20)
    with pytest.raises(RuntimeError):
        network(torch.zeros(1, 3, 16, 4 * STRIDE + 2))
