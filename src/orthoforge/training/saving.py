"""What a training writes of itself into a checkpoint."""

from typing import Any, TypedDict

from orthoforge.checkpoint_files import save_checkpoint
from orthoforge.config import Setting, recipe_values
from orthoforge.masks.classes import plain_classes
from orthoforge.tiles.store import TileStore
from orthoforge.training.hardware import circumstances
from orthoforge.training.places import places_of
from orthoforge.training.step import read_figures
from orthoforge.training.training import Training


class TilesValues(TypedDict):
    """What a generator must know of the tiles that it learnt from, as plain values."""

    fingerprint: str
    size_px: int
    gsd_m: float | None
    classes: dict[str, list[Any]] | None
    bands: int
    attribution: str
    places: list[str]


class StateValues(TypedDict):
    """What ``state.json`` says beside its checksums, as plain values."""

    recipe: dict[str, Setting]
    progress: dict[str, object]
    tiles: TilesValues
    rng: dict[str, int]
    versions: dict[str, str | int]


def save(training: Training, name: str) -> None:
    """Write the checkpoint ``name`` from one process; the others wait. Raises ``DivergedError`` rather than save NaN or Inf."""
    read_figures(training)
    state = training.state
    state.require_finite()
    if training.fabric.is_global_zero:
        save_checkpoint(
            training.out / "weights" / name,
            model=state.model_tensors(),
            train=state.train_tensors(),
            state=state_values(training),
            material=training.material.payload if training.material else None,
        )
    training.fabric.barrier()


def state_values(training: Training) -> StateValues:
    """Recipe, progress, tiles and circumstances, in the order of the file."""
    progress = training.progress
    return {
        "recipe": recipe_values(training.recipe),
        "progress": progress.plain_values(),
        "tiles": tiles_values(training.store),
        "rng": {"seed": training.recipe.seed, "rollbacks": progress.rollbacks, "step": progress.step},
        "versions": circumstances(training.fabric),
    }


def tiles_values(store: TileStore) -> TilesValues:
    """The tiles, in the order of the file."""
    return {
        "fingerprint": store.fingerprint,
        "size_px": store.size_px,
        "gsd_m": store.gsd_m,
        "classes": plain_classes(store.classes),
        "bands": store.bands,
        "attribution": store.attribution,
        "places": places_of(store),
    }
