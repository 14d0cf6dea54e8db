"""Discriminators on the features of a network that learned to recognise what ImageNet shows (Sauer et al. 2021, Projected GANs).

Only small heads are trained; the features stay as they are. That makes a discriminator of few images that neither learns them by
heart nor forgets, and it converges in a fraction of the steps.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from orthoforge.models.perceptual import FeatureNetwork

LAYERS = ("stage1", "stage2", "stage3", "stage5")  # at a half, a quarter, an eighth and a sixteenth of the resolution
MIXED = 32  # channels of the mixed features, times 1, 2, 3 and 4


class ProjectedDiscriminator(nn.Module):
    """A head at each of four scales; logits (N, 1, h, w) of each.

    Features are mixed across channels by random 1×1 convolutions and across scales, coarse to fine, by random 3×3 ones, which are
    never trained (section 3.2 there): a head can then not rest on a few of a layer's channels. Each head also sees the condition,
    averaged over its cells.
    """

    def __init__(self, features: FeatureNetwork, condition_channels: int = 3, *, width: int = 64) -> None:
        super().__init__()
        self.features = features
        channels = features_channels(features)
        mixed = [MIXED * (index + 1) for index in range(len(channels))]
        self.across_channels = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(channels, mixed, strict=True))
        self.across_scales = nn.ModuleList(
            nn.Conv2d(mixed[index + 1], mixed[index], 3, padding=1) for index in range(len(mixed) - 1)
        )
        for module in (*self.across_channels, *self.across_scales):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            nn.init.zeros_(module.bias)
            module.requires_grad_(False)
        self.heads = nn.ModuleList(_head(size + condition_channels, width * 2 ** (i > 1)) for i, size in enumerate(mixed))

    def forward(self, condition: Tensor, image: Tensor) -> tuple[Tensor, ...]:
        seen = [mix(layer) for mix, layer in zip(self.across_channels, self.features(image), strict=True)]
        for index in range(len(seen) - 2, -1, -1):
            coarse = F.interpolate(seen[index + 1], size=seen[index].shape[2:], mode="bilinear", align_corners=False)
            seen[index] = (seen[index] + self.across_scales[index](coarse)) * 0.5**0.5
        return tuple(
            head(torch.cat([layer, F.adaptive_avg_pool2d(condition, layer.shape[2:])], dim=1))
            for head, layer in zip(self.heads, seen, strict=True)
        )


def features_channels(features: FeatureNetwork) -> list[int]:
    with torch.no_grad():
        return [layer.shape[1] for layer in features(torch.zeros(1, 3, 64, 64))]


def _head(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        spectral_norm(nn.Conv2d(channels, width, 4, stride=2, padding=1)), nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(width, width, 3, padding=1)), nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(width, 1, 1)),
    )
