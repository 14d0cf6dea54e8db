"""Shapes: how a building fills the rectangle around it, and how alike two buildings are in it."""

import numpy as np
from scipy import ndimage

from orthoforge.material.rectangles import Rectangle

CELLS = 16


def shape_of(own: np.ndarray, around: Rectangle) -> np.ndarray:
    """(CELLS, CELLS) bool: which cells of the rectangle ``around`` a building, (h, w) bool, covers at their middle."""
    middles = (np.arange(CELLS) + 0.5) / CELLS - 0.5
    places = around.place(*np.meshgrid(middles * around.width, middles * around.height))
    return ndimage.map_coordinates(own, places, order=0, mode="grid-constant")


def likeness(shape: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of a shape with each of ``others`` (N, CELLS, CELLS), their rectangles laid on each other."""
    both = (others & shape).sum(axis=(1, 2))
    return both / np.maximum((others | shape).sum(axis=(1, 2)), 1)
