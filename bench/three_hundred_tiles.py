"""What the README's path from 300 tiles to images takes here, as the README's table: time, memory and disk of each command.

    OMP_NUM_THREADS=1 python -m bench.three_hundred_tiles               # the whole table: some 15 minutes of a quiet core
    OMP_NUM_THREADS=1 python -m bench.three_hundred_tiles --a-side 2    # 12 pairs: whether it runs, in some minutes
    python -m bench.three_hundred_tiles --recipes orthoforge-s --side 512 --epochs 30 10

300 simulated pairs of SIDE px at 0.3 m are checked, cut, and trained on with each recipe that the README recommends. Then images
are made by each run, by the weights of the package, and of the pairs' own material without training. Each command is a process.

Processor time is that of one core, so a busy machine changes it little. Time by the clock counts only on a quiet machine; where a
GPU computes, it is the one that counts. Two short trainings differ in their steps alone. That tells what a step takes. The time of
the whole training is an estimate, and marked as one: its steps times the seconds of a step. Where a recipe has material, its
canvases are composed before the first step; their time is in both short trainings, and named once.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from orthoforge.config import load_recipe
from orthoforge.devices import chosen_device, device_words
from orthoforge.geo.cog import write_geotiff
from orthoforge.geo.grid import Grid, Window
from orthoforge.pretrained import bundled_names
from orthoforge.scenes.simulate import PLACES, render_scene
from orthoforge.tiles.cutting import cut_by_gsd
from orthoforge.tiles.store import TileStore

RECIPES = ("orthoforge-xs", "orthoforge-s", "orthoforge-material")
LEAST_STEPS = 8  # that the longer of two short trainings has more, so that they tell what a step takes
SIDES = (256, 512, 1024)  # of pairs, whose tiles are counted
TOWNS, TILES_A_SIDE, GSD_M, SIZE_PX = ("arden", "salvora", "portwick"), 10, 0.3, 224


@dataclass(frozen=True)
class Took:
    """What one command took."""

    seconds: float
    """Of one core."""
    clock_s: float
    memory_gb: float


@dataclass(frozen=True)
class Row:
    """A row of the table: ``time`` is what is said of processor and clock."""

    step: str
    time: str
    memory_gb: float
    disk_mb: float

    def __str__(self) -> str:
        disk = f"{self.disk_mb:.0f} MB" if self.disk_mb >= 1 else "below 1 MB"
        return f"| {self.step} | {self.time} | {self.memory_gb:.1f} GB | {disk} |"


def main() -> None:
    """Make the pairs, run the commands, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    parser.add_argument("--side", type=int, default=256, help="of the pairs, in pixels")
    parser.add_argument("--a-side", type=int, default=TILES_A_SIDE, help="pairs along a side of each of three towns: 10 make 300")
    parser.add_argument("--epochs", type=int, nargs=2, default=(30, 10), help="at constant and at falling rate")
    options = parser.parse_args()
    device = device_words(chosen_device("auto"))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {os.cpu_count()} processors, {device}")
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        pairs, tiles = folder / "pairs", folder / "tiles"
        _make_pairs(pairs, options.side, options.a_side)
        rows = [_row("`check`", _run("check", pairs), pairs)]
        prepared = _run("prepare", pairs, tiles, "--gsd", GSD_M, "--size", SIZE_PX)
        rows.append(_row("`prepare`", prepared, tiles))
        store = TileStore.open(tiles)
        train = len(store.ids("train"))
        print(f"{len(store.rows)} tiles of {store.size_px} px, of which {train} train")
        for side in SIDES:
            cut = cut_by_gsd("pair", Grid(side, side).with_pixel_size(GSD_M), GSD_M, SIZE_PX)
            print(f"300 pairs of {side} px give {300 * cut.rows * cut.cols if cut else 0} tiles")
        for recipe in options.recipes:
            rows += _rows_of_recipe(recipe, folder, train, sum(options.epochs))
        rows += _rows_without_training(folder)
    print(f"\n| {3 * options.a_side**2} pairs of {options.side} px | Processor time of one core (by the clock) | Memory | Disk |")
    print("|---|---|---|---|", *rows, sep="\n")


