"""Towns that never were: streets, blocks, parcels and a building in each, from a place's measurements alone.

Ground is cut where it exceeds the size of a block the most, with streets between the pieces, main ones first; blocks are cut into
rows of parcels, and rows into parcels, as in Parish and Müller 2001 (doi:10.1145/383259.383292) and Vanegas et al. 2012
(doi:10.1111/j.1467-8659.2012.03047.x). What a parcel measures follows from the place: its front from a building's width and its
spacing, its depth from the building share.
"""

from dataclasses import dataclass

import numpy as np
import shapely

from orthoforge.forging.ground import LEAST_GAP_PX, Ground
from orthoforge.forging.recombine import Grown
from orthoforge.forging.shapes import rectangle
from orthoforge.forging.statistics import PlaceStatistics

_PARCELS_A_ROW = (4, 12)
_STREET = 0.7  # a street's width, in depths of a mean building; main streets twice that
_BEND = 0.04  # turn of a street against the one it leaves, in radians
_UNEVEN = 0.15  # how far off its place a cut may lie, in blocks
_LONGEST = 1.4  # pieces up to so many targets are not cut again
_DEPTHS = (1.15, 2.4)  # of a parcel, in depths of a mean building; sparser places leave blocks empty instead
_SETBACK = 0.3  # of the free depth that lies in front of a building, of the same in a row
_RAGGED = 0.08  # how far a building stands off its row's line, likewise
_WALL_TO_WALL = 3.0  # buildings that stand closer, in least gaps, are parallel
_OVER_THE_LINE = 0.1  # share of a building that may stand beyond its row
_PLAIN = 0.93  # a building that fills so much of its rectangle is one
_DRAWS = 6  # of a building that fits a parcel's depth
_PASSES = (1.0, 1.0, 0.5, 0.0)  # over the rows, each closing gaps that the one before left, with so much of the drawn spacing


@dataclass(frozen=True)
class _Row:
    """Parcels side by side: the ground, the street's direction along their fronts and the way to it."""

    polygon: shapely.Polygon
    along: np.ndarray
    front: np.ndarray


def streets(
    real: PlaceStatistics, size: tuple[float, float], share: float, direction: float, density: float, rng: np.random.Generator
) -> tuple[Grown, dict[str, float]]:
    """A layout on ``size`` (height, width) units with buildings on ``share`` × ``density`` of it, along streets of ``direction``.

    ``direction`` is in radians clockwise from east. Sizes, proportions and spacing of the buildings are drawn from the place's.
    Returns the buildings, and the parameters that made the streets.
    """
    height, width = size
    wanted = min(share * density, 0.98)
    if wanted <= 0:
        return Grown([], 0.0, 0.0), {"direction_deg": round(float(np.degrees(direction)), 3)}
    spacing = real.spacing[~np.isnan(real.spacing)] / np.sqrt(max(density, 1.0))
    # In a row the nearest neighbour is at the smaller of two gaps: gaps are drawn so that this has the measured distribution.
    levels = (np.arange(len(spacing)) + 0.5) / max(len(spacing), 1)
    spacing = np.quantile(spacing, 1 - (1 - levels) ** 2) if len(spacing) else np.array([2 * real.pixel])
    short = np.sqrt(real.area / real.fill / real.elongation)
    side = float(np.sqrt(real.area / real.fill).mean())
    step = side + float(spacing.mean())
    street = _STREET * side
    depth = float(np.clip(real.area.mean() / (wanted * step) - street / 2, _DEPTHS[0] * side, _DEPTHS[1] * side))
    length = int(rng.integers(*_PARCELS_A_ROW)) * step
    blocks = _blocks(size, direction, (length, 2 * depth), street, rng)
    town = _Town(real, spacing, size, wanted, rng)
    order = [blocks[i] for i in rng.permutation(len(blocks))]
    # What is deeper than a parcel has a block's whole depth, until such buildings have their share.
    deep = short > 0.95 * depth
    for_deep = town.target * float(real.area[deep].sum() / real.area.sum())
    rows = []
    for block in order:
        if town.built < for_deep and deep.any():
            town.fill(_Row(block, *_fronts(block, direction)[0]), np.flatnonzero(deep), for_deep)
        rows += _rows(block, direction)
    rows = [rows[i] for i in rng.permutation(len(rows))]
    shallow = np.flatnonzero(deep if deep.all() else ~deep)
    for spaced in _PASSES:
        for row in rows:
            town.fill(row, shallow, town.target, spaced)
    window = shapely.box(0, 0, width, height)
    parts = [part for polygon in town.ground.polygons for part in shapely.get_parts(shapely.intersection(polygon, window))]
    polygons = [part for part in parts if part.geom_type == "Polygon" and part.area > 0]
    parameters = {
        "direction_deg": round(float(np.degrees(direction)), 3), "parcel_front": round(step, 3), "parcel_depth": round(depth, 3),
        "street": round(street, 3), "block_length": round(length, 3), "blocks": len(blocks),
    }  # fmt: skip
    return Grown(polygons, town.built / (height * width), wanted), parameters


