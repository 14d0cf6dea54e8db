"""One step of both networks."""

import math
from dataclasses import dataclass
from functools import partial, reduce

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm, parametrize

from orthoforge.errors import DivergedError
from orthoforge.models.conditions import class_maps
from orthoforge.models.losses import GAN_LOSSES, GanLoss, colour_l1, gradient_penalty, l1, oasis, over_scales
from orthoforge.models.perceptual import feature_l1
from orthoforge.tiles.store import Batch
from orthoforge.training.batches import buildings_on, canvas_tensor, to_tensors
from orthoforge.training.hardware import mean_over_processes
from orthoforge.training.state import STEP, Steps
from orthoforge.training.training import Training
from orthoforge.training.unread import UnreadStep

_UNCHANGED = 4  # with ``lambda_identity`` one image of so many has its real one for a canvas
GRADIENT_PENALTY_WEIGHT = 10.0  # Gulrajani et al. 2017, for all their experiments


@dataclass(frozen=True)
class _Images:
    """What both networks are shown in a step; images are (N, B, H, W)."""

    condition: Tensor
    real: Tensor
    fake: Tensor
    own: int
    """So many fakes, the first ones, have the style of their own real image and are compared with it."""
    unchanged: int
    """So many fakes, the first ones, are made of their real image as a canvas; nobody judges whether these are real."""
    canvas: Tensor | None
    """What the fakes refine, in [-1, 1]."""
    features: tuple[list[Tensor], list[Tensor]] | None
    """Of the fakes and of the real ones, where the discriminator judges by these."""

    @property
    def judged(self) -> tuple[Tensor, Tensor] | tuple[list[Tensor], list[Tensor]]:
        """What the discriminator is shown: the fakes that are to be taken for real, and as many real ones."""
        if self.features is None:
            return self.fake[self.unchanged :], self.real[self.unchanged :]
        fake, real = ([layer[self.unchanged :] for layer in layers] for layers in self.features)
        return fake, real


def train_step(training: Training, batch: Batch) -> None:
    """One step of both networks (Isola et al. 2017, section 3.3).

    A generator with styles makes half of the images in the style of their own real ones and with the colours of their roofs and
    ground, and is compared with them; the others in the styles of the first half, where the discriminator alone judges.

    Nothing in it waits for what a GPU computes: losses, and which updates were skipped, are left ``unread`` in the state.
    """
    state, skipped = training.state, dict[str, Tensor]()
    state.seed_torch(STEP, training.fabric.global_rank)
    state.set_learning_rates()
    images = _make_images(training, batch)
    losses = {} if state.train_discriminator is None else _update_discriminator(training, images, skipped)
    losses |= _update_generator(training, images, skipped)
    state.average()
    values = torch.stack([value.detach().float() for value in (*losses.values(), *skipped.values())])
    state.count_step(UnreadStep(state.progress.step + 1, batch.tile_ids, tuple(losses), tuple(skipped), values))


def read_figures(training: Training) -> dict[str, float]:
    """Read what the steps since the last reading left, and count it; returns the losses of the last one.

    The mean over all processes: what follows from losses, such as a plateau's rate or a rollback, must be the same in each.
    Raises ``DivergedError`` naming the first step's losses that are NaN or Inf, and the tiles of its batch.
    """
    state, progress = training.state, training.progress
    steps, losses = state.unread, dict[str, float]()
    if not steps:
        return losses
    state.unread = []
    values = iter(mean_over_processes(training.fabric, torch.cat([step.values for step in steps])).tolist())
    for step in steps:
        losses = dict(zip(step.losses, values, strict=False))
        _require_finite(training, step, losses)
        for name, value in losses.items():
            progress.sums[name] = progress.sums.get(name, 0.0) + value
        for name, was_skipped in zip(step.networks, values, strict=False):
            if was_skipped:
                progress.skipped += 1
            else:
                progress.updates[name] = progress.updates.get(name, 0) + 1
    return losses


def _make_images(training: Training, batch: Batch) -> _Images:
    """The batch's real images, and one generated image for each of its masks."""
    recipe, state, device = training.recipe, training.state, training.fabric.device
    condition, real = to_tensors(batch, training.store, device)
    unchanged = len(real) // _UNCHANGED if recipe.lambda_identity else 0
    canvas = canvas_tensor(batch, device, real=unchanged)
    colours = state.generator.colours
    # Of the masks as they lie on the host: on a GPU they would have to be waited for.
    buildings = None if colours is None or canvas is not None else buildings_on(colours, batch, training.store, device)
    own, told = state.generator.shown(condition, real, canvas, buildings)
    fake = state.train_generator(condition, **told)
    judged_by_features = state.train_discriminator is not None and recipe.discriminator == "projected"
    features = _features(training, fake, real) if judged_by_features else None
    return _Images(condition, real, fake, own, unchanged, None if canvas is None else torch.tanh(canvas), features)


