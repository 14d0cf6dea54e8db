"""The U-Net of pix2pix, layer by layer."""

import pytest
import torch
from torch import nn

from orthoforge.models.layers import NoiseDropout, ResizeConv2d
from orthoforge.networks import build_generator

HALVINGS = {"unet256": 8, "unet512": 9}
NORMS = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d, "group": nn.GroupNorm}


def small(name="unet256", norm="batch", upsample="transposed", width=2):
    torch.manual_seed(0)
    return build_generator(name, 3, width=width, norm=norm, upsample=upsample)


def full_size(name, norm="batch", upsample="transposed"):
    with torch.device("meta"):
        return build_generator(name, 3, width=64, norm=norm, upsample=upsample)


def of(network, *kinds):
    return [m for m in network.modules() if isinstance(m, kinds)]


@pytest.mark.parametrize("name", HALVINGS)
def test_layers_are_those_of_the_paper(name):
    network, deeper = full_size(name), HALVINGS[name] - 8
    encoder, decoder = of(network, nn.Conv2d), of(network, nn.ConvTranspose2d)
    # C64-C128-C256-C512-C512-C512-C512-C512 and back CD512-CD1024-CD1024-C1024-C1024-C512-C256-C128, the latter with the skips.
    assert [c.out_channels for c in encoder] == [64, 128, 256] + [512] * (5 + deeper)
    assert [c.in_channels for c in decoder] == [512] + [1024] * (4 + deeper) + [512, 256, 128]
    assert [c.out_channels for c in decoder] == [512] * (4 + deeper) + [256, 128, 64, 3]
    assert all((c.kernel_size, c.stride, c.padding) == ((4, 4), (2, 2), (1, 1)) for c in encoder + decoder)
    assert [m.negative_slope for m in of(network, nn.LeakyReLU)] == [0.2] * (7 + deeper)
    assert len(of(network, nn.ReLU)) == 8 + deeper
    assert [m.probability for m in of(network, NoiseDropout)] == [0.5] * 3
    assert [layer[-1].__class__ is NoiseDropout for layer in network.decoder] == [True] * 3 + [False] * (4 + deeper)


@pytest.mark.parametrize("name", HALVINGS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("upsample", ["transposed", "resize"])
def test_a_norm_after_every_layer_but_the_first_the_innermost_and_the_last(name, norm, upsample):
    network = small(name, norm, upsample)
    layers = [
        layer if isinstance(layer, nn.Sequential) else [layer] for layer in (*network.encoder, *network.decoder, network.head)
    ]
    normed = [any(isinstance(m, NORMS[norm]) for m in layer) for layer in layers]
    halvings = HALVINGS[name]
    assert normed == [False] + [True] * (halvings - 2) + [False] + [True] * (halvings - 1) + [False]
    biased = [m.bias is not None for layer in layers for m in layer if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert biased == [norm == "instance" or not has_norm for has_norm in normed]
    assert len(of(network, ResizeConv2d)) == (halvings if upsample == "resize" else 0)


def test_the_bottleneck_is_one_pixel_and_not_erased():
    network = small().train()
    seen = []
    network.encoder[-1].register_forward_hook(lambda module, inputs, output: seen.append(output.clone()))
    network(torch.randn(2, 3, 256, 256))
    assert seen[0].shape == (2, 16, 1, 1)
    assert seen[0].abs().max() > 1e-4


@pytest.mark.parametrize("norm", NORMS)
def test_one_image_is_a_batch_also_in_training(norm):
    image = small(norm=norm).train()(torch.randn(1, 3, 256, 256))  # batch norm takes no single value; there is none to take
    assert image.isfinite().all()
    assert image.std() > 0


@pytest.mark.parametrize("name", HALVINGS)
def test_every_skip_is_used_and_sees_a_relu(name):
    network = small(name).eval()
    side = 2 ** HALVINGS[name]
    for level, layer in enumerate((*network.decoder[1:], network.head)):
        inputs = []
        handle = layer[1].register_forward_pre_hook(lambda module, args, inputs=inputs: inputs.append(args[0]))
        network(torch.randn(1, 3, side, side))
        handle.remove()
        own, skipped = inputs[0].chunk(2, dim=1)
        assert skipped.shape[2] == 2 ** (level + 1)
        assert (own >= 0).all() and (skipped >= 0).all()
        assert skipped.max() > 0


def test_a_pattern_of_single_pixels_gets_past_the_bottleneck():
    network = small().eval()
    for layer in network.decoder:
        layer.register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
    condition = torch.randn(1, 3, 256, 256)
    assert (network(condition) - network(-condition)).abs().max() > 1e-3  # by the outermost skip alone


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("upsample", ["transposed", "resize"])
def test_the_seed_decides_the_noise_also_after_training(norm, upsample):
    network, condition = small(norm=norm, upsample=upsample), torch.randn(1, 3, 256, 256)
    for module in of(network, nn.BatchNorm2d):
        module.momentum = 1.0
    network(condition)  # at running statistics of 0 and 1 the untrained decoder passes next to nothing on
    network.eval()

    def image(seed):
        torch.manual_seed(seed)
        with torch.inference_mode():
            return network(condition)

    assert torch.equal(image(1), image(1))
    assert not torch.allclose(image(1), image(2), atol=1e-4)


def test_the_condition_that_went_in_is_left_as_it_was():
    condition = torch.randn(1, 3, 256, 256)
    before = condition.clone()
    small()(condition)
    assert torch.equal(condition, before)
