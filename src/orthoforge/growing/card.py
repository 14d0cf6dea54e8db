"""The data card of a grown data set, and the picture on it."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from orthoforge.bands import shown_bands
from orthoforge.files import new_file
from orthoforge.geo.grid import Grid, Window
from orthoforge.geo.rasters import open_raster, read_image
from orthoforge.growing.library_words import LibraryWords, library_words
from orthoforge.growing.naming import Places
from orthoforge.growing.training_ground import Ground
from orthoforge.masks.reader import MaskReader
from orthoforge.trained_generator import TrainedGenerator

CARD, SHEET = "README.md", "contact-sheet.jpg"
_TEMPLATE = Path(__file__).with_name("card.md")
_SHOWN = 12
_COLUMNS = 3
# The middle of an image, at most so many pixels of it, on so many pixels of the sheet.
_CROP_PX, _CELL_PX = 256, 224
_GAP, _LABEL_PX = 10, 16
_CARDS = "\n- `cards/PLACE.html`: how the forged masks compare with the place's real ones, rejected pairs included."
_HOW = {
    "real": "real training masks again, unchanged or the part of a scene that trains",
    "transform": "real training masks, changed geometrically",
    "recombine": "footprints of real training masks, put together to new blocks",
    "streets": "streets and parcels drawn from measurements of real training masks",
    "library": "masks of the weights' material, turned and shifted",
}
_LIMIT = (
    "The generator knows only the ground that it was trained on. It may repeat what it saw there: the synthetic pairs add variety, "
    "not new places."
)


def write_card(
    folder: Path,
    title: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    generator: TrainedGenerator,
    ground: Ground,
    reader: MaskReader,
    settings: Mapping[str, Any],
    real_iou: float | None,
    notes: Sequence[str],
    places: Places,
    copied: bool,
) -> None:
    """Write ``README.md`` and its contact sheet to ``folder``, where the data set lies at ``places``."""
    accepted = [row for row in rows if row["accepted"]]
    shown = _in_turn(accepted)[:_SHOWN]
    write_sheet(folder / SHEET, [places.pair(folder, row["name"]) for row in shown], reader.copies)
    total = sum(ground.real_pairs.values()) + len(accepted)
    rule = settings["split"]
    library = library_words(generator, settings, ground) if settings["masks"] == "library" else None
    text = _TEMPLATE.read_text(encoding="utf-8").format(
        title=title,
        added=len(accepted),
        total=total,
        shown=len(shown),
        sheet=SHEET,
        table=_table(rows, ground),
        wanted=f"Wanted were {settings['ratio']:g} × {sum(ground.training.values())} training pairs: {settings['wanted']}.",
        images=places.images,
        masks=places.masks,
        cards=_CARDS if (folder / "cards").is_dir() else "",
        carried=" (copies)" if copied else " (hard links: a program that changes one in place changes the original too)",
        recipe=generator.recipe.name,
        step=generator.step,
        gsd=f"trained at {generator.gsd_m:.3g} m a pixel" if generator.gsd_m else "trained at several or unknown resolutions",
        sha256=generator.sha256,
        how=_HOW.get(settings["masks"], f"given as files in `{settings['masks']}`"),
        split=_split_words(rule, settings, library),
        filter=_filter_words(settings, real_iou, rows),
        seed=settings["seed"],
        variants=f"{settings['variants']} images a mask" if settings["variants"] > 1 else "one image a mask",
        software=f"Orthoforge {version('orthoforge')}",
        notes="\n".join(f"> {note}\n" for note in notes).strip(),
        attribution=generator.attribution
        or "The run names no source of its training images (`prepare --attribution` was not given). Ask whoever trained it.",
        same_split=_same_split(settings, library),
        ground_limit=library.limit if library and library.of == "other places" else _LIMIT,
    )
    with new_file(folder / CARD, overwrite=True) as partial:
        partial.write_text(text.replace("\n\n\n", "\n\n"), encoding="utf-8")


def write_sheet(path: Path, pairs: Sequence[tuple[Path, Path]], reader: MaskReader) -> None:
    """A JPEG of images and masks by path: the middle of each mask and, right of it, of its image."""
    rows = max(1, -(-len(pairs) // _COLUMNS))
    wide, high = 2 * _CELL_PX + _GAP, _CELL_PX + _LABEL_PX + _GAP
    sheet = Image.new("RGB", (_GAP + _COLUMNS * wide, _GAP + rows * high), "white")
    pen = ImageDraw.Draw(sheet)
    for position, (image, mask) in enumerate(pairs):
        left, top = _GAP + position % _COLUMNS * wide, _GAP + position // _COLUMNS * high
        with open_raster(image) as raster:
            window = _middle(raster.grid)
            pixels = read_image(raster, window, bands=[band + 1 for band in shown_bands(raster.band_count)])
        labels, _ = reader.read(mask, window)
        sheet.paste(_cell(labels, Image.Resampling.NEAREST), (left, top))
        sheet.paste(_cell(pixels, Image.Resampling.BICUBIC), (left + _CELL_PX, top))
        pen.text((left, top + _CELL_PX + 2), image.stem, fill="#444")
    if not pairs:
        pen.text((_GAP, _GAP), "no synthetic pair", fill="#444")
    with new_file(path, overwrite=True) as partial:
        sheet.save(partial, format="JPEG", quality=90)


def _middle(grid: Grid) -> Window:
    side = min(grid.height, grid.width, _CROP_PX)
    return Window((grid.height - side) // 2, (grid.width - side) // 2, side, side)


def _cell(pixels: np.ndarray, resampling: Image.Resampling) -> Image.Image:
    return Image.fromarray(pixels).convert("RGB").resize((_CELL_PX, _CELL_PX), resampling)


def _in_turn(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first row of each place, then the second of each, and so on."""
    by_place = defaultdict(list)
    for row in rows:
        by_place[row["place"]].append(row)
    return [row for row in chain.from_iterable(zip_longest(*by_place.values())) if row is not None]


