"""Uploads: stored under names of the server's own, and decoded in processes with limits of memory and time."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from orthoforge.serving.decoding import Order
from orthoforge.serving.metrics import Metrics
from orthoforge.serving.problems import Problem
from orthoforge.serving.processes import Processes

MASK_NAMES = {b"\x89PNG": "mask.png", b"II*\0": "mask.tif", b"MM\0*": "mask.tif", b"II+\0": "mask.tif", b"MM\0+": "mask.tif"}


def mask_name(head: bytes) -> str:
    """The name that a raster is stored by, from its first bytes. ``Problem`` for what is neither PNG nor TIFF."""
    if not head:
        raise Problem("invalid", "The mask is empty (0 bytes). Send a PNG or a GeoTIFF.")
    name = MASK_NAMES.get(head[:4])
    if name is None:
        raise Problem("invalid", f"The mask begins with {head[:4]!r}; it is neither a PNG nor a GeoTIFF. Send the raster itself.")
    return name


class Decoders:
    """Processes that decode, each one upload at a time, and the folder of uploads."""

    def __init__(self, folder: Path, *, count: int, most_bytes: int, most_s: float, most_waiting: int, metrics: Metrics) -> None:
        self._folder, self._most_s = folder, most_s
        self.processes = Processes(
            "orthoforge.serving.decoding", count=count, most_bytes=most_bytes, most_waiting=most_waiting,
            restarts=metrics.decoder_restarts,
        )  # fmt: skip

    def start(self) -> None:
        """Start the processes, which are ready some tenths of a second later."""
        shutil.rmtree(self._folder, ignore_errors=True)  # of a server that was killed
        self._folder.mkdir(parents=True)
        self.processes.start()

    def close(self) -> None:
        """End them, and remove what they wrote."""
        self.processes.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """A new folder for one upload, gone afterwards."""
        with tempfile.TemporaryDirectory(dir=self._folder, ignore_cleanup_errors=True) as folder:
            yield Path(folder)

    async def decode(self, order: Order) -> None:
        """Let a process do what ``order`` says. ``Problem`` for what cannot be decoded, or not within the limits."""
        words = f"The upload was not decoded within {self._most_s:g} s. Send a smaller one, or a simpler file."
        await self.processes.done(
            order.line(), self._most_s, late=Problem("too-large", words),
            ended=Problem("invalid", "The file cannot be decoded: the process that tried ended. Export it again."),
            unforeseen=Problem("invalid", "The file cannot be decoded. Export it again."),
        )  # fmt: skip
