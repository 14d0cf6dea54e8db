"""The canvas: real ground, shadows and real roofs, composed for any window of a mask as a function of seed and place."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
from scipy import ndimage

from orthoforge.geo.buildings import Buildings, Read
from orthoforge.geo.grid import Window
from orthoforge.material.chance import uniform
from orthoforge.material.cuts import between, softened
from orthoforge.material.edges import LARGEST_PX, MEETING_PX, Edges
from orthoforge.material.ground import Quilt
from orthoforge.material.lately import Lately
from orthoforge.material.library import Library
from orthoforge.material.light import SHADE_REACH_PX, Light, cast_shadow, shaded
from orthoforge.material.more_ground import more_ground
from orthoforge.material.neighbours import Cell, earlier
from orthoforge.material.pieces import ANY, NEAR_PX, Wanted
from orthoforge.material.rectangles import Rectangle, rectangle_of
from orthoforge.material.roofs import BESIDE_PX, LaidRoof, Near, Roofs
from orthoforge.material.roofs import REACH_PX as ROOF_REACH_PX
from orthoforge.material.shapes import shape_of
from orthoforge.material.sun import sunlit
from orthoforge.material.wings import nearest_wing, wings_of

VERSION = 13  # raised when the same tiles, mask and seed give another canvas
Kept = TypeVar("Kept")
REACH_PX = max(SHADE_REACH_PX, ROOF_REACH_PX) + 8
_HEIGHT = 300
_CELL_PX = 128  # buildings of a cell and of those around it have roofs of their own, where there are enough
_KEPT_ROOFS = 10_000  # buildings, of 4 KB each: of a town as many as a row of blocks has in a scene of 20 000 px
_KEPT_OWN_BYTES = 8e6  # of pixels of buildings, which outlines and wings are found in


@dataclass(frozen=True)
class Canvas:
    """``image`` (h, w, B) uint8, and the tile of the library that each pixel comes from, ``source`` (h, w) int32."""

    image: np.ndarray
    source: np.ndarray


@dataclass(frozen=True)
class _Roofed:
    """The roofs of a building's ``wings``, the ``tone`` (B,) of the ground around them, and those ``near`` beside which they were
    chosen, where that is kept."""

    wings: list[LaidRoof]
    tone: np.ndarray
    near: Near | None

    def has(self, wings: list[LaidRoof], tone: np.ndarray) -> bool:
        """Whether the same building has the same roofs as on these ``wings``, among ground of the same ``tone``."""
        same = len(self.wings) == len(wings) and all(one.roof is other.roof for one, other in zip(self.wings, wings, strict=True))
        return same and np.array_equal(self.tone, tone)


@dataclass(frozen=True)
class _ShownRoof:
    """What the roofs of a building's ``wings`` show from ``place`` (row, column) on, where it is the ``nearest`` (h, w) bool.

    It stands on its ``own`` (h, w). ``image`` (h, w, B) float32 are roofs, which go on beyond their walls; what lies
    beside the walls is ``texture`` (h, w, B) and ``toned`` (h, w) of the tone of the ground, of which ``seen`` (h, w) is to be
    seen. They are pixels of ``tile`` (h, w).
    """

    wings: list[LaidRoof]
    place: tuple[int, int]
    nearest: np.ndarray
    own: np.ndarray
    image: np.ndarray
    texture: np.ndarray
    toned: np.ndarray
    seen: np.ndarray
    tile: np.ndarray

    def is_of(self, wings: list[LaidRoof], place: tuple[int, int], nearest: np.ndarray, own: np.ndarray) -> bool:
        return (
            self.wings is wings and self.place == place and np.array_equal(self.nearest, nearest) and np.array_equal(self.own, own)
        )


@dataclass(frozen=True)
class _Laid:
    """What all roofs of a window show, as one ``_ShownRoof``, where any building is ``near`` (h, w)."""

    near: np.ndarray
    image: np.ndarray
    texture: np.ndarray
    toned: np.ndarray
    seen: np.ndarray
    tile: np.ndarray


@dataclass
class Composer:
    """Composes canvases of the mask whose buildings are ``buildings``, from tiles ``allowed`` of the library.

    Places are counted in absolute pixels, as in ``buildings``: neighbouring scenes go on in each other. ``classes`` gives the
    classes (h, w) of a window of the mask, counted from its first pixel; ``None`` where it knows buildings alone. Ground is then
    of the class that the mask has there, if the library knows classes too.
    """

    library: Library
    buildings: Buildings
    seed: int
    allowed: np.ndarray
    light: Light
    classes: Read | None = None
    turned: np.ndarray | None = None
    """By how many radians clockwise roofs of each place are turned, (P,)."""
    keeps: bool = False
    """Whether pixels of roofs are kept for ``after``: for masks that are looked at as a whole."""
    _before: dict[int, _Roofed] = field(default_factory=dict)
    _shown: dict[int, _ShownRoof] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.more = more_ground(self.library, self.allowed)
        self.quilt = Quilt(self.more.library, self.more.allowed, self.seed, self._wanted)
        self.roofs = Roofs(self.library, self.allowed, self.seed, self.turned)
        self.edges = Edges(self.buildings, self._own, keeps=self.keeps)
        self._owns = Lately[int, np.ndarray](_KEPT_OWN_BYTES, lambda own: own.nbytes)
        self._laid = Lately[Cell, dict[int, _Roofed]](math.inf if self.keeps else _KEPT_ROOFS, len)

    @staticmethod
    def of(
        library: Library, buildings: Buildings, *, seed: int, place: int | None = None, without: Sequence[int] = (),
        classes: Read | None = None, sun: float | None = None, keeps: bool = False,
    ) -> "Composer":  # fmt: skip
        """One that takes tiles of a ``place``, or of one that the seed chooses, ``without`` some of them.

        Where these are all that a place has, it takes those of the other places. The ``sun`` stands at this azimuth, by default
        where it does in the tiles.
        """
        if place is None:
            place = int(uniform(seed, _HEIGHT + 1) * len(library.place_names))
        allowed = library.of_place(place, without=without)
        if not len(allowed):
            allowed = library.of_place(None, without=without)
        light = library.light(place)
        if sun is None:
            return Composer(library, buildings, seed, allowed, light, classes, keeps=keeps)
        turned = sunlit(library, sun, library.places[allowed].tolist())
        return Composer(turned.library, buildings, seed, allowed, light.under(sun), classes, turned.further, keeps)

    def after(self, buildings: Buildings, classes: Read | None) -> "Composer":
        """One for another mask, which keeps of this one what the two have in common, as two states of one drawing do.

        Its canvases are those of a new one. Roofs of buildings that stay as they are, and ground with nothing else on it, are not
        made again.
        """
        other = Composer(self.library, buildings, self.seed, self.allowed, self.light, classes, self.turned, keeps=True)
        other.roofs = self.roofs.trimmed()
        other.quilt.keep(self.quilt)
        same = self._same(other)
        other._before = _renumbered({number: of for _, cell in self._laid.kept() for number, of in cell.items()}, same)
        other.edges.keep(self.edges, same)
        other._shown = _renumbered(self._shown, same)
        return other

    def _same(self, other: "Composer") -> dict[int, int]:
        """Buildings of this mask by those of another one's that stand there just so."""
        there = {tuple(anchor): number for number, anchor in enumerate(other.buildings.anchor.tolist())}
        found = {}
        for number in self.edges.outlines:
            at = there.get(tuple(self.buildings.anchor[number].tolist()))
            if at is None or (self.buildings.bbox[number] != other.buildings.bbox[at]).any():
                continue
            if max(self.buildings.bbox[number][2:]) <= LARGEST_PX and np.array_equal(self._own(number), other._own(at)):
                found[number] = at
        return found

    def canvas(self, window: Window) -> Canvas:
        """The canvas of a window of the mask, counted from its first pixel."""
        around = _grown(window, REACH_PX)
        ids = self.edges.drawn(self._ids(around), self._absolute(around))
        tone, texture, copied = self.quilt.lay(self._absolute(around))
        covered = self.edges.covered(ids, self._absolute(around))
        ground = shaded(tone + texture, self._shadow(ids, covered), self.light)
        roofs = self._roofs_laid(ids, around)
        beside = softened(roofs.toned[..., None] * tone + roofs.texture, *between(roofs.near))
        ground = _under_roofs(ground + roofs.seen[..., None] * (beside - ground), ids > 0)
        alpha = (covered * (roofs.near > 0))[..., None]
        image = ground + alpha * (roofs.image - ground)
        source = np.where((ids > 0) | (roofs.seen > 0.5), roofs.tile, self.more.origin[copied])
        inner = slice(REACH_PX, -REACH_PX), slice(REACH_PX, -REACH_PX)
        return Canvas(np.clip(np.rint(image[inner]), 0, 255).astype(np.uint8), source[inner])

    def _shadow(self, ids: np.ndarray, covered: np.ndarray) -> np.ndarray:
        present = np.unique(ids)
        present = present[present > 0]
        if not len(present):
            return np.zeros(ids.shape, np.float32)
        anchors = self.buildings.anchor[present - 1]
        chance = uniform(self.seed, _HEIGHT, anchors[:, 0], anchors[:, 1])
        reach = np.minimum(self.light.length_px * (0.5 + chance), SHADE_REACH_PX)
        return cast_shadow(np.where(ids > 0, np.searchsorted(present, ids) + 1, 0), covered, reach, self.light)

    def _roofs_laid(self, ids: np.ndarray, window: Window) -> _Laid:
        """The roofs of all buildings of a window, and what lies beside them."""
        bands, tile = self.library.bands, np.zeros(ids.shape, np.int32)
        image, texture = (np.zeros((*ids.shape, bands), np.float32) for _ in range(2))
        near, toned, seen = np.zeros(ids.shape, np.int32), *(np.zeros(ids.shape, np.float32) for _ in range(2))
        if ids.any():
            distance, (rows, cols) = ndimage.distance_transform_edt(ids == 0, return_indices=True)
            near = np.where(distance < BESIDE_PX, ids[rows, cols], 0)
        first, laid = self._absolute(window), dict[int, tuple[tuple[slice, slice], _ShownRoof]]()
        for number, box in _boxes(near):
            box = _with_more(box, MEETING_PX, ids.shape)
            wings, place = self.roofs_on(number - 1), (first.row + box[0].start, first.col + box[1].start)
            nearest, own = near[box] == number, ids[box] == number
            if not wings:
                near[box][nearest] = 0
                continue
            shown = self._shown.get(number - 1)
            if shown is None or not shown.is_of(wings, place, nearest, own):
                shown = self._shown_roof(wings, place, nearest, own)
                if self.keeps:
                    self._shown[number - 1] = shown
            laid[number] = box, shown
            for of_all, its in ((image, shown.image), (texture, shown.texture)):
                np.copyto(of_all[box], its, where=nearest[..., None])
            for of_all, its in ((toned, shown.toned), (seen, shown.seen), (tile, shown.tile)):
                np.copyto(of_all[box], its, where=nearest)
        meeting = {number: of for number, of in self.edges.meeting(ids, first).items() if number in laid}
        for (rows, cols), _ in meeting.values():
            image[rows, cols] = 0
        for number, ((rows, cols), share) in meeting.items():
            box, shown = laid[number]
            image[rows, cols] += share[:, None] * shown.image[rows - box[0].start, cols - box[1].start]
        return _Laid(near, image, texture, toned, seen, tile)

    def _shown_roof(self, wings: list[LaidRoof], place: tuple[int, int], nearest: np.ndarray, own: np.ndarray) -> _ShownRoof:
        """What a building's wings show where it is the ``nearest`` (h, w), from ``place`` on."""
        (top, left), shape = place, nearest.shape
        image, texture = (np.zeros((*shape, self.library.bands), np.float32) for _ in range(2))
        toned, seen, tile = np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.int32)
        distance, at_wall = ndimage.distance_transform_edt(~own, return_indices=True)
        off_px = distance.astype(np.float32)
        wing_of = nearest_wing([wing.target for wing in wings], *np.mgrid[top : top + shape[0], left : left + shape[1]])
        for index, wing in enumerate(wings):
            mine = nearest & (wing_of == index)
            tile[mine] = wing.roof.tile
            for part, covers in _parts(mine & own):
                window = Window(top + part[0].start, left + part[1].start, *covers.shape)
                np.copyto(image[part], self.roofs.lay(wing, window, covers), where=covers[..., None])
            for part, beside in _parts(mine & (off_px > 0)):
                window = Window(top + part[0].start, left + part[1].start, *beside.shape)
                its_texture, *its_shares = self.roofs.lay_beside(wing, window, off_px[part], beside)
                np.copyto(texture[part], its_texture, where=beside[..., None])
                for share, its in zip((toned, seen), its_shares, strict=True):
                    np.copyto(share[part], its, where=beside)
        # Pixels that the outline crosses show the roof at its wall, on which side soever their middles lie.
        image = softened(image[tuple(at_wall)], *between(wing_of))
        return _ShownRoof(wings, place, nearest, own, image, texture, toned, seen, tile)

    def roofs_on(self, building: int) -> list[LaidRoof]:
        """The roofs of a building's wings, in absolute pixels."""
        return self._laid.of(_cell_of(self.buildings.anchor[building].tolist()), self._lay_cell)[building].wings

    def _lay_cell(self, cell: Cell) -> dict[int, _Roofed]:
        """Choose the roofs of all buildings of a cell, others than lie around it in cells of an earlier turn."""
        near, laid = set[tuple[int, int]](), dict[int, _Roofed]()
        for other, _ in earlier(cell):
            for roofed in self._laid.of(other, self._lay_cell).values():
                near.update({wing.roof.building for wing in roofed.wings})
        for building in self._in_cell(cell):
            before, tone = self._before.get(building), self._tone_around(building)
            if before is None or before.near != near or not np.array_equal(before.tone, tone):
                wings = self._roofs_of(building, tone, near)
                kept = frozenset(near) if self.keeps else None  # of a large scene that would be much
                before = _Roofed(before.wings if before and before.has(wings, tone) else wings, tone, kept)
            laid[building] = before
            near.update({wing.roof.building for wing in before.wings})
        return laid

    def _in_cell(self, cell: Cell) -> list[int]:
        """The buildings of a cell, in the order of their first pixels."""
        keys, numbers = self._by_cell
        first, last = np.searchsorted(keys, _key_of(*cell) + np.arange(2))
        found: list[int] = numbers[first:last].tolist()
        return found

    @cached_property
    def _by_cell(self) -> tuple[np.ndarray, np.ndarray]:
        """The cell of each building as a number, sorted, and which building that is, (n,) each."""
        rows, cols = self.buildings.anchor.T
        keys = _key_of(rows // _CELL_PX, cols // _CELL_PX)
        numbers = np.lexsort((cols, rows, keys))
        return keys[numbers], numbers.astype(np.int32)

    def _tone_around(self, building: int) -> np.ndarray:
        row, col, height, width = self.buildings.bbox[building].tolist()
        return self.quilt.tone_at(row + height / 2, col + width / 2)

    def _roofs_of(self, building: int, tone: np.ndarray, near: Near) -> list[LaidRoof]:
        wings = self._wings(building)
        anchor = tuple(self.buildings.anchor[building].tolist())
        whole = self._whole_roof(building, anchor, tone, near) if len(wings) > 1 else []
        return whole or self.roofs.of_building(wings, anchor, tone, near)

    def _whole_roof(self, building: int, anchor: tuple[int, int], tone: np.ndarray, near: Near) -> list[LaidRoof]:
        """The roof of another building of its shape, if there is one."""
        own, box = self._own(building), self.buildings.bbox[building].tolist()
        around = rectangle_of(own)
        return self.roofs.of_shape(around.moved(*box[:2]), shape_of(own, around), anchor, tone, near)

    def _wings(self, building: int) -> list[Rectangle]:
        box = Window(*self.buildings.bbox[building].tolist())
        if max(box.height, box.width) > LARGEST_PX:
            fill = float(self.buildings.area[building]) / (box.height * box.width)
            middle = box.row + (box.height - 1) / 2, box.col + (box.width - 1) / 2
            return [Rectangle(*middle, float(box.width), float(box.height), 0.0, fill)]
        return [wing.moved(box.row, box.col) for wing in wings_of(self._own(building))]

    def _own(self, building: int) -> np.ndarray:
        """(h, w) bool: a building within its bounds."""
        return self._owns.of(building, self._found)

    def _found(self, building: int) -> np.ndarray:
        row, col = self.buildings.origin
        box = Window(*self.buildings.bbox[building].tolist())
        return self._houses(box._replace(row=box.row - row, col=box.col - col)) == building + 1

    def _wanted(self, window: Window) -> Wanted:
        """The ground of a window in absolute pixels; it is needed beside buildings, inside the mask."""
        row, col = self.buildings.origin
        around = _grown(window._replace(row=window.row - row, col=window.col - col), NEAR_PX)
        ids = self._inside(self._houses, around, 0)
        is_there = self._inside(_everywhere, around, 0).astype(bool)
        is_free = ~ndimage.binary_dilation(ids > 0, iterations=2) & is_there
        built = float((ids > 0).sum() / max(1, is_there.sum()))
        if self.classes is None or self.library.classes is None:
            kinds = np.zeros(ids.shape, np.int16)
        else:
            kinds = np.where(ids > 0, ANY, self._inside(self.classes, around, ANY))
        near, inner = ndimage.maximum_filter(ids > 0, 2 * NEAR_PX + 1), np.s_[NEAR_PX:-NEAR_PX, NEAR_PX:-NEAR_PX]
        return Wanted(kinds[inner], is_free[inner], near[inner], built)

    def _houses(self, window: Window) -> np.ndarray:
        """``Buildings.ids``; of a mask that is looked at as a whole, found once."""
        return self._all_houses[window.slices] if self.keeps else self.buildings.ids(window)

    @cached_property
    def _all_houses(self) -> np.ndarray:
        return self.buildings.ids(Window(0, 0, *self.buildings.shape))

    def _ids(self, window: Window) -> np.ndarray:
        """Ids of a window that may lie outside of the mask, where there is no building."""
        return self._inside(self._houses, window, 0)

    def _inside(self, read: Read, window: Window, outside: int) -> np.ndarray:
        """What ``read`` says of the part of a window that is inside the mask, (h, w) int32."""
        found = np.full((window.height, window.width), outside, np.int32)
        top, left = max(0, window.row), max(0, window.col)
        bottom = min(self.buildings.shape[0], window.row + window.height)
        right = min(self.buildings.shape[1], window.col + window.width)
        if top < bottom and left < right:
            inside = read(Window(top, left, bottom - top, right - left))
            found[top - window.row : bottom - window.row, left - window.col : right - window.col] = inside
        return found

    def _absolute(self, window: Window) -> Window:
        row, col = self.buildings.origin
        return window._replace(row=window.row + row, col=window.col + col)


def _renumbered(kept: Mapping[int, Kept], numbers: Mapping[int, int]) -> dict[int, Kept]:
    """What is kept of those that have another number now."""
    return {now: kept[before] for before, now in numbers.items() if before in kept}


def _parts(of: np.ndarray) -> list[tuple[tuple[slice, slice], np.ndarray]]:
    """The box around what is true of (h, w) bool and that part of it; none where nothing is."""
    return [(box, of[box]) for box in ndimage.find_objects(of.astype(np.int8))]


def _with_more(box: tuple[slice, slice], by: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """A box with so many pixels more each way, as far as an array of ``shape`` goes."""
    rows, cols = (slice(max(0, side.start - by), min(most, side.stop + by)) for side, most in zip(box, shape, strict=True))
    return rows, cols


def _under_roofs(ground: np.ndarray, built: np.ndarray) -> np.ndarray:
    """The ground (h, w, B), which goes on below what is ``built`` (h, w) as it lies beside it: pixels that an outline crosses show
    some of it."""
    if built.all() or not built.any():
        return ground
    return ground[tuple(ndimage.distance_transform_edt(built, return_distances=False, return_indices=True))]


def _cell_of(anchor: Sequence[int]) -> Cell:
    row, col = anchor
    return row // _CELL_PX, col // _CELL_PX


def _key_of(row: np.ndarray | int, col: np.ndarray | int) -> np.ndarray:
    """A cell, or several, as one whole number each."""
    return np.asarray(row, np.int64) * 2**32 + col


def _boxes(labels: np.ndarray) -> Iterable[tuple[int, tuple[slice, slice]]]:
    """Each label above 0 of (h, w) int32, and the box around its pixels."""
    if not labels.any():
        return []
    before = int(labels[labels > 0].min()) - 1  # numbers of a scene's buildings may be large
    found = ndimage.find_objects(np.maximum(labels - before, 0))
    return ((number, box) for number, box in enumerate(found, start=before + 1) if box is not None)


def _grown(window: Window, by: int) -> Window:
    return Window(window.row - by, window.col - by, window.height + 2 * by, window.width + 2 * by)


def _everywhere(window: Window) -> np.ndarray:
    return np.ones((window.height, window.width), bool)
