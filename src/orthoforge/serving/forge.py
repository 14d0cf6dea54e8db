"""Masks forged like the buildings of a layer."""

import tempfile
import threading
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from orthoforge.forging.new_mask import new_mask
from orthoforge.forging.places import Place, places_of
from orthoforge.geo.cog import write_raster
from orthoforge.geo.grid import Grid, Window
from orthoforge.masks.opening import SceneMask
from orthoforge.masks.reader import MaskReader
from orthoforge.scenes.simulate import PLACES, render_scene
from orthoforge.serving.forms import MOST_SEED
from orthoforge.serving.layers import Layers
from orthoforge.serving.parts import Parts
from orthoforge.serving.problems import Problem

_MOST_SIDE_PX = 2048
_MODEL_SIDE_PX = 4096  # of a layer, from its middle, that is looked at
_SIMULATED_PX, _SIMULATED_GSD_M = 1024, 0.3


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
    """Places that masks are forged like, each read and measured once."""

    def __init__(self, parts: Parts, layers: Layers) -> None:
        self._parts, self._layers = parts, layers
        self._places: dict[str | None, Place] = {}
        self._lock = threading.Lock()

    def mask(self, fields: ForgedFields) -> tuple[np.ndarray, Grid]:
        """A new mask (H, W) uint8 of 0 and 255, and its grid."""
        layers = self._layers.layers
        layer = next(iter(layers), None) if fields.layer is None else fields.layer
        if layer is not None and layer not in layers:
            raise Problem("not-found", f"No map is called {layer[:80]!r}; there are: {', '.join(layers) or 'none'}.")
        with self._lock:
            if layer not in self._places:
                self._places[layer] = self._measured(layer)
        side = max(fields.width, fields.height)
        new = new_mask(self._places[layer], 0, fields.how, side, None, fields.density, fields.seed, MaskReader(), ())
        window = Window(0, 0, fields.height, fields.width)
        return new.mask[window.slices], new.grid.window(window)

    def _measured(self, layer: str | None) -> Place:
        """The place of a layer, or where a server has none, of a simulated town."""
        with tempfile.TemporaryDirectory(dir=self._parts.settings.data) as folder:
            if layer is None:
                name = next(iter(PLACES))
                scene = render_scene(
                    PLACES[name], seed=0, height_px=_SIMULATED_PX, width_px=_SIMULATED_PX, gsd_m=_SIMULATED_GSD_M
                )  # fmt: skip
                mask, grid = scene.mask, Grid(_SIMULATED_PX, _SIMULATED_PX)
            else:
                name = layer
                mask, grid = _middle(self._building_mask(layer))
            path = Path(folder) / f"{name}.tif"
            write_raster(path, mask, grid)
            (place, *_), _ = places_of([path], None, MaskReader())
        return place

    def _building_mask(self, layer: str) -> SceneMask:
        models = [model for model in self._parts.models.all() if model.generator.classes is None]
        if not models:
            raise Problem("invalid", "Masks of buildings are forged, and this server's models take masks of classes.")
        return self._layers.mask(layer, models[0])


def _middle(mask: SceneMask) -> tuple[np.ndarray, Grid]:
    grid = mask.grid
    height, width = min(grid.height, _MODEL_SIDE_PX), min(grid.width, _MODEL_SIDE_PX)
    window = Window((grid.height - height) // 2, (grid.width - width) // 2, height, width)
    return mask.read(window)[0], grid.window(window)
