"""The scenes that were set aside, and what the run made of their masks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orthoforge.geo.rasters import open_raster, read_image, read_mask
from orthoforge.measures.paired import tile_scores
from orthoforge.pages.html import Picture
from orthoforge.scenes.sources import find_pairs

# Side of the part of each scene that is shown pixel by pixel: three of them fill the width of the page.
_DETAIL_PX = 376


@dataclass(frozen=True)
class Unseen:
    """A scene that no tile came from, and what the run made of its mask."""

    name: str
    place: str
    mask: np.ndarray  # (H, W)
    fake: np.ndarray  # (H, W, 3)
    real: np.ndarray  # (H, W, 3)
    scores: dict[str, float]

    def pictures(self, window: tuple[slice, slice] = (slice(None), slice(None))) -> list[Picture]:
        """Mask, generated and real, or a window of each."""
        captions = ("mask", "generated", "real (simulated)")
        return [
            Picture(pixels[window], caption, alt=f"{self.name}, {caption}")
            for pixels, caption in zip((self.mask, self.fake, self.real), captions, strict=True)
        ]

    @property
    def centre(self) -> tuple[slice, slice]:
        """The detail that is shown: the middle, whatever is there."""
        height, width = (min(side, _DETAIL_PX) for side in self.mask.shape)
        top, left = (self.mask.shape[0] - height) // 2, (self.mask.shape[1] - width) // 2
        return slice(top, top + height), slice(left, left + width)


def read_unseen(out: Path) -> list[Unseen]:
    """All of them, in the order of their names, from a demo's folder."""
    scenes = []
    for pair in find_pairs(out / "scenes" / "unseen").pairs:
        with open_raster(pair.mask) as raster:
            mask = read_mask(raster)
        fake, real = read_pixels(out / "generated" / f"{pair.name}.tif"), read_pixels(pair.image)
        scenes.append(Unseen(pair.name, pair.place, mask, fake, real, tile_scores(fake, real)))
    return scenes


def read_pixels(path: Path) -> np.ndarray:
    """An image (H, W, 3), whole."""
    with open_raster(path) as raster:
        return read_image(raster)
