"""Wings: the rectangles of which a building of any outline is made, such as the two of an L."""

import numpy as np
from scipy import ndimage

from orthoforge.material.rectangles import Rectangle, rectangle_of

_MOST_WINGS = 6
_WHOLE = 0.88  # of its rectangle: a building that covers more has one wing
_LEAST_PX = 150  # smaller buildings have one wing
_CELLS = 44  # along the longer side of what a building is divided by
_LEAST_SHARE = 0.05  # of the building is a wing, and so little may be left
_LEAST_SIDE_PX = 6.0
_INSIDE = 0.85  # of a line of cells beside a wing that is the building's: it is the wing's too


def wings_of(own: np.ndarray) -> list[Rectangle]:
    """The wings of one building, (h, w) bool with at least one pixel: the largest first, those after it reach into it.

    All lie in the direction of the smallest rectangle around the building. What no wing covers is left out.
    """
    around = rectangle_of(own)
    if around.fill >= _WHOLE or own.sum() < _LEAST_PX:
        return [around]
    step = max(1.0, max(around.width, around.height) / _CELLS)
    along, across = (
        (np.arange(round(side / step)) + 0.5) * (side / round(side / step)) - side / 2 for side in (around.width, around.height)
    )
    cells = ndimage.map_coordinates(own, around.place(*np.meshgrid(along, across)), order=0, mode="grid-constant")
    cells = ndimage.binary_closing(np.pad(cells, 2))[2:-2, 2:-2]
    size = around.width / len(along), around.height / len(across)
    found: list[Rectangle] = []
    left = cells.copy()
    while len(found) < _MOST_WINGS and left.sum() > _LEAST_SHARE * cells.sum():
        top, bottom, first, last = _grown(_largest(left), cells, left)
        height, width = bottom - top, last - first
        if found and (min(height * size[1], width * size[0]) < _LEAST_SIDE_PX or height * width < _LEAST_SHARE * cells.sum()):
            break
        row, col = around.place(
            np.array((first + last) / 2 * size[0] - around.width / 2), np.array((top + bottom) / 2 * size[1] - around.height / 2)
        )
        fill = float(cells[top:bottom, first:last].mean())
        found.append(Rectangle(float(row), float(col), width * size[0], height * size[1], around.angle, fill))
        left[top:bottom, first:last] = False
    return found


def nearest_wing(wings: list[Rectangle], rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Which wing each place (rows, cols) is of: the one whose gable is highest there, so that two meet along a valley."""
    return np.argmax([_height(wing, rows, cols) for wing in wings], axis=0)


def _height(wing: Rectangle, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """How far inside of its long sides a place lies; outside of the wing, how far from it, below nought."""
    along, across = wing.local(rows, cols)
    from_ends, from_sides = wing.width / 2 - np.abs(along), wing.height / 2 - np.abs(across)
    gable = from_sides if wing.width >= wing.height else from_ends
    outside = np.hypot(np.minimum(from_ends, 0), np.minimum(from_sides, 0))
    return np.where(outside > 0, -outside, gable)


def _largest(free: np.ndarray) -> tuple[int, int, int, int]:
    """The largest rectangle of cells that are all ``free``: top, bottom, first and last column, the ends excluded."""
    height, width = free.shape
    rows, cols = np.arange(height, dtype=np.int32)[:, None], np.arange(width, dtype=np.int32)
    tall = rows - np.maximum.accumulate(np.where(free, np.int32(-1), rows), axis=0)  # free cells from here upwards
    # Of each row (H), last column (W) and first one (W, the rightmost first): how tall it is, how wide, and how large.
    firsts = cols[::-1]
    begun = cols[:, None] >= firsts
    lower = np.minimum.accumulate(np.where(begun, tall[:, :, None], np.int32(height)), axis=1)
    area = lower * np.maximum(cols[:, None] - firsts + 1, 0)
    row, last, at = np.unravel_index(int(area.argmax()), area.shape)
    if not area[row, last, at]:
        return 0, 1, 0, 1
    return int(row - lower[row, last, at] + 1), int(row + 1), int(firsts[at]), int(last + 1)


def _grown(part: tuple[int, int, int, int], cells: np.ndarray, left: np.ndarray) -> tuple[int, int, int, int]:
    """A rectangle of cells with the lines beside it that are mostly the building's.

    Into other wings it goes by half its own breadth: so far gables of one slope reach into each other.
    """
    top, bottom, first, last = part
    into = max(1, min(bottom - top, last - first) // 2)
    for side in range(4):
        entered = 0
        while True:
            line = (
                (slice(top - 1, top), slice(first, last)),
                (slice(bottom, bottom + 1), slice(first, last)),
                (slice(top, bottom), slice(first - 1, first)),
                (slice(top, bottom), slice(last, last + 1)),
            )[side]
            at_end = (top == 0, bottom == cells.shape[0], first == 0, last == cells.shape[1])[side]
            if at_end or cells[line].mean() < _INSIDE:
                break
            entered += left[line].mean() < 0.5
            if entered > into:
                break
            top, bottom, first, last = top - (side == 0), bottom + (side == 1), first - (side == 2), last + (side == 3)
    return top, bottom, first, last
