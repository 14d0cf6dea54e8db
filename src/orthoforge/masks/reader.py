"""How the mask files of a command are read, said once and handed to all that read them."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from orthoforge.errors import ConfigError
from orthoforge.geo.grid import Grid, Window
from orthoforge.geo.pixel_sizes import PixelSizes
from orthoforge.geo.rasters import open_raster
from orthoforge.masks.classes import Classes, building_value, load_classes
from orthoforge.masks.coding import Coding, buildings_of, same_classes
from orthoforge.masks.opening import RasterMask, open_raster_mask


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
        with open_raster_mask(
            path, classes=self.classes, threshold=self.threshold, pixel_sizes=self.pixel_sizes, coding=self.coding
        ) as mask:
            yield mask

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


def palette_of(path: Path | None, annotated: Classes | None, building: Sequence[str]) -> tuple[Classes | None, Sequence[str]]:
    """The palette in a file, or the classes of annotations; and which of these are building.

    Where annotations outline a single kind of things, that is it.
    """
    if path is not None and annotated is not None:
        raise ConfigError("--palette is for masks that are rasters; annotations name their classes themselves. Leave it out.")
    if annotated is not None and annotated.count == 2 and not building:
        return annotated, annotated.names[1:]
    return (load_classes(path) if path is not None else annotated), building
