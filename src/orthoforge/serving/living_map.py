"""A map that nobody has seen: a scene is generated on its own grid where it is first looked at, and kept as blocks.

Level 0 has the model's pixels, level 1 the means of 2×2 of them. From level 2 on, where a view would need many blocks, the image
is that of a small scene: the mask itself in coarser pixels. Each level is one scene, so that its parts meet without seams.
"""

import asyncio
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from orthoforge.generation.request import PIXELS
from orthoforge.generation.scene import at_resolution
from orthoforge.geo.grid import Grid, Window
from orthoforge.masks.opening import SceneMask
from orthoforge.serving.block_cache import Block, BlockCache
from orthoforge.serving.coarse_mask import CoarseMask
from orthoforge.serving.mercator import bounds_of, covered, joined, meeting, pixels_per_pixel, placed, tile_grid, warped
from orthoforge.serving.metrics import Metrics
from orthoforge.serving.models import Model, Models
from orthoforge.serving.queue import TILE, Workers
from orthoforge.serving.rectangles import rectangles
from orthoforge.serving.scenes import ServedScene
from orthoforge.serving.single_flight import SingleFlight

_MEANS = 1  # levels that are means of the level below
_SMALLEST_PX = 256  # the last level is no larger
_BEYOND = 2  # zooms beyond the model's own pixels


