"""The page at ``/`` and its map at ``/map``: files of the package, which load nothing from elsewhere."""

from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parent / "page"
# Scripts and styles are files of this server alone; pictures may also be made by the page itself.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def get_page() -> FileResponse:
    """The place to draw."""
    return FileResponse(FOLDER / "index.html", headers=_HEADERS)


@router.get("/map")
async def get_map() -> FileResponse:
    """The living maps."""
    return FileResponse(FOLDER / "map.html", headers=_HEADERS)


class _Files(StaticFiles):
    """Files that browsers ask for again before they use them: a new version of the package is a new page."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        return response


def install(app: FastAPI) -> None:
    """Let the app answer with the page."""
    app.include_router(router)
    app.mount("/page", _Files(directory=FOLDER), name="page")
