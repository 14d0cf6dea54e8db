"""Synthetic pairs that lie in files: what ``grow`` and ``generate --keep-mask`` leave."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from orthoforge.datasets.masks import window_of
from orthoforge.datasets.sample import Meta
from orthoforge.geo.rasters import open_raster, read_image
from orthoforge.masks.classes import Classes
from orthoforge.masks.palette import PALETTE, load_classes
from orthoforge.masks.reader import open_raster_mask


class WrittenPair(NamedTuple):
    """The files of a pair, and what made its image."""

    image: Path
    mask: Path
    name: str
    place: str
    seed: int
    style: str


@dataclass(frozen=True)
class WrittenPairs:
    """Pairs in files, and how their masks are read: as ``classes``, or as buildings, from ``threshold`` on."""

    pairs: tuple[WrittenPair, ...]
    classes: Classes | None
    threshold: int | None

    def __len__(self) -> int:
        return len(self.pairs)

    def pair(self, number: int, crop_px: int | None, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, Meta]:
        """Image (H, W, B) and mask (H, W), uint8, of a pair or of a random part of it."""
        one = self.pairs[number % len(self)]
        with open_raster(one.image) as raster:
            window = window_of(raster.grid.height, raster.grid.width, crop_px, rng, one.image)
            image = read_image(raster, window, bands=range(1, raster.band_count + 1 - raster.has_alpha))
            gsd_m = raster.grid.gsd_m() or math.nan
        with open_raster_mask(one.mask, classes=self.classes, threshold=self.threshold) as opened:
            mask = opened.labels(window)
        meta: Meta = {
            "name": one.name, "place": one.place, "index": number, "row": window.row, "col": window.col, "gsd_m": gsd_m,
            "synthetic": True, "seed": one.seed, "style": one.style,
        }  # fmt: skip
        return image, mask, meta


def classes_of(folder: Path, palette: str | Path | None) -> Classes | None:
    """The classes of the masks in a folder: those of ``palette``, else of the folder's own ``palette.json``; ``None`` without.

    Raises what ``load_classes`` raises.
    """
    own = folder / PALETTE
    if palette is None and not own.is_file():
        return None
    return load_classes(own if palette is None else palette)
