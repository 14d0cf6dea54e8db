"""Pictures of the first held-out tiles of each place, as they come: generated ones for the docs, and a page with the real ones."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bench.protocol.scores import generation
from bench.protocol.tiles import held_out
from orthoforge.pages import html
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import TrainedGenerator

SEEDS = (0, 1, 2, 3)
_GAP, _HEAD = 4, 20


@dataclass(frozen=True)
class Row:
    """One tile: its place, where it lies in words, captions and generated pictures (the mask first), and the real image."""

    place: str
    tile: str
    pictures: list[tuple[str, np.ndarray]]
    real: np.ndarray


def rows_of(store: TileStore, ours: TrainedGenerator, baseline: TrainedGenerator, *, count: int) -> list[Row]:
    """The first ``count`` held-out tiles of each place, in the manifest's order."""
    by_place: dict[str, list[int]] = {}
    for tile_id in held_out(store).tolist():
        by_place.setdefault(store.rows[tile_id].place, []).append(tile_id)
    our_image, base_image = generation(ours, store), generation(baseline, store)
    styles = {place: ours.with_style(place) for place in ours.styles}
    rows = []
    for place, tile_ids in sorted(by_place.items()):
        for tile_id in tile_ids[:count]:
            image, mask = store.tile(tile_id)
            pictures = [("mask", store.mask_rgb(mask)), (baseline.recipe.name, base_image(tile_id, tile_id))]
            seeds = SEEDS if ours.is_noisy else SEEDS[:1]
            pictures += [(f"seed {seed}" if ours.is_noisy else ours.recipe.name, our_image(tile_id, seed)) for seed in seeds]
            pictures += [(f"as {other}", styles[other](mask, seed=0)) for other in styles if other != place]
            rows.append(Row(place, store.describe(tile_id), pictures, np.array(image)))
    return rows


def contact_sheet(rows: list[Row]) -> np.ndarray:
    """Rows of mask and generated pictures, without real ones, with captions above those of each place: (H, W, 3) uint8."""
    side, columns = rows[0].real.shape[0], max(len(row.pictures) for row in rows)
    pieces: list[np.ndarray] = []
    for before, row in zip([None, *rows], rows, strict=False):
        if before is None or before.place != row.place:
            names = [name for name, _ in row.pictures]
            pieces.append(_captions([f"{row.place}: {names[0]}", *names[1:]], side, columns))
        strip = np.full((side + _GAP, columns * (side + _GAP) - _GAP, 3), 255, np.uint8)
        for number, (_, picture) in enumerate(row.pictures):
            left = number * (side + _GAP)
            strip[:side, left : left + side] = picture
        pieces.append(strip)
    return np.concatenate(pieces)


def write_sheet(path: Path, sheet: np.ndarray) -> None:
    """As the path's suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"optimize": True} if path.suffix == ".png" else {"quality": 80, "subsampling": 0}
    Image.fromarray(sheet).save(path, **options)


def write_report(path: Path, rows: list[Row], *, ours: str, baseline: str) -> None:
    """A page with the same pictures beside the real images. These are not free to pass on: the page stays where it is made."""
    parts = [
        html.paragraph(
            f"`{ours}` beside `{baseline}`: the first held-out tiles of each place, in the order of the manifest, none picked out."
        )
    ]
    for row in rows:
        shown = [html.Picture(picture, name, f"{name}, {row.tile}", lossless=name == "mask") for name, picture in row.pictures]
        parts.append(
            html.picture_row(
                [*shown, html.Picture(row.real, "real", f"real, {row.tile}")], heading=f"{row.place}: {row.tile}", wide=True
            )
        )
    html.write_page(path, html.page("Held-out tiles", *parts), overwrite=True)


def _captions(names: list[str], side: int, columns: int) -> np.ndarray:
    canvas = Image.new("RGB", (columns * (side + _GAP) - _GAP, _HEAD), "white")
    draw = ImageDraw.Draw(canvas)
    for number, name in enumerate(names):
        draw.text((number * (side + _GAP) + 2, 3), name, fill=(40, 40, 40), font=ImageFont.load_default(13))
    return np.asarray(canvas)
