"""Towns that never were: streets, blocks, parcels and a building in each, from a place's measurements alone.

Ground is cut where it exceeds the size of a block the most, with streets between the pieces, main ones first; blocks are cut into
rows of parcels, and rows into parcels, as in Parish and Müller 2001 (doi:10.1145/383259.383292) and Vanegas et al. 2012
(doi:10.1111/j.1467-8659.2012.03047.x). What a parcel measures follows from the place: its front from a building's width and its
spacing, its depth from the building share.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from orthoforge.forging.ground import LEAST_GAP_PX, MOST_TRIMMED, Ground
from orthoforge.forging.recombine import Grown
from orthoforge.forging.shapes import rectangle
from orthoforge.forging.statistics import PlaceStatistics

_PARCELS_A_ROW = (4, 12)
_STREET = 0.7  # a street's width, in depths of a mean building; main streets twice that
_NARROWEST_STREET = 0.2  # where no open point of the place is far from a wall
_OPEN = 1.5  # streets are narrower where less than 1 / 1.5 of the ground is open
_BEND = 0.04  # turn of a street against the one it leaves, in radians
_UNEVEN = 0.15  # how far off its place a cut may lie, in blocks
_LONGEST = 1.4  # pieces up to so many targets are not cut again
_DEPTHS = (1.15, 2.4)  # of a parcel, in depths of a mean building; sparser places leave blocks empty instead
_DISTRICT = 9.0  # ground of one direction, in mean distances between buildings
_SMALLEST_BLOCK = 0.05  # of a square block: what a district's edge leaves may be less than a parcel
_SETBACK = 0.3  # of the free depth that lies in front of a building, of the same in a row
_RAGGED = 0.08  # how far a building stands off its row's line, likewise
# Between two walls that many pixels apart the staircases of both come nearer somewhere: 1.4 px are seen as 1, not as 0.
_BLUR_PX = 0.4
_WALL_TO_WALL = 3.0  # buildings that stand closer, in least gaps, are parallel
_OVER_THE_LINE = 0.1  # share of a building that may stand beyond its row
_PLAIN = 0.9  # a building that fills so much of its rectangle is one
_LARGE_FIRST = 0.5  # how much sooner large buildings are drawn, as a power of their area: small ones find room later
_MOST_WEIGHT = 4.0  # as in ``recombine``: how much more often a large building stands than is seen whole
# Over the rows, each closing gaps that the one before left, with so much of the drawn spacing.
_PASSES = (1.0, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0)
_WORTH_IT = 0.01  # a pass that builds less of what is asked for is the last of its spacing
_STEP = 0.25  # along a row, in widths of the building that found no place
_PLACES = 8  # in a parcel's depth, of which a building takes the first that fits


@dataclass(frozen=True)
class _Row:
    """Parcels side by side: the ground, the street's direction along their fronts and the way to it."""

    polygon: shapely.Polygon
    along: np.ndarray
    front: np.ndarray


@dataclass(frozen=True)
class _District:
    """Convex ground of one direction, in radians clockwise from east, cut into blocks of one size."""

    polygon: shapely.Polygon
    direction: float


