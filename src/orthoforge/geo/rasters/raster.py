"""An open raster: its pixels, where they lie, and what its file says of them."""

import contextlib
import math
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from orthoforge.errors import DataError
from orthoforge.geo.crs import require_no_files
from orthoforge.geo.grid import POSSIBLE_PIXEL_M, Grid, Window, require_possible
from orthoforge.geo.heights import horizontal
from orthoforge.geo.rasters.files import driver_of, require_own_side_files
from orthoforge.geo.rasters.memory import require_memory
from orthoforge.geo.rasters.named_files import CrsTags, crs_tags
from orthoforge.geo.rasters.orientation import require_upright
from orthoforge.geo.rasters.plain_rows import has_plain_rows, read_plain_rows
from orthoforge.geo.rasters.reader import Reader

# A header may declare any size. 50 000² is four times the area of the largest scenes in use.
MAX_PIXELS = 50_000**2
# A TIFF may declare 65 535 bands. Hyperspectral scenes have some hundreds.
MAX_BANDS = 1000
# Pixels of one strip of rows: 12 MB of RGB. Whatever goes through a scene strip by strip needs this much and no more.
_STRIP_PIXELS = 2**22
_MOST_STRIP_PIXELS = 2**25
# GDAL unpacks a block whole. Those in use have up to some MB; a scene in a single strip has some hundred.
_MOST_BLOCK_BYTES = 2**29
# GDAL's shortcut for a whole PNG returns a truncated file's missing rows as garbage, without an error; row by row it notices.
# GDAL would keep decoded blocks in 5 % of all memory. 48 MB hold a row of 512 px blocks of RGB 30 000 px wide; strips need no more.
# Without a list of the folder GDAL asks for side files by their exact names, which are looked at before.
READ_OPTIONS = {
    "GDAL_PNG_WHOLE_IMAGE_OPTIM": "NO", "GDAL_CACHEMAX": 48 * 2**20, "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",
}  # fmt: skip
# A window of fewer bytes is read without asking how much memory is left, which takes as long as reading a small one.
_UNASKED_BYTES = 2**24
# GDAL's threads halve the time for blocks of at least so many pixels; Inria's one-row blocks take 4 to 15 times as long with them.
# (GTIFF_DIRECT_IO would read those three times faster, but gives a truncated file's missing rows as garbage, without an error.)
_THREADED_BLOCK_PIXELS = 2**16
# In a file without a CRS: the metres of a pixel, as they were stated when it was written (``cog``).
PIXEL_SIZE_TAG = "PIXEL_SIZE_M"
# What opening, reading and writing may raise: rasterio lets GDAL's own errors through when it closes a file on a full disk.
GDAL_ERRORS = (RasterioError, CPLE_BaseError)
# GDAL keeps its threads for all files of a process. A forked one has none of them; GDAL believes so, and would wait for ever.
_is_forked = threading.Event()
os.register_at_fork(after_in_child=_is_forked.set)
# ``warnings.catch_warnings`` changes the whole process, so threads take turns in it.
_warnings_lock = threading.Lock()
# Whether a thread is inside of ``reading_many``.
_thread = threading.local()


