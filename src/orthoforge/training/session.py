"""One training from its first step or from a checkpoint to its end: settings, lock, stops and rollbacks around the loop."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from orthoforge import run_files
from orthoforge.checkpoint_state import CheckpointState
from orthoforge.checkpoints import checkpoint_folder, load_checkpoint, newest_checkpoint, recipe_of
from orthoforge.config import SAFE_TO_CHANGE, Recipe, load_recipe, recipe_values
from orthoforge.errors import ConfigError, DataError, DivergedError, LockedError, OutputExistsError
from orthoforge.files import lock, require_free_space, require_place
from orthoforge.tiles.store import TileStore
from orthoforge.trackers import require_trackers
from orthoforge.training.batches import steps_an_epoch, training_ids
from orthoforge.training.hardware import circumstances, memory_advice, new_fabric, resolved_precision
from orthoforge.training.loop import run_epochs, save, tiles_values
from orthoforge.training.material import Material, material_of
from orthoforge.training.places import places_of
from orthoforge.training.state import TrainingState
from orthoforge.training.stopping import StopRequest

MAX_ROLLBACKS = 3
LEAST_MATERIAL_PX = 32


def train(
    recipe: Recipe | str | Path,
    data: Path,
    out: Path | None = None,
    *,
    resume: bool = False,
    init_from: Path | None = None,
    stop_after: int | None = None,
    trackers: Sequence[str] = ("tensorboard",),
    quiet: bool = False,
) -> Path:
    """Train ``recipe`` on the tiles in ``data``; returns the run folder (``runs/NAME`` when ``out`` is left out).

    With ``resume`` a run goes on from its last checkpoint, with the same result as if it had never stopped. With ``init_from`` the
    networks start from another run's weights; its optimizers, rate and epochs are left behind. ``stop_after`` trains so many epochs
    now and leaves the rest to a resumption. SIGTERM and Ctrl-C save and return. ``trackers``: see ``orthoforge.trackers``.

    Raises ``ConfigError`` when recipe and tiles do not fit or a resumed recipe differs, ``DataError`` when tiles are damaged,
    ``OutputExistsError`` when ``out`` holds a run already, ``LockedError`` when another process trains it, ``CheckpointError`` for
    a damaged checkpoint, ``ResourceError`` for want of disk or memory, ``DivergedError`` when NaN or Inf return after every
    rollback.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    # Resumed on other hardware, "auto" would mean something else; what it means here is part of the run.
    recipe = replace(recipe, precision=resolved_precision(recipe.precision))
    if out is None and resume:
        raise ConfigError("--resume needs --out: the run to go on with.")
    if stop_after is not None and stop_after < 1:
        raise ConfigError(f"stop_after is {stop_after}; it is the number of epochs to train now, 1 or more.")
    require_trackers(trackers)
    out = run_files.numbered_run(recipe.name) if out is None else Path(out)
    require_place(out, folder=True)
    store = TileStore.open(data)
    fabric = new_fabric(recipe)
    require_fit(recipe, store, fabric.world_size)
    quiet = quiet or not fabric.is_global_zero
    _check_tiles(fabric, store, quiet)
    options: dict[str, Any] = {"resume": resume, "init_from": init_from, "stop_after": stop_after, "trackers": trackers}
    with memory_advice(recipe), StopRequest() as stop:
        if not fabric.is_global_zero:  # one process writes; the others only compute
            _train_in(fabric, recipe, store, out, stop, quiet=quiet, **options)
            return out
        try:
            with lock(out / "run"):
                _train_in(fabric, recipe, store, out, stop, quiet=quiet, **options)
        except LockedError:
            raise LockedError(f"{out} is being trained by another process. Wait for it, or choose another --out.") from None
    return out


