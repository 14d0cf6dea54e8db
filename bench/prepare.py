"""How long `prepare` takes for a scene of Inria's size, beside rasterio alone reading it, and how much memory.

    python bench/prepare.py [--repeats 5] [--json PATH] [--against CHECKOUT]
    python bench/prepare.py --chips 2000 [--repeats 2] [--against CHECKOUT]

Each measurement is a fresh process, all kinds take turns, so a busy machine slows them alike. Time: one scene on one worker, from
the call to a finished store on disk, the second time in a process (the first, which loads PROJ and the like, is printed as well);
CPU seconds besides, as other work on the machine disturbs them less. Memory: the peak of the whole process, imports included, with
two scenes on two workers. ``--against`` names the folder of another version, which takes turns with this one.

With ``--chips``: many pairs of 64 px, on one worker a core, and what it would save if their shards were two files in place of two
each: the same bytes, written and forced onto the medium both ways.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import from_origin

from orthoforge.files import sync

SIDE = 5000
CHIP_PX = 64
RECIPES = {"low": 1, "mid-2x2": 2, "high-5x5": 5}
GOAL_RATIO, GOAL_MB = 1.25, 400
GOAL_CHIPS_A_SECOND = 200

# VmHWM, not ru_maxrss: that one begins at the size of the process that started this one.
# Each prints [[wall seconds, CPU seconds] of the first and the second time, peak MB].
READ = """
import json, re, sys, time
import rasterio
times = []
for _ in range(2):
    wall, cpu = time.perf_counter(), time.process_time()
    for path in sys.argv[1:]:
        with rasterio.open(path) as dataset:
            dataset.read()
    times.append([time.perf_counter() - wall, time.process_time() - cpu])
print(json.dumps([times, int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) / 1024]))
"""
PREPARE = """
import json, re, sys, tempfile, time
from pathlib import Path
from typing import Any
from orthoforge.tiles.prepare import prepare
data, grid, workers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
times = []
with tempfile.TemporaryDirectory(dir=data.parent) as folder:
    for number in range(2):
        wall, cpu = time.perf_counter(), time.process_time()
        prepare(data, Path(folder) / str(number), grid=grid, size=286, workers=workers)
        times.append([time.perf_counter() - wall, time.process_time() - cpu])
