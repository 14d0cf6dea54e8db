"""``/v1/maps``: living maps as tiles, and their masks."""

import asyncio
import io
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query, Request
from PIL import Image
from starlette.responses import Response

from orthoforge.serving.forms import MOST_SEED
from orthoforge.serving.leaving import for_client
from orthoforge.serving.living_map import LivingMap
from orthoforge.serving.mercator import MOST_ZOOM, TILE_PX
from orthoforge.serving.problems import Problem, problems
from orthoforge.serving.state import serving_of

router = APIRouter(tags=["maps"])
_OF_A_MAP = problems("no-key", "not-found", "invalid", "too-often", "failed")
_OF_A_TILE = problems("no-key", "not-found", "invalid", "too-often", "failed", "busy", "stopping", "deadline", "no-room")
_KEPT = "public, max-age=3600"
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_QUALITY = 90  # of WebP

Model_ = Annotated[str | None, Query(alias="model", max_length=200, description="Of /v1/models; the first one when left out.")]
Style_ = Annotated[str | None, Query(alias="style", max_length=200, description="One of the model's styles.")]
Seed_ = Annotated[int | None, Query(alias="seed", ge=0, le=MOST_SEED, description="Another world; the server's when left out.")]


@router.get("/v1/maps", summary="The maps", responses=problems("no-key", "invalid", "too-often"))
async def get_maps(request: Request) -> dict[str, list[dict[str, str]]]:
    """The layers, each a map in every model, style and seed: `tilejson` and `masks` say where their tiles are."""
    base = str(request.base_url).rstrip("/")
    return {
        "maps": [
            {
                "name": name,
                "tilejson": f"{base}/v1/maps/{name}/tilejson.json",
                "masks": f"{base}/v1/maps/{name}/masks/tilejson.json",
            }
            for name in serving_of(request).maps.layers
        ]
    }


@router.get("/v1/maps/{name}/tilejson.json", summary="TileJSON of a map", responses=_OF_A_MAP)
async def get_tilejson(
    request: Request, name: str, model: Model_ = None, style: Style_ = None, seed: Seed_ = None
) -> dict[str, Any]:
    """TileJSON 3.0 of a living map, for MapLibre, Leaflet and others. QGIS takes its `tiles` as an XYZ layer."""
    return _tilejson(request, name, await serving_of(request).maps.find(name, model, style, seed), "tiles")


@router.get("/v1/maps/{name}/masks/tilejson.json", summary="TileJSON of a map's mask", responses=_OF_A_MAP)
async def get_mask_tilejson(request: Request, name: str, model: Model_ = None) -> dict[str, Any]:
    """TileJSON 3.0 of the mask that a living map is made of."""
    return _tilejson(request, name, await serving_of(request).maps.find(name, model, None, None), "masks")


@router.get(
    "/v1/maps/{name}/tiles/{z}/{x}/{y}.{form}", summary="A tile of a map", response_class=Response,
    responses={200: {"content": {"image/png": _BINARY, "image/webp": _BINARY}}, **_OF_A_TILE},
)  # fmt: skip
async def get_tile(
    request: Request, name: str, z: int, x: int, y: int, form: Literal["png", "webp"],
    model: Model_ = None, style: Style_ = None, seed: Seed_ = None,
) -> Response:  # fmt: skip
    """A tile of 256 px in Web Mercator. What nobody looked at before is generated now, and kept.

    The same place, model, style and seed give the same bytes, also after a restart. WebP is smaller and loses something.
    """
    serving = serving_of(request)
    found = await serving.maps.find(name, model, style, seed)
    _require_tile(found, z, x, y)
    if found.model.generator.bands < 3:
        raise Problem("invalid", f"The images of {found.model.name} have {found.model.generator.bands} bands; tiles need three.")
    key = found.identity, z, x, y, form
    data = serving.maps.tiles.get(key)
    if data is None:
        made = await for_client(request, found.tile(z, x, y), serving.settings.deadline_s)
        shown = None if made is None else (made[0][..., :3], made[1])
        data = await asyncio.to_thread(_encoded, shown, form)
        serving.maps.tiles.keep(key, data)
    return Response(data, 200, {"Cache-Control": _KEPT}, f"image/{form}")


@router.get(
    "/v1/maps/{name}/masks/{z}/{x}/{y}.png", summary="A tile of a map's mask", response_class=Response,
    responses={200: {"content": {"image/png": _BINARY}}, **_OF_A_MAP},
)  # fmt: skip
async def get_mask_tile(request: Request, name: str, z: int, x: int, y: int, model: Model_ = None) -> Response:
    """What the map is made of: buildings white, or classes in their colours."""
    found = await serving_of(request).maps.find(name, model, None, None)
    _require_tile(found, z, x, y)

    def work() -> Response:
        made, classes = found.mask_tile(z, x, y), found.model.generator.classes
        if made is None:
            return _png(None)
        labels, there = made
        rgb = np.repeat(labels[..., None], 3, axis=2) if classes is None else classes.rgb(np.minimum(labels, classes.count - 1))
        return _png((rgb, there))

    return await asyncio.to_thread(work)


def _require_tile(found: LivingMap, z: int, x: int, y: int) -> None:
    if not (0 <= z <= min(MOST_ZOOM, found.most_zoom) and 0 <= x < 2**z and 0 <= y < 2**z):
        raise Problem("not-found", f"There is no tile {z}/{x}/{y}; zooms go from 0 to {min(MOST_ZOOM, found.most_zoom)}.")


def _png(made: tuple[np.ndarray, np.ndarray] | None) -> Response:
    return Response(_encoded(made, "png"), 200, {"Cache-Control": _KEPT}, "image/png")


def _encoded(made: tuple[np.ndarray, np.ndarray] | None, form: str) -> bytes:
    """A tile as bytes; transparent where the map does not reach."""
    rgba = np.zeros((TILE_PX, TILE_PX, 4), np.uint8)
    if made is not None:
        rgba[..., :3], rgba[..., 3] = made[0], made[1] * np.uint8(255)
        rgba[~made[1]] = 0
    image = Image.fromarray(rgba)
    if rgba[..., 3].all():
        image = image.convert("RGB")
    buffer = io.BytesIO()
    if form == "webp":
        image.save(buffer, "WEBP", quality=_QUALITY, method=2)
    else:
        image.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def _tilejson(request: Request, name: str, found: LivingMap, what: str) -> dict[str, Any]:
    west, south, east, north = found.bounds
    query = f"?{request.url.query}" if request.url.query else ""
    base = str(request.base_url).rstrip("/")
    most = min(MOST_ZOOM, found.most_zoom)
    return {
        "tilejson": "3.0.0", "name": name, "scheme": "xyz", "minzoom": 0, "maxzoom": most,
        "tiles": [f"{base}/v1/maps/{name}/{what}/{{z}}/{{x}}/{{y}}.png{query}"],
        "bounds": [west, south, east, north], "center": [(west + east) / 2, (south + north) / 2, max(0, most - 3)],
        "attribution": found.model.generator.attribution or "synthetic", "description": "Synthetic: a world that does not exist.",
    }  # fmt: skip
