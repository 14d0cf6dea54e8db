"""Polygons that cost more to look at, or to mend, than any footprint does: refused before GEOS begins.

Its checks take time by the square of rings that coincide, and mending takes memory by every crossing: 6000 points can cross nine
million times.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import shapely

from orthoforge.errors import DataError

# Rings of one polygon; a whole town dissolved into one shape has some thousand courtyards.
_MOST_RINGS = 50_000
# Pairs of sides whose bounds meet, besides so many for each side: neighbours, and what lies across a narrow yard.
_MOST_MEETINGS, _MEETINGS_A_SIDE = 2 * 10**6, 50
_SIDES_AT_A_TIME = 256


def refuse_many_rings(path: Path, polygons: np.ndarray, name: Callable[[int], str]) -> None:
    """``DataError`` for a polygon with more rings than can be checked in reasonable time; ``name`` is that of one by its index."""
    rings = shapely.get_num_interior_rings(polygons)
    if (many := np.flatnonzero(rings >= _MOST_RINGS)).size:
        raise DataError(
            f"{path}: {name(int(many[0]))} has {rings[many[0]]} holes; fewer than {_MOST_RINGS} are accepted in one polygon. Split "
            "it, or remove it."
        )


def refuse_tangles(path: Path, polygons: np.ndarray, name: Callable[[int], str]) -> None:
    """``DataError`` for a polygon whose sides cross so often that mending it would take gigabytes."""
    for index, polygon in enumerate(polygons):
        if _is_tangled(polygon):
            raise DataError(f"{path}: {name(index)} crosses itself far too often to be mended. Draw it anew, or remove it.")


def refuse_tangled_lines(path: Path, lines: np.ndarray, name: Callable[[int], str]) -> None:
    """``DataError`` for a line that crosses itself so often that the strip along it would take hours to be drawn."""
    for index, line in enumerate(lines):
        if _is_tangled(line):
            raise DataError(f"{path}: {name(index)} crosses itself far too often to be drawn. Draw it anew, or remove it.")


def _is_tangled(shape: shapely.Geometry) -> bool:
    is_area = shapely.get_type_id(shape) == 3
    points, ring = shapely.get_coordinates(shapely.get_rings(shape) if is_area else [shape], return_index=True)
    if len(points) ** 2 <= _MOST_MEETINGS:
        return False
    sides = shapely.linestrings(np.stack([points[:-1], points[1:]], axis=1)[ring[1:] == ring[:-1]])
    tree, met = shapely.STRtree(sides), 0
    for first in range(0, len(sides), _SIDES_AT_A_TIME):
        met += tree.query(sides[first : first + _SIDES_AT_A_TIME]).shape[1]
        if met > _MOST_MEETINGS + _MEETINGS_A_SIDE * len(sides):
            return True
    return False
