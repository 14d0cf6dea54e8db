"""A server (``orthoforge serve``) over HTTP, by the standard library alone. Knows nothing of QGIS."""

from __future__ import annotations

import http.client
import json
import secrets
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

_LOOK_S = 0.3
_BUSY = (429, 503)
_MOST_TRIES = 5
_MOST_WAIT_S = 60.0


class ServerError(Exception):
    """What the server says when it refuses or fails, as it says it."""


class ServerCancelledError(Exception):
    """The job was cancelled here."""


class Server:
    """Asks the server at ``url``. ``headers`` go along with each request, such as that of an API key."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, *, timeout_s: float = 60.0) -> None:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise ServerError(f"{url!r} is no address of a server. It looks like http://127.0.0.1:8000.")
        self.url, self._headers, self._timeout_s = url.rstrip("/"), dict(headers or {}), timeout_s

    def models(self) -> list[dict]:
        """Each with its ``name``, ``styles`` and ``pixel_size_m``."""
        return self._json("GET", "/v1/models")["models"]

    def model(self, name: str) -> dict:
        """That of this name; the first one where none is named."""
        models = self.models()
        found = next((one for one in models if one["name"] == name or not name), None)
        if found is None:
            raise ServerError(f"No model is called {name!r}; there are: {', '.join(one['name'] for one in models)}.")
        return found

    def maps(self) -> list[str]:
        """The names of the living maps."""
        return [one["name"] for one in self._json("GET", "/v1/maps")["maps"]]

    def tilejson(self, name: str, *, masks: bool = False, **query: str | int | None) -> dict:
        """TileJSON of a living map, or of its mask; ``query`` may name ``model``, ``style`` and ``seed``."""
        said = urllib.parse.urlencode({key: value for key, value in query.items() if value not in (None, "")})
        path = f"/v1/maps/{urllib.parse.quote(name, safe='')}/{'masks/' if masks else ''}tilejson.json"
        return self._json("GET", f"{path}?{said}" if said else path)

    def forged_mask(self, path: Path, **fields: str | int | float) -> None:
        """Write a new mask like those of a map, a GeoTIFF, to ``path``."""
        body = json.dumps(fields).encode()
        headers = {"Content-Type": "application/json", "Accept": "image/tiff"}
        path.write_bytes(self._ask("POST", "/v1/masks/forged", body, headers))

    def image(
        self,
        source: Path,
        path: Path,
        *,
        is_cancelled: Callable[[], bool],
        progress: Callable[[float], None],
        **fields: str | int | float | None,
    ) -> None:
        """Write the image of a mask or of footprints (GeoJSON), to ``path``, by a job. ``ServerCancelledError`` if cancelled."""
        body, headers = _form(source, fields)
        job = self._json("POST", "/v1/jobs", body, headers)
        place = f"/v1/jobs/{job['id']}"
        while job["state"] in ("queued", "running"):
            if is_cancelled():
                self._ask("DELETE", place)
                raise ServerCancelledError
            if job["blocks"]:
                progress(job["blocks_done"] / job["blocks"])
            time.sleep(_LOOK_S)
            job = self._json("GET", place)
        if job["state"] != "done":
            raise ServerError(job["problem"] or f"The job is {job['state']}.")
        with self._open("GET", f"{place}/result") as answer, open(path, "wb") as file:
            shutil.copyfileobj(answer, file)
            if answer.length:  # a connection that was lost is taken for the end
                raise ServerError(f"{self.url}: the connection ended in the middle of the image. Try again.")

    def _ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> bytes:
        try:
            with self._open(method, path, body, headers) as answer:
                return answer.read()
        except (http.client.HTTPException, OSError) as error:
            raise ServerError(f"{self.url}: the connection ended in the middle of an answer ({error}). Try again.") from error

    def _json(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None):
        """An answer that is a JSON object."""
        try:
            said = json.loads(self._ask(method, path, body, headers))
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise ServerError(f"{self.url}: answers, but not as a server of orthoforge does. Is it another one?")
        return said

    def _open(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None):
        request = urllib.request.Request(self.url + path, body, dict(headers or {}), method=method)
        for name, value in self._headers.items():  # the key is not for whom the server sends us on to
            request.add_unredirected_header(name, value)
        for tries_left in range(_MOST_TRIES, -1, -1):
            try:
                return urllib.request.urlopen(request, timeout=self._timeout_s)
            except urllib.error.HTTPError as error:
                with error:
                    if error.code not in _BUSY or not tries_left:
                        raise ServerError(_told(error)) from None
                    time.sleep(_seconds(error.headers.get("Retry-After")))
            except OSError as error:
                reason = getattr(error, "reason", error)
                raise ServerError(
                    f"{self.url}: the server cannot be reached ({reason}). Start it with `orthoforge serve`."
                ) from error
        raise AssertionError("the last try returns or raises")


def _seconds(retry_after: str | None) -> float:
    """What a header says; a second for one that says none, such as a date."""
    try:
        return min(max(0.0, float(retry_after or 1)), _MOST_WAIT_S)
    except ValueError:
        return 1.0


def _form(source: Path, fields: Mapping[str, str | int | float | None]) -> tuple[bytes, dict[str, str]]:
    """A form of a file and fields, and its headers."""
    name = "footprints" if source.suffix == ".geojson" else "mask"
    boundary = secrets.token_hex(16)
    head = 'Content-Disposition: form-data; name="{}"'
    said = {key: value for key, value in fields.items() if value not in (None, "")}
    parts = [f"--{boundary}\r\n{head.format(key)}\r\n\r\n{value}\r\n".encode() for key, value in said.items()]
    parts += [f'--{boundary}\r\n{head.format(name)}; filename="{name}"\r\n\r\n'.encode(), source.read_bytes()]
    body = b"".join([*parts, f"\r\n--{boundary}--\r\n".encode()])
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def _told(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["detail"])
    except (ValueError, KeyError, TypeError):
        return f"The server answered {error.code} {error.reason}."
