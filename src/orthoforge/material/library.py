"""A library of material: tiles of real images with their masks, and what they hold: open ground, roofs, light."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from orthoforge.material.light import Light, light_of
from orthoforge.material.rectangles import Rectangle, rectangle_of
from orthoforge.material.shapes import CELLS, shape_of
from orthoforge.material.wings import wings_of

LOW_PX = 8.0  # what is wider than this is the tone of a piece of ground, what is finer its texture
_NEAR_WALLS_PX = 4
_LEAST_ROOF_PX = 80
_LEAST_FILL = 0.72
_VARIETY_PX = 1.0
_CLUTTER_PX = 5.0
_LEAST_SHARE = 0.3  # of its building has a wing whose roof is taken
# Looks that are roofs in one place are the soil of another: where so much of a tile's ground has one, it is ground.
_COMMON = 0.15


@dataclass(frozen=True)
class Roof:
    """The roof of a wing of building ``label`` of tile ``tile``; ``is_cut`` where it lies at the tile's edge and goes on beyond.

    ``colour`` (B,) is its mean; ``variety`` the standard deviation of its colours, smoothed over a pixel, from 0 to 1: of plain
    sheets little. ``clutter`` is that of what is finer than some 5 px: gables have little, and blocks of many huts that the mask
    takes for one building have much.
    """

    tile: int
    label: int
    rectangle: Rectangle
    is_cut: bool
    colour: np.ndarray
    variety: float
    clutter: float


@dataclass(frozen=True)
class Library:
    """``images`` (N, S, S, B) uint8 and ``masks`` (N, S, S) bool of real tiles; ``places`` (N,) are indices into ``place_names``,
    ``names`` say which tile each is."""

    images: np.ndarray
    masks: np.ndarray
    places: np.ndarray
    place_names: tuple[str, ...]
    names: tuple[str, ...]

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
    def _ground(self) -> tuple[np.ndarray, np.ndarray]:
        parts = [_open_ground(image, mask) for image, mask in zip(self.images, self.masks, strict=True)]
        return np.stack([part[0] for part in parts]), np.stack([part[1] for part in parts])

    @property
    def open_ground(self) -> np.ndarray:
        """(N, S, S) bool: sunlit ground off walls, without what may be a building that the mask lacks."""
        return self._ground[0]

    @property
    def shade(self) -> np.ndarray:
        """(N, S, S) bool: dark ground beside buildings."""
        return self._ground[1]

    @cached_property
    def layers(self) -> tuple[np.ndarray, np.ndarray]:
        """Tone and texture of the ground, (N, S, S, B) float16 each; their sum is the image where the ground is open."""
        low, high = (np.empty(self.images.shape, np.float16) for _ in range(2))
        for tile, (image, is_open) in enumerate(zip(self.images, self.open_ground, strict=True)):
            low[tile] = smooth(image.astype(np.float32), is_open, LOW_PX)
            high[tile] = image - low[tile].astype(np.float32)
        return low, high

    @cached_property
    def tones(self) -> np.ndarray:
        """(N, B): mean colour of each tile's open ground, or of the whole tile where that is little."""
        return np.array(
            [
                image[is_open].mean(axis=0) if is_open.mean() > 0.01 else image.reshape(-1, self.bands).mean(axis=0)
                for image, is_open in zip(self.images, self.open_ground, strict=True)
            ]
        )

    @cached_property
    def roofs(self) -> tuple[Roof, ...]:
        """The roofs of all wings that are nearly a rectangle."""
        return tuple(roof for tile in range(len(self)) for roof in _roofs(tile, self.labels[tile], self.images[tile]))

    @cached_property
    def whole_roofs(self) -> tuple[tuple[Roof, ...], np.ndarray]:
        """The roofs of whole buildings of several wings, and the shape of each, (N, CELLS, CELLS) bool."""
        found = [pair for tile in range(len(self)) for pair in _whole_roofs(tile, self.labels[tile], self.images[tile])]
        return tuple(roof for roof, _ in found), np.array([shape for _, shape in found], bool).reshape(-1, CELLS, CELLS)

    @cached_property
    def labels(self) -> np.ndarray:
        """(N, S, S) int32: which building of its tile each pixel is of, from 1; 0 outside."""
        return np.stack([ndimage.label(mask)[0] for mask in self.masks])

    @cached_property
    def lights(self) -> tuple[Light, ...]:
        """The light of each place."""
        found = []
        for place in range(len(self.place_names)):
            of = self.places == place
            found.append(light_of(self.images[of], self.masks[of], self.open_ground[of], self.shade[of]))
        return tuple(found)

    def of_place(self, place: int | None, *, without: Sequence[int] = ()) -> np.ndarray:
        """Indices of the tiles of a place, or of all where it is ``None``, ``without`` some."""
        of = np.ones(len(self), bool) if place is None else self.places == place
        of[list(without)] = False
        return np.flatnonzero(of)


