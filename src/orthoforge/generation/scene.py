"""A scene of any size, block by block, as if it had been generated in one piece.

Four things make a block's pixels independent of the blocks: each is generated with a margin of mask around it, as wide as the
network looks; norms over the image use statistics of the whole scene; which pixels are one building is found over the whole scene;
noise is a function of place.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

from orthoforge.errors import ConfigError, GridError
from orthoforge.geo.buildings import Buildings
from orthoforge.geo.grid import GSD_TOLERANCE, Grid, Window
from orthoforge.geo.rasters import available_memory, require_memory
from orthoforge.geo.resampling import resample
from orthoforge.masks.opening import SceneMask
from orthoforge.masks.resampled import ResampledMask
from orthoforge.trained_generator import TrainedGenerator
from orthoforge.trained_generator.told import Teller, Told

# Statistics of a scene are gathered over windows of this many pixels in all; a smaller scene is taken whole (bench/scenes.py).
SAMPLE_PX = 2**20
SAMPLE_SIDE_PX = 256
# A block and its margin may take this much memory, or more where margins would else be most of the work.
BLOCK_BYTES = 500e6
LARGEST_SHARE = 1 / 3  # of the memory that is available
FEWEST_MARGINS = 4  # a block is at least so many margins wide, if memory allows: its margins then double the work


def lies_nowhere(grid: Grid) -> bool:
    """Whether a mask has neither a CRS nor coordinates of its own."""
    return grid.crs is None and grid.transform.c == grid.transform.f == 0


def place_of_name(name: str) -> tuple[int, int]:
    """A pixel (row, column) of the world for a mask that lies nowhere, by its name.

    Masks of other names then show other ground. (0, 0) for a mask without a name.
    """
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest() if name else bytes(6)
    return int.from_bytes(digest[:3], "big"), int.from_bytes(digest[3:6], "big")


def at_resolution(mask: SceneMask, generator: TrainedGenerator, name: object, *, resample: bool) -> SceneMask:
    """The mask as the generator must see it: its own grid, or with ``resample`` one over the same ground in the run's resolution.

    Raises ``GridError`` where the resolutions differ and ``resample`` is false. Where one of them is unknown, they cannot differ.
    """
    pixel_m = mask.grid.pixel_m()
    if pixel_m is None or generator.gsd_m is None:
        return mask
    off = max(abs(side / generator.gsd_m - 1) for side in pixel_m)
    if off <= (1e-3 if resample else GSD_TOLERANCE):
        return mask
    if not resample:
        width_m, height_m = pixel_m
        pixels = f"{height_m:.3g} m" if abs(width_m / height_m - 1) < 0.01 else f"{width_m:.3g} × {height_m:.3g} m"
        raise GridError(
            f"{name}: its pixels are {pixels}, the run was trained at {generator.gsd_m:.3g} m; buildings would come out in the "
            f"wrong size. Pass --resample to generate at {generator.gsd_m:.3g} m."
        )
    width, height = (
        max(1, round(side * metres / generator.gsd_m))
        for side, metres in zip((mask.grid.width, mask.grid.height), pixel_m, strict=True)
    )
    grid = mask.grid.resized(height, width)
    if lies_nowhere(mask.grid):  # rows that count downwards would be taken for a map with south up
        grid = Grid(height, width).with_pixel_size(sum(grid.pixel_m() or ()) / 2)
    return ResampledMask(mask, grid, classes=generator.classes is not None)


class Given(NamedTuple):
    """What is read for a window: the mask (h, w) of the window ``around`` it, what is told of its buildings, and ``valid`` (h', w')
    bool, where the window itself holds data."""

    around: Window
    mask: np.ndarray
    told: Told | None
    valid: np.ndarray | None


class Generated(NamedTuple):
    """A window of a scene: ``image`` (h, w, B) uint8, ``valid`` (h, w) bool, which says where its mask holds data (``None``:
    everywhere), and ``pixels_of`` (N,) int64, how many pixels come from each tile of the library (``None`` without one)."""

    image: np.ndarray
    valid: np.ndarray | None
    pixels_of: np.ndarray | None


@dataclass(frozen=True)
class Scene:
    """What is generated: ``mask`` as the network sees it, and ``delivered``, the mask whose grid the image gets; often one and
    the same.

    ``overlap_px`` is the margin of mask around a block; what the network looks at by default, which leaves no seam. ``name`` gives
    a mask that lies nowhere a place of its own (``place_of_name``); without one it begins at the origin. ``like`` is a scene of the
    same mask and network, whose buildings these are.
    """

    generator: TrainedGenerator
    mask: SceneMask
    delivered: SceneMask
    seed: int
    overlap_px: int | None = None
    name: str = ""
    like: Scene | None = None

    @property
    def margin_px(self) -> int:
        wanted = self.generator.reach_px if self.overlap_px is None else self.overlap_px
        return min(wanted, max(self.mask.grid.height, self.mask.grid.width))

    @cached_property
    def origin(self) -> tuple[int, int]:
        """The world's pixel that the mask's first one is, as (row, column): neighbouring scenes then have noise that goes on.

        The coordinates of a world file say it too, whatever CRS they are in.
        """
        grid = self.mask.grid
        if lies_nowhere(grid):
            return place_of_name(self.name)
        return round(grid.transform.f / grid.transform.e), round(grid.transform.c / grid.transform.a)

    @cached_property
    def sampled(self) -> TrainedGenerator:
        """The generator with this scene's statistics."""
        windows = sample_windows(self.mask.grid, self.generator.stride_px)
        read = [(window, *self.mask.read(window)) for window in windows]
        held = [(window, mask) for window, mask, valid in read if valid is None or valid.any()] or [read[0][:2]]
        origins = [self._place(window) for window, _ in held]
        return self.generator.for_scene([mask for _, mask in held], seed=self.seed, origins=origins)

    @cached_property
    def buildings(self) -> Buildings | None:
        """Those of the whole mask, or ``None`` where the network is told nothing of them."""
        if self.like is not None:
            return self.like.buildings
        grid = self.mask.grid
        return self.generator.buildings_of(self.read, grid.height, grid.width, self.origin)

    @cached_property
    def _told(self) -> Teller | None:
        """What the network is told of a window, beside the mask."""
        return None if self.buildings is None else self.generator.teller(self.buildings, self.seed, self.read)

    def read(self, window: Window) -> np.ndarray:
        """The values (h, w) of a window of the mask."""
        return self.mask.read(window)[0]

    def whole(self) -> Generated:
        """The scene in one piece, as ``block`` gives it. A small one is normalised by the network itself, as any array is."""
        grid = self.delivered.grid
        small = self.mask.grid.height * self.mask.grid.width <= SAMPLE_PX
        return self.block(Window(0, 0, grid.height, grid.width), self.generator if small else None)

    def block_side_px(self, at_once: int = 1) -> int:
        """Side of the blocks to generate this scene in, so many at a time, in pixels of the delivered grid."""
        side_px = block_side_px(self.generator, self.margin_px, at_once)
        require_overlap(self.overlap_px, side_px)
        made, asked = self.mask.grid, self.delivered.grid
        return max(1, int(side_px * min(1, asked.width / made.width, asked.height / made.height)))

    def given(self, window: Window) -> Given | None:
        """All that ``block`` reads, so that it can be read before; ``None`` where the mask is resampled."""
        return self._given(window) if self.mask is self.delivered else None

    def block(self, window: Window, generator: TrainedGenerator | None = None, given: Given | None = None) -> Generated:
        """A window of the delivered grid. ``generator`` is ``sampled`` or its copy on another device, ``given`` what was read.

        Where the mask is resampled, ``pixels_of`` counts the pixels that were generated.
        """
        generator = generator or self.sampled
        given = given or self.given(window)
        library = generator.library
        pixels_of = None if library is None else np.zeros(len(library), np.int64)
        if given is not None:
            return Generated(self._generate(window, generator, pixels_of, given), given.valid, pixels_of)
        made, asked = self.mask.grid, self.delivered.grid
        pixels = resample(
            lambda part: self._generate(part, generator, pixels_of, self._given(part)),
            (made.height, made.width), (asked.height, asked.width), window, kernel="cubic",
        )  # fmt: skip
        return Generated(np.clip(np.rint(pixels), 0, 255).astype(np.uint8), self.delivered.valid(window), pixels_of)

    def _given(self, window: Window) -> Given:
        """What the network needs for ``window`` of the mask's grid: that and its margin."""
        around = with_margin(window, self.mask.grid, margin_px=self.margin_px, stride_px=self.generator.stride_px)
        told = None if self._told is None else self._told(around)
        return Given(around, self.mask.read(around)[0], told, self.mask.valid(window))

    def _generate(self, window: Window, generator: TrainedGenerator, pixels_of: np.ndarray | None, given: Given) -> np.ndarray:
        """``window`` of the mask's grid, generated with its margin; adds to ``pixels_of``."""
        around, mask, told, _ = given
        inside = window._replace(row=window.row - around.row, col=window.col - around.col)
        if pixels_of is not None and told is not None and told.source is not None:
            pixels_of += np.bincount(told.source[inside.slices].ravel(), minlength=len(pixels_of))
        values = None if told is None else told.values
        return generator(mask, seed=self.seed, origin=self._place(around), part=inside.slices, told=values)

    def _place(self, window: Window) -> tuple[int, int]:
        """The world's pixel that a window of the mask begins at."""
        row, col = self.origin
        return row + window.row, col + window.col


