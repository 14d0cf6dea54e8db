"""Scenes to tiles. Each scene is cut on its own and written at once, so a run that was killed goes on where it stopped.

The files depend on the scenes and the settings only: not on the number of workers, the time or an interruption. What a later
run needs to know (which source files, as they were) lies in a hidden folder inside the store.
"""

import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from orthoforge.cluster import Answer, Here, Need, Team, team_on
from orthoforge.errors import ConfigError, DataError, OutputExistsError
from orthoforge.files import lock, new_file, require_free_space, require_place
from orthoforge.geo.grid import Grid
from orthoforge.geo.pixel_sizes import PixelSizes, overruled_note
from orthoforge.geo.stamps import Listed
from orthoforge.masks.classes import plain_classes
from orthoforge.masks.layered import MapFiles
from orthoforge.masks.reader import own_reader, palette_of
from orthoforge.progress import Progress
from orthoforge.scenes.layouts import Where
from orthoforge.scenes.outlines import folder_of_drawn_masks
from orthoforge.scenes.sources import Pair, Pairs, find_pairs, images_alone, survey, twins_message
from orthoforge.tiles import manifest, records, shards, summary
from orthoforge.tiles.cutting import LEAST_DATA, UnknownPixelSize
from orthoforge.tiles.manifest import TileRow
from orthoforge.tiles.scene_tiles import Scene, SceneTiles, stamp
from orthoforge.tiles.settings import Settings, versions
from orthoforge.tiles.shards import Made, Shard
from orthoforge.tiles.splits import SYNTHETIC_SPLIT, Method, Site, assign_splits, require_numbers
from orthoforge.tiles.store import TileStore
from orthoforge.tiles.survey import Ahead, survey_scenes

# What cutting a scene of Inria's size takes at most, and the process that does it (bench/prepare.py).
_A_SCENE = Need(memory_bytes=4e8)
# Headers of so many pairs are read together where there are many: small ones take a millisecond.
_MOST_HEADERS, _LEAST_BATCHES = 16, 64
# Of several scenes that cannot be used.
_MOST_NAMED = 10
_Header = Scene | DataError | ConfigError
_Result = TypeVar("_Result")


