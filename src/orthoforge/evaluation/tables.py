"""Tables of pixel scores and of realism, on pages and in terminals, and what they say in words."""

import math

from orthoforge.evaluation.result import Evaluation, RealismSeen
from orthoforge.geo.grid import other_scale
from orthoforge.measures.means import Mean
from orthoforge.measures.paired import Image, MeanScores
from orthoforge.measures.realism.figures import FIGURES, Figure, FigureName, Realism, Spread
from orthoforge.measures.realism.realism import RELIABLE_IMAGES
from orthoforge.measures.realism.verdict import words as verdict_words
from orthoforge.pages import html
from orthoforge.pages.html import Html, Text
from orthoforge.runs import overlap_statement

_IMAGES: dict[Image, str] = {"generated": "generated", "mean_colours": "floor: mean colours", "real": "real images"}
_BESIDE: tuple[Image, ...] = ("generated", "mean_colours")
_COLUMNS = {
    "psnr": ">PSNR, dB", "ssim": ">SSIM", "ms_ssim": ">MS-SSIM", "perceptual": ">Perceptual", "lpips": ">LPIPS",
    "l1_levels": ">L1, levels", "detail_levels": ">Detail, levels",
}  # fmt: skip
_DIGITS = {"ssim": 3, "ms_ssim": 3, "perceptual": 3, "lpips": 3, "psnr": 2}
_REALISM: dict[FigureName, str] = {
    "frechet": "Fréchet distance", "kernel_x1000": "Kernel distance × 1000", "precision": "Precision", "recall": "Recall",
    "density": "Density", "coverage": "Coverage",
}  # fmt: skip
_REALISM_DIGITS: dict[FigureName, int] = {"frechet": 1, "kernel_x1000": 1}
# A checkerboard so many times its surroundings, and the real images', is worth a sentence.
_BOARD = 2


def score_lines(scores: MeanScores) -> list[str]:
    """The means, for a terminal."""
    columns = _columns(scores)
    rows = [["", *(heading.removeprefix(">") for heading in columns.values())]]
    for name, label in _IMAGES.items():
        rows.append([label, *(_cell(scores[name].get(metric), metric) for metric in columns)])
    return ["  ".join([f"{label:20}", *(f"{cell:>15}" for cell in cells)]) for label, *cells in rows]


def score_parts(result: Evaluation) -> list[Html]:
    """Tables of an ``evaluate`` result's pixel scores, what they mean, and their circumstances; for this report and for others."""
    scores, data = result["scores"], result["data"]
    assert scores is not None
    columns = _columns(scores)
    n = scores["generated"]["psnr"]["n"]
    overall = html.table(
        ["", *columns.values()],
        [[label, *(_cell(scores[name].get(metric), metric) for metric in columns)] for name, label in _IMAGES.items()],
        f"Mean ± standard error over {n} tiles of split {data['split']}. The error is that of independent tiles; "
        "tiles of one scene resemble each other, so the true one is larger.",
    )
    by_place = html.table(
        ["Place", ">Tiles", ">PSNR", ">its floor", ">SSIM", ">its floor", ">Detail", ">real"],
        [
            [
                place,
                str(part["generated"]["psnr"]["n"]),
                *(f"{kind['psnr']['mean']:.2f}" for kind in (part["generated"], part["mean_colours"])),
                *(f"{kind['ssim']['mean']:.3f}" for kind in (part["generated"], part["mean_colours"])),
                *(f"{kind['detail_levels']['mean']:.1f}" for kind in (part["generated"], part["real"])),
            ]
            for place, part in result["by_place"].items()
        ],
        "By place",
    )
    text, is_warning = overlap_statement(data, data["trained_tiles"])
    return [
        overall,
        *(html.paragraph(line) for line in _reading(scores)),
        html.note(text, warning=is_warning),
        by_place,
        circumstances(result),
    ]


