"""Strips: pieces of real roads, turned so that they run along the roads of the mask."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from orthoforge.material.chance import uniform
from orthoforge.material.library import Library, once_for_each
from orthoforge.material.lines import MOST_HALF_PX, Lines, lines_of
from orthoforge.material.open_ground import smooth

MOST_STRIPS = 24  # of each kind in a patch
_NEAR_PX = 40  # a strip is laid so far along from its middle
_TRIES = 10  # strips are held against the mask, the likeliest ones
_LEAST_PX = 24
_SPACING_PX = 4  # between places from which a strip is taken
_CLOSED_PX = 3.0  # borders show what lies so near
_DEPTH_OFF_PX, _DEPTH_OFF = 1.5, 0.3  # of half of the width: lanes and kerbs lie at their distance from the border
_ALONG = 0.8  # the cosine of twice the angle between two directions that are alike
_WIDTH, _TONE = 1.0, 1 / 60  # of one that is e times as wide, and of a level of colour, as of what is not covered
_AS_WIDE = 1  # classes of width on both sides
_ALIKE, _SEEN = 0.7, 0.3  # of the places that are as wide: of tiles with as much of the kind, and then those that are seen best
_BESIDE_PX = 6.0  # beside a line is what lies within some three times so much
_CHANCE = 0.08
_STRIP, _TURN = 106, 107  # purposes of chance


class Places(NamedTuple):
    """Where strips of a kind may be taken from: ``tile`` (n,) as one of those allowed and the ``share`` of it that is of the kind,
    ``row`` and ``col``, ``angle`` and ``half`` of the width there, by how many levels it is ``seen`` beside other ground, and the
    ``tone`` (n, B), all sorted by brightness."""

    tile: np.ndarray
    share: np.ndarray
    row: np.ndarray
    col: np.ndarray
    angle: np.ndarray
    half: np.ndarray
    seen: np.ndarray
    tone: np.ndarray


class _Source(NamedTuple):
    """What a tile has of a kind: its ``lines``; the nearest open pixel of each, ``off`` (S, S) px off, at ``near`` (2, S, S); and
    the ``places`` that strips are taken from."""

    lines: Lines
    off: np.ndarray
    near: np.ndarray
    places: Places


@dataclass(frozen=True)
class Strip:
    """Pixels ``at`` (n,) of a patch, counted line by line, show tile ``tile`` at ``rows`` and ``cols`` (n,), between its pixels.
    The tone is moved by ``shift`` (B,), towards ``target`` (B,)."""

    tile: int
    at: np.ndarray
    rows: np.ndarray
    cols: np.ndarray
    shift: np.ndarray
    target: np.ndarray

    def layers(self, library: Library) -> tuple[np.ndarray, np.ndarray]:
        """Tone and texture, (n, B) float32 each."""
        top, left = int(self.rows.min()), int(self.cols.min())
        box = slice(top, int(self.rows.max()) + 2), slice(left, int(self.cols.max()) + 2)
        there = self.rows - top, self.cols - left
        tone, texture = (
            np.stack([
                ndimage.map_coordinates(layer[box][..., band].astype(np.float32), there, order=order, mode="nearest")
                for band in range(library.bands)
            ], axis=1)
            for layer, order in zip(library.layers(self.tile), (1, 3), strict=True)
        )  # fmt: skip
        return tone + self.shift.astype(np.float32), texture


@dataclass
class Strips:
    """Chooses strips of the tiles ``allowed`` of the library. Each is moved to the tone that is asked for, ``tone_share`` of the
    way."""

    library: Library
    allowed: np.ndarray
    seed: int
    tone_share: float
    _places: dict[int, Places | None] = field(default_factory=dict)

    def has(self, kind: int) -> bool:
        """Whether a kind of ground runs along lines, and there are any of it."""
        return kind in self.library.line_kinds and self._of(kind) is not None

    def tone(self, kind: int, half: float, share: float, chance: np.ndarray) -> np.ndarray:
        """The tones (..., B) that ground of a kind has where it is so wide and takes this ``share`` of all, one for each ``chance``
        (...) in [0, 1): from dark to bright.

        A track in the desert then has the tone of a track, and a highway that of a highway. What looks like the ground beside it is
        left out: in sand nobody would see it.
        """
        places = self._of(kind)
        assert places is not None
        width = _class_of(np.minimum(places.half, MOST_HALF_PX))
        off = np.abs(width - _class_of(np.minimum(half, MOST_HALF_PX)))
        of = np.flatnonzero(off <= max(_AS_WIDE, off.min()))
        unlike = np.abs(np.log(places.share[of] / share))
        of = of[unlike <= np.quantile(unlike, _ALIKE)]
        of = of[places.seen[of] >= np.quantile(places.seen[of], 1 - _SEEN)]
        return places.tone[of[(chance * len(of)).astype(int)]]

    def of(
        self, patch: tuple[int, int], kind: int, own: np.ndarray, needed: np.ndarray, chances: np.ndarray, weights: np.ndarray,
        liking: np.ndarray,
    ) -> list[Strip]:  # fmt: skip
        """Strips of a kind for a patch that has it where ``own`` (P, P) is so and needs it where ``needed`` is, the longest first.

        The tone is that of ``chances`` (n,) by their ``weights`` (n,); ``liking`` (tiles,) is what speaks for each allowed tile.
        """
        lines, strips = lines_of(own), list[Strip]()
        left = own & needed & np.isfinite(lines.half)
        middle = lines.middle
        for number in range(MOST_STRIPS):
            middle = middle[left[tuple(middle.T)]]
            if not len(middle) or left.sum() < _LEAST_PX:
                break
            around = ndimage.uniform_filter(left.astype(np.float32), _NEAR_PX + 1, mode="constant")
            row, col = middle[int(around[tuple(middle.T)].argmax())].tolist()
            target = weights @ self.tone(kind, float(lines.half[row, col]), own.mean(), chances)
            strip = self._best((*patch, kind, number), (row, col), lines, left, target, liking)
            if strip is None:
                middle = middle[np.hypot(*(middle - (row, col)).T) > _SPACING_PX]
                continue
            strips.append(strip)
            left.ravel()[strip.at] = False
        return strips

    def _best(
        self, keys: tuple[int, ...], at: tuple[int, int], lines: Lines, left: np.ndarray, target: np.ndarray, liking: np.ndarray
    ) -> Strip | None:
        """Of the likeliest strips that which covers most of what is ``left`` around a place, ``None`` where that is hardly any."""
        places, (row, col) = self._of(keys[2]), at
        assert places is not None
        off = _WIDTH * np.abs(np.log(places.half / lines.half[row, col])) + _TONE * np.abs(places.tone - target).mean(axis=1)
        chance = uniform(self.seed, _STRIP, *keys, np.arange(len(off)))
        likely = liking[places.tile] - off - _CHANCE * np.log(-np.log(np.clip(chance, 1e-9, 1 - 1e-9)))
        tried = np.argsort(-likely, kind="stable")[:_TRIES]
        top, first = max(0, row - _NEAR_PX), max(0, col - _NEAR_PX)
        rows, cols = np.nonzero(left[top : row + _NEAR_PX + 1, first : col + _NEAR_PX + 1])
        rows, cols = rows + top, cols + first
        best, found = 0.0, None
        for one in tried.tolist():
            turn = float(places.angle[one] - lines.angle[row, col]) + np.pi * bool(uniform(self.seed, _TURN, *keys, one) < 0.5)
            there, shown = self._shown(keys[2], places, one, turn, (rows - row, cols - col), lines, (rows, cols))
            fit = shown.mean() + likely[one]
            if shown.sum() >= _LEAST_PX and (found is None or fit > best):
                tile = int(self.allowed[places.tile[one]])
                shift = self.tone_share * (target - places.tone[one])
                row_there, col_there = (way[shown] for way in there)
                best, found = fit, Strip(tile, (rows * left.shape[1] + cols)[shown], row_there, col_there, shift, target)
        return found

    def _shown(
        self, kind: int, places: Places, one: int, turn: float, by: tuple[np.ndarray, np.ndarray], lines: Lines,
        at: tuple[np.ndarray, np.ndarray],
    ) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:  # fmt: skip
        """Where in the tile of a place pixels ``at`` of the patch are, which lie ``by`` so much from its middle, and which of them
        show what they are: ground of the kind that runs in their direction, as far from its border."""
        source, size = _sources(self.library, int(self.allowed[places.tile[one]]))[kind], self.library.size_px
        down, along = by
        rows = places.row[one] + np.cos(turn) * down + np.sin(turn) * along
        cols = places.col[one] - np.sin(turn) * down + np.cos(turn) * along
        inside = (rows >= 0) & (rows <= size - 1) & (cols >= 0) & (cols <= size - 1)
        there = np.rint(rows.clip(0, size - 1)).astype(int), np.rint(cols.clip(0, size - 1)).astype(int)
        depth = np.abs(source.lines.depth[there] - lines.depth[at])
        alike = np.cos(2 * (source.lines.angle[there] - lines.angle[at] - turn)) > _ALONG
        closed = source.off[there] > 0
        shown = inside & (source.off[there] <= _CLOSED_PX) & alike
        shown &= depth <= _DEPTH_OFF_PX + _DEPTH_OFF * np.minimum(lines.half[at], MOST_HALF_PX)
        near = source.near[0][there], source.near[1][there]
        return (np.where(closed, near[0], rows), np.where(closed, near[1], cols)), shown

    def _of(self, kind: int) -> Places | None:
        """The places of a kind, ``None`` where there are none."""
        if kind not in self._places:
            found = [
                source.places._replace(tile=np.full(len(source.places.row), number))
                for number, tile in enumerate(self.allowed.tolist())
                if (source := _sources(self.library, tile).get(kind)) is not None
            ]
            places = Places(*(np.concatenate(parts) for parts in zip(*found, strict=True))) if found else None
            if places is not None:
                order = np.argsort(places.tone.sum(axis=1), kind="stable")
                places = Places(*(part[order] for part in places)) if len(order) else None
            self._places[kind] = places
        return self._places[kind]


@once_for_each
def _sources(library: Library, tile: int) -> dict[int, _Source]:
    """What a tile has of each kind that runs along lines."""
    found = {}
    for kind in library.line_kinds:
        own = library.kinds[tile] == kind
        is_open = own & library.open_ground(tile)
        if not is_open.any():
            continue
        lines = lines_of(own)
        off, near = ndimage.distance_transform_edt(~is_open, return_indices=True)
        middle = lines.middle[off[tuple(lines.middle.T)] == 0]
        cells = middle // _SPACING_PX
        middle = middle[np.unique(cells[:, 0] * library.size_px + cells[:, 1], return_index=True)[1]]
        at = tuple(middle.T)
        tone, other = library.layers(tile)[0][at].astype(np.float32), ~own & ~library.masks[tile]
        seen = np.abs(tone - smooth(library.images[tile].astype(np.float32), other, _BESIDE_PX)[at]).mean(axis=1)
        found[kind] = _Source(
            lines, off.astype(np.float32), near.astype(np.int32),
            Places(at[0], np.full(len(middle), own.mean()), at[0], at[1], lines.angle[at], lines.half[at], seen, tone),
        )  # fmt: skip
    return found


def _class_of(half: np.ndarray | float) -> np.ndarray:
    """Classes of width: two for each doubling."""
    return np.rint(2 * np.log2(half))
