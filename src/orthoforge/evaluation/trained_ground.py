"""Whether a run was trained on the ground that scored tiles show: what its checkpoint and its tiles say."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orthoforge.geo.areas import Areas, meetings
from orthoforge.runs import Run
from orthoforge.tiles.manifest import TileRow
from orthoforge.tiles.store import TileStore

# Of a tile's side: so much is taken off before its area counts as that of another.
_ROUNDING = 1e-3


@dataclass(frozen=True)
class TrainedGround:
    """What is known. ``tiles`` counts the scored tiles that show ground of the training; ``None`` when that is unknown."""

    same_store: bool
    tiles: int | None
    example: str
    training: TileStore | None
    """The tiles that the run was trained on, where they can still be found."""


def trained_ground(run: Run, store: TileStore, tile_ids: Sequence[int]) -> TrainedGround:
    """Compare tiles of ``store`` with the training tiles of ``run``.

    The same store by its fingerprint: then the split decides. Another one: tiles whose bytes are the same, whose areas overlap, in
    whatever CRS each lies, or (without a CRS) whose windows in a scene of one name do.
    """
    if store.fingerprint == run.state.tiles.fingerprint:
        seen = [tile_id for tile_id in tile_ids if store.rows[tile_id].split == "train"]
        return TrainedGround(True, len(seen), store.describe(seen[0]) if seen else "", store)
    training = run.tiles()
    if training is None:
        return TrainedGround(False, None, "", None)
    theirs = [row for row in training.rows if row.split == "train"]
    checksums = {row.sha256 for row in theirs}
    met = set(tiles_on(theirs, store, tile_ids))
    seen = [tile_id for tile_id in tile_ids if tile_id in met or store.rows[tile_id].sha256 in checksums]
    return TrainedGround(False, len(seen), store.describe(seen[0]) if seen else "", training)


def tiles_on(rows: Sequence[TileRow], store: TileStore, tile_ids: Sequence[int], *, by_name: bool = True) -> list[int]:
    """Those of ``tile_ids`` whose area overlaps that of one of ``rows``.

    On the ground, in whatever CRS each lies, or (with ``by_name``) where both have none, as windows in a scene of one name.
    Neighbours whose edges differ by rounding share no area.
    """
    looked_at = [tile_id for tile_id in tile_ids if by_name or store.rows[tile_id].grid.crs]
    scored = _areas([store.rows[tile_id] for tile_id in looked_at], -_ROUNDING)
    found = meetings(scored, _areas([row for row in rows if by_name or row.grid.crs], 0.0))
    return [looked_at[position] for position in np.unique(found[0])]


def _areas(rows: Sequence[TileRow], near: float) -> Areas:
    """Where tiles lie: on the ground, or else in their scene."""
    windows = [row.window for row in rows]
    boxes = [
        row.grid.bounds if row.grid.crs else (window.col, window.row, window.col + window.width, window.row + window.height)
        for row, window in zip(rows, windows, strict=True)
    ]
    return Areas.of_boxes(boxes, [row.grid.crs or row.scene for row in rows], near)
