"""The layers of a server: footprints and masks that are maps, opened when they are first looked at."""

import asyncio
import contextlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from orthoforge.errors import ConfigError
from orthoforge.masks.opening import Extent, SceneMask, open_mask
from orthoforge.serving.block_cache import BlockCache
from orthoforge.serving.leavable_mask import LeavableMask
from orthoforge.serving.living_map import LivingMap
from orthoforge.serving.models import Model
from orthoforge.serving.parts import Parts
from orthoforge.serving.problems import Problem
from orthoforge.serving.recent import Recent
from orthoforge.serving.shared_mask import SharedMask, told_of_layer

_TILES = 512  # of some 100 kB


class Layers:
    """The layers of a server, each open in the models that it was asked in."""

    def __init__(self, parts: Parts, layers: Sequence[Path]) -> None:
        self._parts = parts
        self.layers = {layer.name.split(".")[0]: layer for layer in layers}
        if len(self.layers) < len(layers):
            raise ConfigError("two layers have one name; rename one of their files.")
        self._cache: BlockCache | None = None
        self._masks: dict[tuple[str, str], SceneMask] = {}
        self._maps: OrderedDict[tuple[str, str, str | None, int], LivingMap] = OrderedDict()
        self._first: dict[tuple[str, str], LivingMap] = {}  # of each layer and model
        self._opened = contextlib.ExitStack()
        self._left = threading.Event()
        self.tiles: Recent[bytes] = Recent(_TILES)
        """Lately sent, as they were sent."""
        self._opening = asyncio.Lock()
        self._opener = ThreadPoolExecutor(1)  # GDAL's settings are a thread's: who opened a file has to close it

    @property
    def cache(self) -> BlockCache:
        """Blocks of all maps."""
        if self._cache is None:
            settings = self._parts.settings
            self._cache = BlockCache(settings.data / "blocks", settings.cache_bytes, self._parts.metrics)
        return self._cache

    async def find(self, name: str, model: str | None, style: str | None, seed: int | None) -> LivingMap:
        """A layer's map in a model, style and seed, opened when it is first asked for. ``Problem`` where there is none."""
        if name not in self.layers:
            known = ", ".join(self.layers) or "none"
            raise Problem("not-found", f"No map is called {name[:80]!r}; there are: {known}.")
        parts = self._parts
        of = parts.models.find(model)
        parts.models.require_style(of, style)
        key = name, of.name, style, parts.settings.map_seed if seed is None else seed
        async with self._opening:
            if key not in self._maps:
                self._maps[key] = await asyncio.get_running_loop().run_in_executor(self._opener, self._open, of, *key)
            self._maps.move_to_end(key)
            while len(self._maps) > parts.settings.scenes:
                self._maps.popitem(last=False)
            return self._maps[key]

    def mask(self, name: str, model: Model) -> SceneMask:
        """A layer's mask as a model reads it, open until the server ends. Any thread may ask and read."""
        return self._opener.submit(self._mask, name, model).result()

    def leave(self) -> None:
        """Let what is made of maps end: nobody waits for it any more."""
        self._left.set()

    def close(self) -> None:
        """Close the layers."""
        self._opener.submit(self._opened.close).result()
        self._opener.shutdown()

    def _open(self, model: Model, name: str, _: str, style: str | None, seed: int) -> LivingMap:
        mask = self._mask(name, model)
        if mask.grid.crs is None or mask.grid.pixel_m() is None:
            raise Problem("invalid", f"The layer {name} has no place on the ground, so it is no map.")
        parts = self._parts
        first = self._first.get((name, model.name))
        opened = LivingMap(
            parts.models, parts.workers, self.cache, parts.metrics, model, style, seed, mask, parts.settings.block_px, first
        )
        self._first.setdefault((name, model.name), opened)
        return opened

    def _mask(self, name: str, model: Model) -> SceneMask:
        key = name, model.name
        if key not in self._masks:
            gsd_m = model.generator.gsd_m
            opened = open_mask(
                self.layers[name], classes=model.generator.classes, threshold=None, extent=Extent(),
                gsd_m=float(f"{gsd_m:.3g}") if gsd_m else None,
            )  # fmt: skip
            with told_of_layer(name, self.layers[name]):
                shared = SharedMask(self._opened.enter_context(opened), name, self.layers[name])
            self._masks[key] = LeavableMask(shared, self._left)
        return self._masks[key]
