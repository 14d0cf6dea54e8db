"""``train --dry-run``: what a training would take on this machine, measured by a few steps of it that leave no trace."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from orthoforge.config import Recipe, load_recipe
from orthoforge.devices import device_words
from orthoforge.material import packing
from orthoforge.material.library import Library
from orthoforge.progress import duration, typical
from orthoforge.tiles.store import TileStore
from orthoforge.training.batches import epoch_batches, steps_an_epoch, training_ids
from orthoforge.training.fitting import notes_on_tiles, require_fit
from orthoforge.training.hardware import (
    arithmetic_of,
    memory_advice,
    most_memory,
    new_fabric,
    require_compiler,
    resolved_precision,
)
from orthoforge.training.material import canvas_of, library_of
from orthoforge.training.progress import Progress
from orthoforge.training.resuming import begun_at, bytes_of_run
from orthoforge.training.state import TrainingState
from orthoforge.training.step import read_figures, train_step
from orthoforge.training.training import Material, Training
from orthoforge.training.validation import validate

# So many steps are tried, fewer when they take so long.
TRIED_STEPS, LONGEST_TRIAL_S = 5, 60.0
# So many canvases are composed for them; others take as long.
TRIED_CANVASES = 4


@dataclass(frozen=True)
class Estimate:
    """What a training would take. Times are of one each."""

    recipe: Recipe
    device: str
    tiles: int
    steps_an_epoch: int
    epochs_left: int
    tried_steps: int
    step_s: float
    validation_s: float
    """Of all validation tiles, by one batch of them."""
    canvases: int
    """To be composed before the first step; 0 without material."""
    canvas_s: float
    memory: str
    """The most that the steps took, and of what."""
    run_bytes: int
    """Of checkpoints; curves and pictures are small beside them."""
    canvas_bytes: int
    free_bytes: int
    """On the disk of the run folder."""
    notes: tuple[str, ...]

    @property
    def steps(self) -> int:
        """Steps that are left."""
        return self.steps_an_epoch * self.epochs_left

    @property
    def epoch_s(self) -> float:
        """Of an epoch with its validation; saving it is not in it."""
        return self.steps_an_epoch * self.step_s + self.validation_s

    @property
    def seconds(self) -> float:
        """Of canvases and epochs together."""
        return self.canvases * self.canvas_s + self.epochs_left * self.epoch_s

    def lines(self) -> list[str]:
        """For a terminal."""
        recipe, left = self.recipe, self.epochs_left
        parts = f", each batch of {recipe.batch_size} in {recipe.accumulate} parts" * (recipe.accumulate > 1)
        lower = f"; lower with --accumulate N, which computes a batch of {recipe.batch_size} in N parts"
        epochs = f"{recipe.total_epochs} epochs" + (f", of which {left} are left" if left < recipe.total_epochs else "")
        canvases = f"; before them {duration(self.canvases * self.canvas_s)} for {self.canvases} canvases" * bool(self.canvases)
        needed = f"{_gb(self.run_bytes)} for checkpoints" + f", {_gb(self.canvas_bytes)} for canvases" * bool(self.canvas_bytes)
        return [
            f"{recipe.name} on {self.device}, in {recipe.precision}",
            f"steps   {self.steps}: {self.tiles} tiles, {self.steps_an_epoch} steps an epoch, {epochs}{parts}",
            f"time    about {duration(self.seconds)}: {duration(self.epoch_s)} an epoch{canvases}",
            f"        measured here: {duration(self.step_s)} a step (of {self.tried_steps} tried), "
            f"{duration(self.validation_s)} a validation",
            f"memory  {self.memory}{lower * (recipe.accumulate < recipe.batch_size)}",
            f"disk    {needed}; {_gb(self.free_bytes)} are free",
            *(f"note: {note}" for note in self.notes),
            "Nothing was written. Leave --dry-run out to train.",
        ]


def dry_run(
    recipe: Recipe | str | Path,
    data: Path,
    out: Path | None = None,
    *,
    resume: bool = False,
    init_from: Path | None = None,
    device: str = "auto",
) -> Estimate:
    """What ``train`` with these arguments would take: steps, time, memory and disk, measured by a few steps on this machine.

    Nothing is written. With ``resume`` and a run in ``out`` it is of the epochs that are left. Raises what ``train`` raises where
    recipe, tiles and device do not fit, and ``OutOfMemoryError`` where a step does.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    recipe = replace(recipe, precision=resolved_precision(recipe.precision, device))
    store, out = TileStore.open(data), Path("runs") if out is None else Path(out)
    fabric = new_fabric(recipe, device)
    require_fit(recipe, store, fabric.world_size)
    done, has_weights = begun_at(out, init_from, resume=resume)
    composed = _Composed(store, library_of(store, recipe), recipe.seed) if recipe.material else None
    if recipe.compile:
        require_compiler(fabric.device)
    with memory_advice(recipe, fabric.world_size), arithmetic_of(recipe), torch.random.fork_rng(devices=[]):
        training = Training(fabric, recipe, store, TrainingState(fabric, recipe, store), out)
        if composed is not None:
            training = replace(training, material=Material(packing.pack(composed.library), composed))
        run_bytes = bytes_of_run(training.state)
        steps = _tried_steps(training, composed)
        validation_s = _tried_validation(training, composed)
    learning, validating = len(training_ids(store, recipe)), len(store.ids("val"))
    canvases = learning * recipe.canvases_per_tile + validating if composed else 0
    return Estimate(
        recipe=recipe, device=device_words(str(fabric.device)), tiles=learning, steps_an_epoch=steps_an_epoch(training),
        epochs_left=max(0, recipe.total_epochs - done), tried_steps=len(steps), step_s=typical(steps), validation_s=validation_s,
        canvases=canvases, canvas_s=composed.seconds_each if composed else 0.0, memory=most_memory(fabric.device),
        run_bytes=run_bytes, canvas_bytes=canvases * store.size_px**2 * store.bands, free_bytes=_free_bytes(out),
        notes=tuple(notes_on_tiles(recipe, store, from_scratch=not has_weights)) if done < recipe.total_epochs else (),
    )  # fmt: skip


