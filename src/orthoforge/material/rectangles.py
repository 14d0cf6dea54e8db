"""The rectangle that a building nearly is: where it lies, how large and in which direction."""

from dataclasses import dataclass

import numpy as np
import shapely
from scipy import ndimage


@dataclass(frozen=True)
class Rectangle:
    """``width`` px along the axis at ``angle`` (radians from the direction of columns to that of rows, within ±45°), ``height``
    across; ``row`` and ``col`` are its centre, counted in pixels from the middle of the array's first one. ``fill`` is the share of
    it that the building covers."""

    row: float
    col: float
    width: float
    height: float
    angle: float
    fill: float

    def moved(self, rows: float, cols: float) -> "Rectangle":
        """The same, so much further down and to the right."""
        return Rectangle(self.row + rows, self.col + cols, self.width, self.height, self.angle, self.fill)

    def quarter_turned(self, quarters: int) -> "Rectangle":
        """The same with its axis turned back by so many right angles: ``angle`` is then beyond 45°."""
        width, height = (self.height, self.width) if quarters % 2 else (self.width, self.height)
        return Rectangle(self.row, self.col, width, height, self.angle - quarters * np.pi / 2, self.fill)

    def local(self, rows: np.ndarray, cols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates along and across its axis from its centre, in px, of places (rows, cols)."""
        right, down = cols - self.col, rows - self.row
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return cos * right + sin * down, -sin * right + cos * down

    def place(self, along: np.ndarray, across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The inverse of ``local``: rows and columns."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return self.row + sin * along + cos * across, self.col + cos * along - sin * across


def rectangle_of(own: np.ndarray) -> Rectangle:
    """The smallest rectangle around the pixels of one building, (h, w) bool with at least one of them."""
    rows, cols = np.nonzero(own & ~ndimage.binary_erosion(own))
    around = shapely.oriented_envelope(shapely.multipoints(np.column_stack([cols, rows]).astype(float)))
    centre = shapely.get_coordinates(shapely.centroid(around))[0]
    corners = shapely.get_coordinates(around)  # 5 of a rectangle, 2 of a line, 1 of a point
    sides = [np.zeros(2), np.zeros(2)]
    if len(corners) > 2:
        sides = [corners[1] - corners[0], corners[2] - corners[1]]
    elif len(corners) == 2:
        sides[0] = corners[1] - corners[0]
    angles = [np.arctan2(side[1], side[0]) for side in sides]
    longest = int(np.hypot(*sides[1]) > np.hypot(*sides[0]))
    angle = (angles[longest] + np.pi / 4) % (np.pi / 2) - np.pi / 4
    quarter_turned = np.abs(np.sin(angles[longest] - angle)) > 0.5
    lengths = [float(np.hypot(*sides[longest])) + 1, float(np.hypot(*sides[1 - longest])) + 1]
    width, height = lengths[::-1] if quarter_turned else lengths
    return Rectangle(centre[1], centre[0], width, height, float(angle), float(own.sum()) / (width * height))
