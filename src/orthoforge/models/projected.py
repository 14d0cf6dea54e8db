"""A discriminator on the features of a network that learned to recognise what ImageNet shows (Sauer et al. 2021: Projected GANs).

Only small heads are trained; the features stay as they are. A discriminator made so has little to learn, and does not learn the few
images that there are by heart.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

MIXED = 16  # channels of the finest mixed features; the next have twice, three times … as many


class ProjectedDiscriminator(nn.Module):
    """A head for each layer of a feature network, fine to coarse, ``channels`` being theirs: logits (N, outputs, h, w) of each.

    Features are mixed across channels by random 1×1 convolutions and across scales, coarse to fine, by random 3×3 ones, which are
    never trained (section 3.2 there): so that a head cannot rest on a few channels. Each head also sees the condition, averaged
    over its cells, if that has channels. Heads are of spectral norm (Miyato et al. 2018).
    """

    def __init__(self, channels: Sequence[int], condition_channels: int = 3, *, width: int = 32, outputs: int = 1) -> None:
        super().__init__()
        self.scales = len(channels)
        mixed = [MIXED * (scale + 1) for scale in range(self.scales)]
        for scale, (inside, outside) in enumerate(zip(channels, mixed, strict=True)):
            self.register_buffer(f"across_channels{scale}", _random_kernel(inside, outside, 1))
        for scale in range(self.scales - 1):
            self.register_buffer(f"across_scales{scale}", _random_kernel(mixed[scale + 1], mixed[scale], 3))
        self.sees_condition = condition_channels > 0
        self.heads = nn.ModuleList(
            _head(size + condition_channels, width * (1 + (scale > 1)), outputs) for scale, size in enumerate(mixed)
        )

    def forward(self, condition: Tensor, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        seen = [F.conv2d(layer, self.get_buffer(f"across_channels{scale}")) for scale, layer in enumerate(features)]
        for scale in range(self.scales - 2, -1, -1):
            coarse = F.interpolate(seen[scale + 1], size=seen[scale].shape[2:], mode="bilinear", align_corners=False)
            seen[scale] = (seen[scale] + F.conv2d(coarse, self.get_buffer(f"across_scales{scale}"), padding=1)) * 0.5**0.5
        if self.sees_condition:
            seen = [torch.cat([x, F.adaptive_avg_pool2d(condition, (x.shape[2], x.shape[3]))], dim=1) for x in seen]
        return tuple(head(layer) for head, layer in zip(self.heads, seen, strict=True))


def _random_kernel(inside: int, outside: int, side: int) -> Tensor:
    """Weights that keep the variance (He et al. 2015, with a gain of 1)."""
    return torch.randn(outside, inside, side, side) / (inside * side**2) ** 0.5


def _head(channels: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        spectral_norm(nn.Conv2d(channels, width, 4, stride=2, padding=1)), nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(width, width, 3, padding=1)), nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(width, outputs, 1)),
    )  # fmt: skip