def _update_discriminator(training: Training, images: _Images, skipped: dict[str, Tensor]) -> dict[str, Tensor]:
    """Teach the discriminator to tell real images from fakes; returns its losses, and notes whether it was ``skipped``."""
    state, condition = training.state, images.condition[images.unchanged :]
    assert state.train_discriminator is not None and state.step_d is not None
    fake, real = images.judged
    fake = [layer.detach() for layer in fake] if isinstance(fake, list) else fake.detach()
    with parametrize.cached():  # spectral norms are taken once for both
        judged = state.train_discriminator(condition, real), state.train_discriminator(condition, fake)
    loss, losses = over_scales(_game(training, condition).discriminator, *judged), {}
    if training.recipe.gan_loss == "wgan-gp":
        # The plain network: run by Fabric it would compute in bf16 again, too coarse for a gradient's gradient.
        assert state.discriminator is not None
        mix = torch.rand(len(images.real), 1, 1, 1, device=images.real.device)
        penalty = gradient_penalty(partial(state.discriminator, images.condition), images.real, images.fake, mix)
        losses["loss_d_penalty"] = GRADIENT_PENALTY_WEIGHT * penalty
        loss = loss + losses["loss_d_penalty"]
    state.step_d.zero_grad()
    training.fabric.backward(loss)
    skipped["discriminator"] = _step_if_finite(state.train_discriminator, state.step_d)
    return losses | {"loss_d": loss}


def _update_generator(training: Training, images: _Images, skipped: dict[str, Tensor]) -> dict[str, Tensor]:
    """Teach the generator to be taken for real, and to come close to what it is compared with; returns as the other does."""
    recipe, state, fake, own = training.recipe, training.state, images.fake, images.own
    terms: dict[str, Tensor] = {}
    if state.train_discriminator is not None:
        condition = images.condition[images.unchanged :]
        terms["gan"] = over_scales(_game(training, condition).generator, state.train_discriminator(condition, images.judged[0]))
    if images.unchanged:
        terms["identity"] = recipe.lambda_identity * l1(fake[: images.unchanged], images.real[: images.unchanged])
    if recipe.lambda_l1:
        terms["l1"] = recipe.lambda_l1 * l1(fake[:own], images.real[:own])
    if recipe.lambda_colour:
        terms["colour"] = recipe.lambda_colour * colour_l1(fake[:own], images.real[:own])
    if recipe.lambda_perceptual:
        # Those that the discriminator saw, or made only now, when its own graph is gone.
        features = images.features or _features(training, fake, images.real)
        compared = ([layer[:own] for layer in layers] for layers in features)
        terms["perceptual"] = recipe.lambda_perceptual * feature_l1(*compared)
    if images.canvas is not None:
        terms |= _canvas_terms(training, images, images.canvas)
    loss = reduce(torch.add, terms.values())
    state.step_g.zero_grad()
    training.fabric.backward(loss)  # D collects gradients here too; its zero_grad above drops them
    skipped["generator"] = _step_if_finite(state.train_generator, state.step_g)
    return {"loss_g": loss} | {f"loss_g_{name}": term for name, term in terms.items()}


def _canvas_terms(training: Training, images: _Images, canvas: Tensor) -> dict[str, Tensor]:
    """What ties an image to the canvas that it refines: colours of cells, and features."""
    recipe, features = training.recipe, training.state.features
    terms: dict[str, Tensor] = {}
    if recipe.lambda_canvas:
        terms["canvas"] = recipe.lambda_canvas * colour_l1(images.fake, canvas)
    if recipe.lambda_canvas_features:
        assert features is not None
        with training.fabric.autocast():
            with torch.no_grad():
                wanted = features(canvas)
            made = features(images.fake) if images.features is None else images.features[0]
        terms["canvas_features"] = recipe.lambda_canvas_features * feature_l1(made, wanted)
    return terms


def _features(training: Training, fake: Tensor, real: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """What the perceptual loss's network sees in both; no gradient flows to ``real``."""
    features = training.state.features
    assert features is not None
    with training.fabric.autocast():
        with torch.no_grad():
            wanted = features(real)
        return features(fake), wanted


def _game(training: Training, condition: Tensor) -> GanLoss:
    """Both sides of the recipe's adversarial loss."""
    name = training.recipe.gan_loss
    return oasis(class_maps(condition, training.store.class_count)) if name == "oasis" else GAN_LOSSES[name]


def _step_if_finite(network: nn.Module, optimizer: Steps) -> Tensor:
    """Take the optimizer's step, or skip it where gradients overflowed, as instance norm's do on empty masks; whether it did."""
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    skipped = ~torch.isfinite(get_total_norm(gradients))
    optimizer.step_unless(skipped)
    return skipped


def _require_finite(training: Training, step: UnreadStep, losses: dict[str, float]) -> None:
    if not all(map(math.isfinite, losses.values())):
        named = ", ".join(f"{name} is {value}" for name, value in losses.items() if not math.isfinite(value))
        tiles = ", ".join(training.store.describe(tile_id) for tile_id in step.tile_ids[:4])
        more = " …" * (len(step.tile_ids) > 4)
        raise DivergedError(f"{named} at step {step.step}, on tiles {tiles}{more}.")