def streets(
    real: PlaceStatistics,
    size: tuple[float, float],
    share: float,
    direction: float | Sequence[float],
    density: float,
    rng: np.random.Generator,
) -> tuple[Grown, dict[str, float]]:
    """A layout on ``size`` (height, width) units with buildings on ``share`` × ``density`` of it, along streets of ``direction``.

    ``direction`` is in radians clockwise from east; of several, ground that is large enough has districts, each with one of them.
    Sizes, proportions and spacing of the buildings are drawn from the place's. Returns the buildings, and the parameters that made
    the streets; of the districts' directions, the first.
    """
    height, width = size
    directions = np.atleast_1d(np.asarray(direction, float))
    wanted = min(share * density, 0.98)
    if wanted <= 0:
        return Grown([], 0.0, 0.0), {"direction_deg": round(float(np.degrees(directions[0])), 3)}
    spacing = real.spacing[~np.isnan(real.spacing)] / np.sqrt(max(density, 1.0))
    spacing = spacing if len(spacing) else np.array([2 * real.pixel])
    side = float(np.sqrt(real.area / real.fill).mean())
    # Every other gap is as measured, the ones between at least as wide: see ``_Town.fill``.
    step = side + float(np.mean([spacing.mean(), np.maximum(spacing, rng.permutation(spacing)).mean()]))
    town = _Town(real, spacing, size, wanted, rng)
    open_ = 2 * float(np.quantile(real.emptiness, 0.75)) if len(real.emptiness) else np.inf
    # Where most of the ground is built there is none left for wide streets.
    street = float(np.clip(open_, _NARROWEST_STREET * side, _STREET * side * min(1.0, _OPEN * (1 - wanted)) ** 2))
    depth = float(np.clip(town.mean_area / (wanted * step) - street / 2, _DEPTHS[0] * side, _DEPTHS[1] * side))
    districts = _districts(size, directions, _DISTRICT * float(np.sqrt(town.mean_area / wanted)), depth, rng)
    # What is deeper than a parcel has a block's whole depth, until such buildings have their share.
    deep = town.short > 0.95 * depth
    shallow = np.ones_like(deep) if deep.all() else ~deep
    for_deep = town.target * float((town.chance * real.area)[deep].sum() / town.mean_area)
    blocks, lengths = [], []
    for district in districts:
        lengths.append(int(rng.integers(*_PARCELS_A_ROW)) * step)
        # Beyond a street of half its width the next district begins.
        ground = district.polygon.buffer(-street / 2, join_style="mitre") if len(districts) > 1 else district.polygon
        cut = _blocks(size, district.direction, (lengths[-1], 2 * depth), street, rng, ground)
        blocks += [_District(block, district.direction) for block in cut]
    rows = []
    for i in rng.permutation(len(blocks)):
        block = blocks[i]
        if town.built < for_deep and deep.any():
            town.fill(_Row(block.polygon, *_fronts(block.polygon, block.direction)[0]), deep, for_deep)
        rows += _rows(block.polygon, block.direction)
    exhausted = None
    for number, spaced in enumerate(_PASSES):
        if spaced == exhausted:
            continue
        built = town.built
        for i in rng.permutation(len(rows)):
            town.fill(rows[i], shallow, town.target, spaced, behind=number > 0)
        if number > 0 and town.built - built < _WORTH_IT * town.target:
            exhausted = spaced
    window = shapely.box(0, 0, width, height)
    parts = [part for polygon in town.ground.polygons for part in shapely.get_parts(shapely.intersection(polygon, window))]
    polygons = [part for part in parts if part.geom_type == "Polygon" and part.area > 0]
    parameters = {
        "direction_deg": round(float(np.degrees(districts[0].direction)), 3), "parcel_front": round(step, 3),
        "parcel_depth": round(depth, 3), "street": round(street, 3), "block_length": round(float(np.mean(lengths)), 3),
        "blocks": len(blocks), "districts": len(districts),
    }  # fmt: skip
    return Grown(polygons, town.built / (height * width), wanted), parameters


