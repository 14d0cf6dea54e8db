"""Where forged masks come from: a data set's real ones, read and measured place by place."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from affine import Affine

from orthoforge.errors import DataError
from orthoforge.forging.layouts.library import Library, library_of
from orthoforge.forging.measuring import measure
from orthoforge.forging.shapes import Layout, take_apart
from orthoforge.forging.statistics import PlaceStatistics
from orthoforge.geo.example import mask_called
from orthoforge.geo.grid import Grid, Window, require_north_up
from orthoforge.geo.pixel_sizes import SAY_IT, homes_of
from orthoforge.geo.rasters import DRIVERS
from orthoforge.masks.classes import Classes
from orthoforge.masks.reader import MaskReader
from orthoforge.masks.resampled import resample_building
from orthoforge.scenes.layouts import NAME_OTHERS, Where, layouts_of
from orthoforge.scenes.outlines import Folder
from orthoforge.scenes.place_names import PlaceNames
from orthoforge.scenes.sources import find_pairs, natural_key, outlined

# Ground resolutions of one place agree when they differ by no more than this: a degree's pixels change with the latitude.
_SAME_GSD = 0.02
_BY_NAME = PlaceNames()


@dataclass(frozen=True)
class Source:
    """A real mask."""

    name: str
    path: Path
    grid: Grid
    layout: Layout


@dataclass(frozen=True)
class Place:
    """The real masks of one place, and what they say of it. Lengths are in ``unit``, ``m`` or ``px``."""

    name: str
    unit: str
    sources: tuple[Source, ...]
    real: PlaceStatistics
    library: Library


@dataclass(frozen=True)
class RealMasks:
    """The masks that a source means, in natural order, the classes of annotations that they were drawn of, and where it lies."""

    paths: tuple[Path, ...]
    classes: Classes | None = None
    homes: tuple[Path, ...] = ()
    """Folders in which tables speak of them."""
    places: Mapping[Path, str] = field(default_factory=dict)
    """The place of each, where the source says it: prepared tiles do, and they say what their masks hold too."""
    said: str = ""
    """What a user is to know of the choice of masks."""


def real_masks(source: str | Path | Sequence[str | Path], drawn: Folder | None = None) -> RealMasks:
    """Masks of a data set, of a folder, or as they were named. Outlines of COCO and YOLO are drawn into the folder of ``drawn``."""
    if not isinstance(source, (str, Path)):
        paths = [Path(path) for path in source]
        if not paths:
            raise DataError("no masks were named.")
        return RealMasks(tuple(sorted(paths, key=lambda path: natural_key(path.stem))))
    path = mask_called(Path(source))
    if drawn is not None and (found := outlined(path, drawn)):
        return RealMasks(tuple(pair.mask for pair in found.pairs), found.classes, (*found.homes(path), path.parent))
    if path.is_file():
        return RealMasks((path,), None, homes_of(path))
    try:
        layouts_of(path, Where())
    except DataError as error:
        masks = rasters_in(path)
        if not masks:
            raise DataError(str(error).replace(NAME_OTHERS, "Or name a folder of masks.")) from error
        return RealMasks(tuple(masks), None, (path, path.parent))
    found = find_pairs(path)
    return RealMasks(tuple(pair.mask for pair in found.pairs), None, found.homes(path))


def rasters_in(folder: Path) -> list[Path]:
    """The rasters of a folder, in natural order; none of what is no folder."""
    if not folder.is_dir():
        return []
    found = [
        path for path in folder.iterdir() if path.suffix.lower() in DRIVERS and not path.name.startswith(".") and path.is_file()
    ]
    return sorted(found, key=lambda path: natural_key(path.stem))


def places_of(
    masks: Sequence[Path],
    wanted: str | None,
    reader: MaskReader,
    names: PlaceNames = _BY_NAME,
    stated: Mapping[Path, str] = MappingProxyType({}),
) -> tuple[list[Place], dict[str, str]]:
    """The places with enough buildings, measured; and those without, with the reason. Raises it when there is no other.

    ``stated`` says which place a mask is of; ``names`` where it does not, and the mask's own name neither.
    """
    by_place = defaultdict(list)
    for path in masks:
        by_place[stated.get(path) or names.key(path)].append(path)
    if wanted is not None:
        if wanted not in by_place:
            raise DataError(f"no mask of a place called {wanted!r}; there are {', '.join(by_place)}.")
        by_place = defaultdict(list, {wanted: by_place[wanted]})
    places, errors = [], {}
    for name, paths in by_place.items():
        sources = [_read_source(path, reader) for path in paths]
        layouts = [one.layout for one in sources]
        unit = "px" if sources[0].grid.pixel_m() is None else "m"
        try:
            _require_one_gsd(sources)
            real = measure(layouts, unit)
        except DataError as error:
            errors[name] = str(error)
            continue
        places.append(Place(name, unit, tuple(sources), real, library_of(layouts)))
    if not places:
        name, reason = next(iter(errors.items()))
        others = f" So it is with {len(errors) - 1} other places." if len(errors) > 1 else ""
        raise DataError(f"{name}: {reason}{others}")
    return places, errors


def _read_source(path: Path, reader: MaskReader) -> Source:
    with reader.open(path) as mask:
        require_north_up(path, mask.grid)
        return Source(path.stem, path, mask.grid, take_apart(mask.labels(), pixel_of(mask.grid)))


def pixel_of(grid: Grid) -> tuple[float, float]:
    """Width and height of a pixel in metres, or 1 by 1 where they are not known."""
    return grid.pixel_m() or (1.0, 1.0)


def at_gsd(grid: Grid, gsd_m: float | None) -> Grid:
    """The same ground in pixels of ``gsd_m`` metres, less than a pixel more or less of it; as it is without."""
    pixel = grid.pixel_m()
    if gsd_m is None or pixel is None:
        return grid
    # As resolutions are called: the 0.3 m of a UTM zone are 0.299971 m on the ellipsoid.
    across, down = (gsd_m / float(f"{side:.3g}") for side in pixel)
    height, width = max(1, round(grid.height / down)), max(1, round(grid.width / across))
    return replace(grid, height=height, width=width, transform=grid.transform @ Affine.scale(across, down))


def labels_on(source: Source, grid: Grid, reader: MaskReader) -> np.ndarray:
    """A real mask (H, W) uint8 of 0 and 255, brought to a grid over its ground."""
    labels = reader.labels(source.path)
    wanted = grid.height, grid.width
    if labels.shape == wanted:
        return labels
    return resample_building(lambda part: labels[part.slices], labels.shape, wanted, Window(0, 0, *wanted))


def real_at(place: Place, gsd_m: float | None, reader: MaskReader) -> PlaceStatistics:
    """What the real masks are like in pixels of ``gsd_m`` metres, in which buildings may touch that do not in finer ones."""
    grids = [at_gsd(source.grid, gsd_m) for source in place.sources]
    if all(grid == source.grid for grid, source in zip(grids, place.sources, strict=True)):
        return place.real
    layouts = [
        take_apart(labels_on(source, grid, reader), pixel_of(grid)) for source, grid in zip(place.sources, grids, strict=True)
    ]
    return measure(layouts, place.unit, window=place.real.window)


def _require_one_gsd(sources: Sequence[Source]) -> None:
    first = sources[0]
    for other in sources[1:]:
        sizes = first.layout.pixel_size, other.layout.pixel_size
        georeferenced = [one.grid.pixel_m() is not None for one in (first, other)]
        if georeferenced[0] != georeferenced[1] or abs(sizes[0] / sizes[1] - 1) > _SAME_GSD:
            told = [f"{size:.3g} m" if known else "unknown" for size, known in zip(sizes, georeferenced, strict=True)]
            raise DataError(
                f"{other.path}: its pixels are {told[1]}, those of {first.path.name} {told[0]}. Masks of one place must have one "
                f"ground resolution: resample them, or forge from one kind at a time. Is it unknown? {SAY_IT}"
            )
