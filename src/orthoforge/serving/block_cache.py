"""Generated blocks on the disk: at most so many bytes, those not looked at for longest go first."""

import contextlib
import logging
import os
import shutil
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np

from orthoforge.files import PARTIAL, ZIP_ERRORS
from orthoforge.serving.metrics import Metrics

log = logging.getLogger(__name__)
_IN_MEMORY = 1024  # blocks, of some 50 kB

Block = tuple[np.ndarray, np.ndarray | None]


class BlockCache:
    """Blocks by their names, ``SCENE/LEVEL_ROW_COL``. What was written is there after a restart; what is damaged is not."""

    def __init__(self, folder: Path, most_bytes: int, metrics: Metrics) -> None:
        self._folder, self._most_bytes, self._metrics = folder, most_bytes, metrics
        self._lock = threading.Lock()
        self._read: OrderedDict[str, Block] = OrderedDict()
        found = []
        for path in folder.glob(f"*/.*{PARTIAL}"):  # of a server that was killed
            path.unlink(missing_ok=True)
        for path in folder.glob("*/*.npz"):
            with contextlib.suppress(OSError):
                found.append((path.stat().st_mtime, path.relative_to(folder).with_suffix("").as_posix(), path.stat().st_size))
        self._sizes = OrderedDict((name, size) for _, name, size in sorted(found))
        self._bytes = sum(self._sizes.values())
        metrics.cache_bytes.set_function(lambda: self._bytes)

    def get(self, name: str) -> Block | None:
        """A block's pixels and where they are valid; ``None`` where it has to be made."""
        with self._lock:
            if name in self._sizes:
                self._sizes.move_to_end(name)
            if name in self._read:
                self._read.move_to_end(name)
                return self._read[name]
            if name not in self._sizes:
                return None
        try:
            block = _read(self._path(name))
            os.utime(self._path(name))
        except (*ZIP_ERRORS, ValueError, KeyError):
            self._forget(name)
            return None
        self._remember(name, block)
        return block

    def put(self, name: str, pixels: np.ndarray, valid: np.ndarray | None) -> None:
        """Keep a block, and let others go where the disk's share is full."""
        path = self._path(name)
        self._remember(name, (pixels, valid))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, pixels, valid)
        except OSError as error:  # the map is still shown, and the block made again when it is forgotten
            log.warning("a block of a map is not kept: %s", error)
            return
        with self._lock:
            size = path.stat().st_size
            self._bytes += size - self._sizes.pop(name, 0)
            self._sizes[name] = size
            leaving = []
            while self._bytes > self._most_bytes and len(self._sizes) > 1:
                oldest, size = self._sizes.popitem(last=False)
                self._bytes -= size
                leaving.append(oldest)
        for oldest in leaving:
            self._read.pop(oldest, None)
            self._path(oldest).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all."""
        shutil.rmtree(self._folder, ignore_errors=True)
        with self._lock:
            self._sizes.clear()
            self._read.clear()
            self._bytes = 0

    def _remember(self, name: str, block: Block) -> None:
        with self._lock:
            self._read[name] = block
            while len(self._read) > _IN_MEMORY:
                self._read.popitem(last=False)

    def _forget(self, name: str) -> None:
        with self._lock:
            self._bytes -= self._sizes.pop(name, 0)
            self._read.pop(name, None)
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.npz"


def _write(path: Path, pixels: np.ndarray, valid: np.ndarray | None) -> None:
    """Not forced to the disk: what a power cut leaves half written does not fit its checksum, and is made again."""
    partial = path.with_name(f".{path.name}.{threading.get_ident()}{PARTIAL}")
    try:
        with open(partial, "wb") as file:
            if valid is None:
                np.savez_compressed(file, pixels=pixels)
            else:
                np.savez_compressed(file, pixels=pixels, valid=valid)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _read(path: Path) -> Block:
    """Raises one of ``ZIP_ERRORS``, ``ValueError`` or ``KeyError`` for a damaged file; a ZIP checks each of its members."""
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as kept:  # of a damaged one, NumPy leaves its own file open
        return kept["pixels"], kept.get("valid")
