"""What scores add up to: the mean over seeds of each figure, by recipe and place, with 95 % intervals."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.protocol.scores import EVERYWHERE
from orthoforge.errors import DataError
from orthoforge.measures.segmenter.fidelity import WORTH_MEASURING_IOU

FIGURES: dict[str, tuple[tuple[str, ...], str, int]] = {
    "kernel_lite": (("kernel", "lite", "above"), "kernel distance above floor, EfficientNet", 0),
    "kernel_segmenter": (("kernel", "segmenter", "above"), "the same, segmenter", 0),
    "kernel_outside": (("kernel", "outside", "above"), "kernel distance above floor, judge from outside", 0),
    "probe": (("probe", "auc"), "AUC of a probe, place left out or within the place", 2),
    "fidelity": (("fidelity", "share"), "fidelity, share of real IoU", 2),
    "fidelity_eye": (("fidelity_eye", "share"), "the same, eye of the training tiles", 2),
    "fidelity_without_noise": (("fidelity_without_noise", "share"), "fidelity without noise", 2),
    "noise": (("noise", "share"), "fidelity with noise minus without", 2),
    "diversity": (("diversity", "share"), "diversity, share of real tiles'", 2),
    "spectrum_db": (("empty", "spectrum_db", "value"), "empty: spectrum, dB", 1),
    "colours": (("empty", "colours", "value"), "empty: colours", 2),
    "levels": (("empty", "levels", "value"), "empty: levels", 1),
    "psnr": (("pixels", "psnr", "value"), "PSNR, dB", 2),
    "ssim": (("pixels", "ssim", "value"), "SSIM", 3),
    "detail": (("pixels", "detail", "value"), "detail, share of real", 2),
}
FLOORS = {
    "kernel_lite": ("kernel", "lite", "floor"),
    "kernel_segmenter": ("kernel", "segmenter", "floor"),
    "kernel_outside": ("kernel", "outside", "floor"),
    "fidelity": ("fidelity", "real_iou"),
    "fidelity_eye": ("fidelity_eye", "real_iou"),
    "diversity": ("diversity", "between_masks"),
    "spectrum_db": ("empty", "spectrum_db", "floor"),
    "colours": ("empty", "colours", "floor"),
    "levels": ("empty", "levels", "floor"),
}
FIDELITIES = ("fidelity", "fidelity_eye", "fidelity_without_noise")
KERNELS = ("kernel_lite", "kernel_segmenter")
_INTERVAL = (2.5, 97.5)


def summarise(scores: Sequence[Mapping[str, Any]], *, baseline: str, diverged: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Rows by label, from the scores of runs, and each recipe's kernel distances as a share of those of ``baseline``.

    Fidelity over all tiles is the mean over the ``places`` that are worth measuring: whose IoU on real images is at least
    ``WORTH_MEASURING_IOU``. ``pooled`` beside it is that of all places' pixels together. An ablation's kernel distances come as a
    share of those of its base with the same seeds, too. ``diverged`` are the records of runs that have no score for that reason:
    rows name their seeds, and labels without any score are under ``diverged``.

    Intervals are 95 % of bootstrap draws, of scenes (the same for all runs) and of seeds where there are several; of one seed they
    are of scenes alone. Raises ``DataError`` when runs were judged on other tiles or by other judges.
    """
    if not scores:
        raise DataError("there are no scores yet. Run `python -m bench.protocol score` first.")
    judged = scores[0]["judged_by"]
    for other in scores:
        if other["judged_by"] != judged:
            raise DataError(f"{other['run']} was judged otherwise than {scores[0]['run']}. Score all runs on the same tiles.")
    by_label: dict[str, list[dict[str, Any]]] = {}
    for each in sorted(scores, key=lambda one: one["record"]["seed"]):
        by_label.setdefault(each["record"]["label"], []).append({**each, "areas": _with_means(each["areas"])})
    lost: dict[str, list[Mapping[str, Any]]] = {}
    for record in sorted((one for one in diverged if one["tiles"] == judged["tiles"]), key=lambda one: one["seed"]):
        lost.setdefault(record["label"], []).append(record)
    areas = list(scores[0]["areas"])
    rows = {}
    for label in sorted(by_label, key=lambda name: (not name.startswith(baseline), name)):
        runs = by_label[label]
        rows[label] = _length(runs) | {
            "diverged": [record["seed"] for record in lost.get(label, [])],
            "areas": {area: {name: _figure([run["areas"][area] for run in runs], name) for name in FIGURES} for area in areas},
        }
        bases = by_label.get(baseline, []) if label != baseline else []
        for area in areas:
            for name in KERNELS:
                figure = rows[label]["areas"][area][name]
                figure["of_baseline"] = _against(runs, bases, area, name)
                if rows[label]["ablates"]:
                    figure["of_base"] = _against(*_same_seeds(runs, by_label.get(rows[label]["ablates"], [])), area, name)
    first = next(iter(by_label.values()))[0]["areas"]
    return {
        "baseline": baseline,
        "judged_by": judged,
        "areas": {
            area: {name: first[area][name] for name in ("tiles", "scenes")} | {"empty_quarters": first[area]["empty"]["quarters"]}
            for area in areas
        },
        "beside": {area: {name: _value(first[area], keys) for name, keys in FLOORS.items()} for area in areas},
        "rows": rows,
        "diverged": {
            label: {"seeds": [record["seed"] for record in records], "ablates": records[0]["ablates"]}
            for label, records in lost.items()
            if label not in rows
        },
    }


