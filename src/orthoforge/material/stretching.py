"""Stretching: how a roof is made as long and as wide as a building, from one picture of it and without folds."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from orthoforge.material.chance import uniform
from orthoforge.material.cuts import least_cut

MOST_STRETCH = 1.4
MOST_SHRINK = 0.55
_ENDS = 0.12  # of a roof, at each end, stay where they are
_LONGEST_JUMP = 0.5
_WAVE_PX = 2.0  # what varies within so little is texture and may be repeated; a terrace or a dormer may not
_TRIES = 3
_LEAST_SLOPE_PX = 8
_VARIED, _VARIED_PX = 0.6, 12
_JUMP = 210  # a purpose of chance


@dataclass(frozen=True)
class Axis:
    """One axis of a roof: ``target`` px of a building show ``source`` pixels of a roof.

    A place at ``x``, counted in the source's pixels from the building's end, shows the source's ``x`` less those ``jumps`` (n,)
    whose ``cuts`` (n, w) lie before it; w is the other axis.
    """

    target: float
    source: int
    jumps: np.ndarray
    cuts: np.ndarray

    @property
    def length(self) -> int:
        """Pixels of the source that are laid after each other, some of them several times."""
        return self.source + int(self.jumps.sum())

    def at(self, distance: np.ndarray) -> np.ndarray:
        """``distance`` from the middle of the building, in px, as ``x``. What lies beyond the walls shows what lies before them."""
        x = distance * (self.length / self.target) + self.length / 2
        x = np.where(x < 0, -x, x)
        return np.clip(np.where(x > self.length, 2 * self.length - x, x), 0, self.length)

    def shown(self, x: np.ndarray, other: np.ndarray) -> np.ndarray:
        """The source's pixel that is shown at ``x``, where the other axis is at ``other``."""
        shown = x
        steps = np.arange(self.cuts.shape[1]) + 0.5
        for jump, cut in zip(self.jumps, self.cuts, strict=True):
            shown = np.where(x > np.interp(other, steps, cut), shown - jump, shown)
        return shown


@dataclass(frozen=True)
class Stretched:
    """A roof's two axes. Where it is made longer its ridge goes by ``along`` where ``ridge_along``, else by ``across``."""

    along: Axis
    across: Axis
    ridge_along: bool

    def shown(self, along: np.ndarray, across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The place in the source that is shown at a place on the building, in parts of its sides from their middles."""
        along, across = self.along.at(along), self.across.at(across)
        if self.ridge_along:
            across = self.across.shown(across, along)
            along = self.along.shown(along, across)
        else:
            along = self.along.shown(along, across)
            across = self.across.shown(across, along)
        return along / self.along.source - 0.5, across / self.across.source - 0.5


def stretched(picture: np.ndarray, sides: tuple[float, float], ridge_along: bool, *, keys: tuple[int, ...]) -> Stretched:
    """A roof of ``sides`` px (along, across) of a source's ``picture`` (h, w, B) float32."""
    lengths = list(sides)
    if not ridge_along:
        picture, lengths = picture.swapaxes(0, 1), lengths[::-1]
    ridge = axis_of(picture, lengths[0], keys=(*keys, 0))
    lines = np.arange(len(picture))[:, None]
    longer = picture[lines, ridge.shown(np.arange(ridge.length) + 0.5, lines + 0.5).astype(int).clip(0, ridge.source - 1)]
    slopes = slopes_of(longer.swapaxes(0, 1), lengths[1], keys=(*keys, 1))
    return Stretched(ridge, slopes, True) if ridge_along else Stretched(slopes, ridge, False)


def length_of(target: float, source: int) -> int:
    """How many of a source's pixels to lay on so many of a building: within what it may be stretched and shrunk, all of them.

    Of a longer building as many more as it has.
    """
    if target / source > MOST_STRETCH:
        return max(source, round(target / 1.1))
    return max(1, min(source, round(target / MOST_SHRINK)))


def slopes_of(picture: np.ndarray, target: float, *, keys: tuple[int, ...]) -> Axis:
    """The second axis, across the ridge, of a roof's ``picture`` (h, w, B) on ``target`` px.

    A broader building has broader slopes: each half is made longer by itself, so that the ridge stays in the middle.
    """
    width = picture.shape[1]
    half = width // 2
    if target / width <= MOST_STRETCH or half < _LEAST_SLOPE_PX:
        return axis_of(picture, target, keys=keys)
    one = axis_of(picture[:, :half], target * half / width, keys=(*keys, 0))
    other = axis_of(picture[:, half:], target * (width - half) / width, keys=(*keys, 1))
    return Axis(target, width, np.concatenate([one.jumps, other.jumps]), np.concatenate([one.cuts, other.cuts + one.length]))


def axis_of(picture: np.ndarray, target: float, *, keys: tuple[int, ...]) -> Axis:
    """The second axis of a roof's ``picture`` (h, w, B) on ``target`` px. ``keys`` are those of chance.

    Where the picture is too short, it jumps back along its length, at the cut that is seen least; where it is too long, forward.
    Both ends are kept.
    """
    height, width = picture.shape[:2]
    missing = length_of(target, width) - width
    longest = max(1, int(_LONGEST_JUMP * width))
    count = -(-missing // longest) if missing > 0 else int(missing < 0)
    jumps, cuts, before, start = [], [], 0, 0
    busy = _busy(picture) if count else None
    for number in range(count):
        is_free = number < count - 1 and width >= _VARIED_PX
        varied = _VARIED * (uniform(*keys, _JUMP, number, np.arange(_TRIES)) - 0.5) * is_free
        tries = {round(missing * (number + 1 + more) / count) - before for more in varied.tolist()}
        assert busy is not None
        _, jump, cut = min((_cut(picture, busy, jump, start) for jump in sorted(tries)), key=lambda found: found[0])
        jumps.append(jump)
        cuts.append(cut + before)
        before += jump
        start = int(cut.min()) - jump
    return Axis(target, width, np.array(jumps, np.int64), np.array(cuts, float).reshape(count, height))


def _busy(picture: np.ndarray) -> np.ndarray:
    """(h, w + 1): summed along each row, by how many squared levels pixels differ from what the whole length shows there."""
    waves = ndimage.gaussian_filter1d(picture, _WAVE_PX, axis=1, mode="nearest")
    off = ((waves - np.median(waves, axis=1, keepdims=True)) ** 2).sum(axis=2)
    return np.pad(off.cumsum(axis=1), ((0, 0), (1, 0)))


def _cut(picture: np.ndarray, busy: np.ndarray, jump: int, start: int) -> tuple[float, int, np.ndarray]:
    """What a jump back by so many pixels costs, itself, and where it is made in each row; well after ``start``.

    It costs what is seen of the cut, and what stands out in what is shown twice.
    """
    height, width = picture.shape[:2]
    least, most = max(jump, 0), min(width, width + jump)
    ends = round(_ENDS * width)
    low = min(max(least + ends, start + ends // 2), most - 1)
    high = min(max(most - ends, low + 1), most)
    cost = ((picture[:, low:high] - picture[:, low - jump : high - jump]) ** 2).sum(axis=2)
    if jump > 0:
        cost += (busy[:, low:high] - busy[:, low - jump : high - jump]) / jump
    cut = least_cut(cost)
    return float(cost[np.arange(height), cut].mean()), jump, cut + low
