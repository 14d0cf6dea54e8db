"""The training loop: tiles to weights.

Everything random is a function of (seed, rollbacks, epoch, position), never of a generator that runs along. A run that is stopped
anywhere and resumed therefore takes the same steps as one that was not, and ends with the same bits on a CPU.
"""

import math
import time
from collections.abc import Sequence
from functools import partial, reduce
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from orthoforge import runs
from orthoforge.checkpoints import save_checkpoint
from orthoforge.config import Recipe, recipe_values
from orthoforge.errors import DivergedError
from orthoforge.models.losses import GAN_LOSSES, gradient_penalty, l1
from orthoforge.models.perceptual import perceptual_l1
from orthoforge.tiles.store import Batch, TileStore
from orthoforge.trackers import Trackers
from orthoforge.training.batches import epoch_batches, steps_an_epoch, to_tensors, training_ids
from orthoforge.training.hardware import any_process, circumstances, mean_over_processes
from orthoforge.training.schedules import BEST_COLUMNS, learning_rates, shortfall, standings_after
from orthoforge.training.state import STEP, Progress, TrainingState
from orthoforge.training.stopping import StopRequest
from orthoforge.training.validation import collapse_notice, record_panels, validate

# An epoch of the seed's largest set takes hours on a small machine: no more than this much of it is ever lost.
SECONDS_BETWEEN_CHECKPOINTS = 600
STEPS_BETWEEN_CURVE_POINTS = 10
GRADIENT_PENALTY_WEIGHT = 10.0  # Gulrajani et al. 2017, for all their experiments


def run_epochs(
    fabric: Fabric,
    recipe: Recipe,
    store: TileStore,
    state: TrainingState,
    out: Path,
    stop: StopRequest,
    say: Any,
    *,
    trackers: Sequence[str],
    stop_after: int | None,
) -> bool:
    """Epochs from where ``state`` stands to the recipe's last, or the next ``stop_after``.

    False when that was not the recipe's last epoch, for ``stop_after`` or because it was asked to stop; all is saved then.
    """
    last = out / "weights" / "last"
    progress = state.progress
    steps = steps_an_epoch(store, recipe, fabric)
    # An epoch's points stand at its last step, which has none of its own: so it is known what a stop in validation has to purge.
    validation_due = progress.step_in_epoch == steps
    curves = None
    if fabric.is_global_zero:
        first_step = progress.step + (0 if validation_due else 1)
        curves = Trackers(trackers, out, settings=recipe_values(recipe), first_step=first_step)
    saved_at, began, began_epoch = time.monotonic(), time.monotonic(), progress.epoch
    end = recipe.total_epochs if stop_after is None else min(recipe.total_epochs, progress.epoch + stop_after)
    try:
        while progress.epoch < end:
            step_began = time.monotonic()
            for batch in epoch_batches(store, recipe, state, fabric):
                losses = train_step(fabric, recipe, state, batch, store)
                progress.seconds += time.monotonic() - step_began
                if curves and progress.step % STEPS_BETWEEN_CURVE_POINTS == 0 and progress.step_in_epoch < steps:
                    curves.scalars({f"train/{name}": value for name, value in losses.items()}, progress.step)
                if any_process(fabric, stop.requested):
                    save(fabric, state, recipe, store, last)
                    return False
                if any_process(fabric, time.monotonic() - saved_at > SECONDS_BETWEEN_CHECKPOINTS):
                    save(fabric, state, recipe, store, last)
                    saved_at = time.monotonic()
                step_began = time.monotonic()

            scores = validate(fabric, recipe, state, store, stop)
            if scores is None:
                save(fabric, state, recipe, store, last)
                return False
            if progress.skipped:
                say(f"{progress.skipped} updates of {progress.step_in_epoch} steps were skipped: their gradients were not finite.")
            if progress.skipped >= progress.step_in_epoch:
                raise DivergedError(f"the gradients of at least half of the updates of epoch {progress.epoch + 1} were not finite.")
            scores = fabric.broadcast(scores)  # batch norm's running statistics differ a little between processes
            row = _finish_epoch(recipe, state, store, scores)
            reached = shortfall(recipe, scores)
            improved = progress.best_shortfall is None or reached < progress.best_shortfall
            if improved:
                progress.best_shortfall = reached
            if fabric.is_global_zero:
                assert curves is not None
                runs.append_result(out, row)
                curves.scalars(
                    {f"epoch/{name}": value for name, value in row.items() if name not in ("epoch", "step")},
                    progress.step,
                )
            epochs_left = end - progress.epoch
            if progress.epoch % recipe.panels_every == 0 or progress.epoch == recipe.total_epochs:
                record_panels(fabric, recipe, state, store, out, curves)
            if improved:
                save(fabric, state, recipe, store, out / "weights" / "best")
            if progress.epoch % recipe.checkpoint_every == 0 or not epochs_left:
                save(fabric, state, recipe, store, last)
                saved_at = time.monotonic()
            seconds_left = (time.monotonic() - began) / (progress.epoch - began_epoch) * epochs_left
            say(_epoch_line(row, recipe, seconds_left))
            notice = collapse_notice(runs.read_results(out), recipe) if fabric.is_global_zero else None
            if notice:
                say(notice)
            if any_process(fabric, stop.requested):
                save(fabric, state, recipe, store, last)
                break
    finally:
        if curves:
            curves.close()
    return progress.epoch == recipe.total_epochs