def _train_in(
    fabric: Fabric,
    recipe: Recipe,
    store: TileStore,
    out: Path,
    stop: StopRequest,
    *,
    resume: bool,
    init_from: Path | None,
    stop_after: int | None,
    trackers: Sequence[str],
    quiet: bool,
) -> None:
    """``train`` inside the run's lock."""
    say = (lambda text: None) if quiet else _print
    state = TrainingState(fabric, recipe, store.classes, len(places_of(store)), store.bands)
    for note in notes_on_tiles(recipe, store):
        say(note)
    material = material_of(fabric, recipe, store, out, say, stop)
    if recipe.material and material is None:
        say(f"stopped while canvases were composed; those that are ready stay in {out}. Go on with --resume.")
        return
    started_from = _resume_or_begin(fabric, recipe, store, state, out, say, resume=resume, init_from=init_from, material=material)
    if fabric.is_global_zero:
        settings = {"data": str(store.path), "out": str(out), "init_from": started_from, "resume": resume}
        if state.features is not None:
            settings["perceptual_weights_sha256"] = state.features.weights_sha256
        run_files.write_args(
            out,
            recipe_values(recipe) | {"run": settings | {"tiles": tiles_values(store), "versions": circumstances(fabric)}},
        )
    if state.progress.epoch < recipe.total_epochs:
        tiles, steps = len(training_ids(store, recipe)), steps_an_epoch(store, recipe, fabric)
        say(f"{recipe.name}: {tiles} tiles, {steps} steps an epoch, {recipe.total_epochs} epochs; a line after each, all in {out}")
    while True:
        if fabric.is_global_zero:
            run_files.truncate_results(out, state.progress.epoch)
        try:
            finished = run_epochs(
                fabric, recipe, store, state, out, stop, say, trackers=trackers, stop_after=stop_after, material=material
            )
            break
        except DivergedError as error:
            _roll_back(fabric, recipe, store, state, out, error, say, material)
    if fabric.is_global_zero:
        run_files.plot_results(out)
    progress = state.progress
    go_on = "The same command goes on." if resume else "Go on with --resume."
    where = f"epoch {progress.epoch + 1}, step {progress.step}; saved in {out / 'weights' / 'last'}. {go_on}"
    say(f"finished: {out}" if finished else f"stopped at {where}")


def _check_tiles(fabric: Fabric, store: TileStore, quiet: bool) -> None:
    """Raise ``DataError`` in every process when a tile's pixels are not those that were prepared. The first one reads them all."""
    started_at = time.monotonic()
    store.require_sound(fabric.broadcast(store.verify() if fabric.is_global_zero else []))
    if not quiet:
        seconds = time.monotonic() - started_at
        _print(f"{store.path}: the checksums of {len(store.rows)} tiles are right ({seconds:.1f} s)")


def _print(text: str) -> None:
    """Print a line; a terminal that is gone, full or of other characters ends no training."""
    with contextlib.suppress(OSError, ValueError):
        print(text, flush=True)


def _resume_or_begin(
    fabric: Fabric,
    recipe: Recipe,
    store: TileStore,
    state: TrainingState,
    out: Path,
    say: Callable[[str], None],
    *,
    resume: bool,
    init_from: Path | None,
    material: Material | None,
) -> str | None:
    """Bring ``state`` to where the run in ``out`` stands, or save a new one's beginning; returns whose weights it began with."""
    # As the first process sees it: a slower one may come here when that one has saved already.
    if fabric.broadcast(has_checkpoint(out)):
        if not resume:
            raise OutputExistsError(f"{out} holds a run already. Go on with it by --resume, or choose another --out.")
        checkpoint = load_checkpoint(newest_checkpoint(out))
        for change in allowed_changes(recipe, store, checkpoint.state, out):
            say(f"changed since the run began: {change}")
        state.restore(checkpoint)
        if init_from is not None:
            say(f"--init-from {init_from} is left aside: the run has weights of its own")
        say(f"resuming {out} at epoch {state.progress.epoch + 1}, step {state.progress.step}")
        return (args.init_from or None) if (args := run_files.read_args(out)) else None
    if resume:
        say(f"{out} holds no run yet; a new one begins")
    if init_from is None and recipe.starts_from:
        raise ConfigError(
            f"{recipe.name} starts from the weights of a run of `{recipe.starts_from}`: name it with --init-from. To train "
            "from scratch instead, pass --starts-from ''."
        )
    if init_from is not None:
        for note in state.start_from(load_checkpoint(checkpoint_folder(init_from), weights_only=True)):
            say(note)
    # Fails here, before the first step, when the folder cannot take a run: last, previous, best and the one being written.
    tensors = state.model_tensors() | state.train_tensors()
    adam_bytes = 2 * sum(p.nbytes for network, _ in state.trained.values() for p in network.parameters())
    needed = 4 * (sum(tensor.nbytes for tensor in tensors.values()) + adam_bytes)
    require_free_space(out, needed, "a run of this recipe")
    save(fabric, state, recipe, store, out / "weights" / "last", material)
    return str(init_from) if init_from else None


