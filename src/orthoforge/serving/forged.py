"""``POST /v1/masks/forged``: a new mask that looks like a place's own."""

from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from orthoforge.serving.forge import ForgedFields
from orthoforge.serving.leaving import for_client
from orthoforge.serving.negotiation import chosen
from orthoforge.serving.problems import problems
from orthoforge.serving.state import serving_of
from orthoforge.serving.writing import MEDIA_TYPES

router = APIRouter(tags=["masks"])
GEOJSON = "application/geo+json"
_FORMS: dict[str, Literal["png", "tif", "geojson"]] = {MEDIA_TYPES["png"]: "png", MEDIA_TYPES["tif"]: "tif", GEOJSON: "geojson"}
_BINARY = {"schema": {"type": "string", "format": "binary"}}


@router.post(
    "/v1/masks/forged", summary="A new mask", response_class=Response,
    responses={200: {"content": {"image/png": _BINARY, "image/tiff": _BINARY, GEOJSON: {"schema": {"type": "object"}}}},
               **problems("no-key", "not-found", "not-acceptable", "slow-body", "too-large", "invalid", "too-often", "failed",
                          "busy", "stopping", "deadline", "no-room")},
)  # fmt: skip
async def post_forged(request: Request, fields: ForgedFields) -> Response:
    """Forge a mask of buildings like those of a layer, or without layers of a simulated town.

    `Accept` says the form: `image/png` (the default), `image/tiff` with its place, or `application/geo+json`, its footprints. The
    same fields give the same mask.
    """
    serving = serving_of(request)
    serving.require_running()
    media_type = chosen(request.headers.get("accept"), list(_FORMS))
    data = await for_client(request, serving.forge.mask(fields, _FORMS[media_type]), serving.settings.deadline_s)
    return Response(data, 200, {"Orthoforge-Seed": str(fields.seed)}, media_type)
