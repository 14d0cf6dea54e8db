"""Who may ask, how often, and how much a body may hold."""

import asyncio
import hashlib
import hmac
import math
import time
from collections import OrderedDict
from collections.abc import Sequence

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orthoforge.serving.problems import Problem

_MINUTE_S = 60.0
_MOST_CALLERS = 10_000


class BodyLimits:
    """ASGI middleware: 413 for a body of more than ``most_bytes``, 408 for one that takes longer than ``most_s`` to arrive."""

    def __init__(self, app: ASGIApp, *, most_bytes: int, most_s: float) -> None:
        self.app, self._most_bytes, self._most_s = app, most_bytes, most_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._most_bytes:
            await self._too_large().response()(scope, receive, send)
            return
        until, read, is_whole = time.monotonic() + self._most_s, 0, False

        async def limited() -> Message:
            nonlocal read, is_whole
            if is_whole:  # what comes now is that the client has left, whenever that is
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, until - time.monotonic()))
            except TimeoutError:
                raise Problem("slow-body", f"The body had not arrived after {self._most_s:g} s.") from None
            read += len(message.get("body", b""))
            if read > self._most_bytes:
                raise self._too_large()
            is_whole = message["type"] == "http.disconnect" or not message.get("more_body", False)
            return message

        await self.app(scope, limited, send)

    def _too_large(self) -> Problem:
        return Problem("too-large", f"The body is larger than {self._most_bytes / 1e6:.0f} MB, which is the most.")


class Keys:
    """The API keys that are accepted; all of them are compared, in a time that does not tell how much of one is right."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    def require(self, request: Request) -> str:
        """Who asks: a key's digest, or the address where no keys are needed. ``Problem`` for a missing or another key."""
        if not self._digests:
            return request.client.host if request.client else ""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        digest = _digest(given.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", ""))
        accepted = False
        for known in self._digests:
            accepted |= hmac.compare_digest(known, digest)
        if not accepted:
            raise Problem("no-key", "Send an API key of this server as `Authorization: Bearer KEY`, or as `X-API-Key: KEY`.")
        return digest.hex()


class Rate:
    """At most so many requests a minute of each caller, of whom as many may come at once; 0 for no limit."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def require(self, caller: str) -> None:
        """Count a request. ``Problem`` when it is one too many."""
        if not self._per_minute:
            return
        now = time.monotonic()
        left, seen = self._buckets.pop(caller, (float(self._per_minute), now))
        left = min(float(self._per_minute), left + (now - seen) * self._per_minute / _MINUTE_S)
        self._buckets[caller] = (left - 1 if left >= 1 else left), now
        if len(self._buckets) > _MOST_CALLERS:
            self._buckets.popitem(last=False)
        if left < 1:
            wait_s = math.ceil((1 - left) * _MINUTE_S / self._per_minute)
            raise Problem(
                "too-often", f"{self._per_minute} requests a minute are the most; ask again in {wait_s} s.", retry_after_s=wait_s
            )


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
