"""Which pieces of real ground a patch of the plane is made of: those whose ground fits best what the mask has there."""

import copy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import fft

from orthoforge.material.chance import uniform
from orthoforge.material.continuing import CELL_PX, Beside, Continuing, in_cells, spectrum
from orthoforge.material.lately import Lately
from orthoforge.material.library import Library
from orthoforge.material.lines import MOST_HALF_PX
from orthoforge.material.strips import Strip, Strips

ANY = -1  # no kind of ground in particular
MOST_PIECES = 4  # of each kind: the first covers most, the others what it leaves, as under its own roofs
_ENOUGH = 0.02  # of a patch: so little is left to its neighbours' tones
_TONE_SCALE = 500.0  # levels of colour that weigh as much as a patch without any fit; a piece is moved to its tone anyway
_GOOD_COVER = 0.8  # more is no better: further pieces fill the rest, and tiles with little on them would be everywhere
NEAR_PX = 20  # off a wall
_NEAR = 0.5  # how much less a cell is covered by ground that was near buildings and is not to be, or the other way round
_BUILT = 4.0  # by how much less is built in a tile: yards and lanes lie between houses, squares do not
_DEAL = 3  # tiles are dealt to blocks of so many patches each way, where there are enough
_NOT_DEALT = 0.5
_TONE_SHARE = 0.7  # of the way, each piece is moved to the tone of its surroundings
_TONE_HOPS = 4
_AS_BUILT = 0.3  # of a place's tiles lend tones to a patch: those as much built over, for land between houses is lighter than woods
_CHANCE = 0.05
_AS_GOOD = 0.03
_AGAIN = 0.3
_BESIDE_ITSELF = 0.3  # how much a tile is disliked, also turned, that a patch beside shows
_JOIN_SCALE = 60.0  # levels off what lies beside: so much, and a cell had better not be covered
_COMPARED = 40  # tiles that fit best are compared with what lies beside
_KEPT_BYTES = 48e6  # of patches that were chosen: some 2 KB each without strips, 100 KB with many
_TONE, _TILE, _SHIFT, _TEAM = 100, 101, 102, 105  # purposes of chance


class Wanted(NamedTuple):
    """What ground a window is to have: its ``kinds`` (h, w) int16, ``ANY`` where it does not matter, and where it is ``needed``
    (h, w) bool, as it will be seen, and whether it is ``near`` buildings (h, w) bool, which take the share ``built`` of it."""

    kinds: np.ndarray
    needed: np.ndarray
    near: np.ndarray
    built: float = 0.0

    def is_like(self, other: "Wanted") -> bool:
        """Whether the same ground is wanted."""
        return self.built == other.built and all(np.array_equal(*both) for both in zip(self[:3], other[:3], strict=True))


@dataclass(frozen=True)
class Piece:
    """Tile ``tile`` from its pixel (``row``, ``col``) on; the tone of its ground of each kind is moved by ``shifts`` (K + 1, B), of
    which the last is that of any kind."""

    tile: int
    row: int
    col: int
    shifts: np.ndarray

    def part(self, side: int) -> tuple[slice, slice]:
        """The rows and columns of its tile that a patch of ``side`` px shows."""
        return slice(self.row, self.row + side), slice(self.col, self.col + side)


class Chosen(NamedTuple):
    """What a patch is made of: ``strips`` lie on top, then the first of ``pieces`` where it fits, then the second, and so on. Where
    nothing fits ground of each kind has one of the ``tones`` (K + 1, B), of which the last is that of any kind."""

    strips: list[Strip]
    pieces: list[Piece]
    tones: np.ndarray


