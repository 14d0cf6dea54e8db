"""What the training tests share: a few small tiles, a tiny recipe, and trainings in children that can be killed."""

import contextlib
import csv
import json
import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from conftest import make_dataset
from orthoforge.config import Recipe, load_recipe, recipe_values
from orthoforge.plain_yaml import dump_yaml
from orthoforge.run_files import TIMING_COLUMNS
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore
from orthoforge.training.hardware import new_fabric
from orthoforge.training.state import TrainingState
from orthoforge.training.training import Training
from warm_python import WarmPython

torch.set_num_threads(1)  # with more, tiny networks wait for each other's threads


def make_tiles(root: Path, names: tuple[str, ...] = ("town1", "town2", "town7"), size: int = 48, **options: Any) -> Path:
    """8 tiles to train on and 4 to validate on, by the digits of the scenes; returns the store's folder."""
    data = make_dataset(root / "data", names, 128)
    prepare(data, root / "tiles", **({"grid": 2, "size": size, "split": "digits", "workers": 1} | options))
    return root / "tiles"


def tiny(**changes: Any) -> Recipe:
    """5 epochs of 3 steps: 8 tiles in batches of 3, the last of 2."""
    values = {
        "name": "tiny", "crop_px": 32, "batch_size": 3, "generator": "resnet6", "generator_width": 2, "discriminator_width": 2,
        "norm": "batch", "flips": "dihedral", "epochs": 3, "decay_epochs": 2, "ema_decay": 0.9, "precision": "float32",
        "learning_rate": 2e-3, "panels_every": 2,
    }  # fmt: skip
    return Recipe(**values | changes)


def in_any_number() -> Recipe:
    """3 epochs of 2 steps that mean the same in one process and in several: no norm over the batch, and nothing drawn at random."""
    return tiny(norm="group", discriminator_norm="group", batch_size=4, epochs=2, decay_epochs=1)


def small_s(**changes: Any) -> Recipe:
    """``orthoforge-s`` of a few channels, for 2 epochs."""
    values = {
        "tiles": "", "crop_px": 32, "generator_width": 2, "discriminator_width": 2, "batch_size": 5, "crops_per_tile": 1,
        "epochs": 1, "decay_epochs": 1, "precision": "float32", "learning_rate": 2e-3, "ema_decay": 0.8, "panels_every": 2,
    }  # fmt: skip
    return load_recipe("orthoforge-s", **values | changes)


def begun(recipe: Recipe, store: TileStore, out: Path = Path("run")) -> Training:
    """A training before its first step; nothing is written yet."""
    fabric = new_fabric(recipe)
    return Training(fabric, recipe, store, TrainingState(fabric, recipe, store), out)


@dataclass
class Trainers:
    """Starts trainings in children of a warm process."""

    python: WarmPython

    def start(self, recipe: Recipe, tiles: Path, out: Path, *args: str, **request: Any) -> "Trainer":
        """``orthoforge train`` with these tiles; ``hooks`` are those of ``child.install_hooks``."""
        path = out.with_name(f"{out.name}.recipe.yaml")
        path.write_text(dump_yaml(recipe_values(recipe)), encoding="utf-8")
        request |= {"args": [str(path), "--data", str(tiles), "--out", str(out), *args]}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        process = self.python.start(Path(__file__).with_name("child.py"), json.dumps(request), **pipes)
        return Trainer(process, self.python.pid(process))

    def run(self, recipe: Recipe, tiles: Path, out: Path, *args: str, **options: Any) -> "Trainer":
        """``start`` and wait for the end."""
        trainer = self.start(recipe, tiles, out, *args, **options)
        trainer.wait()
        return trainer


@dataclass
class Trainer:
    """A training in a child."""

    process: subprocess.Popen[str]
    pid: int
    lines: list[str] = field(default_factory=list)
    code: int | None = None
    seconds: float = 0.0
    """From the signal to the end."""

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def until(self, words: str) -> str:
        """Read on until a line holds ``words``."""
        for line in self.process.stdout:
            self.lines.append(line)
            if words in line:
                return line
        raise AssertionError(f"the training ended without saying {words!r}:\n{self.text}")

    def signal(self, number: int) -> None:
        """Send a signal, and let a held training go on."""
        self._signalled_at = time.monotonic()
        self._send(number)
        with contextlib.suppress(BrokenPipeError):
            os.write(self.process.stdin.fileno(), b"\n")

    def interrupt(self) -> None:
        """SIGINT, without letting a held training go on."""
        self._send(signal.SIGINT)

    def ended_within(self, seconds: float) -> bool:
        """Whether its output ends in that time."""
        while select.select([self.process.stdout], [], [], seconds)[0]:
            line = self.process.stdout.readline()
            if not line:
                return True
            self.lines.append(line)
        return False

    def kill(self) -> None:
        """SIGKILL, while held."""
        self._send(signal.SIGKILL)
        self.wait()

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            os.kill(self.pid, number)

    def wait(self) -> int:
        """Its exit code."""
        self.lines += self.process.stdout.readlines()
        self.code = self.process.wait()
        self.seconds = time.monotonic() - getattr(self, "_signalled_at", time.monotonic())
        self.process.stdout.close()
        self.process.stdin.close()
        return self.code


def rows(run: Path) -> list[dict[str, str]]:
    """``results.csv`` to the letter, without its timing columns."""
    with open(run / "results.csv", newline="") as file:
        return [{name: text for name, text in row.items() if name not in TIMING_COLUMNS} for row in csv.DictReader(file)]


def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """TensorBoard's scalars (step, value), without timing."""
    events = EventAccumulator(str(run))
    events.Reload()
    names = [name for name in events.Tags()["scalars"] if name.removeprefix("epoch/") not in TIMING_COLUMNS]
    return {name: [(point.step, point.value) for point in events.Scalars(name)] for name in sorted(names)}


def largest_difference(a: Path, b: Path) -> float:
    """Over all tensors of both runs' checkpoints: G, D, EMA and both optimizers."""
    differences = [0.0]
    for weights in ("last", "best"):
        for name in ("model", "train"):
            one, other = (load_file(run / "weights" / weights / f"{name}.safetensors") for run in (a, b))
            assert one.keys() == other.keys()
            differences += [float((one[key].double() - other[key].double()).abs().max()) for key in one]
    return max(differences)


def assert_same_run(run: Path, reference: Path) -> None:
    """Bit-identical weights, rows and curves; the same progress."""
    assert rows(run) == rows(reference)
    assert curves(run) == curves(reference)
    assert largest_difference(run, reference) == 0
    one, other = (json.loads((folder / "weights/last/state.json").read_text()) for folder in (run, reference))
    assert one["progress"] == other["progress"]
    assert one["checksums"] == other["checksums"]


def hidden_leftovers(run: Path) -> list[str]:
    """Temporary files that a killed process left and nobody cleared."""
    return sorted(str(path.relative_to(run)) for path in run.rglob(".*"))
