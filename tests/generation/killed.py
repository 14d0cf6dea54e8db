"""Scenes killed while they are made: ``python killed.py RUN MASK REFERENCE FOLDER KILLS SEED`` prints what became of them as JSON.

A child is forked for every attempt, killed after a random time, and started again, until an attempt ends by itself. Kills go on
over new scenes until there were enough. This process imports everything and computes nothing, so that its children may.
"""

import contextlib
import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import torch

from orthoforge.errors import DataError
from orthoforge.generation import blocks, generate, scene
from orthoforge.geo.rasters import open_raster, read_image

scene.BLOCK_BYTES = 1.0  # the smallest blocks there are
torch.set_num_threads(1)


def attempt(run: Path, mask: Path, out: Path, made: Path) -> None:
    """Generate in this process, noting every block made; never returns."""
    write = blocks._write

    def noting(*arguments: object) -> None:
        write(*arguments)
        with open(made, "a") as file:
            file.write(".")

    blocks._write = noting
    try:
        generate(run, [mask], out, overlap=8)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def pixels(path: Path) -> np.ndarray | None:
    """An image's pixels; ``None`` where there is no file."""
    if not path.exists():
        return None
    with open_raster(path) as raster:
        return read_image(raster)


def main() -> None:
    """Kill, look, start again."""
    run, mask, reference, folder = map(Path, sys.argv[1:5])
    kills, draw = int(sys.argv[5]), random.Random(int(sys.argv[6]))
    found = {"kills": 0, "scenes": 0, "false_complete": 0, "different": 0, "leftovers": 0, "blocks": [], "seconds": 0.0}
    expected, seconds = None, 1.0
    while found["kills"] < kills or expected is None:
        out, made = folder / f"scene{found['scenes']}.tif", folder / f"made{found['scenes']}"
        killed = 0
        while True:
            began_at = time.monotonic()
            child = os.fork()
            if not child:
                attempt(run, mask, out, made)
            if expected is not None and killed < 4 and found["kills"] < kills:
                time.sleep(draw.uniform(0.0, 1.0) * seconds)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            if os.waitstatus_to_exitcode(status) == 0:
                break
            assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "the attempt failed"
            killed += 1
            found["kills"] += 1
            try:
                there = pixels(out)
            except DataError:
                there = np.zeros(0)
            found["false_complete"] += there is not None and not np.array_equal(there, expected)
            if there is not None and not blocks.is_left(out):
                break  # killed when all was done: a finished scene is not made again
        if expected is None:
            expected, seconds = pixels(reference), time.monotonic() - began_at
            found["seconds"] = seconds
        found["different"] += not np.array_equal(pixels(out), expected)
        found["leftovers"] += len([path for path in folder.iterdir() if path.name.startswith(".")])
        found["blocks"].append(made.stat().st_size)
        found["scenes"] += 1
    print(json.dumps(found))


if __name__ == "__main__":
    main()
