"""One new mask of a place, made in one of the four ways."""

import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from orthoforge.errors import ConfigError, DataError
from orthoforge.forging.drawings import take_drawn
from orthoforge.forging.layouts.plot import Grown
from orthoforge.forging.layouts.recombine import recombine
from orthoforge.forging.layouts.streets import streets
from orthoforge.forging.painting import paint, shares
from orthoforge.forging.places import Place, Source, at_gsd, labels_on, pixel_of
from orthoforge.forging.records import Made, Parameters
from orthoforge.forging.shapes import draw
from orthoforge.forging.transform import random_change, transform
from orthoforge.geo.grid import Grid
from orthoforge.masks.layer_style import LayerStyle
from orthoforge.masks.reader import MaskReader

How = Literal["recombine", "streets", "transform", "drawn"]
# A mask at more than the place's own density may fall short by so much of what was asked for.
_SHORTFALL = 0.15
# Of a scene, for its districts: each is some building's.
_DIRECTIONS = 200


class NewMask(NamedTuple):
    """A mask that is new."""

    mask: np.ndarray
    """(H, W) uint8 of 0 and 255."""
    grid: Grid
    made: Made
    """What a row says of it."""
    labels: np.ndarray | None = None
    """(H, W) uint8 class indices of a style, where one was asked for."""


def new_mask(
    place: Place,
    index: int,
    how: How,
    size: int | None,
    gsd_m: float | None,
    density: float,
    seed: int,
    reader: MaskReader,
    drawn: Sequence[Path],
    style: LayerStyle | None = None,
) -> NewMask:
    """Mask ``index`` of a place. With a ``style`` also its classes, of ``streets``: buildings are the same with and without.

    It depends on no other mask, and not on how many there are.
    """
    entropy = [seed, zlib.crc32(place.name.encode())]
    rng = np.random.default_rng([*entropy, 1, index])
    turn, position = divmod(index, len(place.sources))
    order = np.random.default_rng([*entropy, 0, turn]).permutation(len(place.sources))
    model = int(order[position])
    source = place.sources[model]
    if how == "drawn":
        return NewMask(*take_drawn(drawn[index], source if place.unit == "m" else None, place, reader.threshold))
    scaled = at_gsd(source.grid, gsd_m)
    height, width = (size, size) if size else (scaled.height, scaled.width)
    grid = replace(scaled, height=height, width=width)
    pixel = pixel_of(grid)
    extent = height * pixel[1], width * pixel[0]
    labels = None
    if how == "transform":
        mask, parameters = _transformed(source, scaled, height, width, reader, rng)
    else:
        if how == "recombine":
            grown, parameters = recombine(place.library, model, extent, max(pixel), density, rng), {}
        else:
            grown, parameters = _along_streets(place, model, extent, density, rng)
        _require_reached(place, grown, density, extent)
        mask = draw(grown.polygons, (height, width), pixel)
        parameters = {"density": density, "wanted_share": round(grown.wanted, 5), **parameters}
        if style is not None:
            labels = paint(mask, grown, place, grid, pixel, style, [*entropy, 2, index])
            parameters |= {"class_shares": shares(labels, style)}
    share = float(np.count_nonzero(mask) / mask.size)
    made: Made = {"sources": [source.name], "parameters": parameters, "building_share": round(share, 5)}
    return NewMask(mask, grid, made, labels)


def _transformed(
    source: Source, scaled: Grid, height: int, width: int, reader: MaskReader, rng: np.random.Generator
) -> tuple[np.ndarray, Parameters]:
    real = labels_on(source, scaled, reader)
    if height > real.shape[0] or width > real.shape[1]:
        raise ConfigError(
            f"size is {height} px, but {source.path.name} is {real.shape[1]}×{real.shape[0]}; a changed mask is no larger than the "
            "real one. Use recombine or streets, or a smaller size."
        )
    row, col = (int(rng.integers(long - short + 1)) for long, short in zip(real.shape, (height, width), strict=True))
    change = random_change(rng, square=height == width)
    return transform(real[row : row + height, col : col + width], change), {"row": row, "col": col, **change.values()}


def _along_streets(
    place: Place, model: int, extent: tuple[float, float], density: float, rng: np.random.Generator
) -> tuple[Grown, Parameters]:
    own = np.flatnonzero(place.library.scene == model)
    among = own if len(own) else np.arange(len(place.library))
    weight = place.library.weight[among]
    directions = place.library.street[rng.choice(among, _DIRECTIONS, p=weight / weight.sum())]
    return streets(place.real, extent, place.sources[model].layout.share, directions.tolist(), density, rng)


def _require_reached(place: Place, grown: Grown, density: float, extent: tuple[float, float]) -> None:
    missing = (grown.wanted - grown.share) * extent[0] * extent[1]
    if density > 1 and grown.share < (1 - _SHORTFALL) * grown.wanted and missing > float(np.median(place.real.area)):
        raise DataError(
            f"{place.name}: density {density:g} asks for {100 * grown.wanted:.0f} % building in a mask; {100 * grown.share:.0f} % "
            f"was reached before nothing more fitted. Ask for {density * grown.share / grown.wanted:.2g} or less."
        )
