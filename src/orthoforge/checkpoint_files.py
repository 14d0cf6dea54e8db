"""Whole checkpoints: written so that a kill leaves one, read to go on from. ``orthoforge.checkpoints`` says what lies in them."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from orthoforge.checkpoint_state import MATERIAL, MODEL, STATE, TRAIN, CheckpointState
from orthoforge.checkpoints import FORMAT, read_material, read_state, read_tensors, state_bytes
from orthoforge.files import require_free_space, sync, writable


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


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
