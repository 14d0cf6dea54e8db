"""Masks that are read by windows: a raster, footprints, either of them at another resolution."""

import contextlib
import hashlib
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from orthoforge import vectors
from orthoforge.errors import ConfigError, GridError
from orthoforge.geo.grid import GSD_TOLERANCE, Grid, Window, require_north_up
from orthoforge.geo.rasters import (
    Raster,
    nodata_note,
    open_raster,
    read_mask_and_valid,
    read_mask_rgb,
    read_mask_values,
    require_mask_values,
)
from orthoforge.geo.resampling import nearest, resample
from orthoforge.geo.stamps import source_sha256
from orthoforge.scenes.palette import Palette, classes_from_palette
from orthoforge.trained_generator import TrainedGenerator


class SceneMask(Protocol):
    """A mask of any size. ``read`` gives a window as (h, w) uint8 (0/255, or class indices) and where it holds data, (h, w) bool.

    The second is ``None`` where the mask holds data everywhere. ``identity`` tells masks apart: a checksum of what they were read
    from, side files included.
    """

    grid: Grid
    identity: str

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]: ...

    def valid(self, window: Window) -> np.ndarray | None:
        """The second of what ``read`` gives, alone."""

    def require_sound(self) -> None:
        """Look at all of it. Raises ``DataError`` for values that are no mask's, and rows that cannot be read."""


@dataclass(frozen=True)
class Extent:
    """On which ground footprints become a mask: the grid of ``like``, or ``extent`` (left, bottom, right, top) at ``gsd`` metres.

    Without either, the footprints' own bounds. ``crs`` is that of the image, by default a metric one of the footprints' place.
    ``footprints_crs`` is that of the footprints' own coordinates, where their file names none or a wrong one. ``repair`` mends
    invalid polygons; ``layer`` names one of several.
    """

    like: Path | None = None
    extent: tuple[float, float, float, float] | None = None
    gsd: float | None = None
    crs: str | None = None
    footprints_crs: str | None = None
    repair: bool = False
    layer: str | None = None


@contextlib.contextmanager
def open_mask(path: Path, generator: TrainedGenerator, *, threshold: int | None, extent: Extent) -> Iterator[SceneMask]:
    """The mask of a raster, or of footprints.

    Raises ``DataError`` for what cannot be read or holds other values, ``GridError`` for a rotated transform.
    """
    if vectors.is_footprints(path):
        yield _Footprints(path, generator, extent)
        return
    vectors.refuse_foreign(path)
    palette = Palette.of(**generator.classes) if generator.classes else None
    if extent != Extent():
        raise ConfigError(
            f"{path}: is a raster and has its own grid; --like, --extent, --gsd, --crs, --footprints-crs, --repair and --layer are "
            "for footprints. A mask of another resolution needs --resample."
        )
    with open_raster(path) as raster:
        require_north_up(path, raster.grid)
        for note in (raster.place_note, None if palette else nodata_note(raster)):
            if note:
                warnings.warn(note, stacklevel=2)
        yield RasterMask(raster, palette, threshold)


class RasterMask:
    """A mask in an open raster. Its values are looked at as a whole first, so that a bad one is found before an hour has passed."""

    def __init__(self, raster: Raster, palette: Palette | None, threshold: int | None) -> None:
        self.grid, self._raster, self._palette, self._threshold = raster.grid, raster, palette, threshold
        self._lock = threading.Lock()  # GDAL reads a file in one thread at a time
        settings = f"{threshold} {palette.colours if palette else None}"
        self.identity = hashlib.sha256(f"{source_sha256(raster.path)} {settings}".encode()).hexdigest()

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        with self._lock:
            if self._palette is None:
                return read_mask_and_valid(self._raster, window, threshold=self._threshold)
            classes = classes_from_palette(read_mask_rgb(self._raster, window), self._palette, self._raster.path)
            return classes, self._raster.read_valid(window)

    def valid(self, window: Window) -> np.ndarray | None:
        declares = self._raster.nodata is not None or self._raster.has_alpha or self._raster.has_mask
        return self.read(window)[1] if declares else None

    def require_sound(self) -> None:
        counts = np.zeros(256, np.int64)
        for window in self._raster.strips():
            if self._palette is None and self._threshold is None:
                counts += np.bincount(read_mask_values(self._raster, window).ravel(), minlength=256)
            else:
                self.read(window)
        require_mask_values(self._raster.path, counts)