def _table(rows: Sequence[Mapping[str, Any]], ground: Ground) -> str:
    added = Counter(row["place"] for row in rows if row["accepted"])
    rejected = Counter(row["place"] for row in rows if not row["accepted"])
    counts = [
        (place, ground.real_pairs.get(place, 0), ground.training.get(place, 0), added[place], rejected[place])
        for place in sorted({*ground.real_pairs, *added, *rejected})
    ]
    if len(counts) > 1:
        real, training, synthetic, others = (sum(row[column] for row in counts) for column in range(1, 5))
        counts.append(("**all**", real, training, synthetic, others))
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in counts)


def _split_words(rule: str | None, settings: Mapping[str, Any], library: LibraryWords | None) -> str:
    if library:
        return library.masks
    if settings["masks"] not in _HOW:
        return "None of them is the mask of a real scene that does not train, or shows its ground."
    by = [f"the rule `{rule}`"] * bool(rule) + ["the manifest of the tiles"] * bool(settings["tiles"])
    return f"By {' and '.join(by)}, no mask of a validation or test scene was used."


def _same_split(settings: Mapping[str, Any], library: LibraryWords | None) -> str:
    command = f"`prepare --split {settings['tiles_split'] or settings['split']}`"
    if library and library.of == "other places":
        return library.split(command if "histograms" in settings else None)
    return (
        f"Use the split that the generator was trained with: {command}. With another one, masks that are held back there may have "
        "been used here."
    )


def _filter_words(settings: Mapping[str, Any], real_iou: float | None, rows: Sequence[Mapping[str, Any]]) -> str:
    if real_iou is None:
        return "none (`--least-agreement 0`). Nobody looked at whether the images show what their masks say."
    least = settings["least_agreement"]
    agreements = [row["agreement"] for row in rows if row["accepted"] and row["agreement"] is not None]
    unjudged = sum(row["accepted"] and row["agreement"] is None for row in rows)
    found = f" Of those that were kept, the median is {np.median(agreements):.2f}." if agreements else ""
    found += f" {unjudged} of them have no building in their mask, so there was nothing to recognise." if unjudged else ""
    return (
        f"a segmenter, trained on real training tiles, has an IoU of {real_iou:.2f} on real images of other ground. "
        f"A pair whose image gives it less than {least:g} × that = {least * real_iou:.2f} against its mask was rejected.{found}"
    )
