"""A few labelled tiles of a place, and weights that know other places: what their images bring beside these tiles.

    python -m bench.proof.few_labels DATA STATE [--hours 2] [--seeds 3] [--tiles 6] [--places rf_arid ...] [--arms ...]
    python -m bench.proof.few_labels DATA STATE --hours 0    what is finished into bench/results/proof.json and docs/utility.md

The segmenter has six real tiles of a place that the weights never saw. Beside them, one for one, it is given images that
``orthoforge-material`` makes of the masks and the material of its own four places, in the histograms of the six: what ``utility
--other-places`` does. What costs nothing are the six tiles alone, in four ways. A further arm takes real tiles of those four places
in the same histograms: who has such tiles needs no generator. The last arm is the generator's without its network: the canvases as
they are, and is compared with the generator's alone. Seed 0 of two places chose the arm, so seeds begin with 1. Places,
tiles, seeds, ratio and steps were fixed before their first training. Called again, it goes on where it was.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from bench.proof.arms import Tiles, finished, run_arms, trained
from bench.proof.new_place import TARGETS, labelled_tiles
from bench.proof.places import PLACES, tiles_of
from bench.proof.rows import Row, keep, rows_of_few_labels, rows_of_two
from bench.proof.settings import STEPS
from bench.proof.table import RESULTS, write_table
from bench.proof.unlabelled import as_tiles, pairs_of, with_histograms
from orthoforge.measures.segmenter.augmentation import Augmentation
from orthoforge.measures.segmenter.segmentation import Segmenter
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import load_generator
from orthoforge.usefulness.design import Arm, real_subset
from orthoforge.usefulness.other_places import tiles_of_other_places
from orthoforge.usefulness.synthetic_tiles import MOST_TILES

FEW = (6, 22)
FIRST_SEED = 1


@dataclass(frozen=True)
class Case:
    """A place, its few tiles by a seed, and the labelled tiles of other places; what is made is kept in ``folder``."""

    labelled: TileStore
    target: TileStore
    place: str
    folder: Path
    tiles: int
    seed: int

    @cached_property
    def own(self) -> Tiles:
        """The few tiles."""
        train = self.target.ids("train")
        return self.target, real_subset(self.target.rows, train, fraction=self.tiles / len(train), seed=self.seed)

    def trained(self, arm: Arm, other: Tiles | None = None, augmentation: Augmentation = "flips") -> Segmenter:
        """A segmenter of the few tiles, with ``other`` ones as its arm says."""
        return trained(arm, self.own, other or self.own, seed=self.seed, augmentation=augmentation)

    @cached_property
    def of_other_places(self) -> Tiles:
        """Real tiles of the four places, in the histograms of the few."""
        source = pairs_of(self.labelled, self.labelled.ids("train"))
        matched = with_histograms(source, pairs_of(*self.own), self.seed)
        store = as_tiles(matched, self.folder / f"matched-{self.seed}", place=self.place)
        return store, store.ids("train")

    def generated(self, refinement: float) -> Tiles:
        """Images of the weights' own masks and material, in the histograms of the few."""
        generator = load_generator("orthoforge-material").with_refinement(refinement)
        store = tiles_of_other_places(generator, *self.own, self.folder / "generated", most=MOST_TILES, seed=self.seed)
        return store, np.arange(len(store.rows))


FREE: Mapping[str, Callable[[Case], Segmenter]] = {
    "real": lambda case: case.trained(Arm("flips")),
    "real, no flips": lambda case: case.trained(Arm("no flips")),
    "real, copy-paste": lambda case: case.trained(Arm("copy-paste")),
    "real, strong augmentation": lambda case: case.trained(Arm("strong")),
}
"""What costs nothing."""
OTHER_PLACES, GENERATED = "real + real tiles of other places 1:1", "real + synthetic 1:1, other places"
COMPOSED = f"{GENERATED}, refinement 0"
ARMS: Mapping[str, Callable[[Case], Segmenter]] = {
    **FREE,
    OTHER_PLACES: lambda case: case.trained(Arm("mixed", 1.0), case.of_other_places),
    GENERATED: lambda case: case.trained(Arm("mixed", 1.0), case.generated(1.0)),
}
BOTH_WAYS: Mapping[str, Callable[[Case], Segmenter]] = {
    GENERATED: ARMS[GENERATED],
    COMPOSED: lambda case: case.trained(Arm("mixed", 1.0), case.generated(0.0)),
}
"""With the network and without it."""


def main() -> None:
    """Train, and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("state", type=Path)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tiles", type=int, default=FEW[0], help="that the segmenter has of its place")
    parser.add_argument("--places", nargs="+", default=list(TARGETS))
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=[*ARMS, COMPOSED], help="that are trained now")
    options = parser.parse_args()
    if options.hours:
        ends_at = time.monotonic() + 3600 * options.hours
        cases = _cases(options.data, options.state, options.places, options.tiles, options.seeds)
        run_arms(cases, {arm: {**ARMS, **BOTH_WAYS}[arm] for arm in options.arms}, ends_at)
        return
    keep([row for tiles in FEW for row in collect(tiles, options.data, options.state)], RESULTS)
    write_table()


def _runs(state: Path, tiles: int) -> Path:
    return state / "few-labels" / str(tiles)


def _cases(data: Path, state: Path, places: list[str], tiles: int, seeds: int) -> Iterator[Case]:
    labelled, runs = labelled_tiles(data, state), _runs(state, tiles)
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        for place in places:
            yield Case(labelled, tiles_of(PLACES[place], data, state / "places"), place, runs / place, tiles, seed)


def collect(tiles: int, data: Path, state: Path) -> list[Row]:
    """The rows of the places of which all arms are there, with the seeds that all of them have."""
    complete, tested = finished(_runs(state, tiles), list(ARMS), data, state)
    sha256 = load_generator("orthoforge-material").sha256
    rows = rows_of_few_labels(
        complete, tested, free=list(FREE), other=OTHER_PLACES, generated=GENERATED, weights=sha256, tiles=tiles, steps=STEPS
    )
    both, tested = finished(_runs(state, tiles), list(BOTH_WAYS), data, state)
    return rows + rows_of_two(
        both, tested, one=COMPOSED, other=GENERATED, setting="with the network or without", weights=sha256, tiles=tiles, steps=STEPS
    )


if __name__ == "__main__":
    main()
