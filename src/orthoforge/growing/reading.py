"""Masks as a run knows them, and the scale at which it does."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orthoforge.geo.grid import Window
from orthoforge.geo.rasters import open_raster, read_mask_and_valid, read_mask_rgb
from orthoforge.scenes.palette import Palette, classes_from_palette


@dataclass(frozen=True)
class Scale:
    """The resolution of a scene's tiles: their pixels are ``px`` scene pixels long, ``gsd_m`` metres where that is known."""

    px: float = 1.0
    gsd_m: float | None = None


@dataclass(frozen=True)
class MaskReader:
    """Reads masks as the run knows them: of buildings, or of the classes of ``palette``."""

    palette: Palette | None
    threshold: int | None

    def read(self, path: Path, window: Window | None = None) -> tuple[np.ndarray, np.ndarray | None]:
        """Pixels to be written, (H, W) of 0 and 255 or (H, W, 3) of the palette's colours, and where they hold data."""
        with open_raster(path) as raster:
            if self.palette is None:
                return read_mask_and_valid(raster, window, threshold=self.threshold)
            colours = read_mask_rgb(raster, window)
            classes_from_palette(colours, self.palette, path)
            return colours, None

    def labels(self, path: Path, window: Window | None = None) -> np.ndarray:
        """(H, W) uint8: 0 and 255, or class indices."""
        pixels, _ = self.read(path, window)
        return pixels if self.palette is None else classes_from_palette(pixels, self.palette, path)

    def building_share(self, path: Path, window: Window) -> float | None:
        """Share of building in a window; ``None`` when no class is building."""
        if self.palette is not None and self.palette.building_index is None:
            return None
        labels = self.labels(path, window)
        return float((labels == (255 if self.palette is None else self.palette.building_index)).mean())
