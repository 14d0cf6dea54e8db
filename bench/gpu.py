"""How fast a GPU trains: ``baseline`` at 256 px beside plain eager PyTorch, and ``orthoforge-m`` at 128 px, in several settings.

    python -m bench.gpu [--minutes 12] [--out gpu.json] [--only compile] [--device cuda] [--tiny]

Each setting is a process of its own, which ends, or is ended, within its share of the minutes; a compiled one has three shares.
Crops a second of steps alone, whose batches lie ready, and as ``train`` does them, cut beside the steps. A table on the standard
error, JSON on the standard output or in ``--out``. Goals: ``baseline`` 600 images/s and 4 times plain eager, ``orthoforge-m`` 2 000
crops/s, on an H100 or H200. ``--device cpu --tiny`` tries the script where there is no GPU; its figures say nothing.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import small_store
from bench.training import plain_step
from orthoforge.config import load_recipe
from orthoforge.devices import device_words
from orthoforge.tiles.store import Batch, TileStore, crop_batch
from orthoforge.training.batches import ahead, epoch_batches, to_tensors
from orthoforge.training.hardware import arithmetic_of, new_fabric, require_compiler
from orthoforge.training.progress import Progress
from orthoforge.training.state import TrainingState
from orthoforge.training.step import read_figures, train_step
from orthoforge.training.training import Training

TILE_PX, KEPT_BATCHES, CROPS_PER_TILE = 288, 3, 10_000
HERE = Path(__file__).resolve().parents[1]
WARM_UP_STEPS, STEPS_A_READING = 3, 10
SHARES_OF_COMPILATION = 3
CROPS_PX = {"baseline": 256, "orthoforge-m": 128}
GOALS = {"baseline": 600.0, "orthoforge-m": 2000.0}
TIMES_EAGER = 4.0
Step = Callable[[], object]


@dataclass(frozen=True)
class Setting:
    """What is measured."""

    recipe: str
    precision: str
    batch_size: int
    compile: bool = False
    is_plain: bool = False
    """As a tutorial would write it: the default layout of memory, no autocast, PyTorch's own switches."""
    is_tiny: bool = False

    @property
    def name(self) -> str:
        how = "plain eager" if self.is_plain else f"{self.precision}{', compiled' * self.compile}"
        return f"{self.recipe}, {how}, batch {self.batch_size}"

    @property
    def shares(self) -> int:
        return SHARES_OF_COMPILATION if self.compile else 1

    def recipe_fields(self) -> dict[str, Any]:
        small = {"generator_width": 2, "discriminator_width": 2} if self.is_tiny else {}
        crop_px = 64 if self.is_tiny else CROPS_PX[self.recipe]
        fields = {"crop_px": crop_px, "batch_size": self.batch_size, "precision": self.precision, "compile": self.compile}
        return small | fields | {"crops_per_tile": CROPS_PER_TILE}  # an epoch that does not end


SETTINGS = (
    Setting("baseline", "float32", 16, is_plain=True),
    Setting("baseline", "float32", 16),
    Setting("baseline", "tf32", 16),
    Setting("baseline", "bf16", 16),
    Setting("baseline", "bf16", 64),
    Setting("baseline", "bf16", 16, compile=True),
    Setting("baseline", "bf16", 64, compile=True),
    Setting("orthoforge-m", "tf32", 64),
    Setting("orthoforge-m", "bf16", 16),
    Setting("orthoforge-m", "bf16", 64),
    Setting("orthoforge-m", "bf16", 256),
    Setting("orthoforge-m", "bf16", 256, compile=True),
)


def measured(setting: Setting, tiles: Path, device: str, seconds: float) -> dict[str, Any]:
    """Crops a second of a setting, by half of ``seconds`` for each way, its first steps and the most memory that they took."""
    store, began = TileStore.open(tiles), time.perf_counter()
    recipe = load_recipe(setting.recipe, **setting.recipe_fields())
    if setting.is_plain:
        step = _plain(setting, store, device)
        for _ in range(WARM_UP_STEPS):
            step()
        _wait(device)
        first_s = time.perf_counter() - began
        rates = {"crops_per_s": _rate(setting.batch_size, itertools.repeat(step), lambda: _wait(device), seconds)}
    else:
        fabric = new_fabric(recipe, device)
        if recipe.compile:
            require_compiler(fabric.device)
        training = Training(fabric, recipe, store, TrainingState(fabric, recipe, store), Path("run"))
        with arithmetic_of(recipe):
            batches = list(itertools.islice(epoch_batches(training), KEPT_BATCHES))
            for batch in itertools.islice(itertools.cycle(batches), WARM_UP_STEPS):
                train_step(training, batch)
            read_figures(training)
            first_s = time.perf_counter() - began
            training.state.progress = Progress()
            kept, cut = itertools.cycle(batches), (batch for batch, _ in ahead(epoch_batches(training)))
            rates = {
                name: _rate(setting.batch_size, _steps(training, given), lambda: read_figures(training), seconds / 2)
                for name, given in (("crops_per_s", kept), ("with_cutting", cut))
            }
    memory = torch.cuda.max_memory_allocated() / 1e9 if device.startswith("cuda") else None
    return rates | {"first_steps_s": first_s, "memory_gb": memory}


