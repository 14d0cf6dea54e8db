"""The training loop: tiles to weights.

Everything random is a function of (seed, rollbacks, epoch, position), never of a generator that runs along. A run that is stopped
anywhere and resumed therefore takes the same steps as one that was not, and ends with the same bits on a CPU.
"""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from orthoforge import runs
from orthoforge.checkpoints import save_checkpoint
from orthoforge.config import Recipe, recipe_values
from orthoforge.errors import DivergedError
from orthoforge.evaluation.metrics import SEED_PSNR_OFFSET_DB, psnr, ssim
from orthoforge.models.conditions import decode_image, encode_image, encode_mask
from orthoforge.models.losses import l1, lsgan_discriminator, lsgan_generator
from orthoforge.tiles.store import Batch, TileStore, centre_batch, crop_batch, epoch_order
from orthoforge.training.hardware import any_process, circumstances
from orthoforge.training.state import TrainingState
from orthoforge.training.stopping import StopRequest

# An epoch of the seed's largest set takes hours on a small machine: no more than this much of it is ever lost.
SECONDS_BETWEEN_CHECKPOINTS = 600
STEPS_BETWEEN_CURVE_POINTS = 10
PANEL_TILES = 4


def run_epochs(
    fabric: Fabric, recipe: Recipe, store: TileStore, state: TrainingState, out: Path, stop: StopRequest, say: Any
) -> bool:
    """Epochs from where ``state`` stands to the recipe's last. False when asked to stop; everything is saved then."""
    last = out / "weights" / "last"
    progress = state.progress
    steps = steps_an_epoch(store, recipe, fabric)
    # An epoch's points stand at its last step, which has none of its own: so it is known what a stop in validation has to purge.
    validation_due = progress.step_in_epoch == steps
    first_step = progress.step + (0 if validation_due else 1)
    curves = runs.Curves(out, first_step=first_step) if fabric.is_global_zero else None
    saved_at, began, began_epoch = time.monotonic(), time.monotonic(), progress.epoch
    try:
        while progress.epoch < recipe.total_epochs:
            rate = recipe.learning_rate * linear_rate_factor(progress.epoch, recipe.epochs, recipe.decay_epochs)
            state.set_learning_rate(rate)
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
            row = _finish_epoch(recipe, state, store, rate, scores)
            improved = progress.best_ssim is None or scores["ssim"] > progress.best_ssim
            if improved:
                progress.best_ssim = scores["ssim"]
            if fabric.is_global_zero:
                assert curves is not None
                runs.append_result(out, row)
                curves.scalars(
                    {f"epoch/{name}": value for name, value in row.items() if name not in ("epoch", "step")},
                    progress.step,
                )
            epochs_left = recipe.total_epochs - progress.epoch
            if progress.epoch % recipe.panels_every == 0 or not epochs_left:
                _record_panels(fabric, recipe, state, store, out, curves)
            if improved:
                save(fabric, state, recipe, store, out / "weights" / "best")
            if progress.epoch % recipe.checkpoint_every == 0 or not epochs_left:
                save(fabric, state, recipe, store, last)
                saved_at = time.monotonic()
            seconds_left = (time.monotonic() - began) / (progress.epoch - began_epoch) * epochs_left
            say(_epoch_line(row, recipe, seconds_left))
            if any_process(fabric, stop.requested):
                save(fabric, state, recipe, store, last)
                return not epochs_left
    finally:
        if curves:
            curves.close()
    return True


def train_step(fabric: Fabric, recipe: Recipe, state: TrainingState, batch: Batch, store: TileStore) -> dict[str, float]:
    """One step of both networks (Isola et al. 2017, section 3.3); returns the losses, after counting them in ``state``.

    Raises ``DivergedError`` naming the losses that are NaN or Inf and the tiles of the batch; the weights are then spoilt.
    """
    progress = state.progress
    # Dropout and noise, where a network has them, draw from here: a function of the step, so that a resumed run draws the same.
    stream = np.random.SeedSequence([recipe.seed, progress.rollbacks, progress.step])
    torch.manual_seed(int(stream.generate_state(1, np.uint64)[0]))
    condition, real = to_tensors(batch, store, fabric.device)
    fake = state.train_generator(condition)  # (N, 3, H, W)

    loss_d = lsgan_discriminator(state.train_discriminator(condition, real), state.train_discriminator(condition, fake.detach()))
    state.step_d.zero_grad()
    fabric.backward(loss_d)
    state.step_d.step()

    loss_g_gan = lsgan_generator(state.train_discriminator(condition, fake))
    loss_g_l1 = recipe.lambda_l1 * l1(fake, real)
    loss_g = loss_g_gan + loss_g_l1
    state.step_g.zero_grad()
    fabric.backward(loss_g)  # D collects gradients here too; its zero_grad above drops them
    state.step_g.step()

    values = torch.stack([loss.detach().float() for loss in (loss_d, loss_g, loss_g_gan, loss_g_l1)]).tolist()
    losses = dict(zip(("loss_d", "loss_g", "loss_g_gan", "loss_g_l1"), values, strict=True))
    if not all(math.isfinite(value) for value in values):
        named = ", ".join(f"{name} is {value}" for name, value in losses.items() if not math.isfinite(value))
        tiles = ", ".join(store.describe(tile_id) for tile_id in batch.tile_ids[:4])
        raise DivergedError(f"{named} at step {progress.step + 1}, on tiles {tiles}{' …' * (len(batch.tile_ids) > 4)}.")
    state.average()
    state.add_losses(losses)
    return losses