class _Town:
    """What is built so far, towards a target."""

    def __init__(
        self, real: PlaceStatistics, spacing: np.ndarray, size: tuple[float, float], wanted: float, rng: np.random.Generator
    ) -> None:
        self.real, self.spacing, self.rng = real, spacing, rng
        agreement = real.coherence[~np.isnan(real.coherence)]
        self.agreement = agreement if len(agreement) else np.ones(1)
        self.height, self.width = size
        self.target, self.built = wanted * self.height * self.width, 0.0
        self.ground = Ground(LEAST_GAP_PX * real.pixel, bucket=max(float(np.sqrt(real.area.mean())), 4 * real.pixel))

    def fill(self, row: _Row, among: np.ndarray, target: float, spaced: float = 1.0) -> None:
        """Parcels along the row from one end to the other, a building in each, while the target is not reached."""
        corners = shapely.get_coordinates(row.polygon.exterior)
        if self.built >= target or not row.polygon.intersects(shapely.box(0, 0, self.width, self.height)):
            return
        start, end = (corners @ row.along).min(), (corners @ row.along).max()
        start += 0.0 if spaced == 1 else self.rng.uniform(0, 0.5) * float(np.sqrt(self.real.area.mean()))
        depth = float(np.ptp(corners @ row.front))
        setback = _SETBACK * self.rng.uniform(0.6, 1.4)
        askew = self._askew()
        while start < end and self.built < target:
            found = self._draw(among, depth)
            if found is None:
                return
            number, wide, deep = found
            gap = max(spaced * float(self.rng.choice(self.spacing)), 1.05 * self.ground.least_gap)
            if gap > _WALL_TO_WALL * self.ground.least_gap:  # else both have one wall, and one direction
                askew = self._askew()
            if start + gap / 2 + wide <= end:
                self._build(row, number, start + gap / 2 + wide / 2, wide, deep, setback, askew, gap)
            start += wide + gap

    def _draw(self, among: np.ndarray, depth: float) -> tuple[int, float, float] | None:
        """A building that fits the depth: its number, its side along the street and its other one."""
        for number in self.rng.choice(among, _DRAWS).tolist():
            long = float(np.sqrt(self.real.area[number] * self.real.elongation[number] / self._fill(number)))
            short = long / float(self.real.elongation[number])
            sides = (long, short) if self.rng.random() < 0.5 else (short, long)
            if sides[1] > 0.96 * depth:
                sides = long, short
            if sides[1] <= 0.96 * depth:
                return number, *sides
        return None

    def _build(self, row: _Row, number: int, at: float, wide: float, deep: float, setback: float, askew: float, gap: float) -> None:
        far = self.height + self.width + abs(at)
        middle = row.along * at + row.front * (shapely.get_coordinates(row.polygon.centroid)[0] @ row.front)
        across = shapely.intersection(row.polygon, shapely.LineString([middle - row.front * far, middle + row.front * far]))
        if across.is_empty:
            return
        reach = shapely.get_coordinates(across) @ row.front
        free = float(np.ptp(reach)) - deep
        if free < 0:
            return
        fill = self._fill(number)
        shape = shapely.box(-wide / 2, -deep / 2, wide / 2, deep / 2) if fill == 1 else _angled(wide, deep, fill, self.rng)
        cos, sin = np.cos(askew), np.sin(askew)
        turn = np.array([row.along, row.front]).T @ np.array([[cos, -sin], [sin, cos]])
        back = reach.max() - free * np.clip(setback + self.rng.normal(0, _RAGGED), 0, 1) - deep / 2
        centre = row.along * at + row.front * back
        polygon = shapely.transform(shape, lambda xy: np.asarray(xy) @ turn.T + centre)
        if shapely.difference(polygon, row.polygon).area > _OVER_THE_LINE * polygon.area:
            return
        inside = self._inside(polygon)
        if inside and abs(self.built + inside - self.target) >= abs(self.built - self.target):
            return
        fitting = self.ground.fitted(polygon, 0.9 * gap)
        if fitting is not None:
            # It keeps its own gap now; what comes later keeps its own from it.
            self.ground.add(fitting, 0.0)
            self.built += self._inside(fitting)

    def _askew(self) -> float:
        """By how much a building is turned off its row. Two that are each turned by d differ by 1.4 d on average."""
        agreement = self.agreement[self.rng.integers(len(self.agreement))]
        return float(np.arccos(np.clip(agreement, -1, 1)) / 4 / 1.4 * self.rng.choice([-1, 1]))

    def _fill(self, number: int) -> float:
        fill = float(self.real.fill[number])
        return 1.0 if fill >= _PLAIN else max(fill, 0.55)

    def _inside(self, polygon: shapely.Polygon) -> float:
        return float(shapely.clip_by_rect(polygon, 0, 0, self.width, self.height).area)


