"""``POST /v1/masks/forged``: a new mask that looks like a place's own."""

import asyncio
import json
import tempfile
import threading
from pathlib import Path
from typing import Literal

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from orthoforge.forging.new_mask import new_mask
from orthoforge.forging.places import Place, places_of
from orthoforge.geo.cog import write_raster
from orthoforge.geo.grid import Grid, Window
from orthoforge.masks.opening import SceneMask
from orthoforge.scenes.simulate import PLACES, render_scene
from orthoforge.serving.forms import MOST_SEED
from orthoforge.serving.leaving import for_client
from orthoforge.serving.negotiation import chosen
from orthoforge.serving.problems import Problem, problems
from orthoforge.serving.state import Serving, serving_of
from orthoforge.serving.writing import MEDIA_TYPES
from orthoforge.vectors import footprints_of, write_footprints

router = APIRouter(tags=["masks"])
GEOJSON = "application/geo+json"
_MOST_SIDE_PX = 2048
_MODEL_SIDE_PX = 4096  # of a layer, from its middle, that is looked at
_SIMULATED_PX, _SIMULATED_GSD_M = 1024, 0.3
_BINARY = {"schema": {"type": "string", "format": "binary"}}


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

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._places: dict[str | None, Place] = {}
        self._lock = threading.Lock()

    def mask(self, fields: ForgedFields) -> tuple[np.ndarray, Grid]:
        """A new mask (H, W) uint8 of 0 and 255, and its grid."""
        layers = self._serving.maps.layers
        layer = next(iter(layers), None) if fields.layer is None else fields.layer
        if layer is not None and layer not in layers:
            raise Problem("not-found", f"No map is called {layer[:80]!r}; there are: {', '.join(layers) or 'none'}.")
        with self._lock:
            if layer not in self._places:
                self._places[layer] = self._measured(layer)
        side = max(fields.width, fields.height)
        mask, grid, _ = new_mask(self._places[layer], 0, fields.how, side, None, fields.density, fields.seed, None, ())
        window = Window(0, 0, fields.height, fields.width)
        return mask[window.slices], grid.window(window)

    def _measured(self, layer: str | None) -> Place:
        """The place of a layer, or where a server has none, of a simulated town."""
        with tempfile.TemporaryDirectory(dir=self._serving.settings.data) as folder:
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
            (place, *_), _ = places_of([path], None, None)
        return place

    def _building_mask(self, layer: str) -> SceneMask:
        models = [model for model in self._serving.models.all() if model.generator.classes is None]
        if not models:
            raise Problem("invalid", "Masks of buildings are forged, and this server's models take masks of classes.")
        return self._serving.maps.mask(layer, models[0])


@router.post(
    "/v1/masks/forged", summary="A new mask", response_class=Response,
    responses={200: {"content": {"image/png": _BINARY, "image/tiff": _BINARY, GEOJSON: {"schema": {"type": "object"}}}},
               **problems("no-key", "not-found", "not-acceptable", "slow-body", "too-large", "invalid", "too-often", "failed",
                          "stopping", "deadline")},
)  # fmt: skip
async def post_forged(request: Request, fields: ForgedFields) -> Response:
    """Forge a mask of buildings like those of a layer, or without layers of a simulated town.

    `Accept` says the form: `image/png` (the default), `image/tiff` with its place, or `application/geo+json`, its footprints. The
    same fields give the same mask.
    """
    serving = serving_of(request)
    media_type = chosen(request.headers.get("accept"), [*MEDIA_TYPES.values(), GEOJSON])

    def work() -> bytes:
        mask, grid = serving.forge.mask(fields)
        return _written(mask, grid, media_type, serving.settings.data)

    data = await for_client(request, asyncio.to_thread(work), serving.settings.deadline_s)
    return Response(data, 200, {"Orthoforge-Seed": str(fields.seed)}, media_type)


def _written(mask: np.ndarray, grid: Grid, media_type: str, data: Path) -> bytes:
    with tempfile.TemporaryDirectory(dir=data) as folder:
        if media_type == GEOJSON:
            if grid.crs is None:
                raise Problem("not-acceptable", "This mask has no place on the ground; ask for image/png.")
            path = Path(folder) / "mask.geojson"
            write_footprints(path, footprints_of(mask, grid=grid), grid.crs)
            return json.dumps(json.loads(path.read_bytes())).encode()
        path = Path(folder) / ("mask.png" if media_type == MEDIA_TYPES["png"] else "mask.tif")
        write_raster(path, np.ascontiguousarray(mask), grid if path.suffix == ".tif" else Grid(*mask.shape))
        return path.read_bytes()


def _middle(mask: SceneMask) -> tuple[np.ndarray, Grid]:
    grid = mask.grid
    height, width = min(grid.height, _MODEL_SIDE_PX), min(grid.width, _MODEL_SIDE_PX)
    window = Window((grid.height - height) // 2, (grid.width - width) // 2, height, width)
    return mask.read(window)[0], grid.window(window)
