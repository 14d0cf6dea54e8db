"""The training loop: tiles to weights.

Everything random is a function of (seed, rollbacks, epoch, position), never of a generator that runs along. A run that is stopped
anywhere and resumed therefore takes the same steps as one that was not, and ends with the same bits on a CPU.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from orthoforge import runs
from orthoforge.checkpoints import save_checkpoint
from orthoforge.config import Recipe, recipe_values
from orthoforge.errors import DivergedError
from orthoforge.masks.classes import plain_classes
from orthoforge.tiles.store import TileStore
from orthoforge.trackers import Trackers
from orthoforge.training.batches import epoch_batches, steps_an_epoch, training_ids
from orthoforge.training.hardware import any_process, circumstances
from orthoforge.training.material import Material, TileCanvases
from orthoforge.training.places import places_of
from orthoforge.training.schedules import BEST_COLUMNS, learning_rates, shortfall, standings_after
from orthoforge.training.state import TrainingState
from orthoforge.training.step import train_step
from orthoforge.training.stopping import StopRequest
from orthoforge.training.styles import remember_styles
from orthoforge.training.validation import collapse_notice, record_panels, validate

# An epoch of the seed's largest set takes hours on a small machine: no more than this much of it is ever lost.
SECONDS_BETWEEN_CHECKPOINTS = 600
STEPS_BETWEEN_CURVE_POINTS = 10


def run_epochs(
    fabric: Fabric,
    recipe: Recipe,
    store: TileStore,
    state: TrainingState,
    out: Path,
    stop: StopRequest,
    say: Callable[[str], None],
    *,
    trackers: Sequence[str],
    stop_after: int | None,
    material: Material | None = None,
) -> bool:
    """Epochs from where ``state`` stands to the recipe's last, or the next ``stop_after``.

    False when that was not the recipe's last epoch, for ``stop_after`` or because it was asked to stop; all is saved then.
    """
    progress = state.progress
    # An epoch's points stand at its last step, which has none of its own: so it is known what a stop in validation has to purge.
    validation_due = progress.step_in_epoch == steps_an_epoch(store, recipe, fabric)
    curves = None
    if fabric.is_global_zero:
        first_step = progress.step + (0 if validation_due else 1)
        curves = Trackers(trackers, out, settings=recipe_values(recipe), first_step=first_step)
    run = _Run(fabric, recipe, store, state, out, stop, say, curves, material)
    began_epoch, began = progress.epoch, time.monotonic() - progress.seconds  # of an interrupted epoch the first part counts
    end = recipe.total_epochs if stop_after is None else min(recipe.total_epochs, progress.epoch + stop_after)
    try:
        while progress.epoch < end:
            if not run.take_steps() or (scores := run.judge()) is None:
                run.save("last")
                return False
            row = run.close_epoch(scores)
            if progress.epoch % recipe.checkpoint_every == 0 or progress.epoch == end:
                run.save("last")
            an_epoch = (time.monotonic() - began) / (progress.epoch - began_epoch)
            say(_epoch_line(row, recipe, an_epoch * (end - progress.epoch)))
            notice = collapse_notice(runs.read_results(out), recipe) if fabric.is_global_zero else None
            if notice:
                say(notice)
            if any_process(fabric, stop.requested):
                run.save("last")
                break
    finally:
        if curves:
            curves.close()
    return progress.epoch == recipe.total_epochs


@dataclass
class _Run:
    """What an epoch is made of: its steps, its validation, what it leaves on disk."""

    fabric: Fabric
    recipe: Recipe
    store: TileStore
    state: TrainingState
    out: Path
    stop: StopRequest
    say: Callable[[str], None]
    curves: Trackers | None
    """In the first process alone."""
    material: Material | None = None
    saved_at: float = field(default_factory=time.monotonic)

    def take_steps(self) -> bool:
        """The epoch's steps that are left, saved from time to time; False when asked to stop among them."""
        progress, steps = self.state.progress, steps_an_epoch(self.store, self.recipe, self.fabric)
        step_began = time.monotonic()
        for batch in epoch_batches(self.store, self.recipe, self.state, self.fabric, self._canvases):
            losses = train_step(self.fabric, self.recipe, self.state, batch, self.store)
            progress.seconds += time.monotonic() - step_began
            if self.curves and progress.step % STEPS_BETWEEN_CURVE_POINTS == 0 and progress.step_in_epoch < steps:
                self.curves.scalars({f"train/{name}": value for name, value in losses.items()}, progress.step)
            due = any_process(self.fabric, time.monotonic() - self.saved_at > SECONDS_BETWEEN_CHECKPOINTS)
            stopping = any_process(self.fabric, self.stop.requested)
            if due or stopping:
                self._remember_styles()
            if stopping:
                return False
            if due:
                self.save("last")
            step_began = time.monotonic()
        self._remember_styles()
        return True

    def judge(self) -> dict[str, float] | None:
        """The validation's scores, the same in every process; ``None`` when asked to stop. Raises ``DivergedError``."""
        progress = self.state.progress
        scores = validate(self.fabric, self.recipe, self.state, self.store, self.stop, self._canvases)
        if scores is None:
            return None
        if progress.skipped:
            self.say(f"{progress.skipped} updates of {progress.step_in_epoch} steps were skipped: their gradients were not finite.")
        if progress.skipped >= progress.step_in_epoch:  # half of the updates of two networks, all of those of one
            due = progress.step_in_epoch * len(self.state.trained)
            raise DivergedError(
                f"the gradients of {progress.skipped} of {due} updates of epoch {progress.epoch + 1} were not finite."
            )
        return self.fabric.broadcast(scores)  # batch norm's running statistics differ a little between processes

    def close_epoch(self, scores: dict[str, float]) -> dict[str, float]:
        """Move on to the next epoch, with this one's row, curves and panels, and ``best`` where it is; returns the row."""
        recipe, progress = self.recipe, self.state.progress
        row = _finish_epoch(recipe, self.state, self.store, scores)
        reached = shortfall(recipe, scores)
        improved = progress.best_shortfall is None or reached < progress.best_shortfall
        if improved:
            progress.best_shortfall = reached
        if self.curves:
            runs.append_result(self.out, row)
            points = {f"epoch/{name}": value for name, value in row.items() if name not in ("epoch", "step")}
            self.curves.scalars(points, progress.step)
        if progress.epoch % recipe.panels_every == 0 or progress.epoch == recipe.total_epochs:
            record_panels(self.fabric, recipe, self.state, self.store, self.out, self.curves, self._canvases)
        if improved:
            self.save("best")
        return row

    def save(self, name: str) -> None:
        """Write the checkpoint ``last`` or ``best``."""
        save(self.fabric, self.state, self.recipe, self.store, self.out / "weights" / name, self.material)
        if name == "last":
            self.saved_at = time.monotonic()

    @property
    def _canvases(self) -> TileCanvases | None:
        return self.material.canvases if self.material else None

    def _remember_styles(self) -> None:
        if self.state.has_styles:
            remember_styles(self.state.generator, self.state.output_generator, self.recipe, self.store)


def save(
    fabric: Fabric, state: TrainingState, recipe: Recipe, store: TileStore, folder: Path, material: Material | None = None
) -> None:
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
        save_checkpoint(
            folder,
            model=state.model_tensors(),
            train=state.train_tensors(),
            state=values,
            material=material.payload if material else None,
        )
    fabric.barrier()


def tiles_values(store: TileStore) -> dict[str, Any]:
    """What a generator must know of the tiles that it learnt from."""
    names = ("fingerprint", "size_px", "gsd_m", "classes", "bands", "attribution")
    values = {name: getattr(store, name) for name in names} | {"places": places_of(store)}
    return values | {"classes": plain_classes(store.classes)}


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
