"""Writes a mask as a raster that is read as the same mask again: 0 and 255, or classes with their colours."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from orthoforge.errors import ConfigError
from orthoforge.geo.bands import write_band
from orthoforge.geo.cog import write_raster
from orthoforge.geo.grid import Window, strips_of
from orthoforge.masks.classes import Classes, Colour
from orthoforge.masks.opening import SceneMask


def write_mask(
    path: Path, mask: SceneMask, classes: Classes | None, *, tags: Mapping[str, str] | None = None, overwrite: bool = False
) -> None:
    """Write ``mask`` on its own grid to a GeoTIFF or PNG of one band, strip by strip.

    Buildings are 0 and 255. Classes have the values that the palette gives them, or else their indices, with a colour table of the
    palette's colours. Where the palette gives values to some classes and colours to all, the file has three bands of colours. A
    GeoTIFF says in an internal mask where there are no data. Raises what ``write_band`` raises, and ``ConfigError`` for a palette
    of which no one file can hold all classes.
    """
    if classes is None:
        _write(path, mask, None, None, tags, overwrite)
    elif not classes.values or all(classes.values):
        values = np.arange(256).astype(np.uint8)
        values[: classes.count] = [of_class[0] for of_class in classes.values] or range(classes.count)
        shown = classes.rgb(np.arange(classes.count)).tolist()
        colours: dict[int, Colour] = {int(values[index]): (r, g, b) for index, (r, g, b) in enumerate(shown)}
        _write(path, mask, values, colours, tags, overwrite)
    elif all(classes.colours):
        whole = Window(0, 0, mask.grid.height, mask.grid.width)
        write_raster(path, classes.rgb(mask.read(whole)[0]), mask.grid, valid=mask.valid(whole), tags=tags, overwrite=overwrite)
    else:
        raise ConfigError(
            f"{path}: the palette gives some classes a value alone and others a colour alone, so no mask can hold all of them. "
            "Give every class a value, or every class a colour."
        )


def _write(
    path: Path,
    mask: SceneMask,
    values: np.ndarray | None,
    colours: Mapping[int, Colour] | None,
    tags: Mapping[str, str] | None,
    overwrite: bool,
) -> None:
    masked = any(mask.valid(strip) is not None for strip in strips_of(mask.grid))

    def strips() -> Iterator[tuple[Window, np.ndarray, np.ndarray | None]]:
        for strip in strips_of(mask.grid):
            labels, valid = mask.read(strip)
            yield strip, labels if values is None else values[labels], valid

    write_band(path, strips(), mask.grid, colours=colours, masked=masked, tags=tags, overwrite=overwrite)
