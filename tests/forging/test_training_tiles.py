"""Forging from prepared tiles: the masks of those that train, and no other."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from towns import SIDE_PX, town_mask

from conftest import make_grid, make_image, write_tiff
from orthoforge.cli import main
from orthoforge.errors import ConfigError, DataError
from orthoforge.forging.forge import forge
from orthoforge.geo.rasters import open_raster, read_mask
from orthoforge.tiles.manifest import MANIFEST, STORE, manifest_sha256
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore

# Six scenes of a 200 m town, each four tiles.
TILE_PX = SIDE_PX // 2
PALETTE = {"Water": [0, 0, 255], "Buildings": [255, 0, 0], "Land": [0, 255, 0]}


def town(folder: Path, *, classes: bool = False, names: str = "elm{}", placed: bool = True) -> Path:
    grid = make_grid(SIDE_PX) if placed else None
    for number in range(6):
        mask, name = town_mask(number), names.format(number + 1)
        write_tiff(folder / f"images/{name}.tif", make_image(mask), grid)
        if classes:
            labels = np.where(mask, 1, 2)
            labels[:8] = 0
            mask = np.array(list(PALETTE.values()), np.uint8)[labels]
        write_tiff(folder / f"masks/{name}.tif", mask, grid)
    return folder


def tiles_of(data: Path, out: Path, **options) -> Path:
    prepare(data, out, size=TILE_PX, grid=2, **options)
    return out


def with_rows(tiles: Path, change) -> None:
    """The store with other rows, as if it had been prepared so."""
    lines = "".join(json.dumps(change(row).to_json()) + "\n" for row in TileStore.open(tiles).rows).encode()
    body = json.loads((tiles / STORE).read_text())
    (tiles / MANIFEST).write_bytes(lines)
    (tiles / STORE).write_text(json.dumps(body | {"fingerprint": manifest_sha256(lines)}))


@pytest.fixture(scope="module")
def tiles(tmp_path_factory) -> Path:
    """Tiles whose first scene trains not, and whose second trains in part."""
    out = tiles_of(town(tmp_path_factory.mktemp("elm") / "data"), tmp_path_factory.mktemp("elm") / "tiles")

    def split(row):
        held_back = row.scene == "elm1" or (row.scene == "elm2" and row.index)
        return replace(row, split=("val", "test", "buffer", "test")[row.index] if held_back else "train")

    with_rows(out, split)
    return out


def tile_of(source: str) -> tuple[str, int, int]:
    """Scene, row and column of a source's name."""
    row, col, scene = source.split("_", 2)
    return scene, int(row.removeprefix("r")), int(col.removeprefix("c"))


def test_training_tiles_alone_are_sources(tiles, tmp_path, capsys):
    store = TileStore.open(tiles)
    training = {(row.scene, row.window.row, row.window.col) for row in store.rows if row.split == "train"}
    assert len(training) == 17
    made = forge(tiles, tmp_path / "out", count=34, how="transform", seed=1)  # each source comes twice
    assert Counter(tile_of(source) for row in made.rows for source in row["sources"]) == dict.fromkeys(training, 2)
    assert f"from the 17 training tiles of {tiles}; none of validation or test" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["recombine", "streets"])
def test_what_is_measured_is_of_training_tiles_alone(tiles, tmp_path, how):
    """Other tiles may hold anything: the same masks come out."""
    made = forge(tiles, tmp_path / "out", count=2, how=how)
    (shard,) = (tiles / "together").glob("*.masks.npy")  # small scenes share one
    assert shard.name.startswith("elm1.")  # whose tiles come first
    kept, changed = shard.read_bytes(), np.load(shard)
    changed[: sum(row.scene == "elm1" for row in TileStore.open(tiles).rows)] = 255
    np.save(shard, changed)
    try:
        again = forge(tiles, tmp_path / "again", count=2, how=how)
    finally:
        shard.write_bytes(kept)
    assert [path.read_bytes() for path in again.masks] == [path.read_bytes() for path in made.masks]


def test_a_mask_lies_where_its_tile_does_and_a_second_call_keeps_it(tiles, tmp_path):
    made = forge(tiles, tmp_path / "out", count=3)
    grids = {(row.scene, row.window.row, row.window.col): row.grid for row in TileStore.open(tiles).rows}
    for path, row in zip(made.masks, made.rows, strict=True):
        with open_raster(path) as raster:
            assert raster.grid == grids[tile_of(row["sources"][0])]
    assert [path.stem for path in made.masks] == ["elm_1001", "elm_1002", "elm_1003"]
    assert made.cards["elm"].real.unit == "m"
    assert forge(tiles, tmp_path / "out", count=3).kept == 3