@dataclass
class _Composed:
    """Canvases that are composed when they are asked for; after a few, one of these comes again."""

    store: TileStore
    library: Library
    seed: int
    count: int = 1
    made: list[np.ndarray] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def seconds_each(self) -> float:
        return self.seconds / max(1, len(self.made))

    def image(self, tile_id: int, number: int) -> np.ndarray:
        """(S, S, B) uint8."""
        if len(self.made) >= TRIED_CANVASES:
            return self.made[tile_id % TRIED_CANVASES]
        began = time.monotonic()
        self.made.append(canvas_of(self.store, self.library, tile_id, (len(self.made), number), self.seed))
        self.seconds += time.monotonic() - began
        return self.made[-1]


def _tried_steps(training: Training, composed: _Composed | None) -> list[float]:
    """Seconds of each of some steps."""
    spent: list[float] = []
    while len(spent) < TRIED_STEPS and sum(spent) < LONGEST_TRIAL_S:
        training.state.progress = Progress()  # the first step of an epoch, however short that is
        spent.append(_timed(lambda: _whole_step(training), composed))
    return spent


def _whole_step(training: Training) -> None:
    """A step and what it computed: read, so that a GPU has done it."""
    train_step(training, next(epoch_batches(training)))
    read_figures(training)


def _tried_validation(training: Training, composed: _Composed | None) -> float:
    """Seconds of a whole validation."""
    tile_ids, batch_size = training.store.ids("val"), training.recipe.batch_size
    some = tile_ids[:batch_size]
    return _timed(lambda: validate(training, some), composed) * len(tile_ids) / len(some)


def _timed(call: Callable[[], object], composed: _Composed | None) -> float:
    """Seconds that a call takes, without canvases."""
    began, canvases_s = time.monotonic(), composed.seconds if composed else 0.0
    call()
    return time.monotonic() - began - ((composed.seconds if composed else 0.0) - canvases_s)


def _free_bytes(out: Path) -> int:
    """What is free on the disk that ``out`` would be on."""
    return shutil.disk_usage(next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())).free


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"
