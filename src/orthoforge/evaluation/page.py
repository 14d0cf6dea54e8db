"""The page of ``evaluate``: what was measured, in words and figures, and the images themselves."""

from collections.abc import Sequence

import numpy as np

from orthoforge.bands import unseen_bands
from orthoforge.evaluation.result import (
    DiversitySeen,
    Evaluation,
    FidelitySeen,
    MemorisationSeen,
    NoDiversity,
    NoMemorisation,
    TileScores,
)
from orthoforge.evaluation.subject import Subject
from orthoforge.evaluation.tables import circumstances, counted, few_images, realism_section, score_parts
from orthoforge.geo.grid import other_scale
from orthoforge.measures.paired import mean_colours
from orthoforge.measures.realism.memorisation import levels_apart
from orthoforge.measures.realism.realism import is_reliable
from orthoforge.measures.realism.verdict import LEAST_IMAGES
from orthoforge.measures.realism.verdict import words as verdict_words
from orthoforge.measures.segmenter.fidelity import Compared, Fidelity
from orthoforge.pages import html
from orthoforge.pages.html import Html, Picture
from orthoforge.runs import overlap_statement, unfinished
from orthoforge.tiles.store import TileStore

# So many tiles or images are shown of each kind.
SHOWN = 5


def page(result: Evaluation, subject: Subject, store: TileStore) -> Html:
    """The whole page: the verdict, what a reader must know first, pictures, then tables."""
    return html.page(
        f"Evaluation of {subject.path.name}",
        lead(result),
        *(html.note(text, warning=True) for text in result["warnings"]),
        *picture_sections(result, subject, store),
        *sections(result),
        verdict=verdict_words(result["realism"]["verdict"]),
    )


def lead(result: Evaluation) -> str:
    """What was scored, in a sentence."""
    data, images, checkpoint = result["data"], result["images"], result["checkpoint"]
    against = f"the {counted(data['n'], 'tile')} of split {data['split']} in {data['tiles']}"
    if checkpoint:
        return f"Recipe {checkpoint['recipe']} at step {checkpoint['step']}, scored on {against}."
    paired = f"{images['paired']} of them show a tile by their name" if images["paired"] else "none of them is named as a tile"
    return f"{counted(images['n'], 'image')} of the folder {images['source']}, scored against {against}; {paired}."


def sections(result: Evaluation) -> list[Html]:
    """The sections with numbers."""
    if result["scores"]:
        parts = [html.section("Scores pixel by pixel", *score_parts(result))]
    else:
        text, warning = overlap_statement(result["data"], result["data"]["trained_tiles"])
        words = "No image is named as a tile, so none is compared pixel by pixel, and there is no perceptual distance."
        parts = [html.section("Circumstances", html.note(text, warning=warning), html.paragraph(words), circumstances(result))]
    return [
        realism_section(result["realism"]),
        *parts,
        *_fidelity(result["fidelity"]),
        _diversity(result["diversity"]),
        *_memorisation(result["memorisation"]),
    ]


def picture_sections(result: Evaluation, subject: Subject, store: TileStore) -> list[Html]:
    """The sections that show images."""
    parts = [_worst_to_best(result["tiles"], subject, store) if result["tiles"] else _examples(subject)]
    memorised = result["memorisation"]
    if "nearest" in memorised:
        parts.append(_nearest_tiles(memorised, subject, store))
    return parts


def fidelity_line(figures: Fidelity) -> str:
    """The ratio with its interval, and the segmenter's IoU on generated images, real ones and other tiles' masks, as a line."""
    ratio = figures["ratio"]["iou"]
    value = "not measured" if ratio["value"] is None else f"{ratio['value']:.2f}"
    interval = f" ({ratio['interval'][0]:.2f} to {ratio['interval'][1]:.2f})" if ratio["interval"] else ""
    return (
        f"fidelity to the mask {value}{interval}: a segmenter's IoU is {figures['generated']['iou']:.3f} on generated images, "
        f"{figures['real']['iou']:.3f} on real ones, {figures['shuffled']['iou']:.3f} where the mask is another one's"
    )


def warnings_of(result: Evaluation) -> list[str]:
    """What a reader of the figures must know first."""
    data, checkpoint = result["data"], result["checkpoint"]
    text, is_warning = overlap_statement(data, data["trained_tiles"])
    warnings = [text] if is_warning else []
    if data["allowed_trained"] and data["trained_tiles"]:
        warnings.append(f"{data['trained_tiles']} scored tiles were trained on; --allow-trained was given.")
    if checkpoint and (epochs := checkpoint.get("epochs")) and epochs["done"] < epochs["planned"]:
        warnings.append(unfinished(epochs["done"], epochs["planned"]))
    styles = checkpoint.get("styles") if checkpoint else None
    if styles and styles["tiles_in_own"] < data["n"]:
        warnings.append(
            f"{data['n'] - styles['tiles_in_own']} of {data['n']} tiles are of places whose style the run does not know; they were "
            "made in any of its styles."
        )
    if checkpoint and other_scale(data["gsd_m"], checkpoint["gsd_m"]):
        warnings.append(
            f"The run was trained at {checkpoint['gsd_m']:.3g} m a pixel, the tiles have {data['gsd_m']:.3g} m: "
            "buildings are made in the wrong size."
        )
    if unseen := unseen_bands(data["band_count"], data["bands"]):
        warnings.append(f"{unseen} --bands chooses others.")
    if not is_reliable(result["realism"]):
        counts = result["realism"]["frechet"]
        warnings.append(few_images(counts["n_generated"], counts["n_real"]))
    return warnings


