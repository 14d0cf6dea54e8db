"""What the finished settings say: a row for each arm, for each place and for all places together."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from bench.proof.settings import PLAIN, Setting
from orthoforge.usefulness.paired_statistics import LEVEL, ROUNDS, iou, t_interval, verdict

_REFERENCE = "real"


class Row(TypedDict):
    """``difference`` is that to ``best_baseline``, chosen on validation tiles, ``to_plain`` that to real tiles turned and mirrored.

    ``is_chosen``: of the arms with synthetic images the best on validation tiles. ``weights`` are those of the generator,
    ``None`` of arms that have no synthetic image.
    """

    setting: str
    place: str
    tiles: int
    masks: str
    steps: int
    arm: str
    iou: float
    validation_iou: float
    best_baseline: str
    difference: float | None
    seeds_interval: Sequence[float] | None
    scenes_interval: Sequence[float] | None
    verdict: str | None
    to_plain: float | None
    to_plain_seeds_interval: Sequence[float] | None
    to_plain_scenes_interval: Sequence[float] | None
    is_chosen: bool
    seeds: int
    first_seed: int
    test_tiles: int
    test_scenes: int
    weights: str | None


def collect(runs: Path) -> list[Row]:
    """The rows of all settings below ``runs`` of which a run has finished."""
    groups: dict[tuple[str, str, int, bool], dict[str, list[_Run]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(runs.glob("*/utility.json")):
        place, tiles, masks, steps, *_ = path.parent.name.rsplit("-", 5)
        groups[tiles, masks, int(steps), place.endswith("_shifted")][place].append(
            _Run(path.parent, json.loads(path.read_text("utf-8")))
        )
    rows: list[Row] = []
    for (*key, is_shifted), members in groups.items():
        places = [_Place.of(name, of) for name, of in members.items()]
        rows += [row for place in places for row in _rows(place.name, key, [place])]
        complete = [place for place in places if len(place.arms) == max(len(other.arms) for other in places)]
        if len(complete) > 1 and len({place.weights for place in complete}) == 1:
            rows += _rows(f"{len(complete)} places{', labels shifted' * is_shifted}", key, complete)
    return rows


def keep(rows: Sequence[Row], results: Path) -> None:
    """Add rows to those in ``results``; a row of the same setting, arm, seeds and weights takes the former's place."""
    former = json.loads(results.read_text("utf-8"))["rows"] if results.exists() else []
    kept = {_key(row): row for row in (*former, *rows)}
    # More seeds of the same weights stand for fewer; what an arm without synthetic images says rests on no weights.
    most: dict[tuple[Any, ...], Row] = {}
    for key, row in kept.items():
        if key[:-1] not in most or most[key[:-1]]["seeds"] <= row["seeds"]:
            most[key[:-1]] = row
    body = {
        "method": {
            "seeds_interval": f"Student's, {LEVEL:.0%}, paired by seed",
            "scenes_interval": f"bootstrap, {LEVEL:.0%}, {ROUNDS} rounds over seeds and test scenes",
            "verdict": "a gain or loss where both lie on one side of 0",
        },
        "rows": list(most.values()),
    }  # fmt: skip
    results.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


def _key(row: Row) -> tuple[Any, ...]:
    return row["setting"], row["arm"], row["weights"], row["seeds"]


@dataclass(frozen=True)
class _Run:
    """A finished experiment of ``utility``."""

    folder: Path
    result: Mapping[str, Any]


@dataclass(frozen=True)
class _Place:
    """Outcomes by arm and seed, of one place; those of each augmentation and refinement, each arm with a name of its own."""

    name: str
    arms: Mapping[str, Mapping[int, Mapping[str, Any]]]
    weights: str
    test_tiles: int

    @staticmethod
    def of(name: str, found: Sequence[_Run]) -> "_Place":
        arms: dict[str, dict[int, Any]] = {}
        for run in found:
            augmentation, refinement = run.result["settings"]["augmentation"], run.result["synthetic"].get("refinement", 1)
            for path in sorted(run.folder.glob("arms/*.json")):
                outcome = json.loads(path.read_text("utf-8"))
                if outcome["seed"] in run.result["settings"]["seeds"]:
                    arms.setdefault(_label(outcome["arm"], augmentation, refinement), {})[outcome["seed"]] = outcome
        weights = {run.result["synthetic"]["sha256"] for run in found}
        return _Place(name, arms, " ".join(sorted(weights)), found[0].result["data"]["test_tiles"])

    def counts(self, arm: str, which: str, seeds: Sequence[int]) -> np.ndarray:
        """(seeds, scenes, classes, 2) of ``scenes`` or ``validation``."""
        return np.array([list(self.arms[arm][seed][which].values()) for seed in seeds])[..., :2]


