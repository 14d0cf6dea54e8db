"""What differs between runs: their settings, and what each cost."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TypedDict

from orthoforge.comparison.compared_runs import ComparedRun
from orthoforge.config import Recipe
from orthoforge.pages import html
from orthoforge.pages.html import Html, Text
from orthoforge.tiles.store import TileStore

# Fields that say what a recipe is for, where a file lies or when one is written; none of them decides what a training computes.
DESCRIPTIVE = frozenset(
    {"name", "description", "outcome", "tiles", "starts_from", "perceptual_weights", "checkpoint_every", "panels_every"}
)
_MANY_FIELDS, _FEW_RUNS = 8, 6


Settings = Mapping[str, object]
"""A recipe's fields as they were recorded, by any version: their values are plain, and else unknown."""


class RunFacts(TypedDict):
    """Epochs, images, time and cost of a run; ``None`` for what is not known."""

    epochs: int
    planned_epochs: int
    images_seen: int | None
    seconds_per_epoch: float | None
    seconds: float | None
    cost: float | None
    hardware: dict[str, object]
    init_from: str | None


def settings_of(run: ComparedRun) -> Settings:
    """Every field that the run recorded, and the defaults of those that came after it, which leave everything as it was."""
    defaults = {entry.name: _default(entry) for entry in dataclasses.fields(Recipe) if entry.name != "name"}
    return {**{name: _plain(value) for name, value in defaults.items()}, **{k: _plain(v) for k, v in run.settings.items()}}


def differing_fields(settings: Sequence[Settings]) -> list[str]:
    """Fields that are not the same in all, in the order of the recipes, without those that decide nothing."""
    effective = [_effective(values) for values in settings]
    names = [name for name in dict.fromkeys(name for values in settings for name in values) if name not in DESCRIPTIVE]
    return [name for name in names if any(values.get(name) != effective[0].get(name) for values in effective)]


def _effective(values: Settings) -> Settings:
    """The fields that have an effect beside the others: without a perceptual loss, not which network it would see with."""
    idle = {
        "perceptual": not values.get("lambda_perceptual"),
        "discriminator": values.get("gan_loss") == "none",
        "step_epochs": values.get("schedule") != "step",
    }
    return {name: value for name, value in values.items() if not any(off and name.startswith(part) for part, off in idle.items())}


def run_facts(run: ComparedRun, price_per_hour: float | None) -> RunFacts:
    """What a run was trained for, and what it took."""
    done, planned = run.epochs
    seconds = [row["seconds"] for row in run.results if math.isfinite(row.get("seconds", math.nan))]
    seen = run.images_seen[-1] if run.results else math.nan
    total = math.fsum(seconds) if seconds else None
    return {
        "epochs": done,
        "planned_epochs": planned,
        "images_seen": round(seen) if math.isfinite(seen) else None,
        "seconds_per_epoch": median(seconds) if seconds else None,
        "seconds": total,
        "cost": total / 3600 * price_per_hour if total is not None and price_per_hour is not None else None,
        "hardware": dict(run.versions),
        "init_from": run.init_from,
    }


def differences_table(runs: Sequence[ComparedRun]) -> list[Html]:
    """The fields that differ; what differs from the first run is marked. A sentence when nothing differs.

    A row a run; a row a field for few runs with many fields; and for many of both, what each run changes in one cell.
    """
    settings = [_effective(settings_of(run)) for run in runs]
    names = differing_fields(settings)
    if len(runs) == 1:
        return []
    if not names:
        return [html.paragraph("All recipes are the same in everything that decides what a training computes.")]

    def cell(values: Settings, name: str) -> Text:
        text = shown_value(values[name]) if name in values else "–"
        return html.marked(text) if values.get(name) != settings[0].get(name) else text

    caption = f"Settings that are not the same in all recipes. Marked: other than in {runs[0].label}."
    recipes, labels = [str(values.get("name", "–")) for values in settings], [run.label for run in runs]
    headings: list[Text] = [Html(f"<code>{html.escape(name)}</code>") for name in names]
    if len(names) > _MANY_FIELDS and len(runs) > _FEW_RUNS:
        changes = [
            [run.label, *([recipe] if recipes != labels else []), _changes(values, settings[0], names)]
            for run, recipe, values in zip(runs, recipes, settings, strict=True)
        ]
        what = f"Other than in {runs[0].label}"
        return [html.table(["Run", *(["Recipe"] if recipes != labels else []), what], changes, "Settings that are not the same.")]
    if len(names) > _MANY_FIELDS:
        by_field = [[heading, *(cell(values, name) for values in settings)] for heading, name in zip(headings, names, strict=True)]
        return [html.table(["Run", *(run.label for run in runs)], [["Recipe", *recipes], *by_field], caption)]
    by_run = [
        [run.label, recipe, *(cell(values, name) for name in names)]
        for run, recipe, values in zip(runs, recipes, settings, strict=True)
    ]
    return [html.table(["Run", "Recipe", *headings], by_run, caption)]


