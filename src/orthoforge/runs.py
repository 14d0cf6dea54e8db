"""The run folder: settings, curves and pictures of one training, in files that people and tools already know."""

import csv
import itertools
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from orthoforge.config import dump_yaml
from orthoforge.errors import CheckpointError
from orthoforge.files import new_file, writable

COLUMNS = (
    "epoch", "step", "learning_rate", "loss_d", "loss_g", "loss_g_gan", "loss_g_l1", "psnr", "ssim", "psnr_seed",
    "seconds", "images_per_s",
)  # fmt: skip
"""Columns of ``results.csv``. All but the last two are the same, to the bit, for a run that was stopped and resumed."""

TIMING_COLUMNS = COLUMNS[-2:]


def numbered_run(name: str, parent: Path = Path("runs")) -> Path:
    """The first of ``runs/NAME``, ``runs/NAME-2``, … that does not exist."""
    candidates = itertools.chain([parent / name], (parent / f"{name}-{n}" for n in itertools.count(2)))
    return next(path for path in candidates if not path.exists())


def write_args(run: Path, values: Mapping[str, Any]) -> None:
    """``args.yaml``: every setting, resolved."""
    with new_file(run / "args.yaml", overwrite=True) as partial:
        partial.write_text(dump_yaml(values), encoding="utf-8")


def read_args(run: Path) -> dict[str, Any]:
    """What ``args.yaml`` holds; nothing when it is not there."""
    path = run / "args.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}


def read_results(run: Path) -> list[dict[str, float]]:
    """Rows of ``results.csv``, one an epoch; a last line that a kill cut short is left out."""
    path = run / "results.csv"
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{key: float(value) for key, value in row.items()} for row in rows if all(row.values())]


def append_result(run: Path, row: Mapping[str, float]) -> None:
    """Add one epoch to ``results.csv``. The file is replaced whole, so it never holds half a row."""
    _write_results(run, [*read_results(run), dict(row)])


def truncate_results(run: Path, epochs: int) -> None:
    """Keep the first ``epochs`` rows: what came after the checkpoint will be computed again."""
    rows = read_results(run)
    if len(rows) < epochs:
        raise CheckpointError(
            f"{run / 'results.csv'}: has {len(rows)} rows, the checkpoint is {epochs} epochs old. Put the file back."
        )
    if rows:
        _write_results(run, rows[:epochs])


def _write_results(run: Path, rows: Sequence[Mapping[str, float]]) -> None:
    with (
        new_file(run / "results.csv", overwrite=True) as partial,
        open(partial, "w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for row in rows:
            writer.writerow({key: f"{value:.0f}" if key in ("epoch", "step") else repr(value) for key, value in row.items()})


class Curves:
    """TensorBoard curves. A tracker never stops a training: after its first failure it warns once and is left out."""

    def __init__(self, run: Path, *, first_step: int) -> None:
        """Curves continue at ``first_step``; points from there on, logged before a kill, are purged."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = None
        self._attempt(lambda: setattr(self, "_writer", SummaryWriter(str(run), purge_step=first_step)))

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Log each value under its name."""
        if self._writer is not None:
            self._attempt(lambda: [self._writer.add_scalar(name, value, step) for name, value in values.items()])
            self._flush()

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        """Log an image (H, W, 3) uint8."""
        if self._writer is not None:
            self._attempt(lambda: self._writer.add_image(name, image, step, dataformats="HWC"))
            self._flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._attempt(self._writer.close)

    def _flush(self) -> None:
        """To the disk now: the next checkpoint counts on these points, and after a kill nobody computes them again."""
        if self._writer is not None:
            self._attempt(self._writer.flush)

    def _attempt(self, write: Any) -> None:
        try:
            write()
        except Exception as error:  # whatever a tracker throws, training goes on
            self._writer = None
            warnings.warn(f"TensorBoard curves stop here: {error}. Training goes on.", stacklevel=3)


def panel(masks: np.ndarray, fakes: np.ndarray, reals: np.ndarray) -> np.ndarray:
    """Rows of mask | generated | real. Masks (N, H, W, 3), images (N, H, W, 3), uint8; (N·(H+gap), 3·(W+gap), 3) comes out."""
    gap, (count, height, width, _) = 4, reals.shape
    canvas = np.full((count * (height + gap) - gap, 3 * (width + gap) - gap, 3), 255, np.uint8)
    for row, column in itertools.product(range(count), range(3)):
        top, left = row * (height + gap), column * (width + gap)
        canvas[top : top + height, left : left + width] = (masks, fakes, reals)[column][row]
    return canvas


def write_png(path: Path, image: np.ndarray) -> None:
    """Write (H, W, 3) uint8, replacing what was there."""
    with writable(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path, overwrite=True) as partial:
        Image.fromarray(image).save(partial, format="PNG")


def plot_results(run: Path) -> None:
    """``results.png``: losses, validation scores and rate over epochs."""
    from matplotlib.figure import Figure

    rows = read_results(run)
    if not rows:
        return
    plots = (
        ("loss_d", "loss_g_gan"),
        ("loss_g_l1",),
        ("psnr", "psnr_seed"),
        ("ssim",),
        ("learning_rate",),
        ("images_per_s",),
    )
    figure = Figure(figsize=(12, 6), layout="constrained")
    for axes, names in zip(figure.subplots(2, 3).flat, plots, strict=True):
        for name in names:
            axes.plot(
                [row["epoch"] for row in rows],
                [row[name] for row in rows],
                label=name,
                marker="." if len(rows) < 40 else "",
            )
        axes.set_xlabel("epoch")
        axes.legend()
        axes.grid(alpha=0.3)
    with new_file(run / "results.png", overwrite=True) as partial:
        figure.savefig(partial, format="png", dpi=100)