def _rate(batch_size: int, steps: Iterator[Step], wait: Step, seconds: float) -> float:
    """Crops a second: the median over readings of some steps each, for so many seconds, one reading at least."""
    rates: list[float] = []
    ends = time.perf_counter() + seconds
    while not rates or time.perf_counter() < ends:
        began = time.perf_counter()
        for step in itertools.islice(steps, STEPS_A_READING):
            step()
        wait()
        rates.append(STEPS_A_READING * batch_size / (time.perf_counter() - began))
    return statistics.median(rates)


def _steps(training: Training, batches: Iterator[Batch]) -> Iterator[Step]:
    for batch in batches:
        yield lambda batch=batch: train_step(training, batch)  # type: ignore[misc]


def _plain(setting: Setting, store: TileStore, device: str) -> Step:
    recipe = load_recipe(setting.recipe, **setting.recipe_fields())
    ids = np.resize(store.ids("train"), recipe.batch_size)
    keys = [(0, position) for position in range(recipe.batch_size)]
    batch = crop_batch(store, ids, crop_px=recipe.crop_px, flips=recipe.flips, keys=keys)
    condition, real = (tensor.contiguous() for tensor in to_tensors(batch, store, torch.device(device)))
    step = plain_step(recipe.generator_width, device)
    return lambda: step(condition, real)


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def in_child(setting: Setting, tiles: Path, device: str, seconds: float) -> dict[str, Any]:
    """``measured`` in a process of its own, for a third of ``seconds``; why not, where it fails or takes longer."""
    words = json.dumps({"setting": asdict(setting), "tiles": str(tiles), "device": device, "seconds": seconds / 3})
    command = [sys.executable, "-m", "bench.gpu", "--one", words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, cwd=HERE)
    except subprocess.TimeoutExpired:
        return {"failed": f"no figure within its {seconds:.0f} s"}
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["ended without a word"])[-1][:300]}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def goals(results: dict[Setting, dict[str, Any]]) -> list[str]:
    """What was reached of the goals, in words."""
    lines = []
    plain = [found["crops_per_s"] for setting, found in results.items() if setting.is_plain and "crops_per_s" in found]
    for recipe, goal in GOALS.items():
        ours = {
            setting: found["crops_per_s"]
            for setting, found in results.items()
            if setting.recipe == recipe and not setting.is_plain and "crops_per_s" in found
        }
        if not ours:
            lines.append(f"{recipe}: no figure")
            continue
        best = max(ours, key=lambda setting: ours[setting])
        line = f"{best.name}: {ours[best]:.0f} crops/s at {CROPS_PX[recipe]} px (goal {goal:.0f})"
        if recipe == "baseline" and plain:
            line += f", {ours[best] / plain[0]:.1f} times plain eager (goal {TIMES_EAGER:.0f})"
        lines.append(line)
    return lines


def table(results: dict[Setting, dict[str, Any]]) -> list[str]:
    """A line for each setting."""
    lines = [f"{'':42} {'crops/s':>9} {'as train':>9} {'first s':>8} {'GB':>6}"]
    for setting, found in results.items():
        if "failed" in found:
            lines.append(f"{setting.name:42} {found['failed']}")
            continue
        values = (found["crops_per_s"], found.get("with_cutting"), found["first_steps_s"], found["memory_gb"])
        shown = ("-" if value is None else f"{value:.1f}" for value in values)
        lines.append("{:42} {:>9} {:>9} {:>8} {:>6}".format(setting.name, *shown))
    return lines


def main(argv: list[str] | None = None) -> int:
    """Measure and print; 1 where no setting gave a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=12.0, help="for everything")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", default="", help="settings whose names have these words")
    parser.add_argument("--out", type=Path, help="where to write the JSON; on the standard output when left out")
    parser.add_argument("--tiny", action="store_true", help="networks of two channels on 64 px, batches of 2")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.one:
        given = json.loads(options.one)
        found = measured(Setting(**given["setting"]), Path(given["tiles"]), given["device"], given["seconds"])
        print(json.dumps(found))
        return 0
    settings = [setting for setting in SETTINGS if options.only in setting.name]
    if options.tiny:
        settings = list(dict.fromkeys(replace(setting, batch_size=2, is_tiny=True) for setting in settings))
    ends, results = time.monotonic() + 60 * options.minutes, dict[Setting, dict[str, Any]]()
    with tempfile.TemporaryDirectory() as folder:
        tiles = small_store(Path(folder), size_px=TILE_PX).path
        for number, setting in enumerate(settings):
            shares = sum(each.shares for each in settings[number:])  # what one leaves over, the others share
            results[setting] = in_child(setting, tiles, options.device, (ends - time.monotonic()) * setting.shares / shares)
            print(table({setting: results[setting]})[-1], file=sys.stderr, flush=True)
    report = {
        "device": device_words(options.device),
        "torch": str(torch.__version__),
        "settings": [asdict(setting) | {"name": setting.name} | found for setting, found in results.items()],
        "goals": goals(results),
    }
    print("\n".join([report["device"], *table(results), *report["goals"]]), file=sys.stderr)  # type: ignore[list-item]
    if options.out:
        options.out.write_text(json.dumps(report, indent=1), encoding="utf-8")
    else:
        print(json.dumps(report))
    return 0 if any("crops_per_s" in found for found in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
