"""One step of both networks."""

import math
from dataclasses import dataclass
from functools import partial, reduce

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from orthoforge.errors import DivergedError
from orthoforge.models.conditions import class_maps
from orthoforge.models.losses import GAN_LOSSES, GanLoss, colour_l1, gradient_penalty, l1, oasis, over_scales
from orthoforge.models.modulated import ModulatedGenerator
from orthoforge.models.perceptual import feature_l1
from orthoforge.tiles.store import Batch
from orthoforge.training.batches import canvas_tensor, to_tensors
from orthoforge.training.hardware import mean_over_processes
from orthoforge.training.progress import Progress
from orthoforge.training.state import STEP, Steps
from orthoforge.training.training import Training

GRADIENT_PENALTY_WEIGHT = 10.0  # Gulrajani et al. 2017, for all their experiments


@dataclass(frozen=True)
class _Images:
    """What both networks are shown in a step; images are (N, B, H, W)."""

    condition: Tensor
    real: Tensor
    fake: Tensor
    own: int
    """So many fakes, the first ones, have the style of their own real image and are compared with it."""
    canvas: Tensor | None
    """What the fakes refine, in [-1, 1]."""
    features: tuple[list[Tensor], list[Tensor]] | None
    """Of the fakes and of the real ones, where the discriminator judges by these."""


def train_step(training: Training, batch: Batch) -> dict[str, float]:
    """One step of both networks (Isola et al. 2017, section 3.3); returns the losses, after counting them in the state.

    A generator with styles makes half of the images in the style of their own real ones and with the colours of their roofs and
    ground, and is compared with them; the others in the styles of the first half, where the discriminator alone judges.

    Raises ``DivergedError`` naming the losses that are NaN or Inf and the tiles of the batch.
    """
    state = training.state
    state.seed_torch(STEP, training.fabric.global_rank)
    state.set_learning_rates()
    images = _make_images(training, batch)
    losses = {} if state.train_discriminator is None else _update_discriminator(training, images)
    losses |= _update_generator(training, images)
    figures = _finite_figures(training, batch, losses)
    state.average()
    state.add_losses(figures)
    return figures


def _make_images(training: Training, batch: Batch) -> _Images:
    """The batch's real images, and one generated image for each of its masks."""
    recipe, state, device = training.recipe, training.state, training.fabric.device
    condition, real = to_tensors(batch, training.store, device)
    own, canvas = len(real), canvas_tensor(batch, device)
    if isinstance(state.generator, ModulatedGenerator):
        own -= len(real) // 2
        reference = torch.cat([real[:own], real[: len(real) - own]])
        colours = state.generator.colours.seen(condition, real, own) if canvas is None else canvas
        fake = state.train_generator(condition, reference=reference, colours=colours)
    else:
        fake = state.train_generator(condition)
    judged_by_features = state.train_discriminator is not None and recipe.discriminator == "projected"
    features = _features(training, fake, real) if judged_by_features else None
    return _Images(condition, real, fake, own, None if canvas is None else torch.tanh(canvas), features)


def _update_discriminator(training: Training, images: _Images) -> dict[str, Tensor]:
    """Teach the discriminator to tell real images from fakes; returns its losses."""
    state, condition = training.state, images.condition
    assert state.train_discriminator is not None and state.step_d is not None
    fake: Tensor | list[Tensor] = images.fake.detach()
    real: Tensor | list[Tensor] = images.real
    if images.features is not None:
        fake, real = [layer.detach() for layer in images.features[0]], images.features[1]
    judged = state.train_discriminator(condition, real), state.train_discriminator(condition, fake)
    loss, losses = over_scales(_game(training, condition).discriminator, *judged), {}
    if training.recipe.gan_loss == "wgan-gp":
        # The plain network: run by Fabric it would compute in bf16 again, too coarse for a gradient's gradient.
        assert state.discriminator is not None
        mix = torch.rand(len(images.real), 1, 1, 1, device=images.real.device)
        penalty = gradient_penalty(partial(state.discriminator, condition), images.real, images.fake, mix)
        losses["loss_d_penalty"] = GRADIENT_PENALTY_WEIGHT * penalty
        loss = loss + losses["loss_d_penalty"]
    state.step_d.zero_grad()
    training.fabric.backward(loss)
    _step_if_finite("discriminator", state.train_discriminator, state.step_d, state.progress)
    return losses | {"loss_d": loss}


def _update_generator(training: Training, images: _Images) -> dict[str, Tensor]:
    """Teach the generator to be taken for real, and to come close to what it is compared with; returns its losses."""
    recipe, state, fake, own = training.recipe, training.state, images.fake, images.own
    terms: dict[str, Tensor] = {}
    if state.train_discriminator is not None:
        judged = state.train_discriminator(images.condition, fake if images.features is None else images.features[0])
        terms["gan"] = over_scales(_game(training, images.condition).generator, judged)
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
    _step_if_finite("generator", state.train_generator, state.step_g, state.progress)
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


def _step_if_finite(name: str, network: nn.Module, optimizer: Steps, progress: Progress) -> None:
    """Take the optimizer's step, or skip and count it where gradients overflowed, as instance norm's do on some empty masks."""
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    if torch.isfinite(get_total_norm(gradients)):
        optimizer.step()
        progress.updates[name] = progress.updates.get(name, 0) + 1
    else:
        progress.skipped += 1


def _finite_figures(training: Training, batch: Batch, losses: dict[str, Tensor]) -> dict[str, float]:
    """The losses as numbers. Raises ``DivergedError`` for NaN and Inf."""
    # Over all processes: what follows from them, such as a plateau's rate or a rollback, must be the same in each.
    means = mean_over_processes(training.fabric, torch.stack([loss.detach().float() for loss in losses.values()])).tolist()
    figures = dict(zip(losses, means, strict=True))
    if not all(math.isfinite(value) for value in means):
        named = ", ".join(f"{name} is {value}" for name, value in figures.items() if not math.isfinite(value))
        tiles = ", ".join(training.store.describe(tile_id) for tile_id in batch.tile_ids[:4])
        more = " …" * (len(batch.tile_ids) > 4)
        raise DivergedError(f"{named} at step {training.progress.step + 1}, on tiles {tiles}{more}.")
    return figures