def realism_lines(realism: Realism) -> list[str]:
    """The figures of realism for a terminal: value, interval and floor; and the verdict."""
    lines = []
    names: tuple[FigureName, ...] = ("frechet", "kernel_x1000", "precision", "recall")
    for name in names:
        figure = realism[name]
        if figure["value"] is None:
            lines.append(f"{_REALISM[name]:24} not measured: {figure['why']}")
            continue
        floor = ""
        if figure["floor"] and figure["matched"]:  # the figure of all images is lower than that of halves; these two compare
            halves = f"two real halves {_spread(figure['floor'], name)}"
            floor = f"  one half generated {_spread(figure['matched'], name)}, {halves}"
        lines.append(f"{_REALISM[name]:24} {_value(figure, name)} {_interval(figure, name)}{floor}")
    return [*lines, verdict_words(realism["verdict"])]


def few_images(n_generated: int, n_real: int) -> str:
    """The warning below ``RELIABLE_IMAGES``."""
    return (
        f"{n_generated} generated and {n_real} real images are fewer than {RELIABLE_IMAGES}: the Fréchet distance is mostly the "
        "bias of few images, and compares only with its own floor. The kernel distance has no such bias; read its interval."
    )


def counted(n: int, what: str) -> str:
    """'1 tile', '2 tiles'."""
    return f"{n} {what}{'s' * (n != 1)}"


def realism_section(realism: RealismSeen) -> Html:
    """Every figure beside its floor, and what they say."""
    network = realism["circumstances"]
    n_generated, n_real = realism["frechet"]["n_generated"], realism["frechet"]["n_real"]
    rows: list[list[Text]] = []
    for name, heading in _REALISM.items():
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
    parts = [table, *(html.paragraph(text) for text in _realism_words(realism))]
    meanings = html.table(["Figure", "What it is"], [[_REALISM[name], words] for name, words in FIGURES.items()])
    return html.section("Realism", *parts, html.details("What the figures are", meanings))


def circumstances(result: Evaluation) -> Html:
    """What the numbers of an ``evaluate`` result belong to, as a table."""
    data, checkpoint = result["data"], result["checkpoint"]
    gsd = f"{data['gsd_m']:.2g} m" if data["gsd_m"] else "mixed or unknown"
    rows: list[list[str | Html]] = []
    if checkpoint and other_scale(data["gsd_m"], checkpoint["gsd_m"]):
        gsd += f"; the run was trained at {checkpoint['gsd_m']:.2g} m, so buildings are made in the wrong size"
    if checkpoint:
        rows += [
            ["Recipe and step", f"{checkpoint['recipe']}, step {checkpoint['step']}"],
            ["Weights, SHA-256", Html(f"<code>{checkpoint['sha256'][:16]}…</code>")],
        ]
    rows += [
        ["Tiles", f"{data['tiles']}, split {data['split']} ({data['split_method']}), {data['size_px']} px, pixel {gsd}"],
        ["Tiles, fingerprint", Html(f"<code>{data['fingerprint'][:16]}…</code>")],
        ["Seed", str(result["seed"])],
    ]
    if data["band_count"] != 3:
        rows.append(["Bands looked at", f"{', '.join(map(str, data['bands']))} of {data['band_count']}, as red, green and blue"])
    if result["scores"]:
        seed_psnr = result["scores"]["generated"]["psnr_seed"]
        rows += [
            ["Floor", result["floor"] or ""],
            ["PSNR by the formula of the 2021 project", f"{seed_psnr['mean']:.2f} dB, only for comparison with its figures"],
        ]
    for use, network in result["networks"].items():
        words = f"{network['network']}, {network['layer']}; resizing: {network['resizing']}; weights "
        rows.append([f"Network: {use}", html.join([html.escape(words), Html(f"<code>{network['weights_sha256'][:16]}…</code>")])])
    return html.table(["Circumstances", ""], [*rows, ["Made by", result["made_by"]]])


def _columns(scores: MeanScores) -> dict[str, str]:
    return {metric: heading for metric, heading in _COLUMNS.items() if metric in scores["generated"]}


def _cell(score: Mean | None, metric: str) -> str:
    if score is None:
        return "–"
    digits = _DIGITS.get(metric, 1)
    error = "" if score["standard_error"] is None else f" ± {score['standard_error']:.{digits}f}"
    return f"{score['mean']:.{digits}f}{error}"


