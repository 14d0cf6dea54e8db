"""New blocks of real footprints.

A mask grows building by building. Each comes with some of the neighbours it really has, stands to a building already there as a
real one stands to its neighbour, is turned into the street's direction, and often wears the shape of another of its size. So sizes,
spacing, rows and courtyards are the place's, and the layout is new.
"""

from collections.abc import Sequence

import numpy as np
import shapely

from orthoforge.forging.layouts.library import Library
from orthoforge.forging.layouts.plot import LEAST_GAP_PX, Demand, Grown, Plot
from orthoforge.forging.shapes import Layout, placed

_SIMILAR = 6  # shapes to choose from on either side by area
# Between a place where no building touches another and one where all do, whose shapes fit together like a puzzle's:
_COMPANY = (0.3, 0.08)  # the chance that a building brings no further one along
_OTHER_SHAPE = (0.4, 0.0)  # share of buildings that wear another's shape
_OWN_NEIGHBOUR = (0.5, 0.95)  # share that follow the neighbours of the very one they stand beside
_SEEDS = 0.06  # share that stand where nothing is near
_CELL = 3.0  # cells of the density map, in mean distances between buildings
_DISTRICT = 7.0  # ground of one street direction, likewise
_PATIENCE = 40  # failures in a row before gaps are narrowed
_PASSED_OVER = 30  # proposals in a row of sizes that are not due, before more of each are
# Sizes are kept to their shares by classes between these quantiles; finer at the top, where most of the area is.
_CLASSES = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.88, 0.94, 0.98])
_DRAWS = 12  # of one that is due, beside a given building
_ENOUGH = 0.02  # what may be missing, as a share of all that was asked for
_AHEAD = 0.1  # how far a class may be ahead of the whole: small buildings would take the large ones' room
_NARROWED, _NARROWEST = 0.6, 0.02


def recombine(
    library: Library, model: int, size: tuple[float, float], pixel: float, density: float, rng: np.random.Generator
) -> Grown:
    """New buildings on ``size`` (height, width) units, as dense and as oriented as layout ``model`` of the library.

    ``density`` multiplies its building share. What could not be reached shows in ``Grown.share``.
    """
    height, width = size
    typical = _typical_distance(library.layouts)
    demand = _demand(library, model, size, density, typical, rng)
    reach = typical * _DISTRICT
    field = _Field(library, model, size, reach, rng)
    ground = Plot(LEAST_GAP_PX * pixel, bucket=max(0.5 * typical, 4 * pixel))
    growth = _Growth(library, ground, demand, field, typical, rng, narrowing=max(density, 1.0) ** -0.5)
    growth.run()
    demand.spread_the_rest()
    growth.run()
    return Grown(ground.inside(height, width), demand.built / (height * width), demand.wanted / (height * width))


class _Field:
    """The street's direction at any point: districts, each as one real building's surroundings have it."""

    def __init__(self, library: Library, model: int, size: tuple[float, float], reach: float, rng: np.random.Generator) -> None:
        own = np.flatnonzero(library.scene == model)
        from_scene = own if len(own) else np.arange(len(library))
        height, width = size
        count = max(1, round(height * width / reach**2))
        self.points = rng.uniform((-0.1 * width, -0.1 * height), (1.1 * width, 1.1 * height), (count, 2))
        weight = library.weight[from_scene]
        self.angles = library.street[rng.choice(from_scene, count, p=weight / weight.sum())]

    def at(self, point: np.ndarray) -> float:
        return float(self.angles[np.argmin(((self.points - point) ** 2).sum(axis=1))])