def require_fit(recipe: Recipe, store: TileStore, processes: int) -> None:
    """Raise ``ConfigError`` or ``DataError`` when the recipe cannot be trained on these tiles."""
    wanted = f" The recipe was made for `orthoforge prepare {recipe.tiles}`." if recipe.tiles else ""
    if recipe.crop_px > store.size_px:
        raise ConfigError(f"crop_px is {recipe.crop_px}, but the tiles in {store.path} are {store.size_px} px.{wanted}")
    if recipe.material and store.size_px < LEAST_MATERIAL_PX:
        raise ConfigError(
            f"the tiles in {store.path} are {store.size_px} px; material takes pieces of ground out of them, which needs "
            f"{LEAST_MATERIAL_PX} px or more.{wanted}"
        )
    if recipe.batch_size % processes:
        raise ConfigError(f"batch_size is {recipe.batch_size}; on {processes} processes it must be a multiple of {processes}.")
    for split in ("train", "val"):
        if not len(store.ids(split)):
            raise DataError(
                f"{store.path}: no tile is in split {split}. Prepare again with more scenes or another --split.{wanted}"
            )
    if recipe.best_by == "kernel" and len(store.ids("val")) < 2:
        raise DataError(
            f"{store.path}: one validation tile has no kernel distance, which compares sets. Prepare more, or --best-by perceptual."
        )


def notes_on_tiles(recipe: Recipe, store: TileStore) -> list[str]:
    """What a user should know of these tiles and this recipe: where they differ from what it was made for, and how few it takes."""
    notes = []
    wanted = {"grid": None if "gsd" in recipe.tile_options else 1, "gsd": None, "size": 286, "split": "blocks", "min_building": 0.0}
    wanted |= recipe.tile_options
    is_other = [name for name, value in wanted.items() if recipe.tiles and store.settings.get(name) != value]
    if is_other:
        found = ", ".join(f"{name} {store.settings.get(name)}" for name in is_other)
        notes.append(
            f"the tiles in {store.path} have {found}; recipe {recipe.name} was made for those of "
            f"`orthoforge prepare {recipe.tiles}`"
        )
    if recipe.tiles_per_place:
        counts = Counter(store.rows[tile_id].place for tile_id in training_ids(store, recipe).tolist())
        named = ", ".join(f"{place} {count}" for place, count in sorted(counts.items()))
        notes.append(f"training on {counts.total()} of {len(store.ids('train'))} tiles: {named}")
    return notes


def has_checkpoint(out: Path) -> bool:
    """Whether a run has begun in ``out``."""
    return any((out / "weights" / name).exists() for name in ("last", "previous"))


def allowed_changes(recipe: Recipe, store: TileStore, recorded: CheckpointState, out: Path) -> list[str]:
    """Differences that a resumed run may have, as lines; ``ConfigError`` with all the others when there are any."""
    begun = recipe_values(recipe_of(recorded, out))
    changes = {name: f"{name}: {begun[name]} → {value}" for name, value in recipe_values(recipe).items() if begun[name] != value}
    if recorded.tiles.fingerprint != store.fingerprint:
        changes["tiles fingerprint"] = f"tiles: {recorded.tiles.fingerprint[:12]} → {store.fingerprint[:12]} ({store.path})"
    refused = [text for name, text in changes.items() if name not in SAFE_TO_CHANGE]
    if refused:
        raise ConfigError(
            f"{out} was begun with other settings: {'; '.join(refused)}. Resume with its own ({out / 'args.yaml'} is a recipe), "
            "or start another run from its weights with --init-from."
        )
    return list(changes.values())


def _roll_back(
    fabric: Fabric,
    recipe: Recipe,
    store: TileStore,
    state: TrainingState,
    out: Path,
    error: DivergedError,
    say: Callable[[str], None],
    material: Material | None,
) -> None:
    """Return to the last checkpoint with another random stream; ``DivergedError`` when that was tried often enough."""
    rollbacks = state.progress.rollbacks + 1
    if rollbacks > MAX_ROLLBACKS:
        raise DivergedError(
            f"{error} Rolled back {MAX_ROLLBACKS} times, and it came again; the last sound checkpoint is {newest_checkpoint(out)}. "
            f"Start another run from it: --init-from {out}, with a lower --learning-rate (it is {recipe.learning_rate}), or with "
            "--precision float32."
        ) from error
    state.restore(load_checkpoint(newest_checkpoint(out)))
    state.progress.rollbacks = rollbacks
    save(fabric, state, recipe, store, out / "weights" / "last", material)
    say(f"{error} Rolled back to step {state.progress.step} ({rollbacks} of {MAX_ROLLBACKS} times).")