def smooth(values: np.ndarray, known: np.ndarray, sigma: float, far: np.ndarray | None = None) -> np.ndarray:
    """(H, W, B) float32 values that are ``known`` (H, W), averaged with a Gaussian; far from any ``far`` (B,), or the mean of all.

    With ``far`` a value is a function of those around it: so far as the Gaussian reaches.
    """
    weight = ndimage.gaussian_filter(known.astype(np.float32), sigma, truncate=3, mode="constant")[..., None] + 1e-3
    if far is None:
        far = values[known].mean(axis=0) if known.any() else values.mean(axis=(0, 1))
    level = far.astype(np.float32)
    summed = ndimage.gaussian_filter((values - level) * known[..., None], (sigma, sigma, 0), truncate=3, mode="constant")
    return level + summed / weight


def _open_ground(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sunlit open ground of one tile and the shade beside its buildings, (S, S) bool each."""
    distance = ndimage.distance_transform_edt(~mask) if mask.any() else np.full(mask.shape, 1e3)
    shown = image[..., :3].astype(np.float32)
    value, chroma = shown.max(axis=2), np.ptp(shown, axis=2)
    brightness = ndimage.gaussian_filter(shown.mean(axis=2), 1.0)
    unlike = np.zeros(mask.shape, bool)
    green_to_yellow = (shown[..., 1] >= shown[..., 2]) & (shown[..., 0] - shown[..., 1] < 0.73 * chroma)
    painted = (chroma > 0.37 * value) & (value > 70) & ~green_to_yellow
    white = (value > 215) & (chroma < 0.24 * value)
    for look, rounds in ((painted, 1), (white, 2)):
        found = ndimage.binary_opening(look & ~mask, iterations=rounds)
        if found.sum() < _COMMON * max(1, (~mask).sum()):
            unlike |= found
    unlike = ndimage.binary_dilation(_larger(unlike, 25), iterations=5)
    dark = (brightness < 0.58 * np.median(brightness[~mask] if not mask.all() else brightness)) & ~mask & (distance < 26)
    at_walls = (distance <= 2) & ~mask
    labels, _ = ndimage.label(dark | at_walls)
    touching = np.unique(labels[at_walls])
    shade = np.isin(labels, touching[touching > 0]) & dark
    is_open = (distance > _NEAR_WALLS_PX) & ~unlike & ~ndimage.binary_dilation(shade, iterations=2)
    return ndimage.binary_opening(is_open, iterations=2), shade


def _larger(found: np.ndarray, pixels: int) -> np.ndarray:
    """The connected parts of more than so many pixels."""
    labels, _ = ndimage.label(found)
    large = np.bincount(labels.ravel()) > pixels
    large[0] = False
    return large[labels]


@dataclass(frozen=True)
class _Part:
    """A building of a tile: its box, where it stands in it, and its colours, smoothed, and without what is wide."""

    box: tuple[slice, slice]
    own: np.ndarray
    smoothed: np.ndarray
    fine: np.ndarray


def _buildings(labels: np.ndarray, image: np.ndarray) -> Iterator[tuple[int, _Part]]:
    """The buildings of a tile that are large enough for a roof, with their labels."""
    shown = image.astype(np.float32) / 255
    smoothed, wide = (ndimage.gaussian_filter(shown, (sigma, sigma, 0)) for sigma in (_VARIETY_PX, _CLUTTER_PX))
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        own = labels[box] == number
        if own.sum() >= _LEAST_ROOF_PX:
            yield number, _Part(box, own, smoothed[box], (smoothed - wide)[box])


def _roofs(tile: int, labels: np.ndarray, image: np.ndarray) -> list[Roof]:
    roofs = []
    for number, part in _buildings(labels, image):
        at = np.indices(part.own.shape)
        for wing in wings_of(part.own):
            along, across = wing.local(*at)
            of_wing = part.own & (np.abs(along) <= wing.width / 2) & (np.abs(across) <= wing.height / 2)
            if of_wing.sum() >= max(_LEAST_ROOF_PX, _LEAST_SHARE * part.own.sum()) and wing.fill >= _LEAST_FILL:
                roofs.append(_roof(tile, number, part, of_wing, wing, image))
    return roofs


def _whole_roofs(tile: int, labels: np.ndarray, image: np.ndarray) -> list[tuple[Roof, np.ndarray]]:
    """The roofs of buildings of several wings that the tile's edge does not cut, with their shapes."""
    found = []
    for number, part in _buildings(labels, image):
        if len(wings_of(part.own)) > 1:
            around = rectangle_of(part.own)
            roof = _roof(tile, number, part, part.own, around, image)
            if not roof.is_cut:
                found.append((roof, shape_of(part.own, around)))
    return found


def _roof(tile: int, number: int, part: _Part, covered: np.ndarray, rectangle: Rectangle, image: np.ndarray) -> Roof:
    """The roof of the pixels ``covered`` of a building's box."""
    inner = covered & ndimage.binary_erosion(part.own, iterations=2)
    plain = inner if inner.any() else covered
    first = [side.start for side in part.box]
    ends = [(place.min() + start, place.max() + start) for place, start in zip(np.nonzero(covered), first, strict=True)]
    is_cut = any(low == 0 or high == len(image) - 1 for low, high in ends)
    variety, clutter = (float(np.sqrt(colours[plain].var(axis=0).mean())) for colours in (part.smoothed, part.fine))
    return Roof(tile, number, rectangle.moved(*first), is_cut, image[part.box][plain].mean(axis=0), variety, clutter)
