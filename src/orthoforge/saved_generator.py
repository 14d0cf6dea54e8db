"""A generator as a checkpoint or a pretrained folder holds it: its network, and all that is known of it."""

import hashlib
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import torch

from orthoforge.checkpoint_state import MATERIAL, MODEL, CheckpointState
from orthoforge.checkpoints import read_material, read_state, read_tensors, recipe_of
from orthoforge.config import Recipe
from orthoforge.errors import CheckpointError
from orthoforge.masks.classes import Classes
from orthoforge.material.library import Library
from orthoforge.material.packing import unpack
from orthoforge.models.generator import Generator
from orthoforge.networks import new_generator
from orthoforge.weights import require_fitting


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
        return classes_of(self.state)

    @property
    def styles(self) -> tuple[str, ...]:
        """The places whose looks it knows; none for a network without styles."""
        return tuple(self.state.tiles.places) if self.network.styles is not None else ()

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


def classes_of(state: CheckpointState) -> Classes | None:
    """What the masks mean that it was trained on; ``None`` for building masks."""
    return Classes.of_plain(state.tiles.classes.plain() if state.tiles.classes else None)


def read_generator(folder: Path, state: CheckpointState | None = None) -> SavedGenerator:
    """The generator in a checkpoint or a pretrained folder, whose ``state`` is read if it was not before.

    Only the recipe beside the weights decides the architecture. ``CheckpointError`` when bytes changed or do not fit it.
    """
    state = state or read_state(folder)
    tensors = read_tensors(folder, MODEL, state)
    recipe = recipe_of(state, folder)
    build = partial(new_generator, recipe, classes_of(state), max(1, len(state.tiles.places)), state.tiles.bands)
    with torch.device("meta"):
        require_fitting(build().state_dict(), tensors, f"{folder / MODEL}")
    network = build()
    network.load_state_dict(tensors)
    material = read_material(folder, state)
    if recipe.material and material is None:
        raise CheckpointError(f"{folder}: lacks {MATERIAL}, the roofs and the ground that {recipe.name} refines.")
    return SavedGenerator(network, recipe, state, material)