def test_tiles_without_a_place_on_earth_keep_their_pixel_size(tmp_path):
    data = town(tmp_path / "data", placed=False)
    made = forge(tiles_of(data, tmp_path / "tiles", pixel_size=0.3), tmp_path / "out", count=8, how="transform")
    assert {tile_of(source)[1:] for row in made.rows for source in row["sources"]} > {(0, 0)}
    assert made.cards["elm"].real.unit == "m"
    for path in made.masks:
        with open_raster(path) as raster:
            assert raster.grid.transform.is_identity
            assert raster.grid.gsd_m() == pytest.approx(0.3)
    bare = forge(tiles_of(data, tmp_path / "bare"), tmp_path / "px", count=1)
    assert bare.cards["elm"].real.unit == "px"


def test_places_are_those_of_the_tiles(tmp_path):
    data = town(tmp_path / "data", names="rf_{}")
    (tmp_path / "places.csv").write_text("rf_[1-3],village\nrf_*,hamlet\n")
    tiles = tiles_of(data, tmp_path / "tiles", places=tmp_path / "places.csv")
    made = forge(tiles, tmp_path / "out", count=1)
    assert [row["place"] for row in made.rows] == ["village", "hamlet"]
    scenes = {row["place"]: tile_of(row["sources"][0])[0] for row in made.rows}
    assert scenes["village"] in ("rf_1", "rf_2", "rf_3")
    assert scenes["hamlet"] in ("rf_4", "rf_5", "rf_6")


def test_of_classes_the_buildings_are_forged(tmp_path):
    (tmp_path / "palette.json").write_text(json.dumps(PALETTE))
    of_classes = tiles_of(town(tmp_path / "classes", classes=True), tmp_path / "tiles", palette=tmp_path / "palette.json")
    plain = tiles_of(town(tmp_path / "plain"), tmp_path / "same")
    options = {"count": 4, "seed": 5, "how": "transform"}
    made = forge(of_classes, tmp_path / "out", **options)
    same = forge(plain, tmp_path / "other", **options)
    for one, other in zip(made.masks, same.masks, strict=True):
        with open_raster(one) as raster, open_raster(other) as beside:
            labels, expected = read_mask(raster), read_mask(beside)
        assert set(np.unique(labels)) == {0, 255}
        assert np.mean(labels != expected) < 0.1  # the strip of water alone
    with pytest.raises(DataError, match="0 whole buildings in 24 masks"):  # the land around them is one piece, and is cut
        forge(of_classes, tmp_path / "land", building=["land"], **options)
    with pytest.raises(ConfigError, match="no class of the palette is called so"):
        forge(of_classes, tmp_path / "no", building=["roof"], **options)


def test_a_store_without_training_tiles_is_refused(tmp_path, capsys):
    data = town(tmp_path / "data")
    bare = tiles_of(data, tmp_path / "bare")
    with_rows(bare, lambda row: replace(row, split="test"))
    with pytest.raises(DataError, match=r"bare: none of its 24 tiles trains"):
        forge(bare, tmp_path / "out")
    with_rows(bare, lambda row: replace(row, split="train", synthetic=True))
    with pytest.raises(DataError, match=r"its training tiles are all of synthetic images"):
        forge(bare, tmp_path / "out")
    with_rows(bare, lambda row: replace(row, synthetic=row.scene != "elm3"))
    out = tmp_path / "few"
    assert main(["forge", str(bare), "--out", str(out), "--count", "4", "--how", "transform"]) == 0
    sources = [source for line in (out / "forged.jsonl").read_text().splitlines() for source in json.loads(line)["sources"]]
    assert {tile_of(source)[0] for source in sources} == {"elm3"}
    assert "from the 4 training tiles of" in (said := capsys.readouterr().err)
    assert "(20 more are of synthetic images); none of validation or test" in said


@pytest.mark.parametrize("option", [{"palette": "palette.json"}, {"places": "places.csv"}, {"threshold": 3}, {"building": ["1"]}])
def test_what_tiles_say_themselves_is_not_told_again(tiles, tmp_path, option):
    with pytest.raises(ConfigError, match=f"{next(iter(option))}.*[Ll]eave"):
        forge(tiles, tmp_path / "out", **option)
