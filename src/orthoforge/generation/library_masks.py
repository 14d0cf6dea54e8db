"""The masks of a generator's own material, turned and shifted: what to make images of where nobody has masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orthoforge.errors import ConfigError
from orthoforge.generation.given_masks import GivenMasks
from orthoforge.geo.grid import Grid, Window
from orthoforge.geo.rasters import PIXEL_SIZE_TAG
from orthoforge.masks.turned import mirrored_to, turned_mask
from orthoforge.masks.writing import write_mask
from orthoforge.trained_generator import TrainedGenerator

LIBRARY = "library"


def means_library(masks: str | Path | Sequence[str | Path]) -> bool:
    """Whether ``masks`` is the word ``library`` alone, and no file or folder of that name is there."""
    one = [masks] if isinstance(masks, str | Path) else list(masks)
    return [str(mask) for mask in one] == [LIBRARY] and not Path(LIBRARY).exists()


def library_masks(generator: TrainedGenerator, folder: Path, seed: int) -> GivenMasks:
    """A mask of each tile of the library, turned or mirrored and shifted by ``seed``, as files ``PLACE_NUMBER.tif`` in ``folder``.

    ``ConfigError`` for a generator without a library.
    """
    masks = [library_mask(generator, number, folder, seed) for number in range(library_size(generator))]
    return GivenMasks(tuple(path for path, _ in masks), places=tuple(place for _, place in masks))


def library_size(generator: TrainedGenerator) -> int:
    """How many tiles the generator's library has. ``ConfigError`` where it has no library."""
    if generator.library is None:
        raise ConfigError(
            f"{generator.recipe.name} has no library whose masks could be taken. Name masks of your own, or weights of "
            "orthoforge-material."
        )
    return len(generator.library)


def library_mask(generator: TrainedGenerator, number: int, folder: Path, seed: int, *, least_px: int = 0) -> tuple[Path, str]:
    """Write the mask of a tile of the library, turned or mirrored and shifted by ``seed``, into ``folder``; its path and its place.

    It is ``least_px`` wide and high at least, mirrored at its edges. What is there is replaced.
    """
    library = generator.library
    assert library is not None
    place, values = library.place_names[library.places[number]], library.mask_values(number)
    mask = _Mask(turned_mask(mirrored_to(values, least_px), number, seed))
    tags = {} if generator.gsd_m is None else {PIXEL_SIZE_TAG: f"{generator.gsd_m:g}"}
    path = folder / f"{place}_{number}.tif"
    write_mask(path, mask, generator.classes if library.classes is not None else None, tags=tags, overwrite=True)
    return path, place


@dataclass(frozen=True)
class _Mask:
    """``values`` (H, W) uint8 without a place on the ground, as a ``SceneMask`` is written."""

    values: np.ndarray

    @property
    def grid(self) -> Grid:
        return Grid(len(self.values), self.values.shape[1])

    @property
    def identity(self) -> str:
        return ""

    def read(self, window: Window) -> tuple[np.ndarray, None]:
        return self.values[window.slices], None

    def valid(self, window: Window) -> None:
        return None

    def require_sound(self) -> None:
        return None
