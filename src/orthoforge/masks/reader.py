"""A raster read as the mask that it is: of buildings or of classes, as the options of a command say it once for all its files."""

import contextlib
import hashlib
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from orthoforge.errors import ConfigError
from orthoforge.geo.grid import Grid, Window
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
from orthoforge.masks.coding import Coding, buildings_of, same_classes
from orthoforge.masks.palette import load_classes
from orthoforge.masks.share import BUILDING_IS, MaskShare

_NONE_STATED = PixelSizes()


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


@dataclass(frozen=True)
class MaskReader:
    """Reads masks of buildings, or of ``classes``.

    Files may say it by a ``coding`` of their own. The pixels of those without coordinates are as long as ``pixel_sizes`` say.
    """

    classes: Classes | None = None
    threshold: int | None = None
    pixel_sizes: PixelSizes = PixelSizes()  # noqa: RUF009 (immutable)
    coding: Coding | None = None

    @property
    def copies(self) -> "MaskReader":
        """What reads masks that were written as ``read`` gives them."""
        return replace(self, coding=None) if self.coding else self

    @contextlib.contextmanager
    def open(self, path: Path) -> Iterator[RasterMask]:
        """The mask in the raster ``path``."""
        with open_raster(path) as raster:
            yield self.on(raster)

    def on(self, raster: Raster, grid: Grid | None = None) -> RasterMask:
        """The mask in a raster that is open, on ``grid`` where that is known."""
        grid = grid or self.pixel_sizes.applied(raster.grid, raster.path)
        return RasterMask(raster, self.classes, self.threshold, grid, self.coding)

    def grid(self, path: Path) -> Grid:
        """The grid of a raster, image or mask, with the pixel size that is stated for it."""
        with open_raster(path) as raster:
            return self.pixel_sizes.applied(raster.grid, path)

    def read(self, path: Path, window: Window | None = None) -> tuple[np.ndarray, np.ndarray | None]:
        """Pixels to be written, and where they hold data: (H, W) of 0 and 255, of classes (H, W, 3) colours or (H, W) values."""
        with self.open(path) as mask:
            return mask.as_stored(window)

    def labels(self, path: Path, window: Window | None = None) -> np.ndarray:
        """(H, W) uint8: 0 and 255, or class indices."""
        with self.open(path) as mask:
            return mask.labels(window)

    def share_warning(self, share: MaskShare, name: str) -> str | None:
        """What looks wrong about how much of the mask of the scene ``name`` is building; ``None`` when nothing does.

        Land cover may have no building in a scene, and a class may fill it: of masks of classes nothing is said.
        """
        if self.classes is not None:
            return None
        return share.warning(name, "Choose with --building what is building." if self.coding else BUILDING_IS)

    def building_share(self, path: Path, window: Window) -> float | None:
        """Share of building in a window; ``None`` when no class is building."""
        building = building_value(self.classes)
        return None if building is None else float((self.labels(path, window) == building).mean())


def reader_of(
    classes: Classes | None,
    *,
    threshold: int | None = None,
    palette: Classes | None = None,
    building: Sequence[str] = (),
    pixel_sizes: PixelSizes = PixelSizes(),  # noqa: B008 (immutable)
) -> MaskReader:
    """What reads masks as those of ``classes``, or of buildings where it is ``None``, from files that ``palette`` describes.

    ``building`` names classes of the palette, or values of masks without one, that are building. Raises ``ConfigError`` for options
    that exclude each other, and for names that are not there.
    """
    if threshold is not None and (palette or building):
        raise ConfigError("--threshold is for masks of levels, --palette and --building for masks of classes. Pass one kind.")
    if classes is not None and building:
        raise ConfigError(
            "--building makes masks of classes to masks of buildings; this run was trained on classes. Leave --building out."
        )
    if classes is not None:
        return MaskReader(classes, threshold, pixel_sizes, same_classes(palette, classes) if palette else None)
    coding = buildings_of(palette, building) if palette or building else None
    return MaskReader(None, threshold, pixel_sizes, coding)


def own_reader(
    palette: Classes | None,
    *,
    threshold: int | None = None,
    building: Sequence[str] = (),
    pixel_sizes: PixelSizes = PixelSizes(),  # noqa: B008 (immutable)
) -> MaskReader:
    """What reads masks as the palette has them, of its classes, or of the buildings among these when ``building`` names them.

    Raises as ``reader_of`` does.
    """
    if palette is None or building or threshold is not None:
        return reader_of(None, threshold=threshold, palette=palette, building=building, pixel_sizes=pixel_sizes)
    return MaskReader(palette, None, pixel_sizes)


def palette_of(path: str | Path | None, annotated: Classes | None, building: Sequence[str]) -> tuple[Classes | None, Sequence[str]]:
    """The palette in a file, or the classes of annotations; and which of these are building.

    Where annotations outline a single kind of things, that is it.
    """
    if path is not None and annotated is not None:
        raise ConfigError("--palette is for masks that are rasters; annotations name their classes themselves. Leave it out.")
    if annotated is not None and annotated.count == 2 and not building:
        return annotated, annotated.names[1:]
    return (load_classes(path) if path is not None else annotated), building