class _Town:
    """What is built so far, towards a target, and what there still is to build: sizes come out in the shares that they have."""

    def __init__(
        self, real: PlaceStatistics, spacing: np.ndarray, size: tuple[float, float], wanted: float, rng: np.random.Generator
    ) -> None:
        self.real, self.spacing, self.rng = real, spacing, rng
        agreement = real.coherence[~np.isnan(real.coherence)]
        self.agreement = agreement if len(agreement) else np.ones(1)
        self.height, self.width = size
        self.blur = _BLUR_PX * real.pixel
        self.target, self.built = wanted * self.height * self.width, 0.0
        self.ground = Ground(LEAST_GAP_PX * real.pixel, bucket=max(float(np.sqrt(real.area.mean())), 4 * real.pixel))
        self.fills = np.where(real.fill >= _PLAIN, 1.0, np.maximum(real.fill, 0.55))
        self.long = np.sqrt(real.area * real.elongation / self.fills)
        self.short = self.long / real.elongation
        # Turned anyhow, a rectangle's box is 2 / pi times the sum of its sides wide and high.
        reach = 2 / np.pi * (self.long + self.short)
        seen = np.clip(1 - reach / real.window[0], 0, 1) * np.clip(1 - reach / real.window[1], 0, 1)
        weight = 1 / np.maximum(seen, 1 / _MOST_WEIGHT)
        self.chance = weight / weight.sum()
        """Of a building to be this one."""
        self.mean_area = float(np.sum(self.chance * real.area))
        # What is missing by less no building would bring nearer.
        self.least = 0.5 * float(np.quantile(real.area, 0.05))
        self.stock = np.zeros(len(real.area))
        self._restock(self.target)

    def fill(self, row: _Row, among: np.ndarray, target: float, spaced: float = 1.0, *, behind: bool = False) -> None:
        """Parcels along the row from one end to the other, a building in each, while the target is not reached.

        ``among`` (n,) is where a building may stand in it. ``behind`` puts them anywhere in the row's depth, not along its front.
        """
        corners = shapely.get_coordinates(row.polygon.exterior)
        target -= self.least
        if self.built >= target or not row.polygon.intersects(shapely.box(0, 0, self.width, self.height)):
            return
        start, end = (corners @ row.along).min(), (corners @ row.along).max()
        start += self.rng.uniform(0, 0.5) * float(np.sqrt(self.real.area.mean())) if behind else 0.0
        depth = float(np.ptp(corners @ row.front))
        line = _SETBACK * self.rng.uniform(0.6, 1.4)
        askew = self._askew()
        # Buildings stand in pairs with their drawn gap between them, and the next pair no nearer: so each one's nearest
        # neighbour is at a gap as measured.
        gap, paired = np.inf, False
        while start < end and self.built < target:
            drawn, before = float(self.rng.choice(self.spacing)), gap
            gap = max(spaced * drawn + self.blur, before if paired else 0.0, 1.05 * self.ground.least_gap)
            paired = not paired
            if gap > _WALL_TO_WALL * self.ground.least_gap:  # else both have one wall, and one direction
                askew = self._askew()
            number = self._draw(among)
            if number is None:
                return
            wide, deep = self._sides(number, depth)
            kept = gap if behind else min(before, gap)
            stands = start + wide <= end and (
                any(self._build(row, number, start + wide / 2, wide, deep, back, askew, kept) for back in (line, 0.5 * line))
                if not behind
                else self._squeeze(row, number, start, wide, deep, askew, kept)
            )
            start += wide + gap if stands or not behind else _STEP * wide

    def _draw(self, among: np.ndarray) -> int | None:
        """One of those that are still to be built, large ones sooner; ``None`` when none of them ever is."""
        chances = np.cumsum(self.stock * among * self.real.area**_LARGE_FIRST)
        if not chances[-1]:
            self._restock(self.target - self.built)
            chances = np.cumsum(self.stock * among * self.real.area**_LARGE_FIRST)
        if not chances[-1]:
            return None
        return int(np.searchsorted(chances, self.rng.random() * chances[-1], side="right"))

    def _restock(self, area: float) -> None:
        """More to build, by so much area: of each size its share, rounded by chance."""
        order = np.argsort(self.real.area, kind="stable")
        upto = np.cumsum(self.chance[order]) * max(area / self.mean_area, 1.0) + self.rng.random()
        self.stock[order] += np.diff(np.floor(upto), prepend=0.0)

    def _sides(self, number: int, depth: float) -> tuple[float, float]:
        """Along the street and away from it."""
        sides = (float(self.long[number]), float(self.short[number]))
        return sides if self.rng.random() < 0.5 or sides[0] > 0.96 * depth else sides[::-1]

    def _squeeze(self, row: _Row, number: int, start: float, wide: float, deep: float, askew: float, gap: float) -> bool:
        """Put a building at the row's front or back, or right behind or before one that stands in its strip."""
        at = start + wide / 2
        low, high = self._reach(row, at)
        if high - low < deep:
            return False
        middle = row.along * at
        strip = shapely.Polygon(
            [middle + row.along * side * wide / 2 + row.front * end for side, end in ((-1, low), (1, low), (1, high), (-1, high))]
        )
        others = np.array([self.ground.polygons[i] for i in self.ground.near(strip.bounds, 0.0)], dtype=object)
        taken = shapely.intersection(others, strip)
        taken = taken[~shapely.is_empty(taken)]
        reaches = np.array([[reach.min(), reach.max()] for reach in (shapely.get_coordinates(part) @ row.front for part in taken)])
        froms, tos = reaches.reshape(-1, 2).T
        starts = np.concatenate([[self.rng.uniform(low, high - deep), low, high - deep], tos + gap, froms - gap - deep])
        starts = starts[(starts >= low) & (starts <= high - deep)]
        # What stands in the way, were it as wide all along: roughly, and saves trying what cannot fit.
        shared = np.minimum(starts[:, None] + deep, tos) - np.maximum(starts[:, None], froms)
        overlap = (np.maximum(shared, 0) * shapely.area(taken) / np.maximum(tos - froms, 1e-9)).sum(axis=1)
        starts = starts[overlap < 2 * MOST_TRIMMED * wide * deep]
        free = max(high - low - deep, 1e-9)
        backs = (high - deep - starts) / free
        return any(self._build(row, number, at, wide, deep, float(back), askew, gap, ragged=0.0) for back in backs[:_PLACES])

    def _reach(self, row: _Row, at: float) -> tuple[float, float]:
        """From where to where the row goes along its front direction, so far along it; nothing where it is not."""
        corners = shapely.get_coordinates(row.polygon.exterior)
        along, front = corners @ row.along, corners @ row.front
        crossing = np.flatnonzero((along[:-1] - at) * (along[1:] - at) < 0)
        if len(crossing) < 2:
            return 0.0, 0.0
        share = (at - along[crossing]) / (along[crossing + 1] - along[crossing])
        reach = front[crossing] + share * (front[crossing + 1] - front[crossing])
        return float(reach.min()), float(reach.max())

    def _build(
        self,
        row: _Row,
        number: int,
        at: float,
        wide: float,
        deep: float,
        setback: float,
        askew: float,
        gap: float,
        *,
        ragged: float = _RAGGED,
    ) -> bool:
        """Put building ``number`` down in the row, if it fits."""
        low, high = self._reach(row, at)
        free = high - low - deep
        if free < 0:
            return False
        fill = float(self.fills[number])
        shape = shapely.box(-wide / 2, -deep / 2, wide / 2, deep / 2) if fill == 1 else _angled(wide, deep, fill, self.rng)
        cos, sin = np.cos(askew), np.sin(askew)
        turn = np.array([row.along, row.front]).T @ np.array([[cos, -sin], [sin, cos]])
        back = high - free * np.clip(setback + self.rng.normal(0, ragged), 0, 1) - deep / 2
        centre = row.along * at + row.front * back
        polygon = shapely.transform(shape, lambda xy: np.asarray(xy) @ turn.T + centre)
        if shapely.difference(polygon, row.polygon).area > _OVER_THE_LINE * polygon.area:
            return False
        inside = self._inside(polygon)
        if inside and abs(self.built + inside - self.target) >= abs(self.built - self.target):
            return False
        fitting = self.ground.fitted(polygon, 0.9 * gap)
        if fitting is None:
            return False
        # It keeps its own gap now; what comes later keeps its own from it.
        self.ground.add(fitting, 0.0)
        self.built += self._inside(fitting)
        self.stock[number] -= 1
        return True

    def _askew(self) -> float:
        """By how much a building is turned off its row. Two that are each turned by d differ by 1.4 d on average."""
        agreement = self.agreement[self.rng.integers(len(self.agreement))]
        return float(np.arccos(np.clip(agreement, -1, 1)) / 4 / 1.4 * self.rng.choice([-1, 1]))

    def _inside(self, polygon: shapely.Polygon) -> float:
        return float(shapely.clip_by_rect(polygon, 0, 0, self.width, self.height).area)


