"""Where the buildings of a mask belong, by what a segmenter says of the image: pure functions on arrays.

A building's evidence for a shift is the mean log-odds of building under its pixels there, less that in a ring around them. A
shift is believed by that evidence and by how far labels lie off as a rule: a normal distribution about the shift that a building
shares with its neighbours. How wide it is follows from the evidence of all buildings together (the largest marginal likelihood),
so where labels fit their images, it is narrow and nothing moves. The shared shift is looked for first, with every building's own
shift left open.

That a mask's buildings can be moved by what networks learned from the same masks, round by round, is shown by Girard, Charpiat and
Tarabalka (2019, arXiv:1903.06529). The search here is another one: no displacement is regressed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.signal import correlate
from scipy.spatial import cKDTree

# How much a difference of 1 in mean log-odds says, in log-likelihood. Pixels of one roof agree, so it is far less than their
# number. Chosen on training tiles of one place (bench/realign.py).
TRUST = 5.0
_RING_M = 3.0
# Standard deviations of shifts that are looked for, in metres: from labels that fit to labels that lie off by a house.
SPREADS_M = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
_NEIGHBOURS_M = 60.0
# How likely it is that what is seen of a building misleads: a tree, another roof.
_MISLED = 0.05
# A shift of less is not worth it, and no more than what the best place jitters by.
_LEAST_SHIFT_M = 0.6
# How likely it is beforehand that neighbours share a shift at all. All within reach are then alike.
_SHARING = 0.1
_MOST_SWEEPS = 8
# A place is sure where the other believed shifts lie within this of the best one, as a root mean square, ...
_SURE_WITHIN_M = 2.5
# ... and where the segmenter sees a building at all: mean log-odds under its pixels less those around them.
_SEEN = 0.5
# What a segmenter finds beyond the mask: log-odds of its pixels, metres from the mask's buildings, the radius that it is rounded
# by, m².
_FOUND, _BESIDE_M, _ROUNDING_M, _LEAST_M2 = 0.0, 1.5, 1.5, 25.0
# A building stays where a better place is better by less, in log-likelihood.
_LEAST_GAIN = 0.5


@dataclass(frozen=True)
class Building:
    """A building of a mask: its pixels (h, w) bool, and the row and column of their first corner."""

    pixels: np.ndarray
    row: int
    col: int

    @property
    def area(self) -> int:
        """Its pixels."""
        return int(self.pixels.sum())

    @property
    def centre(self) -> tuple[float, float]:
        """Row and column of its centroid, counted from the edges of pixels."""
        rows, cols = np.nonzero(self.pixels)
        return self.row + float(rows.mean()) + 0.5, self.col + float(cols.mean()) + 0.5


@dataclass(frozen=True)
class Evidence:
    """What a segmenter says of a building at each shift of up to R pixels, (2R + 1, 2R + 1), rows first.

    ``contrast`` is the mean log-odds under its pixels less that in a ring around them, ``inside`` the first alone.
    """

    contrast: np.ndarray
    inside: np.ndarray

    @property
    def log_likelihood(self) -> np.ndarray:
        """How likely what is seen is, up to a constant. It may mislead: then it says nothing of the shift."""
        said = np.exp(TRUST * (self.contrast - self.contrast.max()))
        return np.asarray(np.log((1 - _MISLED) * said / said.sum() + _MISLED / said.size))


@dataclass(frozen=True)
class Placed:
    """Where each of n buildings belongs: ``shift`` (n, 2) in pixels, rows first.

    ``sure`` (n,) says whether its place is. ``before`` and ``after`` (n,) are mean log-odds under the building where the mask had
    it and where it is put.
    """

    shift: np.ndarray
    sure: np.ndarray
    before: np.ndarray
    after: np.ndarray


def buildings_of(ids: np.ndarray) -> dict[int, Building]:
    """The building of each number from 1 on in ``ids`` (H, W) that has a pixel."""
    boxes = enumerate(ndimage.find_objects(ids), start=1)
    return {number: Building(ids[box] == number, box[0].start, box[1].start) for number, box in boxes if box is not None}


def evidence_of(building: Building, odds: np.ndarray, *, reach_px: int, gsd_m: float) -> Evidence:
    """The evidence in log-odds (H, W). Beyond the edge of a scene they are taken to go on as they end."""
    ring_px = max(1, round(_RING_M / gsd_m))
    wide = reach_px + ring_px
    height, width = building.pixels.shape
    around = _window(odds, building.row - wide, building.col - wide, height + 2 * wide, width + 2 * wide)
    pixels = np.pad(building.pixels, ring_px)
    ring = ndimage.binary_dilation(pixels, iterations=ring_px) & ~pixels
    inside, beside = (_sum_under(around, part) / part.sum() for part in (pixels, ring))
    return Evidence(inside - beside, inside)


def spread_scores(evidence: Sequence[Evidence], *, reach_px: int, gsd_m: float) -> np.ndarray:
    """How likely the evidence in a scene is, as a logarithm, for each of ``SPREADS_M``: the standard deviation, along rows and
    along columns, of shifts about the one that its buildings share, whatever that is."""
    shared = np.exp(_log_shared(reach_px))
    scores = np.zeros(len(SPREADS_M))
    for index, spread_m in enumerate(SPREADS_M if evidence else ()):
        said = _said_of_shared(evidence, gsd_m, spread_m).sum(axis=0)
        scores[index] = np.log((np.exp(said - said.max()) * shared).sum()) + said.max()
    return scores


def common_shifts(
    buildings: Sequence[Building], evidence: Sequence[Evidence], *, reach_px: int, gsd_m: float, spread_m: float
) -> np.ndarray:
    """The shift (n, 2) in pixels that each building shares with its neighbours, each of which may lie off by itself as well.

    Neighbours count by a normal distribution over their distance. Nothing is taken to be shared as long as little says so.
    """
    if not buildings:
        return np.zeros((0, 2), int)
    said, prior = _said_of_shared(evidence, gsd_m, spread_m).reshape(len(buildings), -1), _log_shared(reach_px).ravel()
    centres = np.array([building.centre for building in buildings]) * gsd_m
    near = cKDTree(centres).query_ball_point(centres, 3 * _NEIGHBOURS_M, return_sorted=True)
    best = np.empty(len(buildings), int)
    for index, (centre, others) in enumerate(zip(centres, near, strict=True)):
        weights = np.exp(-((centres[others] - centre) ** 2).sum(axis=1) / (2 * _NEIGHBOURS_M**2))
        best[index] = np.argmax(weights @ said[others] + prior)
    return np.stack(np.divmod(best, 2 * reach_px + 1), axis=1) - reach_px


def place(
    buildings: Sequence[Building],
    evidence: Sequence[Evidence],
    common: np.ndarray,
    shape: tuple[int, int],
    *,
    reach_px: int,
    gsd_m: float,
    spread_m: float,
) -> Placed:
    """Each building put where it belongs in a mask of ``shape`` (H, W), none nearer to another than a pixel or than it was.

    All begin where the shift of the whole mask puts them. Then they are moved one after the other, those that gain most first, and
    again while any moves: where one leaves, another may come. A building that the segmenter is not sure of goes with its neighbours
    (``common``, (n, 2)). The order of the buildings does not matter.
    """
    if not buildings:
        none = np.zeros(0)
        return Placed(np.zeros((0, 2), int), none.astype(bool), none, none)
    believed = [
        TRUST * one.contrast + _log_normal(reach_px, gsd_m, spread_m, centre_px=centre)
        for one, centre in zip(evidence, common, strict=True)
    ]
    best = np.array([np.unravel_index(int(one.argmax()), one.shape) for one in believed]) - reach_px
    seen = np.array([one.contrast[tuple(at + reach_px)] for one, at in zip(evidence, best, strict=True)])
    doubt_m = np.array([_doubt_m(one, gsd_m) for one in believed])
    sure = (doubt_m <= _SURE_WITHIN_M) & (seen >= _SEEN)
    # What is unsure wants its neighbours' shift alone.
    wanted = [
        one if is_sure else _log_normal(reach_px, gsd_m, 1.0, centre_px=centre)
        for one, is_sure, centre in zip(believed, sure, common, strict=True)
    ]
    start = np.rint(np.median(common, axis=0)).astype(int)
    shift = _settled(buildings, wanted, start, shape, reach_px, least_px=_LEAST_SHIFT_M / gsd_m)
    inside = [(one.inside[reach_px, reach_px], one.inside[tuple(at + reach_px)]) for one, at in zip(evidence, shift, strict=True)]
    before, after = np.array(inside).T
    return Placed(shift, sure, before, after)


def drawn(buildings: Sequence[Building], shift: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A mask (H, W) of 0 and 255 with the buildings moved by ``shift`` (n, 2). What leaves it is lost."""
    mask = np.zeros(shape, np.uint8)
    for building, moved in zip(buildings, shift, strict=True):
        part, pixels = _clipped(building.pixels, building.row + int(moved[0]), building.col + int(moved[1]), shape)
        mask[part][pixels] = 255
    return mask


