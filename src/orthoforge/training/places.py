"""The places of the training tiles."""

from orthoforge.tiles.store import TileStore


def places_of(store: TileStore) -> list[str]:
    """The places of the training tiles, sorted: those of the rows of a style bank."""
    return sorted({store.rows[tile_id].place for tile_id in store.ids("train").tolist()})