def _districts(
    size: tuple[float, float], directions: np.ndarray, reach: float, margin: float, rng: np.random.Generator
) -> list[_District]:
    """Convex parts of the ground and of a margin around it, about ``reach`` wide, whose directions are spread as those given."""
    height, width = size
    ground = shapely.box(-margin, -margin, width + margin, height + margin).buffer(margin, join_style="mitre")
    count = max(1, round(height * width / reach**2)) if len(directions) > 1 else 1
    if count == 1:
        return [_District(ground, float(directions[0]))]
    points = rng.uniform((0, 0), (width, height), (count, 2))
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.MultiPoint(points), extend_to=ground))
    cells = shapely.intersection(cells, ground)
    # Evenly out of the ordered ones, so that few districts have the place's directions too.
    levels = (rng.permutation(len(cells)) + rng.random()) / len(cells)
    drawn = np.sort(directions)[(levels * len(directions)).astype(int)]
    return [_District(cell, float(angle)) for cell, angle in zip(cells, drawn, strict=True)]


def _blocks(
    size: tuple[float, float],
    direction: float,
    targets: tuple[float, float],
    street: float,
    rng: np.random.Generator,
    ground: shapely.Polygon,
) -> list[shapely.Polygon]:
    """Convex blocks of a district, with streets between them; the first cuts are main ones."""
    height, width = size
    left, top, right, bottom = ground.bounds
    reach = float(np.hypot(right - left, bottom - top)) + max(targets)
    window = shapely.intersection(shapely.box(0, 0, width, height), ground)
    middle = np.array([left + right, top + bottom]) / 2 + rng.uniform(-0.5, 0.5, 2) * min(targets)
    open_ = [(rectangle(float(middle[0]), float(middle[1]), reach + targets[0], reach + targets[1], direction), 0)]
    blocks = []
    while open_:
        polygon, cuts = open_.pop()
        if not polygon.intersects(window):
            continue
        gap = street * (2.0 if cuts < 2 else 1.0) * rng.uniform(0.8, 1.2)
        halves = _halves(polygon, direction, targets, gap, rng)
        if halves is None:
            block = shapely.intersection(polygon, ground)
            if isinstance(block, shapely.Polygon) and block.area > _SMALLEST_BLOCK * targets[1] ** 2:
                blocks.append(block)
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
