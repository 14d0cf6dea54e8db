"""Masks that somebody drew: found, cleaned, and put on a place's ground."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rasterio.features import sieve

from orthoforge.errors import DataError
from orthoforge.forging.places import Place, Source, rasters_in
from orthoforge.forging.records import Made, Parameters
from orthoforge.forging.shapes import SMALLEST_PX
from orthoforge.geo.grid import Grid, require_north_up
from orthoforge.geo.rasters import open_raster


def drawn_paths(drawn: str | Path | Sequence[str | Path]) -> list[Path]:
    """Drawings of folders in natural order, and those that were named. ``DataError`` when there is none."""
    paths = [Path(path) for path in drawn] if not isinstance(drawn, (str, Path)) else [Path(drawn)]
    found = [mask for path in paths for mask in (rasters_in(path) if path.is_dir() else [path])]
    if not found:
        raise DataError(f"{', '.join(map(str, paths)) or 'drawn'}: no .tif, .png or .jpg in it.")
    return found


def take_drawn(path: Path, like: Source | None, place: Place, threshold: int | None) -> tuple[np.ndarray, Grid, Made]:
    """A drawn mask, cleaned; where it has no CRS on the grid of the scene of its name, else from the corner of another."""
    with open_raster(path) as raster:
        if raster.dtype != "uint8":
            raise DataError(f"{path}: drawing is {raster.dtype}; uint8 is expected. Export it with 8 bits.")
        require_north_up(path, raster.grid)
        table = raster.colour_table() if raster.band_count == 1 else None
        pixels = raster.read() if table is None else table[raster.read()[..., 0]]
        grid = raster.grid
    mask = clean_drawing(pixels, path, threshold=threshold)
    named = next((one for one in place.sources if one.name == path.stem), None)
    reference = named or like
    if grid.crs is None and reference is not None:
        grid = replace(reference.grid, height=grid.height, width=grid.width)
    share = float(np.count_nonzero(mask) / mask.size)
    parameters: Parameters = {"threshold": threshold, "reference": reference.name if reference and grid.crs else None}
    return mask, grid, {"sources": [path.name], "parameters": parameters, "building_share": round(share, 5)}


def clean_drawing(pixels: np.ndarray, path: object = "mask", *, threshold: int | None = None) -> np.ndarray:
    """Mask (H, W) uint8 of 0 and 255 from a drawing (H, W, C) of two tones: the brighter is building, or what is at or above
    ``threshold``. Transparency is ignored; specks and pinholes of fewer than 8 pixels go.

    ``DataError`` when there are more than two tones and no threshold.
    """
    colour = pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., :1]
    grey = colour.astype(np.float64).mean(axis=-1)
    tones = np.unique(grey)
    if threshold is None and len(tones) > 2:
        raise DataError(
            f"{path}: {len(tones)} tones of grey, where a drawing has two; pass --threshold, such as 128: what is as bright is "
            "building."
        )
    level = threshold if threshold is not None else max(tones[-1], 1)
    mask = np.where(grey >= level, 255, 0).astype(np.uint8)
    return sieve(mask, SMALLEST_PX, connectivity=4) if mask.size > SMALLEST_PX else mask
