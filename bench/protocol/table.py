"""A summary's tables, as Markdown."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bench.protocol.scores import EVERYWHERE
from bench.protocol.summary import FIDELITIES, FIGURES, KERNELS
from orthoforge.measures.segmenter.fidelity import WORTH_MEASURING_IOU

_REALISM = ("kernel_lite", "kernel_segmenter", "fidelity", "fidelity_eye", "diversity", "detail")
_OUTSIDE = ("kernel_outside", "probe")
_EMPTY = ("spectrum_db", "colours", "levels")
_PIXELS = ("psnr", "ssim", "fidelity_without_noise", "noise")


def markdown(summary: Mapping[str, Any], labels: Sequence[str]) -> str:
    """Tables of some rows of a summary."""
    rows = summary["rows"]
    parts = [_lengths(rows, labels), *_unscored(summary, "")]
    tables = {"Realism, fidelity, diversity": _REALISM, "Empty areas": _EMPTY, "Pixels, and noise": _PIXELS}
    if any(_known(rows[label]["areas"][EVERYWHERE], _OUTSIDE) for label in labels):
        tables["A judge from outside"] = _OUTSIDE
    for title, names in tables.items():
        of_places = not {*names}.isdisjoint(FIDELITIES)
        lines = [["recipe", "place", *(FIGURES[name][1] for name in names)]]
        for area, counts in summary["areas"].items():
            beside, head = summary["beside"][area], f"{area} ‡" if of_places and area == EVERYWHERE else area
            known = [name for name in names if beside.get(name) is not None]
            if known:
                where = f"{head} ({counts['tiles']} tiles of {counts['scenes']} scenes, {counts['empty_quarters']} empty quarters)"
                lines.append(["*real images*", where, *(_beside(beside.get(name), name) for name in names)])
            for label in labels:
                figures = rows[label]["areas"][area]
                lines.append([label, head, *(cell(figures[name], FIGURES[name][2]) for name in names)])
        parts.append(f"**{title}**\n\n{_table(lines)}")
        if "†" in parts[-1]:
            parts.append(f"† IoU on real images below {WORTH_MEASURING_IOU}: too weak an eye to judge others by.")
        if of_places and labels:
            parts.append(f"‡ {_places(rows[labels[0]])}")
    shares = [["recipe", "place", "EfficientNet", "segmenter"]]
    for label in labels:
        for area in summary["areas"]:
            both = [rows[label]["areas"][area][name]["of_baseline"] for name in KERNELS]
            if any(both):
                shares.append([label, area, *("–" if one is None else cell(one, 2) for one in both)])
    if len(shares) > 1:
        parts.append(f"**Kernel distance above floor, as a share of that of `{summary['baseline']}`**\n\n{_table(shares)}")
    return "\n\n".join(parts)


def ablation_table(summary: Mapping[str, Any], base: str) -> str:
    """The recipe and its ablations, over all tiles."""
    rows = summary["rows"]
    names = ("kernel_lite", "kernel_segmenter", "fidelity", "fidelity_eye", "diversity", "detail")
    labels = [label for label in (base, *(label for label, row in rows.items() if row["ablates"] == base)) if label in rows]
    ratios = f"kernel distance as a share of that of `{base}` with the same seeds, EfficientNet", "the same share, segmenter"
    lines = [["", "seeds", *(FIGURES[name][1] for name in names), *ratios, "images/s"]]
    for label in labels:
        figures = rows[label]["areas"][EVERYWHERE]
        both = [figures[name].get("of_base") for name in KERNELS]
        lines.append([
            label.removeprefix(f"{base}: "), _seeds(rows[label]), *(cell(figures[name], FIGURES[name][2]) for name in names),
            *("–" if one is None else cell(one, 2) for one in both), f"{rows[label]['images_per_s']:.1f}",
        ])  # fmt: skip
    return "\n\n".join([_table(lines), *_unscored(summary, base), *(_places(rows[label]) for label in labels[:1])])


def _known(figures: Mapping[str, Any], names: Sequence[str]) -> bool:
    """Whether any is there: scores without that judge, and summaries from before there was one, have none."""
    return any(name in figures and figures[name]["mean"] is not None for name in names)


def cell(figure: Mapping[str, Any], digits: int) -> str:
    """'331 (300 to 362)'; without the interval where there is none."""
    if figure["mean"] is None:
        return "–"
    text = f"{figure['mean']:.{digits}f}"
    return text if figure["low"] is None else f"{text} ({figure['low']:.{digits}f} to {figure['high']:.{digits}f})"


def _lengths(rows: Mapping[str, Any], labels: Sequence[str]) -> str:
    lines = [["recipe", "changed", "seeds", "crops", "px", "batch", "parameters, M", "seconds", "images/s"]]
    for label in labels:
        row = rows[label]
        changed = ", ".join(f"{name} {value}" for name, value in row["changes"].items()) or "–"
        counts = _seeds(row), *(str(row[name]) for name in ("crops", "crop_px", "batch"))
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


def _seeds(row: Mapping[str, Any]) -> str:
    """'3', or '2 of 3 seeds (1 diverged)': a mean of survivors must not pass for one of all."""
    scored, lost = len(row["seeds"]), len(row["diverged"])
    return f"{scored} of {scored + lost} seeds ({lost} diverged)" if lost else str(scored)


def _unscored(summary: Mapping[str, Any], base: str) -> list[str]:
    """A line on what has no row because it diverged, among the ablations of ``base`` (or the recipes: empty); else nothing."""
    lost = {label: row for label, row in summary["diverged"].items() if row["ablates"] == base}
    told = ", ".join(f"`{label}` (0 of {len(row['seeds'])} seeds, {len(row['seeds'])} diverged)" for label, row in lost.items())
    return [f"Without a row: {told}."] if lost else []


def _places(row: Mapping[str, Any]) -> str:
    """Which places' mean the fidelity over all is."""
    figures = row["areas"][EVERYWHERE]
    ours, eye = (", ".join(figures[name]["places"]) or "none" for name in ("fidelity", "fidelity_eye"))
    return (
        f"Fidelity over all is the mean of the places where IoU on real images is {WORTH_MEASURING_IOU} or more: {ours}; "
        f"for the eye of the training tiles: {eye}."
    )


def _beside(value: float | None, name: str) -> str:
    words = {"fidelity": "IoU", "fidelity_eye": "IoU", "diversity": "distance"}.get(name, "floor")
    weak = " †" if words == "IoU" and value is not None and value < WORTH_MEASURING_IOU else ""
    return "" if value is None else f"{words} {value:.{FIGURES[name][2]}f}{weak}"


def _table(lines: Sequence[Sequence[str]]) -> str:
    head, *body = lines
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *body])
