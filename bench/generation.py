"""Peak memory of generating a scene in one piece, and a block of one, beside what `TrainedGenerator.memory_bytes` says before.

    python -m bench.generation [--sizes 512 1024 1536]
    python -m bench.generation --parts RUN [--sizes 256 384 768]

The estimate decides which masks are refused, so it must not be lower than the truth. ``--parts`` says how much of the computing for
a window and its margin is left where the window alone is asked for.
"""

import argparse
import itertools
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from bench.serving.arrivals import town
from orthoforge.checkpoint_files import save_checkpoint
from orthoforge.config import Recipe, load_recipe, recipe_values
from orthoforge.networks import new_generator
from orthoforge.trained_generator import load_generator

ROUNDS = 5
TILES = {"fingerprint": "", "size_px": 256, "gsd_m": None, "classes": None, "attribution": "", "places": ["somewhere"]}
NETWORKS = [*itertools.product(("resnet9", "resunet9", "unet256"), ("transposed", "resize")), ("modulated", "resize")]


def untrained_run(folder: Path, recipe: Recipe) -> Path:
    """A run folder whose generator has seen no training."""
    torch.manual_seed(0)
    state = {"recipe": recipe_values(recipe), "progress": {"step": 0}, "tiles": TILES}
    save_checkpoint(folder / "weights" / "last", model=new_generator(recipe, None).state_dict(), train={}, state=state)
    return folder


def measure(run: str, size: int, kind: str) -> None:
    """In a fresh process: generate once; print the growth of the peak, and the estimate, in bytes.

    A block has what it looks at within ``size``, and around that are buildings that it only knows.
    """
    generator = load_generator(run)
    generator(np.zeros((64, 64), np.uint8))
    before = peak_kib()
    if kind == "block":
        inside = slice(generator.reach_px, size - generator.reach_px)
        generator(np.zeros((size, size), np.uint8), part=(inside, inside))
    else:
        generator(np.zeros((size, size), np.uint8))
    print((peak_kib() - before) * 1024, generator.memory_bytes(size, size))


def parts(run: str, sizes: Sequence[int]) -> None:
    """Seconds of computing for windows and their margins, made whole and as parts, by turns; and how far the images differ."""
    generator = load_generator(run)
    for size in sizes:
        inside = slice(generator.reach_px, generator.reach_px + size)
        mask = town(size + 2 * generator.reach_px)
        told = generator.told(mask)
        seconds: dict[str, list[float]] = {"whole": [], "part": []}
        images = {}
        for _ in range(ROUNDS):
            for name, part in (("whole", None), ("part", (inside, inside))):
                began = time.process_time()
                images[name] = generator(mask, part=part, told=None if told is None else told.values)
                seconds[name].append(time.process_time() - began)
        whole, part_s = (statistics.median(found) for found in seconds.values())
        off = np.abs(images["whole"][inside, inside].astype(int) - images["part"]).max()
        print(
            f"{size}²: with its margin {whole:.2f} s of computing, alone {part_s:.2f} s ({part_s / whole:.2f}); {off} levels apart"
        )


def peak_kib() -> int:
    """Peak memory of this process so far; ru_maxrss would begin at the size of the process that started it."""
    found = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1])


def main() -> None:
    """Measure each size and network in a process of its own, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024, 1536])
    parser.add_argument("--networks", nargs="+", default=sorted({name for name, _ in NETWORKS}))
    parser.add_argument("--parts", metavar="RUN", help="how much less work a window is than what lies around it too")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure[0], int(options.measure[1]), options.measure[2])
        return
    if options.parts:
        parts(options.parts, options.sizes)
        return
    print("generating: peak memory and estimate, MB")
    for generator, upsample in [network for network in NETWORKS if network[0] in options.networks]:
        recipe = load_recipe("baseline", generator=generator, upsample=upsample, generator_width=32)
        with tempfile.TemporaryDirectory() as folder:
            run = untrained_run(Path(folder), recipe)
            kinds = ("whole", "block") if generator == "modulated" else ("whole",)  # what others look at is generated, too
            for size, kind in itertools.product(options.sizes, kinds):
                words = [sys.executable, "-m", "bench.generation", "--measure", str(run), str(size), kind]
                peak, estimate = map(int, subprocess.run(words, capture_output=True, text=True, check=True).stdout.split())
                sizes = f"peak {peak / 1e6:6.0f}  estimate {estimate / 1e6:6.0f}  ratio {estimate / peak:.2f}"
                print(f"  {generator:9} {upsample:10} {kind:5} {size}²  {sizes}")


if __name__ == "__main__":
    main()
