"""Discriminators: is this image, under this mask, real? One logit a patch."""

import torch
from torch import Tensor, nn

from orthoforge.models.generators import init_weights

RECEPTIVE_FIELD_PX = 70


class PatchDiscriminator(nn.Module):
    """The 70×70 PatchGAN of pix2pix (Isola et al. 2017, appendix 6.1.2): each logit judges a patch of 70 px.

    Batch norm whatever the generator's norm. Condition (N, C, H, W) and image (N, 3, H, W) in; logits (N, 1, H/8 − 2, W/8 − 2) out.
    """

    def __init__(self, condition_channels: int = 3, *, width: int = 64) -> None:
        super().__init__()
        w = width
        self.layers = nn.Sequential(
            nn.Conv2d(condition_channels + 3, w, 4, stride=2, padding=1), nn.LeakyReLU(0.2, True),
            nn.Conv2d(w, 2 * w, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(2 * w), nn.LeakyReLU(0.2, True),
            nn.Conv2d(2 * w, 4 * w, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(4 * w), nn.LeakyReLU(0.2, True),
            nn.Conv2d(4 * w, 8 * w, 4, stride=1, padding=1, bias=False), nn.BatchNorm2d(8 * w), nn.LeakyReLU(0.2, True),
            nn.Conv2d(8 * w, 1, 4, stride=1, padding=1),
        )  # fmt: skip

    def forward(self, condition: Tensor, image: Tensor) -> Tensor:
        return self.layers(torch.cat([condition, image], dim=1))


def build_discriminator(condition_channels: int, *, width: int) -> nn.Module:
    """A 70×70 PatchGAN with initial weights."""
    return init_weights(PatchDiscriminator(condition_channels, width=width))
