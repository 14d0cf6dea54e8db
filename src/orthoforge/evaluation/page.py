"""The page of ``evaluate``: its tables, and what they say in words."""

from collections.abc import Mapping
from typing import Any

from orthoforge.bands import unseen_bands
from orthoforge.evaluation.paired import circumstances, made_at_other_scale, overlap_statement, score_parts
from orthoforge.measures.realism.realism import FIGURES, RELIABLE_IMAGES, is_reliable
from orthoforge.measures.realism.verdict import LEAST_IMAGES
from orthoforge.measures.realism.verdict import words as verdict_words
from orthoforge.pages import html
from orthoforge.pages.html import Html, Text

_HEADINGS = {
    "frechet": "Fréchet distance", "kernel_x1000": "Kernel distance × 1000", "precision": "Precision", "recall": "Recall",
    "density": "Density", "coverage": "Coverage",
}  # fmt: skip
_DIGITS = {"frechet": 1, "kernel_x1000": 1}
# A checkerboard so many times its surroundings, and the real images', is worth a sentence.
_BOARD = 2


def lead(result: Mapping[str, Any]) -> str:
    """What was scored, in a sentence."""
    data, images, checkpoint = result["data"], result["images"], result["checkpoint"]
    against = f"the {counted(data['n'], 'tile')} of split {data['split']} in {data['tiles']}"
    if checkpoint:
        return f"Recipe {checkpoint['recipe']} at step {checkpoint['step']}, scored on {against}."
    paired = f"{images['paired']} of them show a tile by their name" if images["paired"] else "none of them is named as a tile"
    return f"{counted(images['n'], 'image')} of the folder {images['source']}, scored against {against}; {paired}."


def sections(result: Mapping[str, Any]) -> list[Html]:
    """The sections with numbers."""
    if result["scores"]:
        parts = [html.section("Scores pixel by pixel", *score_parts(result))]
    else:
        text, warning = overlap_statement(result["data"])
        words = "No image is named as a tile, so none is compared pixel by pixel, and there is no perceptual distance."
        parts = [html.section("Circumstances", html.note(text, warning=warning), html.paragraph(words), circumstances(result))]
    return [
        _realism(result),
        *parts,
        *_fidelity(result["fidelity"]),
        _diversity(result["diversity"]),
        *_memorisation(result["memorisation"]),
    ]


def realism_lines(realism: Mapping[str, Any]) -> list[str]:
    """The figures of realism for a terminal: value, interval and floor; and the verdict."""
    lines = []
    for name in ("frechet", "kernel_x1000", "precision", "recall"):
        figure = realism[name]
        if figure["value"] is None:
            lines.append(f"{_HEADINGS[name]:24} not measured: {figure['why']}")
            continue
        floor = ""
        if figure["floor"]:  # the figure of all images is lower than that of halves; these two compare
            halves = f"two real halves {_spread(figure['floor'], name)}"
            floor = f"  one half generated {_spread(figure['matched'], name)}, {halves}"
        lines.append(f"{_HEADINGS[name]:24} {_value(figure, name)} {_interval(figure, name)}{floor}")
    return [*lines, verdict_words(realism["verdict"])]


def fidelity_line(figures: Mapping[str, Any]) -> str:
    """The ratio with its interval, and the segmenter's IoU on generated images, real ones and other tiles' masks, as a line."""
    ratio = figures["ratio"]["iou"]
    value = "not measured" if ratio["value"] is None else f"{ratio['value']:.2f}"
    interval = f" ({ratio['interval'][0]:.2f} to {ratio['interval'][1]:.2f})" if ratio["interval"] else ""
    return (
        f"fidelity to the mask {value}{interval}: a segmenter's IoU is {figures['generated']['iou']:.3f} on generated images, "
        f"{figures['real']['iou']:.3f} on real ones, {figures['shuffled']['iou']:.3f} where the mask is another one's"
    )


def warnings_of(result: Mapping[str, Any]) -> list[str]:
    """What a reader of the figures must know first."""
    data = result["data"]
    text, is_warning = overlap_statement(data)
    warnings = [text] if is_warning else []
    if data["allowed_trained"] and data["trained_tiles"]:
        warnings.append(f"{data['trained_tiles']} scored tiles were trained on; --allow-trained was given.")
    styles = (result["checkpoint"] or {}).get("styles")
    if styles and styles["tiles_in_own"] < data["n"]:
        warnings.append(
            f"{data['n'] - styles['tiles_in_own']} of {data['n']} tiles are of places whose style the run does not know; they were "
            "made in any of its styles."
        )
    if made_at_other_scale(result):
        warnings.append(
            f"The run was trained at {result['checkpoint']['gsd_m']:.3g} m a pixel, the tiles have {data['gsd_m']:.3g} m: "
            "buildings are made in the wrong size."
        )
    if unseen := unseen_bands(data["band_count"], data["bands"]):
        warnings.append(f"{unseen} --bands chooses others.")
    if not is_reliable(result["realism"]):
        counts = result["realism"]["frechet"]
        warnings.append(few_images(counts["n_generated"], counts["n_real"]))
    return warnings