class _Growth:
    """The state of one mask while it grows."""

    def __init__(
        self, library: Library, ground: Plot, demand: Demand, field: _Field, typical: float, rng: np.random.Generator,
        *, narrowing: float,
    ) -> None:  # fmt: skip
        self.library, self.ground, self.demand, self.field = library, ground, demand, field
        self.typical, self.rng, self.factor = typical, rng, 0.95 * narrowing
        self.rows: list[int] = []  # of the library, by building on the ground
        self.centres: list[np.ndarray] = []
        self.chances = library.weight / library.weight.sum()
        self.cumulated = np.cumsum(self.chances)
        self.cumulated[-1] = 1.0
        ordered = library.by_area
        position = np.cumsum(self.chances[ordered]) - 0.5 * self.chances[ordered]
        self.size_class = np.empty(len(library), int)
        self.size_class[ordered] = np.searchsorted(_CLASSES, position)
        self.asked = demand.outstanding
        expected = self.asked / float(np.sum(self.chances * library.area))
        # Rounded up or down by chance, so that over many small masks each class has its share.
        shares = np.bincount(self.size_class, weights=self.chances, minlength=len(_CLASSES) + 1)
        self.quota = np.floor(shares * expected + rng.random(len(shares)))
        self.stands = np.zeros(len(shares))
        touching = float(np.mean(library.gap <= 1.5 * library.layouts[0].pixel_size + 1e-9))
        self.company, self.other_shape, self.own_neighbour = (
            loose + (tight - loose) * touching for loose, tight in (_COMPANY, _OTHER_SHAPE, _OWN_NEIGHBOUR)
        )

    def wants(self, row: int) -> bool:
        """Whether a building of this size is due."""
        kind = self.size_class[row]
        done = 1 - self.demand.outstanding / self.asked if self.asked else 1.0
        allowed = self.quota[kind] * min(1.0, done + _AHEAD + (kind / len(_CLASSES)) ** 2) + 0.5
        return bool(self.stands[kind] < allowed)

    def run(self) -> None:
        """Build until nothing is missing, or nothing more fits however narrow."""
        factor, failures, passed_over = self.factor, 0, 0
        least = max(0.5 * float(np.quantile(self.library.area, 0.05)), _ENOUGH * self.asked)
        demand = self.demand
        while demand.outstanding > least and demand.wanted - demand.built > 0.5 * least and factor > _NARROWEST:
            stands = self._place_one(factor)
            if stands is None:
                passed_over += 1
                if passed_over >= _PASSED_OVER:
                    passed_over, self.quota = 0, np.maximum(self.quota, self.quota * 1.1 + 0.2)
                continue
            passed_over = 0
            failures = 0 if stands else failures + 1
            if failures >= _PATIENCE:
                failures, factor = 0, factor * _NARROWED

    def _place_one(self, factor: float) -> bool | None:
        """Try one building with its company; whether it stands, ``None`` when it was not due."""
        rng, library = self.rng, self.library
        point = np.array(self.demand.pick(rng))
        beside = self._beside(point) if rng.random() >= _SEEDS else None
        if beside is None:
            drawn = np.searchsorted(self.cumulated, rng.random(_DRAWS)).tolist()
            row = next((row for row in drawn if self.wants(row)), None)
            if row is None:
                return None
            turn = self.field.at(point) - library.street[row] + np.pi * rng.integers(2)
        else:
            pairs = (self._pair_like(self.rows[beside]) for _ in range(_DRAWS))
            pair = next((pair for pair in pairs if pair and self.wants(pair[1])), None)
            if pair is None:
                return None
            like, row = pair
            at = self.centres[beside]
            turn = self.field.at(at) - library.street[like] + np.pi * rng.integers(2)
            point = at + _turned(library.centre[row] - library.centre[like], turn)
        # Houses beside a bend follow it: the direction is that of where they stand.
        turn_here = self.field.at(point) - self.field.at(self.centres[beside]) + turn if beside is not None else turn
        first = self._stand(row, point, turn_here, factor, beside=beside)
        if first is None:
            return False
        company = int(rng.geometric(self.company)) - 1
        for other in library.neighbours[row][:company]:
            offset = _turned(library.centre[other] - library.centre[row], turn_here)
            if self.wants(int(other)):
                self._stand(int(other), self.centres[first] + offset, turn_here, factor)
        return True

    def _beside(self, point: np.ndarray) -> int | None:
        """A building near the point, if there is one."""
        reach = 1.5 * self.typical
        near = self.ground.near((point[0], point[1], point[0], point[1]), reach)
        return near[int(self.rng.integers(len(near)))] if near else None

    def _pair_like(self, row: int) -> tuple[int, int] | None:
        """A real building like this one, and a neighbour of it."""
        library, rng = self.library, self.rng
        like = row if rng.random() < self.own_neighbour else self._similar(row)
        near = library.neighbours[like]
        if not len(near):
            return None
        return like, int(near[min(int(rng.geometric(0.4)) - 1, len(near) - 1)])

    def _similar(self, row: int) -> int:
        at = int(self.library.rank[row]) + int(self.rng.integers(-_SIMILAR, _SIMILAR + 1))
        return int(self.library.by_area[min(max(at, 0), len(self.library) - 1)])

    def _stand(self, row: int, point: np.ndarray, turn: float, factor: float, *, beside: int | None = None) -> int | None:
        """Put building ``row`` down at the point, in another's shape by chance; its number on the ground, or ``None``."""
        library = self.library
        gap = float(library.gap[row])
        shapes = [row]
        if self.rng.random() < self.other_shape:
            shapes.insert(0, self._similar(row))
        for shape in shapes:
            # Its own direction against its street's, not the other's.
            own_turn = turn if shape == row else turn + library.street[row] - library.street[shape]
            polygon = placed(library.polygon[shape], library.centre[shape], point, own_turn)
            if beside is not None:
                polygon = self._drawn_up(polygon, beside, gap)
            fitting = self.ground.fitted(polygon, gap, factor) if self.demand.takes(polygon) else None
            if fitting is None:
                continue
            number = self.ground.add(fitting, gap)
            self.demand.build(fitting)
            self.rows.append(shape)
            self.stands[self.size_class[shape]] += 1
            left, top, right, bottom = fitting.bounds
            self.centres.append(np.array([(left + right) / 2, (top + bottom) / 2]))
            return number
        return None

    def _drawn_up(self, polygon: shapely.Polygon, beside: int, gap: float) -> shapely.Polygon:
        """The polygon moved along the line to its neighbour until their distance is no less than its gap, and not much more."""
        neighbour = self.ground.polygons[beside]
        wanted = max(gap, self.ground.least_gap) * 1.02
        for _ in range(4):
            away = shapely.get_coordinates(polygon.centroid)[0] - shapely.get_coordinates(neighbour.centroid)[0]
            length = np.hypot(*away)
            distance = polygon.distance(neighbour)
            if length == 0 or (distance >= wanted and distance - wanted < 0.05 * self.typical):
                break
            step = wanted - distance if distance > 0 else 0.25 * np.sqrt(polygon.area)
            if distance - wanted > 0.5 * self.typical:
                break  # across a street or a yard: that distance is the layout's
            polygon = shapely.affinity.translate(polygon, *(away / length * step))
        return polygon


