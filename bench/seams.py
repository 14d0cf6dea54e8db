"""How well pieces of ground meet: what differs along the cuts between them, in levels, with and without pieces that go on.

    python -m bench.seams [--weights orthoforge-material] [--seeds 3]

Open ground of 700 px without a building, of each place of the weights. "Without" is what the pieces would be if every patch were
chosen by itself. A cut is seen where the two sides differ by more than 20 levels.
"""

import argparse
from unittest import mock

import numpy as np

from orthoforge.geo.grid import Window
from orthoforge.material import cuts, pieces, seams
from orthoforge.material.ground import Quilt
from orthoforge.material.library import Library
from orthoforge.material.pieces import Wanted
from orthoforge.trained_generator import load_generator

SIDE_PX, SEEN_LEVELS = 700, 20.0


def main() -> None:
    """Lay the ground, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="orthoforge-material")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    library = load_generator(options.weights).library
    assert library is not None, "weights without material lay no ground"
    print("| place | levels along cuts: without, with | share of cuts above 20 levels: without, with |\n|---|---|---|")
    for place, name in enumerate(library.place_names):
        with mock.patch.object(pieces, "_MISFIT_LEVELS", 1e9):
            alone = along_cuts(library, place, options.seeds)
        now = along_cuts(library, place, options.seeds)
        seen = [float((levels > SEEN_LEVELS).mean()) for levels in (alone, now)]
        print(f"| {name} | {alone.mean():.1f}, {now.mean():.1f} | {seen[0]:.3f}, {seen[1]:.3f} |", flush=True)


def along_cuts(library: Library, place: int, seeds: int) -> np.ndarray:
    """By how many levels both sides differ, at each pixel of each cut."""
    found: list[np.ndarray] = []

    def spied(cost: np.ndarray, **ends: int | None) -> np.ndarray:
        cut = cuts.least_cut(cost, **ends)
        squares = cost[np.arange(len(cut)), cut] - seams._STEP
        found.append(np.sqrt(np.maximum(squares, 0) / library.bands))
        return cut

    with mock.patch.object(seams, "least_cut", spied):
        for seed in range(seeds):
            Quilt(library, library.of_place(place), seed, _anything).lay(Window(0, 0, SIDE_PX, SIDE_PX))
    return np.concatenate(found)


def _anything(window: Window) -> Wanted:
    shape = window.height, window.width
    return Wanted(np.zeros(shape, np.int16), np.ones(shape, bool))


if __name__ == "__main__":
    main()
