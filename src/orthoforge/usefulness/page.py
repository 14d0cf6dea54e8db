"""The page of ``utility``: the verdict in words, the curves, the table, and what the segmenter was shown."""

from collections.abc import Sequence

import numpy as np

from orthoforge.measures.means import Mean
from orthoforge.measures.segmenter.mask_scores import BOUNDARY_PX
from orthoforge.pages import html
from orthoforge.pages.html import Html, Picture, Text
from orthoforge.pages.line_drawings import Curve, curves_plot, legend
from orthoforge.tiles.store import TileStore
from orthoforge.usefulness.design import REFERENCE
from orthoforge.usefulness.findings import ArmRow, FractionFound, FractionSaid, Utility, UtilityFound
from orthoforge.usefulness.paired_statistics import Difference

_SHOWN = 6
_EFFECT = {"gain": "helps", "loss": "harms"}


def fraction_verdict(entry: FractionFound, rows: Sequence[ArmRow]) -> str:
    """What was found at one fraction, against the best that costs nothing: of all ratios together, and of the best arm."""
    tiles = f"{entry['real_tiles']} tile{'s' * (entry['real_tiles'] != 1)}"
    ratios = sum(row["kind"] == "mixed" for row in rows)
    averaged = f", on average over {ratios} ratios" if ratios > 1 else ""
    how = "the best that costs nothing, by validation tiles" if entry["chosen_on"] else "no validation tile could choose another"
    text = (
        f"{percent(entry['fraction'])} of the real tiles ({tiles}), against {entry['best_baseline']} ({how}): "
        f"{_finding(entry['difference'])}{averaged}."
    )
    if (best := entry["best_synthetic_difference"]) and not (ratios == 1 and entry["best_synthetic"] in _mixed(rows)):
        text += f" Of the arms with synthetic images, {entry['best_synthetic']} is best on validation tiles: {_finding(best)}."
    if entry["best_baseline"] != REFERENCE.name:
        free = next(apart for row in rows if row["arm"] == entry["best_baseline"] and (apart := row["difference"]))
        text += (
            f" Against real tiles turned and mirrored alone: {_finding(entry['to_plain'])}; {entry['best_baseline']} by itself is "
            f"{_signed(free['mean'])} beyond them."
        )
    return text


def _mixed(rows: Sequence[ArmRow]) -> list[str]:
    return [row["arm"] for row in rows if row["kind"] == "mixed"]


def overall_verdict(by_fraction: Sequence[FractionSaid]) -> str:
    """One sentence or two for all fractions."""
    found: dict[str, list[str]] = {}
    for entry in by_fraction:
        found.setdefault(entry["difference"]["verdict"], []).append(percent(entry["fraction"]))
    if "undecided" in found:
        return "Undecided: one seed has no interval. Add seeds with --seeds 3; what is finished is kept."
    if set(found) == {"no measurable gain"}:
        where = _listed(found["no measurable gain"])
        return f"No measurable gain from these synthetic images beyond what costs nothing, at {where} of the real tiles."
    parts = [f"{_EFFECT[kind]} at {_listed(found[kind])} of the real tiles" for kind in ("gain", "loss") if kind in found]
    text = f"Training on these synthetic images {' and '.join(parts)}, against the best that costs nothing."
    if "no measurable gain" in found:
        text += f" No measurable gain at {_listed(found['no measurable gain'])}."
    return text


def page(result: Utility, store: TileStore, synthetic: TileStore) -> Html:
    """The whole page; ``synthetic`` are tiles to show."""
    data, settings = result["data"], result["settings"]
    seeds = len(settings["seeds"])
    lead = (
        f"The same segmenter, trained {result['trainings']['n']} times for {settings['segmenter']['steps']} steps each, tested on "
        f"{data['test_tiles']} tiles of {data['test_scenes']} scenes that no training saw."
    )
    return html.page(
        "Does training on synthetic images help?",
        lead,
        *(html.note(text, warning=True) for text in result["warnings"]),
        *(html.paragraph(entry["text"]) for entry in result["by_fraction"]),
        html.section("What the segmenter was shown", *_examples(store, synthetic)),
        html.section("Scores", *_curves(result), _table(result), *_how_to_read(result, seeds)),
        *_labels(result),
        html.section("Circumstances", _circumstances(result)),
        verdict=result["verdict"],
    )


