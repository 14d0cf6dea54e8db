"""Generators: masks to images.

Input (N, C, H, W) condition in [-1, 1], output (N, B, H, W) in [-1, 1], B bands; H and W multiples of its ``stride``.
"""

from collections.abc import Callable
from functools import partial

from orthoforge.models.generator import Generator
from orthoforge.models.layers import Norm, Upsample, init_weights
from orthoforge.models.modulated import ModulatedGenerator
from orthoforge.models.resnet import ResNetGenerator
from orthoforge.models.unet import UNetGenerator


def _modulated(
    in_channels: int, bands: int = 3, *, width: int, norm: Norm, upsample: Upsample, refines: bool = False
) -> ModulatedGenerator:
    return ModulatedGenerator(in_channels, bands, width=width, refines=refines)  # it has a norm and an upsampling of its own


GENERATORS: dict[str, Callable[..., Generator]] = {
    "resnet6": partial(ResNetGenerator, blocks=6),
    "resnet9": partial(ResNetGenerator, blocks=9),
    "resunet6": partial(ResNetGenerator, blocks=6, skips=True),
    "resunet9": partial(ResNetGenerator, blocks=9, skips=True),
    "unet256": partial(UNetGenerator, halvings=8),
    "unet512": partial(UNetGenerator, halvings=9),
    "modulated": _modulated,
}
"""How to build each, without initial weights."""


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
) -> Generator:
    """A generator of ``GENERATORS``, of images of so many ``bands``, with initial weights, drawn from torch's global generator.

    One with styles keeps those of so many ``places``, and is told colours of each ``building``, a channel of its input, and of the
    ground between them; one that ``refines`` is told a canvas instead.
    """
    options = {"refines": True} if refines else {}
    network = GENERATORS[name](in_channels, bands, width=width, norm=norm, upsample=upsample, **options)
    if isinstance(network, ModulatedGenerator):
        network.styles.room_for(places)
        network.colours.building = building
        network.colours.roofs, network.colours.ground = roof_colours, ground_colours
        return network  # PyTorch's own initial weights, which keep the variance
    init_weights(network)
    return network
