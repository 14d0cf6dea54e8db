"""The plainest setting: a segmenter's real tiles, and nothing else, are the generator's material and the source of its masks."""

import hashlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from orthoforge.errors import DataError
from orthoforge.forging.forge import forge
from orthoforge.geo.cog import write_geotiff
from orthoforge.geo.grid import Window
from orthoforge.masks.reader import open_raster_mask
from orthoforge.masks.turned import turned_mask
from orthoforge.scenes.place_names import place_of
from orthoforge.tiles import manifest
from orthoforge.tiles.manifest import TileRow
from orthoforge.tiles.store import TileStore
from orthoforge.tiles.subset import balanced_subset, training_on
from orthoforge.trained_generator import TrainedGenerator
from orthoforge.usefulness.made_tiles import Wanted, make_tiles

Masks = Literal["turned", "forged"]
"""The subset's masks, turned and shifted; or new ones, forged of them."""

# Images of each real tile, and of few tiles more, so that a training of a few hundred steps does not see each too often.
_OF_EACH, _LEAST = 4, 64
# Changes when the same subset and seed give other images.
_FORMAT = 2
# Seeds of two experiments share no image.
_SEEDS_APART = 1_000_000
_LISTED = "masks-of-tiles"


def own_tiles(
    generator: TrainedGenerator, store: TileStore, subset: np.ndarray, folder: Path, *, masks: Masks, most: int, seed: int
) -> TileStore:
    """Images of the roofs and ground of ``subset``'s tiles, ``most`` at most, in a folder of ``folder`` of their own.

    A function of the generator's weights and refinement, the tiles and their subset, ``masks`` and ``seed``; what is there is
    kept. The generator's own material takes no part. What it raises is what ``TrainedGenerator.with_material`` raises, and for
    forged masks ``forge``.
    """
    own = training_on(store, subset)
    said = [_FORMAT, generator.sha256, generator.refinement, own.fingerprint, masks, most, seed]
    at = folder / hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
    if (at / manifest.STORE).is_file():
        return TileStore.open(at)
    count = min(most, max(_LEAST, _OF_EACH * len(subset)))
    wanted = _turned(own, count, seed) if masks == "turned" else _forged(own, count, seed, at)
    given = generator.with_material(replace(own, shown=None)).with_refinement(generator.refinement)
    return make_tiles(given, own, wanted, at)


def _turned(own: TileStore, count: int, seed: int) -> list[Wanted]:
    """``count`` masks, or a few more: each tile's as often as the others', turned and shifted otherwise each time."""
    ids = own.ids("train")
    places = len({own.rows[tile_id].place for tile_id in ids.tolist()})
    chosen = balanced_subset(own.rows, ids, tiles_per_place=-(-count // places), seed=seed)
    return [
        Wanted(
            f"{own.rows[tile_id].scene}-own-{copy}", own.rows[tile_id],
            partial(_turned_tile, own, tile_id, seed, copy), _SEEDS_APART * seed + len(own.rows) * copy + tile_id,
        )
        for copy in range(-(-count // len(chosen)))
        for tile_id in chosen.tolist()
    ]  # fmt: skip


def _turned_tile(own: TileStore, tile_id: int, seed: int, copy: int) -> np.ndarray:
    return turned_mask(own.tile(tile_id)[1], tile_id, seed, copy)


def _forged(own: TileStore, count: int, seed: int, folder: Path) -> list[Wanted]:
    """``count`` masks, or a few more, forged by recombining the footprints of the tiles, as many of each place."""
    rows = [(tile_id, own.rows[tile_id]) for tile_id in own.ids("train").tolist()]
    places = sorted({row.place for _, row in rows})
    called = {place: _called(place, index) for index, place in enumerate(places)}
    example = {called[row.place]: row for _, row in rows}
    for number, (tile_id, row) in enumerate(rows):
        path = folder / _LISTED / f"{called[row.place]}_{number}.tif"
        write_geotiff(path, np.ascontiguousarray(own.tile(tile_id)[1]), row.own_grid, overwrite=True)
    try:
        forged = forge(folder / _LISTED, folder / "forged", count=-(-count // len(example)), size=own.size_px, seed=seed)
    except DataError as error:
        raise DataError(f"no masks can be forged of these {len(rows)} tiles: {error} Or take --masks turned.") from error
    return [
        _wanted(path, example[made["place"]], _SEEDS_APART * seed + number)
        for number, (path, made) in enumerate(zip(forged.masks, forged.rows, strict=True))
    ]


def _called(place: str, index: int) -> str:
    """A place by a name that file names still say with a number after it: scenes may be called by numbers alone."""
    letters = "".join(chr(ord("a") + int(digit)) for digit in str(index))
    return place if place_of(f"{place}_0") == place else f"place-{letters}"


def _wanted(path: Path, row: TileRow, seed: int) -> Wanted:
    with open_raster_mask(path) as raster:
        grid = raster.grid
    return Wanted(path.stem, replace(row, window=Window(0, 0, grid.height, grid.width), grid=grid), partial(_read, path), seed)


def _read(path: Path) -> np.ndarray:
    with open_raster_mask(path) as raster:
        return raster.labels()
