"""Where a training begins: at its first step, where its last checkpoint stands, and there again after NaN or Inf."""

from pathlib import Path

from orthoforge import run_files
from orthoforge.checkpoint_files import Checkpoint, load_checkpoint
from orthoforge.checkpoints import checkpoint_folder, newest_checkpoint, read_state, recipe_of
from orthoforge.config import SAFE_TO_CHANGE, recipe_values
from orthoforge.errors import ConfigError, DivergedError, OutputExistsError
from orthoforge.files import require_free_space
from orthoforge.training.saving import save
from orthoforge.training.state import TrainingState
from orthoforge.training.training import Training

MAX_ROLLBACKS = 3


def resume_or_begin(training: Training, *, resume: bool, init_from: Path | None) -> str | None:
    """Bring the state to where the run stands, or save a new one's beginning; returns whose weights it began with."""
    # As the first process sees it: a slower one may come here when that one has saved already.
    if training.fabric.broadcast(has_checkpoint(training.out)):
        if not resume:
            raise OutputExistsError(f"{training.out} holds a run already. Go on with it by --resume, or choose another --out.")
        return _resume(training, init_from)
    if resume:
        training.say(f"{training.out} holds no run yet; a new one begins")
    _begin(training, init_from)
    return str(init_from) if init_from else None


def has_checkpoint(out: Path) -> bool:
    """Whether a run has begun in ``out``."""
    return any((out / "weights" / name).exists() for name in ("last", "previous"))


def begun_at(out: Path, init_from: str | Path | None, *, resume: bool) -> tuple[int, bool]:
    """The epochs that the run in ``out`` has behind it, and whether it begins, or began, with trained weights."""
    if not (resume and has_checkpoint(out)):
        return 0, init_from is not None
    args = run_files.read_args(out)
    return read_state(newest_checkpoint(out)).progress.epoch, bool(args and args.init_from)


def _resume(training: Training, init_from: Path | None) -> str | None:
    out, say = training.out, training.say
    checkpoint = load_checkpoint(newest_checkpoint(out))
    for change in allowed_changes(training, checkpoint):
        say(f"changed since the run began: {change}")
    training.state.restore(checkpoint)
    if init_from is not None:
        say(f"--init-from {init_from} is left aside: the run has weights of its own")
    say(f"resuming {out} at epoch {training.progress.epoch + 1}, step {training.progress.step}")
    return (args.init_from or None) if (args := run_files.read_args(out)) else None


def _begin(training: Training, init_from: Path | None) -> None:
    recipe, state = training.recipe, training.state
    if init_from is None and recipe.starts_from:
        raise ConfigError(
            f"{recipe.name} starts from the weights of a run of `{recipe.starts_from}`: name it with --init-from. To train "
            "from scratch instead, pass --starts-from ''."
        )
    if init_from is not None:
        for note in state.start_from(load_checkpoint(checkpoint_folder(init_from), weights_only=True)):
            training.say(note)
    # Fails here, before the first step, when the folder cannot take a run.
    require_free_space(training.out, bytes_of_run(state), "a run of this recipe")
    save(training, "last")


def bytes_of_run(state: TrainingState) -> int:
    """What the checkpoints of a run take on disk at the most: last, previous, best, and the one being written."""
    tensors = state.model_tensors() | state.train_tensors()
    adam_bytes = 2 * sum(p.nbytes for network, _ in state.trained.values() for p in network.parameters())
    return 4 * (sum(tensor.nbytes for tensor in tensors.values()) + adam_bytes)


def allowed_changes(training: Training, checkpoint: Checkpoint) -> list[str]:
    """Differences that a resumed run may have, as lines; ``ConfigError`` with all the others when there are any."""
    store, out = training.store, training.out
    begun, now = recipe_values(recipe_of(checkpoint.state, out)), recipe_values(training.recipe)
    changes = {name: f"{name}: {begun[name]} → {value}" for name, value in now.items() if begun[name] != value}
    fingerprint = checkpoint.state.tiles.fingerprint
    if fingerprint != store.fingerprint:
        changes["tiles fingerprint"] = f"tiles: {fingerprint[:12]} → {store.fingerprint[:12]} ({store.path})"
    refused = [text for name, text in changes.items() if name not in SAFE_TO_CHANGE]
    if refused:
        raise ConfigError(
            f"{out} was begun with other settings: {'; '.join(refused)}. Resume with its own ({out / 'args.yaml'} is a recipe), "
            "or start another run from its weights with --init-from."
        )
    return list(changes.values())


def roll_back(training: Training, error: DivergedError) -> None:
    """Return to the last checkpoint with another random stream; ``DivergedError`` when that was tried often enough."""
    out, rollbacks = training.out, training.progress.rollbacks + 1
    if rollbacks > MAX_ROLLBACKS:
        raise DivergedError(
            f"{error} Rolled back {MAX_ROLLBACKS} times, and it came again; the last sound checkpoint is {newest_checkpoint(out)}. "
            f"Start another run from it: --init-from {out}, with a lower --learning-rate (it is {training.recipe.learning_rate}), "
            "or with --precision float32."
        ) from error
    training.state.restore(load_checkpoint(newest_checkpoint(out)))
    training.progress.rollbacks = rollbacks
    save(training, "last")
    training.say(f"{error} Rolled back to step {training.progress.step} ({rollbacks} of {MAX_ROLLBACKS} times).")
