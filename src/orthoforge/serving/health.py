"""What a server says of itself: its models, its health, its metrics."""

from typing import Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel
from starlette.responses import Response

from orthoforge.serving.problems import Problem, problems
from orthoforge.serving.state import admitted, query_is_known, serving_of

router = APIRouter()


class ClassCard(BaseModel):
    """A class of masks."""

    index: int
    name: str
    colour: tuple[int, int, int]
    value: int | None


class ModelCard(BaseModel):
    """A model that can be asked for images."""

    name: str
    recipe: str
    step: int
    sha256: str
    pixel_size_m: float | None
    bands: int
    styles: list[str]
    classes: list[ClassCard] | None
    seed_changes_the_image: bool
    attribution: str


class ModelList(BaseModel):
    """All of them; the first is taken where none is named."""

    models: list[ModelCard]


class Health(BaseModel):
    """That a server is there."""

    status: str


@router.get(
    "/v1/models", tags=["models"], summary="The models", response_model=ModelList,
    dependencies=[Depends(admitted), Depends(query_is_known)], responses=problems("no-key", "invalid", "too-often"),
)  # fmt: skip
async def get_models(request: Request) -> dict[str, Any]:
    """The models that images can be asked of, with their styles, classes and resolution."""
    return {"models": [model.card() for model in serving_of(request).models.all()]}


@router.get("/healthz", tags=["health"], summary="Whether the process lives")
async def get_health() -> Health:
    """The process answers."""
    return Health(status="alive")


@router.get("/readyz", tags=["health"], summary="Whether requests may come", responses=problems("not-ready", "stopping"))
async def get_ready(request: Request) -> Health:
    """Every device has a worker that is warm, and the server does not stop."""
    serving = serving_of(request)
    serving.require_running()
    if not serving.workers.is_ready:
        raise Problem("not-ready", "A worker is being started; ask again in 5 s.", retry_after_s=5)
    return Health(status="ready")


@router.get(
    "/metrics", tags=["health"], summary="Metrics for Prometheus", response_class=Response, dependencies=[Depends(admitted)],
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems("no-key", "too-often")},
)  # fmt: skip
async def get_metrics(request: Request) -> Response:
    """Requests, seconds, forward passes, what was dropped, the queue's length, the cache of maps, jobs."""
    text, media_type = serving_of(request).metrics.text()
    return Response(text, media_type=media_type)
