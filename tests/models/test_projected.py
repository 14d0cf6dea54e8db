"""The projected discriminator: what it sees, what of it is trained, and what bounds it."""

import pytest
import torch
from torch import nn

from orthoforge.models.perceptual import load_features
from orthoforge.networks import build_discriminator

CHANNELS = (5, 7, 9)
SIDES = (32, 16, 8)


def small(channels=CHANNELS, seed=0, width=4, condition_channels=3):
    torch.manual_seed(seed)
    return build_discriminator(condition_channels, width=width, kind="projected", feature_channels=channels)


def features_of(batch=1, seed=1):
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, channels, side, side, generator=draw) for channels, side in zip(CHANNELS, SIDES, strict=True)]


def test_logits_of_every_scale_half_as_wide_as_its_features():
    logits = small(condition_channels=6)(torch.randn(2, 6, 64, 64), features_of(batch=2))
    assert [tuple(each.shape) for each in logits] == [(2, 1, 16, 16), (2, 1, 8, 8), (2, 1, 4, 4)]
    assert all(each.std() > 0 for each in logits)


def test_without_a_condition_it_gives_as_many_logits_a_cell_as_it_is_asked_for():
    torch.manual_seed(0)
    network = build_discriminator(0, width=4, kind="projected", feature_channels=CHANNELS, outputs=4).eval()
    logits = network(torch.randn(1, 3, 64, 64), features_of())
    assert [tuple(each.shape) for each in logits] == [(1, 4, 16, 16), (1, 4, 8, 8), (1, 4, 4, 4)]
    for one, other in zip(logits, network(torch.randn(1, 3, 64, 64), features_of()), strict=True):
        assert torch.equal(one, other), "it does not see the mask"


def test_it_takes_the_features_of_the_recipes():
    layers = ["stage1", "stage2", "stage3", "stage5"]
    features = load_features("efficientnet-lite0", layers)
    assert features.channels == [16, 24, 40, 112]
    discriminator, image = small(features.channels), torch.rand(1, 3, 96, 96, requires_grad=True)
    logits = discriminator(torch.randn(1, 3, 96, 96), features(image))
    assert [each.shape[-1] for each in logits] == [24, 12, 6, 3]
    sum(each.sum() for each in logits).backward()
    assert (image.grad.abs().sum(dim=1) > 0).all(), "what a generator learns from comes through to every pixel"
    assert all(parameter.grad is None for parameter in features.parameters())


def test_the_mixing_is_not_trained_but_kept():
    one, other = small(seed=0), small(seed=1)
    mixing = {f"across_channels{scale}" for scale in range(3)} | {f"across_scales{scale}" for scale in range(2)}
    assert mixing <= one.state_dict().keys()
    assert not mixing & {name for name, _ in one.named_parameters()}
    condition, features = torch.randn(1, 3, 64, 64), features_of()
    before = {name: tensor.clone() for name, tensor in one.state_dict().items()}
    optimizer = torch.optim.SGD(one.parameters(), lr=1.0)
    sum(each.sum() for each in one(condition, features)).backward()
    optimizer.step()
    after = one.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in mixing)
    assert not any(torch.equal(parameter, before[name]) for name, parameter in one.named_parameters())
    other.load_state_dict(after)
    one.eval(), other.eval()  # in training each call improves the estimate of the spectral norm
    for logits, same in zip(one(condition, features), other(condition, features), strict=True):
        assert torch.equal(logits, same), "of another mixing they would be others"


def test_mixing_keeps_the_variance():
    torch.manual_seed(0)
    network = build_discriminator(3, width=1, kind="projected", feature_channels=(64, 64))
    seen = []
    for head in network.heads:
        head.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0][:, :-3]))
    network(torch.zeros(8, 3, 64, 64), [torch.randn(8, 64, side, side) for side in (32, 16)])
    # The fine one has the coarse one's added, which bilinear interpolation has smoothed.
    assert seen[1].var().item() == pytest.approx(1, rel=0.2)
    assert 0.5 < seen[0].var().item() < 1.2


def test_every_scale_sees_its_own_features_and_the_coarser_ones_and_no_finer():
    network, condition = small().eval(), torch.randn(1, 3, 64, 64)
    logits = network(condition, features_of())
    for changed in range(3):
        features = features_of()
        features[changed] = -features[changed]
        others = network(condition, features)
        assert [not torch.allclose(a, b, atol=1e-5) for a, b in zip(logits, others, strict=True)] == [
            scale <= changed for scale in range(3)
        ]


def test_every_head_reacts_to_the_mask_where_it_lies():
    network, features = small().eval(), features_of()
    condition = torch.full((1, 3, 64, 64), -1.0)
    roof = condition.clone()
    roof[..., 48:, :] = 1.0
    for bare, built in zip(network(condition, features), network(roof, features), strict=True):
        apart = (built - bare).abs().amax(dim=(0, 1, 3))
        assert apart[-1] > 1e-4
        assert apart[0] < 1e-6, "far from the roof nothing changes"


def test_each_convolution_stretches_no_more_than_its_spectral_norm():
    network = small()
    for head in network.heads:
        for layer in head:
            if isinstance(layer, nn.Conv2d):
                layer.parametrizations.weight.original.data.mul_(100)  # as a step that went astray
    network.train()
    condition, features = torch.randn(1, 3, 64, 64), features_of()
    for _ in range(50):  # a power iteration each
        network(condition, features)
    network.eval()
    largest = [
        torch.linalg.matrix_norm(layer.weight.flatten(start_dim=1), ord=2).item()
        for head in network.heads
        for layer in head
        if isinstance(layer, nn.Conv2d)
    ]
    assert len(largest) == 9
    assert largest == pytest.approx([1] * 9, rel=0.02)


def test_a_verdict_does_not_depend_on_the_batch():
    network, condition = small().eval(), torch.randn(3, 3, 64, 64)
    features = features_of(batch=3)
    alone = network(condition[:1], [layer[:1] for layer in features])
    for one, together in zip(alone, network(condition, features), strict=True):
        torch.testing.assert_close(one, together[:1], atol=1e-5, rtol=0)
