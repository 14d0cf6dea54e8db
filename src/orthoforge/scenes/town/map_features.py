"""A simulated town as a map would show it: streets, water, trees and ground cover, with OpenStreetMap's tags.

Streets are lines with their width, as surveyors draw them, trees are points with the diameter of their crown. Buildings are not
among them: their outlines are written as footprints.
"""

from __future__ import annotations

import math

import numpy as np
import shapely

from orthoforge.scenes.town.model import MATERIALS, SPECIES, STREET_WITH_WALKS_M, Place, Streets, Town, Water

Feature = tuple[shapely.Geometry, dict[str, str]]
MARGIN_M = 15.0  # the map goes on beyond the scene, so that no street ends at its edge
SMALLEST_CROWN_M = 0.8  # radius; smaller ones are hedges and shrubs
CROWN_SHARE = 0.88  # of its radius a crown fills, being ragged
BRIDGE_M = 2.0  # streets end so far from the water, except main ones over rivers
_STEP_M = 4.0
_COVER = {
    "grass": {"landuse": "grass"}, "garden": {"leisure": "garden"}, "soil": {"landcover": "bare_ground"},
    "asphalt": {"amenity": "parking"}, "paving": {"landcover": "paving"}, "gravel": {"landcover": "gravel"},
    "crop": {"landuse": "farmland"}, "pool": {"leisure": "swimming_pool"}, "forest": {"landuse": "forest"},
    "pitch": {"leisure": "pitch"}, "shore": {"landcover": "bare_ground"},
}  # fmt: skip


def map_features(town: Town, place: Place, width_m: float, height_m: float) -> list[Feature]:
    """The map of a scene of ``width_m`` × ``height_m`` metres in local metres, x to the east and y to the south."""
    scene = shapely.box(-MARGIN_M, -MARGIN_M, width_m + MARGIN_M, height_m + MARGIN_M)
    features: list[Feature] = [(scene, {"landcover": "grass"})]  # what nobody has planned
    for surface, kind in zip(town.surfaces, town.surface_kind[:, 0].astype(int), strict=True):
        features.append((surface, _COVER[MATERIALS[kind]]))
    water = None if town.water is None else _water(town.water, 2 * math.hypot(width_m, height_m))
    if water is not None:
        features.append((water, {"natural": "water"}))
    features += _streets(town.streets, town.water, water, scene)
    bare = SPECIES.index("bare")
    for x, y, radius, _, species in town.trees[:, :5].tolist():
        if radius >= SMALLEST_CROWN_M and int(species) != bare:
            features.append((shapely.Point(x, y), {"natural": "tree", "diameter_crown": f"{2 * CROWN_SHARE * radius:.2f}"}))
    clipped = [(shapely.intersection(shapely.make_valid(shape), scene), tags) for shape, tags in features]
    return [(part, tags) for shape, tags in clipped for part in shapely.get_parts(shape) if not part.is_empty]


def _water(water: Water, reach: float) -> shapely.Polygon:
    """A river between its banks, or the sea beyond the shore."""
    along = np.arange(-reach, reach, _STEP_M)
    k = 2 * math.pi / water.wave_m
    bed = water.swing_m * (np.sin(k * along + water.phase) + 0.35 * np.sin(2.7 * k * along + 2 * water.phase))
    near, far = (bed, np.full_like(bed, -reach)) if water.sea else (bed + water.half_m, bed - water.half_m)
    along, across = np.concatenate([along, along[::-1]]), np.concatenate([near, far[::-1]])
    cos, sin = math.cos(water.angle), math.sin(water.angle)
    x, y = water.point[0] + along * cos - across * sin, water.point[1] + along * sin + across * cos
    return shapely.Polygon(np.stack([x, y], axis=1))


def _streets(streets: Streets, water: Water | None, wet: shapely.Polygon | None, scene: shapely.Polygon) -> list[Feature]:
    """A line for each piece of street between two crossings, and below it the ground with its sidewalks."""
    features: list[Feature] = []
    banks = None if wet is None else wet.buffer(BRIDGE_M)
    for axis, widths in enumerate((streets.s_width, streets.t_width.T)):
        lines, cross = (streets.s_lines, streets.t_lines) if axis == 0 else (streets.t_lines, streets.s_lines)
        for i, j in zip(*np.nonzero(widths), strict=True):
            steps = np.linspace(cross[j], cross[j + 1], max(2, math.ceil((cross[j + 1] - cross[j]) / _STEP_M)))
            points = np.array([streets.to_ground(*((lines[i], t) if axis == 0 else (t, lines[i]))) for t in steps])
            line: shapely.Geometry = shapely.LineString(points)
            if not shapely.dwithin(line, scene, float(widths[i, j])):
                continue
            width = float(widths[i, j] / np.mean(_stretch(streets, points, axis)))
            is_main, has_walks = widths[i, j] >= streets.main_m, widths[i, j] >= STREET_WITH_WALKS_M
            crosses = is_main and water is not None and not water.sea
            if banks is not None and not crosses:
                line = shapely.difference(line, banks)
            kind = "tertiary" if is_main else "residential" if has_walks else "track"
            features.append((line, {"highway": kind, "width": f"{width:.2f}"}))
            if has_walks and streets.sidewalk_m > 0:
                features.append((shapely.buffer(line, width / 2 + streets.sidewalk_m), {"landcover": "paving"}))
    return features


def _stretch(streets: Streets, points: np.ndarray, axis: int) -> np.ndarray:
    """Street metres in a metre of ground, across the street: a bent grid is denser where it slopes."""
    step = 0.5
    x, y = points.T
    east, south = (
        (streets.from_ground(x + dx, y + dy)[axis] - streets.from_ground(x - dx, y - dy)[axis]) / (2 * step)
        for dx, dy in ((step, 0.0), (0.0, step))
    )
    return np.asarray(np.hypot(east, south))
