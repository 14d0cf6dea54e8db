"""Servers of small generators that nobody trained, in this process: by their app, or on a port of their own."""

import contextlib
import io
import threading
import time
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import uvicorn
from fastapi.testclient import TestClient
from PIL import Image

from conftest import make_grid, make_mask, write_tiff
from material_runs import refiner
from orthoforge.config import load_recipe
from orthoforge.serving.app import make_app
from orthoforge.serving.settings import Settings
from orthoforge.trained_generator import TrainedGenerator, load_generator
from saved_runs import save_run

STYLES = ("north", "south")


@cache
def generator(kind: str) -> TrainedGenerator:
    """``styled``: noise and styles of two places; ``classes``: of three classes; ``normed``: norms over the image;
    ``material``: composes canvases of a library."""
    folder = Path(mkdtemp(prefix="orthoforge-serving-"))
    narrow = load_recipe("orthoforge-s", generator_width=2, discriminator_width=2)
    if kind == "styled":
        return load_generator(save_run(folder, narrow, places=STYLES))
    if kind == "classes":
        return load_generator(save_run(folder, narrow, places=STYLES, classes=["ground", "building", "road"]))
    if kind == "material":
        return load_generator(refiner(folder))
    return load_generator(save_run(folder))


def settings(data: Path, **changes) -> Settings:
    return Settings(data, **({"decoders": 1, "queue": 16, "block_px": 64, "forge_s": 200.0, "deadline_s": 300.0} | changes))


@contextlib.contextmanager
def client(data: Path, *kinds: str, layers=(), **changes):
    """A client of the app, without a port."""
    app = make_app({kind: generator(kind) for kind in kinds or ("styled",)}, settings(data, **changes), layers)
    with TestClient(app, raise_server_exceptions=False) as found:
        wait_until(lambda: found.get("/readyz").status_code == 200)
        yield found


@contextlib.contextmanager
def live(data: Path, *kinds: str, layers=(), **changes):
    """A server on a port of its own, in a thread: its port and its app."""
    app = make_app({kind: generator(kind) for kind in kinds or ("styled",)}, settings(data, **changes), layers)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=20))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started and app.state.serving.workers.is_ready)
    try:
        yield server.servers[0].sockets[0].getsockname()[1], app
    finally:
        server.should_exit = True
        thread.join()


@contextlib.contextmanager
def live_town(folder: Path, size: tuple[int, int], *kinds: str, **changes):
    """The port of a server that has a map of one town, made in ``folder``."""
    layer = write_tiff(folder / "town.tif", make_mask(size), make_grid(size))
    with live(folder / "data", *kinds, layers=[layer], **changes) as (port, _):
        yield port


def wait_until(holds, most_s: float = 30.0) -> None:
    until = time.monotonic() + most_s
    while not holds():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.01)


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))
