"""What a training carries from step to step, and its way into a checkpoint and back."""

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim import Adam, Optimizer

from orthoforge.checkpoint_files import Checkpoint
from orthoforge.config import Recipe
from orthoforge.errors import CheckpointError, DivergedError
from orthoforge.measures.realism.features import LiteFeatures
from orthoforge.models.features.folding import folded
from orthoforge.models.generator import Generator
from orthoforge.models.modulated import told_classes
from orthoforge.models.perceptual import load_features
from orthoforge.models.styles import bank_of
from orthoforge.networks import new_discriminator, new_generator
from orthoforge.tiles.store import TileStore
from orthoforge.training.averaging import STYLE_BANKS, Average
from orthoforge.training.hardware import compiled
from orthoforge.training.known_classes import require_classes
from orthoforge.training.places import places_of
from orthoforge.training.progress import Progress
from orthoforge.training.schedules import learning_rates
from orthoforge.training.unread import UnreadStep
from orthoforge.weights import load_weights, require_fitting, require_like

STEP, VALIDATION, PANELS = range(3)  # streams of random numbers: what validation draws says nothing about the next step


class Steps:
    """An optimizer whose steps can be skipped without asking the host whether to.

    ``run`` is ``optimizer`` as Fabric runs it. A fused one looks at its attribute ``found_inf``, as torch's GradScaler has it.
    """

    def __init__(self, optimizer: Optimizer, run: "RunOptimizer") -> None:
        self.optimizer, self._run = optimizer, run
        self._is_fused = all(group.get("fused") for group in optimizer.param_groups)

    def zero_grad(self) -> None:
        """Drop the gradients."""
        self._run.zero_grad()

    def step_unless(self, skipped: Tensor) -> None:
        """Update the weights, but where ``skipped`` (a bool) is true."""
        if self._is_fused:
            self.optimizer.found_inf = skipped.float()  # type: ignore[attr-defined]
            self._run.step()
        elif not skipped:
            self._run.step()


class RunOptimizer(Protocol):
    """What ``Steps`` asks of an optimizer as Fabric runs it."""

    def zero_grad(self) -> None:
        """Drop the gradients."""

    def step(self) -> object:
        """Update the weights."""


