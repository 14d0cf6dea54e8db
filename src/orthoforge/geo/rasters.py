"""The only module that opens rasters: GeoTIFF, PNG and JPEG. ``cog`` writes them.

Arrays are (H, W) for masks and (H, W, C) for images, uint8. A file is opened with the one driver that its name and its first bytes
agree on: GDAL left to choose would follow a VRT named ``.tif`` to any other file.
"""

import contextlib
import math
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from orthoforge.errors import DataError, ResourceError
from orthoforge.files import no_such_file
from orthoforge.geo.grid import Grid, Window

DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_MAGIC = {
    b"II*\0": "GTiff", b"MM\0*": "GTiff", b"II+\0": "GTiff", b"MM\0+": "GTiff",
    b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG",
}  # fmt: skip
# A header may declare any size. 50 000² is four times the area of the largest scenes in use.
MAX_PIXELS = 50_000**2
# What a mask's pixels may say. A file that declares one of them to be nodata, as many tools do with 0, means its background.
MASK_VALUES = (0, 1, 255)
# Above this many distinct bad values a mask is most likely an image; the message then shows the first few only.
_SHOWN_VALUES = 4
# Pixels of one strip of rows: 12 MB of RGB. Whatever goes through a scene strip by strip needs this much and no more.
_STRIP_PIXELS = 2**22
# GDAL's shortcut for a whole PNG returns a truncated file's missing rows as garbage, without an error; row by row it notices.
# GDAL would keep decoded blocks in 5 % of all memory. 48 MB hold a row of 512 px blocks of RGB 30 000 px wide; strips need no more.
READ_OPTIONS = {"GDAL_PNG_WHOLE_IMAGE_OPTIM": "NO", "GDAL_CACHEMAX": 48 * 2**20}
# GDAL's threads halve the time for blocks of at least so many pixels; Inria's one-row blocks take 4 to 15 times as long with them.
# (GTIFF_DIRECT_IO would read those three times faster, but gives a truncated file's missing rows as garbage, without an error.)
_THREADED_BLOCK_PIXELS = 2**16
# What opening, reading and writing may raise: rasterio lets GDAL's own errors through when it closes a file on a full disk.
GDAL_ERRORS = (RasterioError, CPLE_BaseError)
# ``warnings.catch_warnings`` changes the whole process, so threads take turns in it.
_warnings_lock = threading.Lock()