def prepare(
    data: str | Path | None,
    tiles: str | Path | None = None,
    *,
    grid: int | None = None,
    gsd: float | None = None,
    size: int = 286,
    split: Method = "blocks",
    min_building: float = 0.0,
    palette: str | Path | None = None,
    building: Sequence[str] = (),
    layers: Sequence[str | Path] = (),
    layer_style: str | Path | None = None,
    threshold: int | None = None,
    bands: Sequence[int] | None = None,
    pixel_size: PixelSizes | float | str | Path | None = None,
    images: str | Path | None = None,
    masks: str | Path | None = None,
    image_suffix: str | None = None,
    mask_suffix: str | None = None,
    places: str | Path | None = None,
    attribution: str = "",
    skip_bad: bool = False,
    seed: int = 0,
    workers: int | None = None,
    on: str | None = None,
    overwrite: bool = False,
) -> TileStore:
    """Cut the image/mask pairs below ``data`` into tiles, sort the tiles into splits, and write them to the folder ``tiles``.

    A tile has ``size`` × ``size`` pixels. ``gsd`` cuts tiles at that ground resolution, in metres per pixel. ``grid`` cuts so many
    squares along the shorter side of a scene, whatever its resolution (1 when neither is given).

    With ``layers``, vector files of roads, water, trees …, the tiles' masks are of the classes of ``layer_style`` (a YAML file; by
    default the one of the package, see ``masks.layer_style``): the layers painted in its order, and the masks' buildings on top.
    Images without a folder of masks are then enough.

    ``palette`` describes masks of classes; ``building`` names those of its classes that are building, and tiles are then of
    buildings. ``pixel_size`` is that of scenes without coordinates: metres, or a table of name patterns and metres
    (``geo.pixel_sizes``), by default ``pixel_size.csv`` in ``data``. Where pairs lie is recognised (``scenes.layouts``), or said by
    folders of ``images`` and ``masks``, which may be COCO's or YOLO's annotations, and by what their names end in. Where both
    folders are named, ``data`` may be ``None``, or left out: a single path is then ``tiles``. ``places`` is a table of name
    patterns and places (``scenes.place_names``), by default ``places.csv`` in ``data``; a scene that it does not name is of the
    place in its own name.

    Left out are tiles with a smaller share of building than ``min_building`` (0 to 1), and tiles with data on less than a tenth of
    their ground. ``split`` says which tiles train and which test (``tiles.splits``). A scene whose image has the tag
    ``SYNTHETIC=YES`` only trains; the others are split as if it were not there. ``bands`` are the bands of the images to keep,
    numbered from 1, in this order; without it images have three bands. ``workers`` is the number of scenes worked on at once, one
    per core by default. ``on`` is ``ray`` or ``ray://HOST:PORT``: the machines of a Ray cluster cut them, into the same files
    (docs/cluster.md). ``skip_bad`` leaves out scenes that cannot be used, and names them at the end.

    If it was interrupted, call it again: finished scenes are kept. On a finished store with the same settings it only opens the
    store.

    Raises:
        ConfigError: impossible settings.
        DataError: a bad scene; the message names the file.
        OutputExistsError: ``tiles`` holds other tiles.
        LockedError: another process writes them.
        ResourceError: the disk is full.

    Examples:
        >>> from orthoforge import prepare
        >>> store = prepare("my-data", "cut", gsd=0.3, size=96, attribution="© Survey")
        my-data: images/ and masks/
        cut: 48 tiles ...
        >>> store.size_px, store.attribution
        (96, '© Survey')
    """
    started_at = time.monotonic()
    if tiles is None:
        if data is None or not (images and masks):
            raise ConfigError("where to? Name a folder for the tiles: orthoforge prepare DATA TILES.")
        tiles, data = data, None
    data, tiles = None if data is None else Path(data), Path(tiles)
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers}; it is the number of scenes worked on at once, 1 or more.")
    require_place(tiles, folder=True)
    files = MapFiles.asked(layers, layer_style)
    if files and palette and not building:
        raise ConfigError(
            "--layers are painted under masks of buildings. Say with --building which classes of the palette are building, or "
            "leave --palette out."
        )
    grid = 1 if grid is None and gsd is None else grid
    chosen = None if bands is None else tuple(bands)
    plan = Settings(grid, gsd, size, min_building, threshold, None, split, seed, attribution, chosen)  # raises before data are read
    with lock(tiles), folder_of_drawn_masks() as drawn:
        where = Where.said(images, masks, image_suffix, mask_suffix, places)
        alone = images_alone(data, where) if files else None
        found = alone or (survey if skip_bad else find_pairs)(data, where, drawn=drawn)
        settings = _settled(plan, found, data, palette, building, pixel_size, files)
        # Threads: GDAL and torch let others run, and all share one import of torch.
        with Here(workers or len(os.sched_getaffinity(0))) as here, team_on(on, here=here, most=workers) as team:
            return _prepare(data or found.layout[0].images, tiles, found, settings, skip_bad, here, team, overwrite, started_at)


def _settled(
    plan: Settings,
    found: Pairs,
    data: Path | None,
    palette: str | Path | None,
    building: Sequence[str],
    pixel_size: PixelSizes | float | str | Path | None,
    layers: MapFiles | None,
) -> Settings:
    """The settings, with what is said of masks and pixels."""
    known, named = palette_of(palette, found.classes, building)
    if known and plan.threshold is not None:
        raise ConfigError("--threshold is for masks of buildings, --palette for masks of classes. Pass one of them.")
    sizes = PixelSizes.stated(pixel_size, *found.homes(data))
    reader = own_reader(known, threshold=plan.threshold, building=named, pixel_sizes=sizes)
    if layers and reader.classes:
        raise ConfigError("--layers are painted under masks of buildings. Say with --building which of the classes are building.")
    classes = layers.style.classes if layers else reader.classes
    if classes and classes.building is None and plan.min_building > 0:
        raise ConfigError(f"{palette or 'annotations'}: no class is called building, so --min-building has nothing to measure.")
    return replace(plan, layers=layers, classes=classes, coding=reader.coding, pixel_sizes=sizes, places=found.places)