def _demand(
    library: Library, model: int, size: tuple[float, float], density: float, typical: float, rng: np.random.Generator
) -> Demand:
    """The model's building share by cell, turned and mirrored at random and continued to the size that is asked for."""
    layout = library.layouts[model]
    rows, cols = (max(1, round(side / (_CELL * typical))) for side in (layout.height, layout.width))
    high, wide = layout.height / rows, layout.width / cols
    share = np.zeros((rows, cols))
    for row in range(rows):
        for col in range(cols):
            left, top = col * wide, row * high
            cells = shapely.clip_by_rect(layout.outlines, left, top, left + wide, top + high)
            share[row, col] = shapely.area(cells).sum() / (high * wide)
    share = np.rot90(share, int(rng.integers(4)) if rows == cols else 2 * int(rng.integers(2)))
    share = share[:, ::-1] if rng.integers(2) else share
    rows, cols = (max(1, round(side / step)) for side, step in zip(size, (high, wide), strict=True))
    if share.shape != (rows, cols):
        starts = [int(rng.integers(max(1, old - new + 1))) for old, new in zip(share.shape, (rows, cols), strict=True)]
        extra = [(0, max(0, new - old)) for old, new in zip(share.shape, (rows, cols), strict=True)]
        share = np.pad(share, extra, mode="symmetric")[starts[0] : starts[0] + rows, starts[1] : starts[1] + cols]
    margin = 0.6 * float(np.quantile(np.sqrt(library.area), 0.9))
    return Demand(*size, min(margin, 0.5 * max(size)), np.minimum(share * density, 0.98))


def _typical_distance(layouts: Sequence[Layout]) -> float:
    """Root of the ground that a building has, over the masks that have any; one that the border cuts counts half."""
    built = [layout for layout in layouts if len(layout)]
    return float(np.sqrt(sum(one.height * one.width for one in built) / sum(len(one) - 0.5 * one.cut.sum() for one in built)))


def _turned(offset: np.ndarray, turn: float) -> np.ndarray:
    cos, sin = np.cos(turn), np.sin(turn)
    return np.array([cos * offset[0] - sin * offset[1], sin * offset[0] + cos * offset[1]])
