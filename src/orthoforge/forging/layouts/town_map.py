"""What lies between the buildings of a town along streets: carriageways, gardens, parks, ponds and trees.

Streets are where the town was cut into blocks. The rest is put where it could be: lawns around houses in blocks that are loosely
built, parks where a block stayed empty, trees in both and along wide streets, a pond in some large parks. Nothing of it is measured
on the place.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from orthoforge.forging.layouts.plot import Grown

# Of a street, from block to block: pavements on both sides take at least this share, up to so many metres each.
_PAVEMENT, _PAVEMENT_M = 0.15, 1.8
# A carriageway is no wider, however far apart the blocks are: of streets, and of those that are wider than most.
_CARRIAGEWAY_M, _MAIN_CARRIAGEWAY_M, _MAIN = 8.0, 12.5, 1.4
_KERB_M = 4.0  # radius of a kerb at a corner
_EMPTY, _CROWDED = 0.02, 0.6  # share of building below which a block is a park, above which it is paved
_PATH_M, _DRIVE_M = 0.9, 2.6  # bare ground around a house, and from it to the street
_TREES_A_HECTARE = {"park": 110.0, "garden": 55.0, "paved": 14.0}
_CROWN_M = (2.3, 0.35, 1.0, 5.0)  # radius: median, spread of its logarithm, smallest, largest
_STREET_TREES_M, _TREE_LINED_M = 11.0, 8.0  # between two trees along a street, of streets at least so wide
_POND, _LEAST_POND_M2 = 0.35, 1200.0  # how many parks of that size have a pond
_ROUND = 4  # corners of a quarter of a circle


@dataclass(frozen=True)
class TownMap:
    """Polygons in the mask's units, x to the right and y down; crowns as discs. They may reach beyond the mask."""

    roads: np.ndarray
    lawns: np.ndarray
    water: np.ndarray
    crowns: np.ndarray


def map_of(grown: Grown, size: tuple[float, float], metre: float, rng: np.random.Generator) -> TownMap:
    """The map of a town on ``size`` (height, width) units, of which ``metre`` make a metre."""
    height, width = size
    ground = shapely.box(0, 0, width, height).buffer(8 * metre, join_style="mitre")
    blocks = [block for block in grown.blocks if block.intersects(ground)]
    buildings = np.array(grown.polygons, dtype=object)
    roads = _carriageways(grown, blocks, ground, metre)
    width = float(np.median([street.width for street in grown.streets])) if grown.streets else 0.0
    tree = shapely.STRtree(buildings)
    lawns: list[shapely.Geometry] = []
    water: list[shapely.Geometry] = []
    crowns: list[shapely.Geometry] = []
    for block in blocks:
        own = buildings[np.sort(tree.query(block, predicate="intersects"))]
        seen = shapely.intersection(block, ground)
        built = float(shapely.area(shapely.intersection(own, block)).sum()) / max(seen.area, 1e-9)
        kind = _kind(built, rng)
        if kind == "park" and seen.area > _LEAST_POND_M2 * metre**2 and rng.random() < _POND:
            water.append(_pond(block, rng))
        if kind != "paved":
            lawns.append(_lawn(block, own, metre))
        crowns += _trees(block, own, _TREES_A_HECTARE[kind] * max(1 - built, 0.0), metre, rng, away_from=water[-1:])
        if width >= _TREE_LINED_M * metre:
            crowns += _street_trees(block, own, metre, rng)
    return TownMap(_table(roads), _table(lawns), _table(water), _table(crowns))


def _table(shapes: Sequence[shapely.Geometry]) -> np.ndarray:
    table = np.empty(len(shapes), object)
    table[:] = shapes
    return table[~shapely.is_empty(table)]


def _kind(built: float, rng: np.random.Generator) -> str:
    if built < _EMPTY:
        return "park"
    if built > _CROWDED:
        return "paved"
    return "garden" if rng.random() < 1.15 - built else "paved"


def _carriageways(grown: Grown, blocks: Sequence[shapely.Polygon], ground: shapely.Polygon, metre: float) -> list[shapely.Geometry]:
    """Strips along the middle of the streets, with round corners, that keep a pavement's distance from the blocks."""
    if not grown.streets:
        return []
    usual = float(np.median([street.width for street in grown.streets]))
    strips, pavement = [], min(_PAVEMENT * usual, _PAVEMENT_M * metre)
    lines = np.array([street.line for street in grown.streets], dtype=object)
    reach = 0.75 * max(street.width for street in grown.streets)
    for number, (line, width) in enumerate(grown.streets):
        most = (_MAIN_CARRIAGEWAY_M if width > _MAIN * usual else _CARRIAGEWAY_M) * metre
        met = _to_the_next(line, np.delete(lines, number), reach)
        strips.append(met.buffer(min(width - 2 * pavement, most) / 2, cap_style="flat"))
    kerb = _KERB_M * metre
    paved = shapely.union_all(strips).intersection(ground).buffer(kerb, quad_segs=_ROUND).buffer(-kerb, quad_segs=_ROUND)
    kept_off = shapely.union_all(shapely.buffer(np.array(blocks, dtype=object), pavement, quad_segs=_ROUND))
    return [part for part in shapely.get_parts(paved.difference(kept_off)) if part.geom_type == "Polygon"]


