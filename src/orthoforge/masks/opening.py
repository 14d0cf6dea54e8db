"""Masks that are read by windows: a raster of buildings or of classes, or footprints."""

import contextlib
import hashlib
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from orthoforge import vectors
from orthoforge.errors import ConfigError
from orthoforge.geo.grid import Grid, Window, require_north_up
from orthoforge.geo.pixel_sizes import PixelSizes
from orthoforge.geo.rasters import (
    Raster,
    nodata_note,
    open_raster,
    read_mask,
    read_mask_and_valid,
    read_mask_rgb,
    read_mask_values,
    require_mask_values,
)
from orthoforge.geo.stamps import source_sha256
from orthoforge.masks.classes import BUILDING, Classes, Code, building_value
from orthoforge.masks.coding import Coding

_NONE_STATED = PixelSizes()


class SceneMask(Protocol):
    """A mask of any size. ``read`` gives a window as (h, w) uint8 (0/255, or class indices) and where it holds data, (h, w) bool.

    The second is ``None`` where the mask holds data everywhere. ``identity`` tells masks apart: a checksum of what they were read
    from, side files included.
    """

    @property
    def grid(self) -> Grid: ...

    @property
    def identity(self) -> str: ...

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
def open_mask(
    path: Path,
    *,
    classes: Classes | None,
    threshold: int | None,
    extent: Extent,
    gsd_m: float | None,
    pixel_sizes: PixelSizes = _NONE_STATED,
    coding: Coding | None = None,
) -> Iterator[SceneMask]:
    """The mask of a raster, or of footprints on the ground of ``extent``, at ``gsd_m`` metres unless that says another.

    What is unclear about a raster is warned of. Raises ``DataError`` for what cannot be read or holds other values, ``GridError``
    for a rotated transform, ``ConfigError`` for footprints where a mask of classes is wanted.
    """
    if vectors.is_footprints(path):
        if classes is not None:
            raise ConfigError(
                f"{path}: footprints give building masks; this run was trained on classes. Give it a mask of classes."
            )
        yield FootprintsMask(path, extent, gsd_m)
        return
    vectors.refuse_foreign(path)
    if extent != Extent():
        raise ConfigError(
            f"{path}: is a raster and has its own grid; --like, --extent, --gsd, --crs, --footprints-crs, --repair and --layer are "
            "for footprints. A mask of another resolution needs --resample."
        )
    with open_raster_mask(path, classes=classes, threshold=threshold, pixel_sizes=pixel_sizes, coding=coding) as mask:
        require_north_up(path, mask.grid)
        for note in (mask.raster.place_note, mask.nodata_note):
            if note:
                warnings.warn(note, stacklevel=2)
        yield mask


@contextlib.contextmanager
def open_raster_mask(
    path: Path,
    *,
    classes: Classes | None = None,
    threshold: int | None = None,
    pixel_sizes: PixelSizes = _NONE_STATED,
    coding: Coding | None = None,
) -> "Iterator[RasterMask]":
    """The mask of a raster: of ``classes``, or of buildings, which may be those at or above a ``threshold``.

    ``pixel_sizes`` say how long its pixels are where the file does not. ``coding`` says how the file codes classes, and what they
    become, where it does otherwise than ``classes``.
    """
    with open_raster(path) as raster:
        yield RasterMask(raster, classes, threshold, pixel_sizes.applied(raster.grid, path), coding)


@dataclass
class Unfit:
    """What windows of a mask may hold that it must not: pixels of each value (256,), and of each code that no class has."""

    counts: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    codes: Counter[Code] = field(default_factory=Counter)


