"""Which areas on the ground meet, whatever CRS each of them lies in. Opens no file.

Within one CRS boxes are compared as they are, to the last digit. Boxes of different CRSs are brought to one plane, Mercator's on
WGS 84: it keeps shapes, so that a share of a tile is the same share there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import shapely
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform as transform_points

from orthoforge.geo.grid import Grid

Box = tuple[float, float, float, float]
# A CRS, or the name of a plane of its own, such as a scene whose place on Earth is unknown.
Space: TypeAlias = CRS | str
_WGS84 = CRS.from_epsg(4326)
# Points along an edge: edges become curves. With so many, one of 25 km is off by less than a metre.
_EDGE_POINTS = 8
# Beyond this latitude Mercator's plane is of no use, and no scene lies.
_HIGHEST_LATITUDE = 89.0


@dataclass(frozen=True)
class Areas:
    """Boxes (n, 4), left, bottom, right, top, each in its space and grown on all sides by its margin (n,), or shrunk below 0."""

    boxes: np.ndarray
    spaces: Sequence[Space]
    margins: np.ndarray

    @staticmethod
    def of_boxes(
        boxes: Sequence[Box] | np.ndarray, spaces: Sequence[Space], near: float, sized: Sequence[Box] | None = None
    ) -> "Areas":
        """With margins of ``near`` × the shorter side of each box, or of each of ``sized``."""
        table = np.array(boxes, np.float64).reshape(-1, 4)
        scale = np.array(boxes if sized is None else sized, np.float64).reshape(-1, 4)
        return Areas(table, spaces, near * np.minimum(scale[:, 2] - scale[:, 0], scale[:, 3] - scale[:, 1]))

    @staticmethod
    def of_grids(grids: Sequence[Grid], near: float = 0.0) -> "Areas":
        """Of grids that have a CRS."""
        return Areas.of_boxes([grid.bounds for grid in grids], [grid.crs for grid in grids if grid.crs], near)


def meetings(some: Areas, others: Areas) -> np.ndarray:
    """Pairs (2, k) of positions in ``some`` and ``others`` of areas that share a point, in order.

    Areas of different CRSs are compared where both CRSs have a place on Earth (see ``place_is_known``); planes by name alone.
    """
    numbers: dict[Space, int] = {}
    own, theirs = (_numbered(areas.spaces, numbers) for areas in (some, others))
    grown, others_grown = _grown(some), _grown(others)
    found = [np.empty((2, 0), np.int64)]
    for number in np.intersect1d(own, theirs):
        here, there = np.flatnonzero(own == number), np.flatnonzero(theirs == number)
        a, b = shapely.STRtree(others_grown[there]).query(grown[here], predicate="intersects")
        found.append(np.stack([here[a], there[b]]))
    if sum(isinstance(space, CRS) for space in numbers) > 1:
        a, b = shapely.STRtree(_outlines(others)).query(_outlines(some), predicate="intersects")
        found.append(np.stack([a, b])[:, own[a] != theirs[b]])
    pairs = np.concatenate(found, axis=1)
    return pairs[:, np.lexsort(pairs[::-1])]


def on_one_plane(boxes: Sequence[Box] | np.ndarray, spaces: Sequence[Space]) -> np.ndarray:
    """The boxes (n, 4) as they are where all lie in one space, else around their outlines on Mercator's plane."""
    table = np.array(boxes, np.float64).reshape(-1, 4)
    if len(set(_numbered(spaces, {}).tolist())) == 1:
        return table
    points = _plane_points(Areas(table, spaces, np.zeros(len(table))))
    points[..., 0] = _near(points[..., 0], points[0, 0, 0])
    return np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)


def place_is_known(box: Box, space: Space) -> bool:
    """Whether a box has a place on Earth: its space is a CRS that can be brought to longitude and latitude there."""
    return bool(np.isfinite(_plane_points(Areas(np.array([box], np.float64), [space], np.zeros(1)))).all())


def _numbered(spaces: Sequence[Space], numbers: dict[Space, int]) -> np.ndarray:
    """A number for each space, the same for equal ones. To compare CRSs takes long; most are one object."""
    known: dict[int, int] = {}
    for space in spaces:
        if id(space) not in known:
            known[id(space)] = numbers.setdefault(space, len(numbers))
    return np.array([known[id(space)] for space in spaces], np.int64)


def _grown(areas: Areas) -> np.ndarray:
    (left, bottom, right, top), margins = areas.boxes.T, areas.margins
    return shapely.box(left - margins, bottom - margins, right + margins, top + margins)


def _outlines(areas: Areas) -> np.ndarray:
    """Polygons (n,) on the plane, with their margins; ``None`` where the place is unknown. At the antimeridian, on both sides."""
    points = _plane_points(areas)
    known = np.isfinite(points).all(axis=(1, 2))
    polygons = shapely.polygons(np.where(known[:, None, None], points, 0.0))
    sides = areas.boxes[:, 2:] - areas.boxes[:, :2]
    scale = np.sqrt(shapely.area(polygons) / sides.prod(axis=1))
    polygons = shapely.buffer(polygons, areas.margins * scale, join_style="mitre")
    for position in np.flatnonzero(known & (np.abs(points[..., 0]).max(axis=1) > 180)):
        twin = shapely.transform(polygons[position], lambda xy: xy - (np.sign(xy[:, :1]) * 360 * [1, 0]))
        polygons[position] = shapely.union(polygons[position], twin)
    polygons[~known] = None
    return polygons


def _plane_points(areas: Areas) -> np.ndarray:
    """Points along each box's edges on the plane, (n, 4 · _EDGE_POINTS, 2), in degrees; not finite where the place is unknown."""
    steps = np.arange(_EDGE_POINTS) / _EDGE_POINTS
    across = np.concatenate([steps, np.ones_like(steps), 1 - steps, np.zeros_like(steps)])
    up = np.concatenate([np.zeros_like(steps), steps, np.ones_like(steps), 1 - steps])
    left, bottom, right, top = areas.boxes.T[..., None]
    points = np.stack([left + across * (right - left), bottom + up * (top - bottom)], axis=-1)
    plane = np.full_like(points, np.nan)
    numbers: dict[Space, int] = {}
    of_box = _numbered(areas.spaces, numbers)
    for space, number in numbers.items():
        if isinstance(space, CRS):
            plane[of_box == number] = _degrees(points[of_box == number], space)
    plane[np.abs(plane[..., 1]) > _HIGHEST_LATITUDE] = np.nan
    plane[..., 0] = _near(plane[..., 0], plane[:, :1, 0])
    plane[..., 1] = np.degrees(np.arcsinh(np.tan(np.radians(plane[..., 1]))))
    return plane


def _degrees(points: np.ndarray, crs: CRS) -> np.ndarray:
    """Longitude and latitude of (n, k, 2) points. GDAL may fail for all because of one: halves are then asked apart."""
    try:
        lon, lat = transform_points(crs, _WGS84, points[..., 0].ravel(), points[..., 1].ravel())[:2]
    except (RasterioError, CPLE_BaseError):
        if len(points) == 1:
            return np.full_like(points, np.nan)
        half = len(points) // 2
        return np.concatenate([_degrees(points[:half], crs), _degrees(points[half:], crs)])
    return np.stack([lon, lat], axis=-1).reshape(points.shape)


def _near(longitudes: np.ndarray, first: np.ndarray | float) -> np.ndarray:
    """The same longitudes within 180° of ``first``."""
    return first + (longitudes - first + 180) % 360 - 180
