"""Writes rasters: Cloud Optimized GeoTIFF and PNG, from an array, or out of the finished blocks of a scene of any size.

A scene that does not fit into memory is written block by block (``write_block``) and put together afterwards (``assemble``). GDAL
then reads the blocks through a VRT, which is text that exists in memory only, and never holds more than some rows of them.
"""

import contextlib
import glob
import os
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.shutil import copy

from orthoforge.errors import ConfigError, DataError, ResourceError
from orthoforge.files import new_file, writable
from orthoforge.geo.grid import Grid, Window, crs_name
from orthoforge.geo.rasters import (
    DRIVERS,
    GDAL_ERRORS,
    PIXEL_SIZE_TAG,
    READ_OPTIONS,
    gdal_threads,
    open_quietly,
    open_raster,
    require_name,
)
from orthoforge.geo.side_files import remove_side_files

Compression = Literal["deflate", "zstd", "lzw", "jpeg", "webp"]
COMPRESSIONS: tuple[Compression, ...] = ("deflate", "zstd", "lzw", "jpeg", "webp")
LOSSY = ("jpeg", "webp")
# Below 25 both codecs shift the mean of whole areas by more levels than the check after writing allows.
QUALITIES = range(25, 101)
# A lossy file is taken as written when the means over cells of so many pixels differ by so little, averaged over a block. Noise
# in full colour, the worst for a codec that halves the colours' resolution, stays below; a lost or misplaced tile does not.
_CELL_PX, _LOSSY_TOLERANCE = 16, 8.0
# Block files: of what GDAL offers, zstd at its lowest level writes three times faster than deflate and is as small.
_BLOCK_OPTIONS = {
    "driver": "GTiff", "compress": "zstd", "zstd_level": 1, "predictor": 2, "interleave": "pixel",
    "tiled": True, "blockxsize": 256, "blockysize": 256,
}  # fmt: skip
_CHECKSUM = "CRC32"
# GDAL keeps up to 450 block files open with their buffers, which grew to 440 MB for a scene of 20 000²; 32 are a row of blocks.
# Threads that read the VRT would each keep their own; those of the COG driver compress all the same.
_WRITE_OPTIONS = READ_OPTIONS | {
    "GDAL_PAM_ENABLED": "NO", "GDAL_TIFF_INTERNAL_MASK": "YES", "GDAL_MAX_DATASET_POOL_SIZE": "32", "GDAL_NUM_THREADS": "1",
}  # fmt: skip
# Rows compared at a time when an array is read back.
_STRIP_PIXELS = 2**22

_RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)

# A window of a scene, its pixels (H, W, C), and which of them hold data; ``None`` for all.
Part = tuple[Window, np.ndarray, np.ndarray | None]