@dataclass
class Pieces:
    """Chooses pieces of the tiles ``allowed`` of the library for patches of ``side`` px that begin every ``hop`` px."""

    library: Library
    allowed: np.ndarray
    seed: int
    side: int
    hop: int

    def __post_init__(self) -> None:
        self._chosen = _remembering()
        library, self._cells = self.library, self.library.size_px // CELL_PX
        size, count = self._cells * CELL_PX, len(self.allowed)
        tiles = self.allowed.tolist()
        is_open = np.stack([library.open_ground(tile)[:size, :size] for tile in tiles])
        maps = [is_open]
        sides = np.stack([_near_or_far(library.off_buildings(tile)[:size, :size] <= NEAR_PX) for tile in tiles])
        self._near_or_far = fft.rfft2(np.stack([in_cells(of, CELL_PX) for of in is_open * sides]))
        if library.kind_count > 1:
            kinds = library.kinds[self.allowed][:, :size, :size]
            maps = [is_open & (kinds == kind) for kind in range(library.kind_count)] + maps
        cells = np.stack([of.reshape(count, self._cells, CELL_PX, self._cells, CELL_PX).mean((2, 4), np.float32) for of in maps])
        spectra = fft.rfft2(cells)
        # (K + 1, tiles, …), the last of any kind, which is also that of the only one
        self._spectra = np.broadcast_to(spectra, (library.kind_count + 1, *spectra.shape[1:])) if len(maps) == 1 else spectra
        self._tones = np.stack([np.vstack([library.kind_tones(tile), library.tone(tile)]) for tile in tiles])  # (tiles, K + 1, B)
        shares = np.stack([library.shares(tile) for tile in tiles])
        self._built = library.masks[self.allowed].mean(axis=(1, 2))  # (tiles,)
        self._lenders = np.stack([*(_lenders(of_kind) for of_kind in shares.T), np.arange(count)])  # (K + 1, tiles)
        if library.kind_count == 1:
            self._lenders[:] = np.arange(count)  # ground as such is that of all tiles alike
        self._continuing = Continuing(library, tiles, is_open, CELL_PX)
        self._known = np.full(257, ANY, np.int16)
        present = shares.max(axis=0) > 0
        self._known[: library.kind_count][present] = np.flatnonzero(present)
        self._strips = Strips(library, self.allowed, self.seed, _TONE_SHARE)

    def afresh(self) -> "Pieces":
        """The same, before anything was chosen."""
        other = copy.copy(self)
        other._chosen = _remembering()
        return other

    def known(self, kinds: np.ndarray) -> np.ndarray:
        """``kinds`` of which there is ground; ``ANY`` in place of the others."""
        return self._known[kinds]

    def of(self, patch: tuple[int, int], wanted: Wanted, beside: Beside | None = None) -> Chosen:
        """What a patch is made of, so that it goes on from what lies ``beside`` it."""
        return self._chosen.of(patch, lambda patch: self._choose(patch, wanted, beside))

    def fits(self, piece: Piece, kinds: np.ndarray) -> np.ndarray:
        """(P, P) bool: where a piece has open ground of the wanted ``kinds``."""
        part = piece.part(self.side)
        if self.library.kind_count == 1:
            return self.library.open_ground(piece.tile)[part]
        return self.library.open_ground(piece.tile)[part] & ((kinds == ANY) | (self.library.kinds[piece.tile][part] == kinds))

    def mean_tone(self, kind: int) -> np.ndarray:
        """The mean tone of a kind of ground, (B,)."""
        if kind == ANY:
            return np.stack([self.library.tone(tile) for tile in range(len(self.library))]).mean(axis=0)
        return np.ascontiguousarray(self._tones[:, kind]).mean(axis=0)

    def tone_at(self, row: float, col: float, built: float) -> np.ndarray:
        """The tone that ground has around a place, (B,), where so much is ``built``: changes over some hundred metres."""
        return self._tones_at(row, col, built)[ANY]

    def _tones_at(self, row: float, col: float, built: float) -> np.ndarray:
        corners, down, along = self._corners(row, col)
        lenders = self._lenders if self.library.kind_count > 1 else self._as_built(built)[None]
        drawn = lenders[:, (corners * lenders.shape[1]).astype(int)]  # (K + 1, 2, 2)
        tones = self._tones[drawn, np.arange(len(drawn))[:, None, None]]  # (K + 1, 2, 2, B)
        upper, lower = np.moveaxis(tones[:, :, 0] * (1 - along) + tones[:, :, 1] * along, 1, 0)
        return upper * (1 - down) + lower * down

    def _as_built(self, built: float) -> np.ndarray:
        """(n,): the tiles of which nearly the same share is ``built``."""
        count = max(1, round(_AS_BUILT * len(self.allowed)))
        return np.argsort(np.abs(self._built - built), kind="stable")[:count]

    def _corners(self, row: float, col: float) -> tuple[np.ndarray, float, float]:
        """What chance says, (2, 2), at the four corners around a place, and how far down and along it lies between them."""
        spacing = _TONE_HOPS * self.hop
        (top, down), (left, along) = (divmod(value / spacing, 1) for value in (row, col))
        return uniform(self.seed, _TONE, int(top) + np.arange(2)[:, None], int(left) + np.arange(2)), down, along

    def _choose(self, patch: tuple[int, int], wanted: Wanted, beside: Beside | None) -> Chosen:
        liking = self._liking(patch) - _BUILT * np.maximum(wanted.built - self._built, 0)
        if beside:
            liking -= _BESIDE_ITSELF * np.array([self.library.names[tile] in beside.tiles for tile in self.allowed.tolist()])
        row, col = (index * self.hop + self.side / 2 for index in patch)
        targets, strips = self._tones_at(row, col, wanted.built), list[Strip]()
        corners, down, along = self._corners(row, col)
        weights = np.outer((1 - down, down), (1 - along, along)).ravel()
        left = wanted.needed.copy()
        for kind in self.library.line_kinds:
            own = wanted.kinds == kind
            if not (own & left).any() or not self._strips.has(kind):
                continue
            found = self._strips.of(patch, kind, own, left, corners.ravel(), weights, liking)
            for strip in found:
                left.ravel()[strip.at] = False
            strips += found
            targets[kind] = (
                np.average([strip.target for strip in found], axis=0, weights=[len(strip.at) for strip in found])
                if found else weights @ self._strips.tone(kind, MOST_HALF_PX, own.mean(), corners.ravel())
            )  # fmt: skip
        return Chosen(strips, self._choose_pieces(patch, wanted, left, liking, targets, beside), targets)

    def _choose_pieces(
        self, patch: tuple[int, int], wanted: Wanted, left: np.ndarray, liking: np.ndarray, targets: np.ndarray,
        beside: Beside | None,
    ) -> list[Piece]:  # fmt: skip
        """Pieces for what is ``left`` (P, P) of a patch."""
        present = np.unique(wanted.kinds[left]).tolist() or [ANY]
        pieces: list[Piece] = []
        # The first piece is of all kinds at once, so that what lies beside each other in it does so here; then kind by kind.
        for kinds in [present, *([kind] for kind in present for _ in range(MOST_PIECES - 1))]:
            cells = {kind: in_cells(left & (wanted.kinds == kind), CELL_PX) for kind in kinds}
            total = float(sum(of_kind.sum() for of_kind in cells.values()))
            if pieces and total * CELL_PX**2 < _ENOUGH / len(present) * left.size:
                continue
            near_or_far = in_cells(left * _near_or_far(wanted.near), CELL_PX)
            fits, fit = self._fits(cells, near_or_far, total, targets, liking, None if pieces else beside)
            chosen = int(fit.argmax())
            shifts = np.argwhere(fits[chosen] >= fits[chosen].max() - _AS_GOOD)
            pick = int(uniform(self.seed, _SHIFT, *patch, len(pieces)) * len(shifts))
            row, col = (CELL_PX * shifts[pick]).tolist()
            pieces.append(Piece(int(self.allowed[chosen]), row, col, _TONE_SHARE * (targets - self._tones[chosen])))
            left = left & ~self.fits(pieces[-1], wanted.kinds)
            liking[chosen] -= _AGAIN  # another one may have what this one lacks
        return pieces

    def _liking(self, patch: tuple[int, int]) -> np.ndarray:
        """What chance says of each allowed tile; those that neighbouring patches may take are left to them."""
        side = min(_DEAL, max(1, int(len(self.allowed) ** 0.5) // 2))
        block = [index // side for index in patch]
        dealt = uniform(self.seed, _TEAM, *block, self.allowed).argsort().argsort() % side**2
        own = (patch[0] % side) * side + patch[1] % side
        chance = uniform(self.seed, _TILE, *patch, self.allowed)
        return -_CHANCE * np.log(-np.log(np.clip(chance, 1e-9, 1 - 1e-9))) - _NOT_DEALT * (dealt != own)

    def _fits(
        self, cells: dict[int, np.ndarray], near_or_far: np.ndarray, total: float, targets: np.ndarray, liking: np.ndarray,
        beside: Beside | None,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """How well each tile fits at each shift, (tiles, shifts, shifts), and at its best one, (tiles,).

        That is its ``liking`` (tiles,) and the share of ``total`` cells that it covers, less what its tone is off the ``targets``,
        less what it shows otherwise than lies ``beside``.
        """
        cover = self._cover(cells, near_or_far) / max(total, 1.0)
        off = sum(
            (float(of_kind.sum()) / total if total else 1.0)
            * np.linalg.norm(self._tones[:, kind] - targets[kind], axis=1) / _TONE_SCALE
            for kind, of_kind in cells.items()
        )  # fmt: skip
        fits, surplus = cover + np.reshape(liking - off, (-1, 1, 1)), np.maximum(cover - _GOOD_COVER, 0)
        if beside and total:
            best = np.argsort(-(fits - surplus).max(axis=(1, 2)), kind="stable")[:_COMPARED]
            shifts = _TONE_SHARE * (targets[ANY] - self._tones[best, ANY])
            still = beside._replace(share=beside.share * sum(cells.values()))
            against = self._continuing.off(still, best, shifts) / _JOIN_SCALE**2 / total
            others = np.ones(len(fits), bool)
            others[best] = False
            fits[best] -= against
            fits[others] = -np.inf
        return fits, (fits - surplus).max(axis=(1, 2))

    def _cover(self, cells: dict[int, np.ndarray], near_or_far: np.ndarray) -> np.ndarray:
        """(tiles, shifts, shifts): how many cells each allowed tile has open, of the kind that is needed in them, at each shift.

        Those that are near buildings in one of both, and not in the other, count less; where kinds of ground are known, these say
        what lies near buildings.
        """
        side, weight = self.side // CELL_PX, 1.0
        both: np.ndarray | float = 0.0
        if self.library.kind_count == 1:
            weight = 1 - _NEAR / 2
            both = _NEAR / 2 * self._near_or_far * spectrum(near_or_far, self._cells)
        for kind, needed in cells.items():
            both = both + weight * self._spectra[kind] * spectrum(needed, self._cells)
        room = self._cells - side + 1
        return fft.irfft2(both, (self._cells, self._cells))[:, :room, :room]


def _near_or_far(near: np.ndarray) -> np.ndarray:
    """1 where something is ``near``, -1 elsewhere."""
    return np.where(near, np.float32(1), np.float32(-1))


def _remembering() -> Lately[tuple[int, int], Chosen]:
    return Lately(_KEPT_BYTES, lambda chosen: 2000 + sum(of.at.nbytes + of.rows.nbytes + of.cols.nbytes for of in chosen.strips))


def _lenders(shares: np.ndarray) -> np.ndarray:
    """(n,): tiles, each as often as it has a ``share`` (n,) of what they have of a kind; each once where none has any.

    A tile with a highway then says what roads look like, and not one that is crossed by a track.
    """
    count = len(shares)
    if not shares.any():
        return np.arange(count)
    return np.searchsorted(np.cumsum(shares) / shares.sum(), (np.arange(count) + 0.5) / count)