def few_images(n_generated: int, n_real: int) -> str:
    """The warning below ``RELIABLE_IMAGES``."""
    return (
        f"{n_generated} generated and {n_real} real images are fewer than {RELIABLE_IMAGES}: the Fréchet distance is mostly the "
        "bias of few images, and compares only with its own floor. The kernel distance has no such bias; read its interval."
    )


def counted(n: int, what: str) -> str:
    """'1 tile', '2 tiles'."""
    return f"{n} {what}{'s' * (n != 1)}"


def _realism(result: Mapping[str, Any]) -> Html:
    realism = result["realism"]
    network = realism["circumstances"]
    n_generated, n_real = realism["frechet"]["n_generated"], realism["frechet"]["n_real"]
    rows: list[list[Text]] = []
    for name, heading in _HEADINGS.items():
        figure = realism[name]
        if figure["value"] is None:
            rows.append([heading, "–", "–", "–", "–"])
            continue
        rows.append(
            [
                heading,
                _value(figure, name),
                _interval(figure, name),
                _spread(figure["matched"], name),
                _spread(figure["floor"], name),
            ]
        )
    spectrum, board = realism["spectrum_db"], realism["checkerboard"]
    floor = "–" if spectrum["floor"] is None else f"{spectrum['floor']:.1f}"
    rows.append(["Power spectrum, dB apart", f"{spectrum['value']:.1f}", "–", "–", floor])
    if board["value"] is not None:
        rows.append(["Checkerboard, 1 is none", f"{board['value']:.2f}", "–", "–", f"{board['real']:.2f}"])
    halves = realism.get("halves", {})
    split = (
        f"two disjoint halves of the real ones, split by {halves['by']} {halves['splits']} times ({halves['n'][0]:.0f} and "
        f"{halves['n'][1]:.0f} images), mean ± standard deviation"
        if "splits" in halves
        else f"two halves of the real ones ({halves.get('why', 'too few images')})"
    )
    method = realism.get("interval", {})
    resampled = f" drawing {method['resampled']} anew {method['rounds']} times" if method.get("resampled") else " (none: too few)"
    table = html.table(
        ["", ">Generated", ">95 % interval", ">One half", ">Real halves"],
        rows,
        f"{counted(n_generated, 'generated image')} against {counted(n_real, 'real one')}, as {network['network']} sees them "
        f"({network['layer']}). The interval comes from{resampled}. The floor, at the right, is {split}. Beside it generated "
        "images take the place of one half: this compares with the floor.",
    )
    parts = [table, *(html.paragraph(text) for text in _reading(realism))]
    if min(n_generated, n_real) < RELIABLE_IMAGES:
        parts.append(html.note(few_images(n_generated, n_real), warning=True))
    meanings = html.table(["Figure", "What it is"], [[_HEADINGS[name], words] for name, words in FIGURES.items()])
    return html.section("Realism", *parts, html.details("What the figures are", meanings))


def _reading(realism: Mapping[str, Any]) -> list[str]:
    """What the table says, in sentences."""
    lines = []
    lines.append(verdict_words(realism["verdict"]))
    precision, recall = realism["precision"], realism["recall"]
    if precision["value"] is not None:
        lines.append(
            f"{100 * precision['value']:.0f} % of the generated images lie among the real ones (precision), and "
            f"{100 * recall['value']:.0f} % of the real ones among the generated (recall: variety)."
        )
    by_frequency = realism["spectrum_db"]["by_frequency"]
    change = "lack" if by_frequency[-1] < 0 else "have too much"
    lines.append(
        f"In the finest quarter of the spectrum the generated images {change} {abs(by_frequency[-1]):.1f} dB of power against the "
        f"real ones, in the coarsest they have {abs(by_frequency[0]):.1f} dB {'less' if by_frequency[0] < 0 else 'more'}."
    )
    board = realism["checkerboard"]
    if board["value"] is not None and board["value"] > _BOARD * max(1, board["real"]):
        lines.append(
            f"A pattern that repeats every 2 or 4 px stands out of the generated images' spectrum: {board['value']:.1f} times what "
            f"lies around it; of the real ones' {board['real']:.1f}."
        )
    return lines


def _diversity(figures: Mapping[str, Any]) -> Html:
    if figures["value"] is None:
        return html.section("Diversity", html.paragraph(f"Not measured: {figures['why']}."))
    if figures["deterministic"]:
        text = (
            f"0: the network makes one image of a mask, whatever the seed ({counted(figures['masks'], 'mask')} with "
            f"{len(figures['seeds'])} seeds each gave the same image to the bit). Variety comes from the masks alone."
        )
        return html.section("Diversity", html.paragraph(text))
    error = f" ± {figures['standard_error']:.3f}" if figures["standard_error"] is not None else ""
    between = f" Two real images of different masks are {figures['between_masks']:.3f} apart." if figures["between_masks"] else ""
    text = (
        f"Two images of one mask with different seeds are {figures['value']:.3f}{error} apart in perceptual distance (mean over "
        f"{counted(figures['masks'], 'mask')} and all pairs of {len(figures['seeds'])} seeds), {figures['levels']:.1f} levels "
        f"pixel by pixel.{between}"
    )
    return html.section("Diversity", html.paragraph(text))


