"""Forms of masks: their fields, the file, and how the file becomes a mask."""

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from orthoforge.generation.scene import at_resolution
from orthoforge.masks.classes import plain_classes
from orthoforge.serving.decoded import DecodedMask
from orthoforge.serving.decoding import FOOTPRINTS, Order
from orthoforge.serving.models import Model
from orthoforge.serving.problems import Problem, invalid_fields
from orthoforge.serving.uploads import MASK_NAMES, Decoders, mask_name

_MOST_FIELDS = 32
_FIELD_BYTES = 2**20
_COPIED_BYTES = 2**20
_HEAD_BYTES = 64
_MASK_FILES = "`mask` (PNG, GeoTIFF) or `footprints` (GeoJSON)"
_LEAST_PIXEL_M = 0.001
_JSON_BEGINS = b"{[\x1e<"  # `<` begins what says itself that it is another format
MOST_SEED = 2**53 - 1  # the largest whole number that JavaScript knows exactly


def _center(given: object) -> object:
    return [part.strip() for part in given.split(",")] if isinstance(given, str) else given


def _pixel_size(metres: float) -> float:
    if 0 < metres < _LEAST_PIXEL_M:
        raise ValueError(f"{_LEAST_PIXEL_M:g} m is the least")
    return metres


class MaskFields(BaseModel):
    """The fields beside the file that say how it becomes a mask."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(None, description="Of /v1/models; the first one when left out.")
    threshold: int | None = Field(
        None, ge=1, le=255, description="Values at or above it are building, in a mask for a model of buildings."
    )
    width: int = Field(0, ge=0, le=100_000, description="Of the image in pixels, for footprints.")
    height: int = Field(0, ge=0, le=100_000, description="Of the image in pixels, for footprints.")
    pixel_size_m: Annotated[float, AfterValidator(_pixel_size)] = Field(
        0.0,
        ge=0,
        le=1000,
        allow_inf_nan=False,
        description="Metres, for footprints, with crs, and of a mask whose file does not say it; the model's own when left out.",
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


class JobFields(MaskFields):
    """Those of a large scene."""

    seed: int = Field(0, ge=0, le=MOST_SEED, description="Of all that is random. The same seed gives the same image.")
    sun: float | None = Field(
        None, ge=0, le=360, allow_inf_nan=False, description="Azimuth of the sun, in degrees clockwise from north, for a model "
        "with material. Where it stands in the material when left out.",
    )  # fmt: skip
    style: str | None = Field(None, description="Whose look: one of the model's styles. Any of them, by the seed, when left out.")


class ImageFields(JobFields):
    """Those of images."""

    variants: int = Field(1, ge=1, description="Images, each with the next seed. Several come as a ZIP.")
    format: Literal["png", "tif"] | None = Field(None, description="Of the images in a ZIP; tif when left out.")


Fields = TypeVar("Fields", bound=MaskFields)


def form_schema(description: str, fields: type[MaskFields]) -> dict[str, Any]:
    """The ``openapi_extra`` of an operation that takes such a form with these fields."""
    schema = fields.model_json_schema()
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
async def read_parts(request: Request, wanted: str = _MASK_FILES) -> AsyncIterator[tuple[dict[str, UploadFile], dict[str, str]]]:
    """The file and the fields of a form, by their names. ``Problem`` for what is no form, and for a field that comes twice.

    ``wanted`` says which file is."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise Problem("no-form", f"Send multipart/form-data with a file {wanted}.")
    try:
        form = await request.form(max_files=1, max_fields=_MOST_FIELDS, max_part_size=_FIELD_BYTES)
    except HTTPException as error:
        detail = str(error.detail)
        if "Too many files" in detail:
            raise Problem("invalid", f"Send one file: {wanted}.") from error
        kind = "too-large" if "Too many" in detail or "exceeded" in detail else "bad-form"
        raise Problem(kind, f"The form cannot be read: {detail}") from error
    except ValueError as error:
        raise Problem("bad-form", f"The form cannot be read: {str(error)[:200]}") from error
    try:
        _require_once([name for name, _ in form.multi_items()])
        files = {name: value for name, value in form.multi_items() if isinstance(value, UploadFile)}
        yield files, {name: value for name, value in form.multi_items() if isinstance(value, str)}
    finally:
        await form.close()


