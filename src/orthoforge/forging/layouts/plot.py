"""A piece of ground that is being built on: which buildings stand, which more fit, and where some are still missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import shapely

# Two polygons further apart than a pixel have no two pixels that share an edge, so that they stay two buildings in the mask.
LEAST_GAP_PX = 1.02
# A building that overlaps others by less may lose that corner; by more, it does not fit.
MOST_TRIMMED = 0.12


class Street(NamedTuple):
    """Where ground was cut: the middle of a street, and how far apart the blocks on both sides of it are."""

    line: shapely.LineString
    width: float


@dataclass(frozen=True)
class Grown:
    """Buildings of a new mask, as polygons in units, and the share of it that they cover."""

    polygons: list[shapely.Polygon]
    share: float
    wanted: float
    blocks: Sequence[shapely.Polygon] = ()
    """The ground between streets, where they are known; some of it lies outside the mask."""
    streets: Sequence[Street] = ()


class Plot:
    """Disjoint polygons, each with the distance it keeps; finds what is near without looking at all of them."""

    def __init__(self, least_gap: float, bucket: float) -> None:
        self.least_gap = least_gap
        self.polygons: list[shapely.Polygon] = []
        self.gaps: list[float] = []
        self._bounds: list[tuple[float, float, float, float]] = []
        self._bucket = bucket
        self._buckets: dict[tuple[int, int], list[int]] = {}

    def fitted(self, polygon: shapely.Polygon, gap: float, factor: float = 1.0) -> shapely.Polygon | None:
        """The polygon as it can stand here, a corner trimmed where it must be; ``None`` where it cannot.

        It keeps ``factor`` times the larger of both gaps from each building, and never less than the least gap.
        """
        near = self.near(polygon.bounds, gap)
        if not near:
            return polygon
        needed = np.maximum(np.maximum([self.gaps[i] for i in near], gap) * factor, self.least_gap)
        left, top, right, bottom = polygon.bounds
        boxes = np.array([self._bounds[i] for i in near])
        # What has no box near enough need not be measured wall by wall.
        across = np.maximum(np.maximum(boxes[:, 0] - right, left - boxes[:, 2]), 0)
        down = np.maximum(np.maximum(boxes[:, 1] - bottom, top - boxes[:, 3]), 0)
        measured = np.flatnonzero(np.hypot(across, down) < needed)
        if not len(measured):
            return polygon
        needed = needed[measured]
        others = np.array([self.polygons[near[i]] for i in measured], dtype=object)
        distance = shapely.distance(polygon, others)
        close = np.flatnonzero(distance < needed)
        if not len(close):
            return polygon
        if (needed[close] - distance[close]).max() > 0.25 * np.sqrt(polygon.area):
            return None
        overlap = shapely.area(shapely.intersection(polygon, others[close[distance[close] == 0]])).sum()
        if overlap > MOST_TRIMMED * polygon.area:
            return None
        margins = shapely.buffer(others[close], needed[close] * 1.001, join_style="mitre")
        rest = shapely.difference(polygon, shapely.union_all(margins))
        if not isinstance(rest, shapely.Polygon) or rest.area < (1 - MOST_TRIMMED) * polygon.area:
            return None
        # What trimming leaves may hold slivers and be closer than asked by a rounding: both are checked, not assumed.
        if (shapely.distance(rest, others) < np.maximum(self.least_gap, 0.98 * needed)).any():
            return None
        return rest

    def add(self, polygon: shapely.Polygon, gap: float) -> int:
        """Put a building down; its number."""
        number = len(self.polygons)
        self.polygons.append(polygon)
        self.gaps.append(gap)
        self._bounds.append(polygon.bounds)
        for key in self._keys(polygon.bounds, max(gap, self.least_gap)):
            self._buckets.setdefault(key, []).append(number)
        return number

    def near(self, bounds: tuple[float, float, float, float], reach: float) -> list[int]:
        """Numbers of the buildings that may lie within ``reach`` of a box, or keep so large a distance that it matters to them."""
        found: set[int] = set()
        for key in self._keys(bounds, max(reach, self.least_gap)):
            found.update(self._buckets.get(key, ()))
        return sorted(found)

    def inside(self, height: float, width: float) -> list[shapely.Polygon]:
        """The buildings as a mask of that size shows them, cut where its border goes through them."""
        window = shapely.box(0, 0, width, height)
        parts = [part for polygon in self.polygons for part in shapely.get_parts(shapely.intersection(polygon, window))]
        return [part for part in parts if part.geom_type == "Polygon" and part.area > 0]

    def _keys(self, bounds: tuple[float, float, float, float], reach: float) -> list[tuple[int, int]]:
        left, top, right, bottom = (
            int(np.floor(value / self._bucket))
            for value in (bounds[0] - reach, bounds[1] - reach, bounds[2] + reach, bounds[3] + reach)
        )
        return [(i, j) for i in range(left, right + 1) for j in range(top, bottom + 1)]


class Demand:
    """How much building area is still asked for, by cell, on a mask and a margin around it."""

    def __init__(self, height: float, width: float, margin: float, share: np.ndarray) -> None:
        rows, cols = share.shape
        self.height, self.width, self.margin = height, width, margin
        # Buildings that the border cuts stand outside as well: the ground goes on there as it would in a mirror.
        self.y = np.concatenate([[-margin], np.linspace(0, height, rows + 1), [height + margin]])
        self.x = np.concatenate([[-margin], np.linspace(0, width, cols + 1), [width + margin]])
        self.missing = np.pad(share, 1, mode="edge") * np.diff(self.y)[:, None] * np.diff(self.x)
        self.wanted = float(share.mean() * height * width)
        self.built = 0.0  # inside the mask
        self.outstanding = self._outstanding()

    def pick(self, rng: np.random.Generator) -> tuple[float, float]:
        """A point in a cell where something is missing, the more the likelier."""
        rest = np.cumsum(np.maximum(self.missing, 0))
        cell = int(np.searchsorted(rest, rng.random() * rest[-1], side="right")) if rest[-1] > 0 else int(rng.integers(len(rest)))
        row, col = divmod(min(cell, len(rest) - 1), self.missing.shape[1])
        return float(rng.uniform(self.x[col], self.x[col + 1])), float(rng.uniform(self.y[row], self.y[row + 1]))

    def takes(self, polygon: shapely.Polygon) -> bool:
        """Whether most of a building stands where area is missing, and brings the whole mask closer to what is wanted."""
        inside = self._inside(polygon)
        if inside and abs(self.built + inside - self.wanted) >= abs(self.built - self.wanted):
            return False
        return sum(area for row, col, area in self._spread(polygon) if self.missing[row, col] > 0) >= 0.5 * polygon.area

    def build(self, polygon: shapely.Polygon) -> None:
        """Count a building that was put down."""
        self.built += self._inside(polygon)
        for row, col, area in self._spread(polygon):
            self.missing[row, col] -= area
        self.outstanding = self._outstanding()

    def spread_the_rest(self) -> None:
        """Ask for what is still missing inside the mask anywhere in it, not only where the cells had it."""
        rest = max(self.wanted - self.built, 0.0)
        self.missing[:] = np.minimum(self.missing, 0)
        inside = self.missing[1:-1, 1:-1]
        inside[:] = rest / inside.size
        self.outstanding = self._outstanding()

    def _outstanding(self) -> float:
        """What is missing in all cells that miss something."""
        return float(np.maximum(self.missing, 0).sum())

    def _inside(self, polygon: shapely.Polygon) -> float:
        left, top, right, bottom = polygon.bounds
        if left >= 0 and top >= 0 and right <= self.width and bottom <= self.height:
            return float(polygon.area)
        return float(shapely.clip_by_rect(polygon, 0, 0, self.width, self.height).area)

    def _spread(self, polygon: shapely.Polygon) -> list[tuple[int, int, float]]:
        left, top, right, bottom = polygon.bounds
        rows, cols = self.missing.shape
        c0, c1 = np.clip(np.searchsorted(self.x, (left, right)) - 1, 0, cols - 1)
        r0, r1 = np.clip(np.searchsorted(self.y, (top, bottom)) - 1, 0, rows - 1)
        if (r0, c0) == (r1, c1):
            return [(r0, c0, float(polygon.area))]
        return [
            (row, col, float(shapely.clip_by_rect(polygon, self.x[col], self.y[row], self.x[col + 1], self.y[row + 1]).area))
            for row in range(r0, r1 + 1)
            for col in range(c0, c1 + 1)
        ]