def _diversity(figures: DiversitySeen | NoDiversity) -> Html:
    if "why" in figures:
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


def _memorisation(figures: MemorisationSeen | NoMemorisation) -> list[Html]:
    if "why" in figures:
        return [html.section("Memorisation", html.paragraph(f"Not measured: {figures['why']}."))]
    if figures["ratio"] is None:
        return [html.section("Memorisation", html.paragraph("Not measured: the yardstick is 0."))]
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


def _fidelity(figures: FidelitySeen | None) -> list[Html]:
    if figures is None:
        return []
    rows: list[list[str]] = []
    everywhere: Compared = figures
    for place, part in {"everywhere": everywhere, **figures["by_place"]}.items():
        ratio = part["ratio"]["iou"]
        shown = "–" if ratio["value"] is None else f"{ratio['value']:.2f}"
        interval = f"{ratio['interval'][0]:.2f} to {ratio['interval'][1]:.2f}" if ratio["interval"] else "–"
        scores = [f"{kind[name]:.3f}" for name in ("iou", "boundary_f") for kind in (part["generated"], part["real"])]
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


def _worst_to_best(tiles: Sequence[TileScores], subject: Subject, store: TileStore) -> Html:
    """Pictures of tiles at equal steps of the ranking by SSIM: mask, generated image, real one, and what mean colours give."""
    text = "Tiles at equal steps of the ranking by SSIM, from the worst of all to the best of all. Click to enlarge."
    parts = [html.paragraph(text)]
    floor, _ = mean_colours(store, np.array([row["id"] for row in tiles]))
    numbers = {name: number for number, name in enumerate(subject.images.names)}
    order = sorted(tiles, key=lambda row: row["generated"]["ssim"])
    for row in (order[place] for place in _equal_steps(len(order))):
        real, mask = store.tile(row["id"])
        scores = row["generated"]
        caption = f"generated: {scores['psnr']:.1f} dB, SSIM {scores['ssim']:.3f}, perceptual {scores['perceptual']:.3f}"
        pictures = [
            Picture(store.mask_rgb(mask), "mask", lossless=True),
            Picture(subject.images.read(numbers[row["image"]]), caption),
            Picture(real, "real"),
            Picture(floor[row["place"]][mask], f"floor: {row['mean_colours']['psnr']:.1f} dB", lossless=True),
        ]
        parts.append(html.picture_row(pictures, heading=store.describe(row["id"])))
    return html.section("From worst to best", *parts)


def _examples(subject: Subject) -> Html:
    """Images without a real one beside them, each below its mask where that is known."""
    groups = [
        ([Picture(subject.mask(number), "mask")] if subject.mask else [])
        + [Picture(subject.images.read(number), subject.images.names[number])]
        for number in _equal_steps(len(subject.images))
    ]
    return html.section(
        "Some of the images", html.paragraph("At equal steps of the folder, none picked."), html.picture_groups(groups)
    )


def _nearest_tiles(memorised: MemorisationSeen, subject: Subject, store: TileStore) -> Html:
    """The images that lie nearest to a training tile, each beside that tile."""
    training = subject.ground.training if subject.ground else store
    assert training is not None
    parts = [
        html.paragraph(
            "The images that lie nearest to any training tile, nearest first. A copy would show here as the same picture; two "
            "pictures of the same kind of ground are none. Real test tiles have their nearest training tile at "
            f"{memorised['median_real']:.2f} in the middle, and at {memorised['least_real']:.2f} at the least."
        )
    ]
    for entry in memorised["nearest"]:
        number, near = entry["number"], entry["training_tile"]
        heading = f"{entry['image']}: distance {entry['distance']:.2f} from {training.describe(near)}"
        parts.append(html.picture_row(_nearest_row(subject, store, number, training.tile(near)[0]), heading=heading))
    return html.section("Nearest training tiles", *parts)


def _nearest_row(subject: Subject, store: TileStore, number: int, tile: np.ndarray) -> list[Picture]:
    """An image beside its nearest training tile; mask and real image around them where they are known."""
    image, tile_id = subject.images.read(number), subject.images.tile_ids[number]
    same = f", {levels_apart(image, tile):.0f} levels apart pixel by pixel" if image.shape == tile.shape else ""
    row = [Picture(image, "generated"), Picture(tile, f"training tile{same}")]
    if tile_id is not None:
        real, mask = store.tile(tile_id)
        return [Picture(store.mask_rgb(mask), "mask", lossless=True), *row, Picture(real, "real")]
    return [Picture(subject.mask(number), "mask", lossless=True), *row] if subject.mask else row


def _equal_steps(count: int) -> list[int]:
    """At most ``SHOWN`` numbers below ``count``, at equal steps."""
    return np.unique(np.linspace(0, count - 1, min(SHOWN, count)).astype(int)).tolist()
