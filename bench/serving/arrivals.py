"""Requests that come when they come, whether or not those before them were answered."""

import asyncio
import io
import time
from collections.abc import Sequence
from typing import NamedTuple

import httpx
import numpy as np
from PIL import Image

SIDE_PX = 256
REFUSED, LOST = 0, -1


class Answer(NamedTuple):
    """``status`` of HTTP, ``REFUSED`` where nobody listened, ``LOST`` where the connection ended without an answer."""

    status: int
    seconds: float


def town(side_px: int = SIDE_PX) -> np.ndarray:
    """A mask (H, W) of rows of houses."""
    mask = np.zeros((side_px, side_px), np.uint8)
    for row in range(10, side_px - 30, 48):
        mask[row : row + 24, 10:-10:40] = mask[row : row + 24, 20:-10:40] = 255
    return mask


def png(mask: np.ndarray) -> bytes:
    """As a file."""
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return buffer.getvalue()


async def arrive(url: str, rate: float, seconds: float, *, data: bytes = b"", stop: asyncio.Event | None = None) -> list[Answer]:
    """``rate`` requests a second for images, each on a connection of its own, for so long or until ``stop``."""
    data = data or png(town())
    tasks, began = [], time.monotonic()
    async with _client() as client:
        for number in range(round(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            if stop is not None and stop.is_set():
                break
            tasks.append(asyncio.ensure_future(ask(client, f"{url}/v1/images", data, number)))
        return list(await asyncio.gather(*tasks))


async def burst(url: str, count: int) -> list[Answer]:
    """So many requests at once."""
    data = png(town())
    async with _client() as client:
        return list(await asyncio.gather(*(ask(client, f"{url}/v1/images", data, seed) for seed in range(count))))


async def ask(client: httpx.AsyncClient, url: str, data: bytes, seed: int) -> Answer:
    """One image."""
    began = time.monotonic()
    try:
        answer = await client.post(url, files={"mask": data}, data={"seed": str(seed)})
        status = answer.status_code
    except httpx.ConnectError:
        status = REFUSED
    except httpx.TransportError:
        status = LOST
    return Answer(status, time.monotonic() - began)


def told(answers: Sequence[Answer]) -> str:
    """Counts of statuses, and p50 and p95 of what was made."""
    counts = {status: sum(one.status == status for one in answers) for status in sorted({one.status for one in answers})}
    made = [one.seconds for one in answers if one.status == 200]
    quantiles = "p50 {:.2f} s, p95 {:.2f} s".format(*np.quantile(made, [0.5, 0.95])) if made else "none made"
    words = {REFUSED: "not accepted", LOST: "dropped"}
    return f"{', '.join(f'{words.get(status, status)}: {count}' for status, count in counts.items())}; {quantiles}"


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(limits=httpx.Limits(max_connections=None, max_keepalive_connections=0), timeout=120)