class _Footprints:
    """Footprints as a mask, on the grid that ``extent`` asks for, at the generator's resolution unless it says another."""

    def __init__(self, path: Path, generator: TrainedGenerator, extent: Extent) -> None:
        if generator.classes is not None:
            raise ConfigError(
                f"{path}: footprints give building masks; this run was trained on classes. Give it a mask of classes."
            )
        self._mask = vectors.open_mask(
            path, like=extent.like, extent=extent.extent, gsd_m=_called_gsd_m(generator) if extent.gsd is None else extent.gsd,
            crs=extent.crs, footprints_crs=extent.footprints_crs, repair=extent.repair, layer=extent.layer,
        )  # fmt: skip
        self.grid = self._mask.grid
        require_north_up(extent.like or path, self.grid)
        stated = f" {extent.footprints_crs}" if extent.footprints_crs else ""  # without it the checksum is what it always was
        self.identity = hashlib.sha256(f"{source_sha256(path)} {extent.repair} {extent.layer}{stated}".encode()).hexdigest()

    def read(self, window: Window) -> tuple[np.ndarray, None]:
        return self._mask.read(window), None

    def valid(self, window: Window) -> None:
        return None

    def require_sound(self) -> None:
        pass


class ResampledMask:
    """A mask brought to another grid over the same ground: buildings where they cover at least half a pixel, classes by nearest."""

    def __init__(self, source: SceneMask, grid: Grid, *, classes: bool) -> None:
        self.grid, self.identity, self._source, self._classes = grid, source.identity, source, classes
        self._sizes = (source.grid.height, source.grid.width), (grid.height, grid.width)

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        if self._classes:
            return nearest(lambda w: self._source.read(w)[0], *self._sizes, window), self.valid(window)
        building = resample(lambda w: self._source.read(w)[0] > 0, *self._sizes, window, kernel="linear")
        # The sum of a tie's weights may fall short of a half by rounding, and differently in another window.
        mask = np.where(building >= 0.5 - 1e-9, np.uint8(255), np.uint8(0))
        return mask, self.valid(window)

    def valid(self, window: Window) -> np.ndarray | None:
        def read(part: Window) -> np.ndarray:
            valid = self._source.valid(part)
            return np.ones((part.height, part.width), bool) if valid is None else valid

        valid = nearest(read, *self._sizes, window)
        return None if valid.all() else valid

    def require_sound(self) -> None:
        self._source.require_sound()


def _called_gsd_m(generator: TrainedGenerator) -> float | None:
    """The run's resolution as it is called, 0.3 m where 0.299971 m were measured on the ellipsoid.

    The image then has the grid of a mask that ``orthoforge footprints --gsd 0.3`` makes of the same buildings.
    """
    return generator.gsd_m and float(f"{generator.gsd_m:.3g}")


def at_resolution(mask: SceneMask, generator: TrainedGenerator, name: object, *, resample: bool) -> SceneMask:
    """The mask as the generator must see it: its own grid, or with ``resample`` one over the same ground in the run's resolution.

    Raises ``GridError`` where the resolutions differ and ``resample`` is false. Where one of them is unknown, they cannot differ.
    """
    pixel_m = mask.grid.pixel_m()
    if pixel_m is None or generator.gsd_m is None:
        return mask
    off = max(abs(side / generator.gsd_m - 1) for side in pixel_m)
    if off <= (1e-3 if resample else GSD_TOLERANCE):
        return mask
    if not resample:
        width_m, height_m = pixel_m
        pixels = f"{height_m:.3g} m" if abs(width_m / height_m - 1) < 0.01 else f"{width_m:.3g} × {height_m:.3g} m"
        raise GridError(
            f"{name}: its pixels are {pixels}, the run was trained at {generator.gsd_m:.3g} m; buildings would come out in the "
            f"wrong size. Pass --resample to generate at {generator.gsd_m:.3g} m."
        )
    width, height = (
        max(1, round(side * metres / generator.gsd_m))
        for side, metres in zip((mask.grid.width, mask.grid.height), pixel_m, strict=True)
    )
    return ResampledMask(mask, mask.grid.resized(height, width), classes=generator.classes is not None)
