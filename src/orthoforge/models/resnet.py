"""ResNet generators, with and without skip connections."""

import torch
from torch import Tensor, nn

from orthoforge.models.convolving import Conv2d, ConvTranspose2d
from orthoforge.models.generator import Generator
from orthoforge.models.layers import Norm, ReflectionPad2d, ResizeConv2d, Upsample, has_bias, norm_layer

STRIDE = 4  # two halvings


class ResNetGenerator(Generator):
    """Encoder, residual blocks at a quarter of the resolution, decoder (Johnson et al. 2016, as in pix2pix and CycleGAN).

    With ``skips`` each decoder stage also sees the encoder's features of its own resolution, as in a U-Net. ``upsample`` is a
    transposed convolution (leaves a checkerboard) or nearest-neighbour resizing and a convolution (Odena et al. 2016: does not).
    """

    stride = STRIDE
    least_px = 2 * STRIDE  # two cells of the deepest map, or there is nothing to reflect

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
        self.width, self.reach, self.peak_maps = width, reach(blocks), 9.5 if skips else 6.0
        self.skips = skips
        w = width
        self.stem = nn.Sequential(
            ReflectionPad2d(3), Conv2d(in_channels, w, 7, bias=has_bias(norm)), norm_layer(norm, w), nn.ReLU(True)
        )
        self.down1 = _down(w, 2 * w, norm)
        self.down2 = _down(2 * w, 4 * w, norm)
        self.blocks = nn.Sequential(*(ResidualBlock(4 * w, norm) for _ in range(blocks)))
        concatenated = 2 if skips else 1
        self.up2 = _up(concatenated * 4 * w, 2 * w, norm, upsample)
        self.up1 = _up(concatenated * 2 * w, w, norm, upsample)
        self.head = nn.Sequential(ReflectionPad2d(3), Conv2d(concatenated * w, out_channels, 7), nn.Tanh())

    def forward(self, condition: Tensor) -> Tensor:
        height, width = condition.shape[2:]
        assert height % STRIDE == width % STRIDE == 0, f"{height}×{width} is no multiple of {STRIDE}"
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
            ReflectionPad2d(1), Conv2d(channels, channels, 3, bias=has_bias(norm)), norm_layer(norm, channels), nn.ReLU(True),
            ReflectionPad2d(1), Conv2d(channels, channels, 3, bias=has_bias(norm)), norm_layer(norm, channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.body(x))


def reach(blocks: int) -> int:
    """How far an output pixel sees, in pixels to each side: the sum over its convolutions, outermost first, and to whole cells."""
    head, up1, up2, down2, down1, stem = 3, 2, 4, 2, 1, 3
    cell = STRIDE - 1  # a pixel's cell at a quarter of the resolution begins up to so many pixels before it
    return head + up1 + up2 + 2 * blocks * STRIDE + down2 + down1 + stem + cell


def _down(inside: int, outside: int, norm: Norm) -> nn.Sequential:
    return nn.Sequential(
        Conv2d(inside, outside, 3, stride=2, padding=1, bias=has_bias(norm)),
        norm_layer(norm, outside),
        nn.ReLU(True),
    )


def _up(inside: int, outside: int, norm: Norm, upsample: Upsample) -> nn.Sequential:
    bias = has_bias(norm)
    grow: list[nn.Module]
    if upsample == "transposed":
        grow = [ConvTranspose2d(inside, outside, 3, stride=2, padding=1, output_padding=1, bias=bias)]
    else:
        grow = [ResizeConv2d(inside, outside, 3, bias=bias)]
    return nn.Sequential(*grow, norm_layer(norm, outside), nn.ReLU(True))
