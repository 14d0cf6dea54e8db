"""Both networks of a recipe, with initial weights, which are drawn from torch's global generator.

Generators make images of masks: condition (N, C, H, W) in [-1, 1] to image (N, B, H, W) in [-1, 1], B bands; H and W multiples of
their ``stride``.
"""

from collections.abc import Callable, Sequence
from functools import partial

from torch import nn

from orthoforge.config import Recipe
from orthoforge.masks.classes import Classes, class_count
from orthoforge.models.conditions import condition_channels
from orthoforge.models.discriminators import DiscriminatorNorm, Kind, PatchDiscriminator, PixelDiscriminator
from orthoforge.models.generator import Generator
from orthoforge.models.layers import Norm, Upsample, init_weights
from orthoforge.models.modulated import ModulatedGenerator
from orthoforge.models.projected import ProjectedDiscriminator
from orthoforge.models.resnet import ResNetGenerator
from orthoforge.models.unet import UNetGenerator


def new_generator(recipe: Recipe, classes: Classes | None, places: int = 1, bands: int = 3) -> Generator:
    """The recipe's generator with initial weights, for building masks (``None``) or masks of classes, and
    images of so many ``bands``.

    One with styles keeps those of so many ``places``, and is told colours of roofs and of ground where the recipe wants it and a
    class is called building.
    """
    building = classes.building if classes else 0  # the channel that shows it
    return build_generator(
        recipe.generator, condition_channels(class_count(classes)), bands, width=recipe.generator_width, norm=recipe.norm,
        upsample=recipe.upsample, places=places, building=building, roof_colours=recipe.roof_colours,
        ground_colours=recipe.ground_colours, refines=recipe.material, sees_mask=recipe.sees_mask,
    )  # fmt: skip


def new_discriminator(recipe: Recipe, class_count: int | None, feature_channels: Sequence[int] = (), bands: int = 3) -> nn.Module:
    """The recipe's discriminator of images of so many ``bands``, with initial weights; ``feature_channels`` are those of the layers
    that it may see."""
    names_classes = recipe.gan_loss == "oasis"  # it is not told the mask, but asked for it
    return build_discriminator(
        0 if names_classes else condition_channels(class_count), bands, width=recipe.discriminator_width,
        kind=recipe.discriminator, layers=recipe.discriminator_layers, norm=recipe.discriminator_norm,
        feature_channels=feature_channels, outputs=(class_count or 2) + 1 if names_classes else 1,
    )  # fmt: skip


def _modulated(
    in_channels: int, bands: int = 3, *, width: int, norm: Norm, upsample: Upsample, refines: bool = False, sees_mask: bool = True
) -> ModulatedGenerator:
    # It has a norm and an upsampling of its own.
    return ModulatedGenerator(in_channels, bands, width=width, refines=refines, sees_mask=sees_mask)


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
    sees_mask: bool = True,
) -> Generator:
    """A generator of ``GENERATORS``, of images of so many ``bands``, with initial weights, drawn from torch's global generator.

    One with styles keeps those of so many ``places``, and is told colours of each ``building``, a channel of its input, and of the
    ground between them; one that ``refines`` is told a canvas instead, and the mask beside it only where it ``sees_mask``.
    """
    options = {"refines": True, "sees_mask": sees_mask} if refines else {}
    network = GENERATORS[name](in_channels, bands, width=width, norm=norm, upsample=upsample, **options)
    if isinstance(network, ModulatedGenerator):
        network.styles.room_for(places)
        network.colours.building = building
        network.colours.roofs, network.colours.ground = roof_colours, ground_colours
        return network  # PyTorch's own initial weights, which keep the variance
    init_weights(network)
    return network


def build_discriminator(
    condition_channels: int,
    bands: int = 3,
    *,
    width: int,
    kind: Kind = "patch",
    layers: int = 3,
    norm: DiscriminatorNorm = "batch",
    feature_channels: Sequence[int] = (),
    outputs: int = 1,
) -> nn.Module:
    """A discriminator of images of so many ``bands`` with initial weights, drawn from torch's global generator.

    ``layers`` counts for ``"patch"`` alone, ``feature_channels`` for ``"projected"``, which takes features in place of an image,
    needs no condition and can have several ``outputs`` a cell.
    """
    if kind == "projected":
        return ProjectedDiscriminator(feature_channels, condition_channels, width=width, outputs=outputs)
    if kind == "pixel":
        return init_weights(PixelDiscriminator(condition_channels, bands, width=width, norm=norm))
    return init_weights(PatchDiscriminator(condition_channels, bands, width=width, layers=layers, norm=norm))