def _label(arm: str, augmentation: str, refinement: float) -> str:
    """The plain arms are the same in all; the others are named for what varies their crops, and for what makes their images."""
    if arm in PLAIN:
        return arm
    refined = f", refined by {refinement:g}" if refinement and "synthetic" in arm else ""
    return f"{arm}{refined}" + ("" if augmentation == "strong" else ", turned alone")


def _rows(name: str, key: Sequence[Any], places: Sequence[_Place]) -> list[Row]:
    """Of several places the mean over places of their differences, seed by seed. Seeds that all arms have."""
    tiles, masks, steps = key
    arms = list(places[0].arms)
    if not (seeds := _seeds(places)):
        return []
    scores = _validation_scores(places, seeds)
    free = [arm for arm in arms if arm.startswith("real") and "synthetic" not in arm]
    best, chosen = (max(some, key=scores.__getitem__) for some in (free, [arm for arm in arms if arm not in free]))
    common: dict[str, Any] = {
        "setting": _name(name, tiles, masks, steps), "place": name, "tiles": int(tiles), "masks": masks, "steps": steps,
    }  # fmt: skip
    return [
        _row(arm, places, seeds, best, _REFERENCE)
        | common
        | {"validation_iou": scores[arm], "is_chosen": arm == chosen, "weights": None if arm in free else places[0].weights}
        for arm in arms
    ]


def rows_without_labels(
    found: Mapping[str, Mapping[str, Mapping[int, Any]]], tested: Mapping[str, int], *, free: Sequence[str], oracle: str,
    weights: str, tiles: int, steps: int,
) -> list[Row]:  # fmt: skip
    """Rows of places without labels: outcomes by place, arm and seed, and how many tiles test in each.

    A place has no validation tiles of its own. So the best of the ``free`` arms is the one that is best on those of the other
    places, and so is the best arm with synthetic images. Of a single place, ``free``'s first is the baseline.
    """
    places = [_Place(name, arms, weights, tested[name]) for name, arms in found.items()]
    rows: list[Row] = []
    for number, place in enumerate(places):
        rows += _unlabelled([place], places[:number] + places[number + 1 :], place.name, free, oracle, tiles, steps)
    if len(places) > 1:
        rows += _unlabelled(places, places, f"{len(places)} places", free, oracle, tiles, steps)
    return rows


def _unlabelled(
    places: Sequence[_Place], others: Sequence[_Place], name: str, free: Sequence[str], oracle: str, tiles: int, steps: int
) -> list[Row]:
    seeds = _seeds([*places, *others])
    if not seeds:
        return []
    arms = list(places[0].arms)
    scores = _validation_scores(others, seeds) if others else {arm: float(arm == free[0]) for arm in arms}
    best = max(free, key=scores.__getitem__)
    synthetic = [arm for arm in arms if arm not in free and arm != oracle]
    chosen = max(synthetic, key=scores.__getitem__)
    common = {"setting": f"{name}, no labels, {tiles} tiles", "place": name, "tiles": tiles, "masks": "seen", "steps": steps}
    return [
        _row(arm, places, seeds, best, free[0])
        | common
        | {"validation_iou": scores[arm], "is_chosen": arm == chosen, "weights": places[0].weights if arm in synthetic else None}
        for arm in arms
    ]


def rows_of_few_labels(
    found: Mapping[str, Mapping[str, Mapping[int, Any]]], tested: Mapping[str, int], *, free: Sequence[str], other: str,
    generated: str, weights: str, tiles: int, steps: int,
) -> list[Row]:  # fmt: skip
    """Rows of places with few labels, twice: beyond the best of the ``free`` arms, and beyond real tiles of ``other`` places.

    Outcomes by place, arm and seed, and how many tiles test in each place. Validation tiles of the places choose the best free arm.
    """
    rows: list[Row] = []
    for name, some, seeds in _each_and_all([_Place(name, arms, weights, tested[name]) for name, arms in found.items()]):
        scores = _validation_scores(some, seeds)
        best = max(free, key=scores.__getitem__)
        for setting, arms, baseline in (
            ("", list(some[0].arms), best),
            (", beside tiles of other places", [generated, other], other),
        ):
            common = {
                "setting": f"{name}, {tiles} tiles and weights of other places{setting}", "place": name, "tiles": tiles,
                "masks": "library", "steps": steps,
            }  # fmt: skip
            rows += [
                _row(arm, some, seeds, baseline, _REFERENCE)
                | common
                | {"validation_iou": scores[arm], "is_chosen": arm == generated, "weights": weights if arm == generated else None}
                for arm in arms
            ]
    return rows


