"""The pictures on the page of ``evaluate``: tiles from worst to best, and images beside their nearest training tiles."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from orthoforge.evaluation.paired import mean_colours
from orthoforge.evaluation.subject import Subject
from orthoforge.measures.realism.memorisation import levels_apart
from orthoforge.pages import html
from orthoforge.pages.html import Html, Picture
from orthoforge.tiles.store import TileStore

SHOWN = 5


def picture_sections(result: Mapping[str, Any], subject: Subject, store: TileStore) -> list[Html]:
    """The sections that show images."""
    parts = [_worst_to_best(result["tiles"], subject, store) if result["tiles"] else _examples(subject)]
    if result["memorisation"].get("nearest"):
        parts.append(_nearest_tiles(result["memorisation"], subject, store))
    return parts


def _worst_to_best(tiles: Sequence[Mapping[str, Any]], subject: Subject, store: TileStore) -> Html:
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
    """Images without a real one beside them, below their masks where these are known."""
    chosen = _equal_steps(len(subject.images))
    rows = []
    if subject.mask:
        rows.append(html.picture_row([Picture(subject.mask(number), "mask") for number in chosen]))
    rows.append(html.picture_row([Picture(subject.images.read(number), subject.images.names[number]) for number in chosen]))
    return html.section("Some of the images", html.paragraph("At equal steps of the folder, none picked."), *rows)


def _nearest_tiles(memorised: Mapping[str, Any], subject: Subject, store: TileStore) -> Html:
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