def percent(share: float) -> str:
    """'5 %'."""
    return f"{100 * share:.3g} %"


def _finding(figures: Difference) -> str:
    if figures["verdict"] == "undecided":
        return f"undecided, {_signed(figures['mean'])} IoU with one seed"
    scenes = figures["bootstrap_interval"]
    also = f"; {_interval(scenes)} over seeds and scenes" if scenes else ""
    return (
        f"{figures['verdict']}, {_signed(figures['mean'])} IoU (95 % interval {_interval(figures['t_interval'])} over seeds{also})"
    )


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _curves(result: UtilityFound) -> list[Html]:
    fractions = result["settings"]["fractions"]
    if len(fractions) < 2:
        return []
    names = list(dict.fromkeys(row["arm"] for row in result["arms"]))
    x = [100 * fraction for fraction in fractions]
    scores, gains = [], []
    for number, name in enumerate(names):
        mine = sorted((row for row in result["arms"] if row["arm"] == name), key=lambda row: row["fraction"])
        scores.append(Curve(name, x, [row["iou"]["mean"] for row in mine], number))
        beyond = [apart["mean"] for row in mine if (apart := row["difference"])]
        if beyond:
            gains.append(Curve(name, x, beyond, number))
    label = "% of the real training tiles"
    both = [curves_plot("IoU on the test tiles", label, scores), curves_plot("IoU beyond that of real alone", label, gains)]
    return [
        html.plots(both),
        legend([(name, number) for number, name in enumerate(names)]),
    ]


def _labels(result: UtilityFound) -> list[Html]:
    """What further labels would bring, where the fractions are enough to say it."""
    curve = result["curve"]
    if curve is None:
        return []
    lines = [Curve(side["arm"], side["real_tiles"], side["iou"], number) for number, side in enumerate(curve["sides"])]
    return [
        html.section(
            "How many labels",
            html.plots([curves_plot("IoU on the test tiles", "real training tiles", lines)]),
            legend([(side["arm"], number) for number, side in enumerate(curve["sides"])]),
            html.paragraph(curve["text"]),
            html.paragraph(
                "The law is 1 − IoU = a · tiles^−b, fitted to these fractions; the interval is a bootstrap over seeds and test "
                "scenes. It supposes that further tiles are like these, and says nothing of how far the law holds."
            ),
        )
    ]


def _table(result: UtilityFound) -> Html:
    columns = ["Trained on", ">IoU", ">Beyond real", ">Beyond best", ">Over seeds", ">Seeds and scenes", "Finding",
               ">Boundary F", ">Beyond real", ">Real crops", ">Synthetic"]  # fmt: skip
    parts = []
    for entry in result["by_fraction"]:
        rows: list[list[Text]] = []
        for row in result["arms"]:
            if row["fraction"] != entry["fraction"]:
                continue
            apart, drawn = row["to_best"], row["drawn"]
            intervals = [_interval(apart["t_interval"]), _interval(apart["bootstrap_interval"])] if apart else ["–", "–"]
            beyond = [f"{_signed(figures['mean'])}{_error(figures)}" if figures else "–" for figures in (row["difference"], apart)]
            finding = _mark(apart["verdict"]) if apart else "–"
            score = f"{row['iou']['mean']:.3f}{_error(row['iou'])}"
            edges, further = row["boundary_f"], row["boundary_difference"]
            at_edges = [f"{edges['mean']:.3f}{_error(edges)}", f"{_signed(further['mean'])}{_error(further)}" if further else "–"]
            rows.append([row["arm"], score, *beyond, *intervals, finding, *at_edges, str(drawn["real"]), str(drawn["synthetic"])])
        tiles = entry["real_tiles"]
        caption = (
            f"{percent(entry['fraction'])} of the real tiles: {tiles} tile{'s' * (tiles != 1)}. The best baseline: "
            f"{entry['best_baseline']}"
        )
        parts.append(html.table(columns, rows, caption))
    return html.join(parts)


