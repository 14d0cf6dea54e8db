"""Discriminators: is this image, under this mask, real? One logit a patch."""

from typing import Literal

import torch
from torch import Tensor, nn

from orthoforge.models.convolving import Conv2d
from orthoforge.models.layers import has_bias, norm_layer

Kind = Literal["patch", "pixel", "projected"]
DiscriminatorNorm = Literal["batch", "instance", "group", "none"]


class PatchDiscriminator(nn.Module):
    """The PatchGAN of pix2pix (Isola et al. 2017, appendix 6.1.2): each logit judges one patch, of 70 px with three layers.

    ``layers`` convolutions of stride 2 and two of stride 1, all 4×4. Condition (N, C, H, W) and image (N, B, H, W) in; logits
    (N, 1, H/2ⁿ − 2, W/2ⁿ − 2) out, n being ``layers``.
    """

    def __init__(
        self, condition_channels: int = 3, bands: int = 3, *, width: int = 64, layers: int = 3, norm: DiscriminatorNorm = "batch"
    ) -> None:
        super().__init__()
        seen = condition_channels + bands
        modules: list[nn.Module] = [Conv2d(seen, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2, True)]
        inside = width
        for level in range(1, layers + 1):
            outside, stride = width * min(2**level, 8), 2 if level < layers else 1
            modules += [
                Conv2d(inside, outside, 4, stride=stride, padding=1, bias=has_bias(norm)),
                norm_layer(norm, outside),
                nn.LeakyReLU(0.2, True),
            ]
            inside = outside
        self.layers = nn.Sequential(*modules, Conv2d(inside, 1, 4, stride=1, padding=1))

    def forward(self, condition: Tensor, image: Tensor) -> Tensor:
        return self.layers(torch.cat([condition, image], dim=1))


class PixelDiscriminator(nn.Module):
    """The 1×1 PixelGAN of pix2pix (Isola et al. 2017, appendix 6.1.2): each logit judges a pixel by its colour and its mask.

    Condition (N, C, H, W) and image (N, B, H, W) in; logits (N, 1, H, W) out.
    """

    def __init__(self, condition_channels: int = 3, bands: int = 3, *, width: int = 64, norm: DiscriminatorNorm = "batch") -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(condition_channels + bands, width, 1), nn.LeakyReLU(0.2, True),
            nn.Conv2d(width, 2 * width, 1, bias=has_bias(norm)), norm_layer(norm, 2 * width), nn.LeakyReLU(0.2, True),
            nn.Conv2d(2 * width, 1, 1),
        )  # fmt: skip

    def forward(self, condition: Tensor, image: Tensor) -> Tensor:
        return self.layers(torch.cat([condition, image], dim=1))


def receptive_field_px(kind: Kind, layers: int) -> int:
    """Side of the patch that one logit judges: 16, 34, 70, 142 and 286 px with one to five layers, 1 px of ``"pixel"``."""
    # Two 4×4 convolutions of stride 1 see 7 px; each one of stride 2 before them makes s px into 2s + 2.
    return 1 if kind == "pixel" else 9 * 2**layers - 2
