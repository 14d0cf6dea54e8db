"""Plan a simulated town: lay out streets and water, choose a use for each block, fill the blocks, clear what collides.

`orthoforge.scenes.town.render` draws a plan at any ground sampling distance.
"""

from __future__ import annotations

import math

import numpy as np
import shapely

from orthoforge.scenes.town.blocks import LAND_USES, park
from orthoforge.scenes.town.model import GROUND, STREET_WITH_WALKS_M, WATER, Place, Streets, Town, Water, Wave, rgb
from orthoforge.scenes.town.site import Rect, Site

MARGIN_M = 45.0  # planned beyond the scene on every side, so that outside buildings throw shadows and clip at the edge
WARM = np.array([1.0, 0.2, -0.4])  # how much each band gains where a leaf turns towards autumn
SHORE_M = 7.0  # nothing is built closer to the water than this
SMALLEST_WITH_WATER_M = 200.0  # water and its banks would leave little of a smaller scene
OPEN_LAND = ("field", "forest")
NEVER_BY_WATER = ("park", "centre", "terraces", "slabs", "shops")  # a green bank reads better than half a block


def plan_town(place: Place, width_m: float, height_m: float, rng: np.random.Generator) -> Town:
    """Plan a town over `width_m` × `height_m` metres and `MARGIN_M` around it.

    No building overlaps another, a carriageway or the water.
    """
    size = (width_m, height_m)
    water = _lay_water(place, size, rng)
    streets, uses = _lay_streets(place, size, rng)
    site = Site(place, streets, rng)
    box = low_x, low_y, high_x, high_y = -MARGIN_M, -MARGIN_M, width_m + MARGIN_M, height_m + MARGIN_M
    for i in range(len(streets.s_lines) - 1):
        for j in range(len(streets.t_lines) - 1):
            rect = _block(streets, i, j)
            spots = [streets.to_ground(s, t) for s in np.linspace(*rect[:2], 3) for t in np.linspace(*rect[2:], 3)]
            x, y = np.array(spots).T
            if x.max() < low_x or x.min() > high_x or y.max() < low_y or y.min() > high_y:
                continue
            if min(rect[1] - rect[0], rect[3] - rect[2]) < 14:
                continue
            use = str(uses[i, j])
            by_water = water is not None and water.distance(x, y).min() < SHORE_M
            if by_water and use in NEVER_BY_WATER:
                park(site, rect, by_water=True)
            else:
                LAND_USES[use](site, rect)
    _street_life(site, water, box)
    if water is not None and water.sea:
        _moor_boats(site, water, size)
    return _collect(site, water)


def _lay_water(place: Place, size: tuple[float, float], rng: np.random.Generator) -> Water | None:
    width, height = size
    if place.water == "none" or rng.random() >= place.water_share or min(size) < SMALLEST_WITH_WATER_M:
        return None
    angle, phase = rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi)
    if place.water == "sea":
        # The sea lies behind `angle`; a third to a fifth of the way into the scene keeps most of it land.
        inland = np.array([-np.sin(angle), np.cos(angle)])
        shore = np.array([width, height]) / 2 - inland * rng.uniform(0.2, 0.33) * min(width, height)
        return Water((shore[0], shore[1]), angle, 0.0, rng.uniform(2, 7), rng.uniform(180, 320), phase, sea=True)
    point = (width * rng.uniform(0.25, 0.75), height * rng.uniform(0.25, 0.75))
    return Water(point, angle, rng.uniform(7, 15), rng.uniform(10, 22), rng.uniform(240, 420), phase)


def _lay_streets(place: Place, size: tuple[float, float], rng: np.random.Generator) -> tuple[Streets, np.ndarray]:
    """The streets, and each block's land use, (len(s_lines) - 1, len(t_lines) - 1)."""
    reach = np.hypot(*size) / 2 + 1.5 * MARGIN_M + max(place.block_m)
    waves = (
        (_wave(place, rng, 380, 560, 0.65), _wave(place, rng, 150, 230, 0.35)),
        (_wave(place, rng, 380, 560, 0.65), _wave(place, rng, 150, 230, 0.35)),
    )
    lines = []
    for typical in place.block_m:
        steps = rng.uniform(0.75, 1.3, int(2 * reach / (0.75 * typical)) + 2) * typical
        start = -reach - rng.uniform(0, typical)
        line = start + np.concatenate([[0.0], np.cumsum(steps)])
        lines.append(line[: np.searchsorted(line, reach) + 1])
    s_lines, t_lines = lines
    widths = []
    uses = _land_use(place, rng, len(s_lines) - 1, len(t_lines) - 1)
    _build_up_the_middle(uses, s_lines, t_lines, waves)
    still = np.isin(uses, OPEN_LAND)
    for axis, (rows, columns) in enumerate(((len(s_lines), len(t_lines) - 1), (len(t_lines), len(s_lines) - 1))):
        main = np.zeros(rows, bool)
        main[int(rng.integers(0, 4)) :: 4] = True
        width = place.street_m[0] * rng.choice([0.85, 1.0, 1.15], rows)
        width[main] = place.street_m[1]
        width = np.repeat(width[:, None], columns, axis=1)
        open_land = np.pad(still if axis == 0 else still.T, ((1, 1), (0, 0)), mode="edge")
        between_fields = open_land[:-1] & open_land[1:] & ~main[:, None]
        draw = rng.random((rows, columns))
        width[between_fields & (draw < 0.6)] = 0.0
        width[between_fields & (draw >= 0.6)] = 3.2
        width[~between_fields & ~main[:, None] & (draw < 0.07)] = 0.0
        widths.append(width)
    centre = (size[0] / 2, size[1] / 2)
    angle = rng.uniform(-np.pi / 4, np.pi / 4)
    streets = Streets(centre, angle, waves, s_lines, t_lines, widths[0], widths[1].T, place.sidewalk_m, place.street_m[1])
    return streets, uses


