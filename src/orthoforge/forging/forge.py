"""Forge masks out of a data set's own: PLACE by PLACE, each with its manifest row, all with a card."""

import hashlib
import json
import math
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from rasterio.features import sieve

from orthoforge.errors import ConfigError, DataError, OutputExistsError
from orthoforge.files import lock, new_file, sha256_of
from orthoforge.forging.card import PICTURED, Card, judge, write_cards
from orthoforge.forging.recombine import Grown, Library, library_of, recombine
from orthoforge.forging.shapes import SMALLEST_PX, Layout, draw, take_apart
from orthoforge.forging.statistics import PlaceStatistics, measure
from orthoforge.forging.streets import streets
from orthoforge.forging.transform import random_change, transform
from orthoforge.geo.cog import write_geotiff
from orthoforge.geo.grid import Grid, require_north_up
from orthoforge.geo.rasters import DRIVERS, open_raster, read_mask, read_tags
from orthoforge.scenes.sources import find_pairs, folders, natural_key, number_of, place_of

How = Literal["recombine", "streets", "transform", "drawn"]
SMALLEST_MASK_PX = 16
# A mask at more than the place's own density may fall short by so much of what was asked for.
_SHORTFALL = 0.15
# Ground resolutions of one place agree when they differ by no more than this: a degree's pixels change with the latitude.
_SAME_GSD = 0.02
# Of a scene, for its districts: each is some building's.
_DIRECTIONS = 200
_SETTINGS_TAG = "FORGED_SETTINGS"


@dataclass(frozen=True)
class Forged:
    """What ``forge`` made."""

    out: Path
    masks: tuple[Path, ...]
    rows: tuple[dict[str, Any], ...]
    """A row a mask, as in ``forged.jsonl``."""
    cards: dict[str, Card]
    """By place; a place whose forged masks hold no building has none."""
    kept: int = 0
    """Masks that were there already, made with the same settings."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Places that no masks were forged for, and why."""


@dataclass(frozen=True)
class _Source:
    name: str
    path: Path
    grid: Grid
    layout: Layout


@dataclass(frozen=True)
class _Place:
    name: str
    unit: str
    sources: tuple[_Source, ...]
    real: PlaceStatistics
    library: Library


def forge(
    source: Path | str | Sequence[Path],
    out: Path | str,
    *,
    how: How = "recombine",
    count: int = 10,
    size: int | None = None,
    density: float = 1.0,
    place: str | None = None,
    seed: int = 0,
    threshold: int | None = None,
    drawn: Path | Sequence[Path] | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Forged:
    """Write ``count`` new masks a place to ``out/masks``, with ``out/forged.jsonl``, ``out/card.json`` and ``out/card.html``.

    ``source`` is a data set in an accepted layout, a folder of masks, or masks by path. ``how``: ``recombine`` puts real footprints
    into new blocks, ``streets`` builds towns from the place's measurements, ``transform`` changes real masks, ``drawn`` takes the
    masks of ``drawn`` (a folder or paths; all of them, for one place). ``size`` is the side in pixels, the source scene's own when
    left out. ``density`` multiplies the building share of ``recombine`` and ``streets``. Masks are GeoTIFFs of 0 and 255 on the
    grid of the source scene whose density and streets they take: same resolution, CRS and origin. Their names begin with the place
    and end with a number above all of the source's.

    The same arguments give the same bytes, and a mask does not depend on how many there are. Killed and run again, it goes on.
    Raises ``ConfigError`` for impossible settings, ``DataError`` for sources that are empty, too few or of several resolutions, and
    for a density that cannot be reached, ``OutputExistsError`` where ``out`` holds masks made with other settings.
    """
    _require_sound(how, count, size, density, seed, drawn)
    out = Path(out)
    masks = _mask_paths(source)
    places, skipped = _places(masks, place, threshold)
    drawn_paths = _drawn_paths(drawn) if drawn is not None else []
    if drawn_paths and len(places) > 1:
        raise ConfigError(
            f"drawn masks are judged against one place; the source has {', '.join(p.name for p in places)}. Pass --place."
        )
    number = len(drawn_paths) or count
    settings = _settings(how, size, density, seed, threshold, masks, drawn_paths)
    rows: list[dict[str, Any]] = []
    paths: list[Path] = []
    cards: list[Card] = []
    pictures: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {}
    kept = 0
    with lock(out / "forged.jsonl.forging"):
        for done, one in enumerate(places):
            layouts, shown = [], []
            for index in range(number):
                path = out / "masks" / f"{_name(one, index)}.tif"
                row = None if overwrite else _finished(path, settings)
                if row is None:
                    mask, grid, row = _forge_one(one, index, how, size, density, seed, threshold, drawn_paths)
                    row = {"name": path.stem, "place": one.name, "how": how, "seed": seed, **row}
                    write_geotiff(path, mask, grid, tags=_tags(row, settings), overwrite=overwrite)
                else:
                    kept += 1
                    with open_raster(path) as raster:
                        mask, grid = read_mask(raster), raster.grid
                rows.append(row)
                paths.append(path)
                layouts.append(take_apart(mask, _pixel(grid)))
                if index < PICTURED:
                    shown.append(mask)
                if progress:
                    progress(done * number + index + 1, len(places) * number)
            if any(layout.share for layout in layouts):
                forged = measure(layouts, one.unit, window=one.real.window)
                cards.append(judge(one.name, how, forged, one.real, density=density))
                pictures[one.name] = (_first_masks(one, threshold), shown)
        with new_file(out / "forged.jsonl", overwrite=overwrite or bool(kept)) as partial:
            partial.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        write_cards(out, cards, pictures, overwrite=overwrite or bool(kept))
    return Forged(out, tuple(paths), tuple(rows), {card.place: card for card in cards}, kept, skipped)


def clean_drawing(pixels: np.ndarray, path: object = "mask", *, threshold: int | None = None) -> np.ndarray:
    """Mask (H, W) uint8 of 0 and 255 from a drawing (H, W, C) of two tones: the brighter is building, or what is at or above
    ``threshold``. Transparency is ignored; specks and pinholes of fewer than 8 pixels go.

    ``DataError`` when there are more than two tones and no threshold.
    """
    colour = pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., :1]
    grey = colour.astype(np.float64).mean(axis=-1)
    tones = np.unique(grey)
    if threshold is None and len(tones) > 2:
        raise DataError(
            f"{path}: {len(tones)} tones of grey, where a drawing has two; pass --threshold, such as 128: what is as bright is "
            "building."
        )
    level = threshold if threshold is not None else max(tones[-1], 1)
    mask = np.where(grey >= level, 255, 0).astype(np.uint8)
    return sieve(mask, SMALLEST_PX, connectivity=4) if mask.size > SMALLEST_PX else mask