def _memorisation(figures: Mapping[str, Any]) -> list[Html]:
    if figures["ratio"] is None:
        return [html.section("Memorisation", html.paragraph(f"Not measured: {figures.get('why', 'the yardstick is 0')}."))]
    rows = [
        ["Generated", f"{figures['median_generated']:.2f}", f"{figures['least_generated']:.2f}", f"{figures['n_generated']}"],
        ["Real test tiles", f"{figures['median_real']:.2f}", f"{figures['least_real']:.2f}", f"{figures['n_real']}"],
    ]
    some = "" if figures["searched"] == figures["training_tiles"] else f" (of {figures['training_tiles']}, spread over them)"
    table = html.table(
        ["Distance to the nearest training tile", ">Median", ">Least", ">Images"],
        rows,
        f"Euclidean, in the vectors of {figures['circumstances']['network']}; {figures['searched']} training tiles{some}.",
    )
    share, expected = figures["nearer_than_real"], figures["expected_nearer"]
    text = (
        f"{100 * share:.1f} % of the generated images lie nearer to a training tile than all but {100 * expected:.0f} % of the "
        "real test tiles do. " + _copies(share, expected, figures["n_generated"], figures["n_real"])
    )
    assumed = [html.note(f"Assumed: {figures['assumed']}.")] if "assumed" in figures else []
    return [html.section("Memorisation", table, html.paragraph(text), *assumed)]


def _copies(share: float, expected: float, n_generated: int, n_real: int) -> str:
    """Whether they are a sign of copies; with few images their absence is none."""
    if share > 2 * expected:
        return "Copies would lie there; look at the pictures below."
    # With n images, none of a share p of them is seen in (1 - p)ⁿ of cases: below p such a share shows in 19 of 20.
    shown = 100 * (1 - 0.05 ** (1 / n_generated))
    if min(n_generated, n_real) < LEAST_IMAGES:
        return f"So few images are no evidence: only copies of more than {shown:.0f} % of all images would have shown."
    return f"That is no sign of copies; of more than {shown:.1f} % of all images they would have shown."


def _fidelity(figures: Mapping[str, Any] | None) -> list[Html]:
    if figures is None:
        return []
    rows: list[list[str]] = []
    for place, part in {"everywhere": figures, **figures["by_place"]}.items():
        ratio = part["ratio"]["iou"]
        shown = "–" if ratio["value"] is None else f"{ratio['value']:.2f}"
        interval = f"{ratio['interval'][0]:.2f} to {ratio['interval'][1]:.2f}" if ratio["interval"] else "–"
        scores = [f"{part[kind][name]:.3f}" for name in ("iou", "boundary_f") for kind in ("generated", "real")]
        rows.append([place, str(part["n"]), *scores, shown, interval])
    table = html.table(
        ["Place", ">Tiles", ">IoU", ">real", ">Boundary F", ">real", ">IoU, ratio", ">95 %"],
        rows,
        f"A segmenter trained on {figures['segmenter']['n']} real tiles that the run was not trained on. It errs on real images "
        "too, so the ratio counts: 1 is as good as real.",
    )
    parts = [table]
    if figures["by_size"]:
        found = [
            [name, str(part["n"]), f"{100 * part['generated']['found']:.0f} %", f"{100 * part['real']['found']:.0f} %"]
            for name, part in figures["by_size"].items()
        ]
        parts.append(html.table(["Buildings", ">Number", ">Found in generated", ">in real"], found))
    chance = figures["shuffled"]["chance_iou"]
    parts.append(
        html.paragraph(
            f"Against the mask of another tile the generated images get {figures['shuffled']['iou']:.3f}; as many pixels strewn at "
            f"random would get {chance:.3f}."
        )
    )
    return [html.section("Fidelity to the mask", *parts, *(html.note(text) for text in figures["notes"]))]


def _value(figure: Mapping[str, Any], name: str) -> str:
    return f"{figure['value']:.{_DIGITS.get(name, 2)}f}"


def _interval(figure: Mapping[str, Any], name: str) -> str:
    if figure["low"] is None:
        return "–"
    return f"{figure['low']:.{_DIGITS.get(name, 2)}f} to {figure['high']:.{_DIGITS.get(name, 2)}f}"


def _spread(values: Mapping[str, float] | None, name: str) -> str:
    if values is None:
        return "–"
    digits = _DIGITS.get(name, 2)
    error = "" if values["standard_deviation"] is None else f" ± {values['standard_deviation']:.{digits}f}"
    return f"{values['mean']:.{digits}f}{error}"
