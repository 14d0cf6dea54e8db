"""Map layers as a mask of classes: roads, water, trees and buildings painted in the order of a style.

files ── vectors.map_layers (areas, lines, points with tags) ── style (class, width) ──► MapLayers ── on a grid ──► LayerMask.read

The order of painting is the style's; what is painted in one step is of one class, so that order within it does not matter. A pixel
is of a class where its centre lies in the shape, as for footprints.
"""

import hashlib
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import shapely
from rasterio.crs import CRS

from orthoforge.errors import DataError, GridError
from orthoforge.geo.grid import Grid, Window
from orthoforge.geo.stamps import source_sha256
from orthoforge.masks.classes import Classes
from orthoforge.masks.layer_style import LayerStyle, load_style
from orthoforge.vectors.chunks import Tags
from orthoforge.vectors.footprint_mask import FootprintMask, in_pixels
from orthoforge.vectors.map_layers import AREA, Shapes, read_shapes
from orthoforge.vectors.places import reproject
from orthoforge.vectors.reading import bounds_of, meeting

# A pixel has other metres elsewhere: in degrees and web mercator its side changes by 0.03 % over so many pixels of 0.3 m at 60°
# north.
_CELL_PX = 4096
# Half of the widest line, and then some: what lies so far outside a grid may reach into it.
_REACH_M = 110.0
# Between corners further apart a straight line in one CRS is a curve in another. At 60° north it leaves a chord of 0.01° by 0.1 m.
_CHORD_DEG, _CHORD, _MOST_CHORDS = 0.005, 500.0, 200_000
# Corners of a quarter of a crown or of a road's end.
_ROUND = 8
_NAMED = 6


@dataclass(frozen=True)
class _Group:
    """Shapes of one CRS."""

    crs: CRS | None
    shapes: np.ndarray  # (n,)
    rules: np.ndarray  # (n,) int
    sizes_m: np.ndarray  # (n,)
    features: np.ndarray  # (n,) int, by which errors name them
    source: str


class MapLayers:
    """What a style makes of map layers, in their own CRS: read once, painted on any grid.

    ``tagged`` says whether any feature has a tag that the style knows. ``ignored`` counts by file the features that are of no
    class, by what they say of themselves; ``notes`` says so in words.
    """

    def __init__(
        self, style: LayerStyle, groups: Sequence[_Group], ignored: dict[str, Counter[str]], identity: str, *, tagged: bool
    ) -> None:
        self.style, self.ignored, self.identity, self.tagged = style, ignored, identity, tagged
        self._groups = list(groups)
        self._own = len(self._groups)
        self._counts = {source: sum(len(g.shapes) for g in groups if g.source == source) for source in ignored}

    def __len__(self) -> int:
        """How many areas, lines and points are painted."""
        return sum(len(group.shapes) for group in self._groups)

    @property
    def notes(self) -> list[str]:
        """A sentence for each file of which something is not painted."""
        return [_note(source, left, self._counts[source]) for source, left in self.ignored.items() if left]

    def with_layers(self, others: "MapLayers") -> "MapLayers":
        """These and others of the same style, painted together; buildings are looked for among these alone."""
        identity = hashlib.sha256(f"{self.identity} {others.identity}".encode()).hexdigest()
        ignored = self.ignored | others.ignored
        both = MapLayers(self.style, [*self._groups, *others._groups], ignored, identity, tagged=self.tagged or others.tagged)
        both._own = len(self._groups)
        return both

    @property
    def buildings(self) -> list[tuple[CRS | None, np.ndarray]]:
        """Areas of the class building, with their CRS."""
        own = [number for number, rule in enumerate(self.style.rules) if rule.index == self.style.classes.building]
        groups = self._groups[: self._own]
        found = [(g.crs, g.shapes[np.isin(g.rules, own) & (shapely.get_type_id(g.shapes) == AREA)]) for g in groups]
        return [(crs, shapes) for crs, shapes in found if len(shapes)]

    @property
    def shapes(self) -> list[tuple[CRS | None, np.ndarray]]:
        """All that is painted, with its CRS; of other layers that were added nothing."""
        return [(group.crs, group.shapes) for group in self._groups[: self._own]]

    def on(self, grid: Grid, classes: Classes | None = None, *, painted: Sequence[int] = ()) -> "LayerMask":
        """The mask on a grid, in the style's classes, or by name in those of a run; ``painted`` are classes to be painted later.

        Raises ``GridError`` for a grid without a place on Earth, ``DataError`` for shapes that have none in its CRS, and
        ``ConfigError`` for a class of the style that is not among ``classes``.
        """
        if grid.crs is None or grid.pixel_m() is None:
            raise GridError(
                "map layers have a place on the ground and the mask has none: its raster has no CRS, or one without a known place. "
                "Assign it, for example with gdal_edit.py -a_srs."
            )
        steps: dict[int, list[np.ndarray]] = defaultdict(list)
        for group in self._groups:
            for number, polygons in _on_grid(group, grid):
                steps[number].append(polygons)
        needed = {0, *painted, *(self.style.rules[number].index for number in steps)}
        indices = list(range(self.style.classes.count)) if classes is None else self.style.indices_in(classes, needed)
        in_order = [(number, np.concatenate(steps[number])) for number in sorted(steps)]
        return LayerMask(self.style, grid, in_order, indices, self.identity)


