"""A town while it is built: buildings of a place's sizes and spacing, put down along rows of parcels."""

import numpy as np
import shapely

from orthoforge.forging.layouts.blocks import Row
from orthoforge.forging.layouts.library import MOST_WEIGHT
from orthoforge.forging.layouts.plot import LEAST_GAP_PX, MOST_TRIMMED, Plot
from orthoforge.forging.statistics import PlaceStatistics

_SETBACK = 0.3  # of the free depth that lies in front of a building, of the same in a row
_RAGGED = 0.08  # how far a building stands off its row's line, likewise
# Between two walls that many pixels apart the staircases of both come nearer somewhere: 1.4 px are seen as 1, not as 0.
_BLUR_PX = 0.4
_WALL_TO_WALL = 3.0  # buildings that stand closer, in least gaps, are parallel
_OVER_THE_LINE = 0.1  # share of a building that may stand beyond its row
_PLAIN = 0.9  # a building that fills so much of its rectangle is one
_LARGE_FIRST = 0.5  # how much sooner large buildings are drawn, as a power of their area: small ones find room later
_STEP = 0.25  # along a row, in widths of the building that found no place
_PLACES = 8  # in a parcel's depth, of which a building takes the first that fits


class Town:
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
        self.ground = Plot(LEAST_GAP_PX * real.pixel, bucket=max(float(np.sqrt(real.area.mean())), 4 * real.pixel))
        self.fills = np.where(real.fill >= _PLAIN, 1.0, np.maximum(real.fill, 0.55))
        self.long = np.sqrt(real.area * real.elongation / self.fills)
        self.short = self.long / real.elongation
        # Turned anyhow, a rectangle's box is 2 / pi times the sum of its sides wide and high.
        reach = 2 / np.pi * (self.long + self.short)
        seen = np.clip(1 - reach / real.window[0], 0, 1) * np.clip(1 - reach / real.window[1], 0, 1)
        weight = 1 / np.maximum(seen, 1 / MOST_WEIGHT)
        self.chance = weight / weight.sum()
        """Of a building to be this one."""
        self.mean_area = float(np.sum(self.chance * real.area))
        # What is missing by less no building would bring nearer.
        self.least = 0.5 * float(np.quantile(real.area, 0.05))
        self.stock = np.zeros(len(real.area))
        self._restock(self.target)

    def fill(self, row: Row, among: np.ndarray, target: float, spaced: float = 1.0, *, behind: bool = False) -> None:
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

    def _squeeze(self, row: Row, number: int, start: float, wide: float, deep: float, askew: float, gap: float) -> bool:
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

    def _reach(self, row: Row, at: float) -> tuple[float, float]:
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
        row: Row,
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
