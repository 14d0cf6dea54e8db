"""Recipes: everything that decides what a training computes, as one frozen dataclass and complete YAML files."""

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import TypeAdapter, ValidationError

from orthoforge.errors import ConfigError

RECIPES = Path(__file__).parent / "recipes"

# Changing one of these between a run and its resumption changes no step that was already taken.
SAFE_TO_CHANGE = frozenset({"name", "description", "tiles", "epochs", "decay_epochs", "checkpoint_every", "panels_every"})


@dataclass(frozen=True)
class Recipe:
    """One training, complete. Each field is also an option of ``orthoforge train``."""

    name: str
    """What runs are called that name no folder."""
    description: str = ""
    """One line: what it changes, or what came out."""
    tiles: str = ""
    """The options of ``orthoforge prepare`` that make its tiles."""

    crop_px: int = 256
    """Side of the random crops, in pixels; a multiple of 4."""
    flips: Literal["none", "horizontal", "dihedral"] = "horizontal"
    """Random orientation, the same for mask and image: none, left-right, or all eight flips and quarter turns."""
    crops_per_tile: int = 1
    """How many crops of each tile make an epoch."""
    batch_size: int = 16
    """Crops a step, over all processes together."""

    generator: Literal["resnet6", "resnet9", "resunet6", "resunet9"] = "resnet9"
    """Residual network by its number of blocks; ``resunet`` adds skip connections."""
    generator_width: int = 64
    """Channels of its first layer."""
    norm: Literal["batch", "instance"] = "batch"
    """Normalisation of the generator. The discriminator keeps batch norm."""
    upsample: Literal["transposed", "resize"] = "transposed"
    """Transposed convolution (as in 2021; leaves a checkerboard), or resizing and a convolution."""
    discriminator_width: int = 64
    """Channels of its first layer."""

    gan_loss: Literal["lsgan"] = "lsgan"
    """Adversarial loss."""
    lambda_l1: float = 100.0
    """Weight of the L1 distance to the real image."""

    learning_rate: float = 2e-4
    """Adam's rate for both networks."""
    beta1: float = 0.5
    """Adam's first decay rate."""
    beta2: float = 0.999
    """Adam's second decay rate."""
    epochs: int = 450
    """Epochs at the constant rate."""
    decay_epochs: int = 450
    """Epochs over which the rate then falls linearly towards 0."""
    ema_decay: float = 0.0
    """Decay a step of the averaged generator that is saved and validated; 0 turns averaging off."""
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """bf16 autocast, float32, or ``auto``: bf16 where the hardware computes in it."""
    seed: int = 0
    """Decides initial weights, order, crops and flips."""

    checkpoint_every: int = 1
    """Epochs between checkpoints; long epochs are also saved every ten minutes."""
    panels_every: int = 10
    """Epochs between the pictures of validation tiles."""

    def __post_init__(self) -> None:
        least = {
            "crop_px": 32, "crops_per_tile": 1, "batch_size": 1, "generator_width": 1, "discriminator_width": 1, "lambda_l1": 0,
            "epochs": 0, "decay_epochs": 0, "ema_decay": 0, "seed": 0, "checkpoint_every": 1, "panels_every": 1,
        }  # fmt: skip
        for name, minimum in least.items():
            if not minimum <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {minimum}, and finite.")
        if self.crop_px % 4:
            below = self.crop_px - self.crop_px % 4
            raise ConfigError(
                f"crop_px is {self.crop_px}; the networks halve twice, so it must be a multiple of 4: {below} or {below + 4}."
            )
        if self.seed >= 2**63:
            raise ConfigError(f"seed is {self.seed}; it must be below 2**63.")
        if self.total_epochs < 1:
            raise ConfigError("epochs and decay_epochs are both 0; nothing would be trained.")
        if not 0 < self.learning_rate < 1:
            raise ConfigError(f"learning_rate is {self.learning_rate}; it must lie between 0 and 1.")
        for name in ("beta1", "beta2", "ema_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 0 and below 1.")

    @property
    def total_epochs(self) -> int:
        """Epochs at the constant rate and while it falls."""
        return self.epochs + self.decay_epochs


_RECIPE = TypeAdapter(Recipe)
FIELD_NAMES = tuple(field.name for field in dataclasses.fields(Recipe))


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load_recipe(name: str | Path, **overrides: Any) -> Recipe:
    """A recipe by name or by the path of a YAML file, with fields replaced by ``overrides``.

    Raises ``ConfigError`` for an unknown recipe (lists them), an unknown key (offers the nearest) or an impossible value.
    """
    path = Path(name) if str(name).endswith((".yaml", ".yml")) else RECIPES / f"{name}.yaml"
    if not path.is_file():
        if path != RECIPES / f"{name}.yaml":
            raise ConfigError(f"{path}: no such recipe file.")
        hint = _nearest(str(name), recipe_names())
        raise ConfigError(f"unknown recipe `{name}`{hint} Recipes: {', '.join(recipe_names())}.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: a recipe is a list of `key: value` lines.")
    values.pop("run", None)  # a run's args.yaml is its recipe, with the run's circumstances added
    return recipe_from(values | overrides, source=str(path))


def recipe_from(values: Mapping[str, Any], *, source: str) -> Recipe:
    """A recipe from plain values. ``source`` is named in the ``ConfigError`` for a key or a value that does not fit."""
    for key in values:
        if key not in FIELD_NAMES:
            raise ConfigError(f"{source}: unknown `{key}`{_nearest(str(key), FIELD_NAMES)}")
    try:
        return _RECIPE.validate_python(dict(values))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'recipe'}: {e['msg']} (is {e['input']!r})" for e in error.errors())
        raise ConfigError(f"{source}: {problems}.") from error


def recipe_values(recipe: Recipe) -> dict[str, Any]:
    """Every field as a plain value, in order."""
    return dataclasses.asdict(recipe)


def dump_yaml(values: Mapping[str, Any]) -> str:
    """YAML in the order given."""
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=130)


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean `{close[0]}`?" if close else "."
