"""One step of both networks."""

import math
from functools import partial, reduce
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from orthoforge.config import Recipe
from orthoforge.errors import DivergedError
from orthoforge.models.conditions import class_maps
from orthoforge.models.losses import GAN_LOSSES, colour_l1, gradient_penalty, l1, oasis, over_scales
from orthoforge.models.perceptual import feature_l1
from orthoforge.tiles.store import Batch, TileStore
from orthoforge.training.batches import canvas_tensor, to_tensors
from orthoforge.training.hardware import mean_over_processes
from orthoforge.training.progress import Progress
from orthoforge.training.schedules import learning_rates
from orthoforge.training.state import STEP, TrainingState

GRADIENT_PENALTY_WEIGHT = 10.0  # Gulrajani et al. 2017, for all their experiments


def train_step(fabric: Fabric, recipe: Recipe, state: TrainingState, batch: Batch, store: TileStore) -> dict[str, float]:
    """One step of both networks (Isola et al. 2017, section 3.3); returns the losses, after counting them in ``state``.

    A generator with styles makes half of the images in the style of their own real ones and with the colours of their roofs and
    ground, and is compared with them; the others in the styles of the first half, where the discriminator alone judges.

    Raises ``DivergedError`` naming the losses that are NaN or Inf and the tiles of the batch.
    """
    state.seed_torch(STEP, fabric.global_rank)
    progress, discriminator = state.progress, state.train_discriminator
    rates = learning_rates(recipe, epoch=progress.epoch, step=progress.step, standings=progress.standings)
    state.set_learning_rates(*rates)
    condition, real = to_tensors(batch, store, fabric.device)
    canvas = canvas_tensor(batch, fabric.device)
    own, told = state.generator.shown(condition, real, canvas)
    fake = state.train_generator(condition, **told)  # (N, B, H, W)
    fake_seen: Tensor | list[Tensor] = fake  # what the discriminator is shown
    real_seen: Tensor | list[Tensor] = real
    if discriminator is not None and recipe.discriminator == "projected":
        fake_seen, real_seen = _features(fabric, state, fake, real)
    losses: dict[str, Tensor] = {}

    terms: dict[str, Tensor] = {}
    if discriminator is not None:
        loss = recipe.gan_loss
        adversarial = oasis(class_maps(condition, store.class_count)) if loss == "oasis" else GAN_LOSSES[loss]
        judged = discriminator(condition, real_seen), discriminator(condition, _detached(fake_seen))
        loss_d = over_scales(adversarial.discriminator, *judged)
        if recipe.gan_loss == "wgan-gp":
            mix = torch.rand(len(real), 1, 1, 1, device=real.device)
            # The plain network: run by Fabric it would compute in bf16 again, too coarse for a gradient's gradient.
            critic = state.discriminator
            assert critic is not None
            penalty = gradient_penalty(partial(critic, condition), real, fake, mix)
            losses["loss_d_penalty"] = GRADIENT_PENALTY_WEIGHT * penalty
            loss_d = loss_d + losses["loss_d_penalty"]
        state.step_d.zero_grad()
        fabric.backward(loss_d)
        _step_if_finite("discriminator", discriminator, state.step_d, progress)
        losses["loss_d"] = loss_d
        terms["gan"] = over_scales(adversarial.generator, discriminator(condition, fake_seen))
    if recipe.lambda_l1:
        terms["l1"] = recipe.lambda_l1 * l1(fake[:own], real[:own])
    if recipe.lambda_colour:
        terms["colour"] = recipe.lambda_colour * colour_l1(fake[:own], real[:own])
    if recipe.lambda_perceptual:
        # Those that the discriminator saw, or made only now, when its own graph is gone.
        both = isinstance(fake_seen, list) and isinstance(real_seen, list)
        features = (fake_seen, real_seen) if both else _features(fabric, state, fake, real)
        compared = ([layer[:own] for layer in layers] for layers in features)
        terms["perceptual"] = recipe.lambda_perceptual * feature_l1(*compared)
    if canvas is not None:
        terms |= _canvas_terms(fabric, recipe, state, fake, torch.tanh(canvas), fake_seen)
    loss_g = reduce(torch.add, terms.values())
    state.step_g.zero_grad()
    fabric.backward(loss_g)  # D collects gradients here too; its zero_grad above drops them
    _step_if_finite("generator", state.train_generator, state.step_g, progress)

    losses |= {"loss_g": loss_g} | {f"loss_g_{name}": term for name, term in terms.items()}
    # Over all processes: what follows from them, such as a plateau's rate or a rollback, must be the same in each.
    values = mean_over_processes(fabric, torch.stack([loss.detach().float() for loss in losses.values()])).tolist()
    figures = dict(zip(losses, values, strict=True))
    if not all(math.isfinite(value) for value in values):
        named = ", ".join(f"{name} is {value}" for name, value in figures.items() if not math.isfinite(value))
        tiles = ", ".join(store.describe(tile_id) for tile_id in batch.tile_ids[:4])
        raise DivergedError(f"{named} at step {progress.step + 1}, on tiles {tiles}{' …' * (len(batch.tile_ids) > 4)}.")
    state.average()
    state.add_losses(figures)
    return figures


def _step_if_finite(name: str, network: nn.Module, optimizer: Any, progress: Progress) -> None:
    """Take the optimizer's step, or skip and count it where gradients overflowed, as instance norm's do on some empty masks."""
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    if torch.isfinite(get_total_norm(gradients)):
        optimizer.step()
        progress.updates[name] = progress.updates.get(name, 0) + 1
    else:
        progress.skipped += 1


def _features(fabric: Fabric, state: TrainingState, fake: Tensor, real: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """What the perceptual loss's network sees in both; no gradient flows to ``real``."""
    assert state.features is not None
    with fabric.autocast():
        with torch.no_grad():
            wanted = state.features(real)
        return state.features(fake), wanted


def _canvas_terms(
    fabric: Fabric, recipe: Recipe, state: TrainingState, fake: Tensor, canvas: Tensor, fake_seen: Tensor | list[Tensor]
) -> dict[str, Tensor]:
    """What ties an image to the canvas that it refines: colours of cells, and features."""
    terms: dict[str, Tensor] = {}
    if recipe.lambda_canvas:
        terms["canvas"] = recipe.lambda_canvas * colour_l1(fake, canvas)
    if recipe.lambda_canvas_features:
        assert state.features is not None
        with fabric.autocast():
            with torch.no_grad():
                wanted = state.features(canvas)
            made = fake_seen if isinstance(fake_seen, list) else state.features(fake)
        terms["canvas_features"] = recipe.lambda_canvas_features * feature_l1(made, wanted)
    return terms


def _detached(seen: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
    return seen.detach() if isinstance(seen, Tensor) else [layer.detach() for layer in seen]
