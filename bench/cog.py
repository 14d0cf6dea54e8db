"""Peak memory and time of putting a scene of blocks together, and of reading it in windows.

    python -m bench.cog [--sizes 5000 10000 20000] [--compress deflate] [--suffix .tif] [--masked] [--folder /tmp] [--json PATH]
    python -m bench.cog --large    # 47 000² of one repeated block: 2.2 GB of pixels, where BigTIFF begins

Each step runs in a process of its own, whose peak is its largest resident set. The blocks are smooth fields with noise on them.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from orthoforge.geo.cog import COMPRESSIONS, assemble, write_block
from orthoforge.geo.grid import Grid, Window
from orthoforge.geo.rasters import open_raster

BLOCK = 1024
SIZES = (5_000, 10_000, 20_000)
LARGE = 47_000


def windows(size: int, step: int = BLOCK) -> list[Window]:
    """Windows of ``step`` pixels over a square of ``size``."""
    starts = range(0, size, step)
    return [Window(row, col, min(step, size - row), min(step, size - col)) for row in starts for col in starts]


def block_path(folder: Path, window: Window) -> Path:
    return folder / "blocks" / f"{window.row}-{window.col}.tif"


def write_blocks(folder: Path, size: int, masked: bool) -> None:
    rng = np.random.default_rng(0)
    for window in windows(size):
        coarse = rng.integers(40, 200, (window.height // 64 + 1, window.width // 64 + 1, 3), np.uint8)
        pixels = coarse.repeat(64, 0).repeat(64, 1)[: window.height, : window.width]
        pixels = pixels + rng.integers(0, 32, pixels.shape, np.uint8)
        valid = rng.random(pixels.shape[:2]) < 0.9 if masked else None
        write_block(block_path(folder, window), pixels, valid)


def assemble_large(folder: Path, size: int, step_px: int = 1880) -> None:
    block = folder / "blocks" / "block.tif"
    mask = np.random.default_rng(0).integers(0, 2, (20, 20), np.uint8) * np.uint8(255)
    write_block(block, mask.repeat(step_px // 20, 0).repeat(step_px // 20, 1))
    assemble(folder / "scene.tif", dict.fromkeys(windows(size, step_px), block), Grid(size, size))


def read_windows(folder: Path, suffix: str) -> None:
    with open_raster(folder / f"scene{suffix}") as raster:
        for window in windows(raster.grid.width):
            raster.read(window)


def step(name: str, folder: Path, size: int, args: argparse.Namespace) -> dict[str, float]:
    """One step, measured; the interpreter with its imports is the peak of ``nothing``."""
    started = time.perf_counter()
    if name == "blocks":
        write_blocks(folder, size, args.masked)
    elif name == "assemble":
        blocks = {window: block_path(folder, window) for window in windows(size)}
        assemble(folder / f"scene{args.suffix}", blocks, Grid(size, size), compress=args.compress)
    elif name == "large":
        assemble_large(folder, size)
    elif name == "windows":
        read_windows(folder, args.suffix)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"peak_mb": round(peak_mb), "seconds": round(time.perf_counter() - started, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--compress", choices=COMPRESSIONS, default="deflate")
    parser.add_argument("--suffix", default=".tif")
    parser.add_argument("--masked", action="store_true")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        print(json.dumps(step(args.step[0], args.folder, int(args.step[1]), args)))
        return
    options = ["--compress", args.compress, "--suffix", args.suffix, *(["--masked"] if args.masked else [])]
    figures: dict[str, dict[str, object]] = {}
    for size in [LARGE] if args.large else args.sizes:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            figures[str(size)] = {}
            for name in ("nothing", "large") if args.large else ("nothing", "blocks", "assemble", "windows"):
                command = [sys.executable, "-m", "bench.cog", "--step", name, str(size), "--folder", folder, *options]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                figures[str(size)][name] = json.loads(done.stdout)
            written = Path(folder, f"scene{args.suffix}")
            with open(written, "rb") as file:
                head = file.read(4)
            figures[str(size)]["file_mb"] = round(written.stat().st_size / 1e6)
            figures[str(size)]["bigtiff"] = head in (b"II+\0", b"MM\0+")
            print(f"{size}²: {figures[str(size)]}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
