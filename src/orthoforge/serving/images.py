"""``POST /v1/images``: a mask or footprints in, an image out."""

import asyncio
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile
from starlette.responses import Response

from orthoforge.generation.chosen_styles import Style
from orthoforge.serving.decoded import DecodedMask
from orthoforge.serving.forms import ImageFields, decoded, form_schema, read_form
from orthoforge.serving.leaving import for_client
from orthoforge.serving.models import Model
from orthoforge.serving.negotiation import chosen
from orthoforge.serving.problems import Problem, problems
from orthoforge.serving.scenes import ServedScene
from orthoforge.serving.state import Serving, serving_of
from orthoforge.serving.writing import MEDIA_TYPES, ZIP, Format, encoded, zipped

router = APIRouter(tags=["images"])
OF_FORMS = ("bad-form", "no-key", "slow-body", "too-large", "no-form", "invalid", "too-often", "busy", "stopping")
_BINARY = {"schema": {"type": "string", "format": "binary"}}


@router.post(
    "/v1/images",
    summary="An image of a mask",
    response_class=Response,
    responses={
        200: {
            "description": "The image; of several variants, or where a ZIP is asked for, all of them in one.",
            "content": {"image/png": _BINARY, "image/tiff": _BINARY, "application/zip": _BINARY},
            "headers": {
                "Orthoforge-Model": {"schema": {"type": "string"}},
                "Orthoforge-Seed": {"schema": {"type": "integer"}},
            },
        },
        **problems(*OF_FORMS, "not-found", "not-acceptable", "failed", "deadline", "no-room"),
    },
    openapi_extra=form_schema("The mask as a file, or footprints, and how its image is to be.", ImageFields),
)
async def post_image(request: Request) -> Response:
    """Generate an image of a mask (PNG, GeoTIFF) or of footprints (GeoJSON).

    `Accept` says the form: `image/png` (the default), `image/tiff` (a Cloud Optimized GeoTIFF, on the mask's grid), or
    `application/zip` for several variants. The same mask, model, style, sun and seed give the same image.
    """
    serving = serving_of(request)
    serving.workers.require_place()
    async with read_form(request, ImageFields) as form:
        with serving.workers.place():
            return await _answer(request, serving, *form)


async def _answer(request: Request, serving: Serving, fields: ImageFields, name: str, file: UploadFile) -> Response:
    model = serving.models.find(fields.model)
    style = serving.models.require_style(model, fields.style)
    serving.models.require_sun(model, fields.sun)
    media_type = _media_type(request.headers.get("accept"), fields, serving)
    if fields.variants > 1 and not model.generator.is_noisy:
        raise Problem("invalid", f"variants: {model.name} has no noise; its variants would be one image.")
    with serving.decoders.folder() as folder:
        work = _images(serving, folder, fields, model, style, media_type, lambda: decoded(
            serving.decoders, folder, name, file, fields, model, serving.settings.image_pixels, _smaller_or_job(serving)
        ))  # fmt: skip
        body = await for_client(
            request, work, serving.settings.deadline_s, "Ask for a smaller image, or send it as a job (POST /v1/jobs)."
        )
    headers = {"Orthoforge-Model": model.name, "Orthoforge-Seed": str(fields.seed), "Cache-Control": "no-store"}
    return Response(body, 200, headers, media_type)


async def _images(
    serving: Serving, folder: Path, fields: ImageFields, model: Model, style: Style, media_type: str, decode: Any
) -> bytes:
    """What is sent."""
    mask: DecodedMask = await decode()
    form: Format = fields.format or "tif" if media_type == ZIP else "png" if media_type == MEDIA_TYPES["png"] else "tif"
    if form == "png" and model.generator.bands != 3:
        raise Problem("not-acceptable", f"The images of {model.name} have {model.generator.bands} bands; ask for image/tiff.")
    images = []
    for seed in range(fields.seed, fields.seed + fields.variants):
        served = ServedScene(serving.models, serving.workers, model, fields.style, mask, seed, sun=fields.sun)
        made = await served.image(serving.settings.deadline_s, serving.settings.small_pixels)
        images.append((f"seed-{seed}.{form}", await asyncio.to_thread(encoded, made, served.scene, style, form, folder)))
    return zipped(images) if media_type == ZIP else images[0][1]


def _media_type(accept: str | None, fields: ImageFields, serving: Serving) -> str:
    if fields.variants > serving.settings.variants:
        raise Problem("invalid", f"variants: {fields.variants}; {serving.settings.variants} are the most of one request.")
    media_type = chosen(accept, [ZIP] if fields.variants > 1 else [*MEDIA_TYPES.values(), ZIP])
    if fields.format is not None and media_type != ZIP:
        raise Problem(
            "invalid", f"format: of images in a ZIP, and this one comes as {media_type}. Say by `Accept` what it is to be."
        )
    return media_type


def _smaller_or_job(serving: Serving) -> str:
    return f"Send a smaller area, or a job (POST /v1/jobs), which takes up to {serving.settings.job_pixels} pixels."
