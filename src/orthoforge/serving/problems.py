"""Errors as the server tells them: ``application/problem+json`` (RFC 9457), each kind with a status, a title and an example."""

import errno
import json
import logging
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from orthoforge.errors import OrthoforgeError, http_status, is_out_of_memory
from orthoforge.serving.wording import over_http

log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
_PREFIX = "urn:orthoforge:problem:"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_SHOWN = 200  # characters of an address
_STATUS_OF_A_CLIENT_THAT_LEFT = 499  # nobody reads it; it is for the metrics


class Kind(NamedTuple):
    """A kind of error: its HTTP status, its title, and what is said of one, for the documentation."""

    status: int
    title: str
    example: str


KINDS: dict[str, Kind] = {
    "bad-form": Kind(400, "The form cannot be read", "The form cannot be read: Missing boundary in multipart."),
    "no-key": Kind(401, "An API key is needed", "Send an API key of this server as `Authorization: Bearer KEY`."),
    "not-found": Kind(404, "Not found", "No model is called 'berlin'; there are: orthoforge-s."),
    "no-method": Kind(405, "Method not allowed", "GET is not a method of /v1/images; POST is."),
    "not-acceptable": Kind(406, "No such form of answer", "Several variants come as application/zip; ask for that, or for one."),
    "slow-body": Kind(408, "The request took too long to arrive", "The body had not arrived after 30 s."),
    "conflict": Kind(409, "Not in this state", "The job is running and has no result yet."),
    "too-large": Kind(413, "Too large", "The mask has 9000×9000 px; 4194304 pixels are the most. Larger ones are POST /v1/jobs."),
    "no-range": Kind(416, "No such part", "Range: the file ends at byte 1079172."),
    "no-form": Kind(415, "Not a form", "Send multipart/form-data."),
    "invalid": Kind(422, "Cannot be used", "mask.tif: value 37 in 0.3 % of pixels; 0, 1 and 255 are expected."),
    "too-often": Kind(429, "Too many requests", "60 requests a minute are the most; ask again in 3 s."),
    "failed": Kind(500, "The server failed", "The image could not be made. The server's log says why."),
    "busy": Kind(503, "The queue is full", "64 requests are waiting; ask again in 8 s."),
    "stopping": Kind(503, "The server is stopping", "The server is stopping; ask again in 10 s."),
    "not-ready": Kind(503, "Not ready", "The model is being loaded; ask again in 5 s."),
    "deadline": Kind(504, "The deadline has passed", "The image was not made within 60 s."),
    "no-room": Kind(507, "Not enough memory or disk", "The disk has no room for the result."),
}
_KIND_OF_STATUS = {400: "bad-form", 401: "no-key", 404: "not-found", 405: "no-method", 406: "not-acceptable", 409: "conflict",
                   413: "too-large", 415: "no-form", 416: "no-range", 422: "invalid", 507: "no-room"}  # fmt: skip


class Problem(Exception):
    """An error that a client is told. ``retry_after_s`` says when to ask again; ``errors`` which fields are wrong, and how."""

    def __init__(
        self, kind: str, detail: str, *, retry_after_s: float | None = None, errors: Sequence[Mapping[str, str]] = ()
    ) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.retry_after_s, self.errors = kind, detail, retry_after_s, errors

    @property
    def status(self) -> int:
        """The HTTP status."""
        return KINDS[self.kind].status

    def response(self) -> Response:
        """What is sent."""
        body: dict[str, Any] = {
            "type": _PREFIX + self.kind, "title": KINDS[self.kind].title, "status": self.status, "detail": self.detail,
        }  # fmt: skip
        if self.errors:
            body["errors"] = [dict(error) for error in self.errors]
        headers = {"Cache-Control": "no-store"}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, round(self.retry_after_s)))
        if self.kind == "no-key":
            headers["WWW-Authenticate"] = "Bearer"
        return Response(json.dumps(body, ensure_ascii=False), self.status, headers, MEDIA_TYPE)


class ClientLeft(Exception):
    """Nobody waits for the answer any more."""


