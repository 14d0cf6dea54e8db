"""What a simulated town is: the character of a place, its streets and water, and the tables that describe one plan.

Lengths are local metres, x to the east and y to the south of the scene's top left corner. Nothing here knows pixels.

Streets are the level lines of two smooth functions s(x, y) and t(x, y), so a bent street grid is a straight one in
(s, t). Blocks are divided there, and only the corners of lots and houses are carried back to the ground.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import shapely

CORNER_M = 4.5  # kerb radius at junctions
STREET_WITH_WALKS_M = 5.5  # narrower ones are tracks, without sidewalks

COVERS = ("tile", "shingle", "metal", "membrane")
SPECIES = ("broadleaf", "conifer", "palm", "bare")
MATERIALS = ("grass", "garden", "soil", "asphalt", "paving", "gravel", "crop", "pool", "forest", "pitch", "shore")
GROUND, ROOF, WATER = 0, 1, 2  # what a box stands on
BOXES = ("plain", "car", "fence", "paint", "solar", "container")

Point = tuple[float, float]
Wave = tuple[float, float, float]  # amplitude in metres, wave number in 1/m, phase


@dataclass(frozen=True)
class Roof:
    """One way of roofing in a place; `weight` is its share relative to the place's other roofs."""

    kind: str  # "gable", "hip" or "flat"
    cover: str  # one of COVERS
    colour: str  # "#rrggbb", as it looks in full sun
    weight: float = 1.0


@dataclass(frozen=True)
class Palette:
    """Colours of the ground and the trees, "#rrggbb" as they look in full sun."""

    grass: str
    dry: str
    soil: str
    asphalt: str
    paving: str
    gravel: str
    shore: str
    water: str
    crops: tuple[str, ...]
    trees: tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """A simulated town's character; scenes of one place share everything here and differ by their seed."""

    name: str
    epsg: int  # a metric CRS
    origin_m: tuple[float, float]  # easting and northing of the scene's top left corner
    sun_azimuth_deg: float  # clockwise from north, where the light comes from
    sun_elevation_deg: float
    land_use: tuple[tuple[str, float], ...]  # share of each kind of block, from countryside to centre
    block_m: tuple[float, float]  # typical short and long side of a block
    bend: float  # steepest slope of a street against the straight grid
    street_m: tuple[float, float]  # carriageway of side and main streets
    sidewalk_m: float
    lot_m: tuple[float, float]  # narrowest and widest frontage
    house_m: tuple[float, float]  # typical length and depth of a house
    setback_m: float
    storeys: tuple[int, int]
    density: float  # share of lots with a house on them
    roofs: tuple[Roof, ...]
    hall_roofs: tuple[Roof, ...]  # of apartment slabs, shops and industry
    pitch_deg: tuple[float, float]
    palette: Palette
    lawn_dryness: float  # 0 lush, 1 parched
    trees_per_ha: float
    species: tuple[tuple[str, float], ...]
    pool_share: float = 0.0
    paved_lots: float = 0.15  # share of lots paved or gravelled instead of green
    cars: float = 0.3  # share of kerb places with a parked car
    water: str = "none"  # "none", "river" or "sea"
    water_share: float = 0.0  # share of scenes that meet it
    haze: float = 0.03