def over_seeds(values: Sequence[float], draws: Sequence[Sequence[float]] | None) -> dict[str, Any]:
    """Mean over seeds, and its interval from draws by scene (seeds, rounds): each round with the seeds drawn as well."""
    result: dict[str, Any] = {"mean": float(np.mean(values)), "low": None, "high": None, "seeds": list(values)}
    if draws is None:
        return result
    low, high = np.percentile(_seeds_drawn(np.array(draws)), _INTERVAL)
    return result | {"low": float(low), "high": float(high)}


def read_scores(folder: Path) -> list[dict[str, Any]]:
    """All scores in a folder, by name."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def _seeds_drawn(draws: np.ndarray) -> np.ndarray:
    """(seeds, rounds) to (rounds,): the mean over as many seeds drawn with putting back, the same choice for every recipe."""
    chosen = np.random.default_rng(0).integers(len(draws), size=draws.shape)
    return np.take_along_axis(draws, chosen, axis=0).mean(axis=0)


def _with_means(by_area: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """A run's scores by area, with what follows from them: fidelity over all as a mean of places, and what noise does to it."""
    areas = {name: dict(area) for name, area in by_area.items()}
    places = [name for name in areas if name != EVERYWHERE]
    for name in FIDELITIES:
        areas[EVERYWHERE][name] = _over_places(areas[EVERYWHERE][name], {place: areas[place][name] for place in places})
    for area in areas.values():
        area["noise"] = _less(area["fidelity"], area["fidelity_without_noise"])
    return areas