@asynccontextmanager
async def read_form(request: Request, kind: type[Fields]) -> AsyncIterator[tuple[Fields, str, UploadFile]]:
    """The fields, the name that the file is to be stored by, and the file. ``Problem`` for what is no such form.

    A field that is empty counts as left out.
    """
    async with read_parts(request) as (files, fields):
        if len(files) != 1 or not files.keys() <= {"mask", "footprints"}:
            raise Problem("invalid", f"Send one file: {_MASK_FILES}.")
        try:
            known = kind.model_validate({name: value for name, value in fields.items() if value or name not in kind.model_fields})
        except ValidationError as error:
            raise invalid_fields(error.errors()) from error
        ((field, file),) = files.items()
        _require_together(field, known)
        yield known, _name(field, await _head(file)), file


def _name(field: str, head: bytes) -> str:
    """The name that a file is stored by. ``Problem`` for one that the field is not for, by its first bytes."""
    begins = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if field == "mask":
        if begins == b"{":
            raise Problem("invalid", "The mask is JSON. Send GeoJSON as `footprints`, with width and height.")
        return mask_name(head)
    if head[:4] in MASK_NAMES:
        raise Problem("invalid", "The footprints are a raster. Send it as `mask`.")
    if begins and begins not in _JSON_BEGINS:
        way_out = "Convert them: ogr2ogr -t_srs EPSG:4326 converted.geojson FILE"
        raise Problem("invalid", f"The footprints begin with {head[:4]!r}; they are no GeoJSON. {way_out}")
    return FOOTPRINTS


def _require_once(names: list[str]) -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise Problem("invalid", f"{twice[0][:80]}: it is given {names.count(twice[0])} times. Send it once.")


def _require_together(file: str, fields: MaskFields) -> None:
    """``Problem`` for fields that say nothing of such a file: who sends them expects that they do."""
    said = fields.model_dump(exclude_defaults=True).keys()
    if file == "footprints":
        if not (fields.width and fields.height):
            raise Problem("invalid", "width, height: footprints need the image's size in pixels.")
        if of_masks := [name for name in ("threshold", "crs", "left", "top") if name in said]:
            raise Problem("invalid", f"{', '.join(of_masks)}: of a mask. Footprints say where they lie; `center` moves the image.")
        return
    if of_footprints := [name for name in ("width", "height", "center") if name in said]:
        raise Problem("invalid", f"{', '.join(of_footprints)}: for footprints. A mask has a size of its own; leave this out.")
    if fields.crs is None and (of_places := [name for name in ("left", "top") if name in said]):
        raise Problem("invalid", f"{', '.join(of_places)}: in which CRS? Send `crs` with it, as in 32633.")


async def decoded(
    decoders: Decoders,
    folder: Path,
    name: str,
    file: UploadFile,
    fields: MaskFields,
    model: Model,
    most_pixels: int,
    way_out: str = "Send a smaller area.",
) -> DecodedMask:
    """The file as a mask, decoded into ``folder``. ``Problem`` for what is none, or too large, which ``way_out`` helps."""
    if fields.threshold is not None and model.generator.classes is not None:
        raise Problem("invalid", f"threshold: of masks of buildings, and {model.name} was trained on classes. Leave it out.")
    order = Order(
        str(folder), name, plain_classes(model.generator.classes), fields.threshold, most_pixels, way_out, fields.width,
        fields.height, fields.pixel_size_m, _called(model.generator.gsd_m), fields.center, fields.crs, fields.left, fields.top,
    )  # fmt: skip

    def store() -> None:
        with open(folder / name, "xb") as stored:
            shutil.copyfileobj(file.file, stored, _COPIED_BYTES)

    await asyncio.to_thread(store)
    await decoders.decode(order)
    mask = DecodedMask(folder)
    _require_pixels(mask, model, most_pixels, way_out)
    return mask


def _require_pixels(mask: DecodedMask, model: Model, most_pixels: int, way_out: str) -> None:
    """``Problem`` for a mask of few large pixels, which has too many of the model's own."""
    grid = at_resolution(mask, model.generator, "mask", resample=True).grid
    if grid.height * grid.width > most_pixels:
        raise Problem(
            "too-large",
            f"the mask has {grid.width}×{grid.height} px at the {_called(model.generator.gsd_m):g} m of {model.name}; "
            f"{most_pixels} pixels are the most here. {way_out}",
        )


def _called(gsd_m: float | None) -> float:
    """A resolution as it is called: 0.3 m where 0.299971 m were measured on the ellipsoid."""
    return float(f"{gsd_m or 1.0:.3g}")


async def _head(file: UploadFile) -> bytes:
    head = await file.read(_HEAD_BYTES)
    await file.seek(0)
    return head
