"""Scores of several runs over the same tiles, and their differences tile by tile."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from orthoforge.comparison.compared_runs import ComparedRun
from orthoforge.comparison.mosaics import Draw
from orthoforge.comparison.settings import store_words
from orthoforge.measures.means import Mean, mean_and_error
from orthoforge.measures.paired import Scores, mean_colours, tile_scores
from orthoforge.measures.pixels import detail_levels
from orthoforge.pages import html
from orthoforge.pages.html import Html, Text
from orthoforge.runs import GroundKnown, overlap_statement
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import TrainedGenerator

SHOWN_METRICS = {"psnr": ">PSNR, dB", "ssim": ">SSIM", "l1_levels": ">L1, levels", "detail_levels": ">Detail, levels"}
_DIGITS = {"psnr": 2, "ssim": 3, "l1_levels": 1, "detail_levels": 1}
_MINUS = "−"
# Fewer pairs say nothing about the spread of their differences.
_FEWEST_PAIRS = 2


@dataclass(frozen=True)
class ScoredSet:
    """The tiles of one store that are scored, and what stands beside the runs' scores on them."""

    store: TileStore
    split: str
    tile_ids: list[int]
    floor: list[Scores]
    floor_from: str
    real_detail: list[float]


@dataclass(frozen=True)
class RunScores:
    """Scores of one run, tile by tile, and what they belong to."""

    scored: ScoredSet
    tiles: list[Scores]
    sha256: str
    step: int


class CheckpointScored(TypedDict):
    """The weights that a run's images were made with."""

    sha256: str
    step: int


class TilesScored(GroundKnown):
    """The tiles that a run was scored on."""

    tiles: str
    fingerprint: str
    n: int


class PlainScores(TypedDict):
    """Scores of one run as the file beside the page holds them."""

    means: dict[str, Mean]
    floor: dict[str, Mean]
    floor_from: str
    real: dict[str, Mean]
    difference_to_first: dict[str, Mean] | None
    checkpoint: CheckpointScored
    data: TilesScored
    overlap: str
    tiles: list[dict[str, object]]
    """Which tile, and its scores by metric."""


def score_floor(store: TileStore, split: str, tile_ids: Sequence[int]) -> ScoredSet:
    """The set with the scores of pictures of mean colours, and the detail of the real images."""
    floor, words = mean_colours(store, np.array(tile_ids, np.int64))
    scores, detail = [], []
    for tile_id in tile_ids:
        real, mask = store.tile(tile_id)
        scores.append(tile_scores(floor[store.rows[tile_id].place][mask], real))
        detail.append(detail_levels(real))
    return ScoredSet(store, split, list(tile_ids), scores, words, detail)


def score_run(draw: Draw, generator: TrainedGenerator, scored: ScoredSet) -> RunScores:
    """Scores of what ``draw`` makes of each tile's mask."""
    tiles = []
    for tile_id in scored.tile_ids:
        real, mask = scored.store.tile(tile_id)
        image = draw(mask, scored.store.rows[tile_id].place, number=tile_id)
        tiles.append(tile_scores(image, real))
    return RunScores(scored, tiles, generator.sha256, generator.step)


def paired_difference(scores: RunScores, reference: RunScores) -> dict[str, Mean] | None:
    """Mean of the differences to ``reference`` over the tiles that both have, by metric; ``None`` when they share fewer than two.

    Tiles are the same when all their pixels are, by the checksums in the manifests; the stores may differ.
    """
    theirs = _by_checksum(reference)
    pairs = [(row, theirs[sha256]) for sha256, row in _by_checksum(scores).items() if sha256 in theirs]
    if len(pairs) < _FEWEST_PAIRS:
        return None
    return {name: mean_and_error([one[name] - other[name] for one, other in pairs]) for name in SHOWN_METRICS}


def plain_scores(run: ComparedRun, scores: RunScores, reference: RunScores | None) -> PlainScores:
    """Means, differences, circumstances, and every tile."""
    store, scored = scores.scored.store, scores.scored
    known = _ground_known(run, scored)
    return {
        "means": {name: mean_and_error([row[name] for row in scores.tiles]) for name in scores.tiles[0]},
        "floor": {name: mean_and_error([row[name] for row in scored.floor]) for name in scored.floor[0]},
        "floor_from": scored.floor_from,
        "real": {"detail_levels": mean_and_error(scored.real_detail)},
        "difference_to_first": paired_difference(scores, reference) if reference and reference is not scores else None,
        "checkpoint": {"sha256": scores.sha256, "step": scores.step},
        "data": {"tiles": str(store.path), "fingerprint": store.fingerprint, "n": len(scored.tile_ids), **known},
        "overlap": overlap_statement(known)[0],
        "tiles": [
            {"id": tile_id, "scene": row.scene, "place": row.place, "window": list(row.window), "sha256": row.sha256, **values}
            for tile_id, values in zip(scored.tile_ids, scores.tiles, strict=True)
            for row in [store.rows[tile_id]]
        ],
    }