def write_raster(
    path: Path,
    array: np.ndarray,
    grid: Grid,
    *,
    tags: Mapping[str, str] | None = None,
    valid: np.ndarray | None = None,
    compress: Compression = "deflate",
    quality: int = 90,
    overwrite: bool = False,
) -> None:
    """Write (H, W) or (H, W, B) uint8 to a Cloud Optimized GeoTIFF, or to a PNG when ``path`` ends in ``.png``.

    Overviews, BigTIFF where needed. Pixels where ``valid`` (H, W) is false have no data: a GeoTIFF says so in an internal mask, a
    PNG in an alpha band. ``quality`` is that of JPEG and WebP. Written under a temporary name, read back and compared, then
    renamed. Raises ``ConfigError`` for a compression that does not fit, ``DataError`` for another suffix, and
    ``OutputExistsError``, ``LockedError`` or ``ResourceError`` (``orthoforge.files.new_file``).
    """
    path = Path(path)
    bands = array[..., None] if array.ndim == 2 else array
    assert bands.shape[:2] == (grid.height, grid.width), (bands.shape, grid)
    assert bands.dtype == np.uint8
    if valid is not None and valid.all():
        valid = None
    options = creation_options(path, bands.shape[2], compress, quality)
    with new_raster(path, bands.nbytes, overwrite=overwrite) as partial:
        alpha = _opacity(valid) if valid is not None and options["driver"] == "PNG" else None
        shape = {"height": grid.height, "width": grid.width, "count": bands.shape[2] + (alpha is not None), "dtype": "uint8"}
        place = {} if options["driver"] == "PNG" else {"transform": grid.transform, "crs": grid.crs}
        with open_quietly(partial, "w", **shape, **place, **options) as dataset:
            dataset.colorinterp = _meanings(bands.shape[2]) + (ColorInterp.alpha,) * (alpha is not None)
            dataset.write(np.moveaxis(bands, -1, 0), indexes=range(1, bands.shape[2] + 1))
            if alpha is not None:
                dataset.write(alpha, bands.shape[2] + 1)
            elif valid is not None:
                dataset.write_mask(valid)
            dataset.update_tags(**with_pixel_size(tags, grid))
        rows = max(1, _STRIP_PIXELS // grid.width)
        strips = (Window(row, 0, min(rows, grid.height - row), grid.width) for row in range(0, grid.height, rows))
        parts = ((strip, bands[strip.slices], None if valid is None else valid[strip.slices]) for strip in strips)
        _require_written(path, partial, grid, parts, masked=valid is not None, lossy=compress in LOSSY)


def write_geotiff(
    path: Path, array: np.ndarray, grid: Grid, *, tags: Mapping[str, str] | None = None, overwrite: bool = False
) -> None:
    """``write_raster`` for callers that mean a GeoTIFF."""
    assert Path(path).suffix.lower() in (".tif", ".tiff"), path
    write_raster(path, array, grid, tags=tags, overwrite=overwrite)


def write_block(path: Path, pixels: np.ndarray, valid: np.ndarray | None = None, *, tags: Mapping[str, str] | None = None) -> None:
    """Write a finished block of a scene, (H, W) or (H, W, B) uint8, to ``path`` (``.tif``), for ``assemble`` or ``read_block``.

    Lossless, with a checksum and ``tags``, and replacing what is there. Where ``valid`` (H, W) is false the scene has no data.
    Raises ``LockedError`` or ``ResourceError``.
    """
    path = Path(path)
    assert path.suffix == ".tif" and pixels.dtype == np.uint8, (path, pixels.dtype)
    bands = pixels[..., None] if pixels.ndim == 2 else pixels
    colours = _meanings(bands.shape[2])
    if valid is not None and valid.all():
        valid = None
    checksum = _checksum(bands, valid)
    if valid is not None:
        bands = np.dstack([bands, _opacity(valid)])
        colours += (ColorInterp.alpha,)
    shape = {"height": bands.shape[0], "width": bands.shape[1], "count": bands.shape[2], "dtype": "uint8"}
    with new_raster(path, bands.nbytes, overwrite=True) as partial:
        with open_quietly(partial, "w", **shape, **_BLOCK_OPTIONS) as dataset:
            dataset.colorinterp = colours
            dataset.update_tags(**{_CHECKSUM: checksum}, **(tags or {}))
            dataset.write(np.moveaxis(bands, -1, 0))
        # GDAL keeps a small block until it closes the file, and tells nobody when the disk is full by then.
        whole = Window(0, 0, *bands.shape[:2])
        _require_written(path, partial, Grid(*bands.shape[:2]), [(whole, bands, None)], masked=False, lossy=False)


def read_block(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels of a block, (H, W) or (H, W, B) uint8, and which of them hold data, (H, W) bool; ``None`` when all do.

    ``DataError`` when the file is missing, truncated or damaged.
    """
    path = Path(path)
    with open_raster(path) as raster:
        bands, valid = raster.read(), None
        if raster.has_alpha:
            bands, valid = bands[..., :-1], bands[..., -1] > 0
        if raster.tags().get(_CHECKSUM) != _checksum(bands, valid):
            raise DataError(
                f"{path}: this block of a scene is damaged (its checksum does not fit). Delete it; it is then made again."
            )
    return (bands[..., 0] if bands.shape[2] == 1 else bands), valid


def assemble(
    path: Path,
    blocks: Mapping[Window, Path],
    grid: Grid,
    *,
    tags: Mapping[str, str] | None = None,
    compress: Compression = "deflate",
    quality: int = 90,
    overwrite: bool = False,
) -> None:
    """Write the scene that ``blocks`` (``write_block``) cover, every pixel once, as ``write_raster`` would write it whole.

    Memory does not grow with the scene. The disk of ``path`` also holds the overviews a second time, for a while. Raises what
    ``write_raster`` raises, and ``DataError`` for a block that is missing or damaged.
    """
    path = Path(path)
    _assert_cover(blocks, grid)
    alphas, counts = {}, set()
    for window, block in blocks.items():
        with open_raster(block) as raster:
            assert (raster.grid.height, raster.grid.width) == (window.height, window.width), (block, window)
            alphas[window] = raster.has_alpha
            counts.add(raster.band_count - raster.has_alpha)
    (count,) = counts
    masked = any(alphas.values())
    options = creation_options(path, count, compress, quality)
    with new_raster(path, grid.height * grid.width * count, overwrite=overwrite) as partial:
        scene = _vrt(blocks, alphas, grid, count, with_pixel_size(tags, grid), driver=str(options["driver"]))
        try:
            with open_quietly(scene, driver="VRT") as dataset:
                copy(dataset, partial, **options)
        except GDAL_ERRORS:
            for block in blocks.values():
                read_block(block)  # names the block, if one is the reason
            raise
        parts = ((window, *read_block(block)) for window, block in blocks.items())
        _require_written(path, partial, grid, parts, masked=masked, lossy=compress in LOSSY)


def creation_options(path: Path, band_count: int, compress: Compression, quality: int) -> dict[str, object]:
    """GDAL's driver for ``path`` and its options.

    Raises ``DataError`` for a suffix and ``ConfigError`` for a compression or quality that cannot be written.
    """
    driver = DRIVERS.get(path.suffix.lower())
    if driver not in ("GTiff", "PNG"):
        raise DataError(f"{path}: images are written as .tif or .png.")
    if compress not in COMPRESSIONS:
        raise ConfigError(f"unknown compression {compress!r}; there are {', '.join(COMPRESSIONS)}.")
    if driver == "PNG":
        if compress != "deflate":
            raise ConfigError(f"{path}: {compress} is for GeoTIFF; a PNG is always deflate. Name the output .tif.")
        if band_count not in (1, 3):
            raise ConfigError(f"{path}: a PNG holds one band or three; images of {band_count} are written as .tif.")
        return {"driver": "PNG", "WRITE_METADATA_AS_TEXT": "YES"}
    options: dict[str, object] = {
        "driver": "COG", "compress": compress, "bigtiff": "IF_SAFER", **gdal_threads(),
        # A mask's overview must hold the mask's values; an image of one band has to bear it.
        "overview_resampling": "NEAREST" if band_count == 1 else "AVERAGE",
    }  # fmt: skip
    if compress not in LOSSY:
        return options | {"predictor": "YES"}
    if band_count != 3:
        raise ConfigError(
            f"{path}: {compress} is for images of three bands; a mask needs a lossless compression, as do others: deflate."
        )
    if quality not in QUALITIES:
        raise ConfigError(f"quality {quality} is not between {QUALITIES[0]} and {QUALITIES[-1]}.")
    return options | {"quality": quality}


def _meanings(band_count: int) -> tuple[ColorInterp, ...]:
    """What bands are shown as: one as grey, the first three as red, green and blue, the others not at all."""
    first = (ColorInterp.gray,) if band_count < len(_RGB) else _RGB
    return first + (ColorInterp.undefined,) * (band_count - len(first))


@contextlib.contextmanager
def new_raster(path: Path, size_bytes: int, *, overwrite: bool) -> Iterator[Path]:
    """``new_file`` with GDAL set up for writing and its errors told as the disk's. What spoke of a replaced image goes with it."""
    require_name(path)
    with new_file(path, overwrite=overwrite) as partial, rasterio.Env(**_WRITE_OPTIONS):
        # What GDAL wrote beside the file, the overviews, before it was killed.
        for leftover in partial.parent.glob(f"{glob.escape(partial.name)}.*"):
            leftover.unlink()
        try:
            yield partial
        except GDAL_ERRORS as error:
            raise write_error(path, size_bytes, error) from error
        if overwrite:
            remove_side_files(path)


def with_pixel_size(tags: Mapping[str, str] | None, grid: Grid) -> dict[str, str]:
    """``tags``, and the pixel size that was stated of a grid without a CRS: the file then says it itself."""
    metres = grid.gsd_m() if grid.unit_m is not None else None
    return dict(tags or {}) | ({} if metres is None else {PIXEL_SIZE_TAG: f"{metres:.10g}"})


def _vrt(
    blocks: Mapping[Window, Path], alphas: Mapping[Window, bool], grid: Grid, count: int, tags: Mapping[str, str], *, driver: str
) -> str:
    """The scene as a VRT over its block files; where one has an alpha band, with a mask, or an alpha band for a PNG."""
    lines = [f'<VRTDataset rasterXSize="{grid.width}" rasterYSize="{grid.height}">']
    if driver == "COG" and grid.crs is not None:
        lines.append(f"<SRS>{escape(grid.crs.to_wkt())}</SRS>")
    if driver == "COG" and grid.transform != grid.transform.identity():
        lines.append(f"<GeoTransform>{', '.join(repr(float(term)) for term in grid.transform.to_gdal())}</GeoTransform>")
    lines += ["<Metadata>", *(f"<MDI key={quoteattr(key)}>{escape(value)}</MDI>" for key, value in tags.items()), "</Metadata>"]
    for number, colour in enumerate(_meanings(count), 1):
        lines += _vrt_band(number, colour, [_source(window, block, number) for window, block in blocks.items()])
    if any(alphas.values()):
        opacity = [_source(window, block, count + 1 if alphas[window] else None) for window, block in blocks.items()]
        if driver == "PNG":
            lines += _vrt_band(count + 1, ColorInterp.alpha, opacity)
        else:
            lines += ['<MaskBand><VRTRasterBand dataType="Byte">', *opacity, "</VRTRasterBand></MaskBand>"]
    return "\n".join([*lines, "</VRTDataset>"])


def _vrt_band(number: int, colour: ColorInterp, sources: Iterable[str]) -> list[str]:
    start = f'<VRTRasterBand dataType="Byte" band="{number}"><ColorInterp>{colour.name.title()}</ColorInterp>'
    return [start, *sources, "</VRTRasterBand>"]


def _source(window: Window, path: Path, band: int | None) -> str:
    """One block as the source of a VRT's band; without a band, 255 everywhere."""
    kind = "ComplexSource" if band is None else "SimpleSource"
    size = f'xSize="{window.width}" ySize="{window.height}"'
    # With the properties GDAL need not open every block to begin with.
    properties = (
        f'RasterXSize="{window.width}" RasterYSize="{window.height}" DataType="Byte" '
        f'BlockXSize="{_BLOCK_OPTIONS["blockxsize"]}" BlockYSize="{_BLOCK_OPTIONS["blockysize"]}"'
    )
    return (
        f'<{kind}><SourceFilename relativeToVRT="0">{escape(str(Path(path).absolute()))}</SourceFilename>'
        f"<SourceBand>{band or 1}</SourceBand><SourceProperties {properties}/>"
        f'<SrcRect xOff="0" yOff="0" {size}/><DstRect xOff="{window.col}" yOff="{window.row}" {size}/>'
        f"{'<ScaleOffset>255</ScaleOffset><ScaleRatio>0</ScaleRatio>' if band is None else ''}</{kind}>"
    )


def _assert_cover(blocks: Iterable[Window], grid: Grid) -> None:
    """Every pixel of ``grid`` lies in one window."""
    windows = list(blocks)
    rows = np.unique([edge for w in windows for edge in (w.row, w.row + w.height)])
    cols = np.unique([edge for w in windows for edge in (w.col, w.col + w.width)])
    assert (rows[0], rows[-1], cols[0], cols[-1]) == (0, grid.height, 0, grid.width), (rows[0], rows[-1], cols[0], cols[-1], grid)
    seen = np.zeros((len(rows) - 1, len(cols) - 1), np.int32)
    for w in windows:
        first_row, last_row = np.searchsorted(rows, (w.row, w.row + w.height))
        first_col, last_col = np.searchsorted(cols, (w.col, w.col + w.width))
        seen[first_row:last_row, first_col:last_col] += 1
    assert (seen == 1).all(), "blocks overlap or leave a gap"


def _checksum(bands: np.ndarray, valid: np.ndarray | None) -> str:
    checksum = zlib.crc32(np.ascontiguousarray(bands).data)
    return f"{checksum if valid is None else zlib.crc32(np.packbits(valid).data, checksum):08x}"


def _opacity(valid: np.ndarray) -> np.ndarray:
    return valid.astype(np.uint8) * np.uint8(255)


def _require_written(path: Path, partial: Path, grid: Grid, parts: Iterable[Part], *, masked: bool, lossy: bool) -> None:
    """Raise ``ResourceError`` unless the file holds ``parts``."""
    if not _reads_back(partial, DRIVERS[path.suffix.lower()], grid, parts, masked=masked, lossy=lossy):
        raise write_error(path, grid.height * grid.width * 3, "the file does not read back as it was written")
    _warn_of_a_lost_crs(path, partial, grid)


def _warn_of_a_lost_crs(path: Path, partial: Path, grid: Grid) -> None:
    if grid.crs is None or path.suffix.lower() == ".png":
        return
    with open_quietly(partial, driver="GTiff") as dataset:
        if dataset.crs is None:
            warnings.warn(f"{path}: a GeoTIFF cannot hold its CRS, {crs_name(grid.crs)}; it is written without.", stacklevel=2)


def _reads_back(path: Path, driver: str, grid: Grid, parts: Iterable[Part], *, masked: bool, lossy: bool) -> bool:
    try:
        threads = gdal_threads() if driver == "GTiff" else {}
        with open_quietly(path, driver=driver, **threads) as dataset:
            if dataset.shape != (grid.height, grid.width) or (driver == "GTiff" and dataset.transform != grid.transform):
                return False
            for window, pixels, valid in parts:
                bands = pixels[..., None] if pixels.ndim == 2 else pixels
                part = rasterio.windows.Window(window.col, window.row, window.width, window.height)
                read = np.moveaxis(dataset.read(range(1, bands.shape[2] + 1), window=part), 0, -1)
                if not (_alike(read, bands) if lossy else np.array_equal(read, bands)):
                    return False
                if masked and not ((dataset.dataset_mask(window=part) > 0) == (True if valid is None else valid)).all():
                    return False
    except GDAL_ERRORS:
        return False
    return True


def _alike(read: np.ndarray, written: np.ndarray) -> bool:
    """Whether two (H, W, C) arrays agree in the means of their cells as well as a lossy codec lets them."""
    starts = [np.arange(0, size, _CELL_PX) for size in read.shape[:2]]
    difference = np.add.reduceat(read.astype(np.int32) - written, starts[0], axis=0)
    difference = np.add.reduceat(difference, starts[1], axis=1)
    heights, widths = (np.diff(start, append=size) for start, size in zip(starts, read.shape[:2], strict=True))
    return np.abs(difference / np.outer(heights, widths)[..., None]).mean() <= _LOSSY_TOLERANCE


def write_error(path: Path, size_bytes: int, cause: object) -> ResourceError:
    """GDAL reports a full disk as a plain write error, so the message says what to look at."""
    with writable(path.parent):
        stat = os.statvfs(path.parent)
    free = stat.f_bavail * stat.f_frsize
    return ResourceError(
        f"{path}: could not be written (up to {size_bytes / 1e6:.0f} MB, {free / 1e6:.0f} MB left on the disk): {cause}. "
        "Nothing was left under that name."
    )
