"""Ground over the plane: overlapping patches of real ground, of pieces that have the kind of ground that the mask has there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from orthoforge.geo.grid import Window
from orthoforge.material.chance import uniform
from orthoforge.material.continuing import CELL_PX, Beside, in_cells
from orthoforge.material.cuts import between, softened
from orthoforge.material.lately import Lately
from orthoforge.material.library import Library
from orthoforge.material.neighbours import earlier, turn_of
from orthoforge.material.open_ground import smooth
from orthoforge.material.pieces import ANY, Chosen, Piece, Pieces, Wanted
from orthoforge.material.seams import Seams

JOIN_PX = 6.0  # tones of neighbouring pieces run into each other over so much
BORDER_PX = 0.7  # and tones of two kinds of ground over so much: borders in images are no sharper
REACH_PX = 24  # three times both, and the cells of a border
_FILLS = 0.05  # of a tile: with so much of a kind it has texture for what no piece covers
_ATTEMPTS = 32  # for each kind
_KEPT = 128  # patches, of 1 MB each: those that a block of a scene meets, and those that these go on from
_BUILT_KEPT = 10_000  # shares of patches that are built
_PIECES = 1000  # more than a patch has
_GRAIN = 104  # a purpose of chance


@dataclass(frozen=True)
class _Patch:
    """``tone`` and ``texture`` (P, P, B) float32 of a patch, ``tile`` and number of the ``piece`` (P, P) that each pixel is of.

    Beside them what was ``wanted`` there and lay ``beside`` it, and the names of the ``tiles`` that its pieces are of.
    """

    tone: np.ndarray
    texture: np.ndarray
    tile: np.ndarray
    piece: np.ndarray
    wanted: Wanted
    beside: Beside | None
    tiles: frozenset[str]


@dataclass
class Quilt:
    """Ground of tiles ``allowed`` of the library for a whole plane, counted in absolute pixels.

    ``wanted`` says what ground a window is to have, which may lie outside of the scene.
    """

    library: Library
    allowed: np.ndarray
    seed: int
    wanted: Callable[[Window], Wanted]

    def __post_init__(self) -> None:
        self._side = self.library.size_px // CELL_PX * 11 // 14 * CELL_PX
        self._overlap = self._side * 3 // 11
        self._hop = self._side - self._overlap
        self._pieces = Pieces(self.library, self.allowed, self.seed, self._side, self._hop)
        self._seams = Seams(self._side, self._overlap, self._seen)
        self._recent = Lately[tuple[int, int], _Patch](_KEPT)
        self._built = Lately[tuple[int, int], float](_BUILT_KEPT)

    def keep(self, before: "Quilt") -> None:
        """Take over patches of a quilt of the same tiles and seed, and their seams, where the same ground is wanted and the same
        lies beside them."""
        self._pieces = before._pieces.afresh()
        kept = set()
        for patch, made in sorted(before._recent.kept(), key=lambda item: turn_of(item[0])):
            if made.wanted.is_like(self._wanted(self._window(patch))) and _alike(
                made.beside, self._beside(patch, made.wanted.needed)
            ):
                self._recent.take([(patch, made)])
                kept.add(patch)
        self._seams.keep(before._seams, kept)

    def lay(self, window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tone and texture of the ground of a window, (h, w, B) float32 each, and the tile that each pixel is of, (h, w) int32."""
        around = Window(window.row - REACH_PX, window.col - REACH_PX, window.height + 2 * REACH_PX, window.width + 2 * REACH_PX)
        low, high = (np.zeros((around.height, around.width, self.library.bands), np.float32) for _ in range(2))
        source, parts = (np.full((around.height, around.width), -1, np.int32) for _ in range(2))
        for number, patch in enumerate(self._meeting(around)):
            self._lay_patch(patch, around, low, high, source, parts, number)
        high = softened(high, *between(parts))
        low = self._joined(low, self._wanted(around).kinds)
        inner = slice(REACH_PX, -REACH_PX), slice(REACH_PX, -REACH_PX)
        return low[inner], high[inner], source[inner]

    def tone_at(self, row: float, col: float) -> np.ndarray:
        """The tone that ground has around a place, (B,)."""
        down, right = (round((place - self._side / 2) / self._hop) for place in (row, col))
        built = self._built.of((down, right), lambda patch: self._wanted(self._window(patch)).built)
        return self._pieces.tone_at(row, col, built)

    def _joined(self, low: np.ndarray, kinds: np.ndarray) -> np.ndarray:
        """Tones of pieces run into each other, of each of the ``kinds`` among themselves."""
        if self.library.kind_count == 1:
            return ndimage.gaussian_filter(low, (JOIN_PX, JOIN_PX, 0), truncate=3)
        joined = low.copy()
        for kind in np.unique(kinds):
            own = kinds == kind
            level = self._pieces.mean_tone(kind)
            joined[own] = smooth(low, own, JOIN_PX, level)[own]
        return ndimage.gaussian_filter(joined, (BORDER_PX, BORDER_PX, 0), truncate=3)

    def _meeting(self, window: Window) -> list[tuple[int, int]]:
        """The patches that meet a window."""
        rows, cols = (
            range((first - self._side) // self._hop + 1, (first + length - 1) // self._hop + 1)
            for first, length in ((window.row, window.height), (window.col, window.width))
        )
        return [(row, col) for row in rows for col in cols]

    def _lay_patch(
        self, patch: tuple[int, int], window: Window, low: np.ndarray, high: np.ndarray, source: np.ndarray,
        parts: np.ndarray, number: int,
    ) -> None:  # fmt: skip
        """Lay a patch where it is seen; ``parts`` tell its pieces from others'."""
        first_row, first_col = (index * self._hop for index in patch)
        top, left = max(first_row, window.row), max(first_col, window.col)
        bottom = min(first_row + self._side, window.row + window.height)
        right = min(first_col + self._side, window.col + window.width)
        if top >= bottom or left >= right:
            return
        into = slice(top - window.row, bottom - window.row), slice(left - window.col, right - window.col)
        inside = slice(top - first_row, bottom - first_row), slice(left - first_col, right - first_col)
        mine, made = self._seams.mine(patch, inside), self._made(patch)
        for layer, of_patch in ((low, made.tone), (high, made.texture)):
            np.copyto(layer[into], of_patch[inside], where=mine[..., None])
        np.copyto(source[into], made.tile[inside], where=mine)
        np.copyto(parts[into], made.piece[inside] + _PIECES * number, where=mine)

    def _made(self, patch: tuple[int, int]) -> _Patch:
        """A whole patch, laid of its pieces."""
        return self._recent.of(patch, self._laid_anew)

    def _laid_anew(self, patch: tuple[int, int]) -> _Patch:
        wanted = self._wanted(self._window(patch))
        return self._laid(patch, wanted, self._beside(patch, wanted.needed))

    def _window(self, patch: tuple[int, int]) -> Window:
        row, col = (index * self._hop for index in patch)
        return Window(row, col, self._side, self._side)

    def _wanted(self, window: Window) -> Wanted:
        wanted = self.wanted(window)
        return wanted._replace(kinds=self._pieces.known(wanted.kinds))

    def _beside(self, patch: tuple[int, int], needed: np.ndarray) -> Beside | None:
        """What lies where ground is ``needed`` (P, P) of a patch and is overlapped by patches that come before it, if anything."""
        laid, count = np.zeros((*needed.shape, self.library.bands), np.float32), np.zeros(needed.shape, np.float32)
        near = set[str]()
        for other, steps in earlier(patch):
            here, there = zip(*(self._common(step) for step in steps), strict=True)
            if needed[here].any():
                made = self._made(other)
                laid[here] += made.tone[there] + made.texture[there]
                count[here] += 1
                near.update(made.tiles)
        share = in_cells(needed & (count > 0), CELL_PX)
        if not share.any():
            return None
        seen = laid * (needed / np.maximum(count, 1))[..., None]
        return Beside(in_cells(seen, CELL_PX) / np.maximum(share, 1e-6)[..., None], share, frozenset(near))

    def _common(self, step: int) -> tuple[slice, slice]:
        """Which rows or columns a patch has in common with the one so many ``step`` farther on: its own, and those of the other."""
        first, last = slice(0, self._overlap), slice(self._hop, self._side)
        return {-1: (first, last), 0: (slice(None), slice(None)), 1: (last, first)}[step]

    def _laid(self, patch: tuple[int, int], wanted: Wanted, beside: Beside | None) -> _Patch:
        kinds, shape = wanted.kinds, (self._side, self._side)
        low, high = (np.zeros((*shape, self.library.bands), np.float32) for _ in range(2))
        source, number, missing = np.full(shape, -1, np.int32), np.zeros(shape, np.int32), np.ones(shape, bool)
        chosen = self._pieces.of(patch, wanted, beside)
        for count, strip in enumerate(chosen.strips, start=1):
            for layer, of_strip in zip((low, high), strip.layers(self.library), strict=True):
                layer.reshape(-1, self.library.bands)[strip.at] = of_strip
            source.ravel()[strip.at] = strip.tile
            number.ravel()[strip.at] = count
            missing.ravel()[strip.at] = False
        for count, piece in enumerate(chosen.pieces, start=len(chosen.strips) + 1):
            at = np.flatnonzero(missing & self._pieces.fits(piece, kinds))
            tone, texture = self._layers(piece, at)
            low.reshape(-1, self.library.bands)[at] = tone + self._shifts(piece, kinds.ravel()[at])
            high.reshape(-1, self.library.bands)[at] = texture
            source.ravel()[at] = piece.tile
            number.ravel()[at] = count
            missing.ravel()[at] = False
        self._fill(patch, chosen, wanted.kinds, missing, low, high, source)
        shown = frozenset(self.library.names[piece.tile] for piece in chosen.pieces)
        return _Patch(low, high, source, number, wanted, beside, shown)

    def _layers(self, piece: Piece, at: np.ndarray) -> Iterator[np.ndarray]:
        """Tone and texture, (n, B) float16, that a piece has at pixels ``at`` (n,) of its patch, counted line by line."""
        rows, cols = np.divmod(at, self._side)
        there = (rows + piece.row) * self.library.size_px + cols + piece.col
        return (layer.reshape(-1, self.library.bands)[there] for layer in self.library.layers(piece.tile))

    def _shifts(self, piece: Piece, kinds: np.ndarray) -> np.ndarray:
        """By how much the tones of a piece are moved where it shows ground of ``kinds`` (n,)."""
        return piece.shifts[0] if self.library.kind_count == 1 else piece.shifts[kinds]

    def _seen(self, patch: tuple[int, int], part: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
        made = self._made(patch)
        return made.tone[part] + made.texture[part], made.wanted.needed[part]

    def _fill(
        self, patch: tuple[int, int], chosen: Chosen, kinds: np.ndarray, missing: np.ndarray,
        low: np.ndarray, high: np.ndarray, source: np.ndarray,
    ) -> None:  # fmt: skip
        """Where no piece is open: the tone of the first or, of another kind, that of the neighbourhood; texture from somewhere in a
        piece that has that kind."""
        if not missing.any():
            return
        pieces, first = chosen.pieces, chosen.pieces[0]
        is_own = (kinds == ANY) | (self.library.kinds[first.tile][first.part(self._side)] == kinds)
        own, others = np.flatnonzero(missing & is_own), missing & ~is_own
        tone, _ = self._layers(first, own)
        low.reshape(-1, self.library.bands)[own] = tone + self._shifts(first, kinds.ravel()[own])
        if others.any():
            low[others] = chosen.tones[kinds[others]]
        for kind in np.unique(kinds[missing]).tolist():
            shares = [self._share(piece, kind) for piece in pieces]
            piece = next(
                (one for one, share in zip(pieces, shares, strict=True) if share >= _FILLS), pieces[int(np.argmax(shares))]
            )
            rows, cols = np.nonzero(missing & (kinds == kind))
            at = rows, cols
            source[at] = piece.tile
            self._fill_texture(patch, piece, kind, at, high)

    def _share(self, piece: Piece, kind: int) -> float:
        shares = self.library.shares(piece.tile)
        return float(shares.sum() if kind == ANY else shares[kind])

    def _fill_texture(
        self, patch: tuple[int, int], piece: Piece, kind: int, at: tuple[np.ndarray, np.ndarray], high: np.ndarray
    ) -> None:
        """Texture for the pixels ``at``, from anywhere in the tile of a piece that is open ground of a kind."""
        texture, size = self.library.layers(piece.tile)[1], self.library.size_px
        is_open = self.library.open_ground(piece.tile)
        if kind != ANY:
            is_open = is_open & (self.library.kinds[piece.tile] == kind)
        rows, cols = (where + by for where, by in zip(at, (piece.row, piece.col), strict=True))
        left, attempts = np.arange(len(rows)), np.arange(_ATTEMPTS * self.library.kind_count)
        for down, along in (uniform(self.seed, _GRAIN, *patch, attempts[:, None], np.arange(2)) * size).astype(int).tolist():
            if not len(left):
                break
            there = (rows[left] + down) % size, (cols[left] + along) % size
            found = is_open[there]
            into = at[0][left[found]], at[1][left[found]]
            high[into] = texture[there[0][found], there[1][found]]
            left = left[~found]


def _alike(one: Beside | None, other: Beside | None) -> bool:
    """Whether the same lies beside a patch."""
    if one is None or other is None:
        return one is other
    return one.tiles == other.tiles and all(np.array_equal(*both) for both in zip(one[:2], other[:2], strict=True))
