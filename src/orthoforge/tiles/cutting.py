"""Windows of a scene, and the pixels of its tiles. Takes functions that read a window; opens no file.

A scene passes by in strips of a few rows, so memory does not grow with the scene. Images are shrunk line by line first,
then column by column, as torch itself does it: the tiles are the same to the bit as from one call on the whole window.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from orthoforge.errors import ConfigError, GridError
from orthoforge.geo.grid import Grid, Window
from orthoforge.geo.pixel_sizes import SAY_IT
from orthoforge.masks.classes import BUILDING, Classes, building_value


class UnknownPixelSize(GridError):
    """A scene's pixels may be of any size on the ground. It says nothing of other scenes."""


# A scene within this share of the wanted metres per pixel keeps its own pixels: resampling would only blur them.
SAME_GSD = 0.005
# Asking for pixels finer than the scene's by more than this invents detail.
MAX_UPSAMPLING = 1.10
# Pixels of one scene may be this much longer than wide on the ground and still be called square (web mercator: 0.7 %).
_SQUARE = 0.02
# Strips of 2 MB stay in the processor's cache between reading and shrinking; larger ones are no faster and take more memory.
_STRIP_PIXELS = 600_000
# Areas that are summed at a time, for the same reason.
_AREAS_AT_ONCE = 100_000

# A tile with a smaller share of pixels that hold data is left out: what it shows is the edge of a flight, hardly any ground.
LEAST_DATA = 0.1

Read = Callable[[Window], np.ndarray]


@dataclass(frozen=True)
class Cut:
    """``rows`` × ``cols`` windows of ``height`` × ``width`` scene pixels, side by side from the scene's top left corner."""

    height: int
    width: int
    rows: int
    cols: int

    def window(self, row: int, col: int) -> Window:
        """The window of one tile, in scene pixels."""
        return Window(row * self.height, col * self.width, self.height, self.width)

    def rest(self, grid: Grid) -> float:
        """Share of the scene's pixels that lie in no window."""
        return 1 - self.rows * self.height * self.cols * self.width / (grid.height * grid.width)


