"""``compare``: any runs on one page, with what they make of the same ground, their curves, their scores and what they cost."""

import json
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TypedDict

import torch

from orthoforge.comparison.compared_runs import ComparedRun, read_runs
from orthoforge.comparison.curves import curve_parts
from orthoforge.comparison.pictures import PicturePlan, draw_run, plan_pictures, remembering, scene_rows, tile_rows
from orthoforge.comparison.scores import PlainScores, RunScores, ScoredSet, plain_scores, score_floor, score_parts, score_run
from orthoforge.comparison.settings import (
    RunFacts,
    Settings,
    all_settings,
    differences_table,
    differing_fields,
    facts_table,
    money,
    run_facts,
    settings_of,
    store_words,
)
from orthoforge.comparison.shared_ground import chosen_splits, group_by_ground, scored_tiles
from orthoforge.comparison.verdict import verdict
from orthoforge.devices import chosen_device
from orthoforge.errors import CheckpointError, ConfigError, OutputExistsError
from orthoforge.files import new_file, require_place
from orthoforge.measures.paired import METRICS
from orthoforge.pages import html
from orthoforge.pages.html import Html
from orthoforge.progress import Progress
from orthoforge.tiles.store import TileStore

FORMAT = 1


class _Run(TypedDict):
    label: str
    folder: str
    recipe: object
    settings: Settings
    remarks: list[str]


class ComparedEntry(_Run, RunFacts):
    """One run: what it was, what it took, and what it scored."""

    tiles_fingerprint: str
    scores: PlainScores | None


class Comparison(TypedDict):
    """What the .json beside the page holds."""

    format: int
    made_by: str
    seed: int
    price_per_hour: float | None
    currency: str | None
    verdict: str
    differing_fields: list[str]
    metrics: dict[str, str]
    left_out: list[str]
    runs: list[ComparedEntry]


def compare(
    runs: Sequence[str | Path],
    out: str | Path,
    *,
    data: str | Path | None = None,
    split: str = "test",
    price_per_hour: float | None = None,
    currency: str = "€",
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
) -> Path:
    """Write one page that compares ``runs`` (run folders, or checkpoints in them). Returns ``out``.

    ``out`` ends in .html; the numbers go to a .json of the same name. The first run is what the others are compared with. Each run
    is shown on the tiles that it was trained on. ``data`` is the new place of tiles that moved: a store for all runs, or a folder
    of stores. Tiles are those of ``split``; where some stores have none, those of 'val' are taken, and the page says so.
    ``price_per_hour`` of the machine, in ``currency``, adds what each training cost. A run that lacks something is shown with what
    it has; the page says what is missing.

    Raises:
        CheckpointError: none of the paths is a run.
        ConfigError: an impossible option.
        DataError: ``data`` holds no tiles.
        OutputExistsError: ``out`` is there and ``overwrite`` is false.

    Examples:
        >>> from pathlib import Path
        >>> from orthoforge import compare
        >>> compare([Path("runs/mine"), Path("runs/mine/weights/best")], Path("compared.html")).name
        'compared.html'
    """
    out, folders, device = Path(out), [Path(run) for run in runs], chosen_device(device)
    _require_possible(folders, out, split, price_per_hour)
    for path in (out, out.with_suffix(".json")):
        require_place(path)
    if not overwrite:  # said before minutes of work, not after them
        for path in (out, out.with_suffix(".json")):
            if path.exists():
                raise OutputExistsError(f"{path} exists. Pass --overwrite to replace it, or choose another --out.")
    found, left_out = read_runs(folders, None if data is None else Path(data))
    if not found:
        raise CheckpointError(f"nothing to compare. {left_out[0]}")
    stores = list({run.store.fingerprint: run.store for run in found if run.store is not None}.values())
    splits = chosen_splits(stores, split)
    for run in found:
        if run.store is not None and run.store.fingerprint not in splits:
            run.remarks.append(f"No pictures and no scores: no tile in `{run.store.path}` is in a split.")
            run.store = None
        elif run.store is not None:  # one store object for each fingerprint: runs on copies of the same tiles belong together
            run.store = next(store for store in stores if store.fingerprint == run.store.fingerprint)
    stores = [store for store in stores if store.fingerprint in splits]
    shown = [run for run in found if run.has_pictures]
    plans = plan_pictures(shown, group_by_ground(stores, splits), splits)
    sets = {
        store.fingerprint: score_floor(store, splits[store.fingerprint], scored_tiles(store, splits[store.fingerprint]))
        for store in stores
    }
    scores = [_draw_and_score(run, plans, sets, seed, device) for run in Progress("comparing").over(found, "runs", len(found))]

    facts = [run_facts(run, price_per_hour) for run in found]
    said = verdict(found, scores)
    content = html.page(
        "Comparison of runs" if len(found) > 1 else f"Run {found[0].label}",
        _lead(found, stores, splits),
        *_notes(found, left_out, splits, split),
        *_picture_sections(plans, splits),
        html.section("What differs", *_difference_parts(found, facts, price_per_hour, currency)),
        html.section("Curves", *curve_parts(found)),
        html.section("Scores", *score_parts(found, scores, seed)),
        html.section("Details", all_settings(found), html.paragraph(f"Made by {_made_by(device)}.")),
        verdict=said,
    )
    result = _result(found, facts, scores, said, left_out, price_per_hour, currency, seed, device)
    with new_file(out.with_suffix(".json"), overwrite=overwrite) as partial:
        partial.write_text(json.dumps(result, indent=1, allow_nan=False), encoding="utf-8")
    html.write_page(out, content, overwrite=overwrite)
    return out


