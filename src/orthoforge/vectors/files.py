"""From a file of footprints to a file with their mask, and back."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from orthoforge.errors import DataError, GridError, OutputExistsError
from orthoforge.files import lock, no_such_file, require_place, writable
from orthoforge.geo.cog import assemble, write_block, write_raster
from orthoforge.geo.example import mask_called
from orthoforge.geo.grid import Grid, Window, require_north_up
from orthoforge.geo.rasters import DRIVERS, open_raster, read_mask
from orthoforge.vectors.footprint_mask import FootprintMask
from orthoforge.vectors.foreign import refuse_foreign
from orthoforge.vectors.limits import require_name
from orthoforge.vectors.outlines import footprints_of_strips
from orthoforge.vectors.places import crs_asked, grid_for, reproject
from orthoforge.vectors.reading import SUFFIXES, is_footprints, load_footprints
from orthoforge.vectors.writing import driver_of, write_footprints

# Masks up to this size are written from memory, larger ones block by block.
_WHOLE_PIXELS = 2**26
_BLOCK_PX = 4096


def open_mask(
    footprints: Path,
    *,
    like: Path | Grid | None = None,
    extent: tuple[float, float, float, float] | None = None,
    gsd_m: float | None = None,
    crs: str | None = None,
    footprints_crs: str | None = None,
    repair: bool = False,
    layer: str | None = None,
) -> FootprintMask:
    """The mask of a vector file, to be read by windows, on the grid that ``grid_for`` chooses: ``FootprintMask.grid``.

    ``like`` is a raster or its grid; ``extent`` is (left, bottom, right, top) in the CRS of the footprints; ``crs`` is the mask's,
    as EPSG:32633, and ``footprints_crs`` that of the footprints, where the file names none or a wrong one. Raises what
    ``load_footprints`` and ``grid_for`` raise, with the file's name.
    """
    if isinstance(like, Path | str):
        with open_raster(Path(like)) as raster:
            like = raster.grid
    found = load_footprints(footprints, layer=layer, repair=repair, within=like or extent, footprints_crs=footprints_crs)
    if not len(found):  # whatever lies elsewhere says more about what went wrong
        found = load_footprints(footprints, layer=layer, repair=repair, footprints_crs=footprints_crs)
    try:
        grid = grid_for(
            found.polygons, found.crs, like=like, extent=extent, gsd_m=gsd_m, features=found.features,
            crs_out=crs_asked(crs) if crs is not None else None,
        )  # fmt: skip
        polygons = reproject(found.polygons, found.crs, grid.crs, features=found.features)
        return FootprintMask(polygons, grid, features=found.features)
    except DataError as error:
        kind = GridError if isinstance(error, GridError) else DataError
        raise kind(f"{footprints}: {error}") from error


def rasterize_file(
    footprints: Path,
    out: Path,
    *,
    like: Path | Grid | None = None,
    extent: tuple[float, float, float, float] | None = None,
    gsd: float | None = None,
    crs: str | None = None,
    footprints_crs: str | None = None,
    repair: bool = False,
    layer: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the mask of a vector file to a GeoTIFF of one band, uint8, 255 on buildings and 0 elsewhere. Returns ``out``.

    ``gsd`` is the pixel's size in metres; for the rest see ``open_mask``. A large mask goes through the disk block by block, in
    a hidden folder beside ``out``. Raises what ``open_mask`` and ``write_raster`` raise.
    """
    out = Path(out)
    require_name(out)
    require_place(out)
    if out.exists() and not overwrite:  # said before a large file is read; the writer asks again
        raise OutputExistsError(f"{out} exists. Pass --overwrite to replace it, or choose another name.")
    mask = open_mask(
        footprints, like=like, extent=extent, gsd_m=gsd, crs=crs, footprints_crs=footprints_crs, repair=repair, layer=layer
    )
    _write(out, mask.grid, mask.read, overwrite=overwrite)
    return out


