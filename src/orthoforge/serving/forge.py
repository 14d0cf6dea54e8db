"""Masks forged like the buildings of a layer."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from orthoforge.geo.cog import write_raster
from orthoforge.geo.grid import Grid, Window
from orthoforge.masks.opening import SceneMask
from orthoforge.serving.forms import MOST_SEED
from orthoforge.serving.layers import Layers
from orthoforge.serving.mask_forging import Order
from orthoforge.serving.parts import Parts
from orthoforge.serving.problems import Problem
from orthoforge.serving.processes import Processes

_MOST_SIDE_PX = 2048
_MODEL_SIDE_PX = 4096  # of a layer, from its middle, that is looked at


class ForgedFields(BaseModel):
    """What mask is wanted."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"layer": "town", "how": "recombine", "width": 512, "height": 512, "seed": 7}]},
    )

    layer: str | None = Field(
        None, max_length=200, description="Of /v1/maps, whose buildings it is like; the first one when left out."
    )
    how: Literal["recombine", "streets"] = Field(
        "recombine", description="Real footprints in new blocks, or a town along new streets."
    )
    width: int = Field(512, ge=64, le=_MOST_SIDE_PX)
    height: int = Field(512, ge=64, le=_MOST_SIDE_PX)
    density: float = Field(1.0, gt=0, le=3, description="Of buildings, as a multiple of the place's own.")
    seed: int = Field(0, ge=0, le=MOST_SEED)


class Forge:
    """A process that forges masks. Each layer is written for it once, when it is first asked for."""

    def __init__(self, parts: Parts, layers: Layers) -> None:
        self._parts, self._layers = parts, layers
        settings = parts.settings
        self._folder = settings.data / "forge"
        self._places: dict[str, asyncio.Task[tuple[Path, bool]]] = {}
        self.processes = Processes(
            "orthoforge.serving.mask_forging", count=1, most_bytes=settings.decode_bytes, most_waiting=settings.queue,
            restarts=parts.metrics.forge_restarts,
        )  # fmt: skip

    def start(self) -> None:
        """Make its folder. The process starts with the first order."""
        shutil.rmtree(self._folder, ignore_errors=True)  # of a server that was killed
        self._folder.mkdir(parents=True)

    def close(self) -> None:
        """End the process, and remove what was written for it."""
        self.processes.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def mask(self, fields: ForgedFields, form: Literal["png", "tif", "geojson"]) -> bytes:
        """A new mask as a file. ``Problem`` where none can be made, or not in time."""
        layers = self._layers.layers
        layer = next(iter(layers), None) if fields.layer is None else fields.layer
        if layer is not None and layer not in layers:
            raise Problem("not-found", f"No map is called {layer[:80]!r}; there are: {', '.join(layers) or 'none'}.")
        place, lies_somewhere = (None, False) if layer is None else await self._place(layer)
        if form == "geojson" and not lies_somewhere:
            raise Problem("not-acceptable", "This mask has no place on the ground; ask for image/png.")
        with tempfile.TemporaryDirectory(dir=self._folder, ignore_cleanup_errors=True) as folder:
            order = Order(
                folder, f"mask.{form}", None if place is None else str(place), fields.how, fields.width, fields.height,
                fields.density, fields.seed,
            )  # fmt: skip
            await self._forged(order)
            return await asyncio.to_thread((Path(folder) / order.name).read_bytes)

    async def _forged(self, order: Order) -> None:
        most_s, advice = self._parts.settings.forge_s, "Ask for a smaller one, or for less density."
        await self.processes.done(
            order.line(), most_s, late=Problem("deadline", f"The mask was not made within {most_s:g} s. {advice}"),
            ended=Problem("failed", f"The process that makes masks ended. {advice}"),
            unforeseen=Problem("failed", f"The mask could not be made. {advice}"),
        )  # fmt: skip

    async def _place(self, layer: str) -> tuple[Path, bool]:
        """The middle of a layer as a file, and whether it lies somewhere."""
        if layer not in self._places or (self._places[layer].done() and self._places[layer].exception()):
            self._places[layer] = asyncio.ensure_future(asyncio.to_thread(self._written, layer))
        return await asyncio.shield(self._places[layer])

    def _written(self, layer: str) -> tuple[Path, bool]:
        models = [model for model in self._parts.models.all() if model.generator.classes is None]
        if not models:
            raise Problem("invalid", "Masks of buildings are forged, and this server's models take masks of classes.")
        mask, grid = _middle(self._layers.mask(layer, models[0]))
        path = self._folder / f"{layer}.tif"
        write_raster(path, mask, grid)
        return path, grid.crs is not None


def _middle(mask: SceneMask) -> tuple[np.ndarray, Grid]:
    grid = mask.grid
    height, width = min(grid.height, _MODEL_SIDE_PX), min(grid.width, _MODEL_SIDE_PX)
    window = Window((grid.height - height) // 2, (grid.width - width) // 2, height, width)
    return mask.read(window)[0], grid.window(window)