class RasterMask:
    """A mask in an open raster. It may be read by several threads.

    Its values can be looked at as a whole first (``require_sound``), so that a bad one is found before an hour has passed.
    """

    def __init__(
        self,
        raster: Raster,
        classes: Classes | None = None,
        threshold: int | None = None,
        grid: Grid | None = None,
        coding: Coding | None = None,
    ) -> None:
        self.grid, self.raster, self.classes = grid or raster.grid, raster, classes
        self._threshold, self._coding = threshold, coding
        self._palette = coding.palette if coding else classes  # that of the file; none where it knows buildings alone
        self._lock = threading.Lock()  # GDAL reads a file in one thread at a time

    @cached_property
    def identity(self) -> str:
        palette = self._palette
        values = f" {palette.index_of_value}" if palette and palette.values else ""
        becomes = f" {self._coding.becomes}" if self._coding else ""
        settings = f"{self._threshold} {palette and palette.index_of}{values}{becomes}"
        return hashlib.sha256(f"{source_sha256(self.raster.path)} {settings}".encode()).hexdigest()

    @property
    def nodata_note(self) -> str | None:
        """What is unclear about what it declares to be no data."""
        return None if self._palette else nodata_note(self.raster)

    def labels(self, window: Window | None = None) -> np.ndarray:
        """A window, or all of it, as (h, w) uint8 of 0 and 255 or of class indices. ``DataError`` for other values or colours."""
        with self._lock:
            if self._palette is None:
                return read_mask(self.raster, window, threshold=self._threshold)
            indices = self._palette.indices(self._codes(self._palette, window), self.raster.path)
        return self._coding.translated(indices) if self._coding else indices

    def read(self, window: Window | None = None) -> tuple[np.ndarray, np.ndarray | None]:
        """As ``labels``, and where it holds data, (h, w) bool; ``None`` for everywhere."""
        if self._palette is None:
            with self._lock:
                return read_mask_and_valid(self.raster, window, threshold=self._threshold)
        labels = self.labels(window)
        with self._lock:
            return labels, self.raster.read_valid(window)

    def as_stored(self, window: Window | None = None) -> tuple[np.ndarray, np.ndarray | None]:
        """What a copy of it holds, and where that has data: as ``read``, but of classes their colours, (h, w, 3), or values."""
        if self.classes is None:
            return self.read(window)
        if self._coding is not None:
            return self.classes.codes(self.labels(window)), None
        with self._lock:
            codes = self._codes(self.classes, window)
        self.classes.indices(codes, self.raster.path)
        return (codes if codes.shape[2] == 3 else codes[..., 0]), None

    def building(self, window: Window, unfit: Unfit) -> np.ndarray:
        """(h, w) uint8 of 0 and 255. What the mask must not hold is counted in ``unfit``, to be judged when all of it is read."""
        if self._palette:
            indices, unknown = self._palette.sort(self._codes(self._palette, window))
            unfit.codes += unknown
            labels = self._coding.translated(indices) if self._coding else indices
            building = building_value(self.classes)
            return np.where(labels == (-1 if building is None else building), BUILDING, 0).astype(np.uint8)
        values = read_mask_values(self.raster, window)
        if self._threshold is None:
            unfit.counts += np.bincount(values.ravel(), minlength=256)
        return np.where(values >= (1 if self._threshold is None else self._threshold), BUILDING, 0).astype(np.uint8)

    def _codes(self, palette: Classes, window: Window | None) -> np.ndarray:
        """What tells classes apart: colours (h, w, 3), or values (h, w, 1) where the palette has some and there is one band.

        Three equal bands are one where the palette has no colours.
        """
        raster = self.raster
        if palette.values and raster.dtype == "uint8" and raster.band_count - raster.has_alpha == 1:
            return raster.read(window, (1,))
        codes = read_mask_rgb(raster, window)
        if palette.values and not palette.index_of and (codes == codes[..., :1]).all():
            return codes[..., :1]
        return codes

    def valid(self, window: Window) -> np.ndarray | None:
        declares = self.raster.nodata is not None or self.raster.has_alpha or self.raster.has_mask
        return self.read(window)[1] if declares else None

    def require_sound(self) -> None:
        unfit = Unfit()
        for window in self.raster.strips():
            if self._palette is None and self._threshold is None:
                self.building(window, unfit)
            else:
                self.labels(window)
        require_mask_values(self.raster.path, unfit.counts)


class FootprintsMask:
    """Footprints as a mask, on the grid that ``extent`` asks for, at ``gsd_m`` metres unless it says another."""

    def __init__(self, path: Path, extent: Extent, gsd_m: float | None) -> None:
        self._mask = vectors.open_mask(
            path, like=extent.like, extent=extent.extent, gsd_m=gsd_m if extent.gsd is None else extent.gsd, crs=extent.crs,
            footprints_crs=extent.footprints_crs, repair=extent.repair, layer=extent.layer,
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
