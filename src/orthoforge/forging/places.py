"""Where forged masks come from: a data set's real ones, read and measured place by place."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from affine import Affine

from orthoforge.errors import DataError
from orthoforge.forging.layouts.library import Library, library_of
from orthoforge.forging.measuring import measure
from orthoforge.forging.shapes import Layout, take_apart
from orthoforge.forging.statistics import PlaceStatistics
from orthoforge.geo.example import mask_called
from orthoforge.geo.grid import Grid, Window, require_north_up
from orthoforge.geo.rasters import DRIVERS
from orthoforge.masks.reader import MaskReader
from orthoforge.masks.resampled import resample_building
from orthoforge.scenes.layouts import Where, layouts_of
from orthoforge.scenes.sources import find_pairs, natural_key, place_key

# Ground resolutions of one place agree when they differ by no more than this: a degree's pixels change with the latitude.
_SAME_GSD = 0.02


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


def mask_paths(source: str | Path | Sequence[str | Path]) -> list[Path]:
    """Masks of a data set, of a folder, or as they were named, in natural order."""
    if not isinstance(source, (str, Path)):
        paths = [Path(path) for path in source]
        if not paths:
            raise DataError("no masks were named.")
        return sorted(paths, key=lambda path: natural_key(path.stem))
    folder = mask_called(Path(source))
    if folder.is_file():
        return [folder]
    try:
        layouts_of(folder, Where())
    except DataError:
        masks = rasters_in(folder)
        if not masks:
            raise
        return masks
    return [pair.mask for pair in find_pairs(folder).pairs]


def rasters_in(folder: Path) -> list[Path]:
    """The rasters of a folder, in natural order; none of what is no folder."""
    if not folder.is_dir():
        return []
    found = [
        path for path in folder.iterdir() if path.suffix.lower() in DRIVERS and not path.name.startswith(".") and path.is_file()
    ]
    return sorted(found, key=lambda path: natural_key(path.stem))


def places_of(masks: Sequence[Path], wanted: str | None, reader: MaskReader) -> tuple[list[Place], dict[str, str]]:
    """The places with enough buildings, measured; and those without, with the reason. Raises it when there is no other."""
    by_place = defaultdict(list)
    for path in masks:
        by_place[place_key(path.stem)].append(path)
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
                "ground resolution: resample them, or forge from one kind at a time. Where it is unknown, say it with --pixel-size."
            )
