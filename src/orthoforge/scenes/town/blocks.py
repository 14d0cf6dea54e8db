"""The land uses of a simulated town: functions that fill one block with houses, fields, halls, a park."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import shapely

from orthoforge.scenes.town.model import Roof, rectangle, rgb
from orthoforge.scenes.town.site import Front, Rect, Site


def houses(site: Site, rect: Rect) -> None:
    """Detached houses on lots, back to back."""
    fronts = site.fronts(rect)
    depth = fronts[0].depth / 2
    rows = min(depth, max(26.0, site.place.house_m[1] + site.place.setback_m + 12))
    if depth > rows + 4:
        site.patch(fronts[0], 0, fronts[0].length, 0, fronts[0].depth, "garden")
        site.scatter_trees(fronts[0], 0, fronts[0].length, rows, 2 * depth - rows, 1.6)
    for front in fronts[::2]:
        cuts = site.divide(front.length, *site.place.lot_m)
        for f0, f1 in pairwise(cuts):
            _lot(site, front, f0, f1, rows)


def _lot(site: Site, front: Front, f0: float, f1: float, depth: float) -> None:
    place = site.place
    dryness = float(np.clip(site.rng.normal(place.lawn_dryness, 0.22), 0, 1))
    material = ("gravel" if site.chance(0.5) else "paving") if site.chance(place.paved_lots) else "garden"
    if not site.chance(place.density):
        site.patch(front, f0, f1, 0, depth, "grass", dryness=dryness)
        site.scatter_trees(front, f0, f1, 1, depth, 1.7)
        return
    site.patch(front, f0, f1, 0, depth, "soil" if site.chance(0.04) else material, dryness=dryness)
    roof = site.roof(place.roofs)
    length = min(place.house_m[0] * site.uniform(0.8, 1.3), f1 - f0 - 2.4)
    width = min(place.house_m[1] * site.uniform(0.85, 1.2), depth - place.setback_m - 3)
    if length < 5 or width < 5:
        return
    mirror = 1 if site.chance(0.5) else -1
    turned = length < width or site.chance(0.12)
    for _ in range(4):  # a lot on a bend holds a smaller house
        setback = float(np.clip(site.rng.normal(place.setback_m, 1.2), 1.0, depth - width - 1))
        slack = max(0.0, (f1 - f0 - length) / 2 - 1.0)
        middle = (f0 + f1) / 2 - mirror * slack * site.uniform(0.2, 1.0)
        x, y, angle = front.at(middle, setback + width / 2)
        angle += site.rng.normal(0, 0.02)
        half_l, half_w = length / 2, width / 2
        corners = rectangle(x, y, angle, half_l, half_w)
        if front.contains(corners, f0 + 0.5, f1 - 0.5, 0.5, depth - 0.5):
            break
        length, width = 0.88 * length, 0.92 * width
    else:
        return
    hip = float(roof.kind == "hip")
    along = [x, y, angle, half_l, half_w, hip, hip]
    if turned:
        along = [x, y, angle + np.pi / 2, half_w, half_l, hip, hip]
    parts = [along]
    outline: Any = shapely.Polygon(corners)  # one polygon, also after a wing joined it
    if site.chance(0.5):
        reach, wing_w = width / 2 + site.uniform(2.0, 5.0), site.uniform(0.36, 0.5) * length
        side = 1 if site.chance(0.65) else -1  # behind the house, or towards the street
        shift = site.uniform(-1, 1) * (half_l - wing_w / 2)
        wx = x + shift * np.cos(angle) - side * reach / 2 * np.sin(angle)
        wy = y + shift * np.sin(angle) + side * reach / 2 * np.cos(angle)
        wing_angle = angle + side * np.pi / 2
        wing = rectangle(wx, wy, wing_angle, reach / 2, wing_w / 2)
        if not turned and front.contains(wing, f0 + 0.5, f1 - 0.5, 0.5, depth - 0.5):
            parts.append([wx, wy, wing_angle, reach / 2, wing_w / 2, 0.0, hip])
            outline = shapely.union(outline, shapely.Polygon(wing))
    site.building(outline, parts, roof, 2.9 * site.storeys() + 0.3)
    _garden(site, front, f0, f1, depth, middle + mirror * (half_l + 0.2), mirror, setback, setback + width, dryness)


def _garden(
    site: Site, front: Front, f0: float, f1: float, depth: float, gable: float, mirror: int, g_front: float, g_back: float,
    dryness: float,
) -> None:  # fmt: skip
    """Drive, path, patio, pool, shed, fences, shrubs and trees of one lot."""
    place = site.place
    drive = (min(gable, gable + mirror * 3.2), max(gable, gable + mirror * 3.2))
    if drive[0] > f0 + 0.2 and drive[1] < f1 - 0.2 and site.chance(0.9):
        end = g_front + site.uniform(2, 8)
        site.patch(front, *drive, -0.3, end, "paving" if site.chance(0.7) else "gravel")
        for g in (2.9, 8.4):
            if g + 2.5 < end + 0.5 and site.chance(0.55):
                x, y, angle = front.at(sum(drive) / 2, g)
                site.car(x, y, angle + np.pi / 2)
    door = (f0 + f1) / 2 + site.uniform(-2, 2)
    site.patch(front, door - 0.6, door + 0.6, -0.2, g_front + 0.5, "paving")
    back = depth - g_back
    if back > 7 and site.chance(0.6):
        f = site.uniform(f0 + 1, max(f0 + 1.1, f1 - 6))
        site.patch(front, f, min(f + site.uniform(3, 6), f1 - 0.8), g_back, g_back + site.uniform(2.5, 4.5), "paving")
    if back > 10.5 and site.chance(place.pool_share):
        f, g = site.uniform(f0 + 2, max(f0 + 2.1, f1 - 8.5)), g_back + site.uniform(3.0, 4.0)
        length, width = site.uniform(5, 7.5), site.uniform(2.8, 3.8)
        if f + length + 1 < f1 and g + width + 1 < depth:
            site.patch(front, f - 1.1, f + length + 1.1, g - 1.1, g + width + 1.1, "paving")
            site.patch(front, f, f + length, g, g + width, "pool")
    if back > 7 and site.chance(0.32):
        x, y, angle = front.at(site.uniform(f0 + 3, max(f0 + 3.1, f1 - 3)), depth - 2.6)
        half_l, half_w = site.uniform(1.3, 2.3), site.uniform(1.1, 1.6)
        corners = rectangle(x, y, angle, half_l, half_w)
        if front.contains(corners, f0 + 0.3, f1 - 0.3, g_back + 1, depth - 0.3):
            site.building(corners, [[x, y, angle, half_l, half_w, 0, 0]], site.roof(place.roofs + place.hall_roofs), 2.3)
    if back > 8 and site.chance(0.3):
        f, g = site.uniform(f0 + 1, max(f0 + 1.1, f1 - 6)), depth - site.uniform(4, 6)
        site.patch(
            front, f, min(f + site.uniform(2.5, 5), f1 - 0.5), g, g + site.uniform(2, 3.5), "crop", colour=place.palette.soil
        )
    start, end, rear = front.points([(f0, 0.6), (f0, depth), (f1, depth)])
    draw = site.rng.random()
    if draw < 0.45:
        site.wall(start, end, 0.16, 1.6, "#8b8072" if site.chance(0.5) else "#bdb6a8")
        site.wall(end, rear, 0.16, 1.6, "#8b8072")
    elif draw < 0.75 and dryness < 0.8:
        site.hedge(start, end)
    site.shrubs(front, f0 + 0.6, f1 - 0.6, 0.6, depth - 0.5, 8 * (1 - 0.6 * dryness))
    site.scatter_trees(front, f0, f1, g_back + 1, depth, 1.3)
    site.scatter_trees(front, f0, f1, 1, g_front, 0.7)


def centre(site: Site, rect: Rect) -> None:
    """A perimeter block: houses wall to wall on all four streets around a courtyard."""
    fronts = site.fronts(rect)
    across = min(fronts[0].depth, fronts[0].length)
    depth = min(site.uniform(10.5, 13.5), (across - 7) / 2.7)
    if depth < 8:
        park(site, rect)
        return
    site.patch(fronts[0], 0, fronts[0].length, 0, fronts[0].depth, "paving")
    inner = fronts[0].length - 2 * depth, fronts[0].depth - 2 * depth
    for _ in range(int(site.rng.integers(2, 5))):
        f, g = depth + site.uniform(0, 0.6) * inner[0], depth + site.uniform(0, 0.6) * inner[1]
        f1, g1 = f + site.uniform(0.3, 0.4) * inner[0], g + site.uniform(0.3, 0.4) * inner[1]
        site.patch(fronts[0], f, f1, g, g1, ("garden", "gravel", "garden", "soil")[site.rng.integers(4)])
    site.scatter_trees(fronts[0], depth + 1, depth + inner[0] - 1, depth + 1, depth + inner[1] - 1, 1.5)
    legs = [site.uniform(depth + 1, min(depth + 7, across / 2 - 1)) for _ in range(4)]
    deepest = min(across / 2 - 3, 26.0)
    roofs = [site.roof(site.place.roofs) for _ in range(3)]
    eaves = 3.1 * site.storeys()
    for k, front in enumerate(fronts):
        start, end = legs[k], front.length - legs[(k + 1) % 4]
        previous = fronts[k - 1]
        walls = [front.points([(start, 0), (start, deepest)])]
        beside = previous.points([(previous.length - start, 0), (previous.length - start, deepest)])
        _corner_house(site, front, walls[0], beside, start, depth, deepest, site.roof(tuple(roofs)), eaves)
        cuts = start + site.divide(end - start, *site.place.lot_m)
        walls += [front.points([(f, 0), (f, deepest)]) for f in cuts[1:]]
        for low, high in pairwise(walls):
            if site.chance(site.place.density):
                own = depth + site.rng.normal(0, 0.5)
                _row_house(site, low, high, own, deepest, site.roof(tuple(roofs)), eaves, yard=True)

    for _ in range(int(site.rng.integers(1, 5))):
        f, g = depth + site.uniform(0.1, 0.9) * inner[0], depth + site.uniform(0.1, 0.9) * inner[1]
        _block_building(site, fronts[0], f, g, site.uniform(6, 18), site.uniform(5, 8), site.uniform(3, 7))


def terraces(site: Site, rect: Rect) -> None:
    """Terraced houses on the two long sides, gardens between."""
    fronts, setback = site.fronts(rect), min(4.0, site.place.setback_m)
    half = fronts[0].depth / 2
    site.patch(fronts[0], 0, fronts[0].length, 0, 2 * half, "garden")
    if half < setback + 16:
        site.scatter_trees(fronts[0], 1, fronts[0].length - 1, 1, 2 * half - 1)
        return
    deepest = half - setback - 0.5
    depth, roof, eaves = site.uniform(8.5, 10.5), site.roof(site.place.roofs), 2.9 * site.storeys()
    for front in fronts[::2]:
        cuts = site.divide(front.length - 4, 6.5, 9.0) + 2
        walls = [front.points([(f, setback), (f, setback + deepest)]) for f in cuts]
        gap = int(site.rng.integers(4, 9))
        for n, (f0, f1) in enumerate(pairwise(cuts)):
            dryness = site.uniform(0, 1)
            site.patch(front, f0, f1, setback + depth, half, "garden", dryness=dryness)
            site.patch(front, f0, f1, 0, setback, "paving" if site.chance(0.5) else "garden", dryness=dryness)
            if n % gap == gap - 1:
                continue
            _row_house(site, walls[n], walls[n + 1], depth, deepest, roof, eaves, yard=site.chance(0.5))
            if site.chance(0.4):
                g = setback + depth
                site.patch(front, f0 + 0.3, f1 - 0.3, g, g + site.uniform(2.5, 4.5), "paving")
            share = (depth + 0.3) / deepest
            site.wall(walls[n][0] + (walls[n][1] - walls[n][0]) * share, walls[n][1], 0.16, 1.6, "#a0978a")
            site.scatter_trees(front, f0 + 1, f1 - 1, setback + depth + 2, half, 1.3)
            site.shrubs(front, f0 + 0.5, f1 - 0.5, setback + depth + 3, half, 5)
            if site.chance(0.25):
                site.patch(front, f0 + 0.8, f1 - 0.8, half - site.uniform(4, 7), half - 0.5, "crop", colour=site.place.palette.soil)


def _row_house(
    site: Site, low: np.ndarray, high: np.ndarray, depth: float, deepest: float, roof: Roof, eaves: float, *, yard: bool
) -> None:
    """A house between two party walls, straight (2, 2) lines of `deepest` metres from the street; neighbours share
    them, so houses of different depth touch and never overlap. With `yard`, a wing may reach back along the low wall.
    """
    corners = np.array([low[0], high[0], _along(high, depth / deepest), _along(low, depth / deepest)])
    (x, y), (dx, dy) = corners.mean(axis=0), corners[1] - corners[0] + corners[2] - corners[3]
    angle, length = float(np.arctan2(dy, dx)), float(np.hypot(dx, dy)) / 2
    parts = [[x, y, angle, length / 2, depth / 2, 0.0, 0.0]]
    reach = min(deepest, depth + site.uniform(3, 9))
    if yard and reach > depth + 2.5 and site.chance(0.4):
        share = site.uniform(0.38, 0.48)
        side = low + (high - low) * share
        near, far = depth / deepest, reach / deepest
        corners = np.array([*corners[:3], _along(side, near), _along(side, far), _along(low, far)])
        wing = np.array([_along(low, near / 2), _along(side, near / 2), _along(side, far), _along(low, far)])
        x, y = wing.mean(axis=0)
        parts.append([x, y, angle + np.pi / 2, (reach - depth / 2) / 2, share * length / 2, 0.0, 0.0])
    site.building(corners, parts, roof, max(4.0, eaves + site.rng.normal(0, 1.0)))


def _corner_house(
    site: Site, front: Front, wall: np.ndarray, beside: np.ndarray, leg: float, depth: float, deepest: float, roof: Roof,
    eaves: float,
) -> None:  # fmt: skip
    """An L around the start of `front`, from party wall `wall` on it to `beside` on the front before."""
    corner, inner = front.points([(0, 0), (depth, depth)])
    share = depth / deepest
    outline = np.array([corner, wall[0], _along(wall, share), inner, _along(beside, share), beside[0]])
    x, y, angle = front.at(leg / 2, depth / 2)
    x2, y2, angle2 = front.at(depth / 2, leg / 2)
    parts = [[x, y, angle, leg / 2, depth / 2, 1, 0], [x2, y2, angle2 + np.pi / 2, leg / 2, depth / 2, 1, 0]]
    site.building(outline, parts, roof, eaves)


def _block_building(
    site: Site, front: Front, f: float, g: float, length: float, depth: float, eaves: float, *, gap: float = 0.5
) -> bool:
    """A free-standing hall or slab with its middle at f, g; False if the block has no room for it."""
    x, y, angle = front.at(f, g)
    corners = rectangle(x, y, angle, length / 2, depth / 2)
    if not front.contains(corners, gap, front.length - gap, gap, front.depth - gap):
        return False
    roof = site.roof(site.place.hall_roofs)
    hip = float(roof.kind == "hip")
    site.building(corners, [[x, y, angle, length / 2, depth / 2, hip, hip]], roof, eaves)
    return True


def slabs(site: Site, rect: Rect) -> None:
    """Apartment slabs in a green with paths and a car park."""
    front = site.fronts(rect)[0]
    site.patch(front, 0, front.length, 0, front.depth, "garden")
    park_end = min(17.0, front.length * 0.25)
    _car_park(site, front, 2, park_end, 2, front.depth - 2)
    rows = max(1, int((front.depth - 8) // 30))
    for row in range(rows):
        g = front.depth * (row + 0.5) / rows
        f = park_end + 6
        site.patch(front, f - 6, front.length - 4, g + 9.0, g + 10.6, "paving")
        while f + 24 < front.length - 4:
            length = min(site.uniform(26, 52), front.length - 4 - f)
            _block_building(site, front, f + length / 2, g, length, site.uniform(11, 13.5), 3.0 * site.rng.integers(3, 7))
            for door in np.arange(f + 5, f + length - 3, 14.0):
                site.patch(front, door, door + 1.6, g + 6, g + 9.2, "paving")
            f += length + site.uniform(9, 16)
    site.scatter_trees(front, park_end + 1, front.length - 1, 1, front.depth - 1, 1.0)


def industry(site: Site, rect: Rect) -> None:
    """Halls on concrete, with lorries and stacked containers."""
    front = site.fronts(rect)[0]
    site.patch(front, 0, front.length, 0, front.depth, "asphalt" if site.chance(0.5) else "paving", dryness=0.7)
    cuts = site.divide(front.length, 38, 75)
    for f0, f1 in pairwise(cuts):
        if site.chance(0.5):
            site.patch(front, f0 + 1, f1 - 1, 1, front.depth - 1, ("gravel", "paving", "asphalt")[site.rng.integers(3)])
        split = front.depth * site.uniform(0.55, 0.75)
        halls = [(4, split - 4)] if front.depth < 95 else [(4, split / 2 - 2), (split / 2 + 4, split)]
        for g0, g1 in halls:
            length, depth = (f1 - f0) * site.uniform(0.6, 0.85), (g1 - g0) * site.uniform(0.75, 1.0)
            _block_building(site, front, (f0 + f1) / 2, (g0 + g1) / 2, length, depth, site.uniform(6, 11))
        _yard(site, front, f0 + 2, f1 - 2, split + 1, front.depth - 2)
        if site.chance(0.6):
            start, end = front.points([(f1, 0.5), (f1, front.depth - 0.5)])
            site.wall(start, end, 0.2, 2.0, "#8f8f89")
    site.scatter_trees(front, 0, front.length, 0, 4, 1.0)


def _yard(site: Site, front: Front, f0: float, f1: float, g0: float, g1: float) -> None:
    draw = site.rng.random()
    if draw < 0.4:
        _car_park(site, front, f0, f1, g0, g1)
        return
    colours = ("#8e3b2f", "#2f5d86", "#b9793a", "#5f7a58", "#a9aaa6", "#3f4a55", "#c8c4b8")
    for f in np.arange(f0 + 8, f1 - 7, 13.2):
        for g in np.arange(g0 + 2, g1 - 2, 2.75):
            if site.chance(0.45 if draw < 0.7 else 0.12):
                x, y, angle = front.at(f, g)
                height = 2.6 * site.rng.integers(1, 4 if draw < 0.7 else 2)
                colour = rgb(colours[site.rng.integers(len(colours))]) * np.exp(site.rng.normal(0, 0.12))
                site.box_at(x, y, angle, 12.2, 2.5, height, "container", colour)


def shops(site: Site, rect: Rect) -> None:
    """A large flat shop behind its car park."""
    front = site.fronts(rect)[0]
    site.patch(front, 0, front.length, 0, front.depth, "asphalt", dryness=0.5)
    back = front.depth * site.uniform(0.45, 0.55)
    f = 3.0
    while f + 18 < front.length - 3:
        length = min(site.uniform(22, 60), front.length - 3 - f)
        depth = (front.depth - back - 3) * site.uniform(0.7, 1.0)
        _block_building(site, front, f + length / 2, front.depth - 3 - depth / 2, length, depth, site.uniform(5, 8))
        f += length + site.rng.choice([0.4, 8.0])
    _car_park(site, front, 3, front.length - 3, 3, back - 4)
    site.scatter_trees(front, 0, front.length, 0, 3, 2.0)


def _car_park(site: Site, front: Front, f0: float, f1: float, g0: float, g1: float) -> None:
    """Rows of marked stalls along f, an aisle between pairs of rows."""
    if f1 - f0 < 8 or g1 - g0 < 6:
        return
    site.patch(front, f0, f1, g0, g1, "asphalt", dryness=site.uniform(0, 0.6))
    busy = site.uniform(0.15, 0.8)
    g, row = g0 + 0.3, 0
    while g + 5 <= g1:
        stalls = np.arange(f0 + 0.6, f1 - 2.6, 2.6)
        lines = front.points([(f, h) for f in stalls for h in (g, g + 5)])
        for n, f in enumerate(stalls):
            site.wall(lines[2 * n], lines[2 * n + 1], 0.12, 0.01, "#d9d8d0", "paint")
            if site.chance(busy):
                x, y, angle = front.at(f + 1.3, g + 2.5)
                site.car(x, y, angle + np.pi / 2 * site.rng.choice([-1, 1]))
            elif site.chance(0.03):
                x, y, _ = front.at(f, g + 2.5)
                site.tree(x, y, site.uniform(1.6, 3))
        g, row = g + (11.0 if row % 2 == 0 else 5.1), row + 1


def park(site: Site, rect: Rect, *, by_water: bool = False) -> None:
    """Lawns, trees and paths; sometimes a pitch."""
    front = site.fronts(rect)[0]
    length, depth = front.length, front.depth
    site.patch(front, 0, length, 0, depth, "grass")
    if not by_water and site.chance(0.17) and length > 70 and depth > 48:
        x, y, angle = front.at(length / 2, depth / 2)
        half_l, half_w = min(length / 2 - 12, 45), min(depth / 2 - 9, 28)
        site.surface(rectangle(x, y, angle, half_l + 3, half_w + 3), "pitch", dryness=0.15, angle=angle)
        ring = rectangle(x, y, angle, half_l, half_w)
        middle = (ring + np.roll(ring, -1, axis=0)) / 2
        lines = [*zip(ring, np.roll(ring, -1, axis=0), strict=True), (middle[0], middle[2])]
        for start, end in lines:
            site.wall(start, end, 0.15, 0.01, "#e8e8e0", "paint")
        site.scatter_trees(front, 0, length, 0, depth / 2 - half_w - 7, 2.0)
        site.scatter_trees(front, 0, length, depth / 2 + half_w + 7, depth, 2.0)
        return
    middle = site.uniform(0.35, 0.65) * length
    site.patch(front, middle - 1.3, middle + 1.3, 0, depth, "gravel")
    bend = site.uniform(0.3, 0.7) * depth
    site.patch(front, 0, length, bend - 1.1, bend + 1.1, "gravel")
    site.scatter_trees(front, 1, length - 1, 1, depth - 1, 1.6)


def field(site: Site, rect: Rect) -> None:
    """Strips of different crops, mown meadow or bare earth; hedges and trees at their edges."""
    fronts = site.fronts(rect)
    front = fronts[int(site.rng.integers(2))]
    cuts = site.divide(front.length, 30, 75)
    for f0, f1 in pairwise(cuts):
        crops = site.place.palette.crops
        across = np.pi / 2 if site.chance(0.75) else 0.0
        angle = front.at((f0 + f1) / 2, front.depth / 2)[2] + across + site.rng.normal(0, 0.03)
        colour = crops[site.rng.integers(len(crops))]
        site.patch(front, f0, f1, 0, front.depth, "crop", angle=angle, colour=colour, dryness=site.uniform(0, 0.8))
        if site.chance(0.35):
            site.patch(front, f1 - 0.9, f1 + 0.9, 0, front.depth, "grass", dryness=0.4)
            site.scatter_trees(front, f1 - 1.5, f1 + 1.5, 0, front.depth, site.uniform(1, 7))
    site.scatter_trees(front, 0, front.length, 0, front.depth, 0.06)


def forest(site: Site, rect: Rect) -> None:
    """Trees as dense as they stand, whatever the place."""
    front = site.fronts(rect)[0]
    site.patch(front, 0, front.length, 0, front.depth, "forest")
    density = 560 / max(1.0, site.place.trees_per_ha)
    site.scatter_trees(front, 0, front.length, 0, front.depth, density * site.uniform(0.7, 1.1))


def farms(site: Site, rect: Rect) -> None:
    """Farmhouses and barns, loosely placed in meadows and orchards."""
    front = site.fronts(rect)[0]
    site.patch(front, 0, front.length, 0, front.depth, "grass", dryness=site.uniform(0.1, 0.5))
    cuts = site.divide(front.length, 26, 40)
    for f0, f1 in pairwise(cuts):
        for g in np.arange(16, front.depth - 10, 27.0):
            if not site.chance(site.place.density):
                if site.chance(0.5):
                    _orchard(site, front, f0 + 3, f1 - 3, g - 10, g + 10)
                continue
            x, y, angle = front.at((f0 + f1) / 2 + site.rng.normal(0, 2), g + site.rng.normal(0, 2))
            angle += site.rng.normal(0, 0.25) + (np.pi / 2 if site.chance(0.35) else 0)
            big = 1.0 if site.chance(0.65) else 1.5
            half_l, half_w = (
                site.place.house_m[0] / 2 * big * site.uniform(0.8, 1.2),
                site.place.house_m[1] / 2 * site.uniform(0.9, 1.2),
            )
            corners = rectangle(x, y, angle, half_l, half_w)
            if not front.contains(corners, f0 + 0.5, f1 - 0.5, 1, front.depth - 1):
                continue
            site.surface(rectangle(x + 1, y + 1, angle, half_l + site.uniform(2, 4), half_w + site.uniform(2, 4)), "gravel")
            site.patch(front, (f0 + f1) / 2 - 1.5, (f0 + f1) / 2 + 1.5, -0.3, g, "gravel")
            site.building(corners, [[x, y, angle, half_l, half_w, 0, 0]], site.roof(site.place.roofs), 2.7 * site.storeys())
            if site.chance(0.5):
                site.car(x + half_w * 1.6 * np.sin(angle), y - half_w * 1.6 * np.cos(angle), angle)
    site.scatter_trees(front, 1, front.length - 1, 1, front.depth - 1, 0.8)


def _orchard(site: Site, front: Front, f0: float, f1: float, g0: float, g1: float) -> None:
    radius = site.uniform(1.3, 2.0)
    for f in np.arange(f0, f1, 4.8):
        for g in np.arange(g0, g1, 4.8):
            if site.chance(0.85):
                x, y, _ = front.at(f + site.rng.normal(0, 0.25), g + site.rng.normal(0, 0.25))
                site.tree(x, y, radius * site.uniform(0.8, 1.15), site.uniform(2.5, 4), "broadleaf")


def _along(wall: np.ndarray, share: float) -> np.ndarray:
    return np.asarray(wall[0] + (wall[1] - wall[0]) * share)


LAND_USES: dict[str, Callable[[Site, Rect], None]] = {
    "field": field,
    "forest": forest,
    "park": park,
    "farms": farms,
    "houses": houses,
    "terraces": terraces,
    "slabs": slabs,
    "centre": centre,
    "shops": shops,
    "industry": industry,
}
