"""Norms with the statistics of a scene: the network's own for a whole scene, and the same in every window."""

import pytest
import torch

from orthoforge.models.noise import NoiseField, place_noise
from orthoforge.models.scene_norm import has_image_statistics, with_statistics_of
from orthoforge.networks import build_generator


def network_of(name="resnet6", norm="instance", upsample="resize"):
    torch.manual_seed(1)
    network = build_generator(name, 3, width=4, norm=norm, upsample=upsample).eval().requires_grad_(False)
    for module in network.modules():  # group norm's own scale and shift must matter
        if isinstance(module, torch.nn.GroupNorm):
            torch.nn.init.normal_(module.weight, 1, 0.5)
            torch.nn.init.normal_(module.bias, 0, 0.5)
    place_noise(network, NoiseField(0))
    return network


def conditions(count, side, seed=0):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, side // 8, side // 8, generator=generator) < torch.linspace(0.1, 0.9, count)[:, None, None, None]
    return (coarse.float() * 2 - 1).repeat_interleave(8, 2).repeat_interleave(8, 3).repeat(1, 3, 1, 1)


@pytest.mark.parametrize("norm", ["instance", "group"])
@pytest.mark.parametrize("name", ["resnet6", "resunet6", "unet256"])
def test_of_the_whole_scene_they_are_the_networks_own(name, norm):
    network, scene = network_of(name, norm), conditions(1, 256)
    frozen = with_statistics_of(network, scene)
    assert has_image_statistics(network) and not has_image_statistics(frozen)
    assert torch.allclose(frozen(scene), network(scene), atol=1e-5)


@pytest.mark.parametrize("norm", ["instance", "group"])
def test_of_several_windows_they_are_those_of_the_windows_as_one(norm):
    network, windows = network_of(norm=norm), conditions(4, 32)
    pad, conv, norm_of_image = network.stem[:3]
    features = conv(pad(windows))  # (4, C, 32, 32)
    as_one = features.permute(1, 0, 2, 3).reshape(1, -1, 4 * 32, 32)
    expected = norm_of_image(as_one).reshape(-1, 4, 32, 32).permute(1, 0, 2, 3)
    frozen = with_statistics_of(network, windows).stem[2]
    assert torch.allclose(frozen(features), expected, atol=1e-5)
    assert not torch.allclose(norm_of_image(features), expected, atol=1e-2)


def test_a_window_then_depends_on_nothing_beyond_its_reach():
    network = network_of("resnet6")
    reach = network.reach
    frozen = with_statistics_of(network, conditions(2, 64))
    scene = conditions(1, 256)
    changed = scene.clone()
    changed[..., 128 + reach + 1 :, :] *= -1
    assert torch.equal(frozen(scene)[..., :129, :], frozen(changed)[..., :129, :])
    assert not torch.equal(network(scene)[..., :129, :], network(changed)[..., :129, :])


def test_the_network_itself_is_left_alone():
    network = network_of()
    before = network(conditions(1, 64))
    with_statistics_of(network, conditions(2, 64, seed=5))
    assert torch.equal(network(conditions(1, 64)), before)