def _require_sound(how: str, count: int, size: int | None, density: float, seed: int, drawn: object) -> None:
    if how not in get_args(How):
        raise ConfigError(f"how is {how!r}; there are {', '.join(get_args(How))}.")
    if count < 1:
        raise ConfigError(f"count is {count}; it must be 1 or more.")
    if size is not None and size < SMALLEST_MASK_PX:
        raise ConfigError(f"size is {size} px; it must be at least {SMALLEST_MASK_PX}.")
    if not (math.isfinite(density) and density > 0):
        raise ConfigError(f"density is {density:g}; it must be above 0. 1 is the place's own.")
    if seed < 0:
        raise ConfigError(f"seed is {seed}; it must be 0 or more.")
    if density != 1 and how in ("transform", "drawn"):
        raise ConfigError(f"density goes with recombine and streets; {how} keeps the buildings that are there.")
    if (how == "drawn") != (drawn is not None):
        raise ConfigError("how 'drawn' and the masks that were drawn (--drawn) go together; one of them is missing.")
    if size is not None and how == "drawn":
        raise ConfigError("drawn masks keep their size; leave --size out.")


def _mask_paths(source: Path | str | Sequence[Path]) -> list[Path]:
    """Masks of a data set, of a folder, or as they were named, in natural order."""
    if not isinstance(source, (str, Path)):
        paths = [Path(path) for path in source]
        if not paths:
            raise DataError("no masks were named.")
        return sorted(paths, key=lambda path: natural_key(path.stem))
    folder = Path(source)
    if folder.is_file():
        return [folder]
    try:
        folders(folder)
    except DataError:
        masks = _rasters(folder)
        if not masks:
            raise
        return masks
    return [pair.mask for pair in find_pairs(folder).pairs]


def _drawn_paths(drawn: Path | Sequence[Path]) -> list[Path]:
    paths = [Path(path) for path in drawn] if not isinstance(drawn, (str, Path)) else [Path(drawn)]
    found = [mask for path in paths for mask in (_rasters(path) if path.is_dir() else [path])]
    if not found:
        raise DataError(f"{', '.join(map(str, paths)) or 'drawn'}: no .tif, .png or .jpg in it.")
    return found


