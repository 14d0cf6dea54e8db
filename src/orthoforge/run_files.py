"""The run folder: settings, curves and pictures of one training, in files that people and tools already know."""

import csv
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from orthoforge.config import problems, shown
from orthoforge.errors import CheckpointError, ConfigError
from orthoforge.files import new_file, writable
from orthoforge.plain_yaml import dump_yaml, read_yaml

_MOST = 1e15  # epochs, seconds, images a second
TIMING_COLUMNS = ("seconds", "images_per_s", "data_wait")
"""Columns of ``results.csv`` that differ each time. All others are the same, to the bit, for a run that was resumed."""


def numbered_run(name: str, parent: Path = Path("runs")) -> Path:
    """The first of ``runs/NAME``, ``runs/NAME-2``, … that does not exist."""
    candidates = itertools.chain([parent / name], (parent / f"{name}-{n}" for n in itertools.count(2)))
    return next(path for path in candidates if not path.exists())


def write_args(run: Path, values: Mapping[str, Any]) -> None:
    """``args.yaml``: every setting, resolved."""
    with new_file(run / "args.yaml", overwrite=True) as partial:
        partial.write_text(dump_yaml(values), encoding="utf-8")


@dataclass(frozen=True)
class ArgsTiles:
    """What a run noted of the tiles that it was trained on."""

    fingerprint: str = ""
    size_px: int | None = None
    gsd_m: float | None = None


@dataclass(frozen=True)
class _Circumstances:
    """What a run was trained with besides its recipe: the form of ``run`` in ``args.yaml``."""

    data: str = ""
    out: str = ""
    init_from: str | None = None
    resume: bool = False
    perceptual_weights_sha256: str = ""
    tiles: ArgsTiles = field(default_factory=ArgsTiles)
    versions: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class _Args:
    """The form of ``args.yaml``, whose other lines are the recipe's fields."""

    run: _Circumstances = field(default_factory=_Circumstances)


_ARGS = TypeAdapter(_Args)


@dataclass(frozen=True)
class RunArgs:
    """How a run was made.

    ``recipe`` are its fields as they were written, which may be of another version. ``data`` is where its tiles were; ``init_from``
    whose weights it began with, empty when from scratch and ``None`` when that was not noted; ``versions`` what it was made with.
    """

    recipe: Mapping[str, object]
    data: str
    init_from: str | None
    tiles: ArgsTiles
    versions: Mapping[str, object]


def read_args(run: Path) -> RunArgs | None:
    """What ``args.yaml`` holds; ``None`` when it is not there. ``ConfigError`` when it is not of that form."""
    path = run / "args.yaml"
    if not path.is_file():
        return None
    values = read_yaml(path)
    try:
        told = _ARGS.validate_python(values).run
        _require_finite(values)
    except ValidationError as error:
        raise ConfigError(f"{path}: is not what `orthoforge train` writes: {problems(error)}.") from error
    except ValueError as error:
        raise ConfigError(f"{path}: is not what `orthoforge train` writes: {error}.") from error
    recipe = {name: value for name, value in values.items() if name != "run"}
    init_from = told.init_from or ("" if "init_from" in values.get("run", {}) else None)
    return RunArgs(recipe, told.data, init_from, told.tiles, told.versions)


def _require_finite(values: object, name: str = "") -> None:
    """``ValueError`` for NaN or infinity anywhere in plain values."""
    if isinstance(values, float) and not math.isfinite(values):
        raise ValueError(f"{name} is {values}")
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in items:
        _require_finite(value, f"{name}.{key}".lstrip("."))


def read_results(run: Path) -> list[dict[str, float]]:
    """Rows of ``results.csv``, one an epoch; a last line that was cut short is left out, and so are a row's empty cells.

    ``CheckpointError`` for a file that cannot be read, or a line that is none of numbers.
    """
    path = run / "results.csv"
    if not path.is_file():
        return []
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = csv.DictReader(file)
            return [_numbers(row, f"{path}: line {lines.line_num}") for row in lines if None not in row.values()]
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}).") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: is no table in CSV ({error}). Put the file back.") from error


def _numbers(row: Mapping[str | None, Any], where: str) -> dict[str, float]:
    numbers = {}
    for name, text in row.items():
        if name is None:
            raise CheckpointError(f"{where}: has more cells than the first line has names. Put the file back.")
        try:
            number = float(text) if text else None
        except ValueError:
            number = math.nan
        if number is not None and math.isnan(number):
            raise CheckpointError(f"{where}: {name:.40} is {shown(text)}, which is no number. Put the file back.")
        if number is not None:
            numbers[name] = number
    if "epoch" not in numbers:
        raise CheckpointError(f"{where}: names no epoch. Put the file back.")
    for name in ("epoch", *TIMING_COLUMNS):
        if not 0 <= numbers.get(name, 0.0) <= _MOST:
            raise CheckpointError(f"{where}: {name} is {numbers[name]:g}, which cannot be. Put the file back.")
    return numbers


def append_result(run: Path, row: Mapping[str, float]) -> None:
    """Add one epoch to ``results.csv``. The file is replaced whole, so it never holds half a row."""
    rows = [*read_results(run), dict(row)]
    _write_results(run, rows, list(dict.fromkeys(name for each in rows for name in each)))


def truncate_results(run: Path, epochs: int) -> None:
    """Keep the first ``epochs`` rows: what came after the checkpoint will be computed again."""
    rows = read_results(run)
    if len(rows) < epochs:
        raise CheckpointError(
            f"{run / 'results.csv'}: has {len(rows)} rows, the checkpoint is {epochs} epochs old. Put the file back."
        )
    if rows:
        _write_results(run, rows[:epochs], list(rows[0]))


def _write_results(run: Path, rows: Sequence[Mapping[str, float]], columns: Sequence[str]) -> None:
    with (
        new_file(run / "results.csv", overwrite=True) as partial,
        open(partial, "w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for row in rows:
            writer.writerow({key: f"{value:.0f}" if key in ("epoch", "step") else repr(value) for key, value in row.items()})


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


def plot_groups(columns: Iterable[str]) -> list[list[str]]:
    """The columns of ``results.csv`` by plot: those of one unit and size together."""
    groups = (
        ("loss_d", "loss_g_gan", "loss_d_penalty"), ("loss_g_l1", "loss_g_perceptual"), ("psnr", "psnr_seed"), ("ssim",),
        ("perceptual",), ("kernel_x1000",), ("detail", "outlines"), ("learning_rate", "learning_rate_d"), ("images_per_s",),
    )  # fmt: skip
    present = set(columns)
    return [[name for name in group if name in present] for group in groups if present & set(group)]


def plot_results(run: Path) -> None:
    """``results.png``: losses, validation scores and rate over epochs."""
    from matplotlib.figure import Figure

    rows = read_results(run)
    if not rows:
        return
    plots = plot_groups(rows[0])
    figure = Figure(figsize=(12, 3 * -(-len(plots) // 3)), layout="constrained")
    all_axes = figure.subplots(-(-len(plots) // 3), 3, squeeze=False).flat
    for axes, names in itertools.zip_longest(all_axes, plots):
        if names is None:
            axes.set_axis_off()
            continue
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
