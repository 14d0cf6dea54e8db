"""Ground cut up: into districts of one direction, blocks with streets between them, and rows of parcels back to back."""

from dataclasses import dataclass

import numpy as np
import shapely

from orthoforge.forging.layouts.plot import Street
from orthoforge.forging.shapes import rectangle

_BEND = 0.04  # turn of a street against the one it leaves, in radians
_UNEVEN = 0.15  # how far off its place a cut may lie, in blocks
_LONGEST = 1.4  # pieces up to so many targets are not cut again
_SMALLEST_BLOCK = 0.05  # of a square block: what a district's edge leaves may be less than a parcel


@dataclass(frozen=True)
class Row:
    """Parcels side by side: the ground, the street's direction along their fronts and the way to it."""

    polygon: shapely.Polygon
    along: np.ndarray
    front: np.ndarray


@dataclass(frozen=True)
class District:
    """Convex ground of one direction, in radians clockwise from east: a district, or a block of one."""

    polygon: shapely.Polygon
    direction: float


def cut_into_districts(
    size: tuple[float, float], directions: np.ndarray, reach: float, margin: float, rng: np.random.Generator
) -> list[District]:
    """Convex parts of the ground and of a margin around it, about ``reach`` wide, whose directions are spread as those given."""
    height, width = size
    ground = shapely.box(-margin, -margin, width + margin, height + margin).buffer(margin, join_style="mitre")
    count = max(1, round(height * width / reach**2)) if len(directions) > 1 else 1
    if count == 1:
        return [District(ground, float(directions[0]))]
    points = rng.uniform((0, 0), (width, height), (count, 2))
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.MultiPoint(points), extend_to=ground))
    cells = shapely.intersection(cells, ground)
    # Evenly out of the ordered ones, so that few districts have the place's directions too.
    levels = (rng.permutation(len(cells)) + rng.random()) / len(cells)
    drawn = np.sort(directions)[(levels * len(directions)).astype(int)]
    return [District(cell, float(angle)) for cell, angle in zip(cells, drawn, strict=True)]


def cut_into_blocks(
    district: District,
    size: tuple[float, float],
    targets: tuple[float, float],
    street: float,
    rng: np.random.Generator,
    cuts_made: list[Street] | None = None,
) -> list[District]:
    """Convex blocks of about ``targets`` (length, depth) that reach into the mask of ``size``, with streets of width ``street``
    between them; the first cuts are main ones. The streets are added to ``cuts_made``."""
    height, width = size
    ground, direction = district.polygon, district.direction
    left, top, right, bottom = ground.bounds
    reach = float(np.hypot(right - left, bottom - top)) + max(targets)
    window = shapely.intersection(shapely.box(0, 0, width, height), ground)
    middle = np.array([left + right, top + bottom]) / 2 + rng.uniform(-0.5, 0.5, 2) * min(targets)
    open_ = [(rectangle(float(middle[0]), float(middle[1]), reach + targets[0], reach + targets[1], direction), 0)]
    blocks = []
    while open_:
        polygon, cuts = open_.pop()
        if not polygon.intersects(window):
            continue
        gap = street * (2.0 if cuts < 2 else 1.0) * rng.uniform(0.8, 1.2)
        halves = _halves(polygon, direction, targets, gap, rng)
        if halves is None:
            block = shapely.intersection(polygon, ground)
            if isinstance(block, shapely.Polygon) and block.area > _SMALLEST_BLOCK * targets[1] ** 2:
                blocks.append(District(block, direction))
        else:
            open_ += [(half, cuts + 1) for half in halves]
            if cuts_made is not None and len(halves) == 2:
                cuts_made.append(Street(_between(halves, gap), gap))
    return blocks


def cut_into_rows(block: District) -> list[Row]:
    """Both rows of a block, back to back."""
    (along, front), (_, other) = _fronts(block)
    halves = _cut(block.polygon, front, 0.5, 0.0)
    if len(halves) < 2:
        return [as_one_row(block)]
    return [Row(halves[1], along, front), Row(halves[0], along, other)]


