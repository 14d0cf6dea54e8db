"""Checkpoints: tensors, plain values and a checksum over every byte.

``RUN/weights/`` holds ``last``, the one before it (``previous``) and ``best``. Each is a folder of these files:

* ``model.safetensors``: the generator that makes images (the averaged one where the recipe averages),
* ``material.zip``, where the recipe refines material: the library (``material.packing``),
* ``train.safetensors``: everything else that the next step needs,
* ``state.json``: recipe, progress, checksums of both files and of itself.

A pretrained folder, which ``orthoforge.hub`` writes, is read as a checkpoint too: its state is in ``config.json``, the name that
hubs expect, and there is no ``train.safetensors``.
"""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from orthoforge.checkpoint_state import CONFIG, MATERIAL, MODEL, STATE, TRAIN, CheckpointState, require_state
from orthoforge.config import Recipe, recipe_from
from orthoforge.errors import CheckpointError, ConfigError
from orthoforge.files import real_path, require_free_space, sync, writable
from orthoforge.pretrained import bundled_folder, bundled_names

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read and whose every byte was checked."""

    folder: Path
    state: CheckpointState
    model: dict[str, Tensor]
    train: dict[str, Tensor]
    material: bytes | None = None


def save_checkpoint(
    folder: Path,
    *,
    model: Mapping[str, Tensor],
    train: Mapping[str, Tensor],
    state: Mapping[str, object],
    material: bytes | None = None,
) -> None:
    """Write a checkpoint beside ``folder``, then put it in its place; what was there becomes ``previous`` when it was ``last``.

    Killed at any point, ``last`` or ``previous`` is whole. Raises ``ResourceError`` when the disk is full, leaving the old
    checkpoint and nothing else.
    """
    payloads = {MODEL: save(_contiguous(model)), TRAIN: save(_contiguous(train))}
    if material is not None:
        payloads[MATERIAL] = material
    checksums = {name: hashlib.sha256(payload).hexdigest() for name, payload in payloads.items()}
    body = {"format": FORMAT, **state, "checksums": checksums}
    payloads[STATE] = state_bytes(body)

    partial = folder.with_name(f".{folder.name}.partial")
    with writable(folder.parent):
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            require_free_space(folder.parent, sum(map(len, payloads.values())), "a checkpoint")
            for name, payload in payloads.items():
                (partial / name).write_bytes(payload)
                sync(partial / name)
            sync(partial)
            _replace(folder, partial)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _replace(folder: Path, partial: Path) -> None:
    """Put ``partial`` in ``folder``'s place. A kill between two of these lines leaves one whole checkpoint at least."""
    former = folder.with_name("previous" if folder.name == "last" else f".{folder.name}.former")
    if folder.exists():
        shutil.rmtree(former, ignore_errors=True)
        os.rename(folder, former)
    os.rename(partial, folder)
    if former.name != "previous":
        shutil.rmtree(former, ignore_errors=True)
    sync(folder.parent)


def load_checkpoint(folder: Path, *, weights_only: bool = False) -> Checkpoint:
    """Read a checkpoint whole. ``CheckpointError`` when any bit of it changed, a file is missing or its format is newer.

    With ``weights_only``, ``train.safetensors`` may be missing; ``train`` is empty then.
    """
    state = read_state(folder)
    model = read_tensors(folder, MODEL, state)
    without_train = weights_only and not (folder / TRAIN).exists()
    train = {} if without_train else read_tensors(folder, TRAIN, state)
    return Checkpoint(folder, state, model, train, read_material(folder, state))


def newest_checkpoint(run: Path) -> Path:
    """``last``, or ``previous`` where a kill left no ``last``. ``CheckpointError`` when the run has neither."""
    for name in ("last", "previous"):
        if (run / "weights" / name / STATE).is_file():
            return run / "weights" / name
    hint = "Is it a run of `orthoforge train`?"
    if run.exists() and bundled_folder(str(run)):
        hint = "What lies here under that name hides the weights that come with orthoforge: rename it, or work in another folder."
    elif not run.exists() and bundled_names():
        hint += f" Weights that come with orthoforge: {', '.join(bundled_names())}."
    raise CheckpointError(f"{run}: no checkpoint here (looked for weights/last). {hint}")


def checkpoint_folder(run: Path) -> Path:
    """The checkpoint that ``run`` means: itself (a pretrained folder too), its newest when it is a run folder, or, where nothing of
    that name exists, weights of that name that came with the package. ``CheckpointError`` when there is none, and for pickles."""
    if is_pickled(run):
        raise CheckpointError(f"{run}: pickled weights can run any code when opened and are not read; safetensors are.")
    if (run / STATE).is_file() or is_pretrained(run):
        return run
    bundled = None if run.exists() else bundled_folder(str(run))
    return bundled or newest_checkpoint(run)


def run_folder(path: Path) -> Path:
    """The folder of the run that ``path`` is, or is a checkpoint of; of a pretrained folder itself. Links are followed."""
    inside = real_path(path)
    return inside.parent.parent if (path / STATE).is_file() and inside.parent.name == "weights" else inside


def is_pickled(path: Path) -> bool:
    """Whether it is named as PyTorch's own files are, which can run any code when they are opened."""
    return path.suffix in (".pt", ".pth", ".ckpt", ".pkl")


