"""``/v1/jobs``: large scenes, made in the background."""

import asyncio
import re
import shutil
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.datastructures import UploadFile
from starlette.responses import FileResponse, Response, StreamingResponse

from orthoforge.serving.decoded import PHOTO
from orthoforge.serving.forms import JobFields, decoded, form_schema, read_form
from orthoforge.serving.images import OF_FORMS
from orthoforge.serving.job_runner import RESULT
from orthoforge.serving.job_store import DONE, Job
from orthoforge.serving.leaving import for_client
from orthoforge.serving.problems import Problem, problems
from orthoforge.serving.state import Serving, serving_of

router = APIRouter(tags=["jobs"])
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_RANGE = re.compile(r"([0-9]{0,18})-([0-9]{0,18})")
_PARTS = "Cut it into parts, and send a job for each."
_LOOK_S, _ALIVE_S = 0.1, 15.0
_OF_A_JOB = problems("no-key", "not-found", "invalid", "too-often")


class JobCard(BaseModel):
    """A job: what it makes, and how far it is."""

    id: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    blocks_done: int
    blocks: int
    """0 as long as nobody knows."""
    problem: str
    model: str
    style: str | None
    sun: float | None = None
    seed: int
    width: int
    height: int
    created: datetime
    ended: datetime | None
    result_until: datetime | None


class JobList(BaseModel):
    """All jobs of whoever asks."""

    jobs: list[JobCard]


@router.post(
    "/v1/jobs", status_code=202, summary="A large scene", response_model=JobCard,
    responses={202: {"description": "The job was accepted. `Location` says where it is."},
               **problems(*OF_FORMS, "not-found", "failed", "deadline", "no-room")},
    openapi_extra=form_schema("As for POST /v1/images, for one image of up to some hundred million pixels.", JobFields),
)  # fmt: skip
async def post_job(request: Request, response: Response) -> JobCard:
    """Generate a large scene in the background: a Cloud Optimized GeoTIFF on the mask's grid.

    Its progress is told by `GET /v1/jobs/{id}` and, as server-sent events, `GET /v1/jobs/{id}/events`; the image is
    `GET /v1/jobs/{id}/result`. A job that was accepted is not lost when the server stops or is killed.
    """
    serving = serving_of(request)
    serving.jobs.require_room()
    async with read_form(request, JobFields) as form:
        with serving.workers.place():
            job = await _accepted(request, serving, *form)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return _card(job, serving)


async def _accepted(request: Request, serving: Serving, fields: JobFields, name: str, file: UploadFile) -> Job:
    model = serving.models.find(fields.model)
    serving.models.require_style(model, fields.style)
    serving.models.require_sun(model, fields.sun)
    job_id, place = serving.jobs.new_place()
    try:
        work = decoded(serving.decoders, place, name, file, fields, model, serving.settings.job_pixels, _PARTS)
        mask = await for_client(request, work, serving.settings.deadline_s)
        (place / name).unlink()
        photo = serving.models.photos.get(fields.style)
        if photo is not None:  # which the server may have forgotten when the job's turn comes
            np.save(place / PHOTO, photo, allow_pickle=False)
        grid = mask.grid
        said = {
            "model": model.name, "style": fields.style, "sun": fields.sun, "seed": fields.seed, "width": grid.width,
            "height": grid.height,
        }  # fmt: skip
        job = await asyncio.to_thread(serving.jobs.store.add, job_id, serving.keys.require(request), said)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    serving.jobs.wake()
    return job


@router.get("/v1/jobs", summary="One's jobs", responses=problems("no-key", "invalid", "too-often"))
async def get_jobs(request: Request) -> JobList:
    """The jobs of this key, or of this address without keys; the newest first."""
    serving = serving_of(request)
    return JobList(jobs=[_card(job, serving) for job in serving.jobs.store.all(serving.keys.require(request))])


