"""The training loop: tiles to weights.

Everything random is a function of (seed, rollbacks, epoch, position), never of a generator that runs along. A run that is stopped
anywhere and resumed therefore takes the same steps as one that was not, and ends with the same bits on a CPU.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from orthoforge import run_files
from orthoforge.config import Recipe, recipe_values
from orthoforge.errors import DivergedError
from orthoforge.progress import SECONDS_BETWEEN_LINES, duration, typical
from orthoforge.trackers import Trackers
from orthoforge.training.batches import ahead, crops_an_epoch, epoch_batches, steps_an_epoch
from orthoforge.training.hardware import any_process, any_processes
from orthoforge.training.saving import save
from orthoforge.training.schedules import BEST_COLUMNS, learning_rates, shortfall, standings_after
from orthoforge.training.step import read_figures, train_step
from orthoforge.training.styles import remember_styles
from orthoforge.training.training import Training
from orthoforge.training.validation import collapse_notice, record_panels, validate

# An epoch of the seed's largest set takes hours on a small machine: no more than this much of it is ever lost.
SECONDS_BETWEEN_CHECKPOINTS = 600
STEPS_BETWEEN_CURVE_POINTS = 10
STEPS_OF_THE_ESTIMATE = 3


def run_epochs(training: Training, stop_after: int | None) -> bool:
    """Epochs from where the state stands to the recipe's last, or the next ``stop_after``.

    False when that was not the recipe's last epoch, for ``stop_after`` or because it was asked to stop; all is saved then.
    """
    recipe, progress = training.recipe, training.progress
    began_epoch, began = progress.epoch, time.monotonic() - progress.seconds  # of an interrupted epoch the first part counts
    end = recipe.total_epochs if stop_after is None else min(recipe.total_epochs, progress.epoch + stop_after)
    with _open_curves(training) as curves:
        epochs = _Epochs(training, curves)
        while progress.epoch < end:
            if not epochs.take_steps() or (scores := epochs.judge()) is None:
                epochs.save_last()
                return False
            row = epochs.close(scores)
            if progress.epoch % recipe.checkpoint_every == 0 or progress.epoch == end:
                epochs.save_last()
            an_epoch = (time.monotonic() - began) / (progress.epoch - began_epoch)
            training.say(_epoch_line(row, recipe, an_epoch * (end - progress.epoch)))
            if notice := epochs.notice():
                training.say(notice)
            if any_process(training.fabric, training.stop.requested):
                epochs.save_last()
                break
    return progress.epoch == recipe.total_epochs


@contextmanager
def _open_curves(training: Training) -> Iterator[Trackers | None]:
    """The curves of the first process, which go on where the state stands."""
    if not training.fabric.is_global_zero:
        yield None
        return
    progress = training.progress
    # An epoch's points stand at its last step, which has none of its own: so it is known what a stop in validation has to purge.
    validation_due = progress.step_in_epoch == steps_an_epoch(training)
    first_step = progress.step + (0 if validation_due else 1)
    curves = Trackers(training.trackers, training.out, settings=recipe_values(training.recipe), first_step=first_step)
    try:
        yield curves
    finally:
        curves.close()


@dataclass
class _Epochs:
    """What an epoch is made of: its steps, its validation, what it leaves on disk."""

    training: Training
    curves: Trackers | None
    """In the first process alone."""
    saved_at: float = field(default_factory=time.monotonic)
    first_steps: list[float] = field(default_factory=list)
    """Seconds of the first steps of this call."""

    def take_steps(self) -> bool:
        """The epoch's steps that are left, saved from time to time; False when asked to stop among them."""
        training, progress = self.training, self.training.progress
        steps, step_began = steps_an_epoch(training), time.monotonic()
        named = f"epoch {progress.epoch + 1} of {training.recipe.total_epochs}, steps"
        with training.shown().task(named, steps, done=progress.step_in_epoch) as tell:
            for batch, waited in ahead(epoch_batches(training)):
                train_step(training, batch)
                reads = self._reads(steps)
                losses = read_figures(training) if reads else {}
                seconds = time.monotonic() - step_began
                progress.seconds += seconds
                progress.waited += waited
                tell()
                self._estimate(seconds, steps)
                if self.curves and progress.step % STEPS_BETWEEN_CURVE_POINTS == 0 and progress.step_in_epoch < steps:
                    self.curves.scalars({f"train/{name}": value for name, value in losses.items()}, progress.step)
                due, stopping = self._asked(reads)
                if due or stopping:
                    self._remember_styles()
                if stopping:
                    return False
                if due:
                    self.save_last()
                step_began = time.monotonic()
        self._remember_styles()
        return True

    def _reads(self, steps: int) -> bool:
        """Whether the figures of the steps are read now. In between nothing waits for a GPU, unless steps are timed."""
        progress = self.training.progress
        is_timed = len(self.first_steps) < STEPS_OF_THE_ESTIMATE
        return is_timed or progress.step % STEPS_BETWEEN_CURVE_POINTS == 0 or progress.step_in_epoch == steps

    def _asked(self, reads: bool) -> tuple[bool, bool]:
        """Whether a checkpoint is due, and whether any process is asked to stop."""
        training = self.training
        if training.fabric.world_size > 1 and training.fabric.device.type != "cpu" and not reads:
            return False, False  # the answers of several GPUs have to be waited for
        due, stopping = any_processes(
            training.fabric, time.monotonic() - self.saved_at > SECONDS_BETWEEN_CHECKPOINTS, training.stop.requested
        )
        return due, stopping

    def _estimate(self, seconds: float, steps: int) -> None:
        """Say once, after the first steps of this call, how long the training will take; of one below a minute nothing."""
        if len(self.first_steps) == STEPS_OF_THE_ESTIMATE:
            return
        self.first_steps.append(seconds)
        if len(self.first_steps) < STEPS_OF_THE_ESTIMATE:
            return
        a_step, progress = typical(self.first_steps), self.training.progress
        left = a_step * (steps * (self.training.recipe.total_epochs - progress.epoch) - progress.step_in_epoch)
        if left >= SECONDS_BETWEEN_LINES:
            self.training.say(
                f"about {duration(a_step)} a step by the first {STEPS_OF_THE_ESTIMATE}: {duration(a_step * steps)} an epoch, "
                f"{duration(left)} to the end, besides validation"
            )

    def judge(self) -> dict[str, float] | None:
        """The validation's scores, the same in every process; ``None`` when asked to stop. Raises ``DivergedError``."""
        training, progress = self.training, self.training.progress
        scores = validate(training)
        if scores is None:
            return None
        if progress.skipped:
            training.say(
                f"{progress.skipped} updates of {progress.step_in_epoch} steps were skipped: their gradients were not finite."
            )
        if progress.skipped >= progress.step_in_epoch:  # half of the updates of two networks, all of those of one
            due = progress.step_in_epoch * len(training.state.trained)
            raise DivergedError(
                f"the gradients of {progress.skipped} of {due} updates of epoch {progress.epoch + 1} were not finite."
            )
        return training.fabric.broadcast(scores)  # batch norm's running statistics differ a little between processes

    def close(self, scores: dict[str, float]) -> dict[str, float]:
        """Move on to the next epoch, with this one's row, curves and panels, and ``best`` where it is; returns the row."""
        training, recipe, progress = self.training, self.training.recipe, self.training.progress
        row = _finish_epoch(training, scores)
        reached = shortfall(recipe, scores)
        improved = progress.best_shortfall is None or reached < progress.best_shortfall
        if improved:
            progress.best_shortfall = reached
        if self.curves:
            run_files.append_result(training.out, row)
            points = {f"epoch/{name}": value for name, value in row.items() if name not in ("epoch", "step")}
            self.curves.scalars(points, progress.step)
        if progress.epoch % recipe.panels_every == 0 or progress.epoch == recipe.total_epochs:
            record_panels(training, self.curves)
        if improved:
            save(training, "best")
        return row

    def save_last(self) -> None:
        """Write the checkpoint that a resumption begins with."""
        save(self.training, "last")
        self.saved_at = time.monotonic()

    def notice(self) -> str | None:
        """What the first process has to tell of a collapse."""
        return collapse_notice(run_files.read_results(self.training.out), self.training.recipe) if self.curves else None

    def _remember_styles(self) -> None:
        state = self.training.state
        if state.has_styles:
            remember_styles(state.generator, state.output_generator, self.training.recipe, self.training.store)


def _finish_epoch(training: Training, scores: Mapping[str, float]) -> dict[str, float]:
    """The epoch's row for ``results.csv``; the progress moves on to the next epoch."""
    recipe, progress = training.recipe, training.progress
    last_step = progress.step - 1
    rate_g, rate_d = learning_rates(recipe, epoch=progress.epoch, step=last_step, standings=progress.standings)
    rates = {"learning_rate": rate_g} | ({"learning_rate_d": rate_d} if recipe.schedule == "plateau-2021" else {})
    losses = {name: total / progress.step_in_epoch for name, total in progress.sums.items()}
    images_per_s = crops_an_epoch(training.store, recipe) / max(progress.seconds, 1e-9)
    timing = {"seconds": progress.seconds, "images_per_s": images_per_s}
    timing["data_wait"] = progress.waited / max(progress.seconds, 1e-9)
    progress.epoch += 1
    progress.step_in_epoch, progress.skipped, progress.sums, progress.seconds, progress.waited = 0, 0, {}, 0.0, 0.0
    progress.standings = standings_after(recipe, progress.standings, {**losses, **scores})
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
