"""The synthetic pairs of a data set that ``grow`` made."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orthoforge.datasets.masks import window_of
from orthoforge.datasets.sample import Meta
from orthoforge.errors import DataError
from orthoforge.files import is_file_name
from orthoforge.geo.rasters import open_raster, read_image
from orthoforge.masks.classes import Classes
from orthoforge.masks.palette import load_classes
from orthoforge.masks.reader import open_raster_mask


@dataclass(frozen=True)
class GrownPairs:
    """Accepted rows of ``synthetic.jsonl``, and the folders that their files are in."""

    images: Path
    masks: Path
    ends: tuple[str, str]
    """What names of images and of masks end in beyond the pair's name."""
    rows: tuple[dict[str, Any], ...]
    classes: Classes | None
    threshold: int | None

    def __len__(self) -> int:
        return len(self.rows)

    def pair(self, number: int, crop_px: int | None, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, Meta]:
        """Image (H, W, B) and mask (H, W), uint8, of a row or of a random part of its scene."""
        row = self.rows[number % len(self)]
        of_image, of_mask = (
            folder / f"{row['name']}{end}.tif" for folder, end in zip((self.images, self.masks), self.ends, strict=True)
        )
        with open_raster(of_image) as raster:
            window = window_of(raster.grid.height, raster.grid.width, crop_px, rng, of_image)
            image = read_image(raster, window, bands=range(1, raster.band_count + 1 - raster.has_alpha))
            gsd_m = raster.grid.gsd_m() or math.nan
        with open_raster_mask(of_mask, classes=self.classes, threshold=self.threshold) as opened:
            mask = opened.labels(window)
        meta: Meta = {
            "name": row["name"], "place": row["place"], "index": number, "row": window.row, "col": window.col, "gsd_m": gsd_m,
            "synthetic": True, "seed": row["seed"], "style": row["style"] or "",
        }  # fmt: skip
        return image, mask, meta


def open_grown(folder: str | Path, palette: str | Path | None) -> GrownPairs:
    """The synthetic pairs in a folder. ``DataError`` where ``grow`` has not finished one, or made no pair."""
    folder = Path(folder)
    try:
        settings = json.loads((folder / "grown.json").read_bytes())["settings"]
        lines = (folder / "synthetic.jsonl").read_text(encoding="utf-8").splitlines()
        rows = tuple(row for row in map(json.loads, lines) if row["accepted"])
        *parts, image_ends, mask_ends = [*settings["layout"], "", ""][:4]
        names = [row["name"] + end for row in rows for end in (image_ends, mask_ends)]
        if any(Path(part).is_absolute() or ".." in Path(part).parts for part in parts) or not all(map(is_file_name, names)):
            raise ValueError("a name that leads elsewhere")
        images, masks = (folder / part for part in parts)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{folder}: no data set that orthoforge grow finished (no grown.json, or a damaged one).") from error
    if not rows:
        raise DataError(f"{folder}: has no synthetic pair; all were rejected.")
    classes = None if palette is None else load_classes(Path(palette))
    return GrownPairs(images, masks, (image_ends, mask_ends), rows, classes, settings["threshold"])