def is_pretrained(folder: Path) -> bool:
    """Whether this is a pretrained folder: neither a run nor a checkpoint of one, but with a ``config.json``."""
    return (folder / CONFIG).is_file() and not (folder / STATE).exists() and not (folder / "weights").exists()


def names_generator(path: Path) -> bool:
    """Whether ``path`` is a run, one of its checkpoints or a pretrained folder, or the name of weights in the package."""
    found = (path / "weights").exists() or (path / STATE).exists() or is_pretrained(path)
    return found or (not path.exists() and bundled_folder(str(path)) is not None)


def state_file(folder: Path) -> Path:
    """Where a checkpoint, or a pretrained folder, keeps its state."""
    return folder / (CONFIG if is_pretrained(folder) else STATE)


def recipe_of(state: CheckpointState, folder: Path) -> Recipe:
    """The recipe in a checkpoint's state."""
    try:
        return recipe_from(state.recipe, source=f"{state_file(folder)}")
    except ConfigError as error:
        raise CheckpointError(f"{error} It was written by another version of orthoforge.") from error


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def state_bytes(body: Mapping[str, object]) -> bytes:
    """``state.json`` or ``config.json``, with its own checksum in it."""
    sha256 = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return json.dumps({**body, "sha256": sha256}, indent=1).encode()


def read_state(folder: Path) -> CheckpointState:
    """State of a checkpoint or a pretrained folder, checked.

    ``CheckpointError`` when it is missing, changed, of a newer format, or does not describe a generator.
    """
    path = state_file(folder)
    if not path.is_file():
        raise CheckpointError(f"{folder}: no checkpoint here ({STATE} is missing).")
    payload = _bytes_of(path)
    try:
        body = {key: value for key, value in json.loads(payload).items() if key != "sha256"}
        if path.name == CONFIG and b"orthoforge" not in payload:
            raise CheckpointError(f"{path}: was not written by orthoforge: another library's model lies here.")
        # Byte for byte: JSON spells one value in several ways, so its content alone would hide some flipped bits.
        sound = payload == state_bytes(body)
    except (ValueError, AttributeError, RecursionError):
        sound = False
    if not sound:
        raise CheckpointError(f"{path}: its checksum does not fit: the file was cut short or changed.{_alternative(folder)}")
    if isinstance(body.get("format"), int) and body["format"] > FORMAT:
        raise CheckpointError(
            f"{path}: written by a newer orthoforge (format {body['format']}, this one reads {FORMAT}). Upgrade it."
        )
    return require_state(payload, path)


def read_material(folder: Path, state: CheckpointState) -> bytes | None:
    """The library of material that a generator refines (``material.packing``); ``None`` for one that does not.

    ``CheckpointError`` when it is missing or its checksum is not that in ``state``.
    """
    if state.checksums.material is None:
        return None
    path = folder / MATERIAL
    if not path.is_file():
        raise CheckpointError(f"{path}: missing; it holds the roofs and the ground that images are made of.{_alternative(folder)}")
    payload = path.read_bytes()
    if hashlib.sha256(payload).hexdigest() != state.checksums.material:
        raise CheckpointError(f"{path}: its checksum does not fit: the file was cut short or changed.{_alternative(folder)}")
    return payload


def read_tensors(folder: Path, name: str, state: CheckpointState) -> dict[str, Tensor]:
    """Tensors of the file ``name`` of a checkpoint. ``CheckpointError`` when its checksum is not that in ``state``."""
    path = folder / name
    if not path.is_file():
        if name == TRAIN:
            hint = " Start another run from its weights with --init-from."
            raise CheckpointError(f"{path}: missing, so training cannot go on from here.{hint}")
        raise CheckpointError(f"{path}: missing; it holds the weights.{_alternative(folder)}")
    payload = _bytes_of(path)
    if hashlib.sha256(payload).hexdigest() != state.checksums.of(name):
        raise CheckpointError(f"{path}: its checksum does not fit: the file was cut short or changed.{_alternative(folder)}")
    try:
        tensors = load(payload)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not readable as safetensors: {error}") from error
    _require_each_once(payload, path)
    return tensors


def _require_each_once(payload: bytes, path: Path) -> None:
    """``CheckpointError`` for a header that names a tensor twice: which of them is meant, every reader decides for itself."""
    length = int.from_bytes(payload[:8], "little")
    names: list[str] = json.loads(payload[8 : 8 + length], object_pairs_hook=lambda pairs: [name for name, _ in pairs])
    if len(set(names)) < len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise CheckpointError(f"{path}: names {twice!r} twice. Other software wrote or changed it; take another checkpoint.")


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}).") from error


def _alternative(folder: Path) -> str:
    """Points to what can be used instead of a damaged checkpoint."""
    if is_pretrained(folder):
        return " Get the folder again from where it came."
    before, last = folder.with_name("previous"), folder.with_name("last")
    if folder.name == "last" and (before / STATE).is_file():
        return f" The checkpoint before it is there: move {folder} away, and {before} is used."
    if folder.name != "last" and (last / STATE).is_file():
        return f" {last} is there too."
    return ""
