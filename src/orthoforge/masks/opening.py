"""Masks that are read by windows: a raster of buildings or of classes, or footprints."""

import contextlib
import dataclasses
import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from orthoforge import vectors
from orthoforge.errors import ConfigError
from orthoforge.geo.grid import Grid, Window, require_north_up
from orthoforge.geo.pixel_sizes import PixelSizes
from orthoforge.geo.stamps import source_sha256
from orthoforge.masks.classes import Classes
from orthoforge.masks.coding import Coding
from orthoforge.masks.reader import open_raster_mask

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

    @property
    def given(self) -> list[str]:
        """The options of the command line that were given."""
        usual = Extent()
        names = [one.name for one in dataclasses.fields(self) if getattr(self, one.name) != getattr(usual, one.name)]
        return [f"--{name.replace('_', '-')}" for name in names]


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
            f"{path}: is a raster and has its own grid; {', '.join(extent.given)} {'is' if len(extent.given) == 1 else 'are'} for "
            f"footprints.{' Its resolution is changed by --resample.' if extent.gsd is not None else ''}"
        )
    with open_raster_mask(path, classes=classes, threshold=threshold, pixel_sizes=pixel_sizes, coding=coding) as mask:
        require_north_up(path, mask.grid)
        for note in (mask.raster.place_note, mask.nodata_note):
            if note:
                warnings.warn(note, stacklevel=2)
        yield mask


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

    def numbers(self, window: Window) -> np.ndarray:
        """Which footprint each pixel of a window shows, (h, w) int32: its place in the file, from 1; 0 where there is none."""
        return self._mask.numbers(window)

    def valid(self, window: Window) -> None:
        return None

    def require_sound(self) -> None:
        pass
