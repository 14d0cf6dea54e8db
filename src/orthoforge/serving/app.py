"""The application: what a server with these generators and settings answers."""

import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anyio.to_thread
from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orthoforge.serving import forged, health, images, jobs, maps, masks, page_files, problems
from orthoforge.serving.heads import Heads
from orthoforge.serving.job_runner import JobRunner
from orthoforge.serving.limits import BodyLimits
from orthoforge.serving.metrics import Metrics
from orthoforge.serving.models import Models
from orthoforge.serving.settings import Settings
from orthoforge.serving.state import Serving, admitted, query_is_known
from orthoforge.trained_generator import TrainedGenerator

DESCRIPTION = "Masks to orthophotos, a map that is generated as one pans over it, and jobs for large scenes."


def make_app(generators: Mapping[str, TrainedGenerator], settings: Settings, layers: Sequence[Path] = ()) -> FastAPI:
    """An application that serves ``generators`` by their names, and living maps of ``layers``."""
    serving = Serving(Models(generators, settings.devices), settings, layers)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        settings.data.mkdir(parents=True, exist_ok=True)
        serving.decoders.start()
        serving.forge.start()
        serving.workers.start()
        serving.jobs = JobRunner(serving)
        serving.jobs.start()
        try:
            yield
        finally:
            serving.stop()
            await serving.jobs.close()
            serving.maps.leave()
            await anyio.to_thread.run_sync(serving.workers.close)
            serving.decoders.close()
            serving.forge.close()
            serving.maps.close()

    app = FastAPI(
        title="Orthoforge", version=version("orthoforge"), description=DESCRIPTION, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.state.serving = serving
    problems.install(app)
    app.include_router(health.router)
    for router in (images.router, jobs.router, maps.router, forged.router, masks.router):
        app.include_router(router, dependencies=[Depends(admitted), Depends(query_is_known)])
    page_files.install(app)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    app.add_middleware(BodyLimits, most_bytes=settings.upload_bytes, most_s=settings.upload_s)
    if settings.cors:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(settings.cors), allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "X-API-Key"],
            expose_headers=["Location", "Orthoforge-Grid", "Orthoforge-Model", "Orthoforge-Seed", "Retry-After"],
        )  # fmt: skip
    app.add_middleware(Heads)
    app.add_middleware(_Counted, metrics=serving.metrics)
    return app


class _Counted:
    """ASGI middleware: counts requests by operation and status, and says what browsers may do with answers."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.monotonic(), 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-content-type-options", b"nosniff")]
            await send(message)

        try:
            await self.app(scope, receive, counted)
        finally:
            route = scope.get("route")
            operation = f"{scope['method']} {route.path}" if route is not None else "none"
            self._metrics.requests.labels(operation, str(status)).inc()
            self._metrics.seconds.labels(operation).observe(time.monotonic() - began)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The document, with the schema of problems in place of FastAPI's own errors."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas["Problem"] = problems.SCHEMA
        for operations in document["paths"].values():
            for operation in operations.values():
                if "HTTPValidationError" in str(operation["responses"].get("422")):
                    del operation["responses"]["422"]  # of parameters that are strings, and any will do
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{}, {"key": []}]
        app.openapi_schema = document
    return app.openapi_schema
