"""Roofs: for each wing of a building a real one of like size, length and direction, laid on its outline."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy import ndimage

from orthoforge.geo.grid import Window
from orthoforge.material.chance import uniform
from orthoforge.material.cuts import softened
from orthoforge.material.lately import Lately
from orthoforge.material.library import Library, Roof
from orthoforge.material.plain_roofs import ACROSS, ALONG, FLAT, Plainness, inner_sides, upright
from orthoforge.material.quilted_roofs import Quilted, quilted
from orthoforge.material.rectangles import Rectangle
from orthoforge.material.shapes import likeness
from orthoforge.material.stretching import MOST_STRETCH, Stretched, stretched

REACH_PX = 24  # three times LOW_PX
_CANDIDATES = 12
_CHOICE = 0.2
_TONE_SCALE = 250.0
_COLOUR_SCALE = 15.0  # levels by which the roof of a further wing may differ from the first's as if it were turned by 22 degrees
_ALIKE = 20.0
_OTHER_ROOF = 0.4
_TURN = np.radians(22)
_CUT = 0.25
_CUT_PX = 3.0  # pixels of a roof whose sources lie farther apart have a cut between them
_AROUND_PX = 3
BESIDE_PX, _FADING_PX = 10.0, 5.0  # so far off its walls a roof brings what lies beside its building, and there it fades
_OFF_PX = 2.5  # by which the distances off walls may differ
_SOIL = 15.0  # levels; what differs more from the tone of the ground, in the sun or in the shade, is something else
_GAPS = 2.0  # how much a roof is disliked that does not fill its rectangle
_PLAIN = 12.0  # how much a varied roof is disliked where it has to be repeated
_EARTHY = 0.8  # and one of the colour of the ground, as walls without a roof have; also on buildings larger than _LARGE_PX2
_EARTHY_SCALE = 25.0
_LARGE_PX2 = 2500.0
_LONG_PX, _LONGEST_PX = 60, 1024  # sides of buildings that have one plain roof, where they are that large
_ALL = 0.85  # of such a building is one rectangle
_OFF_SCALE = 20.0  # levels off plain, as if turned by 22 degrees
_ENLARGED, _QUILTED = 0.3, 0.4
_ENOUGH = 4  # plain roofs has a place for all of its large buildings
_ACROSS = 3.0
_FOLIAGE = 2.5  # how much one is disliked that is all leaves
_SEEN, _SEEN_PX2 = 2.0, 1000.0  # the more so, the larger a building is
_MOST_LEAFY = 1.0  # so much, and no building of several wings gets it whole
_LEAST_ALIKE = 0.8  # are a building of several wings and one whose roof it gets whole
_UNLIKE = 4.0
_NOT_DEALT = 0.4
_SEEN_NEAR = 1.0  # how much a roof is disliked that a building near has
_TONE_SHARE = 0.4
_RIDGE = 1.2  # so much longer than broad is a roof whose ridge is known
_ROOF, _DEALT, _PLAIN_ROOF, _MIRRORED = 200, 201, 202, 203
_REMEMBERED = 64  # tiles, of 0.6 MB, from one mask to the next
_KEPT_BYTES = 64e6  # of buildings of the library, of 0.1 MB each in tiles of 224 px
Near = Set[tuple[int, int]]
"""Of which buildings of the library the buildings near have roofs."""
NOTHING: Near = frozenset()


@dataclass(frozen=True)
class LaidRoof:
    """A roof on the rectangle ``target``, ``made`` as large as that, its colours moved by ``shift`` (B,).

    ``mirrored`` is -1 for the axis, along or across, that the other way round is the roof's own, else 1.
    """

    roof: Roof
    target: Rectangle
    made: Stretched | Quilted
    shift: np.ndarray
    mirrored: tuple[int, int] = (1, 1)

    def source_of(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Where in the roof's tile to look for the pixels at (rows, cols): (2, ...) rows and columns."""
        return np.stack(self.roof.rectangle.place(*self._shown(*self._local(rows, cols))))

    def beside(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """The same for pixels beside the walls: as far off the walls of the roof's own building."""
        places = self._local(rows, cols)
        sides = self.target.width / 2, self.target.height / 2
        on_walls = [np.clip(place, -side, side) for place, side in zip(places, sides, strict=True)]
        off = [place - on_wall for place, on_wall in zip(places, on_walls, strict=True)]
        source = self.roof.rectangle
        walls = source.width / 2, source.height / 2
        shown = (
            np.where(away == 0, inside, np.sign(away) * wall + away)
            for inside, away, wall in zip(self._shown(*on_walls), off, walls, strict=True)
        )
        return np.stack(source.place(*shown))

    def _local(self, rows: np.ndarray, cols: np.ndarray) -> list[np.ndarray]:
        return [sign * place for sign, place in zip(self.mirrored, self.target.local(rows, cols), strict=True)]

    def _shown(self, along: np.ndarray, across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the source's rectangle shows at places in the target's, along and across."""
        width, height = inner_sides(self.roof.rectangle)
        along, across = self.made.shown(along, across)
        return along * width, across * height


@dataclass
class Roofs:
    """Chooses and lays roofs of tiles ``allowed`` of the library.

    Roofs of each place are ``turned`` (P,) by so many radians clockwise before they are looked at, by 45° at most; with ``None``,
    not at all.
    """

    library: Library
    allowed: np.ndarray
    seed: int
    turned: np.ndarray | None = None
    _splines: dict[int, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._owns = Lately[tuple[int, int], np.ndarray](_KEPT_BYTES, lambda nearest: nearest.nbytes)
        self._tones = Lately[int, np.ndarray](_KEPT_BYTES / 2, lambda tone: tone.nbytes)

    @cached_property
    def _sources(self) -> tuple[list[Roof], np.ndarray]:
        """The roofs that may be taken, and of each log width, log height, angle, fill, what speaks against it, variety and
        likeness to the ground."""
        sources = [self._seen(roof)[0] for tile in self.allowed.tolist() for roof in self.library.roofs(tile)]
        rows = [
            (
                np.log(one.rectangle.width),
                np.log(one.rectangle.height),
                self._angle(one),
                one.rectangle.fill,
                _CUT * one.is_cut,
                one.variety,
                np.exp(-np.linalg.norm(one.colour - self.library.tone(one.tile)) / _EARTHY_SCALE),
            )
            for one in sources
        ]
        return sources, np.column_stack([np.array(rows).reshape(-1, 7), _leafy(sources)])

    @cached_property
    def _numbers(self) -> np.ndarray:
        """(n,): the building of each of these roofs, as a number."""
        return _numbers(self._sources[0])

    @cached_property
    def _colours(self) -> tuple[np.ndarray, np.ndarray]:
        """The colour of each of these roofs, and the tone of its tile, (n, B)."""
        sources, _ = self._sources
        return np.array([roof.colour for roof in sources]), np.array([self.library.tone(roof.tile) for roof in sources])

    @cached_property
    def _plain_sources(self) -> tuple[list[tuple[Roof, Plainness]], np.ndarray]:
        """The plain roofs that may be taken, and of each log width, log height, angle, what it is off plain, and if it is cut."""
        found = [pair for tile in self.allowed.tolist() for pair in self.library.plain_roofs(tile)]
        seen = [(*self._seen(roof), plain) for roof, plain in found]
        sources = [(roof, plain.quarter_turned(quarters)) for roof, quarters, plain in seen]
        rows = [
            (np.log(roof.rectangle.width), np.log(roof.rectangle.height), self._angle(roof), plain.off, roof.is_cut)
            for roof, plain in sources
        ]
        return sources, np.array(rows).reshape(-1, 5)

    @cached_property
    def _whole_sources(self) -> tuple[list[Roof], np.ndarray, np.ndarray]:
        """The roofs of whole buildings that may be taken, the shape of each, and what leaves speak against it."""
        found = [pair for tile in self.allowed.tolist() for pair in self.library.whole_roofs(tile)]
        seen = [self._seen(roof) for roof, _ in found]
        sources = [roof for roof, _ in seen]
        shapes = [np.rot90(shape, -quarters) for (_, shape), (_, quarters) in zip(found, seen, strict=True)]
        return sources, np.array(shapes), _leafy(sources)

    def _seen(self, roof: Roof) -> tuple[Roof, int]:
        """A roof whose rectangle's axis is turned back by so many right angles that it lies within 45° of columns once the roof is
        turned."""
        quarters = 0 if self.turned is None else round(self._angle(roof) / (np.pi / 2))
        return (replace(roof, rectangle=roof.rectangle.quarter_turned(quarters)) if quarters else roof), quarters

    def _angle(self, roof: Roof) -> float:
        """The direction of a roof's axis once it is turned."""
        return roof.rectangle.angle + (0.0 if self.turned is None else float(self.turned[self.library.places[roof.tile]]))

    def of_shape(
        self, around: Rectangle, shape: np.ndarray, anchor: tuple[int, int], tone: np.ndarray, near: Near = NOTHING
    ) -> list[LaidRoof]:
        """One roof for a building of several wings: of a whole building of nearly its ``shape``, size and direction; else none.

        ``around`` is the rectangle around it, ``shape`` how it fills that, (CELLS, CELLS) bool.
        """
        sources, shapes, leafy = self._whole_sources
        if not sources:
            return []
        alike = likeness(shape, shapes)
        longer, wider = (
            np.log(wanted) - np.log([getattr(roof.rectangle, side) for roof in sources])
            for wanted, side in ((around.width, "width"), (around.height, "height"))
        )
        turned, leafy = _apart([self._angle(roof) for roof in sources], around.angle), leafy * _seen(around)
        fits = (
            (alike >= _LEAST_ALIKE)
            & (leafy <= _MOST_LEAFY)
            & (turned <= _TURN)
            & (np.maximum(np.abs(longer), np.abs(wider)) <= np.log(MOST_STRETCH))
        )
        if not fits.any():
            return []
        off = np.linalg.norm(np.array([self.library.tone(roof.tile) for roof in sources]) - tone, axis=1) / _TONE_SCALE
        against = _UNLIKE * (1 - alike) + np.abs(longer) + np.abs(wider) + turned / _TURN + leafy + off
        roof = sources[self._drawn(_numbers(sources), np.where(fits, against, np.inf), anchor, near)]
        return [self._laid(roof, around, (self.seed, *anchor), _TONE_SHARE * (tone - self.library.tone(roof.tile)))]

    def of_building(
        self, wings: list[Rectangle], anchor: tuple[int, int], tone: np.ndarray, near: Near = NOTHING
    ) -> list[LaidRoof]:
        """Roofs for the wings of the building whose first pixel is ``anchor``, among ground of ``tone``; none where there is none.

        Those after the first get the first's colour. Roofs of buildings ``near`` are taken again where nothing else fits.
        """
        plain = self._plain_roof(wings, anchor, tone, near)
        laid: list[LaidRoof] = [plain] if plain else []
        for number, wing in enumerate(wings[len(laid) :], start=len(laid)):
            roof = self._chosen(wing, (*anchor, number), tone, laid[0].roof if laid else None, near)
            if roof is None:
                break
            shift = _TONE_SHARE * (tone - self.library.tone(roof.tile))
            if laid:
                shift = laid[0].roof.colour + laid[0].shift - roof.colour
            keys = self.seed, *anchor, number
            laid.append(replace(self._laid(roof, wing, keys, shift), mirrored=self._mirrored(roof, keys)))
        return laid

    def _plain_roof(self, wings: list[Rectangle], anchor: tuple[int, int], tone: np.ndarray, near: Near) -> LaidRoof | None:
        """One plain roof for a building that is large and nearly a rectangle, made as large where none is; ``None`` for others."""
        target = wings[0]
        (sources, about), share = self._plain_sources, _share_of_first(wings)
        longest = max(target.width, target.height)
        if not _LONG_PX <= longest <= _LONGEST_PX or target.width * target.height < _LARGE_PX2 or share < _ALL:
            return None
        if self._as_large(target).sum() >= _ENOUGH:
            return None  # no need to make any larger
        longer, wider = (np.log(side) - about[:, at] for at, side in enumerate((target.width, target.height)))
        is_quilted = np.maximum(longer, wider) > np.log(MOST_STRETCH)
        fits = ~is_quilted | np.array([plain.is_regular for _, plain in sources], bool)
        if uniform(self.seed, _PLAIN_ROOF, *anchor) * _ENOUGH >= fits.sum():
            return None  # else all halls of a place would have the same one
        against = about[:, 3] / _OFF_SCALE + _apart(about[:, 2], target.angle) / _TURN + _CUT * about[:, 4] + _QUILTED * is_quilted
        against += _ENLARGED * (np.maximum(longer, 0) + np.maximum(wider, 0))
        against += np.linalg.norm(np.array([self.library.tone(roof.tile) for roof, _ in sources]) - tone, axis=1) / _TONE_SCALE
        # A ridge runs along the longer side, unless both are nearly as long.
        if longest > _RIDGE * min(target.width, target.height):
            runs = ALONG if target.width > target.height else ACROSS
            against += _ACROSS * np.array([plain.ridge not in (FLAT, runs) for _, plain in sources])
        at = self._drawn(_numbers([roof for roof, _ in sources]), np.where(fits, against, np.inf), (*anchor, 0), near)
        (roof, plain), keys = sources[at], (self.seed, *anchor, 0)
        shift = _TONE_SHARE * (tone - self.library.tone(roof.tile))
        if not is_quilted[at]:
            return self._laid(roof, target, keys, shift)
        picture = upright(self.library.images[roof.tile], roof.rectangle)
        return LaidRoof(roof, target, quilted(picture, plain.ridge, (target.width, target.height), keys=keys), shift)

    def _as_large(self, target: Rectangle) -> np.ndarray:
        """(n,): which of the roofs that may be taken are about as large as a wing and lie in its direction."""
        _, about = self._sources
        longer, wider = np.abs(np.log(target.width) - about[:, 0]), np.abs(np.log(target.height) - about[:, 1])
        return (np.maximum(longer, wider) <= np.log(MOST_STRETCH)) & (_apart(about[:, 2], target.angle) <= _TURN)

    def _chosen(self, target: Rectangle, keys: tuple[int, ...], tone: np.ndarray, first: Roof | None, near: Near) -> Roof | None:
        """A roof for a wing of a building, like its ``first`` wing's where that is given."""
        (sources, about), numbers = self._sources, self._numbers
        if not sources:
            return None
        longer, wider = np.log(target.width) - about[:, 0], np.log(target.height) - about[:, 1]
        apart = sum(np.where(more > np.log(MOST_STRETCH), 0.6 + 0.3 * more, np.abs(more)) for more in (longer, wider))
        repeated = sum(np.maximum(more - np.log(MOST_STRETCH), 0) for more in (longer, wider))
        larger = max(0.0, np.log(target.width * target.height / _LARGE_PX2))
        apart = apart + _PLAIN * repeated * about[:, 5] + _EARTHY * (repeated + larger) * about[:, 6]
        turned = _apart(about[:, 2], target.angle)
        colours, tones = self._colours
        off = np.linalg.norm(tones - tone, axis=1) / _TONE_SCALE
        if first is not None:
            off = np.linalg.norm(colours - first.colour, axis=1) / _COLOUR_SCALE
            off += _ALIKE * np.abs(about[:, 5] - first.variety) + _OTHER_ROOF * np.array([roof is not first for roof in sources])
        against = apart + turned / _TURN + _GAPS * (1 - about[:, 3]) + about[:, 4] + off
        against += about[:, 7] * _seen(target)
        return sources[self._drawn(numbers, against, keys, near)]

    def _mirrored(self, roof: Roof, keys: tuple[int, ...]) -> tuple[int, int]:
        """Whether a roof is mirrored, by chance, along an axis that is nearly square to the light, which then still comes from its
        side. So the same roof is not as easily seen to be the same."""
        if uniform(_MIRRORED, *keys) < 0.5:
            return 1, 1
        down, right = self.library.light(int(self.library.places[roof.tile])).direction
        rectangle = roof.rectangle
        along, across = rectangle.local(np.array(rectangle.row + down), np.array(rectangle.col + right))
        less, more = sorted((abs(along), abs(across)))
        if less > np.tan(_TURN) * more:
            return 1, 1
        return (-1, 1) if less == abs(along) else (1, -1)

    def _drawn(self, numbers: np.ndarray, against: np.ndarray, keys: tuple[int, ...], near: Near) -> int:
        """Which of the roofs that least speaks ``against``, by chance; ``numbers`` (n,) say of which building each is.

        A building is dealt half of all, and what is ``near`` is not to be seen again.
        """
        against = against + _NOT_DEALT * (uniform(self.seed, _DEALT, *keys, np.arange(len(numbers))) < 0.5)
        if near:
            against += _SEEN_NEAR * np.isin(numbers, [_number(*building) for building in near])
        nearest = np.argsort(against, kind="stable")[:_CANDIDATES]
        chance = np.exp(-(against[nearest] - against[nearest[0]]) / _CHOICE).cumsum()
        at = np.searchsorted(chance, float(uniform(self.seed, _ROOF, *keys)) * chance[-1])
        return int(nearest[min(at, len(nearest) - 1)])

    def _laid(self, roof: Roof, target: Rectangle, keys: tuple[int, ...], shift: np.ndarray) -> LaidRoof:
        """A roof made as long and as wide as ``target``."""
        source = roof.rectangle
        sides = [max(2, round(side)) for side in (source.width, source.height)]
        along, across = (
            (np.arange(count) + 0.5) * (side / count) - side / 2
            for count, side in zip(sides, (source.width, source.height), strict=True)
        )
        places = np.rint(source.place(*np.meshgrid(along, across))).astype(int).clip(0, self.library.size_px - 1)
        picture = self.library.images[roof.tile][tuple(places)].astype(np.float32)
        ridge_along = source.width > source.height
        if max(sides) < _RIDGE * min(sides):
            ridge_along = target.width / source.width > target.height / source.height
        return LaidRoof(roof, target, stretched(picture, (target.width, target.height), ridge_along, keys=keys), shift)

    def lay(self, laid: LaidRoof, window: Window, own: np.ndarray) -> np.ndarray:
        """The pixels (h, w, B) float32 of a roof in a window of the absolute pixels in which its target is counted.

        ``own`` (h, w) is where the wing stands. What its source does not cover there shows the roof beside it once more,
        mirrored at its edge.
        """
        # Some pixels more each way, so that what is beside one is the same in any window.
        rows, cols = np.meshgrid(
            *(np.arange(-_AROUND_PX, length + _AROUND_PX) + first for first, length in zip(window[:2], window[2:], strict=True)),
            indexing="ij",
        )
        source = laid.source_of(rows, cols)
        source = np.where(np.pad(own, _AROUND_PX), self._on_roof(laid.roof, source), source)
        image = np.stack(
            [
                ndimage.map_coordinates(band, source, order=3, prefilter=False, mode="mirror")
                for band in self._spline(laid.roof.tile)
            ],
            axis=-1,
        )
        image = softened(image, *(np.abs(np.diff(source, axis=axis)).max(axis=0) > _CUT_PX for axis in (1, 2)))
        if isinstance(laid.made, Quilted):
            image -= laid.made.levelled(*laid.target.local(rows, cols))
        image += laid.shift.astype(np.float32)
        return image[_AROUND_PX:-_AROUND_PX, _AROUND_PX:-_AROUND_PX]

    def lay_beside(
        self, laid: LaidRoof, window: Window, off_px: np.ndarray, asked: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What lies beside the roof's own building, for the pixels (h, w) of a window that are ``off_px`` (h, w) off the walls: its
        texture (h, w, B) float32, and from 0 to 1, (h, w) each, how much of the ground's tone belongs below it and how much of both
        is to be seen.

        Where its own building has neighbours, or is of another outline, nothing is. Texture and tone are made where they are
        ``asked`` for, (h, w) bool.
        """
        if isinstance(laid.made, Quilted):  # Beside it its own surroundings would come again and again.
            return np.zeros((*off_px.shape, self.library.bands), np.float32), np.zeros(off_px.shape), np.zeros(off_px.shape)
        rows, cols = np.mgrid[window.row : window.row + window.height, window.col : window.col + window.width]
        at, tile = laid.beside(rows, cols), laid.roof.tile
        there = ndimage.map_coordinates(self.library.off_buildings(tile), at, order=1, mode="constant", cval=-1)
        fits = (there > 0) & (np.abs(there - off_px) <= _OFF_PX)
        seen = np.clip(2 * ndimage.gaussian_filter(fits.astype(np.float32), 1.0, truncate=2) - 1, 0, 1)
        seen *= np.clip((BESIDE_PX - off_px) / _FADING_PX, 0, 1)
        at = at[:, asked]
        shown = np.stack(
            [ndimage.map_coordinates(band, at, order=3, prefilter=False, mode="mirror") for band in self._spline(tile)]
        )
        tone = np.stack([ndimage.map_coordinates(band, at, order=1, mode="nearest") for band in self._tones.of(tile, self._tone)])
        texture, toned = np.zeros((*asked.shape, len(tone)), np.float32), np.zeros(asked.shape, np.float32)
        share = _toned(shown, tone)
        toned[asked], texture[asked] = share, (shown - share * tone).T
        return texture, toned, seen

    def _tone(self, tile: int) -> np.ndarray:
        """(B, S, S): the tone of a tile's ground."""
        return np.ascontiguousarray(np.moveaxis(self.library.layers(tile)[0], 2, 0), np.float32)

    def trimmed(self) -> "Roofs":
        """The same, without what it remembers of tiles where that has become much."""
        if len(self._splines) > _REMEMBERED:
            self._splines.clear()
        return self

    def _on_roof(self, roof: Roof, source: np.ndarray) -> np.ndarray:
        """Places (2, ...) in a roof's tile, those beside its building mirrored at its edge."""
        nearest = self._owns.of(roof.building, self._nearest)
        at = np.rint(source).astype(int).clip(0, self.library.size_px - 1)
        edge = nearest[:, *at].astype(int)
        off = (edge != at).any(axis=0)
        if not off.any():
            return source
        mirrored = 2 * edge - source
        there = np.rint(mirrored).astype(int).clip(0, self.library.size_px - 1)
        is_on = (nearest[:, *there] == there).all(axis=0)
        return np.where(off, np.where(is_on, mirrored, edge), source)

    def _nearest(self, building: tuple[int, int]) -> np.ndarray:
        """The pixel nearest to each of a tile where a building of it stands, cracks in it included, (2, S, S): itself, where it
        does."""
        tile, label = building
        own = np.pad(self.library.labels(tile) == label, 3, mode="edge")
        own = ndimage.binary_closing(own, iterations=2)[3:-3, 3:-3]
        inner = ndimage.binary_erosion(own, border_value=1)  # pixels of its walls show what lies beside them too
        own = inner if inner.any() else own
        nearest = ndimage.distance_transform_edt(~own, return_distances=False, return_indices=True)
        return nearest.astype(np.min_scalar_type(self.library.size_px))

    def _spline(self, tile: int) -> np.ndarray:
        """(B, S, S) coefficients of cubic splines through a tile's image."""
        if tile not in self._splines:
            bands = np.moveaxis(self.library.images[tile], 2, 0).astype(np.float32)
            self._splines[tile] = np.stack(
                [ndimage.spline_filter(band, order=3, output=np.float32, mode="mirror") for band in bands]
            )
        return self._splines[tile]


def _toned(shown: np.ndarray, tone: np.ndarray) -> np.ndarray:
    """(n,) from 0 to 1: how much of the ``tone`` of the ground (B, n) there is in what is ``shown`` (B, n).

    All in the sun, and in the shade as much as it leaves. In walls and leaves, of another colour, there is none.
    """
    light = np.clip((shown * tone).sum(axis=0) / np.maximum((tone**2).sum(axis=0), 1), 0, 1)
    off = ((shown - light * tone) ** 2).mean(axis=0)
    return light * np.exp(-off / (2 * _SOIL**2))


def _numbers(roofs: Sequence[Roof]) -> np.ndarray:
    """(n,): the building of each roof, as one whole number."""
    return np.array([_number(*roof.building) for roof in roofs], np.int64)


def _number(tile: int, label: int) -> int:
    return tile * 2**32 + label


def _share_of_first(wings: list[Rectangle]) -> float:
    """The share of a building that its first wing is, of a single one how much of the rectangle there is."""
    first, *others = (wing.width * wing.height for wing in wings)
    return first / (first + sum(others)) if others else wings[0].fill


def _apart(angles: np.ndarray | list[float], angle: float) -> np.ndarray:
    """By how many radians directions differ from another one."""
    return np.abs((np.asarray(angles) - angle + np.pi / 2) % np.pi - np.pi / 2)


def _seen(target: Rectangle) -> float:
    """How much more leaves on its roof are disliked, the larger a building is."""
    return 1 + _SEEN * max(0.0, float(np.log(target.width * target.height / _SEEN_PX2)))


def _leafy(roofs: list[Roof]) -> np.ndarray:
    """(N,): how much roofs under leaves are disliked."""
    return _FOLIAGE * np.array([roof.foliage for roof in roofs])