@dataclass(frozen=True)
class Raster:
    """An open raster. ``read`` gives pixels; ``grid`` says where they lie."""

    path: Path
    grid: Grid
    band_count: int
    dtype: str
    has_mask: bool
    """The file holds a mask of its valid pixels, besides its bands."""
    _dataset: DatasetReader
    seen: set[int] = field(default_factory=set, compare=False)
    """Of a mask, which of 1 and 255 were read so far."""
    has_plain_rows: bool = False
    """Its rows can be read as they lie in the file, see ``plain_rows``."""

    def read(self, window: Window | None = None, bands: Sequence[int] | None = None) -> np.ndarray:
        """Pixels as (H, W, C) in the file's own dtype: of all bands, or of some by their number from 1.

        ``DataError`` names the first rows that cannot be read.
        """
        w = self._window(window)
        indexes = list(range(1, self.band_count + 1) if bands is None else bands)
        needed = w.height * w.width * len(indexes) * np.dtype(self.dtype).itemsize
        if needed > _UNASKED_BYTES:
            require_memory(needed, f"{self.path}: reading {w.width}×{w.height} px")
        part = rasterio.windows.Window(w.col, w.row, w.width, w.height)
        with self._readable(w):
            if self.has_plain_rows and indexes == list(range(1, self.band_count + 1)):
                rows = read_plain_rows(self.path, self._dataset, w)
                if rows is not None:
                    return rows
            pixels = np.empty((w.height, w.width, len(indexes)), self.dtype)
            # GDAL writes through the strides: no second copy to bring the bands last, and half the memory.
            self._dataset.read(indexes, window=part, out=np.moveaxis(pixels, -1, 0))
        return pixels

    @property
    def nodata(self) -> float | None:
        """The value that the file declares for pixels without data."""
        return self._dataset.nodata

    @property
    def has_alpha(self) -> bool:
        """The last band says how opaque the others are."""
        return self.band_count > 1 and self._dataset.colorinterp[-1] == ColorInterp.alpha

    def read_valid(self, window: Window | None = None) -> np.ndarray | None:
        """Which pixels hold data by the file's own mask or alpha band, (H, W) bool; ``None`` when it has neither."""
        if not (self.has_alpha or self.has_mask):
            return None
        w = self._window(window)
        part = rasterio.windows.Window(w.col, w.row, w.width, w.height)
        with self._readable(w):
            if self.has_alpha:
                return self._dataset.read(self.band_count, window=part) > 0
            return self._dataset.read_masks(1, window=part) > 0

    @property
    def place_note(self) -> str | None:
        """That control points or coefficients say where the raster lies, and no transform does; ``None`` for any other."""
        if self.grid.crs is not None:
            return None
        points, _ = self._dataset.gcps
        if not points and self._dataset.rpcs is None:
            return None
        how = f"{len(points)} ground control points" if points else "rational polynomial coefficients (RPC)"
        return f"{self.path}: only {how} say where it lies, which are not read: it has no place. Warp it first, with gdalwarp."

    def tags(self) -> dict[str, str]:
        """The file's metadata tags."""
        return dict(self._dataset.tags())

    def strips(self) -> Iterator[Window]:
        """Windows over all rows, from the top, each as wide as the raster and made of whole blocks, or of parts of huge ones."""
        block_rows = min(self._dataset.block_shapes[0][0], max(1, _MOST_STRIP_PIXELS // self.grid.width))
        rows = max(1, _STRIP_PIXELS // (self.grid.width * block_rows)) * block_rows
        for row in range(0, self.grid.height, rows):
            yield Window(row, 0, min(rows, self.grid.height - row), self.grid.width)

    def colour_table(self) -> np.ndarray | None:
        """Red, green and blue of each value as (256, 3) uint8; ``None`` when the first band has no colour table."""
        table = self._colours_and_opacity()
        return None if table is None else table[:, :3]

    def grey_levels(self) -> np.ndarray | None:
        """Which grey each value is shown in, (256,) int16, -1 for a colour; ``None`` when the first band has no colour table.

        What is transparent is 0. Where a table has two greys only, they are 0 and 255.
        """
        table = self._colours_and_opacity()
        if table is None:
            return None
        shown = table[:, 3] > 0
        levels = np.where((table[:, :3] == table[:, :1]).all(axis=1), table[:, 0].astype(np.int16), np.int16(-1))
        greys = np.unique(levels[shown & (levels >= 0)])
        if len(greys) == 2:
            levels[levels >= 0] = np.where(levels[levels >= 0] == greys[1], 255, 0)
        return np.where(shown, levels, np.int16(0))

    def _colours_and_opacity(self) -> np.ndarray | None:
        """The colour table as (256, 4) uint8; values beyond its end are transparent."""
        try:
            table = self._dataset.colormap(1)
        except ValueError:
            return None
        return np.array([table.get(value, (0, 0, 0, 0)) for value in range(256)], np.uint8)

    def missing_blocks(self) -> tuple[int, int]:
        """How many blocks of a GeoTIFF were never written, and how many there are. They read as zeros, without an error."""
        if self._dataset.driver != "GTiff":
            return 0, 0
        block_height, block_width = self._dataset.block_shapes[0]
        rows, cols = -(-self.grid.height // block_height), -(-self.grid.width // block_width)
        tag = self._dataset.get_tag_item
        missing = sum(tag(f"BLOCK_OFFSET_{x}_{y}", "TIFF", bidx=1) is None for y in range(rows) for x in range(cols))
        return missing, rows * cols

    def _window(self, window: Window | None) -> Window:
        return window or Window(0, 0, self.grid.height, self.grid.width)

    @contextlib.contextmanager
    def _readable(self, window: Window) -> Iterator[None]:
        try:
            yield
        except GDAL_ERRORS as error:
            raise DataError(
                f"{self.path}: pixels cannot be read near row {self._first_bad_row(window)} (truncated or damaged file). "
                "Copy or download it again."
            ) from error

    def _first_bad_row(self, window: Window) -> int:
        """First row of the first block inside ``window`` that fails to read."""
        step = self._dataset.block_shapes[0][0]
        for row in range(window.row - window.row % step, window.row + window.height, step):
            height = min(step, self.grid.height - row)
            try:
                self._dataset.read(window=rasterio.windows.Window(window.col, row, window.width, height))
            except GDAL_ERRORS:
                return row
        return window.row


@contextlib.contextmanager
def open_raster(path: Path) -> Iterator[Raster]:
    """Open a GeoTIFF, PNG or JPEG for reading.

    Raises ``DataError`` for a missing, empty or unreadable file, another format behind the suffix, a damaged header, too many
    declared pixels or bands, and pixels that viewers turn; ``GridError`` for a place that cannot be.
    """
    path = Path(path)
    driver = driver_of(path)
    require_own_side_files(path)
    tags = crs_tags(path)
    with contextlib.ExitStack() as stack:
        if not getattr(_thread, "reads_many", False):
            stack.enter_context(rasterio.Env(**READ_OPTIONS))
        try:
            dataset = stack.enter_context(_opened(path, tags, driver=driver))
            _require_sane(path, dataset)
            large = driver == "GTiff" and math.prod(dataset.block_shapes[0]) >= _THREADED_BLOCK_PIXELS
            if large and (threads := gdal_threads()):
                dataset = stack.enter_context(_opened(path, tags, driver=driver, **threads))
            crs = None if dataset.crs is None else _own_crs(path, dataset.crs)
            grid = Grid(dataset.height, dataset.width, dataset.transform, crs)
            has_alpha = dataset.count > 1 and dataset.colorinterp[-1] == ColorInterp.alpha
            has_mask = not has_alpha and MaskFlags.per_dataset in dataset.mask_flag_enums[0]
        except GDAL_ERRORS as error:
            raise DataError(f"{path}: not a readable {driver} file (truncated or damaged?): {error}") from error
        require_possible(path, grid)
        grid = grid if grid.crs else _with_told_pixel_size(grid, dataset.tags().get(PIXEL_SIZE_TAG))
        if grid.transform == grid.transform.identity():  # a place on the ground is that of the pixels as they are stored
            require_upright(path, driver, dataset.tags())
        plain = has_plain_rows(path, dataset)
        yield Raster(path, grid, dataset.count, dataset.dtypes[0], has_mask, dataset, has_plain_rows=plain)


def _opened(path: Path, tags: CrsTags | None, **options: str) -> Reader:
    with quiet_about_places():
        return Reader(path, tags, sharing=False, **options)


@contextlib.contextmanager
def reading_many() -> Iterator[None]:
    """GDAL's options for reading, set once for all files that this thread opens inside the block.

    Of a small raster, setting and unsetting them takes longer than reading its pixels.
    """
    if getattr(_thread, "reads_many", False):
        yield
        return
    with rasterio.Env(**READ_OPTIONS):
        _thread.reads_many = True
        try:
            yield
        finally:
            _thread.reads_many = False


def gdal_threads() -> dict[str, str]:
    """GDAL's option for threads of its own; nothing in a forked process."""
    return {} if _is_forked.is_set() else {"num_threads": "ALL_CPUS"}


def _with_told_pixel_size(grid: Grid, told: str | None) -> Grid:
    """The grid with the pixel size that the file's tag tells; as it is where the tag is none, or no possible size."""
    try:
        metres = float(told or "nan")
    except ValueError:
        return grid
    low, high = POSSIBLE_PIXEL_M
    return grid.with_pixel_size(metres) if low <= metres <= high else grid


def _own_crs(path: Path, crs: CRS) -> CRS:
    """The horizontal part of a file's CRS. ``DataError`` for one that names a file: PROJ would open it."""
    try:
        return _without_files(crs)
    except ValueError as error:
        raise DataError(f"{path}: has {error}. Give it a CRS of EPSG's registry, or leave it out.") from error


@lru_cache(maxsize=64)
def _without_files(crs: CRS) -> CRS:
    require_no_files(crs.to_wkt())
    return horizontal(crs)


def _require_sane(path: Path, dataset: DatasetReader) -> None:
    """Raise ``DataError`` for a header that asks for too much, or leads elsewhere."""
    if dataset.width * dataset.height > MAX_PIXELS:
        raise DataError(
            f"{path}: its header declares {dataset.width}×{dataset.height} px; more than {MAX_PIXELS / 1e9:.1f} billion "
            "pixels are not accepted. If the file is sound, cut it into smaller scenes."
        )
    if dataset.count > MAX_BANDS:
        raise DataError(
            f"{path}: its header declares {dataset.count} bands; more than {MAX_BANDS} are not accepted. If the file is sound, "
            "keep those that are needed, for example with gdal_translate -b 1 -b 2 -b 3."
        )
    height, width = dataset.block_shapes[0]
    block_bytes = height * width * dataset.count * np.dtype(dataset.dtypes[0]).itemsize
    if block_bytes > _MOST_BLOCK_BYTES:
        raise DataError(
            f"{path}: its pixels lie in blocks of {width}×{height}, {block_bytes >> 20} MB each; {_MOST_BLOCK_BYTES >> 20} MB are "
            "the most. Write it in tiles, for example with gdal_translate -co TILED=YES."
        )
    if "OVERVIEW_FILE" in dataset.tags(ns="OVERVIEWS"):
        raise DataError(f"{path}: its metadata name another file as its overviews. Copy it with gdal_translate, which drops them.")


def read_tags(path: Path) -> dict[str, str]:
    """The file's metadata tags."""
    with open_raster(path) as raster:
        return raster.tags()


@contextlib.contextmanager
def quiet_about_places() -> Iterator[None]:
    """No warning of rasterio that a raster has no place on the ground. Threads take turns in it."""
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@contextlib.contextmanager
def open_quietly(path: Path | str, *args: object, **options: object) -> Iterator[DatasetReader]:
    """``rasterio.open`` without its warning that a raster has no place on the ground: that is allowed here."""
    with quiet_about_places():
        dataset = rasterio.open(path, *args, **options)
    with dataset:
        yield dataset