def missing_of(odds: np.ndarray, mask: np.ndarray, *, gsd_m: float) -> np.ndarray:
    """(H, W) int32: buildings that log-odds (H, W) are sure of and a mask (H, W) lacks, from 1; 0 elsewhere.

    What lies within a metre and a half of the mask's buildings is theirs: a segmenter's edges are blurred.
    """
    beside = ndimage.distance_transform_edt(mask == 0) * gsd_m > _BESIDE_M if mask.any() else np.ones(mask.shape, bool)
    round_px = max(1, round(_ROUNDING_M / gsd_m))
    disc = np.hypot(*np.mgrid[-round_px : round_px + 1, -round_px : round_px + 1]) <= round_px
    parts, count = ndimage.label(ndimage.binary_opening((odds > _FOUND) & beside, disc))
    areas = np.bincount(parts.ravel(), minlength=count + 1) * gsd_m**2
    kept = areas >= _LEAST_M2
    kept[0] = False
    return np.asarray(np.where(kept, np.cumsum(kept), 0).astype(np.int32)[parts])


def _settled(
    buildings: Sequence[Building],
    wanted: Sequence[np.ndarray],
    start: np.ndarray,
    shape: tuple[int, int],
    reach_px: int,
    *,
    least_px: float,
) -> np.ndarray:
    """Shifts (n, 2) from ``start`` on, by ``least_px`` or more, by how much each is wanted: (2R + 1, 2R + 1) of each building."""
    shift = np.tile(start, (len(buildings), 1))
    grown = [np.pad(building.pixels, 1) for building in buildings]
    grown = [ndimage.binary_dilation(pixels, np.ones((3, 3))) for pixels in grown]
    along = np.arange(-reach_px, reach_px + 1)
    far = np.hypot.outer(along - start[0], along - start[1])
    worth_it = (far >= least_px) | (far == 0)
    taken = np.zeros(shape, np.int32)  # how many buildings are there, or beside

    def count(index: int, by: int) -> None:
        building, (row, col) = buildings[index], shift[index].tolist()
        part, pixels = _clipped(grown[index], building.row + row - 1, building.col + col - 1, shape)
        taken[part] += by * pixels

    def met(index: int) -> np.ndarray:
        """Pixels of others that it would meet at each shift."""
        building = buildings[index]
        height, width = building.pixels.shape
        size = height + 2 * reach_px, width + 2 * reach_px
        around = _window(taken > 0, building.row - reach_px, building.col - reach_px, *size, beyond=False)
        return np.rint(_sum_under(around, building.pixels)).astype(int) if around.any() else np.zeros_like(wanted[index], int)

    for index in range(len(buildings)):
        count(index, 1)
    for _ in range(_MOST_SWEEPS):
        now = [one[tuple(at + reach_px)] for one, at in zip(wanted, shift, strict=True)]
        gains = [float(one.max() - here) for one, here in zip(wanted, now, strict=True)]
        moving = [index for index in range(len(buildings)) if gains[index] >= _LEAST_GAIN]
        changed = False
        for index in sorted(moving, key=lambda at: (-round(gains[at], 9), buildings[at].row, buildings[at].col)):
            count(index, -1)
            meets = met(index)
            here = tuple(shift[index] + reach_px)
            free = np.where(worth_it & (meets <= min(meets[here], meets[tuple(start + reach_px)])), wanted[index], -np.inf)
            there = np.unravel_index(int(free.argmax()), free.shape)
            if free[there] - now[index] >= _LEAST_GAIN:
                shift[index] = np.array(there) - reach_px
                changed = True
            count(index, 1)
        if not changed:
            break
    return shift