def _rows_of_recipe(name: str, folder: Path, tiles: int, epochs: int) -> list[Row]:
    """Train twice, shortly, and make an image: what a step, the whole training and an image take."""
    recipe, run = load_recipe(name), folder / f"{name}1"
    more_crops = 1 + math.ceil(LEAST_STEPS * recipe.batch_size / tiles)  # 2 of 300 tiles
    short, long = (_train(name, folder, crops) for crops in (1, more_crops))
    steps = [math.ceil(tiles * crops / recipe.batch_size) for crops in (1, more_crops, recipe.crops_per_tile)]
    more = max(1, steps[1] - steps[0])
    step_s, clock_s = max(0.0, long.seconds - short.seconds) / more, max(0.0, long.clock_s - short.clock_s) / more
    before_s = max(0.0, short.seconds - steps[0] * step_s)
    count, own = steps[2] * epochs, steps[2] * recipe.total_epochs
    print(
        f"{name}: 1 epoch of 1 crop a tile: {_times(short.seconds, short.clock_s)}; a step of {recipe.batch_size} crops of "
        f"{recipe.crop_px} px: {step_s:.2f} s ({clock_s:.2f} s); before the first: {before_s:.0f} s; the recipe's own length: "
        f"{recipe.total_epochs} epochs, {_times(own * step_s, own * clock_s)}",
        flush=True,
    )
    whole = _times(before_s + count * step_s, before_s + count * clock_s)
    told = f"about {whole} (estimated: {count} steps of {step_s:.2f} s, without validation)"
    trained = Row(f"`train {name}`, {epochs} epochs", told, max(short.memory_gb, long.memory_gb), _mb(run))
    image = folder / f"{name}.tif"
    made = _row(f"`generate`, one mask of 512 px, a run of `{name}`", _run("generate", run, "example", "--out", image), image)
    return [trained, made]


def _rows_without_training(folder: Path) -> list[Row]:
    """Images by the weights of the package, and of the pairs' own material."""
    rows = []
    for name in sorted(bundled_names()):
        image = folder / f"bundled-{name}.tif"
        rows.append(_row(f"`generate {name}`, the same mask", _run("generate", name, "example", "--out", image), image))
    own = folder / "own.tif"
    words = ("generate", "orthoforge-material", "example", "--out", own, "--material-from", folder / "tiles")
    return [*rows, _row("`generate orthoforge-material --material-from tiles`, the same mask", _run(*words), own)]


def _make_pairs(out: Path, side_px: int, a_side: int) -> None:
    for name in TOWNS:
        side = a_side * side_px
        town = render_scene(PLACES[name], seed=0, height_px=side, width_px=side, gsd_m=GSD_M)
        for index in range(a_side**2):
            row, col = (side_px * place for place in divmod(index, a_side))
            part = slice(row, row + side_px), slice(col, col + side_px)
            grid = town.grid.window(Window(row, col, side_px, side_px))
            write_geotiff(out / "images" / f"{name}{index + 1}.tif", town.image[part], grid)
            write_geotiff(out / "masks" / f"{name}{index + 1}.tif", town.mask[part], grid)


def _train(recipe: str, folder: Path, crops: int) -> Took:
    words = ["--epochs", 1, "--decay-epochs", 0, "--crops-per-tile", crops]
    return _run("train", recipe, "--data", folder / "tiles", "--out", folder / f"{recipe}{crops}", *words)


def _run(*words: object) -> Took:
    command = [sys.executable, "-m", "orthoforge.cli", *map(str, words)]
    started_at = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return Took(usage.ru_utime + usage.ru_stime, time.monotonic() - started_at, usage.ru_maxrss / 1e6)


def _row(step: str, took: Took, written: Path) -> Row:
    row = Row(step, _times(took.seconds, took.clock_s), took.memory_gb, _mb(written))
    print(row, flush=True)
    return row


def _times(seconds: float, clock_s: float) -> str:
    """'6 s (7 s)', '1.8 hours (2.0 hours)'."""
    return f"{_time(seconds)} ({_time(clock_s)})"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def _mb(written: Path) -> float:
    files = [written] if written.is_file() else [path for path in written.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files) / 1e6


if __name__ == "__main__":
    main()
