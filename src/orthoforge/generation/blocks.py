"""The finished blocks of a scene: kept beside its final name, so that a killed command goes on where it was."""

import contextlib
import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np

from orthoforge.errors import DataError
from orthoforge.files import lock, lock_file, new_file, sync, writable
from orthoforge.generation.scene import Generated, Given, Scene, blocks_of
from orthoforge.geo.cog import read_block, write_block
from orthoforge.geo.grid import Window
from orthoforge.geo.rasters import read_tags
from orthoforge.progress import Progress
from orthoforge.trained_generator import TrainedGenerator

SETTINGS = "scene.json"
_PIXELS_OF = "MATERIAL_PIXELS"
_LONGEST_NAME = 230  # in bytes, with room below the 255 that disks allow for what is put around it
_KEPT_CHARACTERS = 40


def folder_of(path: Path) -> Path:
    """Where the blocks of the image ``path`` are while it is made. Of a long name a part and a checksum stay."""
    name = path.name
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = f"{name[:_KEPT_CHARACTERS]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"
    return path.with_name(f".{name}.blocks")


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """No other process makes the image ``path`` in this block. One that does is waited for: its image may be the one wanted."""
    with lock(folder_of(path), wait=f"{path}: another process is making it; waiting for its end"), writable(path.parent):
        yield


def work_folder(path: Path) -> Path:
    """The folder for the blocks of the image ``path``, there when it returns."""
    folder = folder_of(path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def is_left(path: Path) -> bool:
    """Whether a command that makes the image ``path``, or one that was killed, has blocks or a lock beside it."""
    folder = folder_of(path)
    return folder.exists() or lock_file(folder).exists()


def discard(path: Path) -> None:
    """Remove the blocks of an image that is finished."""
    folder = folder_of(path)
    if folder.exists():
        shutil.rmtree(folder)


def bytes_done(path: Path) -> int:
    """What an unfinished image already takes on the disk."""
    return sum(block.stat().st_size for block in folder_of(path).glob("*.tif"))


def generate_blocks(
    scene: Scene, folder: Path, identity: Mapping[str, object], devices: list[str], progress: Progress
) -> dict[Window, Path]:
    """Generate what is not there yet, on all devices at once; returns every block's file.

    ``identity`` says what decides the pixels. Blocks of a command with another one are thrown away.
    """
    side_px = _begin(folder, identity, scene, len(devices))
    paths = {window: folder / f"{window.row}_{window.col}.tif" for window in blocks_of(scene.delivered.grid, side_px)}
    missing = [window for window, path in paths.items() if not _is_whole(path)]
    with progress.task("blocks", len(paths), done=len(paths) - len(missing)) as step:
        if missing:
            _run(scene, missing, paths, devices, step)
    return paths


def _run(scene: Scene, missing: list[Window], paths: Mapping[Window, Path], devices: list[str], step: Callable[[], None]) -> None:
    """Reading, the network and writing go on at once: a block for each device is read ahead, and as many wait to be written."""
    _ = scene.buildings  # found once, before several threads ask for them
    # A generator remembers the place of its noise, so no two threads share one.
    generators = [scene.sampled, *(scene.sampled.to(device) for device in devices[1:])]
    waiting, reads, writes = iter(missing), deque[tuple[Window, Future[Given | None]]](), deque[Future[None]]()
    running: dict[Future[Generated], tuple[TrainedGenerator, Window]] = {}
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(len(generators)) as networks, ThreadPoolExecutor(1) as writer:

        def read() -> None:
            if window := next(waiting, None):
                reads.append((window, reader.submit(scene.given, window)))

        def begin(generator: TrainedGenerator) -> None:
            if reads:
                window, given = reads.popleft()
                running[networks.submit(_make, scene, window, generator, given)] = generator, window
                read()

        for _ in generators:
            read()
        for generator in generators:
            begin(generator)
        while running or writes:
            finished = wait(running, return_when=FIRST_COMPLETED).done if running else set()
            for future in finished:
                generator, window = running.pop(future)
                made = future.result()
                begin(generator)
                writes.append(writer.submit(_write, paths[window], made))
            while len(writes) > (len(generators) if running else 0):
                writes.popleft().result()
                step()


def _make(scene: Scene, window: Window, generator: TrainedGenerator, given: "Future[Given | None]") -> Generated:
    return scene.block(window, generator, given.result())


def _write(path: Path, made: Generated) -> None:
    tags = {} if made.pixels_of is None else {_PIXELS_OF: json.dumps(made.pixels_of.tolist())}
    write_block(path, made.image, made.valid, tags=tags)


def pixels_of(blocks: Iterable[Path]) -> np.ndarray | None:
    """How many pixels of all blocks come from each tile of the library, (N,) int64; ``None`` without a library."""
    said = [read_tags(block).get(_PIXELS_OF) for block in blocks]
    counts = [json.loads(text) for text in said if text is not None]
    return np.array(counts, np.int64).sum(axis=0) if counts else None


def _begin(folder: Path, identity: Mapping[str, object], scene: Scene, at_once: int) -> int:
    """The side of the blocks: that of a folder begun with the same identity, else a new folder's."""
    path = folder / SETTINGS
    try:
        settings = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        settings = None
    if settings is None or {**settings, "block_px": None} != {**identity, "block_px": None}:
        shutil.rmtree(folder)
        folder.mkdir()
        settings = {**identity, "block_px": scene.block_side_px(at_once)}
        with new_file(path) as partial:
            partial.write_text(json.dumps(settings, indent=1), encoding="utf-8")
        sync(folder)
    return settings["block_px"]


def _is_whole(path: Path) -> bool:
    """Whether a block is there, and reads. A damaged one is made again."""
    if not path.exists():
        return False
    try:
        read_block(path)
    except DataError:
        path.unlink()
        return False
    return True