def _said_of_shared(evidence: Sequence[Evidence], gsd_m: float, spread_m: float) -> np.ndarray:
    """How likely each building's evidence is, (n, 2R + 1, 2R + 1), if its neighbours' shift is this one; as a logarithm."""
    blurred = [ndimage.gaussian_filter(np.exp(one.log_likelihood), spread_m / gsd_m, mode="constant") for one in evidence]
    return np.log(np.stack(blurred) + 1e-12)


def _log_shared(reach_px: int) -> np.ndarray:
    """How likely each shift is to be what neighbours share, before anything is seen."""
    side = 2 * reach_px + 1
    shared = np.full((side, side), _SHARING / side**2)
    shared[reach_px, reach_px] += 1 - _SHARING
    return np.asarray(np.log(shared))


def _log_normal(reach_px: int, gsd_m: float, sigma_m: float, *, centre_px: Sequence[int] | np.ndarray = (0, 0)) -> np.ndarray:
    """Logarithm of a normal distribution over shifts (2R + 1, 2R + 1), but for its constant."""
    along = np.arange(-reach_px, reach_px + 1)
    squared = np.add.outer((along - centre_px[0]) ** 2, (along - centre_px[1]) ** 2) * gsd_m**2
    return np.asarray(-squared / (2 * sigma_m**2))