def as_one_row(block: District) -> Row:
    """A whole block as a row, for what is too deep for half of it."""
    return Row(block.polygon, *_fronts(block)[0])


def _fronts(block: District) -> list[tuple[np.ndarray, np.ndarray]]:
    """Direction of a block's long side nearest to the town's, and the ways to the streets on either side of it."""
    corners = shapely.get_coordinates(block.polygon.exterior)
    edges = np.diff(corners, axis=0)
    direction = [np.cos(block.direction), np.sin(block.direction)]
    edges = edges * np.where(edges @ direction < 0, -1, 1)[:, None]
    longest = edges[np.argmax(edges @ direction)]
    along = longest / np.hypot(*longest)
    front = np.array([-along[1], along[0]])
    return [(along, front), (along, -front)]


def _halves(
    polygon: shapely.Polygon, direction: float, targets: tuple[float, float], gap: float, rng: np.random.Generator
) -> list[shapely.Polygon] | None:
    """A convex polygon cut in two, ``gap`` apart, where it exceeds its target length or depth; ``None`` when it does not."""
    corners = shapely.get_coordinates(polygon.exterior)
    along = np.array([np.cos(direction), np.sin(direction)])
    axes = (along, np.array([-along[1], along[0]]))
    ratios = [float(np.ptp(corners @ axis)) / target for axis, target in zip(axes, targets, strict=True)]
    most = int(np.argmax(ratios))
    if ratios[most] <= _LONGEST:
        return None
    # A cut at a whole number of targets leaves pieces that come out even.
    share = max(1, round(ratios[most] / 2)) / max(2, round(ratios[most])) + rng.uniform(-_UNEVEN, _UNEVEN) / ratios[most]
    return _cut(polygon, axes[most], share, gap, rng.normal(0, _BEND))


def _between(halves: list[shapely.Polygon], gap: float) -> shapely.LineString:
    """The middle of the strip between both parts of a polygon, as far as they face each other."""
    near = shapely.shortest_line(*halves)
    (x0, y0), (x1, y1) = shapely.get_coordinates(near)
    across = np.array([x1 - x0, y1 - y0]) / max(near.length, 1e-12)
    middle, along = np.array([x0 + x1, y0 + y1]) / 2, np.array([-across[1], across[0]])
    corners = np.concatenate([shapely.get_coordinates(half.exterior) for half in halves]) - middle
    facing = (corners @ along)[np.abs(corners @ across) < 0.51 * gap]
    return shapely.LineString([middle + along * facing.min(), middle + along * facing.max()])


def _cut(polygon: shapely.Polygon, axis: np.ndarray, share: float, gap: float, bend: float = 0.0) -> list[shapely.Polygon]:
    """Both parts of a convex polygon on either side of a strip of width ``gap``, ``share`` of the way along ``axis``."""
    cos, sin = np.cos(bend), np.sin(bend)
    axis = np.array([cos * axis[0] - sin * axis[1], sin * axis[0] + cos * axis[1]])
    corners = shapely.get_coordinates(polygon.exterior)
    reach = corners @ axis
    side = np.array([-axis[1], axis[0]])
    far = 2 * float(np.ptp(corners[:, 0]) + np.ptp(corners[:, 1]))
    centre = corners[:-1].mean(axis=0)
    centre = centre + axis * (reach.min() + np.ptp(reach) * share - centre @ axis)
    halves = []
    for sign in (-1, 1):
        start = centre + sign * axis * gap / 2
        end = start + sign * axis * far
        half = shapely.intersection(
            polygon, shapely.Polygon([start + side * far, start - side * far, end - side * far, end + side * far])
        )
        if isinstance(half, shapely.Polygon) and not half.is_empty:
            halves.append(half)
    return halves
