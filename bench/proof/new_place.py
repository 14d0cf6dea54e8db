"""A place without labels: what its images are good for, beside labelled tiles of other places.

    python -m bench.proof.new_place DATA STATE [--hours 2] [--seeds 3] [--places rf_arid ...]
    python -m bench.proof.new_place DATA STATE --hours 0    what is finished into bench/results/proof.json and docs/utility.md

The labelled tiles are those of four other places. Each segmenter takes the same number of steps, with strong augmentation; where
tiles of both places are used, half of its crops are of either. Masks of the new place are those that a segmenter of the labelled
tiles sees. What costs nothing is chosen by the validation tiles of the *other* new places, for a place without labels has none.
Called again, it goes on where it was. Places, tiles, seeds and steps were fixed before the first training. The two arms that begin
with histogram matching were added when the first seed of two places had shown it to be best.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.proof.arms import Tiles, finished, run_arms, trained
from bench.proof.places import GSD_M, PLACES, tiles_of
from bench.proof.rows import Row, keep, rows_without_labels
from bench.proof.settings import STEPS
from bench.proof.table import RESULTS, write_table
from bench.proof.unlabelled import (
    as_tiles,
    canvases_of,
    in_colours_of,
    pairs_of,
    seen_by,
    with_histograms,
    with_spectra,
)
from orthoforge.measures.segmenter.segmentation import Segmenter
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore
from orthoforge.tiles.subset import balanced_subset
from orthoforge.trained_generator import load_generator
from orthoforge.usefulness.design import Arm

LABELLED = ("banepa_core", "zanzibar", "kampala", "dhaka")
TARGETS = ("rf_arid", "barnarp", "rf_east_europe_green", "rf_hazy_purple")
UNLABELLED = 48
"""So many training tiles of the new place are looked at."""


@dataclass(frozen=True)
class Case:
    """A new place, the labelled tiles of others, and a seed; everything is kept in ``folder``."""

    labelled: TileStore
    target: TileStore
    place: str
    folder: Path
    seed: int

    def trained(self, *, more: Tiles | None = None, own: Tiles | None = None) -> Segmenter:
        """A segmenter of the labelled tiles, or of its ``own`` alone; half of its crops are of ``more``."""
        real = own or (self.labelled, self.labelled.ids("train"))
        arm = Arm("mixed", 1.0) if more else Arm("strong")
        return trained(arm, real, more or real, seed=self.seed, augmentation="strong")

    @cached_property
    def first(self) -> Segmenter:
        """The segmenter of the labelled tiles, which is the same for all new places."""
        kept = self.folder.parent / f"labelled-{self.seed}"
        if not (kept / "segmenter.json").is_file():
            self.trained().save(kept, overwrite=True)
        return Segmenter.load(kept)

    @cached_property
    def ids(self) -> np.ndarray:
        """The tiles of the new place that are looked at, the same for all seeds."""
        return balanced_subset(self.target.rows, self.target.ids("train"), tiles_per_place=UNLABELLED, seed=0)

    @cached_property
    def matched(self) -> Segmenter:
        """The segmenter of the labelled tiles with the histograms of the new place."""
        kept = self.folder / f"matched-{self.seed}"
        if not (kept / "segmenter.json").is_file():
            self.trained(own=self.relooked(with_histograms, "histograms")).save(kept)
        return Segmenter.load(kept)

    @cached_property
    def seen(self) -> TileStore:
        """The tiles of the new place with what the first segmenter sees."""
        return self._seen(self.first, "seen")

    @cached_property
    def seen_matched(self) -> TileStore:
        """The same, with what the ``matched`` one sees."""
        return self._seen(self.matched, "seen-matched")

    def _seen(self, segmenter: Segmenter, name: str) -> TileStore:
        pairs = seen_by(segmenter, pairs_of(self.target, self.ids))
        return as_tiles(pairs, self.folder / f"{name}-{self.seed}", place=self.place)

    def relooked(self, change: Callable[..., Any], name: str) -> Tiles:
        """The labelled tiles, changed to look as the new place does."""
        source = pairs_of(self.labelled, self.labelled.ids("train"))
        target = pairs_of(self.seen, self.seen.ids("train"))
        store = as_tiles(change(source, target, self.seed), self.folder / f"{name}-{self.seed}", place=self.place)
        return store, store.ids("train")

    def canvases(self, seen: TileStore, name: str) -> Tiles:
        """Canvases of what was seen."""
        generator = load_generator("orthoforge-material").with_refinement(0)
        store = canvases_of(generator, seen, self.folder / f"{name}-{self.seed}", self.seed)
        return store, np.arange(len(store.rows))


def _all(store: TileStore) -> Tiles:
    return store, store.ids("train")


def _coloured(source: Any, target: Any, seed: int) -> Any:
    return in_colours_of(load_generator("orthoforge-s"), source, target, seed)


FREE: Mapping[str, Callable[[Case], Segmenter]] = {
    "labelled places": lambda case: case.first,
    "histogram matching": lambda case: case.matched,
    "Fourier swap": lambda case: case.trained(own=case.relooked(with_spectra, "spectra")),
    "self-training": lambda case: case.trained(more=_all(case.seen)),
    "histogram matching, then self-training": lambda case: case.trained(more=_all(case.seen_matched)),
}
"""What costs nothing."""
SYNTHETIC: Mapping[str, Callable[[Case], Segmenter]] = {
    "canvases of what was seen": lambda case: case.trained(more=case.canvases(case.seen, "canvases")),
    "histogram matching, then canvases": lambda case: case.trained(more=case.canvases(case.seen_matched, "canvases-matched")),
    "orthoforge-s in its colours": lambda case: case.trained(more=case.relooked(_coloured, "coloured")),
}
ORACLE = "labels of the place (oracle)"
ARMS = {**FREE, **SYNTHETIC, ORACLE: lambda case: case.trained(own=(case.target, case.ids))}


def main() -> None:
    """Train, and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("state", type=Path)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--places", nargs="+", default=list(TARGETS), help="these alone")
    options = parser.parse_args()
    ends_at, runs = time.monotonic() + 3600 * options.hours, options.state / "new-places"
    if options.hours:
        run_arms(_cases(options.data, options.state, runs, options), ARMS, ends_at)
    keep(collect(runs, options.data, options.state), RESULTS)
    write_table()


def labelled_tiles(data: Path, state: Path) -> TileStore:
    """Tiles of the four places whose labels are known; their names say their places."""
    scenes = state / "labelled" / "scenes"
    for line in (data / "index.csv").read_text("utf-8").splitlines():
        fields = line.split(",")
        for kind, source in (("images", fields[2]), ("masks", fields[3])):
            link = scenes / kind / Path(source).name
            if fields[9] in LABELLED and not link.exists():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to((data / source).resolve())
    return prepare(scenes, state / "labelled" / "tiles", gsd=GSD_M, size=224, workers=1)


def _cases(data: Path, state: Path, runs: Path, options: argparse.Namespace) -> Iterator[Case]:
    labelled = labelled_tiles(data, state)
    for seed in range(options.seeds):
        for place in options.places:
            yield Case(labelled, tiles_of(PLACES[place], data, state / "places"), place, runs / place, seed)


def collect(runs: Path, data: Path, state: Path) -> list[Row]:
    """The rows of the places of which all arms are there, with the seeds that all of them have."""
    complete, tested = finished(runs, list(ARMS), data, state)
    sha256 = load_generator("orthoforge-material").sha256
    return rows_without_labels(complete, tested, free=list(FREE), oracle=ORACLE, weights=sha256, tiles=UNLABELLED, steps=STEPS)


if __name__ == "__main__":
    main()
