"""Before any training: the smallest difference that an experiment of so many seeds and test scenes can tell from nothing."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orthoforge.errors import ConfigError, DataError
from orthoforge.usefulness.paired_statistics import LEVEL, t_quantile

POWER = 0.8
_LADDER = (3, 5, 8, 12, 20)
_DRAWS = 4000
# What experiments ask for: less is seldom worth the trouble.
_WORTH = 0.02
_MOST_SEEDS = 40
_NORMAL = 1.959964  # of a normal distribution 95 % lie within


@dataclass(frozen=True)
class Spread:
    """Standard deviations of a paired difference in IoU: of one seed, and of one test scene of the mean over seeds."""

    seeds: float
    scenes: float
    source: str


# Three experiments of docs/utility.md (11 real tiles, 200 steps, ratio 1:0.25): 0.018 to 0.023 and 0.024 to 0.042.
PUBLISHED = Spread(0.020, 0.030, "published experiments with 11 real tiles; once one has run in --out, its own")


@dataclass(frozen=True)
class Expected:
    """With so many seeds: half the width of both intervals, and the smallest gain that ``POWER`` of experiments see."""

    seeds: int
    seeds_reach: float
    scenes_reach: float
    smallest: float


def spread_of(folder: Path) -> Spread:
    """The spread in an experiment that has run, of all its fractions together. ``DataError`` where it has one seed or scene."""
    file = folder / "utility.json"
    found = json.loads(file.read_text("utf-8"))
    seeds, scenes = [], []
    for entry in found["by_fraction"]:
        figures = entry["difference"]
        if figures["standard_error"] is None or figures["bootstrap_interval"] is None:
            raise DataError(
                f"{folder}: one seed or one test scene tells nothing of how differences spread. Add seeds with --seeds 3."
            )
        low, high = figures["bootstrap_interval"]
        both, of_seeds = (high - low) / 2 / _NORMAL, figures["standard_error"]
        seeds.append(figures["n"] * of_seeds**2)
        scenes.append(found["data"]["test_scenes"] * max(0.0, both**2 - of_seeds**2))
    return Spread(math.sqrt(np.mean(seeds)), math.sqrt(np.mean(scenes)), f"{file}, {len(seeds)} fractions")


def expected(seeds: int, scenes: int, spread: Spread) -> Expected:
    """What ``seeds`` seeds and ``scenes`` test scenes can show, by simulation of differences with this spread.

    ``ConfigError`` for fewer than two of either: they have no interval.
    """
    if seeds < 2 or scenes < 2:
        raise ConfigError(f"{seeds} seed(s) and {scenes} test scene(s): an interval takes two of each, or more.")
    rng = np.random.default_rng(0)
    of_seeds = spread.seeds * rng.standard_normal((_DRAWS, seeds))
    beside = spread.scenes / math.sqrt(scenes) * rng.standard_normal(_DRAWS)
    errors = of_seeds.std(axis=1, ddof=1) / math.sqrt(seeds)
    reach = t_quantile(seeds - 1) * errors
    wide = _NORMAL * np.sqrt((1 - 1 / seeds) * errors**2 + spread.scenes**2 / scenes)
    # A difference is called a gain where it, and what chance adds, lie above both reaches.
    needed = np.maximum(reach, wide) - of_seeds.mean(axis=1) - beside
    return Expected(seeds, float(reach.mean()), float(wide.mean()), float(np.quantile(needed, POWER)))


def plan_lines(seeds: int, scenes: int, tiles: int, spread: Spread) -> list[str]:
    """A plan for a terminal: what is to be seen with these and with other numbers of seeds."""
    numbers = sorted({*_LADDER, seeds} - {1})
    rows = [expected(number, scenes, spread) for number in numbers]
    lines = [
        f"{tiles} test tiles of {scenes} scenes. A difference in IoU between two arms spreads by {spread.seeds:.3f} over seeds and "
        f"{spread.scenes:.3f} over scenes ({spread.source}).",
        "",
        "seeds  over seeds  over seeds and scenes  smallest gain seen",
        *(f"{row.seeds:5}  ± {row.seeds_reach:.3f}     ± {row.scenes_reach:.3f}                {row.smallest:.3f}" for row in rows),
        "",
        f"Intervals of {LEVEL:.0%}. A gain is seen where both lie above 0; {POWER:.0%} of experiments see the smallest.",
    ]
    return [*lines, *_advice(seeds, scenes, spread)]


def _advice(seeds: int, scenes: int, spread: Spread) -> Sequence[str]:
    enough = next((n for n in range(2, _MOST_SEEDS + 1) if expected(n, scenes, spread).smallest <= _WORTH), None)
    if enough is not None:
        return [f"For a gain of {_WORTH}, {enough} seeds are needed; {seeds} {'are enough' if seeds >= enough else 'are too few'}."]
    more = (round(scenes * 1.25**k) + 1 for k in range(80))
    needed = next((number for number in more if expected(_MOST_SEEDS, number, spread).smallest <= _WORTH), None)
    if needed is None:
        return [f"No number of seeds up to {_MOST_SEEDS} shows a gain of {_WORTH}: differences between seeds are too large."]
    return [
        f"No number of seeds shows a gain of {_WORTH} on {scenes} scenes: it takes some {needed} test scenes, or a larger gain."
    ]
