"""The same ground is the same ground in every store, and what is shown and scored is not picked by its looks."""

from collections import Counter

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_dataset
from orthoforge.comparison.shared_ground import (
    Ground,
    chosen_splits,
    covering_tile,
    cut_to,
    group_by_ground,
    scored_tiles,
    shared_grounds,
)
from orthoforge.geo.grid import Window
from orthoforge.tiles.manifest import TileRow
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore

SCENES = ("aba1", "aba7", "aba9", "oro1", "oro7", "oro9", "oro19")


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> dict[str, TileStore]:
    root = tmp_path_factory.mktemp("ground")
    data = make_dataset(root / "data", SCENES, 200)
    options = {"split": "digits", "workers": 1}
    return {
        "low": prepare(data, root / "low", grid=1, size=40, **options),
        "mid": prepare(data, root / "mid", grid=2, size=40, **options),
        "high": prepare(data, root / "high", grid=5, size=40, **options),
        "filtered": prepare(data, root / "filtered", grid=5, size=40, min_building=0.1, **options),
    }


def in_test(*stores: TileStore) -> dict[str, str]:
    return {store.fingerprint: "test" for store in stores}


def test_grounds_lie_in_one_held_out_tile_of_each_store(stores):
    chosen = [stores[name] for name in ("low", "mid", "high")]
    grounds = shared_grounds(chosen, in_test(*chosen), limit=100)
    # Of 5 × 5 tiles the middle row and column straddle the 2 × 2 tiles: 16 are left of each of the three test scenes.
    assert len(grounds) == 3 * 16
    for ground in grounds:
        assert ground.scene in ("aba9", "oro9", "oro19") and ground.scene.startswith(ground.place)
        for store in chosen:
            row = store.rows[covering_tile(store, ground)]
            assert row.split == "test" and row.scene == ground.scene
            for start, length, own_start, own_length in zip(
                ground.window[:2], ground.window[2:], row.window[:2], row.window[2:], strict=True
            ):
                assert own_start <= start and start + length <= own_start + own_length


def test_the_cut_shows_that_ground(stores, tmp_path):
    """On scenes whose pixels are their own coordinates."""
    data = make_dataset(tmp_path / "data", ("aba9",), 200)
    with rasterio.open(data / "images" / "aba9.tif", "r+") as raster:
        rows, cols = np.mgrid[:200, :200].astype(np.uint8)
        raster.write(np.stack([rows, cols, 0 * rows]))
    whole = prepare(data, tmp_path / "whole", grid=1, size=50, split="digits", workers=1)
    image = whole.tile(0)[0]
    cut = cut_to(image, whole.rows[0], Ground("aba9", "aba", (120, 40, 40, 40)))
    assert cut.shape == (10, 10, 3)
    assert cut[:, 0, 0].tolist() == pytest.approx(range(121, 161, 4), abs=1.5)
    assert cut[0, :, 1].tolist() == pytest.approx(range(41, 81, 4), abs=1.5)


@given(
    size=st.integers(8, 64),
    tile=st.integers(10, 5000),
    first=st.floats(0, 1),
    share=st.floats(0.001, 1),
)
def test_equal_grounds_give_equal_shapes_inside_the_tile(size, tile, first, share):
    length = max(1, round(share * tile))
    row = TileRow("a1", "a", 0, Window(0, 0, tile, tile), None, None, "test", 0.0, "")  # type: ignore[arg-type]
    pixels = np.zeros((size, size), np.uint8)
    starts = (0, round(first * (tile - length)))
    shapes = {cut_to(pixels, row, Ground("a1", "a", (start, 0, length, length))).shape for start in starts}
    assert len(shapes) == 1
    height, width = shapes.pop()
    assert height == width == max(1, round(length * size / tile))


def test_places_take_turns_and_the_first_of_the_manifest_come_first(stores):
    high = stores["high"]
    grounds = shared_grounds([high], in_test(high), limit=5)
    assert Counter(ground.place for ground in grounds) == {"aba": 3, "oro": 2}
    for place in ("aba", "oro"):
        rows = [high.rows[i] for i in high.ids("test") if high.rows[i].place == place]
        shown = [ground for ground in grounds if ground.place == place]
        assert [(g.scene, g.window) for g in shown] == [(row.scene, tuple(row.window)) for row in rows[: len(shown)]]


def test_stores_without_common_ground_are_groups_of_their_own(stores, tmp_path):
    data = make_dataset(tmp_path / "data", SCENES, 200)
    for path in (data / "images").iterdir():
        with rasterio.open(path, "r+") as raster:
            raster.write(255 - raster.read())
    other = prepare(data, tmp_path / "tiles", grid=2, size=40, split="digits", workers=1)
    chosen = [stores["low"], other, stores["mid"]]
    groups = group_by_ground(chosen, in_test(*chosen))
    assert [group.stores for group in groups] == [[stores["low"], stores["mid"]], [other]]
    assert all(group.grounds for group in groups)


def test_ground_that_one_store_trained_on_is_not_shared(stores, tmp_path):
    data = make_dataset(tmp_path / "data", SCENES, 200)
    inria = prepare(data, tmp_path / "inria", grid=2, size=40, split="inria", workers=1)  # numbers above 5 train
    assert covering_tile(inria, Ground("aba9", "aba", (0, 0, 40, 40))) is not None
    assert shared_grounds([stores["high"], inria], {stores["high"].fingerprint: "test", inria.fingerprint: "val"}) == []


def test_one_split_for_all_where_that_is_possible(stores, tmp_path):
    low = stores["low"]
    few = prepare(make_dataset(tmp_path / "few", ("aba1", "aba7"), 64), tmp_path / "a", grid=1, size=40, split="digits", workers=1)
    fewer = prepare(make_dataset(tmp_path / "fewer", ("aba1",), 64), tmp_path / "b", grid=1, size=40, split="digits", workers=1)
    assert set(chosen_splits([low, stores["mid"]], "test").values()) == {"test"}
    assert set(chosen_splits([low, few], "test").values()) == {"val"}
    assert list(chosen_splits([low, few, fewer], "test").values()) == ["test", "val", "train"]


def test_scored_tiles_are_spread_over_places_and_the_same_in_another_store(stores):
    high, filtered = stores["high"], stores["filtered"]
    assert scored_tiles(high, "test", 1000) == high.ids("test").tolist()
    chosen = scored_tiles(high, "test", 20)
    assert Counter(high.rows[i].place for i in chosen) == {"aba": 10, "oro": 10}
    assert chosen == sorted(chosen) != high.ids("test").tolist()[:20]
    kept = {filtered.rows[i].sha256 for i in filtered.ids("test")}
    assert 0 < len(kept) < len(high.ids("test"))
    again = {filtered.rows[i].sha256 for i in scored_tiles(filtered, "test", 20)}
    assert {high.rows[i].sha256 for i in chosen} & kept <= again
