"""Edges: buildings of a mask as lines, and how much of each pixel their roofs cover, so that no roof has the stairs of pixels."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import shapely
from scipy import ndimage
from shapely import affinity

from orthoforge.geo.buildings import Buildings
from orthoforge.geo.grid import Window
from orthoforge.material.lately import Lately
from orthoforge.material.outlines import outline_of
from orthoforge.vectors.outlines import in_one_environment

LARGEST_PX = 2048  # longer buildings keep the stairs of the mask
SOFT_PX = 0.4  # a camera's blur
_SAMPLES = 4  # each way in a pixel that an outline crosses
_BEYOND_PX = 4  # so far a building that the mask cuts off is taken to go on
_TOUCH_PX, MEETING_PX = 5, 2
_EDGE_PX, _EDGE_SLOPE = 1.8, 3.0
_THIN_PX = 5
_LEAST_COVER = 0.2  # of a building's pixel
_KEPT_OUTLINES = 10_000  # of 2 KB
_FAR = np.iinfo(np.int32).max


@dataclass
class Edges:
    """Outlines of ``buildings``, in absolute pixels; ``own`` gives the pixels of one, (h, w) bool within its bounds.

    What was looked at lately is remembered, or where this ``keeps`` it, all.
    """

    buildings: Buildings
    own: Callable[[int], np.ndarray]
    keeps: bool = False

    def __post_init__(self) -> None:
        self.outlines = Lately[int, shapely.Polygon | None](math.inf if self.keeps else _KEPT_OUTLINES)

    def keep(self, before: "Edges", numbers: Mapping[int, int]) -> None:
        """Take over outlines of another mask, by their ``numbers`` there and here."""
        self.outlines.take((numbers[then], outline) for then, outline in before.outlines.kept() if then in numbers)

    def drawn(self, ids: np.ndarray, window: Window) -> np.ndarray:
        """``ids`` (h, w) of a window in absolute pixels, each building inside of its outline. Where two touch, they do, also across
        a crack."""
        drawn, touching = ids.copy(), _touching(ids)
        numbers = _numbers(ids)
        with in_one_environment():
            outlines = [self._outline(number - 1) for number in numbers]
        for number, outline in zip(numbers, outlines, strict=True):
            if outline is None:
                continue
            box, rows, cols = self._box(number - 1, window)
            inside = shapely.contains_xy(outline, *np.meshgrid(cols + 0.5, rows + 0.5))
            drawn[box][(ids[box] == number) & ~inside & ~touching[box]] = 0
            drawn[box][inside & (ids[box] == 0)] = number
        return _without_cracks(drawn)

    def covered(self, ids: np.ndarray, window: Window) -> np.ndarray:
        """(h, w) float32: how much of each pixel roofs cover, where ``ids`` are those that are ``drawn``."""
        cover = np.zeros(ids.shape, np.float32)
        with_stairs = np.zeros(len(self.buildings.bbox) + 1, bool)
        for number in _numbers(ids):
            outline = self._outline(number - 1)
            with_stairs[number] = outline is None
            if outline is not None:
                box, rows, cols = self._box(number - 1, window, beyond=2)
                cover[box] += _cover(outline, rows, cols)
        cover = ndimage.gaussian_filter(np.minimum(cover, 1), SOFT_PX, truncate=3)
        return np.where(_touching(ids) | with_stairs[ids], softly(ids > 0), cover)

    def meeting(self, ids: np.ndarray, window: Window) -> dict[int, tuple[tuple[np.ndarray, np.ndarray], np.ndarray]]:
        """For each building that touches others, by its number in ``ids``, rows and columns of pixels where it does, and how much
        of each is its own, in sum 1.

        They meet along the line that is as far from the outline of the one as from that of the other.
        """
        meets = (ids > 0) & _touching(ids)
        inside: dict[int, tuple[tuple[np.ndarray, np.ndarray], np.ndarray]] = {}
        most, second = (np.full(ids.shape, -np.inf, np.float32) for _ in range(2))
        for number in _numbers(ids[meets]):
            box, rows, cols = self._box(number - 1, window, beyond=MEETING_PX)
            is_own = ids[box] == number
            near = np.nonzero(meets[box] & ndimage.binary_dilation(is_own, iterations=MEETING_PX))
            at = near[0] + box[0].start, near[1] + box[1].start
            deep = self._deep(number - 1, rows[near[0]], cols[near[1]], is_own[near])
            inside[number] = at, deep
            second[at] = np.maximum(second[at], np.minimum(most[at], deep))
            most[at] = np.maximum(most[at], deep)
        shares = {}
        in_all = np.zeros(ids.shape, np.float32)
        for number, (at, deep) in inside.items():
            other = np.where(deep == most[at], second[at], most[at])
            share = np.clip(0.5 + (deep - other) / 2, 0, 1)
            shares[number] = at, share
            in_all[at] += share
        return {number: (at, share / in_all[at]) for number, (at, share) in shares.items()}

    def _deep(self, building: int, rows: np.ndarray, cols: np.ndarray, is_own: np.ndarray) -> np.ndarray:
        """(n,) float32: how far inside of a building's outline pixels are; outside of it, below nought."""
        outline = self._outline(building)
        if outline is None:
            return np.where(is_own, 0.5, -0.5).astype(np.float32)
        points = shapely.points(cols + 0.5, rows + 0.5)
        within = shapely.contains_xy(outline, cols + 0.5, rows + 0.5)
        return (shapely.distance(outline.boundary, points) * np.where(within, 1, -1)).astype(np.float32)

    def _box(self, building: int, window: Window, beyond: int = 0) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
        """The part of a window that a building's bounds take, and its rows and columns."""
        row, col, height, width = self.buildings.bbox[building].tolist()
        rows = np.arange(max(row - beyond, window.row), min(row + height + beyond, window.row + window.height))
        cols = np.arange(max(col - beyond, window.col), min(col + width + beyond, window.col + window.width))
        first = rows[0] - window.row, cols[0] - window.col
        return (slice(first[0], first[0] + len(rows)), slice(first[1], first[1] + len(cols))), rows, cols

    def _outline(self, building: int) -> shapely.Polygon | None:
        return self.outlines.of(building, self._outlined)

    def _outlined(self, building: int) -> shapely.Polygon | None:
        row, col, height, width = self.buildings.bbox[building].tolist()
        if max(height, width) > LARGEST_PX:
            return None
        more = self._cut_off(row, col, height, width)
        outline = outline_of(np.pad(_whole(self.own(building)), more, mode="edge"))
        outline = outline and affinity.translate(outline, col - more[1][0], row - more[0][0])
        shapely.prepare(outline)
        return outline

    def _cut_off(self, row: int, col: int, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """By how many pixels a building goes on beyond the mask: above and below, left and right."""
        (top, left), (rows, cols) = self.buildings.origin, self.buildings.shape
        return (
            (_BEYOND_PX * (row == top), _BEYOND_PX * (row + height == top + rows)),
            (_BEYOND_PX * (col == left), _BEYOND_PX * (col + width == left + cols)),
        )


def softly(inside: np.ndarray) -> np.ndarray:
    """(h, w) float32: how much roofs cover of each pixel of a mask. Short stairs become lines; what is thin is not lost."""
    edge = ndimage.gaussian_filter(inside.astype(np.float32), _EDGE_PX, truncate=3)
    alpha = np.clip(_EDGE_SLOPE * (edge - 0.5) + 0.5, 0, 1)
    thick = ndimage.binary_opening(inside, np.ones((_THIN_PX, _THIN_PX), bool))
    least = np.where(thick, _LEAST_COVER, 0.5)
    return np.where(inside, np.maximum(alpha, least), np.minimum(alpha, 1 - _LEAST_COVER)).astype(np.float32)


def _cover(outline: shapely.Polygon, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """(h, w) float32: the share of each pixel that lies inside an outline."""
    inside = shapely.contains_xy(outline, *np.meshgrid(cols + 0.5, rows + 0.5))
    edge = ndimage.binary_dilation(inside, iterations=2) & ~ndimage.binary_erosion(inside, iterations=2)
    at = np.nonzero(edge)
    part = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    down, along = np.meshgrid(part, part, indexing="ij")
    within = shapely.contains_xy(outline, cols[at[1]][:, None] + along.ravel(), rows[at[0]][:, None] + down.ravel())
    share = inside.astype(np.float32)
    share[at] = within.mean(axis=1)
    return share


def _touching(ids: np.ndarray) -> np.ndarray:
    """(h, w) bool: where two buildings are so near that nothing lies between them."""
    most = ndimage.maximum_filter(ids, _TOUCH_PX)
    return (most > 0) & (ndimage.minimum_filter(np.where(ids > 0, ids, _FAR), _TOUCH_PX) != most)


def _without_cracks(ids: np.ndarray) -> np.ndarray:
    """``ids`` (h, w) without cracks between buildings, which belong to the nearest."""
    cracks = _whole(ids > 0) & (ids == 0)
    if not cracks.any():
        return ids
    rows, cols = ndimage.distance_transform_edt(ids == 0, return_distances=False, return_indices=True)
    return np.where(cracks, ids[rows, cols], ids)


def _whole(built: np.ndarray) -> np.ndarray:
    """What is ``built`` (h, w), without cracks and holes of a pixel: a mask has broken lines between houses, which would be rows of
    dots."""
    ground = np.ones((built.shape[0] + 2, built.shape[1] + 2), bool)
    ground[1:-1, 1:-1] = ~built
    lines = ground[1:] & ground[:-1]
    squares = lines[:, 1:] & lines[:, :-1]  # of 2 × 2 px that are all ground
    lines = squares[1:] | squares[:-1]
    return ~(lines[:, 1:] | lines[:, :-1])


def _numbers(ids: np.ndarray) -> list[int]:
    numbers: list[int] = np.unique(ids).tolist()
    return [number for number in numbers if number > 0]
