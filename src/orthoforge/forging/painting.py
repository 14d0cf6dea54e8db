"""A town along streets as a mask of classes, painted by the style that also paints maps."""

import zlib

import numpy as np
import shapely

from orthoforge.forging.layouts.plot import Grown
from orthoforge.forging.layouts.town_map import TownMap, map_of
from orthoforge.forging.places import Place
from orthoforge.geo.grid import Grid
from orthoforge.masks.layer_mask import LayerMask
from orthoforge.masks.layer_style import LayerStyle
from orthoforge.vectors.map_layers import AREA, POINT

# A mean building's side, where it is not known how large a pixel is.
_SIDE_M = 10.0
# What a town is made of, as OpenStreetMap says it.
_SAID = {
    "roads": (AREA, {"area:highway": "residential"}),
    "lawns": (AREA, {"landuse": "grass"}),
    "water": (AREA, {"natural": "water"}),
    "crowns": (POINT, {"natural": "tree"}),
}


def paint(
    buildings: np.ndarray, grown: Grown, place: Place, grid: Grid, pixel: tuple[float, float], style: LayerStyle, seed: list[int]
) -> np.ndarray:
    """Class indices (H, W) uint8: the mask's ``buildings`` (H, W), to the pixel, and the streets and gardens between them."""
    metre = 1.0 if place.unit == "m" else float(np.sqrt(place.real.area.mean())) / _SIDE_M
    size = grid.height * pixel[1], grid.width * pixel[0]
    town = map_of(grown, size, metre, np.random.default_rng([*seed, zlib.crc32(b"town map")]))
    labels = LayerMask(style, grid, _steps(town, pixel, style), range(style.classes.count)).labels()
    labels[buildings > 0] = style.building
    return labels


def shares(labels: np.ndarray, style: LayerStyle) -> dict[str, float]:
    """The share of pixels of each class."""
    counts = np.bincount(labels.ravel(), minlength=style.classes.count)
    return {name: round(float(count / labels.size), 5) for name, count in zip(style.classes.names, counts, strict=True)}


def _steps(town: TownMap, pixel: tuple[float, float], style: LayerStyle) -> list[tuple[int, np.ndarray]]:
    """What each of the style's rules paints, in pixels; what it has no rule for is left out."""
    steps = []
    for name, (kind, tags) in _SAID.items():
        painted = style.painted("town", kind, tags)
        if painted is not None:
            steps.append((painted.rule, shapely.transform(getattr(town, name), lambda xy: xy / pixel)))
    return sorted(steps, key=lambda step: step[0])
