"""Uploads: stored under names of the server's own, and decoded in processes with limits of memory and time."""

import contextlib
import json
import os
import queue
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from orthoforge.serving.decoding import Order
from orthoforge.serving.metrics import Metrics
from orthoforge.serving.problems import Problem

MASK_NAMES = {b"\x89PNG": "mask.png", b"II*\0": "mask.tif", b"MM\0*": "mask.tif", b"II+\0": "mask.tif", b"MM\0+": "mask.tif"}
_START_S = 60.0
_LONGEST_ANSWER = 2**16
# What GDAL, PROJ and Python read of the environment; the rest of the server's, with its keys, is none of the process's business.
_PASSED_ON = ("PATH", "PYTHONPATH", "PROJ_DATA", "PROJ_LIB", "GDAL_DATA", "LANG", "HOME", "VIRTUAL_ENV", "TMPDIR")
# GDAL has no way out: no virtual file systems over the network, and no plugins.
_CLOSED = {"GDAL_HTTP_PROXY": "127.0.0.1:9", "CPL_CURL_ENABLE_VSIMEM": "NO", "GDAL_DRIVER_PATH": "disable", "PROJ_NETWORK": "OFF",
           "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # fmt: skip


def mask_name(head: bytes) -> str:
    """The name that a raster is stored by, from its first four bytes. ``Problem`` for what is neither PNG nor TIFF."""
    if not head:
        raise Problem("invalid", "The mask is empty (0 bytes). Send a PNG or a GeoTIFF.")
    name = MASK_NAMES.get(head[:4])
    if name is None:
        raise Problem("invalid", f"The mask begins with {head[:4]!r}; it is neither a PNG nor a GeoTIFF. Send the raster itself.")
    return name


class Decoders:
    """Processes that decode, each one upload at a time. One that dies or takes too long is replaced."""

    def __init__(self, folder: Path, *, count: int, most_bytes: int, most_s: float, metrics: Metrics) -> None:
        self._folder, self._most_bytes, self._most_s, self._metrics = folder, most_bytes, most_s, metrics
        self._free: queue.Queue[_Decoder] = queue.Queue()
        self._all: list[_Decoder] = []
        self._count = count
        self._closing = threading.Event()

    def start(self) -> None:
        """Start the processes, which are ready some tenths of a second later."""
        shutil.rmtree(self._folder, ignore_errors=True)  # of a server that was killed
        self._folder.mkdir(parents=True)
        for _ in range(self._count):
            self._free.put(self._new())

    def close(self) -> None:
        """End them, and remove what they wrote."""
        self._closing.set()
        for decoder in self._all:
            decoder.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """A new folder for one upload, gone afterwards."""
        with tempfile.TemporaryDirectory(dir=self._folder, ignore_cleanup_errors=True) as folder:
            yield Path(folder)

    def decode(self, order: Order, wait_s: float) -> None:
        """Let a process do what ``order`` says. ``Problem`` for what cannot be decoded, or not within the limits."""
        try:
            decoder = self._free.get(timeout=wait_s)
        except queue.Empty:
            raise Problem("busy", "All processes that decode uploads are busy; ask again in 5 s.", retry_after_s=5) from None
        try:
            answer = decoder.answer(order.line(), self._most_s)
        except TimeoutError:
            decoder = self._replaced(decoder)
            raise Problem(
                "too-large", f"The upload was not decoded within {self._most_s:g} s. Send a smaller one, or a simpler file."
            ) from None
        except OSError:
            decoder = self._replaced(decoder)
            raise Problem("invalid", "The file cannot be decoded: the process that tried ended. Export it again.") from None
        finally:
            self._free.put(decoder)
        if "error" in answer:
            raise Problem(answer["error"], answer["words"])

    def _new(self) -> "_Decoder":
        decoder = _Decoder(self._most_bytes)
        self._all.append(decoder)
        return decoder

    def _replaced(self, decoder: "_Decoder") -> "_Decoder":
        decoder.end()
        self._all.remove(decoder)
        self._metrics.decoder_restarts.inc()
        return decoder if self._closing.is_set() else self._new()


class _Decoder:
    """A process, and the pipes to it."""

    def __init__(self, most_bytes: int) -> None:
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _CLOSED
        self._process = subprocess.Popen(
            [sys.executable, "-m", "orthoforge.serving.decoding", str(most_bytes)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True,
        )  # fmt: skip
        self._is_ready = False

    def answer(self, line: bytes, most_s: float) -> dict[str, str]:
        """What the process says to an order. ``TimeoutError`` when it takes too long, ``OSError`` when it ended."""
        assert self._process.stdin is not None
        if not self._is_ready:
            self._line(_START_S)
            self._is_ready = True
        self._process.stdin.write(line)
        self._process.stdin.flush()
        answer: dict[str, str] = json.loads(self._line(most_s))
        return answer

    def _line(self, most_s: float) -> bytes:
        assert self._process.stdout is not None
        descriptor, until, read = self._process.stdout.fileno(), time.monotonic() + most_s, b""
        while not read.endswith(b"\n"):
            left = until - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise TimeoutError
            piece = os.read(descriptor, _LONGEST_ANSWER)
            if not piece or len(read) > _LONGEST_ANSWER:
                raise OSError("the process ended")
            read += piece
        return read

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.wait()
