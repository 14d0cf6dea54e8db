"""The canvas: real ground, shadows and real roofs, composed for any window of a mask as a function of seed and place."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import shapely
from scipy import ndimage
from shapely import affinity

from orthoforge.geo.buildings import Buildings
from orthoforge.geo.grid import Window
from orthoforge.material.chance import uniform
from orthoforge.material.ground import Quilt
from orthoforge.material.library import Library
from orthoforge.material.light import SHADE_REACH_PX, Light, cast_shadow, shaded
from orthoforge.material.outlines import line_outline
from orthoforge.material.rectangles import Rectangle, rectangle_of
from orthoforge.material.roofs import REACH_PX as ROOF_REACH_PX
from orthoforge.material.roofs import LaidRoof, Roofs
from orthoforge.material.shapes import shape_of
from orthoforge.material.wings import nearest_wing, wings_of

REACH_PX = max(SHADE_REACH_PX, ROOF_REACH_PX) + 8
_EAVES_PX = 2.0  # a roof is laid so far beyond its outline: masks are cut at whole pixels, and cracks between houses have none
_LARGEST_PX = 2048  # of a larger building the box around it is its rectangle
_HEIGHT = 300


@dataclass(frozen=True)
class Canvas:
    """``image`` (h, w, B) uint8, and the tile of the library that each pixel comes from, ``source`` (h, w) int32."""

    image: np.ndarray
    source: np.ndarray


@dataclass
class Composer:
    """Composes canvases of the mask whose buildings are ``buildings``, from tiles ``allowed`` of the library.

    Places are counted in absolute pixels, as in ``buildings``: neighbouring scenes go on in each other.
    """

    library: Library
    buildings: Buildings
    seed: int
    allowed: np.ndarray
    light: Light
    _laid: dict[int, list[LaidRoof]] = field(default_factory=dict)
    _outlines: dict[int, shapely.Polygon | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.quilt = Quilt(self.library, self.allowed, self.seed, self._need)
        self.roofs = Roofs(self.library, self.allowed, self.seed)

    @staticmethod
    def of(
        library: Library, buildings: Buildings, *, seed: int, place: int | None = None, without: Sequence[int] = ()
    ) -> "Composer":
        """One that takes tiles of a ``place``, or of one that the seed chooses, ``without`` some of them.

        Where these are all that a place has, it takes those of the other places.
        """
        if place is None:
            place = int(uniform(seed, _HEIGHT + 1) * len(library.place_names))
        allowed = library.of_place(place, without=without)
        if not len(allowed):
            allowed = library.of_place(None, without=without)
        return Composer(library, buildings, seed, allowed, library.lights[place])

    def canvas(self, window: Window) -> Canvas:
        """The canvas of a window of the mask, counted from its first pixel."""
        around = _grown(window, REACH_PX)
        ids = self._drawn(self._ids(around), self._absolute(around))
        image, source = self.quilt.lay(self._absolute(around))
        numbers = np.unique(ids)
        numbers = numbers[numbers > 0]
        image = shaded(image, self._shadow(ids), self.light)
        roofs, tiles = self._roofed(ids, numbers, around, image)
        edge = ndimage.gaussian_filter((ids > 0).astype(np.float32), 1.2, truncate=3)
        alpha = np.clip(2.5 * (edge - 0.5) + 0.5, 0, 1)
        # A pixel of a building is covered by at least half, however thin the building.
        alpha = np.where(ids > 0, np.maximum(alpha, 0.5), np.minimum(alpha, 0.5))[..., None].astype(np.float32)
        image = image * (1 - alpha) + roofs * alpha
        source = np.where(ids > 0, tiles, source)
        inner = slice(REACH_PX, -REACH_PX), slice(REACH_PX, -REACH_PX)
        return Canvas(np.clip(np.rint(image[inner]), 0, 255).astype(np.uint8), source[inner])

    def _shadow(self, ids: np.ndarray) -> np.ndarray:
        present = np.unique(ids)
        present = present[present > 0]
        if not len(present):
            return np.zeros(ids.shape, np.float32)
        anchors = self.buildings.anchor[present - 1]
        chance = uniform(self.seed, _HEIGHT, anchors[:, 0], anchors[:, 1])
        reach = np.minimum(self.light.length_px * (0.5 + chance), SHADE_REACH_PX)
        return cast_shadow(np.where(ids > 0, np.searchsorted(present, ids) + 1, 0), reach, self.light)

    def _roofed(self, ids: np.ndarray, numbers: np.ndarray, window: Window, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The image with roofs laid on buildings and some pixels around, and the tile of each pixel of a roof."""
        out, tiles = image.copy(), np.zeros(ids.shape, np.int32)
        if not len(numbers):
            return out, tiles
        distance, (rows, cols) = ndimage.distance_transform_edt(ids == 0, return_indices=True)
        nearest = np.where(distance <= _EAVES_PX, ids[rows, cols], 0)
        boxes = ndimage.find_objects(nearest)
        first = self._absolute(window)
        for number in numbers.tolist():
            wings, box = self._roof(number - 1), boxes[number - 1]
            if not wings or box is None:
                continue
            covers = nearest[box] == number
            top, left = first.row + box[0].start, first.col + box[1].start
            rows, cols = np.mgrid[top : first.row + box[0].stop, left : first.col + box[1].stop]
            wing_of = nearest_wing([wing.target for wing in wings], rows, cols)
            for index, wing in enumerate(wings):
                mine = covers & (wing_of == index)
                if not mine.any():
                    continue
                part = ndimage.find_objects(mine.astype(np.int8))[0]
                window = Window(top + part[0].start, left + part[1].start, *(side.stop - side.start for side in part))
                laid = self.roofs.lay(wing, window, (mine & (ids[box] == number))[part])
                out[box][part][mine[part]] = laid[mine[part]]
                tiles[box][mine] = wing.roof.tile
        return out, tiles

    def _roof(self, building: int) -> list[LaidRoof]:
        """The roofs of a building's wings, in absolute pixels."""
        if building not in self._laid:
            wings = self._wings(building)
            tone = self.quilt.tone_at(wings[0].row, wings[0].col)
            anchor = tuple(self.buildings.anchor[building].tolist())
            whole = self._whole_roof(building, anchor, tone) if len(wings) > 1 else []
            self._laid[building] = whole or self.roofs.of_building(wings, anchor, tone)
        return self._laid[building]

    def _whole_roof(self, building: int, anchor: tuple[int, int], tone: np.ndarray) -> list[LaidRoof]:
        """The roof of another building of its shape, if there is one."""
        own, box = self._own(building), self.buildings.bbox[building].tolist()
        around = rectangle_of(own)
        return self.roofs.of_shape(around.moved(*box[:2]), shape_of(own, around), anchor, tone)

    def _wings(self, building: int) -> list[Rectangle]:
        box = Window(*self.buildings.bbox[building].tolist())
        if max(box.height, box.width) > _LARGEST_PX:
            fill = float(self.buildings.area[building]) / (box.height * box.width)
            middle = box.row + (box.height - 1) / 2, box.col + (box.width - 1) / 2
            return [Rectangle(*middle, float(box.width), float(box.height), 0.0, fill)]
        return [wing.moved(box.row, box.col) for wing in wings_of(self._own(building))]

    def _own(self, building: int) -> np.ndarray:
        """(h, w) bool: a building within its bounds."""
        row, col = self.buildings.origin
        box = Window(*self.buildings.bbox[building].tolist())
        return self.buildings.ids(box._replace(row=box.row - row, col=box.col - col)) == building + 1

    def _drawn(self, ids: np.ndarray, window: Window) -> np.ndarray:
        """``ids`` of a window in absolute pixels, with lines for the outlines of buildings where the mask was enlarged."""
        drawn = ids.copy()
        for number in np.unique(ids[ids > 0]).tolist():
            outline = self._outline(number - 1)
            if outline is None:
                continue
            row, col, height, width = self.buildings.bbox[number - 1].tolist()
            rows = np.arange(max(row, window.row), min(row + height, window.row + window.height))
            cols = np.arange(max(col, window.col), min(col + width, window.col + window.width))
            box = slice(rows[0] - window.row, rows[-1] + 1 - window.row), slice(cols[0] - window.col, cols[-1] + 1 - window.col)
            inside = shapely.contains_xy(outline, *np.meshgrid(cols + 0.5, rows + 0.5))
            drawn[box][(ids[box] == number) & ~inside] = 0
            drawn[box][inside & (ids[box] == 0)] = number
        return drawn

    def _outline(self, building: int) -> shapely.Polygon | None:
        if building not in self._outlines:
            row, col, height, width = self.buildings.bbox[building].tolist()
            outline = line_outline(self._own(building)) if max(height, width) <= _LARGEST_PX else None
            self._outlines[building] = outline and affinity.translate(outline, col, row)
            shapely.prepare(self._outlines[building])
        return self._outlines[building]

    def _need(self, window: Window) -> np.ndarray:
        """Where ground is to be seen, of a window in absolute pixels: beside buildings, inside the mask."""
        row, col = self.buildings.origin
        around = _grown(window._replace(row=window.row - row, col=window.col - col), 3)
        free = ~ndimage.binary_dilation(self._ids(around) > 0, iterations=2)
        rows, cols = np.arange(around.height) + around.row, np.arange(around.width) + around.col
        free &= ((rows >= 0) & (rows < self.buildings.shape[0]))[:, None] & ((cols >= 0) & (cols < self.buildings.shape[1]))
        return free[3:-3, 3:-3]

    def _ids(self, window: Window) -> np.ndarray:
        """Ids of a window that may lie outside of the mask, where there is no building."""
        ids = np.zeros((window.height, window.width), np.int32)
        top, left = max(0, window.row), max(0, window.col)
        bottom = min(self.buildings.shape[0], window.row + window.height)
        right = min(self.buildings.shape[1], window.col + window.width)
        if top < bottom and left < right:
            inside = self.buildings.ids(Window(top, left, bottom - top, right - left))
            ids[top - window.row : bottom - window.row, left - window.col : right - window.col] = inside
        return ids

    def _absolute(self, window: Window) -> Window:
        row, col = self.buildings.origin
        return window._replace(row=window.row + row, col=window.col + col)


def _grown(window: Window, by: int) -> Window:
    return Window(window.row - by, window.col - by, window.height + 2 * by, window.width + 2 * by)
