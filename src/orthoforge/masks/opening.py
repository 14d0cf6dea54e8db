"""Masks that are read by windows: a raster of buildings or of classes, or footprints."""

import contextlib
import dataclasses
import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from orthoforge import vectors
from orthoforge.errors import ConfigError
from orthoforge.geo.grid import Grid, Window, require_north_up
from orthoforge.geo.pixel_sizes import PixelSizes
from orthoforge.geo.rasters import open_raster
from orthoforge.geo.stamps import source_sha256
from orthoforge.masks.classes import Classes
from orthoforge.masks.coding import Coding
from orthoforge.masks.layer_mask import MapLayers, load_layers, warn_of_ignored
from orthoforge.masks.layer_style import load_style
from orthoforge.masks.layered import MapFiles, layered, map_on_its_ground
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
    pixel_sizes: PixelSizes = _NONE_STATED,
    coding: Coding | None = None,
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
            f"{path}: is a raster and has its own grid; {', '.join(extent.given)} {'is' if len(extent.given) == 1 else 'are'} for "
            f"footprints.{' Its resolution is changed by --resample.' if extent.gsd is not None else ''}"
        )
    with open_raster_mask(
        path, classes=None if layers else classes, threshold=threshold, pixel_sizes=pixel_sizes, coding=coding
    ) as mask:
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