def _doubt_m(believed: np.ndarray, gsd_m: float) -> float:
    """How far believed shifts lie from the best one, as a root mean square."""
    weights = np.exp(believed - believed.max())
    best = np.unravel_index(int(believed.argmax()), believed.shape)
    along = np.arange(len(believed))
    squared = np.add.outer((along - best[0]) ** 2, (along - best[1]) ** 2)
    return gsd_m * float(np.sqrt((weights * squared).sum() / weights.sum()))


def _sum_under(around: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Sums of ``around`` under ``pixels`` wherever these fit in."""
    return np.asarray(correlate(around.astype(np.float64), pixels.astype(np.float64), "valid"))


def _window(array: np.ndarray, row: int, col: int, height: int, width: int, *, beyond: bool = True) -> np.ndarray:
    """A window that may reach beyond the array: ``beyond`` its edges go on there, else nothing is there."""
    rows, cols = np.arange(row, row + height), np.arange(col, col + width)
    found = array[np.clip(rows, 0, len(array) - 1)][:, np.clip(cols, 0, array.shape[1] - 1)]
    if not beyond:
        inside = np.logical_and.outer((rows >= 0) & (rows < len(array)), (cols >= 0) & (cols < array.shape[1]))
        found = np.where(inside, found, 0)
    return found


def _clipped(pixels: np.ndarray, row: int, col: int, shape: tuple[int, int]) -> tuple[tuple[slice, slice], np.ndarray]:
    """Where pixels (h, w) at (row, col) lie in an array of ``shape``, and those of them that do."""
    height, width = pixels.shape
    top, left = min(max(row, 0), shape[0]), min(max(col, 0), shape[1])
    bottom, right = max(top, min(row + height, shape[0])), max(left, min(col + width, shape[1]))
    inside = pixels[top - row : bottom - row, left - col : right - col] if bottom > top and right > left else pixels[:0, :0]
    if not inside.size:
        return (slice(0, 0), slice(0, 0)), inside
    return (slice(top, bottom), slice(left, right)), inside
