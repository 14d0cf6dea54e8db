"""Generators: masks to images.

Input (N, C, H, W) condition in [-1, 1], output (N, 3, H, W) in [-1, 1]; H and W multiples of ``generator_stride(name)``.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torch import nn

from orthoforge.models.layers import Norm, Upsample, init_weights
from orthoforge.models.resnet import STRIDE, ResNetGenerator
from orthoforge.models.unet import UNetGenerator


class Architecture(NamedTuple):
    """How to build a generator, without initial weights, and what its input's sides must be multiples of."""

    build: Callable[..., nn.Module]
    stride: int


GENERATORS: dict[str, Architecture] = {
    "resnet6": Architecture(partial(ResNetGenerator, blocks=6), STRIDE),
    "resnet9": Architecture(partial(ResNetGenerator, blocks=9), STRIDE),
    "resunet6": Architecture(partial(ResNetGenerator, blocks=6, skips=True), STRIDE),
    "resunet9": Architecture(partial(ResNetGenerator, blocks=9, skips=True), STRIDE),
    "unet256": Architecture(partial(UNetGenerator, halvings=8), 2**8),
    "unet512": Architecture(partial(UNetGenerator, halvings=9), 2**9),
}


def build_generator(name: str, in_channels: int, *, width: int, norm: Norm, upsample: Upsample) -> nn.Module:
    """A generator of ``GENERATORS`` with initial weights, drawn from torch's global generator."""
    return init_weights(GENERATORS[name].build(in_channels, width=width, norm=norm, upsample=upsample))


def generator_stride(name: str) -> int:
    """What the height and the width of a generator's input must be multiples of, in pixels."""
    return GENERATORS[name].stride
