"""Forms of masks: their fields, the file, and how the file becomes a mask."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from orthoforge.generation.scene import at_resolution
from orthoforge.masks.classes import plain_classes
from orthoforge.serving.decoded import DecodedMask
from orthoforge.serving.decoding import FOOTPRINTS, Order
from orthoforge.serving.models import Model
from orthoforge.serving.problems import Problem, invalid_fields
from orthoforge.serving.uploads import Decoders, mask_name

_MOST_FIELDS = 32
_FIELD_BYTES = 2**20
_COPIED_BYTES = 2**20
_ONE_FILE = "Send one file: `mask` (PNG, GeoTIFF) or `footprints` (GeoJSON)."
MOST_SEED = 2**53 - 1  # the largest whole number that JavaScript knows exactly


def _center(given: object) -> object:
    return [part.strip() for part in given.split(",")] if isinstance(given, str) else given


class ImageFields(BaseModel):
    """The fields beside the file."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(None, description="Of /v1/models; the first one when left out.")
    seed: int = Field(0, ge=0, le=MOST_SEED, description="Of all that is random. The same seed gives the same image.")
    style: str | None = Field(None, description="Whose look: one of the model's styles. Any of them, by the seed, when left out.")
    variants: int = Field(1, ge=1, description="Images, each with the next seed. Several come as a ZIP.")
    threshold: int | None = Field(None, ge=1, le=255, description="Mask values at or above it are building.")
    width: int = Field(0, ge=0, le=100_000, description="Of the image in pixels, for footprints.")
    height: int = Field(0, ge=0, le=100_000, description="Of the image in pixels, for footprints.")
    pixel_size_m: float = Field(
        0.0, ge=0, le=1000, allow_inf_nan=False, description="Metres, for footprints and with crs; the model's own when left out."
    )
    center: Annotated[tuple[float, float] | None, BeforeValidator(_center)] = Field(
        None,
        description="Longitude and latitude of the image's middle, for footprints, as in 14.42,50.09; that of the footprints when "
        "left out.",
    )
    crs: int | None = Field(
        None, ge=1, le=999_999, description="Of EPSG, as in 32633, for a mask that lies nowhere; with left and top."
    )
    left: float = Field(0.0, allow_inf_nan=False, description="Of the mask's upper left corner, in the unit of crs.")
    top: float = Field(0.0, allow_inf_nan=False, description="Of the mask's upper left corner, in the unit of crs.")
    format: Literal["png", "tif"] = Field("tif", description="Of the images in a ZIP.")


def form_schema(description: str) -> dict[str, Any]:
    """The ``openapi_extra`` of an operation that takes such a form."""
    schema = ImageFields.model_json_schema()
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    properties = {
        "mask": file | {"description": "PNG or GeoTIFF. Buildings: 0 and 255, or 0 and 1. Classes: their colours or values."},
        "footprints": file | {"description": "GeoJSON of polygons, in place of a mask; with width and height."},
        **schema["properties"],
    }  # fmt: skip
    one = [{"required": ["mask"]}, {"required": ["footprints", "width", "height"]}]
    form = {"type": "object", "properties": properties, "additionalProperties": False, "oneOf": one}
    content = {"multipart/form-data": {"schema": form}}
    return {"requestBody": {"required": True, "description": description, "content": content}}


@asynccontextmanager
async def read_parts(request: Request) -> AsyncIterator[tuple[dict[str, UploadFile], dict[str, str]]]:
    """The file and the fields of a form, by their names; empty fields are left out. ``Problem`` for what is no form."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Problem("no-form", "Send multipart/form-data with a file `mask` (PNG, GeoTIFF) or `footprints` (GeoJSON).")
    try:
        form = await request.form(max_files=1, max_fields=_MOST_FIELDS, max_part_size=_FIELD_BYTES)
    except HTTPException as error:
        detail = str(error.detail)
        if "Too many files" in detail:
            raise Problem("invalid", _ONE_FILE) from error
        kind = "too-large" if "Too many" in detail or "exceeded" in detail else "bad-form"
        raise Problem(kind, f"The form cannot be read: {detail}") from error
    except ValueError as error:
        raise Problem("bad-form", f"The form cannot be read: {str(error)[:200]}") from error
    try:
        files = {name: value for name, value in form.multi_items() if isinstance(value, UploadFile)}
        yield files, {name: value for name, value in form.multi_items() if isinstance(value, str) and value != ""}
    finally:
        await form.close()


@asynccontextmanager
async def read_form(request: Request) -> AsyncIterator[tuple[ImageFields, str, UploadFile]]:
    """The fields, the name that the file is to be stored by, and the file. ``Problem`` for what is no such form."""
    async with read_parts(request) as (files, fields):
        if len(files) != 1 or not files.keys() <= {"mask", "footprints"}:
            raise Problem("invalid", _ONE_FILE)
        try:
            known = ImageFields.model_validate(fields)
        except ValidationError as error:
            raise invalid_fields(error.errors()) from error
        ((field, file),) = files.items()
        if field == "footprints" and not (known.width and known.height):
            raise Problem("invalid", "width, height: footprints need the image's size in pixels.")
        yield known, (FOOTPRINTS if field == "footprints" else mask_name(await _head(file))), file


async def decoded(
    decoders: Decoders,
    folder: Path,
    name: str,
    file: UploadFile,
    fields: ImageFields,
    model: Model,
    most_pixels: int,
) -> DecodedMask:
    """The file as a mask, decoded into ``folder``. ``Problem`` for what is none, or too large."""
    order = Order(
        str(folder), name, plain_classes(model.generator.classes), fields.threshold, most_pixels, fields.width, fields.height,
        fields.pixel_size_m or _called(model.generator.gsd_m), fields.center, fields.crs, fields.left, fields.top,
    )  # fmt: skip

    def store() -> None:
        with open(folder / name, "xb") as stored:
            shutil.copyfileobj(file.file, stored, _COPIED_BYTES)

    await asyncio.to_thread(store)
    await decoders.decode(order)
    mask = DecodedMask(folder)
    _require_pixels(mask, model, most_pixels)
    return mask


def _require_pixels(mask: DecodedMask, model: Model, most_pixels: int) -> None:
    """``Problem`` for a mask of few large pixels, which has too many of the model's own."""
    grid = at_resolution(mask, model.generator, "mask", resample=True).grid
    if grid.height * grid.width > most_pixels:
        raise Problem(
            "too-large",
            f"the mask has {grid.width}×{grid.height} px at the {_called(model.generator.gsd_m):g} m of {model.name}; "
            f"{most_pixels} pixels are the most here. Send a smaller area.",
        )


def _called(gsd_m: float | None) -> float:
    """A resolution as it is called: 0.3 m where 0.299971 m were measured on the ellipsoid."""
    return float(f"{gsd_m or 1.0:.3g}")


async def _head(file: UploadFile) -> bytes:
    head = await file.read(4)
    await file.seek(0)
    return head
