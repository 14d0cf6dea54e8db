"""A mask that was uploaded and decoded: plain arrays in a folder of the server's own, read by windows."""

import hashlib
import json
from functools import cached_property
from pathlib import Path

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from orthoforge.geo.grid import Grid, Window

LABELS, VALID, GRID, PHOTO = "labels.npy", "valid.npy", "grid.json", "photo.npy"


class DecodedMask:
    """The mask in ``folder``, as ``masks.opening.SceneMask`` has it. Its arrays stay on the disk until windows are read."""

    def __init__(self, folder: Path) -> None:
        said = json.loads((folder / GRID).read_text(encoding="utf-8"))
        crs = CRS.from_wkt(said["crs"]) if said["crs"] else None
        self.grid = Grid(said["height"], said["width"], Affine(*said["transform"]), crs, said.get("unit_m"))
        self._labels = np.load(folder / LABELS, mmap_mode="r", allow_pickle=False)
        has_valid = (folder / VALID).exists()
        self._valid = np.load(folder / VALID, mmap_mode="r", allow_pickle=False) if has_valid else None

    @cached_property
    def identity(self) -> str:
        digest = hashlib.sha256(self._labels)
        if self._valid is not None:
            digest.update(self._valid)
        return digest.hexdigest()

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        return np.array(self._labels[window.slices]), self.valid(window)

    def valid(self, window: Window) -> np.ndarray | None:
        return None if self._valid is None else np.array(self._valid[window.slices])

    def require_sound(self) -> None:
        """It was looked at when it was decoded."""


def write_grid(folder: Path, grid: Grid) -> None:
    """Say where the mask in ``folder`` lies. The last file of a decoded mask."""
    said = {
        "height": grid.height, "width": grid.width, "transform": list(grid.transform[:6]),
        "crs": grid.crs.to_wkt() if grid.crs else None, "unit_m": grid.unit_m,
    }  # fmt: skip
    (folder / GRID).write_text(json.dumps(said), encoding="utf-8")