def cut_by_number(grid: Grid, count: int) -> Cut | None:
    """``count`` squares along the shorter side and as many as fit along the longer; ``None`` when a side is below one pixel."""
    short = min(grid.height, grid.width)
    side = short // count
    if side == 0:
        return None
    return Cut(side, side, grid.height * count // short, grid.width * count // short)


def cut_by_gsd(name: str, grid: Grid, gsd_m: float, size_px: int) -> Cut | None:
    """Windows that become ``size_px`` pixels of ``gsd_m`` metres; ``None`` when the scene is smaller than one.

    Raises ``UnknownPixelSize`` for a scene whose pixel size is unknown, ``ConfigError`` for pixels that are finer than the scene's.
    """
    pixel = grid.pixel_m()
    if pixel is None:
        raise UnknownPixelSize(
            f"{name}: does not say how large its pixels are on the ground, because it has no CRS. {SAY_IT} Or cut by number, with "
            "--grid instead of --gsd."
        )
    width_m, height_m = pixel
    mean_m = (width_m + height_m) / 2
    if mean_m > MAX_UPSAMPLING * gsd_m:
        raise ConfigError(
            f"{name}: its pixels are {mean_m:.3g} m, so tiles of {gsd_m:g} m would hold invented detail. Pass --gsd {mean_m:.3g} "
            "or coarser, or --skip-bad to leave the scene out."
        )
    if max(pixel) <= (1 + _SQUARE) * min(pixel):
        width_m = height_m = mean_m
    height, width = (_window_px(size_px, gsd_m, metres) for metres in (height_m, width_m))
    rows, cols = grid.height // height, grid.width // width
    return Cut(height, width, rows, cols) if rows and cols else None


def _window_px(size_px: int, gsd_m: float, pixel_m: float) -> int:
    """Scene pixels along one side of a tile."""
    return size_px if abs(gsd_m / pixel_m - 1) <= SAME_GSD else max(1, round(size_px * gsd_m / pixel_m))


def cut_images(read: Read, cut: Cut, row: int, size_px: int) -> np.ndarray:
    """Tiles of one row of windows: (cols, S, S, B) uint8, bicubic with antialiasing. ``read`` gives (h, w, B) uint8."""
    lines: np.ndarray | None = None
    for strip in _strips(cut, row):
        pixels = read(strip)
        bands = pixels.shape[2]
        if lines is None:
            lines = np.empty((cut.height, cut.cols * size_px, bands), np.uint8)
        pixels = pixels.reshape(strip.height * cut.cols, cut.width, bands)  # one line per tile and row: no tile sees another
        first = strip.row - row * cut.height
        lines[first : first + strip.height] = _resize(pixels, *pixels.shape[:1], size_px).reshape(strip.height, -1, bands)
    assert lines is not None, cut
    tiles = _resize(lines, size_px, lines.shape[1])
    return np.ascontiguousarray(tiles.reshape(size_px, cut.cols, size_px, bands).swapaxes(0, 1))


def cut_masks(read: Read, cut: Cut, row: int, size_px: int, classes: Classes | None) -> tuple[np.ndarray, np.ndarray]:
    """Masks of one row of windows, (cols, S, S) uint8, and the share of building in each window, (cols,) float64.

    Of buildings ``read`` gives 0 and 255, and a pixel is 255 when at least half of its area is. Of ``classes`` it gives indices,
    and a pixel takes the one that covers most of it: the nearest class would drop or keep a thin road by chance.
    Areas are counted in whole numbers, so exactly half is half on every machine.
    """
    values = (BUILDING,) if classes is None else range(classes.count)
    building = building_value(classes)
    if cut.height == cut.width == size_px:
        return _as_they_are(read, cut, row, values, building)
    areas = np.zeros((len(values), size_px, cut.cols * cut.width), np.min_scalar_type(cut.height))
    for strip in _strips(cut, row):
        labels = read(strip)
        for area, value in zip(areas, values, strict=True):
            member = (labels == value).view(np.uint8)
            if member.any():
                _add_rows(area, member, strip.row - row * cut.height, cut.height)
    pixel_areas = np.stack([_sum_columns(area.reshape(size_px, cut.cols, cut.width), size_px, cut.height) for area in areas])
    whole = cut.height * cut.width  # one tile pixel, in units of 1/S² scene pixels
    if building is None:
        shares = np.zeros(cut.cols)
    else:
        shares = pixel_areas[values.index(building)].sum(axis=(0, 2), dtype=np.int64) / (whole * size_px**2)
    if classes:
        masks = pixel_areas.argmax(axis=0).astype(np.uint8)
    else:
        masks = np.where(2 * pixel_areas[0] >= whole, np.uint8(255), np.uint8(0))
    return np.ascontiguousarray(masks.swapaxes(0, 1)), shares


def _as_they_are(read: Read, cut: Cut, row: int, values: Sequence[int], building: int | None) -> tuple[np.ndarray, np.ndarray]:
    """``cut_masks`` where a tile has the scene's own pixels: each covers itself."""
    masks = np.empty((cut.cols, cut.height, cut.width), np.uint8)
    for strip in _strips(cut, row):
        first = strip.row - row * cut.height
        labels = read(strip).reshape(strip.height, cut.cols, cut.width)
        masks[:, first : first + strip.height] = labels.swapaxes(0, 1)
    assert set(np.unique(masks).tolist()) <= {0, *values}
    shares = np.zeros(cut.cols) if building is None else np.count_nonzero(masks == building, axis=(1, 2)) / (cut.height * cut.width)
    return masks, shares


def data_shares(read: Read, cut: Cut, row: int) -> np.ndarray:
    """The share of pixels with data in each window of one row, (cols,). ``read`` gives (h, w) bool."""
    counts = np.zeros(cut.cols, np.int64)
    for strip in _strips(cut, row):
        counts += np.count_nonzero(read(strip).reshape(strip.height, cut.cols, cut.width), axis=(0, 2))
    return counts / (cut.height * cut.width)


def _strips(cut: Cut, row: int) -> Iterator[Window]:
    """The rows of windows ``row`` from top to bottom, a few at a time."""
    width = cut.cols * cut.width
    step = max(1, _STRIP_PIXELS // width)
    for first in range(0, cut.height, step):
        yield Window(row * cut.height + first, 0, min(step, cut.height - first), width)


def _resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, B) uint8 to (height, width, B)."""
    if pixels.shape[:2] == (height, width):
        return pixels
    import torch  # takes seconds, and tiles that have the scene's own pixels need none of it
    from torch.nn.functional import interpolate

    rows, cols, bands = pixels.shape
    # (1, B, H, W), channels last: six times faster than planar. Strides are given because those of a view with one image are
    # ambiguous, and torch would answer with planar.
    image = torch.from_numpy(pixels).as_strided((1, bands, rows, cols), (rows * cols * bands, 1, cols * bands, bands))
    resized = interpolate(image, size=(height, width), mode="bicubic", antialias=True)
    return resized[0].permute(1, 2, 0).contiguous().numpy()


def _add_rows(area: np.ndarray, member: np.ndarray, first: int, height: int) -> None:
    """Add rows ``first``... of a window of ``height`` rows to its (S, W) areas. In units of 1/S row, row r is [r·S, (r+1)·S) and
    output row i is [i·height, (i+1)·height)."""
    size, end = len(area), first + len(member)
    touched = slice(first * size // height, min(size, -(-end * size // height)))
    low = np.arange(touched.start, touched.stop) * height
    top, bottom = low // size, (low + height - 1) // size
    for step in range(int((bottom - top).max()) + 1):  # each output row's first row, its second, ...
        row = top + step
        weight = np.minimum(low + height, (row + 1) * size) - np.maximum(low, row * size)
        weight[(weight < 0) | (row < first) | (row >= end)] = 0
        rows = member[np.clip(row - first, 0, len(member) - 1)].astype(area.dtype)
        rows *= weight.astype(area.dtype)[:, None]
        area[touched] += rows


def _sum_columns(area: np.ndarray, size: int, height: int) -> np.ndarray:
    """(S, cols, W) row areas, ``height`` at most, to (S, cols, S) pixel areas: differences of running sums at pixel borders."""
    rows, cols, width = area.shape
    # A pixel border lies at up to S·H·W: beyond 2³² for a 5000² window at 542 px. Twice that is compared.
    kind = np.int32 if 2 * size * height * width < 2**31 else np.int64
    column, part = np.divmod(np.arange(1, size + 1) * width, size)  # the border after each pixel, in whole columns and a rest
    part = part.astype(kind)
    pixels = np.empty((rows, cols, size), kind)
    step = max(1, _AREAS_AT_ONCE // (cols * width))
    for first in range(0, rows, step):
        some = area[first : first + step]
        running = np.zeros((len(some), cols, width + 1), kind)
        np.cumsum(some, axis=2, dtype=kind, out=running[..., 1:])
        at_border = running.take(column, axis=2, mode="clip")
        at_border *= kind(size)
        at_border += some.take(column, axis=2, mode="clip").astype(kind) * part
        pixels[first : first + step, :, 0] = at_border[..., 0]
        np.subtract(at_border[..., 1:], at_border[..., :-1], out=pixels[first : first + step, :, 1:])
    return pixels