@dataclass(frozen=True)
class Raster:
    """An open raster. ``read`` gives pixels; ``grid`` says where they lie."""

    path: Path
    grid: Grid
    band_count: int
    dtype: str
    _dataset: DatasetReader

    def read(self, window: Window | None = None, bands: Sequence[int] | None = None) -> np.ndarray:
        """Pixels as (H, W, C) in the file's own dtype: of all bands, or of some by their number from 1.

        ``DataError`` names the first rows that cannot be read.
        """
        w = self._window(window)
        indexes = list(range(1, self.band_count + 1) if bands is None else bands)
        needed = w.height * w.width * len(indexes) * np.dtype(self.dtype).itemsize
        require_memory(needed, f"{self.path}: reading {w.width}×{w.height} px")
        pixels = np.empty((w.height, w.width, len(indexes)), self.dtype)
        part = rasterio.windows.Window(w.col, w.row, w.width, w.height)
        with self._readable(w):
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

    @property
    def has_mask(self) -> bool:
        """The file holds a mask of its valid pixels, besides its bands."""
        return not self.has_alpha and MaskFlags.per_dataset in self._dataset.mask_flag_enums[0]

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

    def tags(self) -> dict[str, str]:
        """The file's metadata tags."""
        return dict(self._dataset.tags())

    def strips(self) -> Iterator[Window]:
        """Windows over all rows, from the top, each as wide as the raster and made of whole blocks."""
        block_rows = self._dataset.block_shapes[0][0]
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

    Raises ``DataError`` for a missing or empty file, another format behind the suffix, an unreadable header, or a declared size
    above ``MAX_PIXELS``.
    """
    path = Path(path)
    driver = _driver_of(path)
    with contextlib.ExitStack() as stack:
        stack.enter_context(rasterio.Env(**READ_OPTIONS))
        try:
            dataset = stack.enter_context(open_quietly(path, driver=driver, sharing=False))
            if driver == "GTiff" and math.prod(dataset.block_shapes[0]) >= _THREADED_BLOCK_PIXELS:
                dataset = stack.enter_context(open_quietly(path, driver=driver, sharing=False, num_threads="ALL_CPUS"))
        except GDAL_ERRORS as error:
            raise DataError(f"{path}: not a readable {driver} file (truncated or damaged?): {error}") from error
        if dataset.width * dataset.height > MAX_PIXELS:
            raise DataError(
                f"{path}: its header declares {dataset.width}×{dataset.height} px; more than {MAX_PIXELS / 1e9:.1f} billion "
                "pixels are not accepted. If the file is sound, cut it into smaller scenes."
            )
        grid = Grid(dataset.height, dataset.width, dataset.transform, dataset.crs)
        yield Raster(path, grid, dataset.count, dataset.dtypes[0], dataset)


def read_image(raster: Raster, window: Window | None = None, *, bands: Sequence[int] | None = None) -> np.ndarray:
    """Pixels as (H, W, B) uint8: of a file of three bands, or of these ``bands`` of any file, by their number from 1.

    ``DataError`` when the file holds anything but 8 bits, lacks one of ``bands``, or without ``bands`` has not three.
    """
    if raster.dtype != "uint8":
        hint = _nan_report(raster) if raster.dtype.startswith("float") else ""
        wanted = "three bands" if bands is None else "bands"
        raise DataError(
            f"{raster.path}: image is {raster.dtype}{hint}; {wanted} of uint8 are expected. Scale it to 8 bits first, "
            "for example with gdal_translate -ot Byte -scale."
        )
    count = f"{raster.band_count} band{'s' * (raster.band_count > 1)}"
    if bands is None and raster.band_count != 3:
        raise DataError(
            f"{raster.path}: image has {count}; three (red, green, blue) are expected. Others are "
            f"chosen with --bands of check and prepare, as in --bands {'1 2 3 4' if raster.band_count > 3 else '1'}; "
            "gdal_translate -b 1 -b 2 -b 3 keeps three."
        )
    if bands is not None and max(bands) > raster.band_count:
        raise DataError(f"{raster.path}: image has {count}, and no band {max(bands)}. Leave it out of --bands.")
    return raster.read(window, bands)


def read_mask(raster: Raster, window: Window | None = None, *, threshold: int | None = None) -> np.ndarray:
    """Building mask as (H, W) uint8 of 0 and 255.

    Takes one band, or three equal ones, with values 0, 1 and 255; above 0 is building. With ``threshold`` any values do, and those
    at or above it are building. Pixels without data are 0. Of a band with a colour table, the values are the greys that it shows.
    ``DataError`` names other values and the share of pixels that have them, or a colour.
    """
    return read_mask_and_valid(raster, window, threshold=threshold)[0]


def read_mask_and_valid(
    raster: Raster, window: Window | None = None, *, threshold: int | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Building mask as (H, W) uint8 of 0 and 255, and where it has data, (H, W) bool.

    A pixel has none where the file's own mask or its alpha band says so, or where it holds the declared nodata value; the mask is
    then 0. A declared nodata of 0, 1 or 255 is ignored. The second is ``None`` when the file declares nothing. ``DataError`` as
    from ``read_mask``.
    """
    values, valid = _mask_values_and_valid(raster, window)
    if threshold is None and ((values > 1) & (values < 255)).any():
        # Row by row: bincount copies what it counts to int64, 200 MB for a scene of 5000².
        require_mask_values(raster.path, np.sum([np.bincount(row, minlength=256) for row in values], axis=0))
    mask = (values >= (1 if threshold is None else threshold)).view(np.uint8) * np.uint8(255)
    if valid is not None:
        mask[~valid] = 0
    return mask, valid


def require_mask_values(path: Path, counts: np.ndarray) -> None:
    """Raise ``DataError`` when a mask's pixel counts (256,) by value name values other than 0, 1 and 255."""
    bad = [value for value in np.flatnonzero(counts) if value not in MASK_VALUES]
    if bad:
        named = ", ".join(f"value {value} in {percent(counts[value] / counts.sum())}" for value in bad[:_SHOWN_VALUES])
        more = f" and {len(bad) - _SHOWN_VALUES} more values" if len(bad) > _SHOWN_VALUES else ""
        raise DataError(
            f"{path}: mask must hold 0 and 1, or 0 and 255; it has {named} of pixels{more}; pass --threshold "
            "(for example 128). Masks of classes are told apart by the --palette of check and prepare."
        )


def read_mask_values(raster: Raster, window: Window | None = None) -> np.ndarray:
    """The mask's own values as (H, W) uint8, 0 where it has no data: one band, or three equal ones. ``DataError`` otherwise.

    Of a band with a colour table they are the greys that it shows.
    """
    return _mask_values_and_valid(raster, window)[0]


def read_mask_rgb(raster: Raster, window: Window | None = None) -> np.ndarray:
    """A colour-coded mask as (H, W, 3) uint8: three bands, or one band with a colour table (a palette PNG)."""
    if raster.dtype == "uint8" and raster.band_count == 3:
        return raster.read(window)
    if raster.dtype == "uint8" and raster.band_count == 1 and (table := raster.colour_table()) is not None:
        return table[raster.read(window)[..., 0]]
    raise DataError(
        f"{raster.path}: mask has {raster.band_count} band{'s' * (raster.band_count > 1)} of {raster.dtype} and no colours; with a "
        "palette, red, green and blue bands of uint8, or one band with a colour table, are expected."
    )