print(json.dumps([times, int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) / 1024]))
"""


def write_scene(root: Path, name: str) -> tuple[Path, Path]:
    """A pair as Inria's: 72 MB of uncompressed RGB, and an LZW mask of about a fifth building."""
    rng = np.random.default_rng(0)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for row, col, height, width in zip(*rng.integers(0, SIDE - 120, (2, 2500)), *rng.integers(15, 90, (2, 2500)), strict=True):
        mask[row : row + height, col : col + width] = 255
    noise = rng.integers(60, 140, (500, 500, 3), np.uint8)
    image = np.tile(noise, (SIDE // 500, SIDE // 500, 1)) + (mask[..., None] // 4)
    options = {
        "driver": "GTiff", "height": SIDE, "width": SIDE, "dtype": "uint8", "crs": "EPSG:26914",
        "transform": from_origin(616_500, 3_345_000, 0.3, 0.3),
    }  # fmt: skip
    paths = root / "images" / f"{name}.tif", root / "gt" / f"{name}.tif"
    for path, array, more in zip(paths, (image, mask[..., None]), ({"photometric": "RGB"}, {"compress": "lzw"}), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        with rasterio.open(path, "w", count=array.shape[2], interleave="pixel", **options, **more) as dataset:
            dataset.write(np.moveaxis(array, -1, 0))
    return paths


def write_chips(root: Path, count: int) -> Path:
    """So many pairs of 64 px, side by side on the ground."""
    rng = np.random.default_rng(0)
    options = {"driver": "GTiff", "height": CHIP_PX, "width": CHIP_PX, "dtype": "uint8", "crs": "EPSG:26914"}
    for number in range(count):
        place = from_origin(616_500 + 20 * (number % 50), 3_345_000 - 20 * (number // 50), 0.3, 0.3)
        mask = np.zeros((1, CHIP_PX, CHIP_PX), np.uint8)
        mask[:, 10:40, 20:50] = 255
        image = rng.integers(0, 256, (3, CHIP_PX, CHIP_PX), np.uint8)
        for kind, array in (("images", image), ("masks", mask)):
            path = root / kind / f"town{number}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            with rasterio.open(path, "w", count=len(array), transform=place, **options) as dataset:
                dataset.write(array)
    return root


def show_chips(count: int, repeats: int, against: Path | None) -> None:
    """Print what preparing many small pairs takes beside reading them, and what their many files cost."""
    code = PREPARE.replace("size=286", f"size={CHIP_PX}")
    read: list[list[list[float]]] = []
    made: dict[str, list[list[list[float]]]] = {name: [] for name in ("prepare", *(["before"] if against else []))}
    with tempfile.TemporaryDirectory() as folder:
        chips = write_chips(Path(folder) / "chips", count)
        files = sorted(chips.rglob("*.tif"))
        for _ in range(repeats):
            read.append(measure(READ, *files)[0])
            for name, results in made.items():
                results.append(measure(code, chips, 1, os.cpu_count(), version=against if name == "before" else None)[0])
        apart, together = (min(_writing(Path(folder), count, pieces) for _ in range(repeats)) for pieces in (2 * count, 2))
    reading = np.array(read)[:, 1].min(axis=0)
    print(f"{count} chips of {CHIP_PX} px, rasterio alone: {reading[0]:.1f} s wall, {reading[1]:.1f} s CPU")
    for name, results in made.items():
        wall, cpu = np.array(results)[:, 1].min(axis=0)
        goal = count / GOAL_CHIPS_A_SECOND
        reached = "reached" if wall <= goal else "MISSED"
        times = f"{wall:.1f} s wall, {cpu:.1f} s CPU"
        print(f"{name:8} {times}, {cpu / reading[1]:.2f} of reading by CPU; goal {goal:g} s wall: {reached}")
    print(f"shards as {2 * count} files: {apart:.2f} s wall, as 2 files: {together:.2f} s")


def _writing(folder: Path, chips: int, pieces: int) -> float:
    """Seconds for writing the tiles of so many chips in so many files, and forcing them onto the medium as ``prepare`` does."""
    pixels = np.random.default_rng(0).bytes(4 * CHIP_PX**2 * chips // pieces)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        began_at = time.perf_counter()
        paths = [Path(place) / f"{number}.npy" for number in range(pieces)]
        for path in paths:
            path.with_suffix(".partial").write_bytes(pixels)
            os.replace(path.with_suffix(".partial"), path)
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(sync, paths))
        return time.perf_counter() - began_at


def measure(code: str, *args: object, version: Path | None = None) -> tuple[list[list[float]], float]:
    """What a fresh process prints on its last line, of this version or of that in the folder ``version``."""
    command = [sys.executable, "-c", code, *map(str, args)]
    env = os.environ | ({"PYTHONPATH": str(version.resolve() / "src")} if version else {})
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
    return tuple(json.loads(said.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--chips", type=int, help="of so many pairs of 64 px instead")
    parser.add_argument("--against", type=Path, help="folder of another version of the package, which is measured by turns")
    args = parser.parse_args()
    if args.chips:
        show_chips(args.chips, args.repeats, args.against)
        return
    with tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder) / "one", Path(folder) / "two"
        pair = write_scene(one, "austin1")
        for path, number in ((path, number) for path in pair for number in (1, 2)):
            link = two / path.parent.name / f"austin{number}.tif"
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, link)
        read: list[list[list[float]]] = []
        made: dict[str, list[list[list[float]]]] = {name: [] for name in RECIPES}
        before: dict[str, list[list[list[float]]]] = {name: [] for name in RECIPES}
        peaks: dict[str, float] = {}
        for _ in range(args.repeats):
            read.append(measure(READ, *pair)[0])
            for name, grid in RECIPES.items():
                made[name].append(measure(PREPARE, one, grid, 1)[0])
                if args.against:
                    before[name].append(measure(PREPARE, one, grid, 1, version=args.against)[0])
        for name, grid in RECIPES.items():
            peaks[name] = max(measure(PREPARE, two, grid, 2)[1] for _ in range(2))
    # (repeat, first or second time, wall or CPU)
    reading = np.array(read)
    figures: dict[str, Any] = {"rasterio_read": describe(reading, reading), "recipes": {}}
    print(f"rasterio alone, both files: {reading[:, 1, 0].min():.2f} s wall, {reading[:, 1, 1].min():.2f} s CPU")
    for name, results in made.items():
        found = describe(np.array(results), reading) | {"peak_mb_two_workers": round(peaks[name])}
        figures["recipes"][name] = found
        reached = found["ratio"] <= GOAL_RATIO and peaks[name] < GOAL_MB
        print(
            f"{name:9} {found['wall_s']:.2f} s wall, {found['cpu_s']:.2f} s CPU: {found['ratio']:.2f} of reading (median "
            f"{found['median_ratio']:.2f}, CPU {found['cpu_ratio']:.2f}, first scene of a process {found['first_ratio']:.2f}); "
            f"{peaks[name]:.0f} MB with two workers; goal {GOAL_RATIO} and {GOAL_MB} MB: {'reached' if reached else 'MISSED'}"
        )
        if args.against:
            other = describe(np.array(before[name]), reading)
            times = f"{other['wall_s']:.2f} s wall, {other['cpu_s']:.2f} s CPU"
            print(f"   before {times}: {other['ratio']:.2f} of reading (CPU {other['cpu_ratio']:.2f})")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


def describe(times: np.ndarray, reading: np.ndarray) -> dict[str, float]:
    """Seconds (minima over the repeats) and ratios to reading, of (repeats, 2, 2) times."""
    wall, cpu = times[:, 1].min(axis=0)
    return {
        "wall_s": round(wall, 3), "cpu_s": round(cpu, 3), "ratio": round(wall / reading[:, 1, 0].min(), 2),
        "median_ratio": round(statistics.median(times[:, 1, 0] / reading[:, 1, 0]), 2),
        "cpu_ratio": round(cpu / reading[:, 1, 1].min(), 2), "first_ratio": round(times[:, 0, 0].min() / reading[:, 0, 0].min(), 2),
    }  # fmt: skip


if __name__ == "__main__":
    main()
