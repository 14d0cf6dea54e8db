"""Quilted roofs: the texture of one plain roof as large as a building asks for, with its walls and its ridge where they belong."""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage

from orthoforge.material.chance import uniform
from orthoforge.material.cuts import least_cut
from orthoforge.material.plain_roofs import ACROSS, ALONG, slopes_of_picture

_PIECE = 0.5  # of a slope
_LEAST_PIECE_PX, _MOST_PIECE_PX = 8, 28
_OVERLAP = 3  # a part of so many of a piece
_WALL_PX = 3  # beside a wall, or a ridge, is nowhere else
_TRIED = 160  # places of the source for each piece
_LEVEL_PX = 6.0  # what is wider than this is levelled, so that no piece is of a tone of its own
_MARKED = 0.15  # how much a piece is disliked that has marks of its own
_AGAIN, _AGAIN_PX = 4.0, 5.0  # and one that shows what another shows already
_PIECES = 220  # a purpose of chance


@dataclass(frozen=True)
class Piece:
    """Pixels ``start`` to ``end`` along one axis of a building show those of a source from ``low`` to ``high``, included, on."""

    start: int
    end: int
    low: int
    high: int


@dataclass(frozen=True)
class Quilted:
    """A roof of ``sides`` px (along, across) that shows ``places`` (2, H, W) int32, columns and rows, of a source's picture.

    ``level`` (h, w, B) float32 is by how much wide parts of that picture are off the colour of their slope.
    """

    sides: tuple[float, float]
    places: np.ndarray
    level: np.ndarray

    def shown(self, along: np.ndarray, across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The place in the source that is shown at a place on the building, in parts of its sides from their middles."""
        height, width = self.places.shape[1:]
        x, y = (_on(place, side, count) for place, side, count in zip((along, across), self.sides, (width, height), strict=True))
        cols, rows = np.minimum(x.astype(int), width - 1), np.minimum(y.astype(int), height - 1)
        at_cols, at_rows = self.places[:, rows, cols]
        h, w = self.level.shape[:2]
        return (at_cols + x - cols) / w - 0.5, (at_rows + y - rows) / h - 0.5

    def levelled(self, along: np.ndarray, across: np.ndarray) -> np.ndarray:
        """(..., B): what is to be taken away there."""
        along, across = self.shown(along, across)
        h, w = self.level.shape[:2]
        at = np.stack([(across + 0.5) * h - 0.5, (along + 0.5) * w - 0.5])
        bands = np.moveaxis(self.level, 2, 0)
        return np.stack([ndimage.map_coordinates(band, at, order=1, mode="nearest") for band in bands], axis=-1)


def quilted(picture: np.ndarray, ridge: int, sides: tuple[float, float], *, keys: tuple[int, ...]) -> Quilted:
    """A roof of ``sides`` px (along, across) of a source's ``picture`` (h, w, B) float32. ``keys`` are those of chance.

    Image quilting (Efros and Freeman 2001). Pieces at walls and at the ridge are from there, all others from between them: each
    from where it goes on best with those before it, of some places that are drawn. They join along least-error cuts.
    """
    level = _level(picture, ridge)
    width, height = (max(2, round(side)) for side in sides)
    columns = pieces_of(width, picture.shape[1], ridge == ACROSS)
    rows = pieces_of(height, picture.shape[0], ridge == ALONG)
    texture = picture - level
    for slope in slopes_of_picture(texture, ridge):
        slope -= slope.mean(axis=(0, 1))
    busy = (ndimage.gaussian_filter(texture, (1, 1, 0)) ** 2).sum(axis=2)
    places, made = np.zeros((2, height, width), np.int32), np.zeros((height, width, picture.shape[2]), np.float32)
    chosen: list[tuple[int, int]] = []
    filled_to = 0
    for number, row in enumerate(rows):
        right = 0
        for index, column in enumerate(columns):
            y, x = _drawn(row, column, (*keys, _PIECES, number, index))
            window = sliding_window_view(texture, (row.end - row.start, column.end - column.start), axis=(0, 1))
            box = slice(row.start, row.end), slice(column.start, column.end)
            above, before = max(0, filled_to - row.start), max(0, right - column.start)
            pieces = np.moveaxis(window[y, x], 1, 3)  # (n, h, w, B)
            marked = sliding_window_view(busy, pieces.shape[1:3])[y, x].max(axis=(1, 2))
            error = _overlap_error(pieces, made[box], above, before) + _MARKED * marked
            error *= 1 + _AGAIN * _shown_already(chosen, y, x)
            best = int(error.argmin())
            new = _beyond_cuts(((pieces[best] - made[box]) ** 2).sum(axis=2), above, before)
            made[box][new] = pieces[best][new]
            at = np.mgrid[y[best] : y[best] + new.shape[0], x[best] : x[best] + new.shape[1]]
            places[0][box][new], places[1][box][new] = at[1][new], at[0][new]
            chosen.append((int(y[best]), int(x[best])))
            right = column.end
        filled_to = row.end
    return Quilted(sides, places, level)


def pieces_of(target: int, source: int, has_ridge: bool) -> list[Piece]:
    """How ``target`` px of a building are divided along one axis, the ridge's in the middle where that axis ``has_ridge``."""
    slope = source // 2 if has_ridge else source
    size = int(np.clip(round(_PIECE * slope), min(_LEAST_PIECE_PX, slope), min(_MOST_PIECE_PX, slope)))
    size = min(size, target)
    step = size - max(2, size // _OVERLAP)
    low = min(_WALL_PX, (slope - size) // 2)
    if not has_ridge:
        starts = _starts(target - size, step)
        last = source - size
        return [
            Piece(
                start,
                start + size,
                *((0, 0) if start == 0 else (last, last) if start == target - size else (low, max(low, last - low))),
            )
            for start in starts
        ]
    middle, source_middle = (target - size) // 2, (source - size) // 2
    first = [
        Piece(start, start + size, *((0, 0) if start == 0 else (low, max(low, slope - size - low))))
        for start in _starts(middle, step)[:-1]
    ]
    ridge = Piece(middle, middle + size, source_middle, source_middle)
    end, begin = source - size, source - slope
    second = [
        Piece(
            start, start + size, *((end, end) if start == target - size else (min(begin + low, end), max(begin + low, end - low)))
        )
        for start in (middle + more for more in _starts(target - size - middle, step)[1:])
    ]
    return [*first, ridge, *second]


def _starts(room: int, step: int) -> list[int]:
    """Places from 0 to ``room``, both included, evenly and no farther than a ``step`` apart."""
    count = max(1, -(-room // max(1, step)))
    return [round(room * number / count) for number in range(count + 1)] if room > 0 else [0]


def _level(picture: np.ndarray, ridge: int) -> np.ndarray:
    level = np.empty_like(picture)
    for slope, its in zip(slopes_of_picture(picture, ridge), slopes_of_picture(level, ridge), strict=True):
        low = ndimage.gaussian_filter(slope, (_LEVEL_PX, _LEVEL_PX, 0), mode="nearest")
        its[...] = low - slope.mean(axis=(0, 1))
    return level


def _shown_already(chosen: list[tuple[int, int]], y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(n,): how often pieces from about there have been taken."""
    if not chosen:
        return np.zeros(len(y))
    before = np.array(chosen)
    squared = (before[:, 0] - y[:, None]) ** 2 + (before[:, 1] - x[:, None]) ** 2
    return np.exp(-squared / (2 * _AGAIN_PX**2)).sum(axis=1)


def _drawn(row: Piece, column: Piece, keys: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Some places of the source, rows and columns, where a piece may come from."""
    high, wide = row.high - row.low + 1, column.high - column.low + 1
    count = high * wide
    at = np.arange(count) if count <= _TRIED else (uniform(*keys, np.arange(_TRIED)) * count).astype(int)
    return row.low + at // wide, column.low + at % wide


def _overlap_error(pieces: np.ndarray, made: np.ndarray, above: int, before: int) -> np.ndarray:
    """(n,): by how much ``pieces`` (n, h, w, B) are off what is ``made`` (h, w, B) in their first rows and columns, in the mean."""
    error, count = np.zeros(len(pieces)), 0
    for part in ((slice(0, above), slice(None)), (slice(above, None), slice(0, before))):
        off = pieces[:, *part] - made[part]
        error += (off**2).sum(axis=(1, 2, 3))
        count += off.shape[1] * off.shape[2]
    return error / max(1, count)


def _beyond_cuts(cost: np.ndarray, above: int, before: int) -> np.ndarray:
    """(h, w) bool: where a piece is seen that goes on from what is ``above`` and ``before`` it."""
    new = np.ones(cost.shape, bool)
    if above:
        new &= np.arange(cost.shape[0])[:, None] >= least_cut(cost[:above].T)[None]
    if before:
        new &= np.arange(cost.shape[1])[None] >= least_cut(cost[:, :before])[:, None]
    return new


def _on(place: np.ndarray, side: float, count: int) -> np.ndarray:
    """Parts of a side from its middle as pixels from its beginning. What lies beyond a wall shows what lies before it."""
    x = np.abs((place / side + 0.5) * count)
    return np.clip(np.where(x > count, 2 * count - x, x), 0, count)
