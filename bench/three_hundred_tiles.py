"""What the README's path from 300 tiles to images takes here: processor time, memory and disk of each command.

    OMP_NUM_THREADS=1 python -m bench.three_hundred_tiles [--recipe orthoforge-s] [--epochs 30 10]

300 simulated pairs of 256 px at 0.3 m are checked, cut, and trained on. Then one image is made. Each command is a process.
Processor time is that of one core, so a busy machine changes it little. Two short trainings differ in their steps alone. That
tells what a step takes. The time of the whole training is an estimate, and marked as one: its steps times the seconds of a step.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from orthoforge.config import load_recipe
from orthoforge.geo.cog import write_geotiff
from orthoforge.geo.grid import Window
from orthoforge.scenes.simulate import PLACES, render_scene
from orthoforge.tiles.store import TileStore

SHORT_CROPS = (1, 3)  # crops a tile of the two short trainings
TOWNS, TILES_A_SIDE, TILE_PX, GSD_M = ("arden", "salvora", "portwick"), 10, 256, 0.3


@dataclass(frozen=True)
class Took:
    """What one command took."""

    seconds: float
    """Of one core."""
    memory_gb: float


def main() -> None:
    """Make the pairs, run the commands, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="orthoforge-s")
    parser.add_argument("--epochs", type=int, nargs=2, default=(30, 10), help="at constant and at falling rate")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        _make_pairs(folder / "pairs")
        _say("check", _run("check", folder / "pairs"), folder / "pairs")
        _say("prepare", _run("prepare", folder / "pairs", folder / "tiles", "--gsd", GSD_M, "--size", 224), folder / "tiles")
        short, long = (_train(options.recipe, folder, crops) for crops in SHORT_CROPS)
        _say("train, 1 epoch of 1 crop a tile", short, folder / f"run{SHORT_CROPS[0]}")
        tiles = TileStore.open(folder / "tiles")
        recipe = load_recipe(options.recipe)
        steps = [math.ceil(len(tiles.ids("train")) * crops / recipe.batch_size) for crops in (*SHORT_CROPS, recipe.crops_per_tile)]
        step_s = (long.seconds - short.seconds) / (steps[1] - steps[0])
        total = steps[2] * sum(options.epochs)
        print(f"a step                           {step_s:7.2f} s")
        hours = step_s * total / 3600
        print(f"train, {sum(options.epochs)} epochs, {total} steps   {hours:6.1f} h  (estimated: steps × seconds of a step)")
        image = folder / "image.tif"
        _say("generate, 512 px", _run("generate", folder / f"run{SHORT_CROPS[0]}", "example", "--out", image), image)


def _make_pairs(out: Path) -> None:
    for name in TOWNS:
        side = TILES_A_SIDE * TILE_PX
        town = render_scene(PLACES[name], seed=0, height_px=side, width_px=side, gsd_m=GSD_M)
        for index in range(TILES_A_SIDE**2):
            row, col = (TILE_PX * place for place in divmod(index, TILES_A_SIDE))
            part = slice(row, row + TILE_PX), slice(col, col + TILE_PX)
            grid = town.grid.window(Window(row, col, TILE_PX, TILE_PX))
            write_geotiff(out / "images" / f"{name}{index + 1}.tif", town.image[part], grid)
            write_geotiff(out / "masks" / f"{name}{index + 1}.tif", town.mask[part], grid)


def _train(recipe: str, folder: Path, crops: int) -> Took:
    words = ["--epochs", 1, "--decay-epochs", 0, "--crops-per-tile", crops]
    return _run("train", recipe, "--data", folder / "tiles", "--out", folder / f"run{crops}", *words)


def _run(*words: object) -> Took:
    command = [sys.executable, "-m", "orthoforge.cli", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return Took(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6)


def _say(name: str, took: Took, written: Path) -> None:
    files = [written] if written.is_file() else [path for path in written.rglob("*") if path.is_file()]
    disk_mb = sum(path.stat().st_size for path in files) / 1e6
    print(f"{name:32} {took.seconds:6.1f} s   {took.memory_gb:4.1f} GB memory   {disk_mb:6.1f} MB on disk", flush=True)


if __name__ == "__main__":
    main()
