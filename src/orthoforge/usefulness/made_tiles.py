"""Tiles of images that a generator makes of masks, kept on disk scene by scene."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from orthoforge.files import new_file
from orthoforge.masks.classes import plain_classes
from orthoforge.progress import Progress
from orthoforge.runs import TileImages
from orthoforge.tiles import manifest
from orthoforge.tiles.manifest import TileRow
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import TrainedGenerator


@dataclass(frozen=True)
class Wanted:
    """A tile to be made: the ``scene`` that it belongs to, its ``mask`` (S, S) uint8, and the seed of its image.

    ``row`` is as it will be, but for scene, index, share and checksum.
    """

    scene: str
    row: TileRow
    mask: Callable[[], np.ndarray]
    seed: int


def make_tiles(generator: TrainedGenerator, store: TileStore, wanted: Sequence[Wanted], folder: Path) -> TileStore:
    """The wanted tiles as a store in ``folder``, each in the style of its place. ``store`` is where their masks come from.

    A scene whose shards are there was finished and is kept; ``store.json`` comes last.
    """
    scenes: dict[str, list[Wanted]] = {}
    for one in wanted:
        # Masks that are held out must not come in here, whatever the caller did.
        assert one.row.split == "train", one
        scenes.setdefault(one.scene, []).append(one)
    made_by = TileImages(generator)
    missing = {scene for scene, ones in scenes.items() if not _is_finished(folder, scene, len(ones), store.size_px)}
    ready = sum(len(ones) for scene, ones in scenes.items() if scene not in missing)
    rows: list[TileRow] = []
    with Progress("synthetic").task("images", len(wanted), done=ready) as step:
        for scene, ones in scenes.items():
            paths = manifest.shard_paths(folder, scene)
            if scene in missing:
                masks = [one.mask() for one in ones]
                images = []
                for mask, one in zip(masks, ones, strict=True):
                    images.append(made_by.of_place(one.row.place)(mask, seed=one.seed))
                    step()
                for path, arrays in zip(paths, (images, masks), strict=True):
                    with new_file(path, overwrite=True) as partial, open(partial, "wb") as file:
                        np.save(file, np.stack(arrays))
            shards = [np.load(path, mmap_mode="r") for path in paths]
            for index, one in enumerate(ones):
                sha256 = manifest.tile_sha256(shards[0][index], shards[1][index])
                share = float((shards[1][index] > 0).mean())
                rows.append(replace(one.row, scene=scene, index=index, building_share=share, sha256=sha256))
    _write_store(generator, store, rows, folder)
    return TileStore.open(folder)


def _write_store(generator: TrainedGenerator, store: TileStore, rows: Sequence[TileRow], folder: Path) -> None:
    lines = "".join(json.dumps(row.to_json(), ensure_ascii=False) + "\n" for row in rows).encode()
    body = {
        "format": manifest.FORMAT, "size_px": store.size_px, "gsd_m": store.gsd_m, "classes": plain_classes(store.classes),
        "settings": {name: value for name, value in store.settings.items() if name != "bands"}
        | {"generator_sha256": generator.sha256, "masks_of": store.fingerprint},
        "fingerprint": manifest.manifest_sha256(lines),
    }  # fmt: skip
    for name, content in ((manifest.MANIFEST, lines), (manifest.STORE, json.dumps(body, indent=1).encode())):
        with new_file(folder / name, overwrite=True) as partial:
            partial.write_bytes(content)


def _is_finished(folder: Path, scene: str, count: int, size_px: int) -> bool:
    paths, shapes = manifest.shard_paths(folder, scene), manifest.shard_shapes(count, size_px)
    return all(map(manifest.has_size, paths, shapes))
