"""The footprints of a place as ``recombine`` draws from them: each with its row, its gap and its neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from orthoforge.forging.measuring import border_distance, nearest_centres
from orthoforge.forging.shapes import Layout

_KEPT_NEIGHBOURS = 12
# A whole building is seen the less the larger it is. Its weight makes up for that, up to this much.
MOST_WEIGHT = 4.0


@dataclass(frozen=True)
class Library:
    """The whole buildings of a place and how each stands to its neighbours. Arrays have a row a building."""

    layouts: tuple[Layout, ...]
    scene: np.ndarray
    polygon: np.ndarray
    centre: np.ndarray
    area: np.ndarray
    gap: np.ndarray
    """Distance that it keeps."""
    street: np.ndarray
    """Direction of its row in radians, 0 to pi: along it stand its nearest neighbours."""
    weight: np.ndarray
    """How much oftener it would have been seen, were no building ever cut; at most 4."""
    neighbours: tuple[np.ndarray, ...]
    """Rows of its nearest neighbours, nearest first; none in a scene of its own."""
    by_area: np.ndarray
    """Rows by area."""
    rank: np.ndarray

    def __len__(self) -> int:
        return len(self.polygon)


def library_of(layouts: Sequence[Layout]) -> Library:
    """Everything that ``recombine`` draws from."""
    scene, gap, street, weight, neighbours = [], [], [], [], []
    start = 0
    for number, layout in enumerate(layouts):
        whole = np.flatnonzero(~layout.cut)
        nearest = nearest_centres(layout, whole, _KEPT_NEIGHBOURS)
        scene.append(np.full(len(whole), number))
        gap.append(np.minimum(layout.spacing, border_distance(layout))[whole])
        street.append(_streets(layout, whole, nearest))
        high, wide = np.ptp(shapely.bounds(layout.polygons[whole]).reshape(-1, 2, 2), axis=1).T[::-1]
        seen = np.maximum((1 - wide / layout.width) * (1 - high / layout.height), 1 / MOST_WEIGHT)
        weight.append(1 / seen)
        neighbours += [start + row for row in nearest]
        start += len(whole)
    area = np.concatenate([layout.area[~layout.cut] for layout in layouts])
    by_area = np.argsort(area, kind="stable")
    return Library(
        tuple(layouts),
        np.concatenate(scene),
        np.concatenate([layout.polygons[~layout.cut] for layout in layouts]),
        np.concatenate([layout.centre[~layout.cut] for layout in layouts]),
        area,
        np.concatenate(gap),
        np.concatenate(street),
        np.concatenate(weight),
        tuple(neighbours),
        by_area,
        np.argsort(by_area, kind="stable"),
    )


def _streets(layout: Layout, whole: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """Each building's row direction: its neighbourhood's orientation, of the two at a right angle the one along its neighbours."""
    if not nearest.shape[1]:
        return layout.angle[whole].copy()
    elongation = layout.sides[whole, 0] / layout.sides[whole, 1]
    own = elongation * np.exp(4j * layout.angle[whole])
    common = np.angle(own + own[nearest[:, :3]].sum(axis=1)) / 4
    points = layout.centre[whole]
    offsets = points[nearest[:, :2]] - points[:, None]
    row = np.exp(2j * np.arctan2(offsets[..., 1], offsets[..., 0])).sum(axis=1)
    along = np.cos(2 * common) * row.real + np.sin(2 * common) * row.imag
    return np.where(along >= 0, common, common + np.pi / 2) % np.pi