def train_step(fabric: Fabric, recipe: Recipe, state: TrainingState, batch: Batch, store: TileStore) -> dict[str, float]:
    """One step of both networks (Isola et al. 2017, section 3.3); returns the losses, after counting them in ``state``.

    Raises ``DivergedError`` naming the losses that are NaN or Inf and the tiles of the batch.
    """
    state.seed_torch(STEP, fabric.global_rank)
    progress, discriminator = state.progress, state.train_discriminator
    rates = learning_rates(recipe, epoch=progress.epoch, step=progress.step, standings=progress.standings)
    state.set_learning_rates(*rates)
    condition, real = to_tensors(batch, store, fabric.device)
    fake = state.train_generator(condition)  # (N, 3, H, W)
    losses: dict[str, Tensor] = {}

    terms: dict[str, Tensor] = {}
    if discriminator is not None:
        adversarial = GAN_LOSSES[recipe.gan_loss]
        loss_d = adversarial.discriminator(discriminator(condition, real), discriminator(condition, fake.detach()))
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
        terms["gan"] = adversarial.generator(discriminator(condition, fake))
    if recipe.lambda_l1:
        terms["l1"] = recipe.lambda_l1 * l1(fake, real)
    if state.features is not None:
        with fabric.autocast():
            terms["perceptual"] = recipe.lambda_perceptual * perceptual_l1(state.features, fake, real)
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


def save(fabric: Fabric, state: TrainingState, recipe: Recipe, store: TileStore, folder: Path) -> None:
    """Write a checkpoint from one process while the others wait. Raises ``DivergedError`` rather than save NaN or Inf."""
    state.require_finite()
    if fabric.is_global_zero:
        values = {"recipe": recipe_values(recipe), "progress": state.plain_values(), "tiles": tiles_values(store)}
        rng = {
            "seed": recipe.seed,
            "rollbacks": state.progress.rollbacks,
            "step": state.progress.step,
        }
        values |= {"rng": rng, "versions": circumstances(fabric)}
        save_checkpoint(folder, model=state.model_tensors(), train=state.train_tensors(), state=values)
    fabric.barrier()


def tiles_values(store: TileStore) -> dict[str, Any]:
    """What a generator must know of the tiles that it learnt from."""
    names = ("fingerprint", "size_px", "gsd_m", "classes", "attribution")
    return {name: getattr(store, name) for name in names}


def _finish_epoch(recipe: Recipe, state: TrainingState, store: TileStore, scores: dict[str, float]) -> dict[str, float]:
    """The epoch's row for ``results.csv``; the progress moves on to the next epoch."""
    progress = state.progress
    last_step = progress.step - 1
    rate_g, rate_d = learning_rates(recipe, epoch=progress.epoch, step=last_step, standings=progress.standings)
    rates = {"learning_rate": rate_g} | ({"learning_rate_d": rate_d} if recipe.schedule == "plateau-2021" else {})
    losses = {name: total / progress.step_in_epoch for name, total in progress.sums.items()}
    crops = len(training_ids(store, recipe)) * recipe.crops_per_tile
    timing = {"seconds": progress.seconds, "images_per_s": crops / max(progress.seconds, 1e-9)}
    progress.epoch += 1
    progress.step_in_epoch, progress.skipped, progress.sums, progress.seconds = 0, 0, {}, 0.0
    progress.standings = standings_after(recipe, progress.standings, losses | scores)
    return {"epoch": progress.epoch, "step": progress.step, **rates, **losses, **scores, **timing}


def _epoch_line(row: dict[str, float], recipe: Recipe, seconds_left: float) -> str:
    minutes, seconds = divmod(round(seconds_left), 60)
    left = f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes}:{seconds:02d}"
    parts = {name.removeprefix("loss_g_"): value for name, value in row.items() if name.startswith("loss_g_")}
    losses = f"D {row['loss_d']:.3f}  " if "loss_d" in row else ""
    losses += "G " + " + ".join(f"{name} {value:.3g}" for name, value in parts.items())
    judged = f"{recipe.best_by} {row[BEST_COLUMNS[recipe.best_by]]:.4g}  " if recipe.best_by != "ssim" else ""
    return (
        f"epoch {row['epoch']:.0f}/{recipe.total_epochs}  {losses}  "
        f"PSNR {row['psnr']:.2f} dB  SSIM {row['ssim']:.3f}  {judged}{row['images_per_s']:.1f} images/s  {left} left"
    )