def score_parts(runs: Sequence[ComparedRun], scores: Sequence[RunScores | None], seed: int) -> list[Html]:
    """A table for each set of tiles, what to make of it, and the circumstances."""
    known = [(run, one) for run, one in zip(runs, scores, strict=True) if one is not None]
    if not known:
        return [html.paragraph("No run has both weights and tiles here, so nothing is scored.")]
    reference = scores[0]
    parts = [
        html.note(
            "PSNR, SSIM and L1 favour blur: a sharp tree in the wrong place costs more than no tree at all. They say how close an "
            "image is pixel by pixel, not how real it looks. Detail, the mean difference between neighbouring pixels, is best near "
            "the real images' and shows the other side; noise and checkerboards have much of it too."
        )
    ]
    sets = list({id(one.scored): one.scored for _, one in known}.values())
    for scored in sets:
        parts.append(_table(scored, [(run, one) for run, one in known if one.scored is scored], reference, runs[0].label))
    if len(sets) > 1:
        parts.append(
            html.paragraph("Scores in different tables do not compare: other tiles, or pixels of another size on the ground.")
        )
    parts += _overlap_notes(known)
    return [*parts, _circumstances(known, seed)]


def _table(
    scored: ScoredSet, rows: Sequence[tuple[ComparedRun, RunScores]], reference: RunScores | None, reference_label: str
) -> Html:
    n, total = len(scored.tile_ids), len(scored.store.ids(scored.split))
    cells: list[list[Text]] = []
    compared = False
    for run, scores in rows:
        difference = None if reference is None or scores is reference else paired_difference(scores, reference)
        compared = compared or difference is not None
        means = {name: mean_and_error([row[name] for row in scores.tiles]) for name in SHOWN_METRICS}
        apart = difference or {}
        cells.append([run.label, *(_cell(means[name], name, apart.get(name)) for name in SHOWN_METRICS)])
    floor = {name: mean_and_error([row[name] for row in scored.floor]) for name in SHOWN_METRICS}
    cells.append(["floor: mean colours", *(_cell(floor[name], name) for name in SHOWN_METRICS)])
    cells.append(["real images", "–", "–", "–", _cell(mean_and_error(scored.real_detail), "detail_levels")])
    some = f" (of {total}, spread over the places)" if n < total else ""
    tiles = "1 tile" if n == 1 else f"{n} tiles"
    words = f"{store_words(scored.store)}, split {scored.split}: mean ± standard error over {tiles}{some}."
    if compared:
        words += f" Below it the difference to {reference_label}, tile by tile."
    return html.table(["Run", *SHOWN_METRICS.values()], cells, words)


def _cell(score: Mean, metric: str, difference: Mean | None = None) -> Text:
    digits = _DIGITS[metric]
    text = f"{score['mean']:.{digits}f}{_plus_minus(score, digits)}"
    if difference is None:
        return text
    sign = "+" if difference["mean"] > 0 else _MINUS if difference["mean"] < 0 else "±"
    change = f"{sign}{abs(difference['mean']):.{digits}f}{_plus_minus(difference, digits)}"
    return Html(f'{text}<br><span class="difference">{change}</span>')


def _plus_minus(score: Mean, digits: int) -> str:
    return "" if score["standard_error"] is None else f" ± {score['standard_error']:.{digits}f}"


def _ground_known(run: ComparedRun, scored: ScoredSet) -> GroundKnown:
    return {"trained_on_these": run.trained_on_store, "split": scored.split, "split_method": scored.store.settings["split"]}


def _overlap_notes(known: Sequence[tuple[ComparedRun, RunScores]]) -> list[Html]:
    """Whether the scored tiles were trained on, once for all runs of which the same is to be said."""
    said: dict[tuple[str, bool], list[str]] = {}
    for run, scores in known:
        said.setdefault(overlap_statement(_ground_known(run, scores.scored)), []).append(run.label)
    return [html.note(f"{', '.join(labels)}: {text}", warning=warning) for (text, warning), labels in said.items()]


def _circumstances(known: Sequence[tuple[ComparedRun, RunScores]], seed: int) -> Html:
    rows: list[list[Text]] = []
    for run, scores in known:
        scored = scores.scored
        rows.append(
            [
                run.label,
                f"{scores.step}",
                Html(f"<code>{scores.sha256[:12]}…</code>"),
                Html(f"<code>{scored.store.fingerprint[:12]}…</code>"),
                f"{scored.split} ({scored.store.settings['split']}), n = {len(scored.tile_ids)}",
            ]
        )
    floors = "; ".join(dict.fromkeys(scores.scored.floor_from for _, scores in known))
    return html.table(
        ["Run", ">Step", "Weights, SHA-256", "Tiles, fingerprint", "Split"],
        rows,
        f"Circumstances. Seed {seed} for all that is random in a network. The floor's colours come from {floors}. The error is "
        "that of independent tiles; tiles of one scene resemble each other, so the true one is larger.",
    )


def _by_checksum(scores: RunScores) -> dict[str, Scores]:
    rows = scores.scored.store.rows
    return {rows[tile_id].sha256: row for tile_id, row in zip(scores.scored.tile_ids, scores.tiles, strict=True)}
