"""Work for a client who may leave."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from orthoforge.serving.problems import ClientLeft, Problem

Result = TypeVar("Result")


async def for_client(
    request: Request, work: Coroutine[Any, Any, Result], deadline_s: float, way_out: str = "Ask for something smaller."
) -> Result:
    """What ``work`` gives; it is cancelled when the client leaves (``ClientLeft``) or the deadline passes (``Problem``,
    which ``way_out`` helps).

    The request's body must have been read.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
    try:
        done, _ = await asyncio.wait({task, gone}, timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
        if task in done:
            return task.result()
        if gone in done:
            raise ClientLeft
        raise Problem("deadline", f"The answer was not ready within {deadline_s:g} s. {way_out}")
    finally:
        for one in (task, gone):
            if not one.done():
                one.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