def _reading(scores: MeanScores) -> list[str]:
    """What the table says, in sentences."""
    detail = {name: scores[name]["detail_levels"]["mean"] for name in _IMAGES}
    share = f"{100 * detail['generated'] / detail['real']:.0f} %" if detail["real"] else "–"
    lines = [
        "PSNR, SSIM and L1 compare pixel by pixel. The floor is a picture of flat colours, the place's mean inside and outside the "
        "mask: what a generator that learnt no texture would get. The generated images are "
        f"{_beside_floor(scores)}.",
        "A mask does not say where a tree stands. A sharp tree in the wrong place costs more PSNR than no tree at all, so a flat "
        "picture does well here, and such scores cannot tell how real an image looks. Detail (the mean difference between "
        f"neighbouring pixels) shows the other side: the generated images have {share} of the real ones', the floor "
        f"{100 * detail['mean_colours'] / detail['real'] if detail['real'] else 0:.0f} %.",
    ]
    perceptual = {name: scores[name].get("perceptual") for name in _BESIDE}
    generated, flat = perceptual["generated"], perceptual["mean_colours"]
    if generated and flat:
        lines.append(
            "The perceptual distance compares what a network that knows ImageNet sees at each place. Flat colours get "
            f"{flat['mean']:.3f}, the generated images {generated['mean']:.3f}."
        )
    return lines


def _beside_floor(scores: MeanScores) -> str:
    """'above it in PSNR by 1.25 dB'; where the errors of both are as large as that, that it cannot be told."""
    generated, floor = (scores[name]["psnr"] for name in _BESIDE)
    apart = generated["mean"] - floor["mean"]
    errors = [score["standard_error"] for score in (generated, floor)]
    if abs(apart) <= 2 * math.hypot(*(math.inf if error is None else error for error in errors)):
        return f"too near to it in PSNR, or too few, to tell whether they are above or below ({apart:+.2f} dB)"
    return f"{'above' if apart > 0 else 'below'} it in PSNR by {abs(apart):.2f} dB"


def _realism_words(realism: Realism) -> list[str]:
    """What the table says, in sentences."""
    lines = []
    precision, recall = realism["precision"], realism["recall"]
    if precision["value"] is not None and recall["value"] is not None:
        lines.append(
            f"{100 * precision['value']:.0f} % of the generated images lie among the real ones (precision), and "
            f"{100 * recall['value']:.0f} % of the real ones among the generated (recall: variety)."
        )
    spectrum = realism["spectrum_db"]
    by_frequency = spectrum["by_frequency"]
    change = "lack" if by_frequency[-1] < 0 else "have too much"
    if spectrum["floor"] is not None and spectrum["value"] <= spectrum["floor"]:
        lines.append("The power spectrum is no further from the real images' than those of two halves of these are apart.")
    else:
        coarse = "less" if by_frequency[0] < 0 else "more"
        lines.append(
            f"In the finest quarter of the spectrum the generated images {change} {abs(by_frequency[-1]):.1f} dB of power against "
            f"the real ones, in the coarsest they have {abs(by_frequency[0]):.1f} dB {coarse}."
        )
    board = realism["checkerboard"]
    if board["value"] is not None and board["real"] is not None and board["value"] > _BOARD * max(1, board["real"]):
        lines.append(
            f"A pattern that repeats every 2 or 4 px stands out of the generated images' spectrum: {board['value']:.1f} times what "
            f"lies around it; of the real ones' {board['real']:.1f}."
        )
    return lines


def _value(figure: Figure, name: FigureName) -> str:
    return f"{figure['value']:.{_REALISM_DIGITS.get(name, 2)}f}"


def _interval(figure: Figure, name: FigureName) -> str:
    if figure["low"] is None:
        return "–"
    return f"{figure['low']:.{_REALISM_DIGITS.get(name, 2)}f} to {figure['high']:.{_REALISM_DIGITS.get(name, 2)}f}"


def _spread(values: Spread | None, name: FigureName) -> str:
    if values is None:
        return "–"
    digits = _REALISM_DIGITS.get(name, 2)
    error = "" if values["standard_deviation"] is None else f" ± {values['standard_deviation']:.{digits}f}"
    return f"{values['mean']:.{digits}f}{error}"
