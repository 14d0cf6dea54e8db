"""Whether tiles may lend their roofs and their ground to weights that refine material."""

from orthoforge.geo.grid import other_scale
from orthoforge.tiles.store import TileStore

MATERIAL_GSD_M = 0.3
"""Metres a pixel of the material of orthoforge-material."""


def suits_weights_of_the_package(store: TileStore) -> bool:
    """Whether ``--material-from`` with orthoforge-material makes sense of these tiles.

    They are of buildings, of three bands and at its resolution, and none that trains shows a synthetic image: it lends real roofs.
    """
    if store.classes is not None or store.bands != 3 or other_scale(store.gsd_m, MATERIAL_GSD_M):
        return False
    return not any(store.rows[tile_id].synthetic for tile_id in store.ids("train").tolist())