def _over_places(pooled: Mapping[str, Any] | None, by_place: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """The mean of the places whose buildings the segmenter finds in real images; elsewhere a share is of next to nothing.

    Each place draws its own scenes, but all by one seed: the places' draws are put in orders of their own, the same for every run,
    so that they vary independently of each other and runs still share them.
    """
    if pooled is None:
        return None
    worth = [place for place, figure in by_place.items() if figure["real_iou"] >= WORTH_MEASURING_IOU]
    draws = []
    for number, (place, figure) in enumerate(by_place.items()):
        if place in worth and figure["draws"] is not None:
            draws.append(np.random.default_rng(number).permutation(figure["draws"]))
    return {
        "share": float(np.mean([by_place[place]["share"] for place in worth])) if worth else None,
        "real_iou": float(np.mean([by_place[place]["real_iou"] for place in worth])) if worth else None,
        "draws": np.mean(draws, axis=0).tolist() if worth and len(draws) == len(worth) else None,
        "places": worth,
        "pooled": pooled,
    }


def _less(figure: Mapping[str, Any], other: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """One share minus another, draw by draw."""
    if other is None or figure["share"] is None or other["share"] is None:
        return None
    drawn = [one["draws"] for one in (figure, other)]
    draws = None if None in drawn else (np.array(drawn[0]) - np.array(drawn[1])).tolist()
    return {"share": figure["share"] - other["share"], "draws": draws}


def _figure(areas: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    result = _mean(areas, FIGURES[name][0])
    if name == "diversity" and result["mean"] is not None:  # a mean over masks, which has an error of its own
        errors = [area["diversity"]["share_error"] for area in areas]
        if None not in errors:
            values = result["seeds"]
            wide = 1.96 * float(np.hypot(np.mean(errors), np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0))
            result |= {"low": result["mean"] - wide, "high": result["mean"] + wide}
    places = _value(areas[0], (name, "places"))
    return result if places is None else result | {"places": places, "pooled": _mean(areas, (name, "pooled", "share"))}


def _mean(areas: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> dict[str, Any]:
    """Over seeds, of one figure, with its interval where it was drawn."""
    values = [_value(area, keys) for area in areas]
    if any(value is None for value in values):
        return {"mean": None, "low": None, "high": None, "seeds": values}
    draws = [_value(area, (*keys[:-1], "draws")) for area in areas]
    return over_seeds(values, None if any(each is None for each in draws) else draws)


def _same_seeds(
    runs: Sequence[Mapping[str, Any]], bases: Sequence[Mapping[str, Any]]
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Those of both whose seed the others have as well."""
    both = {run["record"]["seed"] for run in runs} & {base["record"]["seed"] for base in bases}
    ours, theirs = ([run for run in some if run["record"]["seed"] in both] for some in (runs, bases))
    return ours, theirs


def _against(runs: Sequence[Mapping[str, Any]], bases: Sequence[Mapping[str, Any]], area: str, name: str) -> dict[str, Any] | None:
    """The share of the bases' figure that is left, with its interval over the draws that both have in common."""
    if not runs or not bases:
        return None
    keys = FIGURES[name][0]
    ours, theirs = (np.mean([_value(run["areas"][area], keys) for run in some]) for some in (runs, bases))
    if theirs <= 0:
        return None
    result = {"mean": float(ours / theirs), "low": None, "high": None, "seeds": [run["record"]["seed"] for run in runs]}
    drawn = [[_value(run["areas"][area], (*keys[:-1], "draws")) for run in some] for some in (runs, bases)]
    if any(draws is None for some in drawn for draws in some):
        return result
    over, under = (_seeds_drawn(np.array(some)) for some in drawn)
    low, high = np.percentile(over[under > 0] / under[under > 0], _INTERVAL)
    return result | {"low": float(low), "high": float(high)}


def _value(area: Mapping[str, Any], keys: Sequence[str]) -> Any:
    found: Any = area
    for key in keys:
        found = None if found is None else found.get(key)
    return found


def _length(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the runs of one label cost, and on what."""
    records = [run["record"] for run in runs]
    first = records[0]
    sessions = [session for record in records for session in record["sessions"]]
    machines = {json.dumps({key: session[key] for key in ("cpu", "threads", "gpu", "torch")}) for session in sessions}
    return {
        "recipe": first["recipe"], "changes": first["changes"], "ablates": first["ablates"],
        "seeds": [record["seed"] for record in records], "crops": first["crops"], "crop_px": first["crop_px"],
        "batch": first["batch"], "parameters": runs[0]["parameters"],
        "seconds": float(np.mean([record["seconds"] for record in records])),
        "images_per_s": float(np.mean([record["images_per_s"] for record in records])),
        "hardware": [json.loads(machine) for machine in sorted(machines)],
    }  # fmt: skip
