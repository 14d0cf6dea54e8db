"""The table: mean over seeds of every score, by recipe and place, with 95 % intervals, as JSON and as Markdown."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.protocol.scores import EVERYWHERE
from orthoforge.errors import DataError
from orthoforge.evaluation.segmenter.fidelity import WORTH_MEASURING_IOU

# Name of a figure → keys in a run's scores of an area, heading, digits.
FIGURES: dict[str, tuple[tuple[str, ...], str, int]] = {
    "kernel_lite": (("kernel", "lite", "above"), "kernel distance above floor, EfficientNet", 0),
    "kernel_segmenter": (("kernel", "segmenter", "above"), "the same, segmenter", 0),
    "fidelity": (("fidelity", "share"), "fidelity, share of real IoU", 2),
    "fidelity_eye": (("fidelity_eye", "share"), "the same, eye of the training tiles", 2),
    "fidelity_without_noise": (("fidelity_without_noise", "share"), "the same without noise", 2),
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
    "fidelity": ("fidelity", "real_iou"),
    "fidelity_eye": ("fidelity_eye", "real_iou"),
    "diversity": ("diversity", "between_masks"),
    "spectrum_db": ("empty", "spectrum_db", "floor"),
    "colours": ("empty", "colours", "floor"),
    "levels": ("empty", "levels", "floor"),
}
_INTERVAL = (2.5, 97.5)
_REALISM = ("kernel_lite", "kernel_segmenter", "fidelity", "fidelity_eye", "diversity", "detail")
_EMPTY = ("spectrum_db", "colours", "levels")
_PIXELS = ("psnr", "ssim", "fidelity_without_noise")


def summarise(scores: Sequence[Mapping[str, Any]], *, baseline: str) -> dict[str, Any]:
    """Rows by label, from the scores of runs, and each recipe's kernel distances as a share of those of ``baseline``.

    Intervals are 95 % of bootstrap draws, of scenes (the same for all runs) and of seeds where there are several; of one seed they
    are of scenes alone. Raises ``DataError`` when runs were judged on other tiles or by other judges.
    """
    if not scores:
        raise DataError("there are no scores yet. Run `python -m bench.protocol score` first.")
    judged = scores[0]["judged_by"]
    for other in scores:
        if other["judged_by"] != judged:
            raise DataError(f"{other['run']} was judged otherwise than {scores[0]['run']}. Score all runs on the same tiles.")
    by_label: dict[str, list[Mapping[str, Any]]] = {}
    for each in sorted(scores, key=lambda one: one["record"]["seed"]):
        by_label.setdefault(each["record"]["label"], []).append(each)
    areas = list(scores[0]["areas"])
    rows = {}
    for label in sorted(by_label, key=lambda name: (not name.startswith(baseline), name)):
        runs = by_label[label]
        rows[label] = _length(runs) | {
            "areas": {area: {name: _figure([run["areas"][area] for run in runs], name) for name in FIGURES} for area in areas}
        }
        for area in areas:
            for name in ("kernel_lite", "kernel_segmenter"):
                bases = [run["areas"][area] for run in by_label.get(baseline, [])]
                against = _against([run["areas"][area] for run in runs], bases, name) if bases and label != baseline else None
                rows[label]["areas"][area][name]["of_baseline"] = against
    first = scores[0]["areas"]
    return {
        "baseline": baseline,
        "judged_by": judged,
        "areas": {
            area: {name: first[area][name] for name in ("tiles", "scenes")} | {"empty_quarters": first[area]["empty"]["quarters"]}
            for area in areas
        },
        "beside": {area: {name: _value(first[area], keys) for name, keys in FLOORS.items()} for area in areas},
        "rows": rows,
    }


def markdown(summary: Mapping[str, Any], labels: Sequence[str]) -> str:
    """Tables of some rows of a summary."""
    rows = summary["rows"]
    parts = [_lengths(rows, labels)]
    for title, names in (("Realism, fidelity, diversity", _REALISM), ("Empty areas", _EMPTY), ("Pixels, and noise", _PIXELS)):
        lines = [["recipe", "place", *(FIGURES[name][1] for name in names)]]
        for area, counts in summary["areas"].items():
            beside = summary["beside"][area]
            known = [name for name in names if beside.get(name) is not None]
            if known:
                where = f"{area} ({counts['tiles']} tiles of {counts['scenes']} scenes, {counts['empty_quarters']} empty quarters)"
                lines.append(["*real images*", where, *(_beside(beside.get(name), name) for name in names)])
            for label in labels:
                figures = rows[label]["areas"][area]
                lines.append([label, area, *(cell(figures[name], FIGURES[name][2]) for name in names)])
        parts.append(f"**{title}**\n\n{_table(lines)}")
    shares = [["recipe", "place", "EfficientNet", "segmenter"]]
    for label in labels:
        for area in summary["areas"]:
            both = [rows[label]["areas"][area][name]["of_baseline"] for name in ("kernel_lite", "kernel_segmenter")]
            if any(both):
                shares.append([label, area, *("–" if one is None else cell(one, 2) for one in both)])
    if "†" in parts[1]:
        parts.insert(2, f"† IoU on real images below {WORTH_MEASURING_IOU}: too weak an eye to judge others by.")
    if len(shares) > 1:
        parts.append(f"**Kernel distance above floor, as a share of that of `{summary['baseline']}`**\n\n{_table(shares)}")
    return "\n\n".join(parts)


def ablation_table(summary: Mapping[str, Any], base: str) -> str:
    """The recipe and its ablations, over all tiles."""
    rows = summary["rows"]
    names = ("kernel_lite", "kernel_segmenter", "fidelity", "fidelity_eye", "diversity", "detail")
    labels = [label for label, row in rows.items() if row["ablates"] == base]
    lines = [["", *(FIGURES[name][1] for name in names), "images/s"]]
    for label in [base, *labels]:
        if label in rows:
            figures = [cell(rows[label]["areas"][EVERYWHERE][name], FIGURES[name][2]) for name in names]
            lines.append([label.removeprefix(f"{base}: "), *figures, f"{rows[label]['images_per_s']:.1f}"])
    return _table(lines)


def cell(figure: Mapping[str, Any], digits: int) -> str:
    """'331 (300 to 362)'; without the interval where there is none."""
    if figure["mean"] is None:
        return "–"
    text = f"{figure['mean']:.{digits}f}"
    return text if figure["low"] is None else f"{text} ({figure['low']:.{digits}f} to {figure['high']:.{digits}f})"


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


def _figure(areas: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    keys = FIGURES[name][0]
    values = [_value(area, keys) for area in areas]
    if any(value is None for value in values):
        return {"mean": None, "low": None, "high": None, "seeds": values}
    draws = [_value(area, (*keys[:-1], "draws")) for area in areas]
    result = over_seeds(values, None if any(each is None for each in draws) else draws)
    if name == "diversity":  # a mean over masks, which has an error of its own
        errors = [area["diversity"]["share_error"] for area in areas]
        if None not in errors:
            wide = 1.96 * float(np.hypot(np.mean(errors), np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0))
            result |= {"low": result["mean"] - wide, "high": result["mean"] + wide}
    return result


def _against(areas: Sequence[Mapping[str, Any]], bases: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any] | None:
    """The share of the baseline's figure that is left, with its interval over the draws that both have in common."""
    keys = FIGURES[name][0]
    ours, theirs = (np.mean([_value(area, keys) for area in some]) for some in (areas, bases))
    if theirs <= 0:
        return None
    drawn = [[_value(area, (*keys[:-1], "draws")) for area in some] for some in (areas, bases)]
    if any(draws is None for some in drawn for draws in some):
        return {"mean": float(ours / theirs), "low": None, "high": None}
    over, under = (_seeds_drawn(np.array(some)) for some in drawn)
    low, high = np.percentile(over[under > 0] / under[under > 0], _INTERVAL)
    return {"mean": float(ours / theirs), "low": float(low), "high": float(high)}


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