def with_margin(window: Window, grid: Grid, *, margin_px: int, stride_px: int) -> Window:
    """``window`` and ``margin_px`` around it, as far as there is mask, out to multiples of the network's stride.

    The multiples count from the scene's first pixel: every block sees the same cells, wherever it begins.
    """
    row = max(0, window.row - margin_px) // stride_px * stride_px
    col = max(0, window.col - margin_px) // stride_px * stride_px
    bottom = min(grid.height, _multiple(window.row + window.height + margin_px, stride_px))
    right = min(grid.width, _multiple(window.col + window.width + margin_px, stride_px))
    return Window(row, col, bottom - row, right - col)


def sample_windows(grid: Grid, stride_px: int) -> list[Window]:
    """Windows of one size, spread evenly over the scene, that stand for it; the whole scene where it is small."""
    if grid.height * grid.width <= SAMPLE_PX:
        return [Window(0, 0, grid.height, grid.width)]
    side = max(SAMPLE_SIDE_PX, stride_px)
    height, width = min(side, grid.height), min(side, grid.width)
    count = max(1, SAMPLE_PX // side**2)
    rows = min(count, max(1, round(math.sqrt(count * grid.height / grid.width))))
    return [
        Window(row, col, height, width)
        for row in _spread(rows, height, grid.height)
        for col in _spread(count // rows, width, grid.width)
    ]


def block_side_px(generator: TrainedGenerator, margin_px: int, at_once: int = 1) -> int:
    """Side of the blocks that a scene is generated in: a multiple of the stride, as large as memory and sense allow.

    ``at_once`` blocks are made at a time.

    Raises ``ResourceError`` when not even the smallest block fits, ``ConfigError`` when the margin is as large as the block.
    """
    bytes_per_px = generator.memory_bytes(2048, 2048) / 2048**2
    stride, margins = generator.stride_px, 2 * (margin_px + generator.stride_px)

    def side(memory: float) -> int:
        return (int(math.sqrt(memory / bytes_per_px)) - margins) // stride * stride

    on_cuda = torch.device(generator.device).type == "cuda"  # Apple's GPU shares the memory of the machine
    available = torch.cuda.mem_get_info(generator.device)[0] if on_cuda else available_memory()
    affordable = side(LARGEST_SHARE * available / at_once)
    wanted = max(side(BLOCK_BYTES), _multiple(FEWEST_MARGINS * margin_px, stride))
    chosen = max(stride, min(wanted, affordable))
    whole = chosen + margins
    require_memory(generator.memory_bytes(whole, whole), f"generating in blocks of {chosen} px with {margin_px} px around them")
    return chosen


def require_overlap(overlap_px: int | None, block_px: int) -> None:
    """Raise ``ConfigError`` for an overlap that makes no sense."""
    if overlap_px is not None and not 0 <= overlap_px < block_px:
        raise ConfigError(
            f"--overlap {overlap_px}: it must be smaller than a block, which has {block_px} px here. Leave it out: what the "
            "network looks at is then taken, which leaves no seam."
        )


def blocks_of(grid: Grid, side_px: int) -> list[Window]:
    """Windows of ``side_px`` that cover the grid, row by row."""
    return [
        Window(row, col, min(side_px, grid.height - row), min(side_px, grid.width - col))
        for row in range(0, grid.height, side_px)
        for col in range(0, grid.width, side_px)
    ]


def _multiple(value: int, of: int) -> int:
    """``value`` rounded up."""
    return -(-value // of) * of


def _spread(count: int, size: int, total: int) -> list[int]:
    """Where ``count`` windows of ``size`` begin, evenly over ``total``."""
    return [min(max(0, round((index + 0.5) * total / count - size / 2)), total - size) for index in range(count)]
