"""The experiments in their order, the most telling first, each a call of ``utility`` that can be broken off and gone on with."""

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from orthoforge.errors import DataError, OutputExistsError
from orthoforge.measures.segmenter.augmentation import Augmentation
from orthoforge.measures.segmenter.segmentation import SegmenterSettings, train_segmenter
from orthoforge.tiles.store import TileStore
from orthoforge.usefulness.utility import utility

STEPS = 200
RATIOS: dict[Augmentation, tuple[float, ...]] = {"strong": (1,), "flips": (0.25, 1)}
"""Synthetic images for each real one. With turning alone a quarter was best before (bench/results/utility-orthoforge-s.json)."""
PLAIN = ("real", "real, no flips", "real, strong augmentation")
"""Arms that are the same whatever the augmentation of the others."""
_deadline = [float("inf")]


class OutOfTime(Exception):
    """No further training is begun."""


@dataclass(frozen=True)
class Setting:
    """So many real tiles of a place, and nothing else, with so many seeds from 0 on.

    ``refinement`` is how much the network changes what is composed of them.
    """

    place: str
    tiles: int
    seeds: int = 3
    masks: Literal["turned", "forged"] = "turned"
    steps: int = STEPS
    augmentation: Augmentation = "strong"
    refinement: float = 0.0

    @property
    def name(self) -> str:
        """As in tables."""
        longer = "" if self.steps == STEPS else f", {self.steps} steps"
        return f"{self.place}, {self.tiles} tiles, masks {self.masks}{longer}"

    @property
    def folder(self) -> str:
        """Of its trainings; the same with more seeds."""
        return f"{self.place}-{self.tiles}-{self.masks}-{self.steps}-{self.augmentation}-{self.refinement:g}"


_FIRST, _FURTHER = ("rf_arid", "barnarp"), ("rf_east_europe_green", "rf_hazy_purple")
_ALL = (*_FIRST, *_FURTHER)


def _both(*settings: Setting) -> Iterator[Setting]:
    """Each with strong augmentation, and then with turns and mirrors alone: within one place, colours may need no variation."""
    for augmentation in ("strong", "flips"):
        yield from (replace(setting, augmentation=augmentation) for setting in settings)


SETTINGS = (
    *(Setting(place, 22) for place in _ALL),
    *(Setting(place, 22, refinement=1.0) for place in _FIRST),
    *_both(*(Setting(place, 22) for place in _ALL)),
    *_both(*(Setting(place, 6) for place in _FIRST)),
    *_both(*(Setting(f"{place}_shifted", 22) for place in _FIRST)),
    *_both(*(Setting(place, 22, seeds=6) for place in _ALL)),
    *_both(*(Setting(place, 45) for place in (*_FIRST, "rf_east_europe_green"))),
    *_both(*(Setting(place, 6) for place in _FURTHER), *(Setting(place, 11) for place in _FIRST)),
    *_both(*(Setting("austin", tiles) for tiles in (6, 11))),
    *_both(*(Setting(place, 22, masks="forged") for place in _ALL)),
    *_both(*(Setting(place, 22, steps=3 * STEPS) for place in _FIRST)),
    *_both(*(Setting(place, 11) for place in _FURTHER), *(Setting(place, tiles, seeds=6) for tiles in (6, 11) for place in _ALL)),
)


def until(moment: float) -> None:
    """Begin no training after ``moment`` (of ``time.monotonic``)."""
    _deadline[0] = moment


def train_in_time(*words: Any, **options: Any) -> Callable[..., Any]:
    """As ``train_segmenter``; raises ``OutOfTime`` when the time is over."""
    if time.monotonic() > _deadline[0]:
        raise OutOfTime
    return train_segmenter(*words, **options)


def run(setting: Setting, store: TileStore, weights: str, runs: Path) -> None:
    """Train and test what is missing of a setting, in its folder below ``runs``."""
    out = runs / setting.folder
    _take_over(setting, runs)
    options: dict[str, Any] = {
        "ratios": RATIOS[setting.augmentation], "fractions": (setting.tiles / len(store.ids("train")),), "seeds": setting.seeds,
        "steps": setting.steps, "augmentation": setting.augmentation, "own_material": True, "masks": setting.masks,
        "refinement": setting.refinement, "train": train_in_time, "segmenter": SegmenterSettings(),
    }  # fmt: skip
    try:
        with contextlib.suppress(OutputExistsError):
            utility(weights, store.path, out, **options)
            return
        utility(weights, store.path, out, overwrite=True, **options)  # other weights: trainings on real tiles alone are kept
    except DataError as error:
        print(f"  left out: {error}", flush=True)


def _take_over(setting: Setting, runs: Path) -> None:
    """Trainings on real tiles alone are the same whatever the masks, and two of them whatever the augmentation: those of another
    setting are taken over."""
    out = runs / setting.folder
    if out.exists():
        return
    for other in sorted(runs.glob(f"{setting.place}-{setting.tiles}-*-{setting.steps}-*-*")):
        if not (other / "settings.json").is_file() or other == out:
            continue
        signature = json.loads((other / "settings.json").read_text("utf-8"))
        alike = signature["augmentation"] == setting.augmentation
        (out / "arms").mkdir(parents=True, exist_ok=True)
        for path in other.glob("arms/*.json"):
            outcome = json.loads(path.read_text("utf-8"))
            if outcome["arm"] in PLAIN or (alike and not outcome["drawn"]["synthetic"]):
                shutil.copyfile(path, out / "arms" / path.name)
        (out / "settings.json").write_text(json.dumps(signature | {"augmentation": setting.augmentation}), encoding="utf-8")
