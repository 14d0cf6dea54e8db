"""PatchGANs of every size, and the PixelGAN."""

import hashlib
import itertools
from typing import get_args

import pytest
import torch
from torch import nn

from orthoforge.models.discriminators import DiscriminatorNorm, receptive_field_px
from orthoforge.networks import build_discriminator

NORMS = get_args(DiscriminatorNorm)
SHAPES = [("patch", layers) for layers in (1, 2, 3, 4, 5)] + [("pixel", 3)]
EVERY = [(*shape, norm) for shape, norm in itertools.product(SHAPES, NORMS)]


def small(kind="patch", layers=3, norm="batch", channels=3):
    torch.manual_seed(0)
    return build_discriminator(channels, width=2, kind=kind, layers=layers, norm=norm)


def of(network, *kinds):
    return [m for m in network.modules() if isinstance(m, kinds)]


@pytest.fixture(scope="module")
def full_size():
    torch.manual_seed(0)
    return build_discriminator(3, width=64)


def test_parameters(full_size):
    assert sum(p.numel() for p in full_size.parameters()) == 2_768_705  # the seed's 2.77 M
    pixel = build_discriminator(3, width=64, kind="pixel")
    # Weights, biases of the first and the last, batch norm.
    assert sum(p.numel() for p in pixel.parameters()) == (6 * 64 + 64 * 128 + 128) + (64 + 1) + 2 * 128


def test_layers_are_those_of_the_paper(full_size):
    convolutions = of(full_size, nn.Conv2d)
    assert [c.out_channels for c in convolutions] == [64, 128, 256, 512, 1]
    assert [c.stride[0] for c in convolutions] == [2, 2, 2, 1, 1]
    assert all(c.kernel_size == (4, 4) for c in convolutions)
    assert [c.bias is not None for c in convolutions] == [True, False, False, False, True]
    assert convolutions[0].in_channels == 6
    assert [m.num_features for m in of(full_size, nn.BatchNorm2d)] == [128, 256, 512]
    assert {m.negative_slope for m in of(full_size, nn.LeakyReLU)} == {0.2}


def test_names_and_initial_values_are_those_that_checkpoints_and_figures_were_made_with():
    weights = build_seeded(5, width=64).state_dict()
    names = "\n".join(f"{key} {tuple(tensor.shape)}" for key, tensor in weights.items())
    values = torch.cat([tensor.flatten() for tensor in weights.values() if tensor.is_floating_point()]).double()
    assert hashlib.sha256(names.encode()).hexdigest()[:16] == "6c41dc4743eb9ddb"
    # The last bits of a normal deviate differ from one kind of CPU to another.
    assert (values * torch.arange(len(values)).double().cos()).sum().item() == pytest.approx(22.112867893534222, abs=1e-5)


def build_seeded(*arguments, **settings):
    torch.manual_seed(0)
    return build_discriminator(*arguments, **settings)


@pytest.mark.parametrize(
    ("layers", "channels"),
    [(1, [64, 128]), (2, [64, 128, 256]), (4, [64, 128, 256, 512, 512]), (5, [64, 128, 256, 512, 512, 512])],
)
def test_other_sizes_grow_to_eight_times_the_width_and_no_further(layers, channels):
    with torch.device("meta"):
        network = build_discriminator(3, width=64, layers=layers)
    assert [c.out_channels for c in of(network, nn.Conv2d)] == [*channels, 1]
    assert [c.stride[0] for c in of(network, nn.Conv2d)] == [2] * layers + [1, 1]


def test_the_pixel_discriminator_has_but_one_pixel_wide_filters():
    with torch.device("meta"):
        network = build_discriminator(3, width=64, kind="pixel")
    assert [c.out_channels for c in of(network, nn.Conv2d)] == [64, 128, 1]
    assert {(c.kernel_size, c.stride, c.padding) for c in of(network, nn.Conv2d)} == {((1, 1), (1, 1), (0, 0))}


