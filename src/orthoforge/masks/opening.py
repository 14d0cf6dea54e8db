"""Masks that are read by windows: a raster of buildings or of classes, or footprints."""

import contextlib
import hashlib
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from orthoforge import vectors
from orthoforge.errors import ConfigError
from orthoforge.geo.grid import Grid, Window, require_north_up
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
from orthoforge.masks.classes import BUILDING, Classes, Code
from orthoforge.masks.layer_mask import MapLayers, load_layers, warn_of_ignored
from orthoforge.masks.layer_style import load_style
from orthoforge.masks.layered import MapFiles, layered, map_on_its_ground


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

    @property
    def like_grid(self) -> Grid | None:
        """The grid of ``like``."""
        if self.like is None:
            return None
        with open_raster(self.like) as raster:
            return raster.grid


@contextlib.contextmanager
def open_mask(
    path: Path,
    *,
    classes: Classes | None,
    threshold: int | None,
    extent: Extent,
    gsd_m: float | None,
    layers: MapFiles | None = None,
) -> Iterator[SceneMask]:
    """The mask of a raster, or of footprints on the ground of ``extent``, at ``gsd_m`` metres unless that says another.

    With ``layers`` these are buildings, painted on top of map layers in a mask of ``classes``. A vector file whose features have
    tags is a map: where ``classes`` are wanted it is painted itself. What is unclear about a raster is warned of. Raises
    ``DataError`` for what cannot be read or holds other values, ``GridError`` for a rotated transform, ``ConfigError`` for
    footprints alone where a mask of classes is wanted, and for layers where a mask of buildings is.
    """
    if layers is not None and classes is None:
        raise ConfigError(
            f"{path}: --layers give masks of classes; this run was trained on buildings alone. Leave them out, or train a run on "
            "tiles of classes (orthoforge prepare --layers)."
        )
    if vectors.is_footprints(path):
        if classes is None:
            yield FootprintsMask(path, extent, gsd_m)
        else:
            yield _vector_classes(path, classes, extent, gsd_m, layers)
        return
    vectors.refuse_foreign(path)
    if replace(extent, repair=extent.repair and layers is None) != Extent():
        raise ConfigError(
            f"{path}: is a raster and has its own grid; --like, --extent, --gsd, --crs, --footprints-crs, --repair and --layer are "
            "for footprints. A mask of another resolution needs --resample."
        )
    with open_raster_mask(path, classes=None if layers else classes, threshold=threshold) as mask:
        require_north_up(path, mask.grid)
        for note in (mask.raster.place_note, mask.nodata_note):
            if note:
                warnings.warn(note, stacklevel=2)
        yield layered(mask, layers, classes) if layers else mask


def _vector_classes(path: Path, classes: Classes, extent: Extent, gsd_m: float | None, layers: MapFiles | None) -> SceneMask:
    """Footprints on top of map layers, or a map."""
    own = None if extent.layer else _map_of(path, extent, layers)
    if own is None or not own.tagged:
        if layers is None:
            raise ConfigError(
                f"{path}: footprints give building masks; this run was trained on classes. Add roads, water and trees with "
                "--layers, or give it a mask of classes, or a map whose features have OpenStreetMap's tags."
            )
        return layered(FootprintsMask(path, extent, gsd_m), layers, classes)
    warn_of_ignored(own)
    return map_on_its_ground(
        own, path, classes, like=extent.like_grid, extent=extent.extent, gsd_m=gsd_m if extent.gsd is None else extent.gsd,
        crs=extent.crs,
    )  # fmt: skip


def _map_of(path: Path, extent: Extent, layers: MapFiles | None) -> MapLayers:
    """What a style makes of a vector file, and of the layers that are painted with it."""
    style = layers.style if layers else load_style()
    others = [other for other in layers.paths if other.resolve() != path.resolve()] if layers else []
    own = load_layers([path], style, within=extent.like_grid, repair=extent.repair, stated_crs=extent.footprints_crs)
    if not (own.tagged and others):
        return own
    return own.with_layers(load_layers(others, style, within=extent.like_grid, repair=extent.repair))


