"""ResNet generators: what the seed's facts say of them."""

import hashlib
import itertools

import pytest
import torch
from torch import nn

from orthoforge.models.resnet import STRIDE, ResidualBlock
from orthoforge.networks import build_generator

NAMES = ("resnet6", "resnet9", "resunet6", "resunet9")
NORMS, UPSAMPLES = ("batch", "instance", "group"), ("transposed", "resize")
EVERY = list(itertools.product(NAMES, NORMS, UPSAMPLES))
# Of the networks that the first checkpoints were made with, width 8, seed 0: names and shapes of a state dict, and its values
# multiplied by cos(0), cos(1), … and summed.
FINGERPRINTS = {
    ("resnet6", "batch", "transposed"): ("c0fddeb9851a6803", 1.9172704512819942),
    ("resnet6", "batch", "resize"): ("ccfe80bf704c134f", 1.9172704512819942),
    ("resnet6", "instance", "transposed"): ("f14a0eb9179db0e3", 10.001078847476702),
    ("resnet9", "batch", "transposed"): ("cdbcf67cc4bfecf6", 1.7708252219489036),
    ("resnet9", "instance", "resize"): ("e50829ffa0df3a9f", -1.9083769189569972),
    ("resunet6", "batch", "transposed"): ("e0e4e4deffa08463", -1.8662849818631577),
    ("resunet6", "instance", "resize"): ("b7dc5e4724774372", 3.2416699776022724),
    ("resunet9", "batch", "resize"): ("46c132c70023dce5", 5.560633758420184),
    ("resunet9", "instance", "transposed"): ("6fb37258e263955e", 2.249488433583628),
}


def small(name="resnet6", norm="batch", upsample="transposed", channels=3, width=4):
    torch.manual_seed(0)
    return build_generator(name, channels, width=width, norm=norm, upsample=upsample)


def convolutions(network):
    return {n: m for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)}


@pytest.mark.parametrize(("name", "norm", "upsample"), FINGERPRINTS)
def test_names_and_initial_values_are_those_that_checkpoints_and_figures_were_made_with(name, norm, upsample):
    weights = small(name, norm, upsample, width=8).state_dict()
    names = "\n".join(f"{key} {tuple(tensor.shape)}" for key, tensor in weights.items())
    values = torch.cat([tensor.flatten() for tensor in weights.values() if tensor.is_floating_point()]).double()
    expected_names, expected_sum = FINGERPRINTS[name, norm, upsample]
    assert hashlib.sha256(names.encode()).hexdigest()[:16] == expected_names
    # The last bits of a normal deviate differ from one kind of CPU to another.
    assert (values * torch.arange(len(values)).double().cos()).sum().item() == pytest.approx(expected_sum, abs=1e-5)


@pytest.mark.parametrize(("name", "norm", "upsample"), EVERY)
def test_a_bias_only_before_instance_norm_and_in_the_last_layer(name, norm, upsample):
    network = small(name, norm, upsample)
    layers = convolutions(network)
    assert layers.pop("head.1").bias is not None
    assert len(layers) == 5 + 2 * int(name[-1])
    assert all((layer.bias is not None) == (norm == "instance") for layer in layers.values())


@pytest.mark.parametrize("name", NAMES)
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


@pytest.mark.parametrize("norm", NORMS)
def test_initial_weights(norm):
    network = small(norm=norm, width=32)
    for layer in convolutions(network).values():
        count = layer.weight.numel()
        assert abs(layer.weight.mean().item()) < 5 * 0.02 / count**0.5
        assert layer.weight.std().item() == pytest.approx(0.02, rel=5 / (2 * count) ** 0.5)
        assert layer.bias is None or not layer.bias.any()
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d | nn.GroupNorm)]
    assert len(norms) == (0 if norm == "instance" else 17)
    if norms:
        scales = torch.cat([m.weight for m in norms])
        assert scales.mean().item() == pytest.approx(1, abs=5 * 0.02 / len(scales) ** 0.5)
        assert scales.std().item() == pytest.approx(0.02, rel=0.2)
        assert not any(m.bias.any() for m in norms)


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
    assert small("resunet6")(torch.zeros(1, 3, 4 * STRIDE, 5 * STRIDE)).shape[2:] == (16, 20)