def _rasters(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = [
        path for path in folder.iterdir() if path.suffix.lower() in DRIVERS and not path.name.startswith(".") and path.is_file()
    ]
    return sorted(found, key=lambda path: natural_key(path.stem))


def _places(masks: Sequence[Path], wanted: str | None, threshold: int | None) -> tuple[list[_Place], dict[str, str]]:
    """The places with enough buildings, measured; and those without, with the reason. Raises it when there is no other."""
    by_place = defaultdict(list)
    for path in masks:
        by_place[_place_name(path.stem)].append(path)
    if wanted is not None:
        if wanted not in by_place:
            raise DataError(f"no mask of a place called {wanted!r}; there are {', '.join(by_place)}.")
        by_place = defaultdict(list, {wanted: by_place[wanted]})
    places, errors = [], {}
    for name, paths in by_place.items():
        sources = [_read_source(path, threshold) for path in paths]
        _require_one_gsd(sources)
        layouts = [one.layout for one in sources]
        unit = "px" if sources[0].grid.pixel_m() is None else "m"
        try:
            real = measure(layouts, unit)
        except DataError as error:
            errors[name] = str(error)
            continue
        places.append(_Place(name, unit, tuple(sources), real, library_of(layouts)))
    if not places:
        name, reason = next(iter(errors.items()))
        others = f" So it is with {len(errors) - 1} other places." if len(errors) > 1 else ""
        raise DataError(f"{name}: {reason}{others}")
    return places, errors


def _place_name(stem: str) -> str:
    """The place of a mask. Names that are numbers alone belong to one place without a name."""
    name = place_of(stem)
    return name if not name.replace("_", "").isdigit() else "scenes"


def _read_source(path: Path, threshold: int | None) -> _Source:
    with open_raster(path) as raster:
        require_north_up(path, raster.grid)
        mask = read_mask(raster, threshold=threshold)
        return _Source(path.stem, path, raster.grid, take_apart(mask, _pixel(raster.grid)))


def _pixel(grid: Grid) -> tuple[float, float]:
    return grid.pixel_m() or (1.0, 1.0)


def _require_one_gsd(sources: Sequence[_Source]) -> None:
    first = sources[0]
    for other in sources[1:]:
        sizes = first.layout.pixel_size, other.layout.pixel_size
        georeferenced = [one.grid.pixel_m() is not None for one in (first, other)]
        if georeferenced[0] != georeferenced[1] or abs(sizes[0] / sizes[1] - 1) > _SAME_GSD:
            told = [f"{size:.3g} m" if known else "unknown" for size, known in zip(sizes, georeferenced, strict=True)]
            raise DataError(
                f"{other.path}: its pixels are {told[1]}, those of {first.path.name} {told[0]}. Masks of one place must have one "
                "ground resolution: resample them, or forge from one kind at a time."
            )


def _forge_one(
    place: _Place, index: int, how: How, size: int | None, density: float, seed: int, threshold: int | None, drawn: Sequence[Path]
) -> tuple[np.ndarray, Grid, dict[str, Any]]:
    """Mask (H, W), its grid, and what a row says of it."""
    entropy = [seed, zlib.crc32(place.name.encode())]
    rng = np.random.default_rng([*entropy, 1, index])
    turn, position = divmod(index, len(place.sources))
    order = np.random.default_rng([*entropy, 0, turn]).permutation(len(place.sources))
    model = int(order[position])
    source = place.sources[model]
    if how == "drawn":
        return _take_drawn(drawn[index], source if place.unit == "m" else None, place, threshold)
    height, width = (size, size) if size else (source.grid.height, source.grid.width)
    grid = Grid(height, width, source.grid.transform, source.grid.crs)
    pixel = source.layout.pixel
    extent = height * pixel[1], width * pixel[0]
    if how == "transform":
        mask, parameters = _transformed(source, height, width, threshold, rng)
    else:
        if how == "recombine":
            grown, parameters = recombine(place.library, model, extent, max(pixel), density, rng), {}
        else:
            grown, parameters = _streets(place, model, extent, density, rng)
        _require_reached(place, grown, density, extent)
        mask = draw(grown.polygons, (height, width), pixel)
        parameters = {"density": density, "wanted_share": round(grown.wanted, 5), **parameters}
    share = float(np.count_nonzero(mask) / mask.size)
    return mask, grid, {"sources": [source.name], "parameters": parameters, "building_share": round(share, 5)}


def _transformed(
    source: _Source, height: int, width: int, threshold: int | None, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, Any]]:
    with open_raster(source.path) as raster:
        real = read_mask(raster, threshold=threshold)
    if height > real.shape[0] or width > real.shape[1]:
        raise ConfigError(
            f"size is {height} px, but {source.path.name} is {real.shape[1]}×{real.shape[0]}; a changed mask is no larger than the "
            "real one. Use recombine or streets, or a smaller size."
        )
    row, col = (int(rng.integers(long - short + 1)) for long, short in zip(real.shape, (height, width), strict=True))
    change = random_change(rng, square=height == width)
    return transform(real[row : row + height, col : col + width], change), {"row": row, "col": col, **change.values()}


