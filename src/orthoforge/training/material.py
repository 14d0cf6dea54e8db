"""The library of a training, and the canvases of its tiles, composed before the first step and kept beside the run."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from orthoforge.checkpoint_state import MATERIAL
from orthoforge.config import Recipe
from orthoforge.files import new_file, require_free_space
from orthoforge.geo.grid import Window
from orthoforge.geo.houses import Houses
from orthoforge.material import packing
from orthoforge.material.canvas import VERSION, Composer
from orthoforge.material.library import Library
from orthoforge.tile_library import building_value, library_of_tiles
from orthoforge.tiles.store import TileStore
from orthoforge.training.batches import training_ids
from orthoforge.training.hardware import any_process
from orthoforge.training.training import Material, Training

FOLDER = "canvases"
_SPREAD = 1_000_003  # canvases of different tiles and numbers lie so far apart on the plane that they share no ground
_WAY_OUT = "Pass --material False."


@dataclass(frozen=True)
class TileCanvases:
    """``count`` canvases of each training tile, the first so many of ``rows``, and one of each validation tile, on disk."""

    folder: Path
    count: int
    rows: dict[int, int]
    training: int
    _maps: list[np.ndarray] = field(default_factory=list)

    def image(self, tile_id: int, number: int) -> np.ndarray:
        """Canvas ``number`` of a tile, (S, S, B) uint8."""
        if not self._maps:
            self._maps.extend(np.load(self.folder / f"{index}.npy", mmap_mode="r") for index in range(self.count))
        return self._maps[number][self.rows[tile_id]]


def material_of(training: Training) -> Material | None:
    """The material of a run, made where it is not there yet; ``None`` when asked to stop.

    Raises ``DataError`` when no class of the tiles is called building, and ``ResourceError`` for a full disk.
    """
    recipe, store = training.recipe, training.store
    kept = training.out / "weights" / "last" / MATERIAL
    payload = kept.read_bytes() if kept.is_file() else packing.pack(library_of(store, recipe))
    learning, validating = training_ids(store, recipe).tolist(), store.ids("val").tolist()
    rows = {tile_id: row for row, tile_id in enumerate([*learning, *validating])}
    canvases = TileCanvases(training.out / FOLDER, recipe.canvases_per_tile, rows, len(learning))
    if training.fabric.is_global_zero:
        _forget_others(canvases, training, payload)
        _compose(canvases, packing.unpack(payload, str(kept)), training)
    training.fabric.barrier()
    return None if any_process(training.fabric, training.stop.requested) else Material(payload, canvases)


def library_of(store: TileStore, recipe: Recipe) -> Library:
    """The training tiles as a library."""
    return library_of_tiles(store, training_ids(store, recipe).tolist(), otherwise=_WAY_OUT)


def _forget_others(canvases: TileCanvases, training: Training, payload: bytes) -> None:
    """Remove canvases that were made of another library or other tiles, and note what these are made of."""
    made_by = {
        "version": VERSION, "library": hashlib.sha256(payload).hexdigest(), "tiles": training.store.fingerprint,
        "seed": training.recipe.seed, "rows": list(canvases.rows),
    }  # fmt: skip
    told = canvases.folder / "canvases.json"
    if not told.is_file() or json.loads(told.read_text("utf-8")) != made_by:
        for path in canvases.folder.glob("*.npy"):
            path.unlink()
        canvases.folder.mkdir(parents=True, exist_ok=True)
        with new_file(told, overwrite=True) as partial:
            partial.write_text(json.dumps(made_by), "utf-8")


def _compose(canvases: TileCanvases, library: Library, training: Training) -> None:
    """Write the canvases that are not there yet, one file for each number; fewer when asked to stop."""
    store = training.store
    missing = [number for number in range(canvases.count) if not (canvases.folder / f"{number}.npy").is_file()]
    tiles = [list(canvases.rows.items())[: None if number == 0 else canvases.training] for number in missing]
    total = sum(map(len, tiles))
    require_free_space(canvases.folder, total * store.size_px**2 * store.bands, f"{total} canvases of {len(canvases.rows)} tiles")
    with training.shown().task("canvases", total) as step:
        for number, rows in zip(missing, tiles, strict=True):
            made = np.empty((len(rows), store.size_px, store.size_px, store.bands), np.uint8)
            for tile_id, row in rows:
                if training.stop.requested:
                    return
                made[row] = canvas_of(store, library, tile_id, (row, number), training.recipe.seed)
                step()
            with new_file(canvases.folder / f"{number}.npy", overwrite=True) as partial, open(partial, "wb") as file:
                np.save(file, made)


def canvas_of(store: TileStore, library: Library, tile_id: int, at: tuple[int, int], seed: int) -> np.ndarray:
    """A canvas of a tile, (S, S, B) uint8, of all tiles of its place but itself; ``at`` are its row and the number."""
    mask = store.tile(tile_id)[1]
    row, number = at
    is_building = mask == building_value(store, otherwise=_WAY_OUT)
    buildings = Houses.of(is_building, origin=(_SPREAD * (row + 1), _SPREAD * (number + 1)))
    name = store.describe(tile_id)
    itself = [library.names.index(name)] if name in library.names else []
    place = store.rows[tile_id].place
    where = library.place_names.index(place) if place in library.place_names else None
    classes = None if store.classes is None else lambda window: mask[window.slices]
    composer = Composer.of(library, buildings, seed=seed, place=where, without=itself, classes=classes)
    return composer.canvas(Window(0, 0, *mask.shape)).image
