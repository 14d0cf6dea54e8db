"""Checkpoints, read: which folder a path means, its state, its tensors, its generator. A checksum over every byte.

``RUN/weights/`` holds ``last``, the one before it (``previous``) and ``best``. Each is a folder of these files:

* ``model.safetensors``: the generator that makes images (the averaged one where the recipe averages),
* ``material.zip``, where the recipe refines material: the library (``material.packing``),
* ``train.safetensors``: everything else that the next step needs,
* ``state.json``: recipe, progress, checksums of both files and of itself.

A pretrained folder, which ``orthoforge.hub`` writes, is read as a checkpoint too: its state is in ``config.json``, the name that
hubs expect, and there is no ``train.safetensors``. ``orthoforge.checkpoint_files`` writes checkpoints and reads them whole.
"""

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from orthoforge.checkpoint_state import CONFIG, MATERIAL, MODEL, STATE, TRAIN, CheckpointState, Form, Tiles
from orthoforge.config import Recipe, problems, recipe_from
from orthoforge.errors import CheckpointError, ConfigError
from orthoforge.files import real_path
from orthoforge.masks.classes import Classes
from orthoforge.material.library import Library
from orthoforge.material.packing import unpack
from orthoforge.models.generator import Generator
from orthoforge.networks import new_generator
from orthoforge.pretrained import bundled_folder, bundled_names
from orthoforge.weights import require_each_once, require_fitting

FORMAT = 1
_FORM = TypeAdapter(Form)


@dataclass(frozen=True)
class SavedGenerator:
    """A network with the recipe and the state that it was saved with; ``material`` is its library as bytes, where it has one."""

    network: Generator
    recipe: Recipe
    state: CheckpointState
    material: bytes | None = None

    @property
    def sha256(self) -> str:
        """Of the weights in their file."""
        return self.state.checksums.model

    @property
    def step(self) -> int:
        """How many steps it was trained for."""
        return self.state.progress.step

    @property
    def gsd_m(self) -> float | None:
        """Metres per pixel that it was trained at; ``None`` when mixed."""
        return self.state.tiles.gsd_m

    @property
    def bands(self) -> int:
        """How many its images have."""
        return self.state.tiles.bands

    @property
    def classes(self) -> Classes | None:
        """What its masks mean; ``None`` for building masks."""
        return classes_of(self.state.tiles)

    @property
    def styles(self) -> tuple[str, ...]:
        """The places whose looks it knows; none for a network without styles."""
        return tuple(self.state.tiles.places) if self.network.styles is not None else ()

    @property
    def refinement(self) -> float:
        """The share of its network's changes that a canvas gets unless another is asked for. Of material that was given to it the
        network never saw anything, and changes nothing."""
        usual = 0.0 if self.state.tiles.material else 1.0
        return usual if self.state.refinement is None else self.state.refinement

    def with_refinement(self, share: float) -> "SavedGenerator":
        """The same whose canvases get this share unless another is asked for. ``ConfigError`` for one that refines no canvas, and
        for a share outside 0 to 1."""
        if not 0 <= share <= 1:
            raise ConfigError(
                f"refinement is {share:g}; it is a share from 0 (the canvas as it is) to 1 (all that the network changes)."
            )
        if self.material is None:
            raise ConfigError(f"{self.recipe.name} refines no canvas, so there is no share of it. Leave the refinement out.")
        usual = replace(self, state=replace(self.state, refinement=None))
        return usual if share == usual.refinement else replace(usual, state=replace(usual.state, refinement=float(share)))

    @property
    def attribution(self) -> str:
        """Whom to name for the tiles that it was trained on and, where it was given material of others, for that."""
        own, given = self.state.tiles.attribution, self.state.tiles.material
        named = (own, given.attribution if given else "")
        return "; ".join(dict.fromkeys(filter(None, named)))

    @property
    def material_sha256(self) -> str | None:
        """Of the library as bytes."""
        return None if self.material is None else hashlib.sha256(self.material).hexdigest()

    @cached_property
    def library(self) -> Library | None:
        """The real roofs and ground that it refines."""
        return None if self.material is None else unpack(self.material, f"material of {self.recipe.name}")


def newest_checkpoint(run: Path) -> Path:
    """``last``, or ``previous`` where a kill left no ``last``. ``CheckpointError`` when the run has neither."""
    for name in ("last", "previous"):
        if (run / "weights" / name / STATE).is_file():
            return run / "weights" / name
    hint = "Is it a run of `orthoforge train`?"
    if run.exists() and bundled_folder(str(run)):
        hint = "What lies here under that name hides the weights that come with orthoforge: rename it, or work in another folder."
    elif not run.exists() and bundled_names():
        hint = f"{meant(run)}{hint} Weights that come with orthoforge: {', '.join(bundled_names())}."
    raise CheckpointError(f"{run}: no checkpoint here (looked for weights/last). {hint}")


def meant(path: Path) -> str:
    """'Did you mean orthoforge-material? ' for a name close to that of weights in the package, where nothing of it is there."""
    close = [] if path.exists() else difflib.get_close_matches(str(path), bundled_names(), n=1)
    return f"Did you mean {close[0]}? " if close else ""


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


def require_state(payload: bytes, path: Path) -> CheckpointState:
    """The state in a file's bytes. ``CheckpointError`` when it does not describe a generator."""
    try:
        form = _FORM.validate_json(payload, strict=True)
    except ValidationError as error:
        maker = "publish" if path.name == CONFIG else "train"
        raise CheckpointError(
            f"{path}: does not describe a generator, though its checksum fits: {problems(error)}. Other software wrote or changed "
            f"it; get one that `orthoforge {maker}` wrote."
        ) from error
    recorded = {name: value for name, value in json.loads(payload).items() if name != "sha256"}
    return CheckpointState(**vars(form), recorded=recorded)


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
    require_each_once(payload, path)
    return tensors


def classes_of(tiles: Tiles) -> Classes | None:
    """What the masks mean that a generator was trained on; ``None`` for building masks."""
    return Classes.of_plain(tiles.classes.plain() if tiles.classes else None)


def read_generator(folder: Path, state: CheckpointState | None = None) -> SavedGenerator:
    """The generator in a checkpoint or a pretrained folder, whose ``state`` is read if it was not before.

    Only the recipe beside the weights decides the architecture. ``CheckpointError`` when bytes changed or do not fit it.
    """
    state = state or read_state(folder)
    tensors = read_tensors(folder, MODEL, state)
    recipe = recipe_of(state, folder)
    build = partial(new_generator, recipe, classes_of(state.tiles), max(1, len(state.tiles.places)), state.tiles.bands)
    with torch.device("meta"):
        require_fitting(build().state_dict(), tensors, f"{folder / MODEL}")
    network = build()
    network.load_state_dict(tensors)
    material = read_material(folder, state)
    if recipe.material and material is None:
        raise CheckpointError(f"{folder}: lacks {MATERIAL}, the roofs and the ground that {recipe.name} refines.")
    return SavedGenerator(network, recipe, state, material)


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