def _blocks(
    size: tuple[float, float], direction: float, targets: tuple[float, float], street: float, rng: np.random.Generator
) -> list[shapely.Polygon]:
    """Convex blocks over the ground and a margin around it, with streets between them; the first cuts are main ones."""
    height, width = size
    reach = float(np.hypot(height, width)) + max(targets)
    window = shapely.box(0, 0, width, height)
    middle = np.array([width, height]) / 2 + rng.uniform(-0.5, 0.5, 2) * min(targets)
    open_ = [(rectangle(float(middle[0]), float(middle[1]), reach + targets[0], reach + targets[1], direction), 0)]
    blocks = []
    while open_:
        polygon, cuts = open_.pop()
        if not polygon.intersects(window):
            continue
        gap = street * (2.0 if cuts < 2 else 1.0) * rng.uniform(0.8, 1.2)
        halves = _halves(polygon, direction, targets, gap, rng)
        if halves is None:
            blocks.append(polygon)
        else:
            open_ += [(half, cuts + 1) for half in halves]
    return blocks


def _rows(block: shapely.Polygon, direction: float) -> list[_Row]:
    """Both rows of a block, back to back."""
    (along, front), (_, other) = _fronts(block, direction)
    halves = _cut(block, front, 0.5, 0.0)
    if len(halves) < 2:
        return [_Row(block, along, front)]
    return [_Row(halves[1], along, front), _Row(halves[0], along, other)]


def _fronts(block: shapely.Polygon, direction: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Direction of a block's long side nearest to the town's, and the ways to the streets on either side of it."""
    corners = shapely.get_coordinates(block.exterior)
    edges = np.diff(corners, axis=0)
    edges = edges * np.where(edges @ [np.cos(direction), np.sin(direction)] < 0, -1, 1)[:, None]
    aligned = edges @ [np.cos(direction), np.sin(direction)]
    longest = edges[np.argmax(aligned)]
    along = longest / np.hypot(*longest)
    front = np.array([-along[1], along[0]])
    return [(along, front), (along, -front)]


def _halves(
    polygon: shapely.Polygon, direction: float, targets: tuple[float, float], gap: float, rng: np.random.Generator
) -> list[shapely.Polygon] | None:
    """A convex polygon cut in two, ``gap`` apart, where it exceeds its target length or depth; ``None`` when it does not."""
    corners = shapely.get_coordinates(polygon.exterior)
    along = np.array([np.cos(direction), np.sin(direction)])
    axes = (along, np.array([-along[1], along[0]]))
    ratios = [float(np.ptp(corners @ axis)) / target for axis, target in zip(axes, targets, strict=True)]
    most = int(np.argmax(ratios))
    if ratios[most] <= _LONGEST:
        return None
    # A cut at a whole number of targets leaves pieces that come out even.
    share = max(1, round(ratios[most] / 2)) / max(2, round(ratios[most])) + rng.uniform(-_UNEVEN, _UNEVEN) / ratios[most]
    return _cut(polygon, axes[most], share, gap, rng.normal(0, _BEND))


def _cut(polygon: shapely.Polygon, axis: np.ndarray, share: float, gap: float, bend: float = 0.0) -> list[shapely.Polygon]:
    """Both parts of a convex polygon on either side of a strip of width ``gap``, ``share`` of the way along ``axis``."""
    cos, sin = np.cos(bend), np.sin(bend)
    axis = np.array([cos * axis[0] - sin * axis[1], sin * axis[0] + cos * axis[1]])
    corners = shapely.get_coordinates(polygon.exterior)
    reach = corners @ axis
    side = np.array([-axis[1], axis[0]])
    far = 2 * float(np.ptp(corners[:, 0]) + np.ptp(corners[:, 1]))
    centre = corners[:-1].mean(axis=0)
    centre = centre + axis * (reach.min() + np.ptp(reach) * share - centre @ axis)
    halves = []
    for sign in (-1, 1):
        start = centre + sign * axis * gap / 2
        end = start + sign * axis * far
        half = shapely.intersection(
            polygon, shapely.Polygon([start + side * far, start - side * far, end - side * far, end + side * far])
        )
        if isinstance(half, shapely.Polygon) and not half.is_empty:
            halves.append(half)
    return halves


def _angled(wide: float, deep: float, fill: float, rng: np.random.Generator) -> shapely.Polygon:
    """An L or a T that fills that share of its rectangle, which is centred on the origin."""
    empty = 1 - fill
    notch_wide = rng.uniform(max(empty / 0.75, 0.3), 0.75)
    notch_deep = empty / notch_wide
    shape: shapely.geometry.base.BaseGeometry = shapely.box(-wide / 2, -deep / 2, wide / 2, deep / 2)
    side = rng.choice([-1, 1])
    if rng.random() < 0.7:
        pieces = [(1.0, notch_wide)] if rng.random() < 0.5 else [(-1.0, notch_wide)]
    else:
        pieces = [(1.0, notch_wide / 2), (-1.0, notch_wide / 2)]
    for sign, share in pieces:
        x0, x1 = sorted((sign * wide / 2, sign * wide / 2 - sign * share * wide))
        y0, y1 = sorted((side * deep / 2, side * deep / 2 - side * notch_deep * deep))
        shape = shapely.difference(shape, shapely.box(x0, y0, x1, y1))
    assert isinstance(shape, shapely.Polygon)
    return shape