def _lengths(rows: Mapping[str, Any], labels: Sequence[str]) -> str:
    lines = [["recipe", "changed", "seeds", "crops", "px", "batch", "parameters, M", "seconds", "images/s"]]
    for label in labels:
        row = rows[label]
        changed = ", ".join(f"{name} {value}" for name, value in row["changes"].items()) or "–"
        counts = (str(value) for value in (len(row["seeds"]), row["crops"], row["crop_px"], row["batch"]))
        speed = f"{row['parameters'] / 1e6:.1f}", f"{row['seconds']:.0f}", f"{row['images_per_s']:.1f}"
        lines.append([label, changed, *counts, *speed])
    machines = {json.dumps(machine) for label in labels for machine in rows[label]["hardware"]}
    described = []
    for text in sorted(machines):
        machine = json.loads(text)
        gpu = f"{machine['gpu']}, " if machine["gpu"] else ""
        threads = f"{machine['threads']} thread{'s' * (machine['threads'] != 1)}"
        described.append(f"{gpu}{machine['cpu']}, {threads}, torch {machine['torch']}")
    return f"**Trainings** ({'; '.join(described)})\n\n{_table(lines)}"


def _beside(value: float | None, name: str) -> str:
    words = {"fidelity": "IoU", "fidelity_eye": "IoU", "diversity": "distance"}.get(name, "floor")
    weak = " †" if words == "IoU" and value is not None and value < WORTH_MEASURING_IOU else ""
    return "" if value is None else f"{words} {value:.{FIGURES[name][2]}f}{weak}"


def _table(lines: Sequence[Sequence[str]]) -> str:
    head, *body = lines
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *body])
