"""What the finished settings say: a row for each arm, for each place and for all places together."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from orthoforge.usefulness.paired_statistics import LEVEL, ROUNDS, iou, t_interval, verdict

_ALL = "all places"


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
    """The rows of all finished settings below ``runs``."""
    found = {path.parent: json.loads(path.read_text("utf-8")) for path in sorted(runs.glob("*/utility.json"))}
    rows = [row for folder, result in found.items() for row in _of_place(folder, result)]
    groups: dict[tuple[str, str, int], list[tuple[Path, dict[str, Any]]]] = defaultdict(list)
    for folder, result in found.items():
        tiles, masks, steps = folder.name.rsplit("-", 3)[1:]
        groups[tiles, masks, int(steps)].append((folder, result))
    return rows + [row for key, members in groups.items() if len(members) > 1 for row in _of_all(key, members)]


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


def _of_place(folder: Path, result: Mapping[str, Any]) -> list[Row]:
    place, tiles, masks, steps = folder.name.rsplit("-", 3)
    entry, seeds = result["by_fraction"][0], result["settings"]["seeds"]
    rows: list[Row] = []
    for arm in result["arms"]:
        best, plain = arm["to_best"] or {}, arm["difference"] or {}
        rows.append(
            {
                "setting": _name(place, tiles, masks, int(steps)), "place": place, "tiles": int(tiles), "masks": masks,
                "steps": int(steps), "arm": arm["arm"], "iou": arm["iou"]["mean"], "best_baseline": entry["best_baseline"],
                "difference": best.get("mean"), "seeds_interval": best.get("t_interval"),
                "scenes_interval": best.get("bootstrap_interval"), "verdict": best.get("verdict"),
                "to_plain": plain.get("mean"), "to_plain_seeds_interval": plain.get("t_interval"),
                "to_plain_scenes_interval": plain.get("bootstrap_interval"), "is_chosen": arm["arm"] == entry["best_synthetic"],
                "seeds": len(seeds), "first_seed": seeds[0], "test_tiles": result["data"]["test_tiles"],
                "test_scenes": result["data"]["test_scenes"],
                "weights": result["synthetic"]["sha256"] if arm["synthetic_tiles"] else None,
            }
        )  # fmt: skip
    return rows


def _of_all(key: tuple[str, str, int], members: Sequence[tuple[Path, Mapping[str, Any]]]) -> list[Row]:
    """Of several places together: the mean over places of their differences, seed by seed. Arms and seeds that all of them have."""
    tiles, masks, steps = key
    weights = {result["synthetic"]["sha256"] for _, result in members}
    if len(weights) > 1:
        return []
    seeds = sorted(set.intersection(*(set(result["settings"]["seeds"]) for _, result in members)))
    counts, scores = [], []
    for folder, result in members:
        tests, chooses = {}, {}
        for name in (arm["arm"] for arm in result["arms"]):
            ones = [_outcome(folder, name, seed) for seed in seeds]
            tests[name] = np.array([list(one["scenes"].values()) for one in ones])[..., :2]
            validation = np.array([list(one["validation"].values()) for one in ones])[..., :2]
            chooses[name] = float(iou(validation.sum(axis=1)).mean())
        counts.append(tests)
        scores.append(chooses)
    names = list(counts[0])
    free = [name for name in names if name.startswith("real") and "synthetic" not in name]
    on_validation = {name: float(np.mean([one[name] for one in scores])) for name in names}
    best = max(free, key=on_validation.__getitem__)
    chosen = max((name for name in names if name not in free), key=on_validation.__getitem__)
    rows: list[Row] = []
    for name in names:
        to_best, to_plain = (_pooled([(one[name], one[other]) for one in counts]) for other in (best, "real"))
        is_best, is_plain = name == best, name == "real"
        rows.append(
            {
                "setting": _name(_ALL, tiles, masks, steps), "place": _ALL, "tiles": int(tiles), "masks": masks, "steps": steps,
                "arm": name, "iou": float(np.mean([iou(one[name].sum(axis=1)).mean() for one in counts])), "best_baseline": best,
                "difference": None if is_best else to_best[0], "seeds_interval": None if is_best else to_best[1],
                "scenes_interval": None if is_best else to_best[2], "verdict": None if is_best else verdict(*to_best[1:]),
                "to_plain": None if is_plain else to_plain[0], "to_plain_seeds_interval": None if is_plain else to_plain[1],
                "to_plain_scenes_interval": None if is_plain else to_plain[2], "is_chosen": name == chosen,
                "seeds": len(seeds), "first_seed": seeds[0],
                "test_tiles": sum(result["data"]["test_tiles"] for _, result in members),
                "test_scenes": sum(result["data"]["test_scenes"] for _, result in members),
                "weights": None if name in free else next(iter(weights)),
            }
        )  # fmt: skip
    return rows


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


def _outcome(folder: Path, arm: str, seed: int) -> dict[str, Any]:
    for path in folder.glob(f"arms/*_{seed}.json"):
        outcome: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if outcome["arm"] == arm:
            return outcome
    raise FileNotFoundError(f"{folder}: no training of {arm} with seed {seed}.")


def _name(place: str, tiles: str, masks: str, steps: int) -> str:
    from bench.proof.settings import Setting

    return Setting(place, int(tiles), masks=masks, steps=steps).name  # type: ignore[arg-type]
