"""Balanced choices among training tiles."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, cycle, islice, zip_longest

import numpy as np

from orthoforge.tiles.manifest import TileRow, manifest_sha256
from orthoforge.tiles.splits import BUFFER
from orthoforge.tiles.store import TileStore, epoch_order

BUILDING_BANDS = (0.05, 0.2, 0.4)  # upper bounds of the share of building, of all bands but the last


def balanced_subset(rows: Sequence[TileRow], tile_ids: np.ndarray, *, tiles_per_place: int, seed: int) -> np.ndarray:
    """At most ``tiles_per_place`` of ``tile_ids`` for each place, spread evenly over its scenes, in the order of ``tile_ids``.

    Every scene of a place gives a tile before any gives a second. Which ones is a function of ``seed`` and the ids only. A
    place with fewer tiles gives all of them.
    """
    by_place: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for tile_id in epoch_order(tile_ids, seed=seed, epoch=0).tolist():
        by_place[rows[tile_id].place][rows[tile_id].scene].append(tile_id)
    chosen: set[int] = set()
    for scenes in by_place.values():
        rounds = chain.from_iterable(zip_longest(*scenes.values()))
        chosen |= set(islice((tile_id for tile_id in rounds if tile_id is not None), tiles_per_place))
    return np.array([tile_id for tile_id in tile_ids.tolist() if tile_id in chosen], np.int64)


def balanced_order(
    rows: Sequence[TileRow], tile_ids: np.ndarray, *, by_building: bool, seed: int | Sequence[int], epoch: int
) -> np.ndarray:
    """As many tiles as ``tile_ids`` in an order in which places come in turn, and within a place, ``by_building``, the bands of
    building share that it has: up to 5, 20, 40 and 100 %.

    Tiles of a group come in an order of their own, a function of ``seed`` and ``epoch``, again and again where a group is small; in
    a large one some tiles wait for another epoch. The order of the whole is shuffled.
    """
    groups: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for tile_id in epoch_order(tile_ids, seed=seed, epoch=epoch).tolist():
        band = int(np.searchsorted(BUILDING_BANDS, rows[tile_id].building_share)) if by_building else 0
        groups[rows[tile_id].place][band].append(tile_id)
    turns = cycle([cycle([cycle(bands[band]) for band in sorted(bands)]) for _, bands in sorted(groups.items())])
    drawn = [next(next(next(turns))) for _ in range(len(tile_ids))]
    return epoch_order(np.array(drawn, np.int64), seed=seed, epoch=epoch)


def training_on(store: TileStore, tile_ids: np.ndarray) -> TileStore:
    """The same tiles, of which ``tile_ids`` alone train; all others belong to no split. Its fingerprint says so."""
    chosen = set(tile_ids.tolist())
    rows = tuple(replace(row, split="train" if tile_id in chosen else BUFFER) for tile_id, row in enumerate(store.rows))
    said = f"{store.fingerprint} {sorted(chosen)}"
    return replace(store, rows=rows, fingerprint=manifest_sha256(said.encode()))