def epoch_batches(store: TileStore, recipe: Recipe, state: TrainingState, fabric: Fabric) -> Iterator[Batch]:
    """What is left of the epoch under way, batch by batch; of each batch this process's share."""
    progress = state.progress
    seed = (recipe.seed, progress.rollbacks)
    order = epoch_order(np.tile(store.ids("train"), recipe.crops_per_tile), seed=seed, epoch=progress.epoch)
    order = order[: len(order) - len(order) % fabric.world_size]
    for start in range(progress.step_in_epoch * recipe.batch_size, len(order), recipe.batch_size):
        positions = np.arange(start, min(start + recipe.batch_size, len(order)))[fabric.global_rank :: fabric.world_size]
        keys = [(*seed, progress.epoch, position) for position in positions.tolist()]
        yield crop_batch(store, order[positions], crop_px=recipe.crop_px, flips=recipe.flips, keys=keys)


def steps_an_epoch(store: TileStore, recipe: Recipe, fabric: Fabric) -> int:
    """Batches that ``epoch_batches`` makes of a whole epoch."""
    crops = len(store.ids("train")) * recipe.crops_per_tile
    return -(-(crops - crops % fabric.world_size) // recipe.batch_size)


def validate(fabric: Fabric, recipe: Recipe, state: TrainingState, store: TileStore, stop: StopRequest) -> dict[str, float] | None:
    """Mean scores of the output generator over the centre crops of all validation tiles; ``None`` when asked to stop.

    Every process computes them all, so that none waits and all agree.
    """
    generator = state.output_generator.eval()
    scores: dict[str, list[float]] = {"psnr": [], "ssim": []}
    tile_ids = store.ids("val")
    try:
        for start in range(0, len(tile_ids), recipe.batch_size):
            batch = centre_batch(store, tile_ids[start : start + recipe.batch_size], crop_px=recipe.crop_px)
            condition, real = to_tensors(batch, store, fabric.device)
            with torch.inference_mode(), fabric.autocast():
                fake = generator(condition).float()
            scores["psnr"] += psnr(fake, real).tolist()
            scores["ssim"] += ssim(fake, real).tolist()
            if any_process(fabric, stop.requested):
                return None
    finally:
        generator.train()
    means = {name: math.fsum(values) / len(values) for name, values in scores.items()}
    return means | {"psnr_seed": means["psnr"] - SEED_PSNR_OFFSET_DB}


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


def linear_rate_factor(epoch: int, constant_epochs: int, decay_epochs: int) -> float:
    """Factor of the learning rate in ``epoch`` (from 0): 1, then falling linearly; never quite 0 in the last epoch."""
    return 1 - max(0, epoch + 1 - constant_epochs) / (decay_epochs + 1)


def to_tensors(batch: Batch, store: TileStore, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Condition (N, C, H, W) and real image (N, 3, H, W), float in [-1, 1], channels last in memory."""
    condition = encode_mask(torch.from_numpy(batch.mask).to(device), store.class_count)
    return condition.contiguous(memory_format=torch.channels_last), encode_image(torch.from_numpy(batch.image).to(device))


def tiles_values(store: TileStore) -> dict[str, Any]:
    """What a generator must know of the tiles that it learnt from."""
    names = ("fingerprint", "size_px", "gsd_m", "classes", "attribution")
    return {name: getattr(store, name) for name in names}


def _finish_epoch(
    recipe: Recipe, state: TrainingState, store: TileStore, rate: float, scores: dict[str, float]
) -> dict[str, float]:
    """The epoch's row for ``results.csv``; the progress moves on to the next epoch."""
    progress = state.progress
    losses = {name: total / progress.step_in_epoch for name, total in progress.sums.items()}
    crops = len(store.ids("train")) * recipe.crops_per_tile
    timing = {"seconds": progress.seconds, "images_per_s": crops / max(progress.seconds, 1e-9)}
    progress.epoch += 1
    progress.step_in_epoch, progress.sums, progress.seconds = 0, {}, 0.0
    return {"epoch": progress.epoch, "step": progress.step, "learning_rate": rate, **losses, **scores, **timing}


def _record_panels(
    fabric: Fabric, recipe: Recipe, state: TrainingState, store: TileStore, out: Path, curves: runs.Curves | None
) -> None:
    """A picture of the same few validation tiles, in ``panels/`` and among the curves."""
    if not fabric.is_global_zero:
        return
    tile_ids = store.ids("val")
    shown = tile_ids[np.linspace(0, len(tile_ids) - 1, min(PANEL_TILES, len(tile_ids))).astype(int)]
    batch = centre_batch(store, shown, crop_px=recipe.crop_px)
    condition, _ = to_tensors(batch, store, fabric.device)
    generator = state.output_generator.eval()
    with torch.inference_mode(), fabric.autocast():
        fakes = decode_image(generator(condition)).cpu().numpy()
    generator.train()
    picture = runs.panel(store.mask_rgb(batch.mask), fakes, batch.image)
    runs.write_png(out / "panels" / f"epoch{state.progress.epoch:05d}.png", picture)
    if curves:
        curves.picture("panel", picture, state.progress.step)


def _epoch_line(row: dict[str, float], recipe: Recipe, seconds_left: float) -> str:
    minutes, seconds = divmod(round(seconds_left), 60)
    left = f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes}:{seconds:02d}"
    return (
        f"epoch {row['epoch']:.0f}/{recipe.total_epochs}  "
        f"D {row['loss_d']:.3f}  G {row['loss_g_gan']:.3f} + {row['loss_g_l1']:.2f}  "
        f"PSNR {row['psnr']:.2f} dB  SSIM {row['ssim']:.3f}  {row['images_per_s']:.1f} images/s  {left} left"
    )