def _prepare(
    data: Path,
    tiles: Path,
    found: Pairs,
    settings: Settings,
    skip_bad: bool,
    here: Team,
    team: Team,
    overwrite: bool,
    started_at: float,
) -> TileStore:
    pairs, left_out = _usable(found, skip_bad)
    print(f"{data}: {found.layout[0].name}")
    if (tiles / manifest.STORE).is_file() and not overwrite and (finished := _open_finished(tiles, settings, pairs, skip_bad)):
        return finished
    recorded = records.recorded_scenes(tiles)
    ahead = None if settings.layers else Ahead({scene for ones in recorded.values() for scene in ones})
    surveyed = _surveyed(pairs, partial(survey_scenes, settings=settings, ahead=ahead), here)
    unknown = {name: str(found) for name, found in surveyed.items() if isinstance(found, UnknownPixelSize)}
    scenes = {name: scene for name, scene in surveyed.items() if isinstance(scene, Scene)}
    bad = {name: error for name, error in surveyed.items() if name not in unknown and isinstance(error, Exception)}
    if bad and not skip_bad:
        raise _all_bad(list(bad.values()))
    left_out |= {name: str(error) for name, error in bad.items()}
    if unknown and not scenes and not left_out:
        raise UnknownPixelSize(next(unknown[pair.name] for pair in pairs if pair.name in unknown))
    require_numbers([name for name, scene in scenes.items() if not scene.synthetic], settings.split)
    planned = shards.plan(list(scenes.values()), settings)
    there = [shard for shard in planned if shard.name in recorded]
    looked_at = team.answers(partial(_kept, tiles=tiles, settings=settings), there, _A_SCENE)
    kept = _for_each(there, looked_at, "looking at finished scenes")
    planned = [replace(shard, kept=kept.get(shard.name, shard.kept)) for shard in planned]
    todo = [shard for shard in planned if not shard.kept.whole]
    _require_space(tiles, todo, settings)
    (tiles / manifest.STORE).unlink(missing_ok=True)  # from here on the folder counts as unfinished
    make = partial(shards.make_shard, tiles=tiles, settings=settings, skip_bad=skip_bad)
    made = _for_each(todo, _made(todo, make, here, team), "cutting scenes")
    filled = {shard.name: made[shard.name].told if shard.name in made else _told(shard.kept) for shard in planned}
    left_out |= {name: why for one in made.values() for name, why in one.errors.items()}
    told = {name: tiles_of for one in filled.values() for name, tiles_of in one.items()}
    cut_tiles = {name: told[name] for name in scenes if name in told}
    rows = [row for one in cut_tiles.values() for row in one.rows]
    if not rows:
        raise _no_tiles(data, settings, list(scenes.values()), left_out, list(cut_tiles.values()))
    rows = _with_splits(rows, scenes, settings.split, settings.seed)
    lacking = sum(one.empty for one in cut_tiles.values()), sum(one.partly for one in cut_tiles.values())
    counts = summary.summarise(rows, list(scenes.values()), left_out | unknown, settings.split, lacking)
    counts["notes"] += _notes(settings, list(scenes.values()))
    in_use = {shard: [name for name, one in ones.items() if one.rows] for shard, ones in filled.items()}
    _write(tiles, rows, settings, counts, {shard: ones for shard, ones in in_use.items() if ones and manifest.is_of_many(shard)})
    shards.remove_stale(
        tiles, recorded, {shard for shard, ones in filled.items() if ones}, {shard for shard, ones in in_use.items() if ones},
        list(left_out),
    )  # fmt: skip
    sources = {pair.name: (cut_tiles[pair.name].sources if pair.name in cut_tiles else None) or stamp(pair) for pair in pairs}
    body = {"format": manifest.FORMAT, "settings": settings.plain, "sources": sources, "left_out": sorted(left_out)}
    records.write_json(tiles / records.RECORDS / records.FINISHED, body)
    smaller = summary.smaller_tiles(list(scenes.values()), settings.gsd, settings.size, counts["rest_share"])
    seconds = time.monotonic() - started_at
    reused = sum(len(shard.kept.scenes) for shard in planned)
    summary.show(
        tiles, counts, left_out | unknown, reused=reused, seconds=seconds, size_px=settings.size, smaller=smaller
    )  # fmt: skip
    return TileStore.open(tiles)


