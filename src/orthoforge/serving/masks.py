"""``POST /v1/masks``: a mask as a model reads it, and where it lies. ``POST /v1/styles``: the look of a photo."""

import asyncio
import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel
from rasterio.errors import CRSError
from starlette.datastructures import UploadFile
from starlette.responses import Response

from orthoforge.geo.cog import write_raster
from orthoforge.geo.grid import Grid, Window
from orthoforge.serving.decoded import PHOTO, DecodedMask
from orthoforge.serving.decoding import Order
from orthoforge.serving.forms import MaskFields, decoded, form_schema, read_form, read_parts
from orthoforge.serving.images import OF_FORMS
from orthoforge.serving.leaving import for_client
from orthoforge.serving.models import Model
from orthoforge.serving.negotiation import chosen
from orthoforge.serving.problems import Problem, problems
from orthoforge.serving.state import Serving, serving_of
from orthoforge.serving.writing import MEDIA_TYPES
from orthoforge.trained_generator import LEAST_REFERENCE_PX

router = APIRouter(tags=["masks"])
_PHOTO = "`photo` (JPEG, PNG, GeoTIFF)"
GRID_HEADER = "Orthoforge-Grid"
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_PHOTO_NAMES = {b"\x89PNG": "photo.png", b"\xff\xd8\xff": "photo.jpg", b"II*\0": "photo.tif", b"MM\0*": "photo.tif"}
_PHOTO_SCHEMA = {
    "type": "object", "required": ["photo"], "additionalProperties": False,
    "properties": {
        "photo": {"type": "string", "contentMediaType": "application/octet-stream", "description": "JPEG, PNG or GeoTIFF."},
        "model": {"type": "string", "description": "Of /v1/models; the first one when left out."},
    },
}  # fmt: skip


class PhotoStyle(BaseModel):
    """A style that images and maps can be asked for, until others were asked for more lately or the server ends."""

    style: str


@router.post(
    "/v1/masks", summary="A mask as a model reads it", response_class=Response,
    responses={200: {"content": {"image/png": _BINARY, "image/tiff": _BINARY},
                     "headers": {GRID_HEADER: {"description": "Where it lies, as JSON.", "schema": {"type": "string"}}}},
               **problems(*OF_FORMS, "not-found", "not-acceptable", "failed", "deadline", "no-room")},
    openapi_extra=form_schema("The mask as a file, or footprints.", MaskFields),
)  # fmt: skip
async def post_mask(request: Request) -> Response:
    """Read a mask (PNG, GeoTIFF) or footprints (GeoJSON) as `POST /v1/images` does, and send it back without an image.

    Buildings are 0 and 255, classes have their values or else their first colours. `image/png` (the default) says in
    `Orthoforge-Grid` where it lies; `image/tiff` lies there itself.
    """
    serving = serving_of(request)
    serving.workers.require_room()
    async with read_form(request, MaskFields) as (fields, name, file):
        model = serving.models.find(fields.model)
        media_type = chosen(request.headers.get("accept"), list(MEDIA_TYPES.values()))
        with serving.decoders.folder() as folder:
            reading = decoded(serving.decoders, folder, name, file, fields, model, serving.settings.image_pixels)
            mask = await for_client(request, reading, serving.settings.deadline_s)
            data = await asyncio.to_thread(_written, mask, model, media_type, serving.settings.data)
        headers = {GRID_HEADER: json.dumps(_told(mask.grid)), "Cache-Control": "no-store"}
        return Response(data, 200, headers, media_type)


@router.post(
    "/v1/styles", summary="The look of a photo", status_code=201, responses=problems(*OF_FORMS, "not-found", "failed", "deadline"),
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _PHOTO_SCHEMA}}}},
)  # fmt: skip
async def post_style(request: Request) -> PhotoStyle:
    """Take the look of an aerial photo (JPEG, PNG, GeoTIFF), for a model with styles.

    The answer names a `style` for images and maps. Of a large photo the middle is looked at. The server forgets the least wanted
    photos, and all of them when it ends.
    """
    serving = serving_of(request)
    serving.workers.require_room()
    async with read_parts(request, _PHOTO) as (files, fields):
        if files.keys() != {"photo"} or fields.keys() - {"model"}:
            raise Problem("invalid", f"Send one file, {_PHOTO}, and no field but `model`.")
        model = serving.models.find(fields.get("model") or None)
        if not model.generator.styles:
            raise Problem("invalid", f"style: {model.name} has no styles, so it cannot take the look of a photo.")
        photo = await for_client(request, _photo(serving, model, files["photo"]), serving.settings.deadline_s)
    name = f"photo-{hashlib.sha256(photo.tobytes()).hexdigest()[:32]}"
    serving.models.photos.keep(name, photo)
    return PhotoStyle(style=name)


async def _photo(serving: Serving, model: Model, file: UploadFile) -> np.ndarray:
    head = await file.read(4)
    await file.seek(0)
    name = next((name for magic, name in _PHOTO_NAMES.items() if head.startswith(magic)), None)
    if name is None:
        raise Problem("invalid", f"The photo begins with {head!r}; it is no JPEG, PNG or GeoTIFF. Send the picture itself.")

    def store() -> None:
        with open(folder / name, "xb") as stored:
            shutil.copyfileobj(file.file, stored)

    with serving.decoders.folder() as folder:
        await asyncio.to_thread(store)
        bands = model.generator.bands
        await serving.decoders.decode(Order(str(folder), name, None, None, 0, photo_bands=bands, photo_px=LEAST_REFERENCE_PX))
        photo: np.ndarray = np.load(folder / PHOTO, allow_pickle=False)
    return photo


def _written(mask: DecodedMask, model: Model, media_type: str, data: Path) -> bytes:
    labels, valid = mask.read(Window(0, 0, mask.grid.height, mask.grid.width))
    classes = model.generator.classes
    shown = np.where(labels > 0, np.uint8(255), np.uint8(0)) if classes is None else classes.codes(labels)
    with tempfile.TemporaryDirectory(dir=data) as folder:
        path = Path(folder) / ("mask.png" if media_type == MEDIA_TYPES["png"] else "mask.tif")
        place = mask.grid if path.suffix == ".tif" else Grid(mask.grid.height, mask.grid.width)
        write_raster(path, np.ascontiguousarray(shown), place, valid=valid if path.suffix == ".tif" else None)
        return path.read_bytes()


def _told(grid: Grid) -> dict[str, Any]:
    """A grid for programs that know PROJ's strings; without a CRS its size alone."""
    told: dict[str, Any] = {"width": grid.width, "height": grid.height}
    if grid.crs is None:
        return told
    try:
        proj4 = grid.crs.to_proj4()
    except CRSError:
        proj4 = ""
    of = grid.transform
    return told | {"crs": grid.crs.to_epsg(), "proj4": proj4, "left": of.c, "top": of.f, "pixel_x": of.a, "pixel_y": -of.e}