def _to_the_next(line: shapely.LineString, others: np.ndarray, reach: float) -> shapely.LineString:
    """A straight line, at both ends as far as the middle of the street that it comes from, if there is one within reach."""
    if line.is_ring or not len(others):
        return line
    start, end = shapely.get_coordinates(line)[[0, -1]]
    along = (end - start) / max(line.length, 1e-12)
    ends = []
    for corner, way in ((start, -along), (end, along)):
        further = shapely.LineString([corner, corner + reach * way])
        met = shapely.get_coordinates(shapely.intersection(further, others))
        ends.append(corner + way * (float(((met - corner) @ way).min()) if len(met) else 0.0))
    return shapely.LineString(ends)


def _lawn(block: shapely.Polygon, buildings: np.ndarray, metre: float) -> shapely.Geometry:
    """A block without its houses, the path around each and its drive to the street."""
    taken = [shapely.buffer(buildings, _PATH_M * metre, join_style="mitre")]
    kerb = block.exterior
    for building in buildings:
        middle = building.centroid
        line = shapely.shortest_line(middle, kerb)
        taken.append(np.array([shapely.buffer(line, _DRIVE_M / 2 * metre, cap_style="square")], object))
    return shapely.difference(block, shapely.union_all(np.concatenate(taken)))


def _pond(block: shapely.Polygon, rng: np.random.Generator) -> shapely.Polygon:
    """A shape without corners around the block's middle, well inside it."""
    middle = block.centroid
    reach = float(shapely.distance(middle, block.exterior)) * rng.uniform(0.45, 0.75)
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    swing = sum(rng.uniform(0.05, 0.22) / k * np.sin(k * angle + rng.uniform(0, 2 * np.pi)) for k in (1, 2, 3))
    radius = reach * (0.85 + swing)
    return shapely.Polygon(np.stack([middle.x + radius * np.cos(angle), middle.y + radius * np.sin(angle)], axis=1))


def _trees(
    block: shapely.Polygon,
    buildings: np.ndarray,
    a_hectare: float,
    metre: float,
    rng: np.random.Generator,
    away_from: Sequence[shapely.Geometry],
) -> list[shapely.Geometry]:
    """Crowns anywhere in a block, some of them in groups."""
    left, top, right, bottom = block.bounds
    count = int(rng.poisson(a_hectare * (right - left) * (bottom - top) / (1e4 * metre**2)))
    at = rng.uniform((left, top), (right, bottom), (count, 2))
    for number in np.flatnonzero(rng.random(count) < 0.4)[1:]:
        at[number] = at[number - 1] + rng.normal(0, 3.0 * metre, 2)
    return _planted(block, buildings, at, metre, rng, away_from)


def _street_trees(block: shapely.Polygon, buildings: np.ndarray, metre: float, rng: np.random.Generator) -> list[shapely.Geometry]:
    """Crowns along the block's front, of an avenue or of none."""
    if rng.random() < 0.45:
        return []
    kerb = block.buffer(-1.0 * metre, join_style="mitre").boundary
    count = int(kerb.length / (_STREET_TREES_M * metre))
    places = (np.arange(count) + rng.uniform(-0.12, 0.12, count) + 0.5) * _STREET_TREES_M * metre
    at = shapely.get_coordinates(shapely.line_interpolate_point(kerb, places[rng.random(count) < 0.8]))
    return _planted(block, buildings, at, metre, rng, ())


def _planted(
    block: shapely.Polygon,
    buildings: np.ndarray,
    at: np.ndarray,
    metre: float,
    rng: np.random.Generator,
    away_from: Sequence[shapely.Geometry],
) -> list[shapely.Geometry]:
    """Crowns of those trees that stand in the block, and not in a house or a pond."""
    median, spread, smallest, largest = _CROWN_M
    radii = np.clip(median * np.exp(rng.normal(0, spread, len(at))), smallest, largest) * metre
    stems = np.asarray(shapely.points(at)).reshape(-1)
    stands = shapely.contains_properly(block, stems)
    for taken in (*buildings, *away_from):
        stands &= shapely.distance(taken, stems) > 0.5 * radii
    return list(shapely.buffer(stems[stands], radii[stands], quad_segs=_ROUND))