@contextlib.contextmanager
def open_raster_mask(path: Path, *, classes: Classes | None = None, threshold: int | None = None) -> "Iterator[RasterMask]":
    """The mask of a raster: of ``classes``, or of buildings, which may be those at or above a ``threshold``."""
    with open_raster(path) as raster:
        yield RasterMask(raster, classes, threshold)


@dataclass
class Unfit:
    """What windows of a mask may hold that it must not: pixels of each value (256,), and of each code that no class has."""

    counts: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    codes: Counter[Code] = field(default_factory=Counter)


class RasterMask:
    """A mask in an open raster. It may be read by several threads.

    Its values can be looked at as a whole first (``require_sound``), so that a bad one is found before an hour has passed.
    """

    def __init__(self, raster: Raster, classes: Classes | None = None, threshold: int | None = None) -> None:
        self.grid, self.raster, self.classes, self._threshold = raster.grid, raster, classes, threshold
        self._lock = threading.Lock()  # GDAL reads a file in one thread at a time

    @cached_property
    def identity(self) -> str:
        values = f" {self.classes.index_of_value}" if self.classes and self.classes.values else ""
        settings = f"{self._threshold} {self.classes and self.classes.index_of}{values}"
        return hashlib.sha256(f"{source_sha256(self.raster.path)} {settings}".encode()).hexdigest()

    @property
    def nodata_note(self) -> str | None:
        """What is unclear about what it declares to be no data."""
        return None if self.classes else nodata_note(self.raster)

    def labels(self, window: Window | None = None) -> np.ndarray:
        """A window, or all of it, as (h, w) uint8 of 0 and 255 or of class indices. ``DataError`` for other values or colours."""
        with self._lock:
            if self.classes is None:
                return read_mask(self.raster, window, threshold=self._threshold)
            return self.classes.indices(self._codes(window), self.raster.path)

    def read(self, window: Window | None = None) -> tuple[np.ndarray, np.ndarray | None]:
        """As ``labels``, and where it holds data, (h, w) bool; ``None`` for everywhere."""
        if self.classes is None:
            with self._lock:
                return read_mask_and_valid(self.raster, window, threshold=self._threshold)
        labels = self.labels(window)
        with self._lock:
            return labels, self.raster.read_valid(window)

    def as_stored(self, window: Window | None = None) -> tuple[np.ndarray, np.ndarray | None]:
        """What a copy of it holds, and where that has data: as ``read``, but of classes their colours, (h, w, 3), or values."""
        if self.classes is None:
            return self.read(window)
        with self._lock:
            codes = self._codes(window)
        self.classes.indices(codes, self.raster.path)
        return (codes if codes.shape[2] == 3 else codes[..., 0]), None

    def building(self, window: Window, unfit: Unfit) -> np.ndarray:
        """(h, w) uint8 of 0 and 255. What the mask must not hold is counted in ``unfit``, to be judged when all of it is read."""
        if self.classes:
            labels, unknown = self.classes.sort(self._codes(window))
            unfit.codes += unknown
            building = -1 if self.classes.building is None else self.classes.building
            return np.where(labels == building, BUILDING, 0).astype(np.uint8)
        values = read_mask_values(self.raster, window)
        if self._threshold is None:
            unfit.counts += np.bincount(values.ravel(), minlength=256)
        return np.where(values >= (1 if self._threshold is None else self._threshold), BUILDING, 0).astype(np.uint8)

    def _codes(self, window: Window | None) -> np.ndarray:
        """What tells classes apart: colours (h, w, 3), or values (h, w, 1) where the classes have some and there is one band."""
        if self.classes and self.classes.values and (self.raster.dtype, self.raster.band_count) == ("uint8", 1):
            return self.raster.read(window)
        return read_mask_rgb(self.raster, window)

    def valid(self, window: Window) -> np.ndarray | None:
        declares = self.raster.nodata is not None or self.raster.has_alpha or self.raster.has_mask
        return self.read(window)[1] if declares else None

    def require_sound(self) -> None:
        unfit = Unfit()
        for window in self.raster.strips():
            if self.classes is None and self._threshold is None:
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
