"""``POST /v1/masks/forged``: a new mask that looks like a place's own."""

import asyncio
import json
import tempfile
from pathlib import Path

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from orthoforge.geo.cog import write_raster
from orthoforge.geo.grid import Grid
from orthoforge.serving.forge import ForgedFields
from orthoforge.serving.leaving import for_client
from orthoforge.serving.negotiation import chosen
from orthoforge.serving.problems import Problem, problems
from orthoforge.serving.state import serving_of
from orthoforge.serving.writing import MEDIA_TYPES
from orthoforge.vectors import footprints_of, write_footprints

router = APIRouter(tags=["masks"])
GEOJSON = "application/geo+json"
_BINARY = {"schema": {"type": "string", "format": "binary"}}


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