def _require_possible(runs: Sequence[Path], out: Path, split: str, price_per_hour: float | None) -> None:
    if not runs:
        raise ConfigError("no run was given.")
    if out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"{out}: --out is a file that ends in .html.")
    if split not in ("train", "val", "test"):
        raise ConfigError(f"split is {split!r}; it must be train, val or test.")
    if price_per_hour is not None and not 0 <= price_per_hour < math.inf:
        raise ConfigError(f"price_per_hour is {price_per_hour}; it must be at least 0, and finite.")


def _draw_and_score(
    run: ComparedRun, plans: Sequence[PicturePlan], sets: Mapping[str, ScoredSet], seed: int, device: str
) -> RunScores | None:
    """Everything that needs the run's weights, so that only one run's are in memory."""
    if not run.has_pictures:
        return None
    assert run.opened is not None and run.store is not None
    generator = run.opened.generator(device)
    draw = remembering(generator, seed)
    for plan in plans:
        if run in plan.runs:
            plan.drawn[run.label] = draw_run(run, draw, plan)
    return score_run(draw, generator, sets[run.store.fingerprint])


def _lead(runs: Sequence[ComparedRun], stores: Sequence[TileStore], splits: Mapping[str, str]) -> str:
    recipes = list(dict.fromkeys(str(settings_of(run).get("name", run.label)) for run in runs))
    named = ", ".join(recipes[:6]) + (f" and {len(recipes) - 6} more" if len(recipes) > 6 else "")
    what = f"{len(runs)} runs" if len(runs) > 1 else "One run"
    on = {0: "", 1: " on one set of tiles"}.get(len(stores), f" on {len(stores)} sets of tiles")
    first = f"{what} of {'recipe' if len(recipes) == 1 else f'{len(recipes)} recipes'} ({named}){on}."
    if len(runs) > 1:
        first += f" {runs[0].label} is the first: what differs is marked, and differences are against it"
        first += f"; pictures and scores are of split {' and '.join(dict.fromkeys(splits.values()))}." if splits else "."
    return first


def _difference_parts(
    runs: Sequence[ComparedRun], facts: Sequence[RunFacts], price_per_hour: float | None, currency: str
) -> list[Html]:
    """Settings that differ, and what each run took."""
    parts = [*differences_table(runs), facts_table(runs, facts, currency)]
    if price_per_hour is not None:
        hours = math.fsum(fact["seconds"] or 0 for fact in facts) / 3600
        parts.append(
            html.paragraph(
                f"Cost: training time (the sum of the column `seconds` of results.csv) at {money(price_per_hour, currency)} an "
                f"hour; {money(hours * price_per_hour, currency)} for all {hours:.2g} hours. Validation, saving, and waiting for a "
                "machine are not in it, nor is the training of a run that another one started from."
            )
        )
    return parts


