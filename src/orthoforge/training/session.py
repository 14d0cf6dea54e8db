"""One training from its first step or from a checkpoint to its end: lock, stops and rollbacks around the loop."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from lightning_fabric import Fabric

from orthoforge import run_files
from orthoforge.config import Recipe, load_recipe, recipe_values
from orthoforge.devices import device_words, freed_memory_kept
from orthoforge.errors import ConfigError, DivergedError, LockedError
from orthoforge.files import lock, require_place
from orthoforge.tiles.store import TileStore
from orthoforge.trackers import require_trackers
from orthoforge.training.batches import steps_an_epoch, training_ids
from orthoforge.training.fitting import notes_on_tiles, require_fit, require_sound
from orthoforge.training.hardware import (
    arithmetic_of,
    circumstances,
    memory_advice,
    new_fabric,
    require_compiler,
    resolved_precision,
)
from orthoforge.training.loop import run_epochs
from orthoforge.training.material import material_of
from orthoforge.training.resuming import begun_at, resume_or_begin, roll_back
from orthoforge.training.saving import tiles_values
from orthoforge.training.state import TrainingState
from orthoforge.training.stopping import StopRequest
from orthoforge.training.training import Training


def train(
    recipe: Recipe | str | Path,
    data: str | Path,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    init_from: str | Path | None = None,
    stop_after: int | None = None,
    minutes: float | None = None,
    trackers: Sequence[str] = ("tensorboard",),
    device: str = "auto",
    quiet: bool = False,
) -> Path:
    """Train ``recipe`` on the tiles in ``data``. Returns the run folder: ``out``, or ``runs/NAME`` when ``out`` is left out.

    ``resume`` goes on with the run in ``out`` from its last checkpoint. On a CPU the result has the same bits as if it had never
    stopped. ``init_from`` starts from the weights of another run; optimizers, learning rate and epochs of that run are left behind.
    ``stop_after`` trains so many epochs now, ``minutes`` so long, counted from this call; ``resume`` does the rest. Ctrl-C and
    SIGTERM save and return. ``trackers`` says where curves go (``orthoforge.trackers``).
    ``device`` is ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``; torchrun takes one each process.

    Raises:
        ConfigError: recipe and tiles do not fit, or a resumed recipe differs.
        DataError: tiles are damaged.
        OutputExistsError: ``out`` holds a run already.
        LockedError: another process trains it.
        CheckpointError: a checkpoint is damaged.
        ResourceError: too little disk or memory.
        DivergedError: NaN or Inf came back after every rollback.

    Examples:
        >>> from orthoforge import train
        >>> run = train("orthoforge-xs", "tiles", "runs/second", quiet=True)
        >>> run.as_posix()
        'runs/second'
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    # Resumed on other hardware, "auto" would mean something else; what it means here is part of the run.
    recipe = replace(recipe, precision=resolved_precision(recipe.precision, device))
    if out is None and resume:
        raise ConfigError("--resume needs --out: the run to go on with.")
    if stop_after is not None and stop_after < 1:
        raise ConfigError(f"stop_after is {stop_after}; it is the number of epochs to train now, 1 or more.")
    if minutes is not None and not 0 < minutes < math.inf:
        raise ConfigError(f"minutes is {minutes}; it is how long to train now, above 0.")
    stop = StopRequest(None if minutes is None else 60 * minutes)
    require_trackers(trackers)
    out = run_files.numbered_run(recipe.name) if out is None else Path(out)
    require_place(out, folder=True)
    store = TileStore.open(data)
    fabric = new_fabric(recipe, device)
    require_fit(recipe, store, fabric.world_size)
    is_told = fabric.is_global_zero and not quiet
    say = _print if is_told else _keep_quiet
    say(f"{recipe.name} on {_hardware(fabric)}, in {recipe.precision}")
    require_sound(store, fabric, say)
    # One process writes; the others only compute.
    locked = _locked(out) if fabric.is_global_zero else contextlib.nullcontext()
    if recipe.compile:
        say("compiling the networks: the first steps take minutes")
        require_compiler(fabric.device)
    with memory_advice(recipe, fabric.world_size), arithmetic_of(recipe), freed_memory_kept(), stop, locked:
        training = Training(
            fabric, recipe, store, TrainingState(fabric, recipe, store), out, stop, say, trackers, shows_progress=is_told
        )
        started_from = None if init_from is None else Path(init_from)
        _train(training, resume=resume, init_from=started_from, stop_after=stop_after)
    return out


def _train(training: Training, *, resume: bool, init_from: Path | None, stop_after: int | None) -> None:
    """``train`` inside the run's lock."""
    recipe, out, say = training.recipe, training.out, training.say
    done, has_weights = begun_at(out, init_from, resume=resume)
    for note in notes_on_tiles(recipe, training.store, from_scratch=not has_weights) if done < recipe.total_epochs else ():
        say(note)
    if recipe.material:
        training = replace(training, material=material_of(training))
        if training.material is None:
            say(f"stopped while canvases were composed; those that are ready stay in {out}. Go on with --resume.")
            return
    started_from = resume_or_begin(training, resume=resume, init_from=init_from)
    if training.fabric.is_global_zero:
        _write_args(training, resume=resume, started_from=started_from)
    if training.progress.epoch < recipe.total_epochs:
        tiles, steps = len(training_ids(training.store, recipe)), steps_an_epoch(training)
        say(f"{recipe.name}: {tiles} tiles, {steps} steps an epoch, {recipe.total_epochs} epochs; a line after each, all in {out}")
    while True:
        if training.fabric.is_global_zero:
            run_files.truncate_results(out, training.progress.epoch)
        try:
            finished = run_epochs(training, stop_after)
            break
        except DivergedError as error:
            roll_back(training, error)
    if training.fabric.is_global_zero:
        run_files.plot_results(out)
    progress = training.progress
    go_on = "The same command goes on." if resume else "Go on with --resume."
    where = f"epoch {progress.epoch + 1}, step {progress.step}; saved in {out / 'weights' / 'last'}. {go_on}"
    say(f"finished: {out}" if finished else f"stopped at {where}")


def _write_args(training: Training, *, resume: bool, started_from: str | None) -> None:
    """``args.yaml``: the recipe, and what it is trained on and with."""
    settings = {"data": str(training.store.path), "out": str(training.out), "init_from": started_from, "resume": resume}
    if training.state.features is not None:
        settings["perceptual_weights_sha256"] = training.state.features.weights_sha256
    with_what = {"tiles": tiles_values(training.store), "versions": circumstances(training.fabric)}
    run_files.write_args(training.out, recipe_values(training.recipe) | {"run": settings | with_what})


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    try:
        with lock(out / "run"):
            yield
    except LockedError:
        raise LockedError(f"{out} is being trained by another process. Wait for it, or choose another --out.") from None


def _hardware(fabric: Fabric) -> str:
    """'cpu, 2 threads', '4 processes, the first on cuda:0, NVIDIA H200, 139.8 GB'."""
    words = device_words(str(fabric.device))
    return words if fabric.world_size == 1 else f"{fabric.world_size} processes, the first on {words}"


def _print(text: str) -> None:
    """Print a line; a terminal that is gone, full or of other characters ends no training."""
    with contextlib.suppress(OSError, ValueError):
        print(text, flush=True)


def _keep_quiet(text: str) -> None:
    """Say nothing."""
