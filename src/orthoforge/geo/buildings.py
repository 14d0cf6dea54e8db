"""The buildings of a mask of any size: which pixels are one building, where it stands, how large it is, which way it lies.

A building is a connected part of the mask. Pixels are connected that share a side, as when a mask becomes footprints
(``vectors/outlines.py``): two houses that touch at a corner are two outlines there, and two buildings here.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from orthoforge.geo.grid import Window

Read = Callable[[Window], np.ndarray]

CHUNK_PX = 1024
_KEPT_CHUNKS = 16  # labelled ones: 64 MB, more than a block of a scene meets
_LIMB = 32  # bits
_MASK = np.uint64(0xFFFFFFFF)


class Buildings:
    """The buildings of a mask (``height``, ``width``) that ``read`` gives by windows, bool or uint8, other than 0 on buildings.

    ``origin`` is the place (row, column) of the mask's first pixel on a grid that goes on beyond it, such as the world's. The
    arrays have one row a building, in the order of ``anchor``:

    * ``anchor`` (n, 2): row and column of its first pixel, line by line. As long as no border of the mask cuts the building, this
      is a function of the ground;
    * ``area`` (n,): its pixels;
    * ``bbox`` (n, 4): row, column, height and width of what it lies in;
    * ``centroid`` (n, 2): row and column, counted from the edges of pixels: one that is a single pixel has it half a pixel on;
    * ``angle`` (n,): direction of its longer axis in radians, from that of a line towards that of a column, in (-pi/2, pi/2];
    * ``length``, ``width`` (n,): sides of the rectangle that has its second moments. Of a rectangle these are its own.

    All are on the grid of ``origin``. Built in one pass over chunks. Memory grows with the buildings, not with the pixels. ``read``
    is called again by ``ids`` and must give the same then.
    """

    def __init__(self, read: Read, height: int, width: int, *, origin: tuple[int, int] = (0, 0), chunk_px: int = CHUNK_PX) -> None:
        self._read, self.shape, self.origin = read, (height, width), origin
        self._rows, self._cols = (_edges(side, first, chunk_px) for side, first in zip(self.shape, origin, strict=True))
        self._recent: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        self._lock = threading.Lock()
        parts, pairs, starts = self._parts()
        building, self.anchor, self.area, self.bbox, sums = _joined(parts, pairs, width)
        self._maps = {  # of each chunk: which building each of its labels is, from 1
            chunk: np.concatenate([[0], building[start:stop] + 1]).astype(np.int32) for chunk, (start, stop) in starts.items()
        }
        self.anchor += origin
        self.bbox[:, :2] += origin
        self.centroid, self.angle, self.length, self.width = _shapes(self.area, self.bbox, sums)

    @staticmethod
    def of(mask: np.ndarray, origin: tuple[int, int] = (0, 0)) -> "Buildings":
        """Those of a mask (H, W) in memory."""
        return Buildings(lambda window: mask[window.slices], *mask.shape, origin=origin)

    def __len__(self) -> int:
        return len(self.area)

    def ids(self, window: Window) -> np.ndarray:
        """Which building each pixel of a window of the mask is of: (h, w) int32, its row and 1; 0 outside.

        ``window`` counts from the mask's first pixel, as those that ``read`` gets.
        """
        found = np.zeros((window.height, window.width), np.int32)
        for chunk in self._chunks(window):
            of_chunk, labels = self._window(chunk), self._labelled(chunk)
            row, col = max(window.row, of_chunk.row), max(window.col, of_chunk.col)
            bottom = min(window.row + window.height, of_chunk.row + of_chunk.height)
            right = min(window.col + window.width, of_chunk.col + of_chunk.width)
            part = Window(row - of_chunk.row, col - of_chunk.col, bottom - row, right - col)
            found[part._replace(row=row - window.row, col=col - window.col).slices] = labels[part.slices]
        return found

    def numbers(self, seed: int, layer: int) -> np.ndarray:
        """A number in [0, 1) for each building, (n,) float64: a function of seed, layer and the place of its anchor.

        It is what ``models.noise.NoiseField`` has at that pixel.
        """
        start = np.array([seed & int(_MASK), seed >> 32 & int(_MASK), layer], np.uint64)
        mixed = _mix(start[2:] ^ _mix(start[1:2] ^ _mix(start[:1])))
        for along in (*self.anchor.T, 0):  # one channel, the first
            mixed = _mix((np.asarray(along, np.int64).view(np.uint64) & _MASK) ^ mixed)
        return np.broadcast_to(mixed >> np.uint64(8), len(self)) / 2**24

    def _chunks(self, window: Window) -> list[tuple[int, int]]:
        """Those that a window meets, row by row."""
        sides = ((self._rows, window.row, window.height), (self._cols, window.col, window.width))
        first_and_last = [np.searchsorted(edges, [start, start + side - 1], "right") - 1 for edges, start, side in sides]
        rows, cols = (range(first, last + 1) for first, last in first_and_last)
        return [(row, col) for row in rows for col in cols]

    def _window(self, chunk: tuple[int, int]) -> Window:
        (top, bottom), (left, right) = (
            edges[at : at + 2].tolist() for edges, at in zip((self._rows, self._cols), chunk, strict=True)
        )
        return Window(top, left, bottom - top, right - left)

    def _labels(self, chunk: tuple[int, int]) -> np.ndarray:
        """(h, w) int32, from 1 for each part of a building that lies in the chunk. The same each time."""
        return ndimage.label(self._read(self._window(chunk)))[0]

    def _labelled(self, chunk: tuple[int, int]) -> np.ndarray:
        """``ids`` of a chunk."""
        with self._lock:
            if chunk not in self._recent:
                self._recent[chunk] = self._maps[chunk][self._labels(chunk)]
                if len(self._recent) > _KEPT_CHUNKS:
                    self._recent.popitem(last=False)
            self._recent.move_to_end(chunk)
            return self._recent[chunk]

    def _parts(self) -> tuple["_Parts", np.ndarray, dict[tuple[int, int], tuple[int, int]]]:
        """The parts of all chunks, pairs (p, 2) of those that share sides of pixels, and from where to where each chunk has its."""
        found, pairs, starts, count = [], [], {}, 0
        above = np.zeros(self.shape[1], np.int64)  # the line of pixels over a row of chunks: numbers of parts from 1, or 0
        for row in range(len(self._rows) - 1):
            before = None  # the pixels left of a chunk
            for col in range(len(self._cols) - 1):
                chunk = row, col
                window, labels = self._window(chunk), self._labels(chunk)
                parts = _parts_of(labels, window)
                starts[chunk] = count, count + len(parts.area)
                line = above[window.slices[1]]  # a view: what is written there is what the next row of chunks finds
                pairs.append(_touching(line, labels[0], count))
                if before is not None:
                    pairs.append(_touching(before, labels[:, 0], count))
                line[:], before = _numbered(labels[-1], count), _numbered(labels[:, -1], count)
                found.append(parts)
                count += len(parts.area)
        return _Parts(*map(np.concatenate, zip(*found, strict=True))), np.concatenate(pairs), starts


class _Parts(NamedTuple):
    """Parts of buildings, one a row: coordinates count from the mask's first pixel, sums from the corner of the part's bounds."""

    first: np.ndarray  # (n, 2) row and column of the first pixel
    area: np.ndarray  # (n,)
    low: np.ndarray  # (n, 2) least row and column
    high: np.ndarray  # (n, 2) largest, and 1
    sums: np.ndarray  # (n, 5) of r, c, r², rc, c² over the pixels


def _edges(side: int, first: int, chunk_px: int) -> np.ndarray:
    """Where chunks begin and end along a side: at multiples of ``chunk_px`` on the grid of the origin, and at the ends."""
    inner = np.arange(chunk_px - first % chunk_px, side, chunk_px)
    return np.concatenate([[0], inner, [side]])


def _parts_of(labels: np.ndarray, window: Window) -> _Parts:
    """Of a labelled chunk. All is summed over runs, the stretches of a line that lie in one building, in whole numbers."""
    height, width = labels.shape
    inside = np.zeros((height, width + 2), bool)
    inside[:, 1:-1] = labels > 0
    row, edge = np.nonzero(inside[:, 1:] != inside[:, :-1])
    row, start, stop = row[::2], edge[::2], edge[1::2]
    label = labels[row, start]
    order = np.argsort(label, kind="stable")  # line by line within each part
    row, start, stop, label = row[order], start[order], stop[order], label[order]
    begins = np.flatnonzero(np.diff(label, prepend=0))
    if not len(begins):
        none = np.zeros((0, 2), np.int64)
        return _Parts(none, none[:, 0], none, none, np.zeros((0, 5), np.int64))
    first = np.stack([row, start], axis=1)[begins]
    low = np.stack([first[:, 0], np.minimum.reduceat(start, begins)], axis=1)
    high = np.stack([np.maximum.reduceat(row + 1, begins), np.maximum.reduceat(stop, begins)], axis=1)
    along = np.diff(begins, append=len(row))
    top, left = np.repeat(low, along, axis=0).T
    r, begin, end = row - top, start - left, stop - left
    count = end - begin
    of_cols = (end * (end - 1) - begin * (begin - 1)) // 2
    of_squares = _squares(end) - _squares(begin)
    sums = np.stack([r * count, of_cols, r * r * count, r * of_cols, of_squares], axis=1)
    place = (window.row, window.col)
    summed = np.add.reduceat(sums, begins)
    return _Parts(first + place, np.add.reduceat(count, begins), low + place, high + place, summed)


def _squares(end: np.ndarray) -> np.ndarray:
    """The sum of squares of the whole numbers below."""
    return (end - 1) * end * (2 * end - 1) // 6


def _numbered(labels: np.ndarray, before: int) -> np.ndarray:
    """Labels of a chunk as numbers of parts from 1, where so many parts came before."""
    return np.where(labels > 0, labels.astype(np.int64) + before, 0)


def _touching(one: np.ndarray, labels: np.ndarray, before: int) -> np.ndarray:
    """Pairs (p, 2) of parts, numbered from 0, on the two sides of a border."""
    other = _numbered(labels, before)
    both = (one > 0) & (other > 0)
    return np.unique(np.stack([one[both], other[both]], axis=1), axis=0) - 1


def _joined(parts: _Parts, pairs: np.ndarray, width: int) -> tuple[np.ndarray, ...]:
    """Which building each part is of; then anchor, area, bbox and sums of each building, on the mask's own coordinates.

    Sums (n, 5) of r, c, r², rc, c² count from the corner of the bounds. They are added up in whole numbers, so that chunks make no
    difference, and in two limbs: over one building of 60 000² px squares sum to more than 64 bits hold.
    """
    count = len(parts.area)
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    found, building = connected_components(graph, directed=False)
    keys = parts.first[:, 0] * width + parts.first[:, 1]
    if not count:
        none = np.zeros((0, 2), np.int64)
        return building, none, none[:, 0], np.zeros((0, 4), np.int64), np.zeros((0, 5))
    first = np.full(found, keys.max())
    np.minimum.at(first, building, keys)
    building = np.argsort(np.argsort(first))[building]  # in the order of their first pixels
    order = np.argsort(building, kind="stable")
    begins = np.flatnonzero(np.diff(building[order], prepend=-1))
    low, high = np.minimum.reduceat(parts.low[order], begins), np.maximum.reduceat(parts.high[order], begins)
    n: np.ndarray = parts.area
    down, right = (parts.low - low[building]).T
    r, c, rr, rc, cc = parts.sums.T
    moved = np.stack(
        [
            r + n * down, c + n * right,
            rr + 2 * down * r + n * down**2, rc + down * c + right * r + n * down * right, cc + 2 * right * c + n * right**2,
        ],
        axis=1,
    )[order]  # fmt: skip
    upper, lower = (np.add.reduceat(limb, begins).astype(np.float64) for limb in (moved >> _LIMB, moved & int(_MASK)))
    anchor = np.stack(np.divmod(np.sort(first), width), axis=1)
    bbox = np.concatenate([low, high - low], axis=1)
    return building, anchor, np.add.reduceat(n[order], begins), bbox, upper * 2.0**_LIMB + lower


def _shapes(area: np.ndarray, bbox: np.ndarray, sums: np.ndarray) -> tuple[np.ndarray, ...]:
    """Centroid, angle, length and width. A pixel is a square, not a point: it has a variance of a twelfth each way."""
    mean_r, mean_c, rr, rc, cc = (sums / area[:, None]).T
    rows, cols, both = rr - mean_r**2 + 1 / 12, cc - mean_c**2 + 1 / 12, rc - mean_r * mean_c
    longer = (rows + cols + np.hypot(cols - rows, 2 * both)) / 2
    shorter = np.maximum(rows * cols - both**2, 0) / longer
    angle = 0.5 * np.arctan2(2 * both, cols - rows)
    centroid = bbox[:, :2] + np.stack([mean_r, mean_c], axis=1) + 0.5
    return centroid, angle, np.sqrt(12 * longer), np.sqrt(12 * shorter)


def _mix(value: np.ndarray) -> np.ndarray:
    """The mixing of ``models.noise``, on uint64."""
    value = (value + np.uint64(0x9E3779B9)) & _MASK
    value = (value ^ value >> np.uint64(16)) * np.uint64(0x85EBCA6B) & _MASK
    value = (value ^ value >> np.uint64(13)) * np.uint64(0xC2B2AE35) & _MASK
    return value ^ value >> np.uint64(16)