class LayerMask:
    """A mask of classes on a grid, read by windows: memory goes by the window and the shapes near the grid, not by the grid.

    ``steps`` are the numbers of the style's rules, in the order of painting, each with polygons in the grid's pixels; ``indices``
    those that the style's classes have in the mask.
    """

    def __init__(
        self, style: LayerStyle, grid: Grid, steps: Iterable[tuple[int, np.ndarray]], indices: Sequence[int], source: str = ""
    ) -> None:
        self.grid, self.indices = grid, indices
        self._steps = [(indices[style.rules[number].index], FootprintMask.of_pixels(shapes, grid)) for number, shapes in steps]
        self.identity = hashlib.sha256(f"{source} {style.sha256} {indices}".encode()).hexdigest()

    def labels(self, window: Window | None = None) -> np.ndarray:
        """Class indices of a window, or of all of it, (h, w) uint8."""
        w = window or Window(0, 0, self.grid.height, self.grid.width)
        labels = np.full((w.height, w.width), self.indices[0], np.uint8)
        for index, shapes in self._steps:
            labels[shapes.read(w) > 0] = index
        return labels

    def read(self, window: Window) -> tuple[np.ndarray, None]:
        return self.labels(window), None

    def valid(self, window: Window) -> None:
        return None

    def require_sound(self) -> None:
        pass


def load_layers(
    paths: Iterable[Path],
    style: LayerStyle | None = None,
    *,
    within: Grid | None = None,
    repair: bool = False,
    stated_crs: str | None = None,
) -> MapLayers:
    """Map layers of vector files, sorted into classes by a style, by default the one that ships with the package.

    ``within`` leaves out what cannot be seen on a grid. What is of no class is counted (``MapLayers.notes``). Raises what
    ``vectors.map_layers.read_shapes`` raises, with the file and the feature.
    """
    style = load_style() if style is None else style
    padded = None if within is None else _padded(within)
    groups: list[_Group] = []
    ignored: dict[str, Counter[str]] = {}
    sums = []
    tagged = False
    for path in map(Path, paths):
        left = ignored.setdefault(str(path), Counter())
        for part in read_shapes(path, style.keys, within=padded, repair=repair, stated_crs=stated_crs):
            group = _sorted(part, style, str(path), left)
            tagged = tagged or any(not style.own_keys.isdisjoint(tags) for tags in part.tags)
            if len(group.shapes):
                groups.append(group)
        sums.append(f"{source_sha256(path)} {repair}" + (f" {stated_crs}" if stated_crs else ""))
    return MapLayers(style, groups, ignored, hashlib.sha256(" ".join(sums).encode()).hexdigest(), tagged=tagged)


def warn_of_ignored(layers: MapLayers) -> None:
    """Warn of each file of which something is not painted."""
    for note in layers.notes:
        warnings.warn(note, stacklevel=3)


def _sorted(part: Shapes, style: LayerStyle, source: str, left: Counter[str]) -> _Group:
    kinds = np.minimum(shapely.get_type_id(part.shapes), AREA)
    kinds[kinds == 2] = 1  # a ring is a line
    rules, sizes, kept = [], [], np.zeros(len(part), bool)
    not_counted = -1
    for number, (kind, tags) in enumerate(zip(kinds.tolist(), part.tags, strict=True)):
        painted = style.painted(part.layer, kind, tags)
        if painted is not None:
            kept[number] = True
            rules.append(painted.rule)
            sizes.append(painted.size_m)
        elif part.features[number] != not_counted:  # a feature of many parts counts once
            not_counted = part.features[number]
            left[_said(style, part.layer, tags)] += 1
    return _Group(part.crs, part.shapes[kept], np.array(rules, np.int64), np.array(sizes, np.float64), part.features[kept], source)


