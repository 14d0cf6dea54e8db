"""The 70×70 PatchGAN."""

import pytest
import torch
from torch import nn

from orthoforge.models.discriminators import RECEPTIVE_FIELD_PX, build_discriminator


@pytest.fixture(scope="module")
def full_size():
    torch.manual_seed(0)
    return build_discriminator(3, width=64)


def test_parameters(full_size):
    assert sum(p.numel() for p in full_size.parameters()) == 2_768_705  # the seed's 2.77 M


def test_layers_are_those_of_the_paper(full_size):
    convolutions = [m for m in full_size.modules() if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [64, 128, 256, 512, 1]
    assert [c.stride[0] for c in convolutions] == [2, 2, 2, 1, 1]
    assert all(c.kernel_size == (4, 4) for c in convolutions)
    assert [c.bias is not None for c in convolutions] == [True, False, False, False, True]
    assert convolutions[0].in_channels == 6
    assert [m.num_features for m in full_size.modules() if isinstance(m, nn.BatchNorm2d)] == [128, 256, 512]
    assert {m.negative_slope for m in full_size.modules() if isinstance(m, nn.LeakyReLU)} == {0.2}


@pytest.mark.parametrize("side", [32, 64, 100, 256])
def test_one_logit_for_every_8_px_less_two(side):
    discriminator = build_discriminator(5, width=2)
    logits = discriminator(torch.zeros(2, 5, side, side), torch.zeros(2, 3, side, side))
    assert logits.shape == (2, 1, side // 8 - 2, side // 8 - 2)


def test_a_logit_sees_a_patch_of_exactly_70_px():
    discriminator = build_discriminator(3, width=2).eval()  # batch statistics would look at the whole image
    for parameter in discriminator.parameters():
        nn.init.constant_(parameter, 0.1)  # nothing cancels, no ReLU is dead
    image = torch.rand(1, 3, 160, 160, requires_grad=True)
    logits = discriminator(torch.rand(1, 3, 160, 160), image)
    logits[0, 0, 9, 9].backward()
    touched = image.grad[0].abs().sum(dim=0) > 0  # (160, 160)
    rows, columns = touched.any(dim=1).nonzero().flatten(), touched.any(dim=0).nonzero().flatten()
    assert RECEPTIVE_FIELD_PX == 70
    assert rows.max() - rows.min() + 1 == columns.max() - columns.min() + 1 == 70
    assert touched[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all()


def test_it_judges_the_image_and_the_mask():
    torch.manual_seed(0)
    discriminator = build_discriminator(3, width=2).eval()
    condition, image = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)
    logits = discriminator(condition, image)
    assert not torch.allclose(logits, discriminator(condition, image + 0.5))
    assert not torch.allclose(logits, discriminator(condition + 0.5, image))
