"""Scores of a generated image, pixel by pixel: pure functions."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# 10·log10(2²): the seed put images in [-1, 1] into the formula for [0, 1].
SEED_PSNR_OFFSET_DB = 6.020599913279624
# Outlines are looked for in squares of this side. Where an image has one, its pixels differ by tens of grey levels; a
# checkerboard's by one or two.
SQUARE_PX, BLANK_LEVELS = 8, 3.0


def psnr(fake: Tensor, real: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB (N,), for images (N, C, H, W) in [-1, 1], so with a range of 2.

    The seed's figure, ``psnr_seed``, is ``SEED_PSNR_OFFSET_DB`` lower. Equal images give infinity.
    """
    mse = (fake.float() - real.float()).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(4 / mse)


def detail(image: Tensor) -> Tensor:
    """Mean absolute difference between neighbouring pixels, across and down, of each image: (N, C, H, W) to (N,).

    Sharpness without a reference: 0 for a flat image. A blurred image has less than the real one, a checkerboard more.
    """
    image = image.float()
    down, across = (image.diff(dim=axis).abs().mean(dim=(1, 2, 3)) for axis in (2, 3))
    return (down + across) / 2


def detail_levels(image: np.ndarray) -> float:
    """``detail`` of one image (H, W, 3) uint8 in levels, exact: reports say this, where training records a ratio of two ``detail``.

    127.5 times as large. Training's stays in the network's range and float32, so that its columns go on as they were.
    """
    levels = image.astype(np.int16)
    return float((np.abs(np.diff(levels, axis=0)).mean() + np.abs(np.diff(levels, axis=1)).mean()) / 2)


def outlines_seen(image: Tensor, condition: Tensor) -> Tensor:
    """How many outlines of the mask an image shows, and how many there are: (N, 2), counted in squares of 8 px.

    Images (N, 3, H, W) and conditions (N, C, H, W) in [-1, 1]. A square has an outline when no class covers four fifths of it, and
    shows it when its pixels deviate by more than ``BLANK_LEVELS``. A mean over the whole image would miss a collapse in which some
    buildings burn out and all else is blank (measured by bench/phenomena: 75 % and more in what learns, 41 % and less in what
    has collapsed).
    """
    image, condition = image.float(), condition.float()
    largest = F.avg_pool2d((condition + 1) / 2, SQUARE_PX).amax(dim=1)  # (N, H/8, W/8)
    outlines = torch.maximum(largest, 1 - largest) < 0.8
    variance = F.avg_pool2d(image.square(), SQUARE_PX) - F.avg_pool2d(image, SQUARE_PX).square()
    deviation_levels = 127.5 * variance.clamp(min=0).sqrt().mean(dim=1)
    shown = outlines & (deviation_levels > BLANK_LEVELS)
    return torch.stack([shown.sum(dim=(1, 2)), outlines.sum(dim=(1, 2))], dim=1)