@router.get("/v1/jobs/{job_id}", summary="A job", responses=_OF_A_JOB)
async def get_job(request: Request, job_id: str) -> JobCard:
    """How far a job is."""
    return _card(_find(request, job_id), serving_of(request))


@router.get(
    "/v1/jobs/{job_id}/events", summary="A job's progress as it happens", response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}, **_OF_A_JOB},
)  # fmt: skip
async def get_events(request: Request, job_id: str) -> StreamingResponse:
    """Server-sent events named `progress`, each with the job as JSON, until it has ended or the server stops."""
    _find(request, job_id)
    return StreamingResponse(_events(request, job_id), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


@router.get(
    "/v1/jobs/{job_id}/result", summary="A job's image", response_class=FileResponse,
    responses={200: {"content": {"image/tiff": _BINARY}}, **_OF_A_JOB, **problems("conflict", "no-range")},
)  # fmt: skip
async def get_result(request: Request, job_id: str) -> FileResponse:
    """The image, a Cloud Optimized GeoTIFF; parts of it by `Range`. It is kept for some hours."""
    job = _find(request, job_id)
    if job.state != DONE:
        why = f": {job.problem}" if job.problem else ""
        raise Problem("conflict", f"The job is {job.state} and has no result{why}.")
    path = serving_of(request).jobs.store.place(job.id) / RESULT
    if "range" in request.headers and "if-range" not in request.headers:
        _require_range(request.headers["range"], path.stat().st_size)
    return FileResponse(path, media_type="image/tiff", filename="image.tif")


def _require_range(wanted: str, size: int) -> None:
    """``Problem`` for a ``Range`` that cannot be read, or that no byte of a file of ``size`` is in."""
    parts = [_RANGE.fullmatch(part.strip()) for part in wanted.strip().lower().removeprefix("bytes=").split(",")]
    for part in parts:
        first, last = part.groups() if part else ("", "")
        if not first + last or (first and last and int(last) < int(first)):
            raise Problem("invalid", f"Range: {wanted[:80]!r} cannot be read. Write bytes as in `bytes=0-99`.")
        if int(first) >= size if first else int(last) == 0:
            raise Problem("no-range", f"Range: the file ends at byte {size}.")


@router.delete("/v1/jobs/{job_id}", summary="Cancel a job", responses=_OF_A_JOB)
async def delete_job(request: Request, job_id: str) -> JobCard:
    """End a job that waits or runs. One that has ended stays as it is."""
    job, serving = _find(request, job_id), serving_of(request)
    serving.jobs.cancel(job.id)
    return _card(_find(request, job_id), serving)


async def _events(request: Request, job_id: str) -> AsyncIterator[str]:
    serving, told, said_at = serving_of(request), None, time.monotonic()
    while not serving.is_stopping:
        job = serving.jobs.store.get(job_id)
        if job is None:
            return
        if job != told:
            told, said_at = job, time.monotonic()
            yield f"event: progress\ndata: {_card(job, serving).model_dump_json()}\n\n"
            if job.has_ended:
                return
        elif time.monotonic() - said_at > _ALIVE_S:
            said_at = time.monotonic()
            yield ": alive\n\n"
        await asyncio.sleep(_LOOK_S)


def _find(request: Request, job_id: str) -> Job:
    """A job of whoever asks. ``Problem`` for any other."""
    serving = serving_of(request)
    job = serving.jobs.store.get(job_id)
    if job is None or job.owner != serving.keys.require(request):
        raise Problem("not-found", "There is no such job; results are kept for some hours.")
    return job


def _card(job: Job, serving: Serving) -> JobCard:
    until = None if job.ended is None or job.state != DONE else job.ended + 3600 * serving.settings.result_hours
    times: dict[str, Any] = {
        name: None if at is None else datetime.fromtimestamp(at, UTC)
        for name, at in (("created", job.created), ("ended", job.ended), ("result_until", until))
    }
    own: dict[str, Any] = {name: getattr(job, name) for name in ("id", "state", "blocks_done", "blocks", "problem")}
    return JobCard(**own, **job.request, **times)
