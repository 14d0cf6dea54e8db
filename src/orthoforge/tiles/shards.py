"""Scenes to shards: two files of tiles, images and masks. A scene has a shard of its own; small ones share one.

Which scenes share a shard follows from their names and sizes, in their order: neither workers nor an interruption change it, and
one scene more or less changes it in its neighbourhood alone. A shard is made by one worker and known by one record, so a run that
was killed goes on with the shards that are missing.
"""

import contextlib
import hashlib
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from orthoforge.errors import ConfigError, DataError
from orthoforge.files import lock, replaced_file, sync
from orthoforge.tiles import manifest
from orthoforge.tiles.records import Kept, path_of, write_record
from orthoforge.tiles.scene_tiles import Scene, SceneTiles, cut_scene
from orthoforge.tiles.settings import Settings

# A scene is small up to so many of its pixels in tiles, and bytes of tiles.
_SMALL_PX, _SMALL_BYTES = 2**20, 2**22
# Small scenes fill a shard up to so many bytes. Before, a new one begins at scenes that their names choose, on average after half
# as many bytes or so many scenes: a scene that is added moves the borders up to the next of these only.
_MOST_BYTES, _MEAN_SCENES = 2**25, 128


@dataclass(frozen=True)
class Shard:
    """Scenes whose tiles lie in one shard, one after another, and what is ``kept`` of it from an earlier run."""

    name: str
    scenes: list[Scene]
    kept: Kept = field(default_factory=Kept)


@dataclass(frozen=True)
class Made:
    """The tiles of a shard's scenes, by name, and why others could not be cut."""

    told: dict[str, SceneTiles]
    errors: dict[str, str] = field(default_factory=dict)


def plan(scenes: Sequence[Scene], settings: Settings) -> list[Shard]:
    """Which shards the scenes fill that have a ``cut``, in the order of their first scenes."""
    together: list[list[Scene]] = []
    shared: list[Scene] | None = None
    filled = 0
    for scene in scenes:
        if scene.cut is None:
            continue
        size = sum(map(math.prod, settings.shard_shapes(scene.cut.rows * scene.cut.cols)))
        if not _is_small(scene, size):
            together.append([scene])
        elif shared is None or filled + size > _MOST_BYTES or _begins(scene.name, size):
            shared, filled = [scene], size
            together.append(shared)
        else:
            shared.append(scene)
            filled += size
    return [Shard(_name(ones), ones) for ones in together]


def _is_small(scene: Scene, size_bytes: int) -> bool:
    assert scene.cut
    cut = scene.cut
    return size_bytes <= _SMALL_BYTES and cut.rows * cut.height * cut.cols * cut.width <= _SMALL_PX


def _begins(name: str, size_bytes: int) -> bool:
    """Whether the name chooses to begin a shard: its checksum as a number from 0 to 1 is small enough."""
    chance = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return chance < max(1 / _MEAN_SCENES, 2 * size_bytes / _MOST_BYTES)


def _name(scenes: Sequence[Scene]) -> str:
    return scenes[0].name if len(scenes) == 1 else manifest.shard_of_many(scenes[0].name)


def make_shard(shard: Shard, *, tiles: Path, settings: Settings, skip_bad: bool) -> Made:
    """Write a shard and its record: tiles that are kept as they are, the others cut. The rows have no split yet.

    Raises ``DataError`` or ``ConfigError`` for a scene that cannot be cut, or with ``skip_bad`` leaves it out.
    """
    image_path, mask_path = manifest.shard_paths(tiles, shard.name)
    made = Made({})
    with (
        lock(image_path),  # who was given it by a command that is dead may still write it
        replaced_file(image_path, forced=False) as image_partial,
        replaced_file(mask_path, forced=False) as mask_partial,
        open(image_partial, "wb") as images,
        open(mask_partial, "wb") as masks,
    ):
        files = images, masks
        _write_headers(files, 0, settings)
        for scene in shard.scenes:
            ends = [file.tell() for file in files]
            try:
                made.told[scene.name] = _add(scene, shard, files, tiles, settings)
            except (DataError, ConfigError) as error:
                if not skip_bad:
                    raise
                made.errors[scene.name] = str(error)
                for file, end in zip(files, ends, strict=True):
                    file.seek(end)
                    file.truncate()
        count = sum(len(one.rows) for one in made.told.values())
        _write_headers(files, count, settings)
        for file in files:
            file.flush()
        with ThreadPoolExecutor(2) as pool:  # a disk takes two thirds of the time for both at once
            list(pool.map(sync, (image_partial, mask_partial)))
        path_of(tiles, shard.name).unlink(missing_ok=True)  # it speaks of the files that are replaced now
    if not count:
        image_path.unlink()
        mask_path.unlink()
    if made.told:
        write_record(tiles, shard.name, made.told, settings)
    return made


def _add(scene: Scene, shard: Shard, files: tuple[IO[bytes], IO[bytes]], tiles: Path, settings: Settings) -> SceneTiles:
    """Append a scene's tiles to both files."""

    def append(image: np.ndarray, mask: np.ndarray) -> None:
        for file, pixels in zip(files, (image, mask), strict=True):
            file.write(pixels.data)

    if scene.name not in shard.kept.scenes:
        return cut_scene(scene, settings, append)
    first, told = shard.kept.scenes[scene.name]
    if told.rows:
        append(*(whole[first : first + len(told.rows)] for whole in _arrays(tiles, shard, settings)))
    return told


def _arrays(tiles: Path, shard: Shard, settings: Settings) -> Iterator[np.ndarray]:
    """Images and masks of the shard as it was."""
    return map(manifest.mapped, manifest.shard_paths(tiles, shard.name), settings.shard_shapes(shard.kept.count))


def _write_headers(files: tuple[IO[bytes], IO[bytes]], count: int, settings: Settings) -> None:
    """Begin both files. Plain writes, no memory map: on a full disk a map dies of a signal, a write raises."""
    for file, shape in zip(files, settings.shard_shapes(count), strict=True):
        file.seek(0)
        file.write(manifest.shard_header(shape))


def remove_stale(tiles: Path, recorded: dict[str, list[str]], current: set[str], in_use: set[str], left_out: Sequence[str]) -> None:
    """Remove what earlier runs left: shards that are not ``in_use``, records of those that are not ``current``.

    Only files that this store knew, or of scenes ``left_out`` now, are touched; in the folder of shared shards all of their kind.
    """
    home = tiles / manifest.TOGETHER
    shared = {manifest.shard_of_many(path.name.removesuffix(".images.npy")) for path in home.glob("*.images.npy")}
    for shard in {*recorded, *shared, *left_out} - in_use:
        for path in manifest.shard_paths(tiles, shard):
            path.unlink(missing_ok=True)
    for shard in recorded.keys() - current:
        path_of(tiles, shard).unlink(missing_ok=True)
    for leftover in home.glob(".*.partial"):
        leftover.unlink()
    for folder in (home, path_of(tiles, manifest.shard_of_many("")).parent):
        with contextlib.suppress(OSError):  # not there, or not empty
            folder.rmdir()