def _mark(verdict: str) -> Text:
    return html.marked(verdict) if verdict in _EFFECT else verdict


def _error(figures: Mean) -> str:
    return "" if figures["standard_error"] is None else f" ± {figures['standard_error']:.3f}"


def _interval(interval: Sequence[float] | None) -> str:
    return "–" if interval is None else f"{_signed(interval[0])} to {_signed(interval[1])}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _how_to_read(result: UtilityFound, seeds: int) -> list[Html]:
    chance = sum(row["to_best"] is not None for row in result["arms"])
    chose = (
        "The best baseline is, of the arms with real tiles alone, the best on validation tiles"
        if result["data"]["validation_tiles"]
        else "No validation tile could choose the best baseline: it is strong augmentation"
    )
    strong = result["settings"]["augmentation"] == "strong"
    varied = "All arms but `real` and `real, no flips` change colours, sharpness and scale of their crops" if strong else (
        "`real, strong augmentation` alone changes colours, sharpness and scale of its crops"
    )  # fmt: skip
    return [
        html.paragraph(
            f"Means ± standard errors over {seeds} seed{'s' * (seeds != 1)}. A seed decides which real tiles are taken, the order "
            "of crops and the network's first weights, and all arms share it: differences are taken seed by seed, to `real` "
            "(turned and mirrored) and to the best baseline. The intervals are of the latter; the first is Student's over seeds, "
            "the second a bootstrap over seeds and test scenes, both at 95 %. Only where both lie on one side of 0 is it called a "
            f"gain or a loss. Of the {chance} comparisons in these tables some may come out so by chance. {chose}; the "
            "verdict is of all ratios together, one comparison at each fraction. Boundary F is the share of edge pixels within "
            f"{BOUNDARY_PX} px of an edge of the other mask, the harmonic mean of both ways; no verdict rests on it."
        ),
        html.paragraph(
            "Every arm takes the same number of steps with the same batch. Ratio 1:2 means one real image for two synthetic ones "
            "among them, so that it sees a third of the real crops that `real` sees, as the last columns say. `synthetic first` "
            "sees synthetic crops in the first half of its steps and real ones in the second. "
            f"{varied}; all but `no flips` turn and mirror."
        ),
    ]


def _examples(store: TileStore, synthetic: TileStore) -> list[Html]:
    parts = []
    for name, tiles, ids in (("Synthetic", synthetic, np.arange(len(synthetic.rows))), ("Real", store, store.ids("train"))):
        shown = ids[np.unique(np.linspace(0, len(ids) - 1, min(_SHOWN, len(ids))).astype(int))].tolist()
        pictures = [tiles.tile(tile_id) for tile_id in shown]
        places = [tiles.rows[tile_id].place for tile_id in shown]
        pairs = [
            (Picture(image, place), Picture(tiles.mask_rgb(mask), "its mask", lossless=True))
            for (image, mask), place in zip(pictures, places, strict=True)
        ]
        parts.append(html.picture_groups(pairs, heading=name))
    return [html.paragraph("At equal steps of the tiles, none picked."), *parts]


def _circumstances(result: UtilityFound) -> Html:
    data, source, segmenter = result["data"], result["synthetic"], result["settings"]["segmenter"]
    spent = result["trainings"]
    rows: list[list[Text]] = [
        ["Real tiles", f"{data['tiles']}, {data['fingerprint'][:12]}: {data['training_tiles']} to train on, {data['size_px']} px"],
        ["Test", f"split {data['split']} (method {data['split_method']}): {data['test_tiles']} tiles, "
                 f"{data['test_scenes']} scenes, {data['test_places']} places"],
        ["Synthetic images", f"{source['n']} from {source['kind']} {source['source'] or 'given in Python'}, "
                             f"{(source.get('sha256') or source['fingerprint'])[:12]}"],
        ["Segmenter", ", ".join(f"{name} {value}" for name, value in segmenter.items() if name != "seed")],
        ["Time", f"{spent['seconds'] / 60:.1f} min for {spent['n']} trainings and tests, {spent['cpu_seconds'] / 60:.1f} CPU min"],
        ["Made by", result["made_by"]],
    ]  # fmt: skip
    return html.table(["", "What"], rows)