def rows_of_two(
    found: Mapping[str, Mapping[str, Mapping[int, Any]]], tested: Mapping[str, int], *, one: str, other: str, setting: str,
    weights: str, tiles: int, steps: int,
) -> list[Row]:  # fmt: skip
    """Rows of two ways to make the same synthetic pairs, ``one`` against the ``other``: of each place, and of all with the same
    seeds."""
    rows: list[Row] = []
    for name, some, seeds in _each_and_all([_Place(name, arms, weights, tested[name]) for name, arms in found.items()]):
        scores = _validation_scores(some, seeds)
        common = {
            "setting": f"{name}, {tiles} tiles and weights of other places, {setting}", "place": name, "tiles": tiles,
            "masks": "library", "steps": steps, "is_chosen": False, "weights": weights,
            "to_plain": None, "to_plain_seeds_interval": None, "to_plain_scenes_interval": None,
        }  # fmt: skip
        rows += [_row(arm, some, seeds, other, other) | common | {"validation_iou": scores[arm]} for arm in (other, one)]
    return rows


def _each_and_all(places: Sequence[_Place]) -> Iterator[tuple[str, Sequence[_Place], list[int]]]:
    """Each of the places, and where there are several all of them, with a name and the seeds that all arms have; those without any
    are left out."""
    for some in [*([place] for place in places), *([places] if len(places) > 1 else [])]:
        if seeds := _seeds(some):
            yield some[0].name if len(some) == 1 else f"{len(some)} places", some, seeds


def _seeds(places: Sequence[_Place]) -> list[int]:
    """Those that all arms have."""
    return sorted(set.intersection(*(set(of_seed) for place in places for of_seed in place.arms.values())))


def _validation_scores(places: Sequence[_Place], seeds: Sequence[int]) -> dict[str, float]:
    return {
        arm: float(np.mean([iou(place.counts(arm, "validation", seeds).sum(axis=1)).mean() for place in places]))
        for arm in places[0].arms
    }


def _row(arm: str, places: Sequence[_Place], seeds: Sequence[int], best: str, plain: str) -> Any:
    """What an arm scores in places, and beyond the ``best`` and the ``plain`` arm."""
    tests = [place.counts(arm, "scenes", seeds) for place in places]
    to_best, to_plain = (
        None
        if arm == other
        else _pooled([(own, place.counts(other, "scenes", seeds)) for own, place in zip(tests, places, strict=True)])
        for other in (best, plain)
    )
    return {
        "arm": arm, "iou": float(np.mean([iou(counts.sum(axis=1)).mean() for counts in tests])), "best_baseline": best,
        "difference": to_best and to_best[0], "seeds_interval": to_best and to_best[1],
        "scenes_interval": to_best and to_best[2], "verdict": to_best and verdict(*to_best[1:]),
        "to_plain": to_plain and to_plain[0], "to_plain_seeds_interval": to_plain and to_plain[1],
        "to_plain_scenes_interval": to_plain and to_plain[2], "seeds": len(seeds), "first_seed": seeds[0],
        "test_tiles": sum(place.test_tiles for place in places), "test_scenes": sum(counts.shape[1] for counts in tests),
    }  # fmt: skip


def _pooled(
    sides: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[float, tuple[float, float] | None, tuple[float, float] | None]:
    """Mean over places of the difference of counts (seeds, scenes, classes, 2), with both intervals.

    The bootstrap draws the same seeds in all places, and scenes within each.
    """
    by_place = np.array([iou(arm.sum(axis=1)) - iou(baseline.sum(axis=1)) for arm, baseline in sides])
    by_seed = by_place.mean(axis=0)
    seeds, rng = len(by_seed), np.random.default_rng(0)
    drawn = rng.integers(0, seeds, (ROUNDS, seeds))
    means = np.zeros(ROUNDS)
    for arm, baseline in sides:
        scenes = arm.shape[1]
        times = rng.multinomial(scenes, np.full(scenes, 1 / scenes), size=ROUNDS)
        scores = [iou(np.einsum("rs,nskc->rnkc", times, side)) for side in (arm, baseline)]
        means += np.take_along_axis(scores[0] - scores[1], drawn, axis=1).mean(axis=1) / len(sides)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    enough = seeds > 1
    return float(by_seed.mean()), t_interval(by_seed.tolist()), (float(low), float(high)) if enough else None


def _name(place: str, tiles: str, masks: str, steps: int) -> str:
    return Setting(place, int(tiles), masks=masks, steps=steps).name  # type: ignore[arg-type]
