"""A building site: where a simulated town's houses, cars, trees and pavements are put down, one by one.

`Front` answers where things go, `Site` collects what is there. Both speak metres in the frame of one side of a block.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely

from orthoforge.scenes.town.model import BOXES, COVERS, GROUND, MATERIALS, ROOF, SPECIES, Place, Point, Roof, Streets, rgb

CONIFER, PALM, BARE = (SPECIES.index(name) for name in ("conifer", "palm", "bare"))
BARK = rgb("#8a7d6c")

Rect = tuple[float, float, float, float]  # of a block in street coordinates: s0, s1, t0, t1


@dataclass(frozen=True)
class Front:
    """One side of a block seen from its street: f metres along the front, g metres into the block."""

    streets: Streets
    side: int
    rect: Rect

    @property
    def length(self) -> float:
        s0, s1, t0, t1 = self.rect
        return s1 - s0 if self.side % 2 == 0 else t1 - t0

    @property
    def depth(self) -> float:
        s0, s1, t0, t1 = self.rect
        return t1 - t0 if self.side % 2 == 0 else s1 - s0

    def street_coordinates(self, f: float, g: float) -> Point:
        s0, s1, t0, t1 = self.rect
        return ((s0 + f, t0 + g), (s1 - g, t0 + f), (s1 - f, t1 - g), (s0 + g, t1 - f))[self.side]

    def points(self, fg: list[Point]) -> np.ndarray:
        """(n, 2) ground points."""
        return np.array([self.streets.to_ground(*self.street_coordinates(f, g)) for f, g in fg])

    def at(self, f: float, g: float) -> tuple[float, float, float]:
        """Ground x, y, and the direction of the front there."""
        x0, y0 = self.streets.to_ground(*self.street_coordinates(f - 0.5, g))
        x1, y1 = self.streets.to_ground(*self.street_coordinates(f + 0.5, g))
        return (x0 + x1) / 2, (y0 + y1) / 2, math.atan2(y1 - y0, x1 - x0)

    def contains(self, corners: np.ndarray, f0: float, f1: float, g0: float, g1: float) -> bool:
        """Whether all ground points lie in the lot f0..f1 × g0..g1."""
        s, t = self.streets.from_ground(corners[:, 0], corners[:, 1])
        s0, s1, t0, t1 = self.rect
        f, g = ((s - s0, t - t0), (t - t0, s1 - s), (s1 - s, t1 - t), (t1 - t, s - s0))[self.side]
        return bool(f.min() >= f0 and f.max() <= f1 and g.min() >= g0 and g.max() <= g1)


class Site:
    """What has been put down so far, in the tables of ``scenes.town.model.Town``."""

    def __init__(self, place: Place, streets: Streets, rng: np.random.Generator) -> None:
        self.place, self.streets, self.rng = place, streets, rng
        self.outlines: list[shapely.Polygon] = []
        self.parts: list[list[list[float]]] = []
        self.roofs: list[list[float]] = []
        self.roof_boxes: list[list[list[float]]] = []
        self.surfaces: list[np.ndarray] = []
        self.surface_kind: list[list[float]] = []
        self.boxes: list[list[float]] = []
        self.trees: list[list[float]] = []
        self.tree_colours = np.array([rgb(c) for c in place.palette.trees])
        self.species = [SPECIES.index(name) for name, _ in place.species]
        weights = np.array([weight for _, weight in place.species])
        self.species_weights = np.cumsum(weights / weights.sum())[:-1]

    def uniform(self, low: float, high: float) -> float:
        """A number between `low` and `high`; numpy's own takes four times as long for a single one."""
        return low + (high - low) * self.rng.random()

    def chance(self, share: float) -> bool:
        """True in `share` of the calls."""
        return self.rng.random() < share

    def fronts(self, rect: Rect) -> list[Front]:
        """The block's four sides, a long one first."""
        first = 0 if rect[1] - rect[0] >= rect[3] - rect[2] else 1
        return [Front(self.streets, (first + k) % 4, rect) for k in range(4)]

    def patch(self, front: Front, f0: float, f1: float, g0: float, g1: float, material: str, **kind: float | str) -> None:
        """Cover a piece of ground; its edges follow the street grid's bends."""
        angle = front.at((f0 + f1) / 2, (g0 + g1) / 2)[2]
        steps = max(1, int(max(f1 - f0, g1 - g0) / 15))
        f, g = np.linspace(f0, f1, steps + 1).tolist(), np.linspace(g0, g1, steps + 1).tolist()
        ring = [(a, g0) for a in f] + [(f1, b) for b in g[1:]] + [(a, g1) for a in f[-2::-1]] + [(f0, b) for b in g[-2:0:-1]]
        self.surface(front.points(ring), material, **{"angle": angle, **kind})  # type: ignore[arg-type]

    def divide(self, length: float, low: float, high: float) -> np.ndarray:
        """Positions that cut `length` into pieces of about low..high metres."""
        count = max(1, round(length / self.uniform(low, high)))
        pieces = self.rng.uniform(0.8, 1.2, count)
        return np.concatenate([[0.0], np.cumsum(pieces)]) / pieces.sum() * length

    def storeys(self) -> int:
        return int(self.rng.integers(self.place.storeys[0], self.place.storeys[1] + 1))

    def surface(
        self, corners: np.ndarray, material: str, *, dryness: float | None = None, angle: float = 0.0, colour: str = ""
    ) -> None:
        palette = self.place.palette
        dryness = self.place.lawn_dryness if dryness is None else dryness
        colours = {
            "soil": palette.soil,
            "asphalt": palette.asphalt,
            "paving": palette.paving,
            "gravel": palette.gravel,
            "shore": palette.shore,
            "pool": "#4fb3bf",
        }
        tint = float(np.exp(self.rng.normal(0, 0.08)))
        base = rgb(colour or colours.get(material, palette.grass))
        self.surfaces.append(corners)
        self.surface_kind.append([MATERIALS.index(material), dryness, tint, angle, *base])

    def box_at(
        self, x: float, y: float, angle: float, length: float, depth: float, height: float, kind: str, colour: np.ndarray,
        stands: int = GROUND,
    ) -> None:  # fmt: skip
        """Put down a box: a car, a container, a boat."""
        self.boxes.append([x, y, angle, length / 2, depth / 2, height, BOXES.index(kind), stands, *colour])

    def wall(
        self, start: np.ndarray, end: np.ndarray, depth: float, height: float, colour: str, kind: str = "fence",
        stands: int = GROUND,
    ) -> None:  # fmt: skip
        """Put down a long box between two points."""
        (dx, dy), (x, y) = end - start, (start + end) / 2
        self.box_at(x, y, math.atan2(dy, dx), math.hypot(dx, dy), depth, height, kind, rgb(colour), stands)

    def hedge(self, start: np.ndarray, end: np.ndarray) -> None:
        steps = max(2, int(np.hypot(*(end - start)) / 0.8))
        for share in np.linspace(0, 1, steps):
            x, y = start + (end - start) * share
            self.tree(x, y, self.uniform(0.55, 0.85), self.uniform(1.2, 2.0), "broadleaf")

    def tree(self, x: float, y: float, radius: float, height: float = 0.0, species: str = "") -> None:
        """Plant a tree or a shrub, by default of the place's species and of a height that goes with its crown."""
        kind = SPECIES.index(species) if species else self.species[int(np.searchsorted(self.species_weights, self.rng.random()))]
        if not height:
            height = radius * self.uniform(1.7, 2.4) * (1.25 if kind == CONIFER else 1.0)
            if kind == CONIFER:
                radius *= 0.72
            if kind == PALM:
                radius, height = min(radius, 3.0), self.uniform(6, 10)
        colour = self.tree_colours[int(self.rng.random() * len(self.tree_colours))]
        if kind == CONIFER:
            colour = colour * (0.72, 0.84, 0.86)
        if kind == BARE:
            colour = 0.55 * BARK + 0.25 * colour
        self.trees.append([x, y, radius, height, kind, *colour])

    def scatter_trees(self, front: Front, f0: float, f1: float, g0: float, g1: float, share: float = 1.0) -> None:
        """Trees at the place's density times `share` over a piece of ground."""
        if f1 <= f0 or g1 <= g0:
            return
        count = self.rng.poisson(self.place.trees_per_ha * share * (f1 - f0) * (g1 - g0) / 1e4)
        if count:
            f, g = self.rng.uniform(f0, f1, count), self.rng.uniform(g0, g1, count)
            # Trees seed themselves: many stand within a few metres of another.
            for k in np.flatnonzero(self.rng.random(count) < 0.45):
                f[k] = np.clip(f[k - 1] + self.rng.normal(0, 2.8), f0, f1)
                g[k] = np.clip(g[k - 1] + self.rng.normal(0, 2.8), g0, g1)
            for x, y in front.points(list(zip(f, g, strict=True))):
                self.tree(x, y, float(np.clip(self.rng.lognormal(1.02, 0.45), 0.8, 6.5)))

    def shrubs(self, front: Front, f0: float, f1: float, g0: float, g1: float, mean: float) -> None:
        for _ in range(self.rng.poisson(mean)):
            x, y, _ = front.at(self.uniform(f0, f1), self.uniform(g0, g1))
            self.tree(x, y, self.uniform(0.4, 1.3), self.uniform(0.7, 1.9), "broadleaf")

    def roof(self, options: tuple[Roof, ...]) -> Roof:
        weights = np.array([option.weight for option in options])
        return options[int(self.rng.choice(len(options), p=weights / weights.sum()))]

    def building(self, outline: np.ndarray | shapely.Polygon, parts: list[list[float]], roof: Roof, eaves: float) -> None:
        """Add a building; `parts` are x, y, angle, half length, half depth, hipped at low end, hipped at high end."""
        polygon = outline if isinstance(outline, shapely.Polygon) else shapely.Polygon(outline)
        rows = [[x, y, math.cos(angle), math.sin(angle), *shape] for x, y, angle, *shape in parts]
        rows += [[0.0, 0.0, 1.0, 0.0, -1.0, 1.0, 0.0, 0.0]] * (2 - len(rows))
        pitch = np.tan(np.radians(self.uniform(*self.place.pitch_deg)))
        if roof.cover == "metal":
            pitch *= 0.45
        warmth = self.rng.normal(0, 0.035)
        colour = rgb(roof.colour) * np.exp(self.rng.normal(0, 0.10) + np.array([warmth, 0, -warmth]))
        self.outlines.append(polygon)
        self.parts.append(rows)
        self.roofs.append([eaves, pitch, roof.kind == "flat", COVERS.index(roof.cover), *colour])
        self.roof_boxes.append(self._rooftop(parts[0], roof, polygon.area))

    def _rooftop(self, part: list[float], roof: Roof, area: float) -> list[list[float]]:
        """Chimneys, dormers, skylights, solar panels; air conditioners and shafts on flat roofs."""
        x, y, angle, half_length, half_depth = part[:5]
        found: list[list[float]] = []

        def put(p: float, q: float, length: float, depth: float, height: float, kind: str, colour: str) -> None:
            px = x + p * np.cos(angle) - q * np.sin(angle)
            py = y + p * np.sin(angle) + q * np.cos(angle)
            found.append([px, py, angle, length / 2, depth / 2, height, BOXES.index(kind), ROOF, *rgb(colour)])

        if area < 30:
            return found
        if roof.kind == "flat":
            inner_l, inner_w = half_length - 1.8, half_depth - 1.8
            if inner_l > 0 and inner_w > 0:
                for _ in range(int(min(28, self.rng.poisson(1.2 + area / 120)))):
                    size = self.uniform(0.9, 2.2)
                    colour = ("#c9cac8", "#9b9d9d", "#dedcd4", "#77797b")[self.rng.integers(4)]
                    spot = self.uniform(-inner_l, inner_l), self.uniform(-inner_w, inner_w)
                    put(*spot, size, size * self.uniform(0.6, 1), self.uniform(0.6, 1.4), "plain", colour)
                if area > 160 and self.chance(0.5):
                    put(self.uniform(-inner_l, inner_l) * 0.6, 0, 4.2, 3.0, 2.4, "plain", "#b3afa6")
                if self.chance(0.16):
                    rows = int(min(6, inner_w * 2 / 2.4))
                    for row in range(rows):
                        put(inner_l * 0.2, -inner_w + 1.2 + 2.4 * row, inner_l * 1.2, 1.3, 0.4, "solar", "#27324a")
            return found
        if roof.cover == "metal":
            for p in np.arange(-half_length + 4, half_length - 3, 7.0) if area > 250 else ():
                put(p, half_depth * 0.5, 1.2, half_depth * 0.5, 0.15, "plain", "#d3dadb")
                put(p, -half_depth * 0.5, 1.2, half_depth * 0.5, 0.15, "plain", "#d3dadb")
            return found
        if self.chance(0.7):
            side = self.uniform(-0.25, 0.25) * half_depth
            put(self.uniform(-0.7, 0.7) * half_length, side, 0.95, 0.75, 1.3, "plain", "#8d6a5a")
        slope = 1.0 if self.chance(0.5) else -1.0
        spots = np.arange(-half_length * 0.6, half_length * 0.61, 3.2)
        if half_depth > 3.5 and self.chance(0.14):
            put(0, slope * half_depth * 0.5, half_length * self.uniform(0.8, 1.3), half_depth * 0.5, 0.1, "solar", "#232c40")
        elif half_depth > 4.5 and self.chance(0.45):
            for p in spots:
                put(p, slope * half_depth * 0.5, 1.5, 2.0, 0.9, "plain", roof.colour)
        elif self.chance(0.5):
            for p in spots[:: int(self.rng.integers(1, 4))]:
                put(p, -slope * half_depth * 0.5, 0.8, 1.2, 0.05, "plain", "#5d7180")
        return found

    def car(self, x: float, y: float, angle: float) -> None:
        paints = ("#e9e9e6", "#e9e9e6", "#b9bcbe", "#8d9194", "#34373a", "#232426", "#7c2a25", "#2f4668", "#6b6a60", "#3c4a43")
        van = self.chance(0.12)
        length, width = (self.uniform(5.2, 6.2), 2.0) if van else (self.uniform(3.9, 4.8), self.uniform(1.72, 1.88))
        colour = rgb(paints[self.rng.integers(len(paints))])
        self.box_at(x, y, angle + self.rng.normal(0, 0.02), length, width, 2.2 if van else 1.45, "car", colour)