def problem_of(error: Exception) -> Problem:
    """What a client is told of an error of ours, or of one that nobody foresaw."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, OrthoforgeError):
        status = http_status(error)
        return Problem(_KIND_OF_STATUS.get(status, "failed"), over_http(str(error)) if status != 500 else KINDS["failed"].example)
    if is_out_of_memory(error):
        return Problem("no-room", "There is not enough memory for this. Ask for something smaller.")
    if isinstance(error, OSError) and error.errno in _FULL:
        return Problem("no-room", "The server's disk is full. Ask again when whoever runs it has made room.")
    return Problem("failed", KINDS["failed"].example)


def without_paths(words: str, data: Path) -> str:
    """The same words without the server's own paths, which are nobody's business."""
    places = "|".join(re.escape(str(place)) for place in {data, data.resolve()} if place.name)
    return re.sub(rf"(?:{places})[^\s:;,]*", "the server's disk", words) if places else words


def problems(*kinds: str) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of an operation that may answer with these kinds, with an example of each."""
    of_status: dict[int | str, list[str]] = defaultdict(list)
    for kind in kinds:
        of_status[KINDS[kind].status].append(kind)
    return {status: _response(named) for status, named in of_status.items()}


def _response(kinds: Sequence[str]) -> dict[str, Any]:
    examples = {kind: {"value": json.loads(bytes(Problem(kind, KINDS[kind].example).response().body))} for kind in kinds}
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}}
    retried = any(KINDS[kind].status in (429, 503) for kind in kinds)
    headers = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}} if retried else {}
    return {"description": " / ".join(KINDS[kind].title for kind in kinds), "content": content, "headers": headers}


SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "enum": [_PREFIX + kind for kind in KINDS]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "The cause, and the way out."},
        "errors": {
            "type": "array",
            "items": {"type": "object", "properties": {"field": {"type": "string"}, "message": {"type": "string"}}},
        },
    },
}


def install(app: FastAPI) -> None:
    """Let the app tell all errors as problems."""

    async def told(request: Request, error: Exception) -> Response:
        problem = problem_of(error)
        problem.detail = without_paths(problem.detail, request.app.state.serving.settings.data)
        if problem.status == KINDS["failed"].status:
            log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem.response()

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, Problem):  # of a body that was too slow or too large, which FastAPI takes for a broken one
            return error.__cause__.response()
        if error.status_code == 400 and isinstance(error.__cause__, (ValueError, RecursionError)):  # of a body of JSON
            return Problem("invalid", "The body is no JSON in UTF-8, or has too many brackets in each other.").response()
        kind = _KIND_OF_STATUS.get(error.status_code, "failed")
        detail = str(error.detail)
        if kind == "not-found" and detail == "Not Found":
            detail = f"There is nothing at {request.url.path[:_SHOWN]}; /openapi.json lists what there is."
        if kind == "no-method":
            detail = (
                f"{request.method[:_SHOWN]} is not a method of {request.url.path[:_SHOWN]}; /openapi.json lists those that are."
            )
        response = Problem(kind, detail).response()
        response.headers.update({name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"})
        return response

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        # The first part of a place says whether it is in the path, the query or the body.
        return invalid_fields([one | {"loc": one["loc"][1:]} for one in error.errors()]).response()

    async def left(request: Request, error: Exception) -> Response:
        return Response(status_code=_STATUS_OF_A_CLIENT_THAT_LEFT)

    app.add_exception_handler(Problem, told)
    app.add_exception_handler(OrthoforgeError, told)
    app.add_exception_handler(ClientLeft, left)
    app.add_exception_handler(ClientDisconnect, left)  # while its body was read
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, told)


_NO_JSON = "The body is to be a JSON object. Send it with `Content-Type: application/json`."


def invalid_fields(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """What pydantic found wrong, field by field."""
    found = []
    for error in errors:
        place = [str(part) for part in error["loc"]]
        message = _NO_JSON if not place else str(error["msg"])
        found.append({"field": ".".join(place), "message": message})
    said = "; ".join(f"{one['field']}: {one['message']}" if one["field"] else one["message"] for one in found)
    return Problem("invalid", said, errors=found)
