"""Which tiles of different stores show the same ground, and which of them are shown and scored."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn.functional import interpolate

from orthoforge.tiles.manifest import TileRow
from orthoforge.tiles.store import TileStore

SHOWN_GROUNDS = 12
MOST_SCORED_TILES = 60
# Mean difference in levels of two pictures reduced to 8 × 8. Of one ground in resolutions from 0.5 to 2.5 m it was 2 to 7 on
# simulated scenes; of two grounds 14 and more.
_CELLS, _SAME_LEVELS = 8, 10.0

Positions = dict[str, dict[tuple[int, int], int]]


@dataclass(frozen=True)
class Ground:
    """A rectangle of a scene, in the scene's pixels: the window of a tile."""

    scene: str
    place: str
    window: tuple[int, int, int, int]
    """First row and column, height and width."""

    @property
    def words(self) -> str:
        """'austin9, 1000 × 1000 px at row 0, column 2000'."""
        row, col, height, width = self.window
        return f"{self.scene}, {height} × {width} px at row {row}, column {col}"


@dataclass
class GroundGroup:
    """Stores that show the same ground, and the grounds that are shown, in the order of the finest store's manifest."""

    stores: list[TileStore]
    grounds: list[Ground] = field(default_factory=list)


def chosen_splits(stores: Sequence[TileStore], split: str) -> dict[str, str]:
    """The split to show of each store, by fingerprint: ``split`` where all have it, else 'val' where all have that.

    Otherwise each store's own: ``split``, 'val' or 'train', the first that has tiles. Stores without any are left out.
    """

    def has(store: TileStore, name: str) -> bool:
        return len(store.ids(name)) > 0

    for name in (split, "val"):
        if all(has(store, name) for store in stores):
            return {store.fingerprint: name for store in stores}
    own = {store.fingerprint: next((name for name in (split, "val", "train") if has(store, name)), "") for store in stores}
    return {fingerprint: name for fingerprint, name in own.items() if name}


def group_by_ground(stores: Sequence[TileStore], splits: Mapping[str, str]) -> list[GroundGroup]:
    """Stores in groups that have ground in common, held out in each; a store that shares none is a group of its own."""
    groups: list[GroundGroup] = []
    for store in stores:
        for group in groups:
            grounds = shared_grounds([*group.stores, store], splits)
            if grounds:
                group.stores.append(store)
                group.grounds = grounds
                break
        else:
            groups.append(GroundGroup([store], shared_grounds([store], splits)))
    return groups


def shared_grounds(stores: Sequence[TileStore], splits: Mapping[str, str], limit: int = SHOWN_GROUNDS) -> list[Ground]:
    """The first ``limit`` tiles of the finest store that lie within one tile of each other store, places in turn.

    All of them in the split that ``splits`` names for the store. None is picked by what it shows.
    """
    kinds = [store.classes for store in stores]
    if any(kind != kinds[0] for kind in kinds):
        return []
    finest = min(stores, key=lambda store: min(row.window.height / store.size_px for row in store.rows))
    by_place: dict[str, Iterator[Ground]] = {}
    tile_ids = finest.ids(splits[finest.fingerprint]).tolist()
    for place in dict.fromkeys(finest.rows[tile_id].place for tile_id in tile_ids):
        rows = [finest.rows[tile_id] for tile_id in tile_ids if finest.rows[tile_id].place == place]
        by_place[place] = _common((Ground(row.scene, place, tuple(row.window)) for row in rows), finest, stores, splits)
    found: dict[str, list[Ground]] = {place: [] for place in by_place}
    while by_place:
        for place in list(by_place):
            ground = next(by_place[place], None)
            if ground is None:
                del by_place[place]
            elif sum(map(len, found.values())) < limit:
                found[place].append(ground)
            else:
                by_place.clear()
                break
    return [ground for grounds in found.values() for ground in grounds]