@dataclass(frozen=True)
class Streets:
    """The bent street grid. Level s line i runs along t, and its carriageway between t lines j and j + 1 is
    `s_width[i, j]` metres wide, 0 where there is no street; `t_width[i, j]` likewise for t line j.
    """

    centre: Point
    angle: float
    waves: tuple[tuple[Wave, Wave], tuple[Wave, Wave]]  # two for s, two for t
    s_lines: np.ndarray
    t_lines: np.ndarray
    s_width: np.ndarray  # (len(s_lines), len(t_lines) - 1)
    t_width: np.ndarray  # (len(s_lines) - 1, len(t_lines))
    sidewalk_m: float
    main_m: float

    def from_ground(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Street coordinates (s, t) of ground points."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        a = (x - self.centre[0]) * cos + (y - self.centre[1]) * sin
        b = (y - self.centre[1]) * cos - (x - self.centre[0]) * sin
        return a + self._bend(0, b), b + self._bend(1, a)

    def to_ground(self, s: float, t: float) -> Point:
        """Ground point of street coordinates; the bends are slopes below 1/2, so a fixed-point iteration inverts them."""
        # The tens of thousands of points of a town pass here: plain floats, and nothing is called but the sine.
        (((a0, k0, p0), (a1, k1, p1)), ((b0, l0, q0), (b1, l1, q1))), sin = self._plain_waves, math.sin
        s, t, before = float(s), float(t), math.inf
        b = t
        while abs(b - before) > 1e-7:
            before = b
            a = s - (a0 * sin(k0 * b + p0) + a1 * sin(k1 * b + p1))
            b = t - (b0 * sin(l0 * a + q0) + b1 * sin(l1 * a + q1))
        cos, sine = math.cos(self.angle), math.sin(self.angle)
        return a * cos - b * sine + self.centre[0], a * sine + b * cos + self.centre[1]

    @cached_property
    def _plain_waves(self) -> list[list[list[float]]]:
        return [[[float(value) for value in wave] for wave in of_axis] for of_axis in self.waves]

    def _bend(self, axis: int, along: np.ndarray) -> np.ndarray:
        (a0, k0, p0), (a1, k1, p1) = self.waves[axis]
        return a0 * np.sin(k0 * along + p0) + a1 * np.sin(k1 * along + p1)

    def survey(self, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
        """What a pedestrian at each ground point would measure, in metres.

        `kerb`: distance to the nearest kerb, negative on a carriageway; `axis`: distance to that street's axis; `along`:
        position along it; `width` of it; `crossing`: distance to the kerb of the street that crosses it.
        The arrays keep the points' dtype.
        """
        s, t = self.from_ground(x, y)
        s_lines, t_lines = self.s_lines.astype(s.dtype), self.t_lines.astype(s.dtype)
        s_width, t_width = self.s_width.astype(s.dtype).ravel(), self.t_width.astype(s.dtype).ravel()
        i = np.clip(np.searchsorted(s_lines, s) - 1, 0, len(s_lines) - 2)
        j = np.clip(np.searchsorted(t_lines, t) - 1, 0, len(t_lines) - 2)
        low_s, low_t = i * self.s_width.shape[1] + j, i * self.t_width.shape[1] + j
        across_s, axis_s, width_s = _nearest_street(s, s_lines, i, s_width.take(low_s), s_width.take(low_s + self.s_width.shape[1]))
        across_t, axis_t, width_t = _nearest_street(t, t_lines, j, t_width.take(low_t), t_width.take(low_t + 1))
        kerb = np.minimum(across_s, across_t)
        corner = (across_s < CORNER_M) & (across_t < CORNER_M)
        kerb[corner] = CORNER_M - np.hypot(CORNER_M - across_s[corner], CORNER_M - across_t[corner])
        on_s = across_s < across_t
        return {
            "kerb": kerb,
            "axis": np.where(on_s, axis_s, axis_t),
            "along": np.where(on_s, t, s),
            "width": np.where(on_s, width_s, width_t),
            "crossing": np.where(on_s, across_t, across_s),
        }


def _nearest_street(
    position: np.ndarray, lines: np.ndarray, cell: np.ndarray, low_width: np.ndarray, high_width: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    low, high = position - lines.take(cell), lines.take(cell + 1) - position
    no_street = position.dtype.type(1e3)
    low_kerb = np.where(low_width > 0, low - low_width / 2, no_street)
    high_kerb = np.where(high_width > 0, high - high_width / 2, no_street)
    nearer_low = low_kerb < high_kerb
    return (
        np.minimum(low_kerb, high_kerb),
        np.where(nearer_low, low, high),
        np.where(nearer_low, low_width, high_width),
    )


@dataclass(frozen=True)
class Water:
    """A river (half width `half_m` about its axis) or, with one bank only, the sea."""

    point: Point
    angle: float
    half_m: float
    swing_m: float
    wave_m: float
    phase: float
    sea: bool = False

    def distance(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Metres to the water's edge, negative on the water."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        along = (x - self.point[0]) * cos + (y - self.point[1]) * sin
        across = (y - self.point[1]) * cos - (x - self.point[0]) * sin
        k = 2 * math.pi / self.wave_m
        bed = self.swing_m * (np.sin(k * along + self.phase) + 0.35 * np.sin(2.7 * k * along + 2 * self.phase))
        offset = across - bed
        return offset if self.sea else np.abs(offset) - self.half_m


@dataclass
class Town:
    """A planned town in local metres.

    `parts` holds each building's one or two roof rectangles: centre x, y, direction of the ridge (cos, sin), half
    length, half depth, and whether the roof is hipped at the low and at the high end (1 or 0). An absent second part
    has half length -1.
    """

    streets: Streets
    water: Water | None
    buildings: list[shapely.Polygon] = field(default_factory=list)
    parts: np.ndarray = field(default_factory=lambda: np.zeros((0, 2, 8)))
    roofs: np.ndarray = field(default_factory=lambda: np.zeros((0, 7)))  # eaves m, tan pitch, flat, cover, r, g, b
    surfaces: list[shapely.Polygon] = field(default_factory=list)
    surface_kind: np.ndarray = field(default_factory=lambda: np.zeros((0, 7)))  # material, dryness, tint, angle, r, g, b
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 11)))  # x y angle l/2 w/2 height kind stands r g b
    trees: np.ndarray = field(default_factory=lambda: np.zeros((0, 8)))  # x y radius height species r g b


def rgb(colour: str) -> np.ndarray:
    """(3,) values 0..1 of "#rrggbb"."""
    return np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255.0


def rectangle(x: float, y: float, angle: float, half_length: float, half_depth: float) -> np.ndarray:
    """(4, 2) corners of a rectangle."""
    along = np.array([math.cos(angle), math.sin(angle)]) * half_length
    across = np.array([-math.sin(angle), math.cos(angle)]) * half_depth
    return np.array([x, y]) + np.array([-along - across, along - across, along + across, -along + across])
