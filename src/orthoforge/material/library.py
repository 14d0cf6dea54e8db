"""A library of material: tiles of real images with their masks, and what they hold: open ground, roofs, light."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import TypeVar

import numpy as np
from scipy import ndimage

from orthoforge.geo.grid import Window
from orthoforge.geo.houses import Houses
from orthoforge.material.light import Light, light_of
from orthoforge.material.lines import lines_of
from orthoforge.material.looks import histograms
from orthoforge.material.open_ground import open_ground, smooth
from orthoforge.material.plain_roofs import Plainness, plainness_of
from orthoforge.material.rectangles import Rectangle, rectangle_of
from orthoforge.material.shapes import shape_of
from orthoforge.material.wings import wings_of

_Made = TypeVar("_Made")

LOW_PX = 8.0  # what is wider than this is the tone of a piece of ground, what is finer its texture
_LEAST_GROUND = 0.01  # of a tile: with less of a kind it says nothing of its colour
_LEAST_ROOF_PX = 80
_LEAST_FILL = 0.72
_VARIETY_PX = 1.0
_LEAST_SHARE = 0.3  # of its building has a wing whose roof is taken
_LIT = 0.72  # of the brightness of the ground: what is darker may lie in shade
_LONG = 0.6  # of a kind's pixels lie in lines: roads do, and with them what else has a direction to be seen
_LOOKED_AT = 8  # tiles, to say so


@dataclass(frozen=True)
class Roof:
    """The roof of a wing of building ``label`` of tile ``tile``; ``is_cut`` where it lies at the tile's edge and goes on beyond.

    ``colour`` (B,) is its mean; ``variety`` the standard deviation of its colours, smoothed over a pixel, from 0 to 1: of plain
    sheets little. ``foliage`` is the share of its pixels that show leaves: trees above it, gardens on it.
    """

    tile: int
    label: int
    rectangle: Rectangle
    is_cut: bool
    colour: np.ndarray
    variety: float
    foliage: float

    @property
    def building(self) -> tuple[int, int]:
        """Which building of the library it is of."""
        return self.tile, self.label


def once_for_each(make: "Callable[[Library, int], _Made]") -> "Callable[[Library, int], _Made]":
    """A method that remembers what it made of each tile, or place."""

    @wraps(make)
    def found(library: "Library", tile: int) -> _Made:
        made: dict[int, _Made] = library.__dict__.setdefault(f"_each_{make.__name__}", {})
        if tile not in made:
            made[tile] = make(library, tile)
        return made[tile]

    return found


@dataclass(frozen=True)
class Library:
    """``images`` (N, S, S, B) uint8 and ``masks`` (N, S, S) bool of real tiles; ``places`` (N,) are indices into ``place_names``,
    ``names`` say which tile each is. ``classes`` (N, S, S) uint8 are the masks' classes, where they have any."""

    images: np.ndarray
    masks: np.ndarray
    places: np.ndarray
    place_names: tuple[str, ...]
    names: tuple[str, ...]
    classes: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size_px(self) -> int:
        """Side of a tile."""
        return self.images.shape[1]

    @property
    def bands(self) -> int:
        """Bands of an image."""
        return self.images.shape[3]

    @cached_property
    def kinds(self) -> np.ndarray:
        """(N, S, S) uint8: what kind of ground each pixel is, its class; 0 everywhere where masks know buildings alone."""
        return np.zeros(self.masks.shape, np.uint8) if self.classes is None else self.classes

    @cached_property
    def kind_count(self) -> int:
        """Kinds are numbers below this one."""
        return 1 if self.classes is None else int(self.classes.max()) + 1

    @cached_property
    def line_kinds(self) -> tuple[int, ...]:
        """The kinds of ground that run along lines, as roads do."""
        found = []
        for kind in range(self.kind_count if self.kind_count > 1 else 0):
            having = np.flatnonzero((self.kinds == kind).any(axis=(1, 2)))
            looked_at = [self.kinds[tile] == kind for tile in having[:: -(-len(having) // _LOOKED_AT) or 1]]
            in_lines = sum(int(np.isfinite(lines_of(own).half).sum()) for own in looked_at)
            if in_lines > _LONG * sum(int(own.sum()) for own in looked_at):
                found.append(kind)
        return tuple(found)

    def mask_values(self, tile: int) -> np.ndarray:
        """(S, S) uint8: a tile's mask as a generator is given it, 0 and 255, or its classes."""
        return self.masks[tile].astype(np.uint8) * 255 if self.classes is None else self.classes[tile]

    # What follows is made tile by tile, when it is asked for: an image takes tiles of one place, and few of those.

    @once_for_each
    def _ground(self, tile: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return open_ground(self.images[tile], self.masks[tile], self.kinds[tile])

    def take_ground(self, tile: int, turned: Callable[[np.ndarray], np.ndarray], library: "Library", origin: int) -> None:
        """Take over what ``library`` knows of the ground of its tile ``origin``, of which a tile is a ``turned`` copy."""
        found = tuple(turned(layer[None])[0] for layer in library._ground(origin))
        self.__dict__.setdefault("_each__ground", {})[tile] = found

    def open_ground(self, tile: int) -> np.ndarray:
        """(S, S) bool: sunlit ground off walls, without what may be a building that the mask lacks."""
        return self._ground(tile)[0]

    def shade(self, tile: int) -> np.ndarray:
        """(S, S) bool: dark ground beside buildings."""
        return self._ground(tile)[1]

    @once_for_each
    def off_buildings(self, tile: int) -> np.ndarray:
        """(S, S) float32: how many pixels off the nearest building each pixel is, also one that the mask may lack."""
        built = self._ground(tile)[2]
        return ndimage.distance_transform_edt(~built).astype(np.float32) if built.any() else np.full(built.shape, 1e3, np.float32)

    @once_for_each
    def layers(self, tile: int) -> tuple[np.ndarray, np.ndarray]:
        """Tone and texture of the ground, (S, S, B) float16 each; their sum is the image where the ground is open.

        A tone is that of ground of the same kind alone.
        """
        image, kinds, is_open = self.images[tile], self.kinds[tile], self.open_ground(tile)
        low = np.empty(image.shape, np.float16)
        low[...] = self.tone(tile)
        for kind in np.unique(kinds[is_open]):
            own = kinds == kind
            low[own] = smooth(image.astype(np.float32), is_open & own, LOW_PX)[own]
        return low, (image - low.astype(np.float32)).astype(np.float16)

    @once_for_each
    def tone(self, tile: int) -> np.ndarray:
        """(B,): mean colour of the open ground, or of the whole tile where that is little."""
        return _tone(self.images[tile], self.open_ground(tile))

    @once_for_each
    def histograms(self, place: int) -> np.ndarray:
        """(B, 256): how many pixels of all tiles of a place have each level."""
        return histograms(self.images[self.of_place(place)])

    @once_for_each
    def shares(self, tile: int) -> np.ndarray:
        """(K,): the share of the tile that is open ground of each kind."""
        open_kinds = np.where(self.open_ground(tile), self.kinds[tile], self.kind_count)
        return np.bincount(open_kinds.ravel(), minlength=self.kind_count + 1)[:-1] / open_kinds.size

    @once_for_each
    def kind_tones(self, tile: int) -> np.ndarray:
        """(K, B): ``tone``, of ground of each kind."""
        if self.kind_count == 1:
            return self.tone(tile)[None]
        image, kinds, is_open = self.images[tile], self.kinds[tile], self.open_ground(tile)
        return np.array([_tone(image, is_open & (kinds == kind)) for kind in range(self.kind_count)])

    @once_for_each
    def _roofs(self, tile: int) -> tuple[list[Roof], list[tuple[Roof, np.ndarray]]]:
        return _roofs(tile, self.labels(tile), self.images[tile])

    def roofs(self, tile: int) -> list[Roof]:
        """The roofs of all wings that are nearly a rectangle."""
        return self._roofs(tile)[0]

    def whole_roofs(self, tile: int) -> list[tuple[Roof, np.ndarray]]:
        """The roofs of whole buildings of several wings that the tile's edge does not cut, and the shape of each,
        (CELLS, CELLS) bool."""
        return self._roofs(tile)[1]

    @once_for_each
    def plain_roofs(self, tile: int) -> list[tuple[Roof, Plainness]]:
        """Those of ``roofs`` that are plain, so that they may be made as large as is wanted."""
        image = self.images[tile]
        lit = [roof for roof in self.roofs(tile) if roof.colour.mean() > _LIT * self.tone(tile).mean()]
        found = [(roof, plainness_of(image, roof.rectangle, roof.foliage)) for roof in lit]
        return [(roof, plain) for roof, plain in found if plain]

    @once_for_each
    def labels(self, tile: int) -> np.ndarray:
        """(S, S) int32: which building each pixel is of, from 1; 0 outside."""
        return Houses.of(self.masks[tile]).ids(Window(0, 0, self.size_px, self.size_px))

    @once_for_each
    def light(self, place: int) -> Light:
        """The light of a place."""
        of = np.flatnonzero(self.places == place)
        grounds, shades = (np.stack([layer(tile) for tile in of.tolist()]) for layer in (self.open_ground, self.shade))
        return light_of(self.images[of], self.masks[of], grounds, shades)

    def of_place(self, place: int | None, *, without: Sequence[int] = ()) -> np.ndarray:
        """Indices of the tiles of a place, or of all where it is ``None``, ``without`` some."""
        of = np.ones(len(self), bool) if place is None else self.places == place
        of[list(without)] = False
        return np.flatnonzero(of)


def _tone(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(B,): the mean colour of what is ``known`` (S, S) of an image, or of all of it where that is little."""
    return (image[known] if known.mean() > _LEAST_GROUND else image.reshape(-1, image.shape[-1])).mean(axis=0)


@dataclass(frozen=True)
class _Part:
    """A building of a tile: its box, where it stands in it, and its colours, smoothed."""

    box: tuple[slice, slice]
    own: np.ndarray
    smoothed: np.ndarray


def _buildings(labels: np.ndarray, image: np.ndarray) -> Iterator[tuple[int, _Part]]:
    """The buildings of a tile that are large enough for a roof, with their labels."""
    shown = image.astype(np.float32) / 255
    smoothed = ndimage.gaussian_filter(shown, (_VARIETY_PX, _VARIETY_PX, 0))
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        own = labels[box] == number
        if own.sum() >= _LEAST_ROOF_PX:
            yield number, _Part(box, own, smoothed[box])


def _roofs(tile: int, labels: np.ndarray, image: np.ndarray) -> tuple[list[Roof], list[tuple[Roof, np.ndarray]]]:
    """The roofs of wings, and those of whole buildings of several of them."""
    roofs, whole = [], []
    for number, part in _buildings(labels, image):
        at, wings = np.indices(part.own.shape), wings_of(part.own)
        for wing in wings:
            along, across = wing.local(*at)
            of_wing = part.own & (np.abs(along) <= wing.width / 2) & (np.abs(across) <= wing.height / 2)
            if of_wing.sum() >= max(_LEAST_ROOF_PX, _LEAST_SHARE * part.own.sum()) and wing.fill >= _LEAST_FILL:
                roofs.append(_roof(tile, number, part, of_wing, wing, image))
        if len(wings) > 1:
            around = rectangle_of(part.own)
            roof = _roof(tile, number, part, part.own, around, image)
            if not roof.is_cut:
                whole.append((roof, shape_of(part.own, around)))
    return roofs, whole


def _roof(tile: int, number: int, part: _Part, covered: np.ndarray, rectangle: Rectangle, image: np.ndarray) -> Roof:
    """The roof of the pixels ``covered`` of a building's box."""
    inner = covered & ndimage.binary_erosion(part.own, iterations=2)
    plain = inner if inner.any() else covered
    first = [side.start for side in part.box]
    ends = [(place.min() + start, place.max() + start) for place, start in zip(np.nonzero(covered), first, strict=True)]
    is_cut = any(low == 0 or high == len(image) - 1 for low, high in ends)
    variety = float(np.sqrt(part.smoothed[plain].var(axis=0).mean()))
    colours = image[part.box][plain]
    return Roof(tile, number, rectangle.moved(*first), is_cut, colours.mean(axis=0), variety, _foliage(colours))


def _foliage(colours: np.ndarray) -> float:
    """The share of colours (n, B) that are those of leaves: green beyond red and blue. Painted sheets are as blue as they are
    green."""
    red, green, blue = colours[:, :3].astype(np.float32).T if colours.shape[1] > 2 else np.zeros((3, len(colours)))
    return float(((green > 1.06 * red) & (green > 1.2 * blue)).mean())
