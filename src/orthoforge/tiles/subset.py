"""A balanced choice among training tiles."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, islice, zip_longest

import numpy as np

from orthoforge.tiles.manifest import TileRow
from orthoforge.tiles.store import epoch_order


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
