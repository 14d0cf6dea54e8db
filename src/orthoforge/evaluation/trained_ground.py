"""Whether a run was trained on the ground that scored tiles show: what its checkpoint and its tiles say."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orthoforge import runs
from orthoforge.checkpoints import checkpoint_folder, read_state
from orthoforge.errors import DataError
from orthoforge.tiles.manifest import TileRow
from orthoforge.tiles.store import TileStore

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class TrainedGround:
    """What is known. ``tiles`` counts the scored tiles that show ground of the training; ``None`` when that is unknown."""

    same_store: bool
    tiles: int | None
    example: str
    training: TileStore | None
    """The tiles that the run was trained on, where they can still be found."""


def trained_ground(run: Path, store: TileStore, tile_ids: Sequence[int]) -> TrainedGround:
    """Compare tiles of ``store`` with the training tiles of ``run``.

    The same store by its fingerprint: then the split decides. Another one: tiles whose bytes are the same, whose areas overlap in
    one CRS, or (without a CRS) whose windows in a scene of one name do.
    """
    folder = checkpoint_folder(run)
    fingerprint = read_state(folder)["tiles"]["fingerprint"]
    if store.fingerprint == fingerprint:
        seen = [tile_id for tile_id in tile_ids if store.rows[tile_id].split == "train"]
        return TrainedGround(True, len(seen), store.describe(seen[0]) if seen else "", store)
    training = _training_store(folder, fingerprint)
    if training is None:
        return TrainedGround(False, None, "", None)
    theirs = [row for row in training.rows if row.split == "train"]
    checksums = {row.sha256 for row in theirs}
    met = set(tiles_on(theirs, store, tile_ids))
    seen = [tile_id for tile_id in tile_ids if tile_id in met or store.rows[tile_id].sha256 in checksums]
    return TrainedGround(False, len(seen), store.describe(seen[0]) if seen else "", training)


def tiles_on(rows: Sequence[TileRow], store: TileStore, tile_ids: Sequence[int], *, by_name: bool = True) -> list[int]:
    """Those of ``tile_ids`` whose area overlaps that of one of ``rows``.

    In one CRS, or (with ``by_name``) where both have none, as windows in a scene of one name.
    """
    boxes: dict[str, list[Box]] = {}
    for row in rows:
        if by_name or row.grid.crs:
            area, box = _area(row)
            boxes.setdefault(area, []).append(box)
    arrays = {area: np.array(some) for area, some in boxes.items()}
    found = []
    for tile_id in tile_ids:
        area, box = _area(store.rows[tile_id])
        if area in arrays and _meets_any(box, arrays[area]):
            found.append(tile_id)
    return found


def _training_store(folder: Path, fingerprint: str) -> TileStore | None:
    """The store that ``args.yaml`` names, if it is there and still the same."""
    data = runs.read_args(folder.parent.parent).get("run", {}).get("data")
    try:
        store = TileStore.open(Path(data)) if data else None
    except (DataError, OSError):
        return None
    return store if store is not None and store.fingerprint == fingerprint else None


def _area(row: TileRow) -> tuple[str, Box]:
    """What a tile's place is counted in, its CRS or else its scene, and (left, bottom, right, top) in that."""
    if row.grid.crs:
        return f"crs {row.grid.crs}", row.grid.bounds
    window = row.window
    return f"scene {row.scene}", (window.col, window.row, window.col + window.width, window.row + window.height)


def _meets_any(box: Box, boxes: np.ndarray) -> bool:
    """Whether a box shares an area with one of (N, 4); neighbours whose edges differ by rounding share none."""
    left, bottom, right, top = box
    slack = 1e-3 * min(right - left, top - bottom)
    across = np.minimum(right, boxes[:, 2]) - np.maximum(left, boxes[:, 0])
    up = np.minimum(top, boxes[:, 3]) - np.maximum(bottom, boxes[:, 1])
    return bool(((across > slack) & (up > slack)).any())