class TrainingState:
    """The networks, their optimizers, the averaged generator and the progress.

    ``generator`` and ``discriminator`` are the plain networks; ``train_generator`` and ``train_discriminator`` run them on the
    right device, in the right precision and on several processes. Without an adversarial loss there is no discriminator, and all
    that belongs to it is ``None``. ``features`` is the frozen network of the perceptual loss, ``eyes`` the one that validation
    judges by, where the recipe has one.
    """

    def __init__(self, fabric: Fabric, recipe: Recipe, store: TileStore) -> None:
        """The state before the first step of ``recipe`` on the tiles of ``store``."""
        self.features = None
        if recipe.uses_features:
            weights = Path(recipe.perceptual_weights) if recipe.perceptual_weights else None
            features = load_features(
                recipe.perceptual, recipe.perceptual_layers, weights=weights, sha256=recipe.perceptual_sha256,
                normalize=recipe.perceptual_normalize, bands=store.bands,
            )  # fmt: skip
            self.features = folded(features).to(fabric.device)
        channels = self.features.channels if self.features is not None else []
        if recipe.compile and self.features is not None:
            self.features = compiled(self.features)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.generator = new_generator(recipe, store.classes, len(places_of(store)), store.bands)
            self.discriminator = None
            if recipe.gan_loss != "none":
                self.discriminator = new_discriminator(recipe, store.class_count, channels, store.bands)
        self.has_styles = bank_of(self.generator) is not None
        _lay_out(self.generator)
        self.averaged = Average(self.generator, recipe.ema_decay) if recipe.ema_decay else None
        self.optimizer_g, self.train_generator, self.step_g = _set_up(fabric, self.generator, recipe)
        self.optimizer_d: Adam | None = None
        self.train_discriminator: nn.Module | None = None
        self.step_d: Steps | None = None
        if self.discriminator is not None:
            _lay_out(self.discriminator)
            self.optimizer_d, self.train_discriminator, self.step_d = _set_up(fabric, self.discriminator, recipe)
        if self.averaged is not None:
            self.averaged.module.to(fabric.device)
        self.eyes = None if recipe.best_by == "ssim" else LiteFeatures(str(fabric.device))
        self.progress = Progress()
        self.unread: list[UnreadStep] = []
        self._recipe, self._bands, self._classes = recipe, store.bands, store.classes

    @property
    def output_generator(self) -> Generator:
        """The generator that is validated, shown and shipped: the averaged one where there is one."""
        return self.generator if self.averaged is None else self.averaged.module

    @property
    def trained(self) -> dict[str, tuple[nn.Module, Optimizer]]:
        """The networks that learn, with their optimizers; the generator first."""
        pairs: dict[str, tuple[nn.Module, Optimizer]] = {"generator": (self.generator, self.optimizer_g)}
        if self.discriminator is not None and self.optimizer_d is not None:
            pairs["discriminator"] = (self.discriminator, self.optimizer_d)
        return pairs

    def model_tensors(self) -> dict[str, Tensor]:
        """Weights for ``model.safetensors``."""
        return dict(self.output_generator.state_dict())

    def train_tensors(self) -> dict[str, Tensor]:
        """Everything that ``model_tensors`` lacks and the next step needs, by names that can be read."""
        tensors: dict[str, Tensor] = {}
        if self.discriminator is not None:
            tensors |= {f"discriminator.{name}": tensor for name, tensor in self.discriminator.state_dict().items()}
        if self.averaged is not None:
            tensors |= {f"generator.{name}": tensor for name, tensor in self.generator.state_dict().items()}
            tensors["averaged.count"] = torch.tensor(self.averaged.count)
        for name, (network, optimizer) in self.trained.items():
            tensors |= _optimizer_tensors(f"optimizer_{name[0]}", network, optimizer)
        return tensors

    def require_finite(self) -> None:
        """Raise ``DivergedError`` naming the first tensor that holds NaN or Inf; such a state is never saved."""
        for name, tensor in (self.model_tensors() | self.train_tensors()).items():
            if not bool(torch.isfinite(tensor).all()):
                raise DivergedError(f"{name} holds NaN or Inf after step {self.progress.step}.")

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over everything from a checkpoint. ``CheckpointError`` when a part is missing."""
        train, source = checkpoint.train, str(checkpoint.folder)
        if self.averaged is None:
            load_weights(self.generator, checkpoint.model, source)
        else:
            load_weights(self.averaged.module, checkpoint.model, source)
            load_weights(self.generator, _part(train, "generator.", source), source)
            counted = _part(train, "averaged.", source)
            require_fitting({"count": torch.tensor(self.averaged.count)}, counted, source)
            self.averaged.count = int(counted["count"])
        if self.discriminator is not None:
            load_weights(self.discriminator, _part(train, "discriminator.", source), source)
        self.unread.clear()
        self.progress = Progress.read(checkpoint.state.part("progress"), source)
        for name, (network, optimizer) in self.trained.items():
            optimizer.state.clear()
            if self.progress.updates.get(name, 0):
                _restore_optimizer(f"optimizer_{name[0]}", network, optimizer, checkpoint)

    def start_from(self, checkpoint: Checkpoint) -> list[str]:
        """Take over the networks' weights from another run, and nothing else; returns what was and was not carried over."""
        source, bands = str(checkpoint.folder), checkpoint.state.tiles.bands
        if bands != self._bands:
            raise CheckpointError(f"{source}: makes images of {bands} bands, the tiles have {self._bands}. Leave --init-from out.")
        known, learnt, notes = checkpoint.state.tiles.classes, dict(checkpoint.model), list[str]()
        if known is None and self._classes is not None and self.generator.building is not None:
            learnt = told_classes(self.generator, learnt)
            of_class = self._classes.names[self.generator.building]
            notes.append(f"{source}: its weights know buildings alone, which are now those of the class {of_class}")
        else:
            notes += require_classes(known, self._classes, source)
        # The other run's places are not these; the bank is filled anew with the first validation.
        model = learnt | {name: tensor for name, tensor in self.generator.state_dict().items() if name in STYLE_BANKS}
        load_weights(self.generator, model, source)
        notes.append(f"carried over from {source}: generator")
        if self.discriminator is not None:
            try:
                load_weights(self.discriminator, _part(checkpoint.train, "discriminator.", source), source)
                notes[-1] += " and discriminator"
            except CheckpointError as error:
                notes.append(f"not carried over: discriminator ({error})")
        if self.averaged is not None:
            load_weights(self.averaged.module, model, source)
        return [*notes, "not carried over: optimizers, learning rate, epoch"]

    def seed_torch(self, stream: int, rank: int = 0) -> None:
        """Seed torch's global generator, which dropout and noise draw from, by where training stands."""
        key = np.random.SeedSequence([self._recipe.seed, self.progress.rollbacks, self.progress.step, stream, rank])
        seed = int(key.generate_state(1, np.uint64)[0])
        if torch.accelerator.is_available():
            torch.manual_seed(seed)
        else:  # without a device torch.manual_seed formats the stack, three times a step, for devices that it may meet later
            torch.default_generator.manual_seed(seed)

    def average(self) -> None:
        """Let the averaged generator follow."""
        if self.averaged is not None:
            self.averaged.follow(self.generator)

    def count_step(self, figures: UnreadStep) -> None:
        """Count one step; its figures are read later."""
        self.unread.append(figures)
        self.progress.step += 1
        self.progress.step_in_epoch += 1

    def set_learning_rates(self) -> None:
        """Give the optimizers the recipe's rates for the step that comes now."""
        progress = self.progress
        rates = learning_rates(self._recipe, epoch=progress.epoch, step=progress.step, standings=progress.standings)
        for (_, optimizer), rate in zip(self.trained.values(), rates, strict=False):
            for group in optimizer.param_groups:
                group["lr"] = rate


