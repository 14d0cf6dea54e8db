"""Buildings as polygons: out of a mask, and back into one."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
import shapely
from affine import Affine
from rasterio.features import rasterize, shapes

# A speck below this is the scrap of a label, not a building: it counts in the building share and nowhere else.
SMALLEST_PX = 8
# A straight wall at any angle is a staircase of pixels whose corners lie within this of a line.
_STAIRCASE_PX = 0.75
# The staircase of a turned rectangle reaches so far beyond its walls, both sides together: its four walls are known nevertheless.
_OVERHANG_PX = 1.5


@dataclass(frozen=True)
class Layout:
    """One mask taken apart: a building a row, in the mask's units, x to the right and y down from its top left corner.

    Units are metres where the mask has a known ground resolution, else pixels.
    """

    height: float
    width: float
    pixel: tuple[float, float]
    """Width and height of a pixel in units."""
    share: float
    """Building pixels over all pixels, specks and cut buildings included."""
    outlines: np.ndarray
    """(n,) polygons along pixel edges, exactly as in the mask."""
    polygons: np.ndarray
    """(n,) the same with straight walls, for turning and moving; areas are kept."""
    centre: np.ndarray
    """(n, 2) centre of each building's smallest rectangle."""
    sides: np.ndarray
    """(n, 2) its long and its short side."""
    angle: np.ndarray
    """(n,) direction of its long side in radians, 0 to pi, from x towards y: clockwise from east."""
    area: np.ndarray
    cut: np.ndarray
    """(n,) bool: the mask's border goes through it, so that its shape is unknown."""

    def __len__(self) -> int:
        return len(self.polygons)

    @property
    def pixel_size(self) -> float:
        """Mean side of a pixel in units."""
        return sum(self.pixel) / 2

    @cached_property
    def spacing(self) -> np.ndarray:
        """(n,) distance from each building's edge to the nearest other one's; infinite for a building alone."""
        gap = np.full(len(self), np.inf)
        left, top, right, bottom = shapely.bounds(self.outlines).reshape(-1, 4).T
        # Distances of staircases are dear: boxes rule out nearly all of the pairs.
        for i in range(len(self) if len(self) > 1 else 0):
            across = np.maximum(np.maximum(left - right[i], left[i] - right), 0)
            down = np.maximum(np.maximum(top - bottom[i], top[i] - bottom), 0)
            at_least = np.hypot(across, down)
            at_least[i] = np.inf
            nearest = int(np.argmin(at_least))
            gap[i] = min(gap[i], shapely.distance(self.outlines[i], self.outlines[nearest]))
            near = np.flatnonzero(at_least < gap[i])
            for j in near[np.argsort(at_least[near], kind="stable")].tolist():
                if at_least[j] >= gap[i]:
                    break
                distance = shapely.distance(self.outlines[i], self.outlines[j])
                gap[i], gap[j] = min(gap[i], distance), min(gap[j], distance)
        return gap


def take_apart(mask: np.ndarray, pixel: tuple[float, float] = (1.0, 1.0)) -> Layout:
    """The buildings of a mask (H, W) uint8 of 0 and 255: its connected components, pixels joined by their edges."""
    rows, cols = mask.shape
    in_pixels = _polygons([geometry["coordinates"] for geometry, _ in shapes(mask, mask=mask > 0, connectivity=4)])
    in_pixels = in_pixels[shapely.area(in_pixels) >= SMALLEST_PX] if len(in_pixels) else in_pixels
    scale = np.array(pixel)

    def to_units(polygons: np.ndarray) -> np.ndarray:
        return shapely.transform(polygons, lambda xy: xy * scale)

    outlines = to_units(in_pixels)
    area = shapely.area(outlines)
    straight = to_units(shapely.simplify(in_pixels, _STAIRCASE_PX))
    kept = (shapely.area(straight) > 0.5 * area) & (shapely.get_type_id(straight) == 3) if len(outlines) else np.zeros(0, bool)
    straight = np.where(kept, straight, outlines)
    polygons = np.array(
        [_grown(polygon, float(np.sqrt(a / polygon.area))) for polygon, a in zip(straight, area, strict=True)], dtype=object
    )
    rectangles = np.array([smallest_rectangle(polygon) for polygon in polygons]).reshape(-1, 5)
    overhang = _OVERHANG_PX * sum(pixel) / 2
    for i, (x, y, long, short, angle) in enumerate(rectangles):
        excess = _excess(long, short, float(area[i]))
        if excess <= min(overhang, 0.3 * short):
            polygons[i] = rectangle(x, y, long - excess, short - excess, angle)
            rectangles[i, 2:4] = long - excess, short - excess
    bounds = shapely.bounds(in_pixels).reshape(-1, 4)
    cut = (bounds[:, 0] <= 0) | (bounds[:, 1] <= 0) | (bounds[:, 2] >= cols) | (bounds[:, 3] >= rows)
    return Layout(
        rows * pixel[1], cols * pixel[0], pixel, float(np.count_nonzero(mask) / mask.size), outlines, polygons,
        rectangles[:, :2], rectangles[:, 2:4], rectangles[:, 4], area, cut,
    )  # fmt: skip


