"""The original generator of pix2pix."""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from orthoforge.models.convolving import Conv2d, ConvTranspose2d
from orthoforge.models.generator import Generator
from orthoforge.models.layers import NoiseDropout, Norm, ResizeConv2d, Upsample, has_bias, norm_layer

NOISY = 3  # decoder layers with dropout: CD512-CD1024-CD1024 in the paper


class UNetGenerator(Generator):
    """The U-Net of pix2pix (Isola et al. 2017, appendix 6.1.1): ``halvings`` 4×4 convolutions down to a single pixel, and back.

    Each decoder layer also sees the encoder's features of its own resolution. Dropout of 0.5 in the innermost three decoder
    layers is the only noise, and stays on in ``eval()``. ``upsample`` is a 4×4 transposed convolution (the original's; leaves a
    checkerboard) or nearest-neighbour resizing and a 3×3 convolution.

    No norm in the first encoder layer, and none in the last: over a map of one pixel it would subtract the value from itself
    (the paper's errata tell of that). Both have a bias instead.
    """

    peak_maps = 2.5

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        width: int = 64,
        halvings: int = 8,
        norm: Norm = "batch",
        upsample: Upsample = "transposed",
    ) -> None:
        super().__init__()
        self.stride = self.least_px = 2**halvings
        self.width, self.reach = width, reach(halvings)
        channels = [width * min(2**level, 8) for level in range(halvings)]  # 64, 128, 256, 512, 512, …
        encoder: list[nn.Module] = [Conv2d(in_channels, channels[0], 4, stride=2, padding=1)]
        for level, (inside, outside) in enumerate(pairwise(channels), start=1):
            encoder.append(_down(inside, outside, "none" if level == halvings - 1 else norm))
        # The innermost layer has no skip: its input is the encoder's output already.
        decoder: list[nn.Module] = []
        for depth, (inside, outside) in enumerate(pairwise(channels[::-1])):
            noise = [NoiseDropout(layer=depth, stride=2 ** (halvings - 1 - depth))] if depth < NOISY else []
            decoder.append(nn.Sequential(*_up(inside if depth == 0 else 2 * inside, outside, norm, upsample), *noise))
        self.encoder, self.decoder = nn.ModuleList(encoder), nn.ModuleList(decoder)
        self.head = nn.Sequential(nn.ReLU(True), _grow(2 * channels[0], out_channels, upsample, bias=True), nn.Tanh())

    def forward(self, condition: Tensor) -> Tensor:
        height, width = condition.shape[2:]
        assert height % self.stride == width % self.stride == 0, f"{height}×{width} is no multiple of {self.stride}"
        x, seen = condition, []
        for layer in self.encoder:
            x = layer(x)  # (N, W, H/2, W/2), … (N, 8W, 1, 1)
            seen.append(x)
        seen.pop()
        for layer in self.decoder:
            x = torch.cat([layer(x), seen.pop()], dim=1)  # (N, 16W, 2, 2), … (N, 2W, H/2, W/2)
        return self.head(x)


def reach(halvings: int) -> int:
    """How far an output pixel sees, in pixels to each side.

    At 2^l pixels a cell each 4×4 convolution of the encoder adds one such cell, and each of the decoder one of twice the size.
    """
    return 3 * (2**halvings - 1)


def _down(inside: int, outside: int, norm: Norm | Literal["none"]) -> nn.Sequential:
    # The ReLU may work in place though a decoder layer sees the same features: it applies a ReLU of its own, and
    # ReLU(LeakyReLU(x)) = ReLU(x).
    return nn.Sequential(
        nn.LeakyReLU(0.2, True),
        Conv2d(inside, outside, 4, stride=2, padding=1, bias=has_bias(norm)),
        norm_layer(norm, outside),
    )


def _up(inside: int, outside: int, norm: Norm, upsample: Upsample) -> list[nn.Module]:
    return [nn.ReLU(True), _grow(inside, outside, upsample, bias=has_bias(norm)), norm_layer(norm, outside)]


def _grow(inside: int, outside: int, upsample: Upsample, *, bias: bool) -> nn.Module:
    if upsample == "transposed":
        return ConvTranspose2d(inside, outside, 4, stride=2, padding=1, bias=bias)
    return ResizeConv2d(inside, outside, 3, bias=bias)