def _changes(values: Settings, first: Settings, names: Sequence[str]) -> Html:
    """'norm instance' 'batch_size 2', each marked."""
    changed = [name for name in names if values.get(name) != first.get(name)]
    return Html(" ".join(html.marked(f"{name} {shown_value(values[name]) if name in values else '–'}") for name in changed) or "–")


def facts_table(runs: Sequence[ComparedRun], facts: Sequence[RunFacts], currency: str) -> Html:
    """What each run was trained on, how far, and what it took."""
    with_cost = any(fact["cost"] is not None for fact in facts)
    with_start = any(fact["init_from"] for fact in facts)
    columns: list[Text] = ["Run", "Tiles", ">Epochs", ">Images seen", ">Time an epoch", ">Training time"]
    alike = len({_hardware(fact["hardware"]) for fact in facts}) == 1
    columns += [">Cost"] * with_cost + ["Started from"] * with_start + ["Hardware"] * (not alike)
    rows = []
    for run, fact in zip(runs, facts, strict=True):
        epochs = f"{fact['epochs']} of {fact['planned_epochs']}"
        cells: list[Text] = [
            run.label,
            tiles_words(run),
            html.marked(epochs) if fact["epochs"] < fact["planned_epochs"] else epochs,
            "–" if fact["images_seen"] is None else f"{fact['images_seen']:,}".replace(",", "\u202f"),
            duration(fact["seconds_per_epoch"]),
            duration(fact["seconds"]),
        ]
        if with_cost:
            cells.append("–" if fact["cost"] is None else money(fact["cost"], currency))
        if with_start:
            cells.append(str(fact["init_from"] or "–").rstrip("/").rsplit("/", 1)[-1])
        rows.append([*cells, *([] if alike else [_hardware(fact["hardware"])])])
    where = f" All on {_hardware(facts[0]['hardware'])}." if alike else ""
    return html.table(columns, rows, f"Time an epoch is the median of training alone, without validation and saving.{where}")


def all_settings(runs: Sequence[ComparedRun]) -> Html:
    """Every field of every run, folded away."""
    recorded = [{name: _plain(value) for name, value in run.settings.items()} for run in runs]
    names = dict.fromkeys(name for values in recorded for name in values)
    rows = []
    for name in names:
        shown = [shown_value(values[name]) if name in values else "–" for values in recorded]
        differs = any(text != shown[0] for text in shown)
        rows.append([Html(f"<code>{html.escape(name)}</code>"), *(html.marked(text) if differs else text for text in shown)])
    table = html.table(["Field", *(run.label for run in runs)], rows)
    return html.details("All settings", table, html.paragraph("–: the run is older than this field, or has no such setting."))


def tiles_words(run: ComparedRun) -> str:
    """'mid-2x2: 540 to train, 286 px of 2.6 m'."""
    place = run.data or str(run.store.path if run.store else "unknown")
    name = place.rstrip("/").rsplit("/", 1)[-1]
    count = f"{trained_on} to train, " if (trained_on := _training_tiles(run)) else ""
    gsd = f" of {run.tiles.gsd_m:.3g} m" if run.tiles.gsd_m else ""
    size = f"{run.tiles.size_px} px{gsd}" if run.tiles.size_px else "size unknown"
    return f"{name}: {count}{size}"


def store_words(store: TileStore) -> str:
    """'tiles/low (286 px of 5.25 m)'."""
    gsd = f" of {store.gsd_m:.3g} m" if store.gsd_m else ""
    return f"{store.path} ({store.size_px} px{gsd})"


def shown_value(value: object) -> str:
    """A setting as a reader wants it: numbers short, nothing as a dash."""
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{16,}", value):
        return f"{value[:12]}…"
    if isinstance(value, list):
        return ", ".join(map(shown_value, value)) or "none"
    return str(value)


def duration(seconds: float | None) -> str:
    """'12.3 s', '4 min 05 s', '25 h 10 min'."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def money(amount: float, currency: str) -> str:
    """An amount with two digits, four below one cent."""
    return f"{amount:.2f} {currency}" if amount >= 0.01 or amount == 0 else f"{amount:.4f} {currency}"


def _training_tiles(run: ComparedRun) -> int | None:
    """How many tiles an epoch goes through, by its curves: a recipe may take only some of them."""
    if run.results and math.isfinite(run.images_seen[0]):
        return round(run.images_seen[0] / int(run.settings.get("crops_per_tile", 1)))
    return len(run.store.ids("train")) if run.store is not None and run.trained_on_store else None


def _hardware(versions: Mapping[str, object]) -> str:
    """'cpu, 2 threads, torch 2.13.0' and whatever else a run recorded."""
    rest = dict(versions)
    words = [str(rest.pop("device"))] if "device" in rest else []
    threads, processes = rest.pop("threads", None), rest.pop("processes", 1)
    words += [f"{threads} thread{'s' * (threads != 1)}"] if threads else []
    words += [f"{processes} processes"] if processes != 1 else []
    return ", ".join([*words, *(f"{name} {value}" for name, value in rest.items())]) or "–"


def _default(entry: "dataclasses.Field[object]") -> object:
    return entry.default_factory() if entry.default_factory is not dataclasses.MISSING else entry.default


def _plain(value: object) -> object:
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value