def smallest_rectangle(polygon: shapely.Polygon) -> tuple[float, float, float, float, float]:
    """Centre x and y, long side, short side and the long side's angle (0 to pi) of the smallest rectangle around a polygon.

    One of its sides lies along the convex hull (Freeman and Shapira 1975, doi:10.1145/360881.360919).
    """
    hull = shapely.get_coordinates(polygon.convex_hull)
    edges = np.diff(hull, axis=0)
    angles = np.unique(np.round(np.arctan2(edges[:, 1], edges[:, 0]) % (np.pi / 2), 9))
    along = hull @ np.array([np.cos(angles), np.sin(angles)])  # (points, angles)
    across = hull @ np.array([-np.sin(angles), np.cos(angles)])
    length, width = np.ptp(along, axis=0), np.ptp(across, axis=0)
    best = int(np.argmin(length * width))
    angle = float(angles[best])
    u, v = (along[:, best].max() + along[:, best].min()) / 2, (across[:, best].max() + across[:, best].min()) / 2
    x, y = u * np.cos(angle) - v * np.sin(angle), u * np.sin(angle) + v * np.cos(angle)
    long, short = float(length[best]), float(width[best])
    if long < short:
        long, short, angle = short, long, angle + np.pi / 2
    return float(x), float(y), long, short, angle % np.pi


def rectangle(x: float, y: float, long: float, short: float, angle: float) -> shapely.Polygon:
    """A rectangle by its centre, sides and the long side's angle."""
    along, across = np.array([np.cos(angle), np.sin(angle)]) * long / 2, np.array([-np.sin(angle), np.cos(angle)]) * short / 2
    centre = np.array([x, y])
    return shapely.Polygon([centre + along + across, centre - along + across, centre - along - across, centre + along - across])


def draw(polygons: Sequence[shapely.Polygon] | np.ndarray, shape_px: tuple[int, int], pixel: tuple[float, float]) -> np.ndarray:
    """Mask (H, W) uint8, 255 where a pixel's centre lies inside a polygon; polygons are in units from the top left corner."""
    if not len(polygons):
        return np.zeros(shape_px, np.uint8)
    scale = Affine.scale(*pixel)
    return rasterize(list(polygons), out_shape=shape_px, transform=scale, fill=0, default_value=255, dtype=np.uint8)


def placed(polygon: shapely.Polygon, about: np.ndarray, to: np.ndarray, turn: float, *, mirror: bool = False) -> shapely.Polygon:
    """A copy moved from ``about`` to ``to``, turned by ``turn`` radians about it, and mirrored (x first) on request."""
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if mirror else 1.0, 1.0])
    return shapely.transform(polygon, lambda xy: (xy - about) @ matrix.T + to)


def _polygons(found: Sequence[Any]) -> np.ndarray:
    """(n,) polygons from their rings, outer one first, each a list of x and y."""
    if not found:
        return np.zeros(0, dtype=object)
    rings = [ring for polygon in found for ring in polygon]
    corners = np.array([corner for ring in rings for corner in ring], float)
    ring_starts = [0, *accumulate(len(ring) for ring in rings)]
    polygon_starts = [0, *accumulate(len(polygon) for polygon in found)]
    return np.asarray(
        shapely.from_ragged_array(shapely.GeometryType.POLYGON, corners, (np.array(ring_starts), np.array(polygon_starts)))
    )


def _excess(long: float, short: float, area: float) -> float:
    """By how much both sides must shrink to have that area."""
    return ((long + short) - float(np.sqrt(max((long - short) ** 2 + 4 * area, 0.0)))) / 2


def _grown(polygon: shapely.Polygon, factor: float) -> shapely.Polygon:
    if abs(factor - 1) < 1e-9:
        return polygon
    centre = shapely.get_coordinates(polygon.centroid)[0]
    return shapely.transform(polygon, lambda xy: (xy - centre) * factor + centre)
