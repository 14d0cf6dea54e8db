"""Prepared tiles as the source of new masks: the masks of those that train, as files."""

from pathlib import Path

import numpy as np

from orthoforge.errors import DataError
from orthoforge.forging.places import RealMasks
from orthoforge.geo.cog import write_geotiff
from orthoforge.masks.classes import Classes
from orthoforge.scenes.place_names import place_key
from orthoforge.tiles.store import TileStore


def training_masks(tiles: Path, folder: Path) -> RealMasks:
    """The masks of the tiles of ``tiles`` that train, written to ``folder`` on their grids, each with its place.

    Tiles of validation and test, those between the splits, and those of synthetic images are left out. A file is called by the
    tile's row and column in its scene and by the scene, as in ``r0_c256_austin1``: the number at the end stays the scene's. Masks
    of classes hold class indices, and these are the values of ``RealMasks.classes``. Raises what ``TileStore.open`` raises, and
    ``DataError`` where no tile is left.
    """
    store = TileStore.open(tiles)
    training = [int(tile_id) for tile_id in store.ids("train")]
    if not training:
        raise DataError(
            f"{tiles}: none of its {len(store.rows)} tiles trains, so there is no mask that may be used. Cut the data again with "
            "orthoforge prepare so that part of it trains."
        )
    real = [tile_id for tile_id in training if not store.rows[tile_id].synthetic]
    if not real:
        raise DataError(
            f"{tiles}: its training tiles are all of synthetic images; new masks are made from real ones only. Name the tiles of "
            "the data set that they came from."
        )
    places = {}
    for tile_id in real:
        row = store.rows[tile_id]
        path = folder / f"r{row.window.row}_c{row.window.col}_{row.scene}.tif"
        write_geotiff(path, np.ascontiguousarray(store.tile(tile_id)[1]), row.own_grid)
        places[path] = place_key(row.place)
    left_out = f" ({len(training) - len(real)} more are of synthetic images)" * (len(real) < len(training))
    said = f"from the {len(real)} training tiles of {tiles}{left_out}; none of validation or test"
    return RealMasks(tuple(places), _by_index(store.classes), (), places, said)


def _by_index(classes: Classes | None) -> Classes | None:
    """Classes that are read from masks of one band that hold their indices."""
    if classes is None:
        return None
    return Classes(classes.names, classes.colours, tuple((index,) for index in range(classes.count)))