def _write(out: Path, grid: Grid, read: Callable[[Window], np.ndarray], *, overwrite: bool) -> None:
    """Write a mask (h, w) uint8 that is read by windows: a large one through the disk, block by block."""
    height, width = grid.height, grid.width
    if height * width <= _WHOLE_PIXELS:
        write_raster(out, read(Window(0, 0, height, width)), grid, overwrite=overwrite)
        return
    folder = out.with_name(f".{out.name}.blocks")
    with lock(folder), writable(out.parent):
        try:
            shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
            folder.mkdir()
            blocks = {}
            for row in range(0, height, _BLOCK_PX):
                for col in range(0, width, _BLOCK_PX):
                    window = Window(row, col, min(_BLOCK_PX, height - row), min(_BLOCK_PX, width - col))
                    blocks[window] = folder / f"{row}-{col}.tif"
                    write_block(blocks[window], read(window))
            assemble(out, blocks, grid, overwrite=overwrite)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def footprints(
    source: str | Path,
    out: str | Path,
    *,
    like: str | Path | None = None,
    extent: tuple[float, float, float, float] | None = None,
    gsd: float | None = None,
    crs: str | None = None,
    footprints_crs: str | None = None,
    repair: bool = False,
    layer: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Turn building footprints into a mask, or a mask into building footprints. The name of ``source`` decides.

    A mask is a GeoTIFF of one band, uint8, 255 on buildings and 0 elsewhere. It lies on the grid of the raster ``like``, or on
    ``extent`` (left, bottom, right, top in the CRS of the footprints) with pixels of ``gsd`` metres. ``crs`` is the CRS of the
    mask. ``footprints_crs`` states the CRS of the footprints where their file names none, or a wrong one. ``repair`` mends invalid
    polygons. ``layer`` names a layer of a GeoPackage. Outlines of a mask become GeoJSON, GeoPackage or GeoParquet. Returns ``out``.

    Raises:
        DataError: a file that cannot be read, or an invalid polygon without ``repair``.
        GridError: a mask without a CRS, or one that is rotated.
        OutputExistsError: ``out`` is there and ``overwrite`` is false.

    Examples:
        >>> from pathlib import Path
        >>> from orthoforge import footprints
        >>> footprints(Path("example"), Path("outlines.geojson")).name  # a mask to footprints
        'outlines.geojson'
        >>> footprints(Path("outlines.geojson"), Path("mask-again.tif"), gsd=0.3).name  # and back
        'mask-again.tif'
    """
    source, out, like = mask_called(Path(source)), Path(out), None if like is None else Path(like)
    if not is_footprints(source):
        refuse_foreign(source)
        if not source.exists():
            raise DataError(no_such_file(source))
        if source.suffix.lower() not in DRIVERS:
            raise DataError(f"{source}: is neither footprints ({', '.join(SUFFIXES)}) nor a mask ({', '.join(DRIVERS)}).")
        return polygonize_file(source, out, overwrite=overwrite)
    return rasterize_file(
        source, out, like=like, extent=extent, gsd=gsd, crs=crs, footprints_crs=footprints_crs, repair=repair, layer=layer,
        overwrite=overwrite,
    )  # fmt: skip


def polygonize_file(mask: Path, out: Path, *, overwrite: bool = False) -> Path:
    """Write the outlines of a mask's buildings to GeoJSON, GeoPackage or GeoParquet, in the mask's CRS. Returns ``out``.

    The mask is read strip by strip. Raises ``GridError`` for a mask without a place on the ground, ``DataError`` for values other
    than 0, 1 and 255, and what ``write_footprints`` raises.
    """
    driver_of(out)
    require_name(out)
    require_place(Path(out))
    with open_raster(Path(mask)) as raster:
        if raster.grid.crs is None:
            raise GridError(f"{mask}: has no CRS, so its buildings have no place on the ground. Use a georeferenced mask.")
        require_north_up(mask, raster.grid)
        polygons = footprints_of_strips((read_mask(raster, window) for window in raster.strips()), grid=raster.grid)
        crs = raster.grid.crs
    write_footprints(Path(out), polygons, crs, overwrite=overwrite)
    return Path(out)