def _lay_out(network: nn.Module) -> None:
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _set_up(fabric: Fabric, network: nn.Module, recipe: Recipe) -> tuple[Adam, nn.Module, Steps]:
    """The network's optimizer, and both as Fabric runs them."""
    # One pass over all weights in place of ten for each of them.
    fused = fabric.device.type in ("cpu", "cuda")
    optimizer = Adam(network.parameters(), lr=recipe.learning_rate, betas=(recipe.beta1, recipe.beta2), fused=fused)
    # Heads of spectral norm are small, and their weights are kept for both passes of an update, which a compiler does not see.
    has_spectral_norm = any(parametrize.is_parametrized(module) for module in network.modules())
    run_network, run_optimizer = fabric.setup(compiled(network) if recipe.compile and not has_spectral_norm else network, optimizer)
    return optimizer, run_network, Steps(optimizer, run_optimizer)


def _part(tensors: dict[str, Tensor], prefix: str, source: str) -> dict[str, Tensor]:
    part = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    if not part:
        raise CheckpointError(f"{source}: holds no {prefix.rstrip('.')}.")
    return part


def _optimizer_tensors(prefix: str, network: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """Adam's moments and step counts by parameter name: ``optimizer_g.head.1.weight.exp_avg``."""
    return {
        f"{prefix}.{name}.{key}": value
        for name, parameter in network.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }


def _restore_optimizer(prefix: str, network: nn.Module, optimizer: Optimizer, checkpoint: Checkpoint) -> None:
    tensors, source = checkpoint.train, str(checkpoint.folder)
    for name, parameter in network.named_parameters():
        try:
            moments = {key: tensors[f"{prefix}.{name}.{key}"] for key in ("step", "exp_avg", "exp_avg_sq")}
        except KeyError as error:
            raise CheckpointError(
                f"{source}: the optimizer part is missing ({error.args[0]}), so training cannot go on from here. "
                "Start another run from its weights with --init-from."
            ) from None
        wanted = {"step": torch.zeros(()), "exp_avg": parameter, "exp_avg_sq": parameter}
        for key, own in wanted.items():
            require_like(f"{prefix}.{name}.{key}", own, moments[key], source)
        # Same strides as the parameter: fused kernels may round otherwise, and the resumed run must agree to the bit.
        optimizer.state[parameter] = {
            "step": moments["step"].to(parameter.device if optimizer.defaults["fused"] else "cpu", copy=True),
            "exp_avg": torch.empty_like(parameter).copy_(moments["exp_avg"]).detach(),
            "exp_avg_sq": torch.empty_like(parameter).copy_(moments["exp_avg_sq"]).detach(),
        }
