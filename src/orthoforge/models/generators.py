"""Generators: masks to images.

Input (N, C, H, W) condition in [-1, 1], output (N, 3, H, W) in [-1, 1]; H and W multiples of ``STRIDE``.
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Norm = Literal["batch", "instance"]
Upsample = Literal["transposed", "resize"]

STRIDE = 4  # two halvings


class ResNetGenerator(nn.Module):
    """Encoder, residual blocks at a quarter of the resolution, decoder (Johnson et al. 2016, as in pix2pix and CycleGAN).

    With ``skips`` each decoder stage also sees the encoder's features of its own resolution, as in a U-Net. ``upsample`` is a
    transposed convolution (leaves a checkerboard) or nearest-neighbour resizing and a convolution (Odena et al. 2016: does not).
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        width: int = 64,
        blocks: int = 9,
        norm: Norm = "batch",
        skips: bool = False,
        upsample: Upsample = "transposed",
    ) -> None:
        super().__init__()
        self.skips = skips
        w = width
        self.stem = nn.Sequential(
            nn.ReflectionPad2d(3), nn.Conv2d(in_channels, w, 7, bias=has_bias(norm)), norm_layer(norm, w), nn.ReLU(True)
        )
        self.down1 = _down(w, 2 * w, norm)
        self.down2 = _down(2 * w, 4 * w, norm)
        self.blocks = nn.Sequential(*(ResidualBlock(4 * w, norm) for _ in range(blocks)))
        concatenated = 2 if skips else 1
        self.up2 = _up(concatenated * 4 * w, 2 * w, norm, upsample)
        self.up1 = _up(concatenated * 2 * w, w, norm, upsample)
        self.head = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(concatenated * w, out_channels, 7), nn.Tanh())

    def forward(self, condition: Tensor) -> Tensor:
        full = self.stem(condition)  # (N, W, H, W)
        half = self.down1(full)  # (N, 2W, H/2, W/2)
        quarter = self.down2(half)  # (N, 4W, H/4, W/4)
        x = self.blocks(quarter)
        x = self.up2(torch.cat([x, quarter], dim=1) if self.skips else x)
        x = self.up1(torch.cat([x, half], dim=1) if self.skips else x)
        return self.head(torch.cat([x, full], dim=1) if self.skips else x)


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions added to their input, and a ReLU after the sum (He et al. 2015; later forms leave that ReLU out)."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=has_bias(norm)), norm_layer(norm, channels), nn.ReLU(True),
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=has_bias(norm)), norm_layer(norm, channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.body(x))


class ResizeConv2d(nn.Conv2d):
    """Nearest-neighbour resizing by 2 and a 3×3 convolution with zero padding, in one (Odena et al. 2016).

    Each weight meets two equal pixels along each axis, so both steps are one transposed convolution whose 4×4 kernel sums the
    3×3 one over shifts of a pixel. Its four phases come from the same weights, which is why it leaves no checkerboard. Less than
    half the arithmetic, and no wide feature map of full resolution in between.
    """

    def forward(self, x: Tensor) -> Tensor:
        shifted = [F.pad(self.weight.flip(2, 3), (col, 1 - col, row, 1 - row)) for row in (0, 1) for col in (0, 1)]
        kernel = torch.stack(shifted).sum(dim=0).transpose(0, 1)  # (in, out, 4, 4)
        return F.conv_transpose2d(x, kernel, self.bias, stride=2, padding=1)


def _down(inside: int, outside: int, norm: Norm) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride=2, padding=1, bias=has_bias(norm)),
        norm_layer(norm, outside),
        nn.ReLU(True),
    )


def _up(inside: int, outside: int, norm: Norm, upsample: Upsample) -> nn.Sequential:
    bias = has_bias(norm)
    grow: list[nn.Module]
    if upsample == "transposed":
        grow = [nn.ConvTranspose2d(inside, outside, 3, stride=2, padding=1, output_padding=1, bias=bias)]
    else:
        grow = [ResizeConv2d(inside, outside, 3, bias=bias)]
    return nn.Sequential(*grow, norm_layer(norm, outside), nn.ReLU(True))


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """Batch norm with affine and running statistics; instance norm with neither."""
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.InstanceNorm2d(channels)


def has_bias(norm: Norm) -> bool:
    """A convolution followed by a norm carries a bias only when that is instance norm."""
    return norm == "instance"


def init_weights(network: nn.Module) -> nn.Module:
    """Convolutions N(0, 0.02), biases 0, batch-norm scales N(1, 0.02). Draws from torch's global generator, in module order."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    return network


def _resnet(blocks: int, *, skips: bool) -> Callable[..., nn.Module]:
    def build(in_channels: int, *, width: int, norm: Norm, upsample: Upsample) -> nn.Module:
        return ResNetGenerator(in_channels, width=width, blocks=blocks, norm=norm, skips=skips, upsample=upsample)

    return build


GENERATORS: dict[str, Callable[..., nn.Module]] = {
    "resnet6": _resnet(6, skips=False),
    "resnet9": _resnet(9, skips=False),
    "resunet6": _resnet(6, skips=True),
    "resunet9": _resnet(9, skips=True),
}


def build_generator(name: str, in_channels: int, *, width: int, norm: Norm, upsample: Upsample) -> nn.Module:
    """A generator of ``GENERATORS`` with initial weights."""
    return init_weights(GENERATORS[name](in_channels, width=width, norm=norm, upsample=upsample))
