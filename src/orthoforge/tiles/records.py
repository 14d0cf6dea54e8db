"""What is recorded of finished shards, in a hidden folder beside them: of which settings and source files, as they were, they are.

A record is written last and removed first, so it always speaks of a finished shard.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orthoforge.errors import DataError
from orthoforge.files import replaced_file
from orthoforge.geo import stamps
from orthoforge.geo.stamps import Listed
from orthoforge.scenes.sources import Pair
from orthoforge.tiles import manifest
from orthoforge.tiles.manifest import TOGETHER, TileRow
from orthoforge.tiles.scene_tiles import Scene, SceneTiles
from orthoforge.tiles.settings import Settings

RECORDS = ".records"
# What was prepared in all. No scene's name begins with a dot.
FINISHED = ".finished.json"


@dataclass(frozen=True)
class Kept:
    """What is there of a shard: tiles of scenes by name, each with its first place in it; all of its ``count`` tiles.

    It is ``whole`` where these are the scenes that it is to have.
    """

    scenes: dict[str, tuple[int, SceneTiles]] = field(default_factory=dict)
    count: int = 0
    whole: bool = False


def path_of(tiles: Path, shard: str) -> Path:
    """The record of a shard."""
    return tiles / RECORDS / f"{shard}.json"


def recorded_scenes(tiles: Path) -> dict[str, list[str]]:
    """Names of shards that have a record, and of the scenes in them."""
    home = tiles / RECORDS
    alone = {path.stem: [path.stem] for path in home.glob("*.json") if path.name != FINISHED}
    names = (f"{TOGETHER}/{path.stem}" for path in (home / TOGETHER).glob("*.json"))
    return alone | {name: [scene for scene, _ in _scenes(name, read_json(path_of(tiles, name)))] for name in names}


def write_record(tiles: Path, shard: str, told: Mapping[str, SceneTiles], settings: Settings) -> None:
    """Record a finished shard."""
    scenes = {
        name: {"sources": one.sources, "empty": one.empty, "partly": one.partly, "rows": [row.to_json() for row in one.rows]}
        for name, one in told.items()
    }
    body = {"scenes": scenes} if manifest.is_of_many(shard) else scenes[shard]
    write_json(path_of(tiles, shard), {"made_by": settings.pixels, **body}, spread=False)


def kept(tiles: Path, shard: str, scenes: list[Scene], settings: Settings) -> Kept:
    """What was finished of a shard before, from the same sources and settings, and is sound."""
    record = read_json(path_of(tiles, shard))
    if record.get("made_by") != settings.pixels:
        return Kept()
    told: dict[str, tuple[int, SceneTiles]] = {}
    first = 0
    for name, body in _scenes(shard, record):
        found = _told(name, body, settings)
        if found is None:  # damaged
            return Kept()
        told[name] = first, found
        first += len(found.rows)
    asked = {scene.name: scene for scene in scenes}
    same = {name: one for name, one in told.items() if name in asked and unchanged(asked[name].pair, one[1].sources)}
    sound = _sound(tiles, shard, first, same, settings)
    return Kept(sound, first, list(told) == list(sound) == list(asked))


def _scenes(shard: str, record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What a record says of each scene, in their order."""
    scenes = record.get("scenes") if manifest.is_of_many(shard) else {shard: record}
    return iter(scenes.items() if isinstance(scenes, dict) else ())


def _told(name: str, body: Any, settings: Settings) -> SceneTiles | None:
    """What is recorded of a scene; ``None`` where the record is damaged."""
    try:
        rows = [TileRow.from_json(json.dumps(row), settings.size) for row in body["rows"]]
        found = SceneTiles(rows, int(body["empty"]), int(body["partly"]), body["sources"])
    except (ValueError, LookupError, TypeError):
        return None
    return found if [(row.scene, row.index) for row in rows] == [(name, index) for index in range(len(rows))] else None


def _sound(
    tiles: Path, shard: str, count: int, told: dict[str, tuple[int, SceneTiles]], settings: Settings
) -> dict[str, tuple[int, SceneTiles]]:
    """Those whose tiles are there and fit their checksums; the others are named."""
    if not count:
        return told
    paths, shapes = manifest.shard_paths(tiles, shard), settings.shard_shapes(count)
    try:
        images, masks = map(manifest.mapped, paths, shapes) if all(map(manifest.has_size, paths, shapes)) else (None, None)
    except DataError:  # other headers
        images = masks = None
    if images is None or masks is None:
        print(f"{shard}: its tiles are missing or damaged; cut anew.")
        return {}
    sound = {}
    for name, (first, one) in told.items():
        places = ((row, first + row.index) for row in one.rows)
        damaged = next((row for row, at in places if manifest.tile_sha256(images[at], masks[at]) != row.sha256), None)
        if damaged is None:
            sound[name] = first, one
        else:
            at = damaged.window
            print(f"{name}: its tile at row {at.row}, column {at.col} is missing or damaged; cut anew.")
    return sound


def unchanged(pair: Pair, recorded: object, listed: Listed | None = None) -> bool:
    """Whether both files are as a ``stamp`` says."""
    files = (pair.image, pair.mask)
    if not isinstance(recorded, list) or len(recorded) != len(files):
        return False
    return all(stamps.unchanged(file, of_file, listed) for file, of_file in zip(files, recorded, strict=True))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's content; empty when it is missing or damaged, for then its work is done again."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, body: Mapping[str, object], *, spread: bool = True) -> None:
    """Write ``body`` in one go, replacing what was there; the lock of the folder is held. ``spread`` over lines takes ten times as
    long."""
    with replaced_file(path) as partial_path:
        partial_path.write_text(json.dumps(body, indent=1 if spread else None, ensure_ascii=False) + "\n", "utf-8")
