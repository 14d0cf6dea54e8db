"""The statistics of a place, taken from its masks, window by window."""

from collections.abc import Sequence

import numpy as np
import shapely

from orthoforge.errors import DataError
from orthoforge.forging.shapes import Layout
from orthoforge.forging.statistics import PlaceStatistics

# Below so many whole buildings, quartiles of their areas are an accident.
_LEAST_BUILDINGS = 20
# With fewer masks they are cut into windows, so that there are two halves to compare, and shares have a distribution.
_LEAST_WINDOWS = 8
_NEIGHBOURS = 3  # whose orientation is compared with a building's own
_PROBES = 24  # a side of a window: where the distance to the nearest building is taken


def measure(layouts: Sequence[Layout], unit: str = "px", *, window: tuple[float, float] | None = None) -> PlaceStatistics:
    """The statistics of masks that were taken apart, on windows of about ``window`` (height, width) units.

    When it is left out, windows are whole masks, or equal parts of them when there are fewer than eight. ``DataError`` when all
    masks are empty, or too few whole buildings are in them to say anything.
    """
    if not any(layout.share for layout in layouts):
        raise DataError(f"no building in {'the mask' if len(layouts) == 1 else f'any of the {len(layouts)} masks'}.")
    whole = sum(int(np.count_nonzero(~layout.cut)) for layout in layouts)
    if window is None:
        if whole < _LEAST_BUILDINGS:
            raise DataError(
                f"{whole} whole building{'s' * (whole != 1)} in {len(layouts)} mask{'s' * (len(layouts) > 1)}; at least "
                f"{_LEAST_BUILDINGS} are needed to tell what the place looks like. Give more or larger masks of it."
            )
        parts = int(np.ceil(np.sqrt(_LEAST_WINDOWS / len(layouts))))
        window = layouts[0].height / parts, layouts[0].width / parts
    pieces: list[dict[str, np.ndarray]] = []
    offset = 0
    for layout in layouts:
        pieces.append(_measure_one(layout, window, offset))
        offset += len(pieces[-1]["share"])
    joined = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    return PlaceStatistics(unit, layouts[0].pixel_size, window, **joined)


def border_distance(layout: Layout) -> np.ndarray:
    """(n,) distance from each building's edge to the mask's border."""
    bounds = shapely.bounds(layout.outlines).reshape(-1, 4)
    return np.min([bounds[:, 0], bounds[:, 1], layout.width - bounds[:, 2], layout.height - bounds[:, 3]], axis=0)


def nearest_centres(layout: Layout, among: np.ndarray, count: int) -> np.ndarray:
    """(m, count) indices into ``among`` (m indices of buildings) of each one's nearest; fewer columns when there are fewer."""
    points = layout.centre[among]
    count = min(count, len(points) - 1)
    if count < 1:
        return np.zeros((len(points), 0), int)
    nearest = np.empty((len(points), count), int)
    for start in range(0, len(points), 512):  # a full table of 5000 buildings would be 200 MB
        part = points[start : start + 512]
        distance = np.hypot(*(part[:, None] - points[None]).transpose(2, 0, 1))
        distance[np.arange(len(part)), start + np.arange(len(part))] = np.inf
        nearest[start : start + 512] = np.argsort(distance, axis=1, kind="stable")[:, :count]
    return nearest


def _measure_one(layout: Layout, window: tuple[float, float], offset: int) -> dict[str, np.ndarray]:
    rows, cols = max(1, round(layout.height / window[0])), max(1, round(layout.width / window[1]))
    high, wide = layout.height / rows, layout.width / cols
    cells = [shapely.box(c * wide, r * high, (c + 1) * wide, (r + 1) * high) for r in range(rows) for c in range(cols)]
    whole = np.flatnonzero(~layout.cut)

    def window_of(points: np.ndarray) -> np.ndarray:
        row = np.clip((points[:, 1] / high).astype(int), 0, rows - 1)
        return row * cols + np.clip((points[:, 0] / wide).astype(int), 0, cols - 1)

    if len(cells) == 1:
        share = np.array([layout.share])
    else:
        tree = shapely.STRtree(layout.outlines)
        share = np.zeros(len(cells))
        cell, building = tree.query(cells, predicate="intersects")
        inside = shapely.area(shapely.intersection(np.array(cells, dtype=object)[cell], layout.outlines[building]))
        np.add.at(share, cell, inside / (high * wide))
    count = np.bincount(window_of(layout.centre), weights=np.where(layout.cut, 0.5, 1.0), minlength=len(cells))
    gap, border = layout.spacing, border_distance(layout)
    gap = np.where(gap <= border, gap, np.nan)
    direction = layout.angle[whole] * 4
    neighbours = nearest_centres(layout, whole, _NEIGHBOURS)
    agreement = np.full(len(whole), np.nan)
    if neighbours.shape[1]:
        agreement = np.cos(direction[:, None] - direction[neighbours]).mean(axis=1)
    probes = _probes(layout, rows, cols)
    emptiness = _emptiness(layout, probes)
    empty = emptiness > 0
    return {
        "share": share,
        "per_ha": count / (high * wide) * 1e4,
        "area": layout.area[whole],
        "elongation": layout.sides[whole, 0] / layout.sides[whole, 1],
        "fill": layout.area[whole] / layout.sides[whole].prod(axis=1),
        # x runs east and y south, so that clockwise from east is a bearing less 90 degrees.
        "orientation": np.degrees(layout.angle[whole]) % 90,
        "coherence": agreement,
        "spacing": gap[whole],
        "building_window": offset + window_of(layout.centre[whole]),
        "emptiness": emptiness[empty],
        "emptiness_window": offset + window_of(probes)[empty],
    }


def _probes(layout: Layout, rows: int, cols: int) -> np.ndarray:
    """(n, 2) points in the middles of a regular grid."""
    x = (np.arange(cols * _PROBES) + 0.5) * layout.width / (cols * _PROBES)
    y = (np.arange(rows * _PROBES) + 0.5) * layout.height / (rows * _PROBES)
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def _emptiness(layout: Layout, points: np.ndarray) -> np.ndarray:
    """(n,) distance from each point to the nearest building, 0 on one; half a diagonal where there is none."""
    if not len(layout):
        return np.full(len(points), np.hypot(layout.height, layout.width) / 2)
    corners, ring = shapely.get_coordinates(shapely.get_rings(layout.outlines), return_index=True)
    walls = shapely.linestrings(np.stack([corners[:-1], corners[1:]], axis=1)[ring[:-1] == ring[1:]])
    places = shapely.points(points)
    # A tree of single walls looks at few of them; one of whole outlines at every wall of those it comes to.
    (index, _), distance = shapely.STRtree(walls).query_nearest(places, return_distance=True, all_matches=False)
    emptiness = np.empty(len(points))
    emptiness[index] = distance
    emptiness[shapely.STRtree(layout.outlines).query(places, predicate="intersects")[0]] = 0
    return emptiness
