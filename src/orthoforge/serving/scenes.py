"""A scene at the workers: made whole, or block by block, in turns with what else is asked of them."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from orthoforge.generation.scene import SAMPLE_PX, Generated, Scene, at_resolution, blocks_of
from orthoforge.geo.grid import Window
from orthoforge.masks.opening import SceneMask
from orthoforge.serving.models import Model, Models
from orthoforge.serving.queue import IMAGE, Work, Workers, alone
from orthoforge.trained_generator import TrainedGenerator
from orthoforge.trained_generator.told import Told


class ServedScene:
    """A scene of one model, style and seed, on its mask's grid. With ``resampled`` false the network sees the mask's own pixels,
    however large they are; otherwise they are brought to its resolution before, and the image back afterwards.

    ``name`` places a mask that lies nowhere, and ``like`` knows its buildings, as in ``Scene``. ``sun`` is where the sun stands.
    """

    def __init__(
        self,
        models: Models,
        workers: Workers,
        model: Model,
        style: str | None,
        mask: SceneMask,
        seed: int,
        *,
        name: str = "",
        resampled: bool = True,
        like: Scene | None = None,
        sun: float | None = None,
    ) -> None:
        first = workers.devices[0]
        made = at_resolution(mask, model.generator, "mask", resample=True) if resampled else mask
        self.scene = Scene(models.on(model, style, first, sun), made, mask, seed, None, name, like)
        self._models, self._workers, self._model, self._first = models, workers, model, first
        self._style, self._sun = style, sun
        self._generators: dict[str, TrainedGenerator] = {}
        self._preparing = threading.Lock()

    @property
    def pixels(self) -> int:
        """Of the image."""
        return self.scene.delivered.grid.height * self.scene.delivered.grid.width

    def block_side_px(self) -> int:
        """As ``Scene.block_side_px`` has it."""
        return self.scene.block_side_px(len(self._workers.devices))

    def find_buildings(self) -> None:
        """Look for the buildings of the whole scene, once: minutes for a large one, which no device need wait for."""
        with self._preparing:
            _ = self.scene.buildings

    def block(self, window: Window, **how: Any) -> "Future[Any]":
        """A window of the delivered grid as ``Generated``, in its turn. ``how`` goes to ``Workers.submit``."""
        return self._workers.submit(alone(lambda device: self._block(window, device), window.height * window.width), **how)

    def whole(self, **how: Any) -> "Future[Any]":
        """All of a small scene at once, as ``Generated``."""
        return self._workers.submit(alone(lambda device: self._whole(device), self.pixels), **how)

    def drawn(self, *, alone: bool, **how: Any) -> "Future[Any]":
        """As ``whole``, for a mask that is not resampled: what was composed of a drawing is kept for its next state.

        Unless it is made ``alone``, in a forward pass with others of its model, style, sun and size.
        """
        grid = self.scene.mask.grid
        mask, _ = self.scene.mask.read(Window(0, 0, grid.height, grid.width))
        key = None if alone else (self._model.name, self._style, self._sun, mask.shape)
        return self._workers.submit(Work(self._together, (mask, self.scene), key, mask.size), **how)

    async def image(self, deadline_s: float, small_pixels: int) -> Generated:
        """The image, in one piece of memory. Its request has a place already, so that no part of it is refused any more."""
        side_px = await asyncio.to_thread(self.block_side_px)
        grid = self.scene.delivered.grid
        is_whole = self.pixels <= SAMPLE_PX and max(grid.height, grid.width) <= side_px
        if is_whole and self.scene.mask is self.scene.delivered:
            return await asyncio.wrap_future(self.drawn(alone=self.pixels > small_pixels, deadline_s=deadline_s, admitted=True))
        if is_whole:
            return await asyncio.wrap_future(self.whole(deadline_s=deadline_s, admitted=True))
        image = np.empty((grid.height, grid.width, self.scene.generator.bands), np.uint8)
        pixels_of = None
        for window in blocks_of(grid, side_px):
            made = await asyncio.wrap_future(self.block(window, urgency=IMAGE, deadline_s=deadline_s, admitted=True))
            image[window.slices] = made.image
            if made.pixels_of is not None:
                pixels_of = made.pixels_of if pixels_of is None else pixels_of + made.pixels_of
        whole = Window(0, 0, grid.height, grid.width)
        return Generated(image, self.scene.delivered.valid(whole), pixels_of)

    def _together(self, device: str, payloads: Sequence[Any]) -> list[Generated]:
        generator = self._on(device)
        scenes: list[Scene] = [scene for _, scene in payloads]
        masks, kept = [mask for mask, _ in payloads], self._models.composers
        told = [
            generator.told(mask, seed=scene.seed, origin=scene.origin, kept=kept) for mask, scene in zip(masks, scenes, strict=True)
        ]
        images = generator.together(
            masks, seeds=[scene.seed for scene in scenes], origins=[scene.origin for scene in scenes],
            told=[None if one is None else one.values for one in told],
        )  # fmt: skip
        return [_generated(scene, image, one) for scene, image, one in zip(scenes, images, told, strict=True)]

    def _whole(self, device: str) -> Generated:
        if device == self._first:
            return self.scene.whole()
        grid = self.scene.delivered.grid
        return self.scene.block(Window(0, 0, grid.height, grid.width), self._on(device))

    def _on(self, device: str) -> TrainedGenerator:
        return self._models.on(self._model, self._style, device, self._sun)

    def _block(self, window: Window, device: str) -> Generated:
        with self._preparing:  # statistics and buildings of the whole scene are found once
            _ = self.scene.buildings
            if device not in self._generators:
                sampled = self.scene.sampled
                self._generators[device] = sampled if device == self._first else sampled.to(device)
        return self.scene.block(window, self._generators[device])


def _generated(scene: Scene, image: np.ndarray, told: Told | None) -> Generated:
    """With what is said of it, as a block of it has it."""
    grid = scene.delivered.grid
    library, pixels_of = scene.generator.library, None
    if library is not None:
        assert told is not None and told.source is not None
        pixels_of = np.bincount(told.source.ravel(), minlength=len(library))
    return Generated(image, scene.delivered.valid(Window(0, 0, grid.height, grid.width)), pixels_of)