@pytest.mark.parametrize(("kind", "layers", "norm"), EVERY)
def test_first_and_last_have_a_bias_and_others_where_no_norm_shifts(kind, layers, norm):
    biased = [c.bias is not None for c in of(small(kind, layers, norm), nn.Conv2d)]
    assert biased == [True] + [norm in ("instance", "none")] * (len(biased) - 2) + [True]


@pytest.mark.parametrize(("kind", "layers", "norm"), EVERY)
def test_a_norm_after_every_convolution_but_the_first_and_the_last(kind, layers, norm):
    network = small(kind, layers, norm)
    normed = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d, "group": nn.GroupNorm, "none": nn.Identity}[norm]
    norms = of(network, nn.BatchNorm2d, nn.InstanceNorm2d, nn.GroupNorm, nn.Identity)
    assert [type(m) for m in norms] == [normed] * (len(of(network, nn.Conv2d)) - 2)


@pytest.mark.parametrize("side", [32, 64, 100, 256])
def test_one_logit_for_every_8_px_less_two(side):
    discriminator = build_discriminator(5, width=2)
    logits = discriminator(torch.zeros(2, 5, side, side), torch.zeros(2, 3, side, side))
    assert logits.shape == (2, 1, side // 8 - 2, side // 8 - 2)


@pytest.mark.parametrize(("kind", "layers", "norm"), EVERY)
def test_logits_and_gradients_everywhere(kind, layers, norm):
    network = small(kind, layers, norm, channels=5)
    side = 1 if kind == "pixel" else 2**layers
    logits = network(torch.randn(2, 5, 5 * side, 4 * side), torch.randn(2, 3, 5 * side, 4 * side))
    assert logits.shape == (2, 1, 5, 4) if kind == "pixel" else (2, 1, 3, 2)
    logits.square().mean().backward()
    assert all(p.grad is not None and (p.grad != 0).any() for p in network.parameters() if p.dim() == 4)


def test_the_fields_of_the_paper():
    assert [receptive_field_px("patch", layers) for layers in (1, 2, 3, 4, 5)] == [16, 34, 70, 142, 286]
    assert receptive_field_px("pixel", 3) == 1


@pytest.mark.parametrize(("kind", "layers"), SHAPES)
def test_a_logit_sees_a_patch_of_exactly_its_receptive_field(kind, layers):
    discriminator = small(kind, layers).eval()  # batch statistics would look at the whole image
    for parameter in discriminator.parameters():
        nn.init.constant_(parameter, 0.1)  # nothing cancels, no ReLU is dead
    field = receptive_field_px(kind, layers)
    side = 16 * -(-2 * field // 16)
    image = torch.rand(1, 3, side, side, requires_grad=True)
    logits = discriminator(torch.rand(1, 3, side, side), image)
    middle = logits.shape[-1] // 2
    logits[0, 0, middle, middle].backward()
    touched = image.grad[0].abs().sum(dim=0) > 0  # (H, W)
    rows, columns = touched.any(dim=1).nonzero().flatten(), touched.any(dim=0).nonzero().flatten()
    assert rows.max() - rows.min() + 1 == columns.max() - columns.min() + 1 == field
    assert touched[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all()


@pytest.mark.parametrize("kind", ["patch", "pixel"])
def test_it_judges_the_image_and_the_mask(kind):
    discriminator = small(kind).eval()
    condition, image = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)
    logits = discriminator(condition, image)
    assert not torch.allclose(logits, discriminator(condition, image + 0.5))
    assert not torch.allclose(logits, discriminator(condition + 0.5, image))


@pytest.mark.parametrize(("kind", "norm"), itertools.product(["patch", "pixel"], NORMS))
def test_a_verdict_depends_on_the_batch_only_through_batch_norm(kind, norm):
    discriminator, conditions, images = small(kind, norm=norm), torch.randn(3, 3, 32, 32), torch.randn(3, 3, 32, 32)
    alone, together = discriminator(conditions[:1], images[:1]), discriminator(conditions, images)[:1]
    assert torch.allclose(alone, together, atol=1e-5) == (norm != "batch")