def covering_tile(store: TileStore, ground: Ground, positions: Positions | None = None) -> int | None:
    """The tile of ``store`` whose window holds all of ``ground``; ``None`` when there is none. ``positions``: of the store."""
    tiles = (positions or tiles_by_position(store)).get(ground.scene, {})
    if not tiles:
        return None
    _, _, tile_height, tile_width = store.rows[next(iter(tiles.values()))].window
    row, col, height, width = ground.window
    position = row // tile_height, col // tile_width
    ends_inside = (row + height - 1) // tile_height, (col + width - 1) // tile_width
    return tiles.get(position) if position == ends_inside else None


def cut_to(image: np.ndarray, row: TileRow, ground: Ground) -> np.ndarray:
    """The part of a tile's picture (S, S, …) that shows ``ground``, by whole pixels."""
    size = image.shape[0]
    slices = []
    for start, length, tile_start, tile_length in zip(
        ground.window[:2], ground.window[2:], row.window[:2], row.window[2:], strict=True
    ):
        pixels = max(1, round(length * size / tile_length))
        first = min(round((start - tile_start) * size / tile_length), size - pixels)
        slices.append(slice(first, first + pixels))
    return image[tuple(slices)]


def scored_tiles(store: TileStore, split: str, limit: int = MOST_SCORED_TILES) -> list[int]:
    """At most ``limit`` tiles of ``split``, as many of each place as possible, in manifest order.

    Of a place with more tiles those with the smallest checksums are taken: as good as drawn by lot, the same each time, and
    the same ones in another store that holds some of the same tiles.
    """
    by_place: dict[str, list[int]] = {}
    for tile_id in sorted(store.ids(split).tolist(), key=lambda tile_id: store.rows[tile_id].sha256):
        by_place.setdefault(store.rows[tile_id].place, []).append(tile_id)
    chosen: list[int] = []
    for tile_id in _in_turn(by_place[place] for place in sorted(by_place)):
        if len(chosen) == limit:
            break
        chosen.append(tile_id)
    return sorted(chosen)


def _common(
    grounds: Iterable[Ground], finest: TileStore, stores: Sequence[TileStore], splits: Mapping[str, str]
) -> Iterator[Ground]:
    """Those of ``grounds`` that every store shows and holds out."""
    positions = {store.fingerprint: tiles_by_position(store) for store in stores}
    for ground in grounds:
        tiles = {store.fingerprint: covering_tile(store, ground, positions[store.fingerprint]) for store in stores}
        if all(
            (tile_id := tiles[store.fingerprint]) is not None
            and store.rows[tile_id].split == splits[store.fingerprint]
            and (store is finest or _looks_alike(finest, store, ground))
            for store in stores
        ):
            yield ground


def _looks_alike(one: TileStore, other: TileStore, ground: Ground) -> bool:
    """Whether both really show one ground: scenes of other data may have the same names, and even the same coordinates."""
    cells = []
    for store in (one, other):
        tile_id = covering_tile(store, ground)
        assert tile_id is not None
        pixels = cut_to(store.tile(tile_id)[0], store.rows[tile_id], ground)
        bands = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].float()
        cells.append(interpolate(bands, size=(_CELLS, _CELLS), mode="area"))
    return float((cells[0] - cells[1]).abs().mean()) <= _SAME_LEVELS


def _in_turn(lists: Iterable[Sequence[int]]) -> Iterator[int]:
    """The first of each, then the second of each, and so on."""
    rest = [list(entries) for entries in lists]
    while any(rest):
        for entries in rest:
            if entries:
                yield entries.pop(0)


def tiles_by_position(store: TileStore) -> Positions:
    """Ids of tiles by scene, and by row and column among the scene's tiles."""
    scenes: Positions = {}
    for tile_id, row in enumerate(store.rows):
        window = row.window
        scenes.setdefault(row.scene, {})[window.row // window.height, window.col // window.width] = tile_id
    return scenes
