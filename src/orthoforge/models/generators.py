"""Generators: masks to images.

Input (N, C, H, W) condition in [-1, 1], output (N, B, H, W) in [-1, 1], B bands; H and W multiples of ``generator_stride(name)``.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torch import nn

from orthoforge.models import modulated, resnet, unet
from orthoforge.models.layers import Norm, Upsample, init_weights
from orthoforge.models.modulated import ModulatedGenerator
from orthoforge.models.resnet import ResNetGenerator
from orthoforge.models.unet import UNetGenerator


class Architecture(NamedTuple):
    """How to build a generator, without initial weights, and how it lies on the ground.

    ``stride``: what its input's sides must be multiples of, ``least_px``: what they must be at least. ``reach``: how many pixels
    beside an output pixel it looks at, norms aside.
    """

    build: Callable[..., nn.Module]
    stride: int
    least_px: int
    reach: int


def _resnet(blocks: int, *, skips: bool = False) -> Architecture:
    stride = resnet.STRIDE  # and two cells of the deepest map, or there is nothing to reflect
    return Architecture(partial(ResNetGenerator, blocks=blocks, skips=skips), stride, 2 * stride, resnet.reach(blocks))


def _unet(halvings: int) -> Architecture:
    return Architecture(partial(UNetGenerator, halvings=halvings), 2**halvings, 2**halvings, unet.reach(halvings))


def _modulated(
    in_channels: int, bands: int = 3, *, width: int, norm: Norm, upsample: Upsample, refines: bool = False
) -> ModulatedGenerator:
    return ModulatedGenerator(in_channels, bands, width=width, refines=refines)  # it has a norm and an upsampling of its own


GENERATORS: dict[str, Architecture] = {
    "resnet6": _resnet(6),
    "resnet9": _resnet(9),
    "resunet6": _resnet(6, skips=True),
    "resunet9": _resnet(9, skips=True),
    "unet256": _unet(8),
    "unet512": _unet(9),
    "modulated": Architecture(_modulated, modulated.STRIDE, 2 * modulated.STRIDE, modulated.REACH),
}


def build_generator(
    name: str,
    in_channels: int,
    bands: int = 3,
    *,
    width: int,
    norm: Norm,
    upsample: Upsample,
    places: int = 1,
    building: int | None = 0,
    roof_colours: bool = True,
    ground_colours: bool = True,
    refines: bool = False,
) -> nn.Module:
    """A generator of ``GENERATORS``, of images of so many ``bands``, with initial weights, drawn from torch's global generator.

    One with styles keeps those of so many ``places``, and is told colours of each ``building``, a channel of its input, and of the
    ground between them; one that ``refines`` is told a canvas instead.
    """
    options = {"refines": True} if refines else {}
    network = GENERATORS[name].build(in_channels, bands, width=width, norm=norm, upsample=upsample, **options)
    if isinstance(network, ModulatedGenerator):
        network.styles.room_for(places)
        network.colours.building = building
        network.colours.roofs, network.colours.ground = roof_colours, ground_colours
        return network  # PyTorch's own initial weights, which keep the variance
    return init_weights(network)


def generator_stride(name: str) -> int:
    """What the height and the width of a generator's input must be multiples of, in pixels."""
    return GENERATORS[name].stride


def generator_reach(name: str) -> int:
    """How many pixels beside an output pixel a generator looks at, when its norms do not look at the image."""
    return GENERATORS[name].reach
