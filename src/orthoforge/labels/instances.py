"""The objects that a mask shows: each with a number, a category, and the exact outline of its pixels."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import shapely
from affine import Affine
from rasterio.features import rasterize

from orthoforge.geo.grid import Grid, Window, strips_of
from orthoforge.labels.categories import Categories
from orthoforge.masks.opening import FootprintsMask, SceneMask
from orthoforge.vectors.outlines import connected_parts


class Instance(NamedTuple):
    """An object. ``shape`` runs along the sides of its pixels, in pixels from the mask's upper left corner (x right, y down)."""

    number: int
    category: int
    shape: shapely.Polygon | shapely.MultiPolygon


def instances_of(mask: SceneMask, categories: Categories) -> list[Instance]:
    """The objects of a mask, by number from 1. Read strip by strip; memory grows with the objects.

    Of footprints each feature is one, numbered by its place in the file, in one part or several: houses that touch stay apart.
    One that covers no pixel's centre is none. Of other masks each connected part of one class is one (pixels that share a side), in
    the order of their first pixels.
    """
    if isinstance(mask, FootprintsMask):
        return _of_footprints(mask.numbers, mask.grid)
    found = _parts(categories.numbered(mask.read(strip)[0]) for strip in strips_of(mask.grid))
    found.sort(key=lambda one: _first_pixel(one[1]))
    return [Instance(number, value - 1, shape) for number, (value, shape) in enumerate(found, 1)]


def numbers_in(instances: list[Instance], window: Window) -> np.ndarray:
    """Which object each pixel of a window shows, (h, w) uint32 by number; 0 for none."""
    left, top = window.col, window.row
    met = shapely.STRtree([one.shape for one in instances]).query(
        shapely.box(left, top, left + window.width, top + window.height)
    )  # fmt: skip
    if not len(met):
        return np.zeros((window.height, window.width), np.uint32)
    burnt = ((instances[index].shape, instances[index].number) for index in np.sort(met).tolist())
    shape = window.height, window.width
    found: np.ndarray = rasterize(burnt, out_shape=shape, transform=Affine.translation(left, top), fill=0, dtype=np.uint32)
    return found


def _of_footprints(read: Callable[[Window], np.ndarray], grid: Grid) -> list[Instance]:
    parts: defaultdict[int, list[shapely.Polygon]] = defaultdict(list)
    for number, outline in _parts(read(strip) for strip in strips_of(grid)):
        parts[number].append(outline)
    found = []
    for number, outlines in sorted(parts.items()):
        outlines.sort(key=_first_pixel)
        found.append(Instance(number, 0, outlines[0] if len(outlines) == 1 else shapely.MultiPolygon(outlines)))
    return found


def _parts(strips: Iterable[np.ndarray]) -> list[tuple[int, shapely.Polygon]]:
    """Values and outlines of connected parts, from one corner on whatever strips they came in, without points on straight sides."""
    found = list(connected_parts(strips))
    outlines = np.array([outline for _, outline in found], object)
    outlines = shapely.normalize(shapely.simplify(shapely.normalize(outlines), 0))
    return [(value, outline) for (value, _), outline in zip(found, outlines, strict=True)]


def _first_pixel(shape: shapely.Polygon) -> tuple[float, float]:
    """Row and column of the first pixel, line by line."""
    corners = shapely.get_coordinates(shape)
    top = corners[:, 1].min()
    return float(top), float(corners[corners[:, 1] == top, 0].min())