def read_tags(path: Path) -> dict[str, str]:
    """The file's metadata tags."""
    with open_raster(path) as raster:
        return raster.tags()


def require_memory(needed_bytes: int, what: str) -> None:
    """Raise ``ResourceError`` with both numbers when ``what`` needs more memory than the machine has available."""
    available = available_memory()
    if needed_bytes > available:
        raise ResourceError(
            f"{what} needs about {needed_bytes / 1e9:.1f} GB of memory; {available / 1e9:.1f} GB are available. "
            "Cut it into smaller pieces or use a larger machine."
        )


def available_memory() -> int:
    """Bytes that can be allocated now without swapping; a container's own limit counts."""
    pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                pages = int(line.split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError):
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        pages = min(pages, limit - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    return pages


def _mask_values_and_valid(raster: Raster, window: Window | None) -> tuple[np.ndarray, np.ndarray | None]:
    if raster.dtype not in ("uint8", "int8", "bool"):
        raise DataError(f"{raster.path}: mask is {raster.dtype}; uint8 is expected. Export it with 8 bits.")
    bands = raster.read(window)
    if raster.has_alpha:
        valid: np.ndarray | None = bands[..., -1] > 0
        bands = bands[..., :-1]
    else:
        valid = raster.read_valid(window)
    count = bands.shape[2]
    if count != 1 and not (count == 3 and (bands == bands[..., :1]).all()):
        raise DataError(
            f"{raster.path}: mask has {count} bands that differ; one band, or three equal ones, are expected. "
            "Is it the image instead of its mask? A colour-coded mask of classes is read by `check` and `prepare` with --palette."
        )
    values = bands[..., 0]
    if raster.nodata is not None and raster.nodata not in MASK_VALUES:
        has_value = values != raster.nodata
        valid = has_value if valid is None else valid & has_value
    values = values.astype(np.uint8)  # a copy, (H, W): the other bands go
    if (levels := raster.grey_levels()) is not None:
        _require_grey(raster, values if valid is None else values[valid], levels)
        values = levels.astype(np.uint8)[values]
    if valid is not None:
        values[~valid] = 0
    return values, valid


def _require_grey(raster: Raster, values: np.ndarray, levels: np.ndarray) -> None:
    """Raise ``DataError`` when some of the values are shown in a colour."""
    in_colour = values[(levels < 0)[values]]
    if in_colour.size:
        table = raster.colour_table()
        assert table is not None
        raise DataError(
            f"{raster.path}: its palette shows pixels in colours, such as {table[in_colour[0]].tolist()}, which do not say what is "
            "building. Save it as grey, 0 and 255, or pass --palette for a mask of classes."
        )


def _driver_of(path: Path) -> str:
    """The driver that suffix and first bytes agree on."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder; name the files in it, for example {path}/*.tif.")
    if not path.is_file():
        raise DataError(no_such_file(path))
    driver = DRIVERS.get(path.suffix.lower())
    if driver is None:
        raise DataError(f"{path}: unknown suffix {path.suffix!r}; GeoTIFF, PNG and JPEG are read.")
    with open(path, "rb") as file:
        head = file.read(4)
    if not head:
        raise DataError(f"{path}: the file is empty (0 bytes). Copy or download it again.")
    found = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    if found is None:
        raise DataError(f"{path}: not a {driver} file; it begins with {head!r}. Export the raster itself, not a page or a VRT.")
    if found != driver:
        right = next(suffix for suffix, name in DRIVERS.items() if name == found)
        raise DataError(f"{path}: holds {found} data under the name of a {driver} file. Rename it to {path.stem}{right}.")
    return driver


def _nan_report(raster: Raster) -> str:
    """', with N NaN pixels, the first at row R, column C' for a float raster that has any."""
    count, first = 0, None
    for window in raster.strips():
        bad = np.isnan(raster.read(window)).any(axis=-1)
        count += int(bad.sum())
        if first is None and bad.any():
            row, col = np.unravel_index(bad.argmax(), bad.shape)
            first = f"row {window.row + row}, column {col}"
    return f", with {count} NaN pixel{'s' * (count > 1)}, the first at {first}" if first else ""


def percent(share: float) -> str:
    """'12.3 %', or two significant digits below 0.1 %."""
    return f"{100 * share:.1f} %" if share >= 0.001 or share == 0 else f"{100 * share:.2g} %"


@contextlib.contextmanager
def open_quietly(path: Path | str, *args: object, **options: object) -> Iterator[DatasetReader]:
    """``rasterio.open`` without its warning that a raster has no place on the ground: that is allowed here."""
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        dataset = rasterio.open(path, *args, **options)
    with dataset:
        yield dataset
