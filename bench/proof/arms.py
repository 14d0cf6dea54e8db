"""Arms of the proof that are no arms of ``utility``: trained and tested one after another, and what is finished is kept."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from bench.proof.places import PLACES, tiles_of
from bench.proof.settings import STEPS
from orthoforge.files import new_file
from orthoforge.measures.segmenter.augmentation import Augmentation
from orthoforge.measures.segmenter.segmentation import Segmenter, SegmenterSettings, train_segmenter
from orthoforge.tiles.store import TileStore
from orthoforge.usefulness.design import Arm, arm_sample
from orthoforge.usefulness.utility import held_out_counts

Tiles = tuple[TileStore, np.ndarray]
"""A store, and which of its tiles."""
Outcomes = dict[str, dict[str, dict[int, Any]]]
"""By place, arm and seed."""


class Case(Protocol):
    """What an arm is trained for: the tiles of a place that test it, a seed, and a folder for what is made."""

    @property
    def target(self) -> TileStore: ...
    @property
    def place(self) -> str: ...
    @property
    def folder(self) -> Path: ...
    @property
    def seed(self) -> int: ...


_AnyCase = TypeVar("_AnyCase", bound=Case)


def trained(arm: Arm, real: Tiles, other: Tiles, *, seed: int, augmentation: Augmentation) -> Segmenter:
    """A segmenter of ``real`` tiles and ``other`` ones, as its arm says."""
    settings = SegmenterSettings(steps=STEPS, seed=seed)
    sample = arm_sample(
        arm, real, other, steps=STEPS, batch_size=settings.batch_size, crop_px=settings.crop_px, seed=seed,
        augmentation=augmentation,
    )  # fmt: skip
    return train_segmenter(sample, settings)


def run_arms(cases: Iterable[_AnyCase], arms: Mapping[str, Callable[[_AnyCase], Segmenter]], ends_at: float) -> None:
    """Train and test what is not finished, until ``ends_at`` of the monotonic clock; a file for each in the case's folder."""
    for case in cases:
        for name, make in arms.items():
            file = case.folder / "arms" / f"{name.replace(' ', '-').replace(':', '-')}_{case.seed}.json"
            if file.is_file():
                continue
            if time.monotonic() > ends_at:
                print("The time is over; call it again to go on.", flush=True)
                return
            began = time.monotonic()
            counted = partial(held_out_counts, make(case), case.target)
            outcome: dict[str, Any] = {
                "arm": name, "seed": case.seed, "scenes": counted(case.target.ids("test")),
                "validation": counted(case.target.ids("val")),
            }  # fmt: skip
            with new_file(file) as partial_file:
                partial_file.write_text(json.dumps(outcome), encoding="utf-8")
            hit, union = np.array(list(outcome["scenes"].values())).sum(axis=(0, 1))[:2]
            took = time.monotonic() - began
            print(f"{case.place}, seed {case.seed}, {name}: IoU {hit / union:.3f} after {took:.0f} s", flush=True)


def finished(runs: Path, arms: Sequence[str], data: Path, state: Path) -> tuple[Outcomes, dict[str, int]]:
    """The outcomes of the places below ``runs`` of which all ``arms`` are there, and how many tiles test in each."""
    found: Outcomes = {}
    for path in sorted(runs.glob("*/arms/*.json")):
        outcome = json.loads(path.read_text("utf-8"))
        found.setdefault(path.parents[1].name, {}).setdefault(outcome["arm"], {})[outcome["seed"]] = outcome
    complete = {place: {arm: of_place[arm] for arm in arms} for place, of_place in found.items() if set(arms) <= set(of_place)}
    return complete, {place: len(tiles_of(PLACES[place], data, state / "places").ids("test")) for place in complete}
