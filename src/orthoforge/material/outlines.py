"""Outlines of buildings: lines in place of the stairs of the mask's pixels, and of its former pixels where it was enlarged."""

import numpy as np
import shapely
from affine import Affine

from orthoforge.geo.grid import Grid
from orthoforge.vectors.outlines import SIMPLIFY_PX, footprints_of

_LEAST_PX = 12.0
_OFF_OF_SIDE, _MOST_OFF_PX = 0.04, 1.5  # so far off the mask's pixels an outline may lie, of the side of a square of its size
_LEAST_STEP_PX = 2.0  # shorter steps are those of the mask's own pixels
_MOST_STEP_PX = 16.0
_STAIRS = 8  # sides has an outline at least that has stairs; a rectangle has 4
_SINGLE = 0.4  # of the sides of stairs are one former pixel long: half of them, without the corners
_TRIED = np.linspace(0.96, 1.04, 5)  # times the mean of the short steps, which tells their length roughly
_OFF_PX = 0.5  # so far off the outline is that its former pixels tell, in the mean, where the mask was enlarged by a fraction


def outline_of(own: np.ndarray) -> shapely.Polygon | None:
    """The outline of one building, (h, w) bool up to its bounds, in pixels from their corner; ``None`` for one of a few pixels."""
    enlarged = line_outline(own)
    if enlarged is not None:
        return enlarged
    # Labels are drawn by hand, walls are straight.
    off = float(np.clip(_OFF_OF_SIDE * np.sqrt(own.sum()), SIMPLIFY_PX, _MOST_OFF_PX))
    return _largest(
        footprints_of(own, grid=Grid(own.shape[0], own.shape[1], Affine.identity()), simplify_px=off, least_px=_LEAST_PX)
    )


def _largest(found: list[shapely.Polygon]) -> shapely.Polygon | None:
    return max(found, key=lambda polygon: polygon.area) if found else None


def line_outline(own: np.ndarray) -> shapely.Polygon | None:
    """The outline of one building, (h, w) bool up to its bounds, in pixels from their corner; ``None`` where it has no large steps.

    As footprints have it that are made of the mask before it was enlarged.
    """
    steps = _steps(own)
    shortest = np.quantile(steps, 0.1)
    single = steps[steps < 2 * shortest]
    if shortest < _LEAST_STEP_PX or len(steps) < _STAIRS or len(single) < _SINGLE * len(steps):
        return None
    about = min(float(single.mean()), _MOST_STEP_PX)
    tried = {tuple(max(1, round(side / step)) for side in own.shape) for step in about * _TRIED}
    off, former = min((_reduced(own, sides) for sides in sorted(tried)), key=lambda found: found[0])
    if off > _OFF_PX * steps.sum():
        return None
    scale = Affine.scale(own.shape[1] / former.shape[1], own.shape[0] / former.shape[0])
    found = footprints_of(former, grid=Grid(former.shape[0], former.shape[1], scale), least_px=1)
    return _largest(found)


def _reduced(own: np.ndarray, sides: tuple[int, ...]) -> tuple[int, np.ndarray]:
    """A building in so many pixels each way; before it, in how many of its present ones it is another when enlarged again."""
    at = [((np.arange(count) + 0.5) * side / count).astype(int) for count, side in zip(sides, own.shape, strict=True)]
    former = own[np.ix_(*at)]
    back = [np.arange(side) * count // side for count, side in zip(sides, own.shape, strict=True)]
    return int((former[np.ix_(*back)] != own).sum()), former


def _steps(own: np.ndarray) -> np.ndarray:
    """Lengths of the straight parts of the outline along pixels' sides."""
    framed = np.zeros((own.shape[0] + 2, own.shape[1] + 2), np.int8)
    framed[1:-1, 1:-1] = own
    lengths = []
    for edge in (np.diff(framed, axis=0), np.ascontiguousarray(np.diff(framed, axis=1).T)):
        for side in (edge > 0, edge < 0):
            ends = np.flatnonzero(np.diff(side.view(np.int8).ravel()))  # each line begins and ends beside the building
            lengths.append(ends[1::2] - ends[::2])
    return np.concatenate(lengths)
