"""Histograms of prepared tiles, which images are to have."""

import numpy as np

from orthoforge.errors import DataError
from orthoforge.material.looks import Looks, histograms
from orthoforge.tiles.store import TileStore
from orthoforge.tiles.subset import balanced_subset

_MOST_OF_A_PLACE = 192


def looks_of(store: TileStore, *, bands: int) -> Looks:
    """The histograms of training tiles of ``store``, of a place some 200 at most, spread over its scenes.

    ``DataError`` for tiles of other ``bands``, none for training, or damaged ones.
    """
    if store.bands != bands:
        raise DataError(
            f"{store.path}: its tiles have {store.bands} bands, the images {bands}. Prepare tiles of the same bands with --bands."
        )
    if not len(store.ids("train")):
        raise DataError(f"{store.path}: has no training tile whose histograms could be taken. Split it otherwise with --split.")
    store.require_sound()
    ids = balanced_subset(store.rows, store.ids("train"), tiles_per_place=_MOST_OF_A_PLACE, seed=0)
    return Looks(np.stack([histograms(store.tile(tile_id)[0]) for tile_id in ids.tolist()]), store.fingerprint)