def _notes(runs: Sequence[ComparedRun], left_out: Sequence[str], splits: Mapping[str, str], split: str) -> list[Html]:
    """What the reader must know before looking at the pictures."""
    parts = []
    other = sorted({name for name in splits.values() if name != split})
    if other:
        used = " and ".join(dict.fromkeys(splits.values()))
        words = f"Not every set of tiles has tiles in split {split}, so pictures and scores are of split {used}."
        parts.append(html.note(words, warning=True))
    said: dict[str, list[str]] = {}
    for run in runs:
        for remark in run.remarks:
            said.setdefault(remark, []).append(run.label)
    parts += [html.note(f"{', '.join(labels)}: {remark}", warning=True) for remark, labels in said.items()]
    parts += [html.note(f"Left out: {reason}", warning=True) for reason in left_out]
    return parts


def _picture_sections(plans: Sequence[PicturePlan], splits: Mapping[str, str]) -> list[Html]:
    if not plans:
        return [html.section("Pictures", html.paragraph("No run has both weights and tiles here, so there are no pictures."))]
    tiles: list[Html] = [
        html.paragraph(
            "Each row is one piece of ground: its mask, what each run makes of it, and the real image. They are the first tiles of "
            "each place in the order of the manifest, not picked. Click to enlarge; the arrow keys go through the row."
        )
    ]
    scenes: list[Html] = []
    for number, plan in enumerate(plans):
        names = ", ".join(run.label for run in plan.runs)
        if len(plans) > 1:
            tiles.append(html.subheading(f"{'The ground of' if number == 0 else 'Other ground:'} {names}"))
            if number == 1:
                tiles.append(html.paragraph("These have no ground in common with those above that is held out in both."))
        tiles.append(html.paragraph(_group_words(plan, splits)))
        tiles += tile_rows(plan)
        scenes += scene_rows(plan)
    parts = [html.section("The same ground", *tiles)]
    if scenes:
        intro = html.paragraph(
            "Masks of whole scenes, as each run would be used on them. A mask is reduced so that a pixel stays building when at "
            "least half of its area is (of classes, the one that covers most)."
        )
        parts.append(html.section("Whole masks", intro, *scenes))
    return parts


def _group_words(plan: PicturePlan, splits: Mapping[str, str]) -> str:
    stores = plan.group.stores
    listed = "; ".join(f"{store_words(store)}, split {splits[store.fingerprint]}" for store in stores)
    if len(stores) == 1:
        return f"Tiles: {listed}."
    return (
        f"Tiles: {listed}. Each run draws its own tile that covers the ground, at its own resolution, and is cut to the ground; "
        f"mask and real image are those of the finest, {plan.finest.path}."
    )


def _result(
    runs: Sequence[ComparedRun],
    facts: Sequence[RunFacts],
    scores: Sequence[RunScores | None],
    said: str,
    left_out: Sequence[str],
    price_per_hour: float | None,
    currency: str,
    seed: int,
    device: str,
) -> Comparison:
    """What the .json beside the page holds."""
    entries: list[ComparedEntry] = []
    for run, fact, one in zip(runs, facts, scores, strict=True):
        entries.append(
            {
                "label": run.label,
                "folder": str(run.folder),
                "recipe": run.settings.get("name"),
                "settings": settings_of(run),
                "remarks": run.remarks,
                **fact,
                "tiles_fingerprint": run.fingerprint,
                "scores": None if one is None else plain_scores(run, one, scores[0]),
            }
        )
    return {
        "format": FORMAT,
        "made_by": _made_by(device),
        "seed": seed,
        "price_per_hour": price_per_hour,
        "currency": currency if price_per_hour is not None else None,
        "verdict": said,
        "differing_fields": differing_fields([settings_of(run) for run in runs]),
        "metrics": METRICS,
        "left_out": list(left_out),
        "runs": entries,
    }


def _made_by(device: str) -> str:
    return f"orthoforge {version('orthoforge')}, torch {torch.__version__}, on {device}"