def _streets(
    place: _Place, model: int, extent: tuple[float, float], density: float, rng: np.random.Generator
) -> tuple[Grown, dict[str, Any]]:
    own = np.flatnonzero(place.library.scene == model)
    among = own if len(own) else np.arange(len(place.library))
    weight = place.library.weight[among]
    directions = place.library.street[rng.choice(among, _DIRECTIONS, p=weight / weight.sum())]
    return streets(place.real, extent, place.sources[model].layout.share, directions.tolist(), density, rng)


def _require_reached(place: _Place, grown: Grown, density: float, extent: tuple[float, float]) -> None:
    missing = (grown.wanted - grown.share) * extent[0] * extent[1]
    if density > 1 and grown.share < (1 - _SHORTFALL) * grown.wanted and missing > float(np.median(place.real.area)):
        raise DataError(
            f"{place.name}: density {density:g} asks for {100 * grown.wanted:.0f} % building in a mask; {100 * grown.share:.0f} % "
            f"was reached before nothing more fitted. Ask for {density * grown.share / grown.wanted:.2g} or less."
        )


def _take_drawn(path: Path, like: _Source | None, place: _Place, threshold: int | None) -> tuple[np.ndarray, Grid, dict[str, Any]]:
    """A drawn mask, cleaned; where it has no CRS on the grid of the scene of its name, else from the corner of another."""
    with open_raster(path) as raster:
        if raster.dtype != "uint8":
            raise DataError(f"{path}: drawing is {raster.dtype}; uint8 is expected. Export it with 8 bits.")
        require_north_up(path, raster.grid)
        table = raster.colour_table() if raster.band_count == 1 else None
        pixels = raster.read() if table is None else table[raster.read()[..., 0]]
        grid = raster.grid
    mask = clean_drawing(pixels, path, threshold=threshold)
    named = next((one for one in place.sources if one.name == path.stem), None)
    reference = named or like
    if grid.crs is None and reference is not None:
        grid = Grid(grid.height, grid.width, reference.grid.transform, reference.grid.crs)
    share = float(np.count_nonzero(mask) / mask.size)
    parameters = {"threshold": threshold, "reference": reference.name if reference and grid.crs else None}
    return mask, grid, {"sources": [path.name], "parameters": parameters, "building_share": round(share, 5)}


def _name(place: _Place, index: int) -> str:
    """PLACE and a number of at least four digits above all of the place's, by which ``place_of`` finds the place again."""
    highest = max((number_of(one.name) or 0 for one in place.sources), default=0)
    base = max(1000, 10 ** len(str(highest)))
    return f"{place.name}_{base + index + 1}"


def _settings(
    how: str, size: int | None, density: float, seed: int, threshold: int | None, masks: Sequence[Path], drawn: Sequence[Path]
) -> str:
    """Digest of everything that decides a mask, besides its place and index."""
    files = [[path.stem, sha256_of(path)] for path in [*masks, *drawn]]
    return hashlib.sha256(json.dumps([1, how, size, density, seed, threshold, files]).encode()).hexdigest()


def _finished(path: Path, settings: str) -> dict[str, Any] | None:
    """The row of a mask that was made with these settings; ``None`` when there is none. ``OutputExistsError`` for another one."""
    if not path.exists():
        return None
    tags = read_tags(path)
    if tags.get(_SETTINGS_TAG) != settings:
        raise OutputExistsError(
            f"{path} exists and was made with other settings or from other masks. Pass --overwrite to replace it, or choose "
            "another folder."
        )
    row: dict[str, Any] = json.loads(tags["FORGED_ROW"])
    return row


def _tags(row: dict[str, Any], settings: str) -> dict[str, str]:
    return {
        "SYNTHETIC_MASK": "YES", "FORGED_HOW": row["how"], "SEED": str(row["seed"]), "FORGED_SOURCES": ", ".join(row["sources"]),
        "FORGED_PARAMETERS": json.dumps(row["parameters"]), "FORGED_ROW": json.dumps(row), _SETTINGS_TAG: settings,
    }  # fmt: skip


def _first_masks(place: _Place, threshold: int | None) -> list[np.ndarray]:
    masks = []
    for source in place.sources[:PICTURED]:
        with open_raster(source.path) as raster:
            masks.append(read_mask(raster, threshold=threshold))
    return masks
