"""Small scenes that share a shard."""

import json
import shutil

import numpy as np
import pytest

from conftest import make_dataset, make_grid, make_mask, make_pair, write_tiff
from orthoforge.errors import DataError
from orthoforge.scenes.sources import Pair
from orthoforge.tiles import manifest, shards
from orthoforge.tiles import store as store_module
from orthoforge.tiles.cutting import Cut
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.scene_tiles import Scene
from orthoforge.tiles.settings import Settings
from orthoforge.tiles.store import TileStore

NAMES = [f"a{number}" for number in range(12)]
CUT = {"grid": 2, "size": 32}
SETTINGS = Settings(1, None, 64, 0.0, None, None, "blocks", 0, "")


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Twelve small scenes in shards of some each: a0 a1, a2 a3, a4, …"""
    monkeypatch.setattr(shards, "_MEAN_SCENES", 2)
    return make_dataset(tmp_path / "data", NAMES)


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def body(tiles):
    return json.loads((tiles / "store.json").read_text())


def scene(name, side=64):
    return Scene(Pair(name, None, None), make_grid(side), Cut(side, side, 1, 1))


def test_small_scenes_share_files_and_the_store_says_so(data, tmp_path, monkeypatch):
    make_pair(data, "large", 300)
    monkeypatch.setattr(shards, "_SMALL_PX", 299**2)
    store = prepare(data, tmp_path / "tiles", **CUT)
    groups = body(store.path)["groups"]
    assert body(store.path)["format"] == 4 and len(groups) > 1
    files = {str(path.relative_to(store.path)) for path in store.path.rglob("*.npy")}
    alone = {row.scene for row in store.rows} - {name for ones in groups.values() for name in ones}
    assert files == {f"{shard}.{kind}.npy" for shard in [*groups, *alone] for kind in ("images", "masks")}
    assert "large" in alone and len(files) < 2 * len(NAMES)
    assert all(name == f"together/{scenes[0]}" for name, scenes in groups.items())
    assert store.verify() == []
    monkeypatch.setattr(shards, "_SMALL_BYTES", 0)
    by_itself = prepare(data, tmp_path / "alone", **CUT)
    assert body(by_itself.path)["format"] == 3 and "groups" not in body(by_itself.path)
    assert store.fingerprint == by_itself.fingerprint  # what was trained on one may go on with the other
    for tile_id in range(len(store.rows)):
        for one, other in zip(store.tile(tile_id), by_itself.tile(tile_id), strict=True):
            np.testing.assert_array_equal(one, other)


def test_versions_that_know_no_groups_refuse_such_a_store(data, tmp_path, monkeypatch):
    tiles = prepare(data, tmp_path / "tiles", **CUT).path
    monkeypatch.setattr(store_module, "FORMAT_OF_GROUPS", manifest.FORMAT)
    with pytest.raises(DataError, match=r"newer orthoforge \(format 4, this one reads 3\)\. Upgrade it"):
        TileStore.open(tiles)


def test_a_store_from_before_groups_is_kept_and_grows_into_them(data, tmp_path, capsys):
    tiles = tmp_path / "tiles"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "_SMALL_BYTES", 0)
        first = prepare(data, tiles, **CUT)
    capsys.readouterr()
    assert prepare(data, tiles, **CUT).fingerprint == first.fingerprint
    assert "nothing to do" in capsys.readouterr().out
    prepare(data, tiles, **CUT, seed=1, overwrite=True)
    assert content(tiles) == content(prepare(data, tmp_path / "fresh", **CUT, seed=1).path)


@pytest.mark.parametrize("change", ["added", "changed", "removed"])
def test_only_what_changed_is_cut_and_only_its_shard_is_written(data, tmp_path, monkeypatch, change):
    tiles = prepare(data, tmp_path / "tiles", **CUT).path
    before = {path: path.stat().st_mtime_ns for path in tiles.rglob("*.npy")}
    if change == "removed":
        for kind in ("images", "masks"):
            (data / kind / "a11.tif").unlink()
    else:
        make_pair(data, "a11" if change == "changed" else "a12", seed=40)
    cut, cut_scene = [], shards.cut_scene
    monkeypatch.setattr(shards, "cut_scene", lambda scene, *more: cut.append(scene.name) or cut_scene(scene, *more))
    prepare(data, tiles, **CUT, overwrite=True)
    assert cut == {"added": ["a12"], "changed": ["a11"], "removed": []}[change]
    after = {path: path.stat().st_mtime_ns for path in tiles.rglob("*.npy")}
    assert 1 <= len({shard for shard, _ in before.items() ^ after.items()}) <= 2 < len(before)
    assert content(tiles) == content(prepare(data, tmp_path / "fresh", **CUT).path)


def test_a_damaged_or_half_replaced_shard_is_made_anew(data, tmp_path):
    tiles = prepare(data, tmp_path / "tiles", **CUT).path
    whole = content(tiles)
    group = next(iter(body(tiles)["groups"]))
    images, masks = manifest.shard_paths(tiles, group)
    record = tiles / ".records" / f"{group}.json"
    damages = [
        lambda: (masks.write_bytes(masks.read_bytes()[:-1]), (tiles / "store.json").unlink()),
        lambda: (images.write_bytes(images.read_bytes().replace(b"|u1", b"|i1")), (tiles / "store.json").unlink()),
        lambda: (record.unlink(), masks.write_bytes(bytes(7)), (tiles / "store.json").unlink()),  # killed between two renames
    ]
    for damage in damages:
        damage()
        prepare(data, tiles, **CUT)
        assert content(tiles) == whole


def test_a_bad_scene_leaves_the_others_of_its_shard(data, tmp_path, monkeypatch):
    expected = prepare(data, tmp_path / "all", **CUT)
    group = next(ones for ones in body(expected.path)["groups"].values() if len(ones) > 2)
    mask = make_mask()
    mask[-1, :41] = 37  # in the second row of tiles, when the first is written
    write_tiff(data / f"masks/{group[1]}.tif", mask, make_grid())
    with pytest.raises(DataError, match=rf"{group[1]}\.tif: mask must hold 0 and 1"):
        prepare(data, tmp_path / "tiles", **CUT)
    store = prepare(data, tmp_path / "tiles", **CUT, skip_bad=True)
    assert store.verify() == []
    assert [row.sha256 for row in store.rows] == [row.sha256 for row in expected.rows if row.scene != group[1]]
    monkeypatch.setattr("orthoforge.tiles.survey._AHEAD_BYTES", 0)
    assert content(store.path) == content(prepare(data, tmp_path / "again", **CUT, skip_bad=True, workers=1).path)


def test_a_scene_in_two_shards_is_damage(data, tmp_path):
    tiles = prepare(data, tmp_path / "tiles", **CUT).path
    copy, told = shutil.copytree(tiles, tmp_path / "copy"), body(tiles)
    first, second = list(told["groups"].values())[:2]
    second.append(first[0])
    (copy / "store.json").write_text(json.dumps(told))
    with pytest.raises(DataError, match="a scene lies in two shards"):
        TileStore.open(copy)


def test_one_scene_more_moves_few_borders():
    names = [f"town{number}" for number in range(4000)]
    for side in (64, 256):
        planned = shards.plan([scene(name, side) for name in names], SETTINGS)
        assert [one.name for shard in planned for one in shard.scenes] == names
        assert all(len(shard.scenes) * 64**2 * 4 <= shards._MOST_BYTES for shard in planned)
        with_one = shards.plan([scene(name, side) for name in [*names[:10], "another", *names[10:]]], SETTINGS)
        known = {tuple(one.name for one in shard.scenes) for shard in planned}
        moved = [shard for shard in with_one if tuple(one.name for one in shard.scenes) not in known]
        assert 1 <= len(moved) <= 3 < len(planned)


def test_shards_are_few_and_small():
    """2000 chips of 64 px make less than a hundred files, and tiles of 4 MB some to each shard."""
    assert len(shards.plan([scene(f"town{number}") for number in range(2000)], SETTINGS)) < 50
    large = Settings(1, None, 1024, 0.0, None, None, "blocks", 0, "")
    planned = shards.plan([scene(f"town{number}", 1024) for number in range(64)], large)
    sizes = [len(shard.scenes) for shard in planned]
    assert sum(sizes) == 64 and max(sizes) <= shards._MOST_BYTES // 2**22 and 12 <= len(sizes) <= 32
    assert {shard.name for shard in shards.plan([scene(f"town{n}", 1025) for n in range(9)], large)} == {
        f"town{n}" for n in range(9)
    }