def _wave(place: Place, rng: np.random.Generator, shortest_m: float, longest_m: float, share: float) -> Wave:
    k = 2 * math.pi / rng.uniform(shortest_m, longest_m)
    return place.bend * share * rng.uniform(0.6, 1.0) / k, k, rng.uniform(0, 2 * math.pi)


def _land_use(place: Place, rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """(rows, columns) kinds of block; neighbours tend to be alike, because ranks of a smoothed field choose them."""
    field_ = rng.normal(size=(rows + 2, columns + 2))
    smooth = sum(field_[i : i + rows, j : j + columns] for i in range(3) for j in range(3)) / 3
    rank = np.argsort(np.argsort((smooth + 0.55 * rng.normal(size=(rows, columns))).ravel()))
    kinds = np.array([kind for kind, _ in place.land_use])
    shares = np.cumsum([share for _, share in place.land_use])
    position = (rank + 0.5) / rank.size
    return kinds[np.searchsorted(shares / shares[-1], position)].reshape(rows, columns)


def _build_up_the_middle(
    uses: np.ndarray, s_lines: np.ndarray, t_lines: np.ndarray, waves: tuple[tuple[Wave, Wave], tuple[Wave, Wave]]
) -> None:
    """Swap an unbuilt block in the scene's middle for the nearest built one: a small scene sees little else."""
    middle = [sum(height * math.sin(phase) for height, _, phase in pair) for pair in waves]
    home = np.array([np.searchsorted(line, at) - 1 for line, at in zip((s_lines, t_lines), middle, strict=True)])
    built = np.argwhere(~np.isin(uses, (*OPEN_LAND, "park")))
    i, j = built[np.argmin(np.abs(built - home).sum(axis=1))]
    uses[home[0], home[1]], uses[i, j] = uses[i, j], uses[home[0], home[1]]


def _block(streets: Streets, i: int, j: int) -> Rect:
    """The inside of cell (i, j): s0, s1, t0, t1 between the sidewalks."""

    def inset(width: float) -> float:
        return width / 2 + (streets.sidewalk_m if width >= STREET_WITH_WALKS_M else 0.4) if width else 0.0

    return (
        streets.s_lines[i] + inset(streets.s_width[i, j]),
        streets.s_lines[i + 1] - inset(streets.s_width[i + 1, j]),
        streets.t_lines[j] + inset(streets.t_width[i, j]),
        streets.t_lines[j + 1] - inset(streets.t_width[i, j + 1]),
    )


def _street_life(site: Site, water: Water | None, box: Rect) -> None:
    """Parked and moving cars, and trees along the sidewalks."""
    streets, place = site.streets, site.place
    low_x, low_y, high_x, high_y = box
    for axis, widths in enumerate((streets.s_width, streets.t_width.T)):
        lines, cross = (streets.s_lines, streets.t_lines) if axis == 0 else (streets.t_lines, streets.s_lines)
        for i, j in zip(*np.nonzero(widths), strict=True):
            width, start, end = widths[i, j], cross[j] + 9, cross[j + 1] - 9
            middle = (lines[i], (start + end) / 2)
            x, y = streets.to_ground(*(middle if axis == 0 else middle[::-1]))
            if not (low_x - end + start < x < high_x + end - start and low_y - end + start < y < high_y + end - start):
                continue
            places: list[tuple[float, float, str]] = []
            town = width >= STREET_WITH_WALKS_M
            spots = np.arange(start, end, 6.2)
            for side in (-1, 1):
                for along in spots if town else ():
                    if site.chance(place.cars * (1.0 if width < place.street_m[1] else 0.6)):
                        places.append((lines[i] + side * (width / 2 - 1.15), along + site.uniform(-0.4, 0.4), "car"))
                    elif site.chance(0.03 if width < place.street_m[1] else 0.12):
                        places.append((lines[i] + side * width * 0.22, along, "car"))
                    if site.chance(min(0.5, place.trees_per_ha / 500)):
                        places.append((lines[i] + side * (width / 2 + streets.sidewalk_m * 0.75), along, "tree"))
            if not places:
                continue
            turn: slice = slice(None) if axis == 0 else slice(None, None, -1)
            x, y = np.array([streets.to_ground(*[place_[0], place_[1]][turn]) for place_ in places]).T
            x1, y1 = np.array([streets.to_ground(*[place_[0], place_[1] + 1.0][turn]) for place_ in places]).T
            inside = (x > low_x) & (x < high_x) & (y > low_y) & (y < high_y)
            if water is not None:
                inside &= water.distance(x, y) > 3
            for n in np.flatnonzero(inside):
                if places[n][2] == "car":
                    site.car(x[n], y[n], float(np.arctan2(y1[n] - y[n], x1[n] - x[n])))
                else:
                    site.tree(x[n], y[n], site.uniform(1.6, 3.4))


def _collect(site: Site, water: Water | None) -> Town:
    """The tables of what was put down, without what stands in the way of something else."""
    town = Town(site.streets, water)
    kept = _keep_apart(site, water)
    town.buildings = [site.outlines[k] for k in kept]
    town.parts = np.array([site.parts[k] for k in kept]).reshape(-1, 2, 8)
    town.roofs = np.array([site.roofs[k] for k in kept]).reshape(-1, 7)
    town.surfaces = [shapely.Polygon(corners) for corners in site.surfaces]
    town.surface_kind = np.array(site.surface_kind).reshape(-1, 7)
    town.boxes = np.array(site.boxes + [box for k in kept for box in site.roof_boxes[k]]).reshape(-1, 11)
    town.trees = np.array(site.trees).reshape(-1, 8)
    shade, warmth = site.rng.normal(0, 0.16, len(town.trees)), site.rng.normal(0, 0.07, len(town.trees))
    town.trees[:, 5:8] *= np.exp(shade[:, None] + warmth[:, None] * WARM)
    _clear_ground(town)
    return town


def _moor_boats(site: Site, sea: Water, size: tuple[float, float]) -> None:
    """Jetties with boats, out from the shore at a right angle."""
    seaward = np.array([math.sin(sea.angle), -math.cos(sea.angle)])
    along = np.array([math.cos(sea.angle), math.sin(sea.angle)])
    for offset in np.arange(-0.5, 0.5, 70.0 / max(70.0, *size)) * max(size):
        if not site.chance(0.6):
            continue
        start = np.array(sea.point) + along * (offset + site.uniform(0, 25))
        start = start + seaward * sea.distance(start[0], start[1])
        length = site.uniform(28, 60)
        site.wall(start - seaward * 3, start + seaward * length, 2.4, 1.2, "#a39d90", "plain", WATER)
        for step in np.arange(6, length - 2, 4.6):
            for side in (-1.0, 1.0):
                if site.chance(0.6):
                    boat, beam = site.uniform(5.5, 10), site.uniform(2.0, 3.1)
                    x, y = start + seaward * step + along * side * (1.6 + boat / 2)
                    angle, white = sea.angle + site.rng.normal(0, 0.03), rgb("#e6e6e2") * site.uniform(0.8, 1.0)
                    site.box_at(x, y, angle, boat, beam, 1.2, "plain", white, WATER)
                    x, y = np.array([x, y]) - 0.08 * boat * along
                    site.box_at(x, y, angle, boat * 0.4, beam * 0.6, 2.0, "plain", white * 0.55, WATER)


def _keep_apart(site: Site, water: Water | None) -> list[int]:
    """Indices of the buildings that stand clear of streets, water and every building kept before them."""
    if not site.outlines:
        return []
    outlines = np.array(site.outlines, dtype=object)
    points, owner = shapely.get_coordinates(shapely.segmentize(outlines, 2.0), return_index=True)
    clear = site.streets.survey(points[:, 0], points[:, 1])["kerb"] > 0.3
    if water is not None:
        clear &= water.distance(points[:, 0], points[:, 1]) > SHORE_M
    keep = np.bincount(owner, weights=~clear, minlength=len(outlines)) == 0
    first, second = shapely.STRtree(outlines).query(outlines, predicate="intersects")
    for a, b in sorted(zip(first[first < second], second[first < second], strict=True), key=lambda pair: pair[::-1]):
        if keep[a] and keep[b] and shapely.intersection(outlines[a], outlines[b]).area > 1e-6:
            keep[b] = False
    return np.flatnonzero(keep).tolist()


def _clear_ground(town: Town) -> None:
    """Drop trees and ground boxes whose middle lies on a building, a carriageway or the water."""
    tree = shapely.STRtree(town.buildings)
    for name, gap in (("trees", 0.8), ("boxes", 0.9)):
        table = getattr(town, name)
        if not len(table):
            continue
        x, y = table[:, 0], table[:, 1]
        elsewhere = table[:, 7] != GROUND if name == "boxes" else np.zeros(len(table), bool)
        bad = np.zeros(len(table), bool)
        if town.buildings:
            bad[tree.query(shapely.points(x, y), predicate="dwithin", distance=gap)[0]] = True
        if town.water is not None:
            reach = table[:, 3] if name == "boxes" else np.zeros(len(table))
            dx, dy = reach * np.cos(table[:, 2]), reach * np.sin(table[:, 2])
            for end in (-1, 1):
                bad |= town.water.distance(x + end * dx, y + end * dy) < 1.0
        if name == "trees":
            bad |= town.streets.survey(x, y)["kerb"] < 0.4
        setattr(town, name, table[elsewhere | ~bad])
