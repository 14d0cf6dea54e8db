"""A client of ``orthoforge serve``, of the standard library alone.

server = Client("http://127.0.0.1:8000")
image = server.image("mask.tif", seed=7, form="tif")      # bytes of a GeoTIFF
server.job("town.tif").wait().save("town_image.tif")
"""

import http.client
import json
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orthoforge.errors import DataError, OrthoforgeError, ResourceError

_MEDIA_TYPES = {"png": "image/png", "tif": "image/tiff", "zip": "application/zip", "geojson": "application/geo+json"}
_LOOK_S = 0.5
_BUSY = (429, 503)
_MOST_WAIT_S = 300.0
_COPIED_BYTES = 2**20


class ServerError(OrthoforgeError):
    """What the server says when it refuses or fails: ``status``, ``kind`` and, in words, the cause and the way out."""

    def __init__(self, status: int, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.kind = status, kind


class Client:
    """Asks a server. ``retries`` times it asks again where the server is busy, when the server says. ``key`` is an API key.

    Raises ``ServerError`` for what the server refuses, ``ResourceError`` when it cannot be reached, ``DataError`` for a
    file that is not there.
    """

    def __init__(
        self, url: str = "http://127.0.0.1:8000", *, key: str | None = None, timeout: float = 120.0, retries: int = 3
    ) -> None:
        self._url, self._key, self._timeout, self._retries = url.rstrip("/"), key, timeout, retries

    def models(self) -> list[dict[str, Any]]:
        """The models that images can be asked of."""
        found: list[dict[str, Any]] = self._json("GET", "/v1/models")["models"]
        return found

    def image(self, mask: str | Path | bytes, *, form: str = "png", **fields: Any) -> bytes:
        """An image of a mask (PNG, GeoTIFF) or of footprints (GeoJSON, with ``width`` and ``height``), as ``form``: png, tif, zip.

        ``fields`` are those of ``POST /v1/images``: ``model``, ``seed``, ``style``, ``variants`` (then a zip) and others.
        """
        form = "zip" if fields.get("variants", 1) > 1 else form
        return self._ask("POST", "/v1/images", _form(mask, fields), {"Accept": _MEDIA_TYPES[form]})

    def job(self, mask: str | Path | bytes, **fields: Any) -> "RemoteJob":
        """A large scene, made in the background."""
        return RemoteJob(self, self._json("POST", "/v1/jobs", _form(mask, fields)))

    def find_job(self, job_id: str) -> "RemoteJob":
        """A job that was sent before."""
        return RemoteJob(self, self._json("GET", f"/v1/jobs/{urllib.parse.quote(job_id, safe='')}"))

    def forged_mask(self, *, form: str = "png", **fields: Any) -> bytes:
        """A new mask, as ``form``: png, tif or geojson. ``fields`` are those of ``POST /v1/masks/forged``."""
        body = json.dumps(fields).encode(), "application/json"
        return self._ask("POST", "/v1/masks/forged", body, {"Accept": _MEDIA_TYPES[form]})

    def tile(self, name: str, z: int, x: int, y: int, **query: Any) -> bytes:
        """A tile of a living map, as PNG."""
        words = f"?{urllib.parse.urlencode(query)}" if query else ""
        return self._ask("GET", f"/v1/maps/{urllib.parse.quote(name, safe='')}/tiles/{z}/{x}/{y}.png{words}")

    def _ask(
        self, method: str, path: str, body: tuple[bytes, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        for left in range(self._retries, -1, -1):
            try:
                with self._open(method, path, body, headers) as answer:
                    data: bytes = answer.read()
                    return data
            except urllib.error.HTTPError as error:
                with error:
                    if error.code not in _BUSY or not left:
                        raise _told(error) from None
                    time.sleep(_seconds(error.headers.get("Retry-After")))
            except (http.client.HTTPException, OSError) as error:
                raise self._lost(error) from error
        raise AssertionError("the last try returns or raises")

    def _open(self, method: str, path: str, body: tuple[bytes, str] | None, headers: Mapping[str, str] | None) -> Any:
        data, media_type = body or (None, None)
        sent = dict(headers or {})
        sent |= {"Content-Type": media_type} if media_type else {}
        request = urllib.request.Request(self._url + path, data, sent, method=method)
        if self._key:  # not for whom the server sends us on to
            request.add_unredirected_header("Authorization", f"Bearer {self._key}")
        try:
            return urllib.request.urlopen(request, timeout=self._timeout)
        except urllib.error.HTTPError:
            raise
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise ResourceError(
                f"{self._url}: the server cannot be reached ({reason}). Start it with `orthoforge serve RUN`."
            ) from error

    def _json(self, method: str, path: str, body: tuple[bytes, str] | None = None) -> Any:
        try:
            return json.loads(self._ask(method, path, body))
        except ValueError as error:
            raise ResourceError(f"{self._url}: answers, but not as a server of orthoforge does. Is it another one?") from error

    def _lost(self, error: Exception) -> ResourceError:
        return ResourceError(f"{self._url}: the connection ended in the middle of an answer ({error}). Ask again.")


class RemoteJob:
    """A job on a server: ``card`` is what the server said of it last."""

    def __init__(self, client: Client, card: dict[str, Any]) -> None:
        self._client, self.card = client, card
        self._path = f"/v1/jobs/{card['id']}"

    @property
    def id(self) -> str:
        """By which ``Client.find_job`` finds it again."""
        return str(self.card["id"])

    def refresh(self) -> "RemoteJob":
        """Ask how far it is."""
        self.card = self._client._json("GET", self._path)
        return self

    def wait(self, most_s: float = float("inf")) -> "RemoteJob":
        """Wait for its end. ``ServerError`` when it failed or was cancelled, ``ResourceError`` when that takes over ``most_s``."""
        until = time.monotonic() + most_s
        while self.refresh().card["state"] in ("queued", "running"):
            if time.monotonic() > until:
                raise ResourceError(f"job {self.id} has not ended within {most_s:g} s: {self.card['state']}.")
            time.sleep(_LOOK_S)
        if self.card["state"] != "done":
            raise ServerError(409, "conflict", f"job {self.id} is {self.card['state']}. {self.card['problem']}".strip())
        return self

    def cancel(self) -> None:
        """End it."""
        self.card = self._client._json("DELETE", self._path)

    def save(self, path: str | Path) -> Path:
        """Write its image, a GeoTIFF, to ``path``, piece by piece."""
        path = Path(path)
        partial = path.with_name(f".{path.name}.partial")
        try:
            with self._client._open("GET", f"{self._path}/result", None, None) as answer, open(partial, "wb") as file:
                while piece := answer.read(_COPIED_BYTES):
                    file.write(piece)
                if answer.length:  # `read` of so many bytes takes a connection that was lost for the end
                    raise self._client._lost(ConnectionError(f"{answer.length} bytes are missing"))
            partial.replace(path)
        except urllib.error.HTTPError as error:
            with error:
                raise _told(error) from None
        except http.client.HTTPException as error:
            raise self._client._lost(error) from error
        finally:
            partial.unlink(missing_ok=True)
        return path


def _seconds(retry_after: str | None) -> float:
    """What a header says; a second for one that says none, such as a date."""
    try:
        return min(max(0.0, float(retry_after or 1)), _MOST_WAIT_S)
    except ValueError:
        return 1.0


def _form(mask: str | Path | bytes, fields: Mapping[str, Any]) -> tuple[bytes, str]:
    """A form of a file and fields, and its media type."""
    data = mask if isinstance(mask, bytes) else _read(Path(mask))
    name = "footprints" if data.lstrip()[:1] == b"{" else "mask"
    boundary = secrets.token_hex(16)
    head = 'Content-Disposition: form-data; name="{}"'
    parts = [
        f"--{boundary}\r\n{head.format(field)}\r\n\r\n{value}\r\n".encode() for field, value in fields.items() if value is not None
    ]
    parts += [f'--{boundary}\r\n{head.format(name)}; filename="{name}"\r\n\r\n'.encode(), data, f"\r\n--{boundary}--\r\n".encode()]
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error


def _told(error: urllib.error.HTTPError) -> ServerError:
    try:
        said = json.loads(error.read())
        return ServerError(error.code, str(said["type"]).rpartition(":")[2], str(said["detail"]))
    except (ValueError, KeyError, TypeError):
        return ServerError(error.code, "failed", f"the server answered {error.code} {error.reason}.")
