"""A scene at the resolution of the search: its image, which building each pixel of its mask is of, and what judges it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy import ndimage

from orthoforge.errors import ConfigError, DataError, GridError
from orthoforge.files import new_file
from orthoforge.geo.grid import Grid, Window, require_same_grid
from orthoforge.geo.pixel_sizes import SAY_IT
from orthoforge.geo.rasters import open_raster, read_image
from orthoforge.geo.resampling import nearest, resample
from orthoforge.masks.reader import MaskReader
from orthoforge.scenes.sources import Pair

_STRIP_PX = 512
# A pixel that is this little finer than the wanted one is kept: resampling would only blur it.
_SAME = 1.005


@dataclass(frozen=True)
class SceneGround:
    """A pair, its ``grid``, and its ``shape`` (H, W) in pixels of ``gsd_m`` metres."""

    pair: Pair
    grid: Grid
    shape: tuple[int, int]
    gsd_m: float
    image_file: Path
    ids_file: Path

    @property
    def name(self) -> str:
        """The scene's name."""
        return self.pair.name

    @property
    def image(self) -> np.ndarray:
        """(H, W, 3) uint8, a memory map."""
        return np.asarray(np.load(self.image_file, mmap_mode="r"))

    @property
    def ids(self) -> np.ndarray:
        """(H, W) int32: which building of the mask each pixel is of, from 1; 0 for none."""
        return np.asarray(np.load(self.ids_file))

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the mask in a pixel, along rows' and along columns' numbers."""
        return self.grid.height / self.shape[0], self.grid.width / self.shape[1]


@dataclass(frozen=True)
class Piece:
    """A window of the scene of this number, which one fold's segmenter judges and the others learn on."""

    scene: int
    window: Window
    fold: int


def scene_ground(pair: Pair, reader: MaskReader, gsd_m: float, work: Path) -> SceneGround:
    """A scene, brought to ``gsd_m`` where its pixels are finer; what was made of it before in ``work`` is kept.

    Raises ``DataError`` for files that cannot be used, ``GridError`` for a pixel of unknown size and for grids that differ.
    """
    grid = reader.grid(pair.image)
    require_same_grid(pair.name, grid, reader.grid(pair.mask))
    pixel_m = grid.gsd_m()
    if pixel_m is None:
        raise GridError(f"{pair.name}: does not say how large its pixels are on the ground, and shifts are metres. {SAY_IT}")
    finer = gsd_m / pixel_m
    shape = (grid.height, grid.width)
    if finer > _SAME:
        shape = max(1, round(grid.height / finer)), max(1, round(grid.width / finer))
    ground = SceneGround(
        pair, grid, shape, pixel_m * grid.height / shape[0], work / f"{pair.name}.image.npy", work / f"{pair.name}.ids.npy"
    )
    if not ground.image_file.is_file():
        _save(ground.image_file, _image(ground))
    if not ground.ids_file.is_file():
        whole = Window(0, 0, *shape)
        ids = building_ids(reader.labels(pair.mask))
        _save(ground.ids_file, nearest(lambda window: ids[window.slices], ids.shape, shape, whole))
    return ground


def building_ids(mask: np.ndarray) -> np.ndarray:
    """(H, W) int32: the buildings of a mask, numbered from 1. Pixels are connected that share a side."""
    return np.asarray(ndimage.label(mask)[0], np.int32)


def pieces_of(grounds: Sequence[SceneGround], folds: int) -> list[Piece]:
    """The folds in turn, scene by scene. Where there are fewer scenes than folds, each is cut along its longer side."""
    if folds < 2:
        raise ConfigError(f"folds is {folds}; no segmenter may judge the ground that it was taught on, so there are 2 or more.")
    if len(grounds) >= folds:
        return [Piece(at, Window(0, 0, *ground.shape), at % folds) for at, ground in enumerate(grounds)]
    pieces = []
    for at, ground in enumerate(grounds):
        height, width = ground.shape
        if max(height, width) < folds:
            raise DataError(f"{ground.name}: is too small to be cut into {folds} folds.")
        ends = np.linspace(0, max(height, width), folds + 1).round().astype(int).tolist()
        for fold, (start, stop) in enumerate(pairwise(ends)):
            tall = height >= width
            pieces.append(
                Piece(at, Window(start, 0, stop - start, width) if tall else Window(0, start, height, stop - start), fold)
            )
    return pieces


def _image(ground: SceneGround) -> np.ndarray:
    height, width = ground.shape
    source = ground.grid.height, ground.grid.width
    pixels = np.empty((height, width, 3), np.uint8)
    with open_raster(ground.pair.image) as raster:
        for row in range(0, height, _STRIP_PX):
            window = Window(row, 0, min(_STRIP_PX, height - row), width)
            if source == ground.shape:
                pixels[window.slices] = read_image(raster, window)
                continue
            shrunk = resample(lambda part: read_image(raster, part), source, ground.shape, window, kernel="cubic")
            pixels[window.slices] = np.clip(np.rint(shrunk), 0, 255).astype(np.uint8)
    return pixels


def _save(path: Path, array: np.ndarray) -> None:
    with new_file(path, overwrite=True) as partial, open(partial, "wb") as file:
        np.save(file, array)