def _usable(found: Pairs, skip_bad: bool) -> tuple[list[Pair], dict[str, str]]:
    """Pairs, and the files that cannot be paired with the reason."""
    left_out = {path.name: f"{path}: has no partner of the same name." for path in found.lonely}
    left_out |= {files[0].stem: twins_message(files) for files in found.twins}
    if left_out and not skip_bad:
        way_out = "Add what is missing, or pass --skip-bad to leave them out."
        reasons = list(left_out.values())
        many = f"{len(reasons)} files cannot be paired. {way_out}{_listed(reasons)}"
        raise DataError(f"{reasons[0]} {way_out}" if len(reasons) == 1 else many)
    return list(found.pairs), left_out


def _surveyed(pairs: Sequence[Pair], read: Callable[[Sequence[Pair]], list[_Header]], here: Team) -> dict[str, _Header]:
    """What the headers of each pair said, by its name. What is wrong with one, and that its pixels are of unknown size, stops no
    other."""
    at_once = max(1, min(_MOST_HEADERS, len(pairs) // _LEAST_BATCHES))
    batches = [pairs[first : first + at_once] for first in range(0, len(pairs), at_once)]
    surveyed: dict[str, _Header] = {}
    with Progress().task("reading headers", len(pairs)) as step:
        for batch, answer in zip(batches, here.answers(read, batches, _A_SCENE), strict=True):
            for pair, header in zip(batch, answer.result(), strict=True):
                surveyed[pair.name] = header
                step()
    return surveyed


def _all_bad(errors: Sequence[DataError | ConfigError]) -> DataError | ConfigError:
    """The only error, or one that names the first bad scenes. Settings that do not fit one scene will hardly fit the others: so of
    these the first is said."""
    bad = [error for error in errors if isinstance(error, DataError)]
    if len(bad) < 2 or isinstance(errors[0], ConfigError):
        return errors[0]
    way_out = "Mend them, or pass --skip-bad to leave them out."
    return DataError(f"{len(bad)} scenes cannot be used. {way_out}{_listed([str(error) for error in bad])}")


def _listed(reasons: Sequence[str]) -> str:
    """The first of them, a line each, and how many there are more."""
    more = [f"and {len(reasons) - _MOST_NAMED} more"] if len(reasons) > _MOST_NAMED else []
    return "".join(f"\n- {one}" for one in [*reasons[:_MOST_NAMED], *more])


def _notes(settings: Settings, scenes: Sequence[Scene]) -> list[str]:
    """What was stated of pixel sizes and is not used."""
    if not settings.pixel_sizes.rules:
        return []
    kept = {
        scene.name: own_m
        for scene in scenes
        if (own_m := scene.grid.gsd_m()) is not None and settings.pixel_sizes.is_overruled(own_m, scene.pair.image)
    }
    note = overruled_note(list(kept), list(kept.values()))
    return [note] if note else []


def _open_finished(tiles: Path, settings: Settings, pairs: Sequence[Pair], skip_bad: bool) -> TileStore | None:
    """The store, made before; ``None`` when it is damaged, or of an earlier version, which cut tiles differently."""
    finished = records.read_json(tiles / records.RECORDS / records.FINISHED)
    same_settings = finished.get("settings") == json.loads(json.dumps(settings.plain))
    if not same_settings or not _same_scenes(pairs, finished.get("sources")) or (finished.get("left_out") and not skip_bad):
        raise OutputExistsError(
            f"{tiles}: holds tiles made with other {'scenes' if same_settings else 'settings'}. Pass --overwrite to replace them, "
            "or choose another folder."
        )
    if finished.get("format", 1) != manifest.FORMAT:
        print(f"{tiles}: made by an earlier version of orthoforge; cut anew.")
        return None
    store = TileStore.open(tiles)
    if damaged := store.verify():
        print(f"{tiles}: {len(damaged)} of {len(store.rows)} tiles are damaged, the first {damaged[0]}; cut anew.")
        return None
    print(f"{tiles}: made before from these scenes with these settings; nothing to do.")
    return store


def _same_scenes(pairs: Sequence[Pair], sources: object) -> bool:
    if not isinstance(sources, dict) or sources.keys() != {pair.name for pair in pairs}:
        return False
    listed = Listed()
    return all(records.unchanged(pair, sources[pair.name], listed) for pair in pairs)


def _kept(shard: Shard, tiles: Path, settings: Settings) -> records.Kept:
    return records.kept(tiles, shard.name, shard.scenes, settings)


def _told(kept: records.Kept) -> dict[str, SceneTiles]:
    return {name: told for name, (_, told) in kept.scenes.items()}


def _made(todo: Sequence[Shard], make: Callable[[Shard], Made], here: Team, team: Team) -> Iterator[Answer[Made]]:
    """Shards, in their order. Those that have tiles already, cut while headers were read, are written here."""
    cut = {shard.name for shard in todo if any(scene.ready for scene in shard.scenes)}
    far = iter(team.answers(make, [shard for shard in todo if shard.name not in cut], _A_SCENE))
    near = iter(here.answers(make, [shard for shard in todo if shard.name in cut], _A_SCENE))
    return (next(near if shard.name in cut else far) for shard in todo)


def _for_each(shards: Sequence[Shard], answers: Iterable[Answer[_Result]], title: str) -> dict[str, _Result]:
    """Results by the shard's name, in their order. The first bad one raises."""
    results: dict[str, _Result] = {}
    with Progress().task(title, sum(len(shard.scenes) for shard in shards)) as step:
        for shard, answer in zip(shards, answers, strict=True):
            results[shard.name] = answer.result()
            for _ in shard.scenes:
                step()
    return results


def _require_space(tiles: Path, todo: list[Shard], settings: Settings) -> None:
    count = sum(scene.cut.rows * scene.cut.cols for shard in todo for scene in shard.scenes if scene.cut)
    in_shards = sum(map(math.prod, settings.shard_shapes(count)))
    require_free_space(tiles, in_shards + count * 1000, f"a store of {count} tiles")


def _no_tiles(
    data: Path, settings: Settings, scenes: list[Scene], left_out: dict[str, str], cut_tiles: list[SceneTiles]
) -> DataError:
    if any(one.empty for one in cut_tiles) and settings.min_building == 0:
        return DataError(f"{data}: no tile's image holds data on {100 * LEAST_DATA:g} % of its ground or more.")
    if any(scene.cut and scene.pair.name not in left_out for scene in scenes):
        return DataError(f"{data}: no tile has a building share of {settings.min_building:g} or more. Lower --min-building.")
    if left_out:
        return DataError(f"{data}: no scene can be used. The first: {left_out[min(left_out)]}")
    way_out = "Pass a smaller --size, a finer --gsd or a smaller --grid"
    return DataError(f"{data}: all {len(scenes)} scenes are smaller than one tile of {settings.size} px. {way_out}.")


def _with_splits(rows: list[TileRow], scenes: dict[str, Scene], split: Method, seed: int) -> list[TileRow]:
    """Rows with their split: real ones as if there were no synthetic ones, which all train."""
    # Records of an earlier version do not say what is synthetic, and those from before a table of places know others.
    rows = [replace(row, synthetic=scenes[row.scene].synthetic, place=scenes[row.scene].pair.place) for row in rows]
    sites = [_site(row, scenes[row.scene].grid) for row in rows if not row.synthetic]
    splits = iter(assign_splits(sites, split, seed))
    return [replace(row, split=SYNTHETIC_SPLIT if row.synthetic else next(splits)) for row in rows]


def _site(row: TileRow, scene_grid: Grid) -> Site:
    return Site(row.scene, row.place, row.grid.crs or row.scene, row.grid.bounds, scene_grid.bounds)


def _write(tiles: Path, rows: list[TileRow], settings: Settings, counts: summary.Counts, groups: dict[str, list[str]]) -> None:
    """The manifest, and last ``store.json``, which makes it a store. ``groups`` are the scenes of shards that several share."""
    lines = "".join(json.dumps(row.to_json(), ensure_ascii=False) + "\n" for row in rows).encode()
    with new_file(tiles / manifest.MANIFEST, overwrite=True) as partial_path:
        partial_path.write_bytes(lines)
    gsds = [row.gsd_m for row in rows if row.gsd_m is not None]
    alike = len(gsds) == len(rows) and max(gsds) <= 1.01 * min(gsds)
    body = {
        "format": manifest.FORMAT_OF_GROUPS if groups else manifest.FORMAT,
        "size_px": settings.size,
        "gsd_m": float(f"{np.mean(gsds):.6g}") if alike else None,
        "classes": plain_classes(settings.classes),
        "counts": counts,
        "settings": settings.plain,
        "versions": versions(),
        "fingerprint": manifest.manifest_sha256(lines),
    } | ({"groups": groups} if groups else {})
    records.write_json(tiles / manifest.STORE, body)
