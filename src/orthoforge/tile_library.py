"""Prepared tiles as a library of material."""

from collections.abc import Sequence

import numpy as np

from orthoforge.errors import DataError
from orthoforge.masks.classes import building_value as value_of_building
from orthoforge.material.library import Library
from orthoforge.tiles.store import TileStore


def library_of_tiles(store: TileStore, ids: Sequence[int], *, otherwise: str) -> Library:
    """These tiles as a library, with their classes; its places are theirs, sorted. Raises what ``building_value`` raises."""
    building = building_value(store, otherwise=otherwise)
    images, masks = zip(*(store.tile(tile_id) for tile_id in ids), strict=True)
    of_tiles = [store.rows[tile_id].place for tile_id in ids]
    places = sorted(set(of_tiles))
    return Library(
        np.stack(images), np.stack([mask == building for mask in masks]), np.array([places.index(place) for place in of_tiles]),
        tuple(places), tuple(store.describe(tile_id) for tile_id in ids), None if store.classes is None else np.stack(masks),
    )  # fmt: skip


def building_value(store: TileStore, *, otherwise: str) -> int:
    """What a building's pixels are in the store's masks. ``DataError``, which ends in ``otherwise``, where no class is called
    building."""
    value = value_of_building(store.classes)
    if value is None:
        raise DataError(f"{store.path}: no class is called building, so there are no roofs for material. {otherwise}")
    return value
