"""Plain roofs: of one colour all over, or of one on each slope, as halls have. Such a roof may be made as large as is wanted."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from orthoforge.material.rectangles import Rectangle

WALL_PX = 0.8
_LEAST_SIDE_PX, _LEAST_PX2 = 19, 700
_LEAST_FILL, _MOST_FOLIAGE = 0.85, 0.05
_MOST_OFF, _MOST_MARKED = 12.5, 40.0  # levels: in the mean, and all but some marks
_MARKS = 0.01
_MOST_OBLIQUE = 5.2  # levels
_EDGE_PX = 2  # beside the walls is not judged
_SMOOTH_PX = 1.0
_PITCHED = 0.75  # of what a roof is off one colour it is off one on each of two slopes, or less
FLAT, ALONG, ACROSS = 0, 1, 2


@dataclass(frozen=True)
class Plainness:
    """By how many levels a roof is ``off`` one colour on each slope; its ``ridge`` runs ALONG its rectangle's axis or ACROSS it, or
    it is FLAT.

    By ``oblique`` levels it is off what has one colour in each row and in each column of a slope: by hips, wires and spots.
    """

    off: float
    ridge: int
    oblique: float

    @property
    def is_regular(self) -> bool:
        """Whether pieces of it lie beside each other unseen."""
        return self.oblique <= _MOST_OBLIQUE

    def quarter_turned(self, quarters: int) -> "Plainness":
        """That of the same roof with its axis turned back by so many right angles."""
        return replace(self, ridge=ACROSS + ALONG - self.ridge) if quarters % 2 and self.ridge != FLAT else self


def plainness_of(image: np.ndarray, rectangle: Rectangle, foliage: float) -> Plainness | None:
    """How plain the roof on a ``rectangle`` of an image (S, S, B) is; ``None`` where it is too small, green or varied."""
    small = min(rectangle.width, rectangle.height) < _LEAST_SIDE_PX or rectangle.width * rectangle.height < _LEAST_PX2
    if small or rectangle.fill < _LEAST_FILL or foliage > _MOST_FOLIAGE:
        return None
    inner = upright(image, rectangle)[_EDGE_PX:-_EDGE_PX, _EDGE_PX:-_EDGE_PX]
    smoothed = ndimage.gaussian_filter(inner, (_SMOOTH_PX, _SMOOTH_PX, 0))
    found = [(*_off(slopes_of_picture(smoothed, ridge)), ridge) for ridge in (FLAT, ALONG, ACROSS)]
    flat, pitched = found[0], min(found[1:])
    off, marks, ridge = pitched if pitched[0] < _PITCHED * flat[0] else flat
    if off > _MOST_OFF or marks > _MOST_MARKED:
        return None
    return Plainness(off, ridge, _oblique(slopes_of_picture(smoothed, ridge)))


def upright(image: np.ndarray, rectangle: Rectangle) -> np.ndarray:
    """(h, w, B) float32: what an image (S, S, B) shows on a rectangle but for its walls, its axis to the right, pixel by pixel."""
    width, height = inner_sides(rectangle)
    cols, rows = (((np.arange(round(side)) + 0.5) / round(side) - 0.5) * side for side in (width, height))
    places = np.stack(rectangle.place(*np.meshgrid(cols, rows)))
    bands = np.moveaxis(image, 2, 0).astype(np.float32)
    return np.stack([ndimage.map_coordinates(band, places, order=1, mode="nearest") for band in bands], axis=-1)


def inner_sides(rectangle: Rectangle) -> tuple[float, float]:
    """Width and height of a source without its walls: their pixels show what lies beside them too."""
    width, height = (side - min(2 * WALL_PX, 0.2 * side) for side in (rectangle.width, rectangle.height))
    return width, height


def slopes_of_picture(picture: np.ndarray, ridge: int) -> list[np.ndarray]:
    """The slopes of a roof's picture (h, w, B), as views: two on both sides of its middle, or itself."""
    if ridge == FLAT:
        return [picture]
    axis = 0 if ridge == ALONG else 1
    middle = picture.shape[axis] // 2
    return [picture[:middle], picture[middle:]] if axis == 0 else [picture[:, :middle], picture[:, middle:]]


def _off(slopes: list[np.ndarray]) -> tuple[float, float]:
    """What colours are off that of their slope, in levels: the root mean square, and that of a hundredth of the pixels or less."""
    squares = np.concatenate([((slope - slope.mean(axis=(0, 1))) ** 2).mean(axis=2).ravel() for slope in slopes])
    return float(np.sqrt(squares.mean())), float(np.sqrt(np.quantile(squares, 1 - _MARKS)))


def _oblique(slopes: list[np.ndarray]) -> float:
    """By how many levels colours are off what rows and columns of their slope have in common, the root mean square."""
    left = [slope - np.median(slope, axis=0, keepdims=True) for slope in slopes]
    squares = np.concatenate([((off - np.median(off, axis=1, keepdims=True)) ** 2).ravel() for off in left])
    return float(np.sqrt(squares.mean()))