def _said(style: LayerStyle, layer: str, tags: Tags) -> str:
    """What a feature that is not painted says of itself, in short."""
    for keys in (style.skip, style.own_keys):
        for key in sorted(keys):
            if key in tags and (keys is style.own_keys or tags[key] in style.skip[key]):
                return f"{key}={tags[key]:.40}"
    return f"layer {layer:.60}"


def _note(source: str, left: Counter[str], painted: int) -> str:
    count, listed = left.total(), ", ".join(f"{said} ({n})" for said, n in left.most_common(_NAMED))
    more = f" and {len(left) - _NAMED} more kinds" if len(left) > _NAMED else ""
    none = "" if painted else " Nothing of it is painted: name its layer in a style of your own (--layer-style)."
    return f"{source}: {count} features are of no class in the style and are left out: {listed}{more}.{none}"


def _padded(grid: Grid) -> Grid:
    """The grid with ground around it, from which wide lines and crowns reach into it."""
    pixel = grid.pixel_m()
    if grid.crs is None or pixel is None:
        return grid
    across, down = (int(np.ceil(_REACH_M / side)) for side in pixel)
    return grid.window(Window(-down, -across, grid.height + 2 * down, grid.width + 2 * across))


def _on_grid(group: _Group, grid: Grid) -> list[tuple[int, np.ndarray]]:
    """The polygons in pixels that each rule paints."""
    near = meeting(group.shapes, bounds_of(_padded(grid), group.crs), group.crs)
    shapes, rules, sizes_m = group.shapes[near], group.rules[near], group.sizes_m[near]
    if not len(shapes):
        return []
    if group.crs is None:
        raise GridError(
            f"{group.source}: names no CRS (a Shapefile has it in the .prj beside it). Assign it: ogr2ogr -a_srs EPSG:…"
        )
    if group.crs != grid.crs:
        chord = _CHORD_DEG if group.crs and group.crs.is_geographic else _CHORD
        # Nothing on Earth needs so many chords; such coordinates have no place in the other CRS either.
        bent = shapely.length(shapes) < _MOST_CHORDS * chord
        shapes[bent] = shapely.segmentize(shapes[bent], chord)
    try:
        pixels = in_pixels(reproject(shapes, group.crs, grid.crs, features=group.features[near]), grid)
    except DataError as error:
        raise type(error)(f"{group.source}: {error}") from error
    drawn = sizes_m > 0
    pixels[drawn] = _buffered(pixels[drawn], sizes_m[drawn], grid)
    return [(number, pixels[rules == number]) for number in np.unique(rules).tolist()]


def _buffered(shapes: np.ndarray, sizes_m: np.ndarray, grid: Grid) -> np.ndarray:
    """Lines as strips so wide, points as discs of such a radius, on the ground: all in pixels, which may be oblong."""
    pixel_m = lru_cache(None)(lambda row, col: grid.window(Window(row * _CELL_PX, col * _CELL_PX, _CELL_PX, _CELL_PX)).pixel_m())
    middle = shapely.bounds(shapes).reshape(-1, 2, 2).mean(axis=1)
    # A line that leaves the grid is as wide as inside it.
    cells = np.floor(np.clip(middle, 0, (grid.width - 1, grid.height - 1)) / _CELL_PX).astype(int)
    scales = np.array([pixel_m(row, col) or grid.pixel_m() for col, row in cells.tolist()]).reshape(-1, 2)
    counts = shapely.get_num_coordinates(shapes)
    in_metres = shapely.set_coordinates(shapes.copy(), shapely.get_coordinates(shapes) * np.repeat(scales, counts, axis=0))
    radii = np.where(shapely.get_type_id(shapes) == 0, sizes_m, sizes_m / 2)
    found = shapely.buffer(in_metres, radii, quad_segs=_ROUND)
    counts = shapely.get_num_coordinates(found)
    return np.asarray(shapely.set_coordinates(found, shapely.get_coordinates(found) / np.repeat(scales, counts, axis=0)))
