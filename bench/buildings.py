"""Finding the buildings of a mask: seconds and peak memory by size, for a dense town that is drawn window by window.

    python -m bench.buildings [--sizes 5000 20000]

Each size runs in a process of its own. The town has a rectangle every 60 × 50 px, a terrace through each tenth row of them, and a
wall that joins a whole quarter.
"""

import argparse
import re
import subprocess
import sys
import time

import numpy as np

from bench.generation import peak_kib
from orthoforge.geo.buildings import Buildings
from orthoforge.geo.grid import Window

WINDOW_PX = 1024  # of the ids that are asked for afterwards, as a scene asks for them


def town(window: Window) -> np.ndarray:
    """Whether there is a building on each pixel of a window of an endless town, by formula."""
    rows, cols = np.arange(window.row, window.row + window.height), np.arange(window.col, window.col + window.width)
    block, house = (rows // 60)[:, None], (cols // 50)[None]
    size = block * 7919 + house * 104729
    high, wide = 15 + size % 25, 15 + size // 25 % 25
    houses = ((rows % 60)[:, None] < high) & ((cols % 50)[None] < wide)
    terrace = (block % 10 == 0) & (rows % 60 < 12)[:, None]
    quarter = (rows % 5000 < 8)[:, None] | ((cols % 2500 < 8)[None] & (rows % 5000 < 1300)[:, None])
    return houses | terrace | quarter


def measure(size: int) -> None:
    """In a fresh process: find the buildings, then ask for the ids of all windows; print counts, seconds and MB."""
    before, began_at = peak_kib(), time.monotonic()
    buildings = Buildings(town, size, size)
    found, peak = time.monotonic() - began_at, peak_kib() - before
    began_at = time.monotonic()
    for row in range(0, size, WINDOW_PX):
        for col in range(0, size, WINDOW_PX):
            buildings.ids(Window(row, col, min(WINDOW_PX, size - row), min(WINDOW_PX, size - col)))
    asked = time.monotonic() - began_at
    print(len(buildings), buildings.area.max(), found, asked, peak * 1.024e-3, (peak_kib() - before) * 1.024e-3)


def main() -> None:
    """Measure each size and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5000, 20000])
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure)
        return
    print("buildings of a dense town, reading included: seconds to find them, and for the ids of all windows; growth of the peak")
    for size in options.sizes:
        words = [sys.executable, "-m", "bench.buildings", "--measure", str(size)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        count, largest, found, asked, peak, later = map(float, re.findall(r"[\d.]+", done.stdout))
        print(
            f"{size:6d}²  {count:8.0f} buildings, the largest of {largest:9.0f} px: {found:6.1f} s, {peak:5.0f} MB; "
            f"ids {asked:6.1f} s, {later:5.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
