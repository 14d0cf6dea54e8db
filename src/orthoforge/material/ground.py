"""Ground over the plane: overlapping patches of real ground, each chosen by how well its open land fits the mask there."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy import fft, ndimage

from orthoforge.geo.grid import Window
from orthoforge.material.chance import uniform
from orthoforge.material.library import Library
from orthoforge.material.seams import Seams

CELL_PX = 4  # fit is judged by cells of so many pixels
MOST_PIECES = 4  # of one patch: the first covers most, the others what lies under roofs in it
JOIN_PX = 6.0  # tones of neighbouring pieces run into each other over so much
REACH_PX = 24  # three times JOIN_PX, and the cells of a border
_ENOUGH = 0.02  # of a patch: so little is left to its neighbours' tones
_TONE_SCALE = 500.0  # levels of colour that weigh as much as a patch without any fit; a piece is moved to its tone anyway
_GOOD_COVER = 0.8  # more is no better: further pieces fill the rest, and tiles with little on them would be everywhere
_DEAL = 3  # tiles are dealt to blocks of so many patches each way, where there are enough
_NOT_DEALT = 0.5
_TONE_SHARE = 0.7  # of the way, each piece is moved to the tone of its surroundings
_TONE_HOPS = 4
_CHANCE = 0.05
_AS_GOOD = 0.03
_KEPT = 64  # patches: those that a block of a scene meets
_TONE, _TILE, _SHIFT, _GRAIN, _TEAM = 100, 101, 102, 104, 105  # purposes of chance


@dataclass(frozen=True)
class Piece:
    """Tile ``tile`` from its pixel (``row``, ``col``) on, its tone moved by ``shift`` (B,)."""

    tile: int
    row: int
    col: int
    shift: np.ndarray

    def part(self, side: int) -> tuple[slice, slice]:
        """The rows and columns of its tile that a patch of ``side`` px shows."""
        return slice(self.row, self.row + side), slice(self.col, self.col + side)


@dataclass(frozen=True)
class _Patch:
    """``tone`` and ``texture`` (P, P, B) float32 of a patch, the ``tile`` (P, P) of each pixel, and where it is
    ``needed``."""

    tone: np.ndarray
    texture: np.ndarray
    tile: np.ndarray
    needed: np.ndarray


@dataclass
class Quilt:
    """Ground of tiles ``allowed`` of the library for a whole plane, counted in absolute pixels.

    ``need`` says of a window, which may lie outside of the scene, where ground is to be seen, (h, w) bool.
    """

    library: Library
    allowed: np.ndarray
    seed: int
    need: Callable[[Window], np.ndarray]
    _patches: dict[tuple[int, int], list[Piece]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        size = self.library.size_px // CELL_PX
        self._side = size * 11 // 14 * CELL_PX
        self._overlap = self._side * 3 // 11
        self._hop = self._side - self._overlap
        cells = self.library.open_ground[self.allowed][:, : size * CELL_PX, : size * CELL_PX]
        cells = cells.reshape(len(self.allowed), size, CELL_PX, size, CELL_PX).mean(axis=(2, 4), dtype=np.float32)
        self._spectra = fft.rfft2(cells)
        self._cells = size
        self._seams = Seams(self._side, self._overlap, self._seen)
        self._recent: OrderedDict[tuple[int, int], _Patch] = OrderedDict()

    def lay(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """The ground of a window, (h, w, B) float32, and the tile that each pixel is of, (h, w) int32."""
        around = Window(window.row - REACH_PX, window.col - REACH_PX, window.height + 2 * REACH_PX, window.width + 2 * REACH_PX)
        low, high = (np.zeros((around.height, around.width, self.library.bands), np.float32) for _ in range(2))
        source = np.full((around.height, around.width), -1, np.int32)
        for patch in self._meeting(around):
            self._lay_patch(patch, around, low, high, source)
        low = ndimage.gaussian_filter(low, (JOIN_PX, JOIN_PX, 0), truncate=3)
        inner = slice(REACH_PX, -REACH_PX), slice(REACH_PX, -REACH_PX)
        return (low + high)[inner], source[inner]

    def _meeting(self, window: Window) -> list[tuple[int, int]]:
        """The patches that meet a window."""
        rows, cols = (
            range((first - self._side) // self._hop + 1, (first + length - 1) // self._hop + 1)
            for first, length in ((window.row, window.height), (window.col, window.width))
        )
        return [(row, col) for row in rows for col in cols]

    def _lay_patch(self, patch: tuple[int, int], window: Window, low: np.ndarray, high: np.ndarray, source: np.ndarray) -> None:
        """Lay a patch where it is seen."""
        first_row, first_col = (index * self._hop for index in patch)
        top, left = max(first_row, window.row), max(first_col, window.col)
        bottom = min(first_row + self._side, window.row + window.height)
        right = min(first_col + self._side, window.col + window.width)
        if top >= bottom or left >= right:
            return
        into = slice(top - window.row, bottom - window.row), slice(left - window.col, right - window.col)
        inside = slice(top - first_row, bottom - first_row), slice(left - first_col, right - first_col)
        mine, made = self._seams.mine(patch, inside), self._made(patch)
        for layer, of_patch in ((low, made.tone), (high, made.texture), (source, made.tile)):
            layer[into][mine] = of_patch[inside][mine]

    def _made(self, patch: tuple[int, int]) -> "_Patch":
        """A whole patch, laid of its pieces."""
        if patch not in self._recent:
            needed = self._needed(patch)
            first, *others = self._pieces(patch, needed)
            low, high = (layer[first.tile][first.part(self._side)].astype(np.float32) for layer in self.library.layers)
            low += first.shift.astype(np.float32)
            source = np.full((self._side, self._side), first.tile, np.int32)
            missing = ~self.library.open_ground[first.tile][first.part(self._side)]
            for piece in others:
                part = piece.part(self._side)
                take = missing & self.library.open_ground[piece.tile][part]
                tone, texture = (layer[piece.tile][part] for layer in self.library.layers)
                low[take] = tone[take] + piece.shift
                high[take] = texture[take]
                source[take] = piece.tile
                missing &= ~take
            self._fill(patch, first, missing, high)
            self._recent[patch] = _Patch(low, high, source, needed)
            if len(self._recent) > _KEPT:
                self._recent.popitem(last=False)
        self._recent.move_to_end(patch)
        return self._recent[patch]

    def _seen(self, patch: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        made = self._made(patch)
        return made.tone + made.texture, made.needed

    def _needed(self, patch: tuple[int, int]) -> np.ndarray:
        row, col = (index * self._hop for index in patch)
        return self.need(Window(row, col, self._side, self._side))

    def _fill(self, patch: tuple[int, int], piece: Piece, missing: np.ndarray, high: np.ndarray) -> None:
        """Where no piece is open, and so the tone is that of the first: texture from somewhere in it that is."""
        at = np.nonzero(missing)
        if not len(at[0]):
            return
        texture, size = self.library.layers[1], self.library.size_px
        rows, cols = (where + by for where, by in zip(at, (piece.row, piece.col), strict=True))
        high[at] = 0
        left = np.arange(len(rows))
        for attempt in range(6):
            moves = (uniform(self.seed, _GRAIN, *patch, attempt, np.arange(2)) * size).astype(int)
            there = (rows[left] + moves[0]) % size, (cols[left] + moves[1]) % size
            is_open = self.library.open_ground[piece.tile][there]
            found = left[is_open]
            high[at[0][found], at[1][found]] = texture[piece.tile][there[0][is_open], there[1][is_open]]
            left = left[~is_open]

    def _pieces(self, patch: tuple[int, int], needed: np.ndarray) -> list[Piece]:
        """What a patch is made of, the first where it is open, then the second, and so on."""
        if patch not in self._patches:
            self._patches[patch] = self._chosen(patch, needed)
        return self._patches[patch]

    def _chosen(self, patch: tuple[int, int], needed: np.ndarray) -> list[Piece]:
        row, col = (index * self._hop for index in patch)
        left = needed
        target = self.tone_at(row + self._side / 2, col + self._side / 2)
        liking = self._liking(patch)
        off = np.linalg.norm(self.library.tones[self.allowed] - target, axis=1) / _TONE_SCALE
        pieces: list[Piece] = []
        for number in range(MOST_PIECES):
            cover = self._cover(left)
            fit = np.minimum(cover.reshape(len(cover), -1).max(axis=1), _GOOD_COVER) + liking - off
            chosen = int(fit.argmax())
            shifts = np.argwhere(cover[chosen] >= cover[chosen].max() - _AS_GOOD)
            pick = int(uniform(self.seed, _SHIFT, *patch, number) * len(shifts))
            first_row, first_col = (CELL_PX * shifts[pick]).tolist()
            tile = int(self.allowed[chosen])
            pieces.append(Piece(tile, first_row, first_col, _TONE_SHARE * (target - self.library.tones[tile])))
            left = left & ~self.library.open_ground[tile][pieces[-1].part(self._side)]
            liking[chosen] -= 0.3  # another one may have what this one lacks
            if left.mean() < _ENOUGH:
                break
        return pieces

    def _liking(self, patch: tuple[int, int]) -> np.ndarray:
        """What chance says of each allowed tile; those that neighbouring patches may take are left to them."""
        side = min(_DEAL, max(1, int(len(self.allowed) ** 0.5) // 2))
        block = [index // side for index in patch]
        dealt = uniform(self.seed, _TEAM, *block, self.allowed).argsort().argsort() % side**2
        own = (patch[0] % side) * side + patch[1] % side
        chance = uniform(self.seed, _TILE, *patch, self.allowed)
        return -_CHANCE * np.log(-np.log(np.clip(chance, 1e-9, 1 - 1e-9))) - _NOT_DEALT * (dealt != own)

    def _cover(self, need: np.ndarray) -> np.ndarray:
        """(tiles, shifts, shifts): the share of what is needed that each allowed tile has open, at each shift of whole cells."""
        side = self._side // CELL_PX
        cells = need.reshape(side, CELL_PX, side, CELL_PX).mean(axis=(1, 3), dtype=np.float32)
        padded = np.zeros((self._cells, self._cells), np.float32)
        padded[:side, :side] = cells
        both = fft.irfft2(self._spectra * np.conj(fft.rfft2(padded)), (self._cells, self._cells))
        room = self._cells - side + 1
        return both[:, :room, :room] / max(float(cells.sum()), 1.0)

    def tone_at(self, row: float, col: float) -> np.ndarray:
        """The tone that ground has around a place, (B,): changes from tile to tile over some hundred metres."""
        spacing = _TONE_HOPS * self._hop
        (top, down), (left, along) = (divmod(value / spacing, 1) for value in (row, col))
        corners = uniform(self.seed, _TONE, int(top) + np.arange(2)[:, None], int(left) + np.arange(2))
        tones = self.library.tones[self.allowed[(corners * len(self.allowed)).astype(int)]]  # (2, 2, B)
        upper, lower = tones[:, 0] * (1 - along) + tones[:, 1] * along
        return upper * (1 - down) + lower * down