class LivingMap:
    """A layer in one model, style and seed. ``like`` is one of the same layer and model, if there is any: where each building
    stands need not be found again."""

    def __init__(
        self,
        models: Models,
        workers: Workers,
        cache: BlockCache,
        metrics: Metrics,
        model: Model,
        style: str | None,
        seed: int,
        mask: SceneMask,
        block_px: int,
        like: "LivingMap | None" = None,
    ) -> None:
        self._workers, self._cache, self._metrics, self._block_px = workers, cache, metrics, block_px
        self.model = model
        self._flights: SingleFlight[Block] = SingleFlight()
        self._made: SingleFlight[Block] = SingleFlight()
        mask = at_resolution(mask, model.generator, "the layer", resample=True)
        longest = max(mask.grid.height, mask.grid.width)
        self.levels = max(_MEANS + 1, 1 + math.ceil(math.log2(max(1, longest / _SMALLEST_PX))))
        has_classes = model.generator.classes is not None
        self._masks = [mask, *(CoarseMask(mask, 2**level, classes=has_classes) for level in range(1, self.levels))]
        self._scenes: dict[int, ServedScene] = {
            level: ServedScene(
                models, workers, model, style, self._masks[level], seed, resampled=False,
                like=None if like is None else like._scenes[level].scene,
            )
            for level in range(self.levels)
            if not 1 <= level <= _MEANS
        }  # fmt: skip
        self.grids = [self._grid(level) for level in range(self.levels)]
        margins = {level: scene.scene.margin_px for level, scene in self._scenes.items()}
        self._margin_px = [margins.get(level, margins[0] // 2**level) for level in range(self.levels)]
        grid = mask.grid
        place = [grid.height, grid.width, *grid.transform[:6], grid.crs.to_wkt() if grid.crs else None]
        look = self._scenes[0].scene.generator.own_style
        decided = [
            PIXELS,
            model.generator.sha256,
            model.generator.canvases_by,
            *([] if model.generator.backend == "torch" else [model.generator.backend_words]),
            look,
            style,
            seed,
            mask.identity,
            place,
            block_px,
        ]
        self.identity = hashlib.sha256(json.dumps(decided).encode()).hexdigest()[:32]
        self.most_zoom = self._most_zoom()

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) in degrees."""
        return bounds_of(self.grids[0])

    def level_of(self, z: int) -> int:
        """The level whose pixels a zoom shows: the coarsest that is not coarser than the tile's. One for all tiles of a zoom."""
        ratio = pixels_per_pixel(self.grids[0], z)
        return min(self.levels - 1, max(0, math.floor(math.log2(max(1.0, ratio * 1.01)))))

    async def tile(self, z: int, x: int, y: int) -> tuple[np.ndarray, np.ndarray] | None:
        """A tile's pixels (256, 256, B) and where there are any; ``None`` where the map does not reach."""
        level, tile = self.level_of(z), tile_grid(z, x, y)
        grid = self.grids[level]
        part = meeting(grid, tile)
        window = None if part is None else await asyncio.to_thread(covered, grid, tile.window(part))
        if part is None or window is None:
            return None
        windows = self._blocks_in(level, window)
        blocks = await self._blocks(level, windows)
        scale = pixels_per_pixel(grid, z)

        def work() -> tuple[np.ndarray, np.ndarray]:
            whole, valid = _together(windows, blocks, window)
            return placed(*warped(whole, valid, grid.window(window), tile.window(part), scale=scale), part)

        return await asyncio.to_thread(work)

    def mask_tile(self, z: int, x: int, y: int) -> tuple[np.ndarray, np.ndarray] | None:
        """The mask of a tile, (256, 256) as the model reads it, and where there is any; ``None`` where the map does not reach."""
        level, tile = self.level_of(z), tile_grid(z, x, y)
        mask = self._masks[level]
        part = meeting(mask.grid, tile)
        window = None if part is None else covered(mask.grid, tile.window(part))
        if part is None or window is None:
            return None
        labels, valid = mask.read(window)
        scale = pixels_per_pixel(mask.grid, z)
        seen = warped(labels[..., None], valid, mask.grid.window(window), tile.window(part), scale=scale, nearest=True)
        pixels, there = placed(*seen, part)
        return pixels[..., 0], there

    async def _blocks(self, level: int, windows: Sequence[Window]) -> list[Block]:
        """Blocks of a level: kept ones, those that are being made for others, and what is missing, made at once."""
        names = [f"{self.identity}/{level}_{at.row}_{at.col}" for at in windows]
        found = await asyncio.to_thread(lambda: [self._cache.get(name) for name in names])
        self._metrics.blocks.labels("found").inc(sum(block is not None for block in found))
        missing = [at for at, name, block in zip(windows, names, found, strict=True) if block is None and name not in self._flights]
        made_in = rectangles(missing, self._margin_px[level])
        # All flights begin before anything else runs: nobody makes a block a second time.
        coming = [
            self._flights.get(name, partial(self._cut, level, at, name, made_in.get(at, at)))
            for at, name, block in zip(windows, names, found, strict=True) if block is None
        ]  # fmt: skip
        made = iter(await asyncio.gather(*coming))
        return [next(made) if block is None else block for block in found]

    async def _cut(self, level: int, window: Window, name: str, made_in: Window) -> Block:
        """A block out of the rectangle that it is made in, which all its blocks wait for."""
        image, valid = await self._made.get((level, made_in), partial(self._make, level, made_in))
        part = window._replace(row=window.row - made_in.row, col=window.col - made_in.col).slices
        block = image[part].copy(), None if valid is None or valid[part].all() else valid[part].copy()
        await asyncio.to_thread(self._cache.put, name, *block)
        self._metrics.blocks.labels("made").inc()
        return block

    async def _make(self, level: int, window: Window) -> Block:
        if 1 <= level <= _MEANS:
            return await self._mean(level, window)
        generated = await asyncio.wrap_future(self._scenes[level].block(window, urgency=TILE))
        return generated.image, generated.valid

    async def _mean(self, level: int, window: Window) -> Block:
        """A window out of the level below, by the means of 2×2 pixels."""
        below = self.grids[level - 1]
        wanted = Window(
            2 * window.row, 2 * window.col,
            min(2 * window.height, below.height - 2 * window.row), min(2 * window.width, below.width - 2 * window.col),
        )  # fmt: skip
        windows = self._blocks_in(level - 1, wanted)
        blocks = await self._blocks(level - 1, windows)

        def work() -> Block:
            whole, holds = _together(windows, blocks, wanted)
            valid = _halved(holds[..., None].astype(np.uint8), np.max)[..., 0] > 0
            return _halved(whole, np.mean), None if valid.all() else valid

        return await asyncio.to_thread(work)

    def _blocks_in(self, level: int, window: Window) -> list[Window]:
        """The blocks of a level's grid that a window touches. Those of means are of the same ground as those below."""
        grid, side = self.grids[level], self._block_px // 2**level if level <= _MEANS else self._block_px
        return [
            Window(row, col, min(side, grid.height - row), min(side, grid.width - col))
            for row in range(window.row // side * side, window.row + window.height, side)
            for col in range(window.col // side * side, window.col + window.width, side)
        ]

    def _grid(self, level: int) -> Grid:
        """A level's grid. That of means has pixels of exactly twice the size, of which the last ones may reach beyond the mask."""
        if not 1 <= level <= _MEANS:
            return self._masks[level].grid
        below, scale = self._masks[0].grid, 2**level
        height, width = -(-below.height // scale), -(-below.width // scale)
        return Grid(height, width, below.transform @ below.transform.scale(scale), below.crs)

    def _most_zoom(self) -> int:
        """The first zoom whose pixels are no longer than the model's, and some beyond."""
        return next(z for z in range(30) if pixels_per_pixel(self.grids[0], z) <= 1.0) + _BEYOND


def _together(windows: Sequence[Window], blocks: Sequence[Block], window: Window) -> tuple[np.ndarray, np.ndarray]:
    """``window`` (h, w, B) out of the blocks that cover it, and where it holds data."""
    whole = joined([(at, pixels) for at, (pixels, _) in zip(windows, blocks, strict=True)], window, blocks[0][0].shape[2])
    holds = [
        (at, np.ones(pixels.shape[:2], np.uint8) if valid is None else valid.astype(np.uint8))
        for at, (pixels, valid) in zip(windows, blocks, strict=True)
    ]
    return whole, joined(holds, window, 1)[..., 0] > 0


def _halved(pixels: np.ndarray, by: Callable[..., np.ndarray]) -> np.ndarray:
    """(H, W, B) uint8 in cells of 2×2; the last row and column stand for those that are missing."""
    height, width = pixels.shape[:2]
    even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    cells = even.reshape((height + 1) // 2, 2, (width + 1) // 2, 2, -1)
    return np.asarray(np.rint(by(cells, axis=(1, 3)))).astype(np.uint8)
