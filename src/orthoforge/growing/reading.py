"""Masks as a run knows them, and the scale at which it does."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orthoforge.geo.grid import Window
from orthoforge.masks.classes import Classes, building_value, open_raster_mask


@dataclass(frozen=True)
class Scale:
    """The resolution of a scene's tiles: their pixels are ``px`` scene pixels long, ``gsd_m`` metres where that is known."""

    px: float = 1.0
    gsd_m: float | None = None


@dataclass(frozen=True)
class MaskReader:
    """Reads masks as the run knows them: of buildings, or of ``classes``."""

    classes: Classes | None
    threshold: int | None

    def read(self, path: Path, window: Window | None = None) -> tuple[np.ndarray, np.ndarray | None]:
        """Pixels to be written, and where they hold data: (H, W) of 0 and 255, of classes (H, W, 3) colours or (H, W) values."""
        with open_raster_mask(path, classes=self.classes, threshold=self.threshold) as mask:
            return mask.as_stored(window)

    def labels(self, path: Path, window: Window | None = None) -> np.ndarray:
        """(H, W) uint8: 0 and 255, or class indices."""
        with open_raster_mask(path, classes=self.classes, threshold=self.threshold) as mask:
            return mask.labels(window)

    def building_share(self, path: Path, window: Window) -> float | None:
        """Share of building in a window; ``None`` when no class is building."""
        building = building_value(self.classes)
        return None if building is None else float((self.labels(path, window) == building).mean())
