import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from conftest import UTM, make_dataset, make_grid, make_image, make_mask, make_pair, write_tiff
from orthoforge import files
from orthoforge.errors import ConfigError, DataError, GridError, LockedError, OutputExistsError, ResourceError
from orthoforge.files import lock
from orthoforge.geo.cog import write_raster
from orthoforge.geo.grid import Grid, Window
from orthoforge.geo.rasters import raster as raster_module
from orthoforge.tiles import manifest, records, scene_tiles, shards, survey
from orthoforge.tiles import prepare as prepare_module
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore

NAMES = [f"austin{number}" for number in range(1, 5)]
SRC = Path(__file__).parents[2] / "src"


@pytest.fixture
def data(tmp_path):
    return make_dataset(tmp_path / "data", NAMES)


@pytest.fixture
def alone(monkeypatch):
    """Scenes have shards of their own, however small they are."""
    monkeypatch.setattr(shards, "_SMALL_BYTES", 0)


def content(folder):
    """Every file of a folder, hidden ones too, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def body(folder):
    return json.loads((folder / "store.json").read_text())


def test_tiles_lie_where_their_window_says(data, tmp_path):
    store = prepare(data, tmp_path / "tiles", grid=2, size=32)
    image, mask = make_image(make_mask(seed=1), seed=1), make_mask(seed=1)
    rows = [row for row in store.rows if row.scene == "austin2"]
    assert [row.window for row in rows] == [Window(r, c, 32, 32) for r in (0, 32) for c in (0, 32)]
    for tile_id, row in enumerate(store.rows):
        if row.scene == "austin2":
            np.testing.assert_array_equal(store.tile(tile_id)[0], image[row.window.slices])
            np.testing.assert_array_equal(store.tile(tile_id)[1], mask[row.window.slices])
            assert row.building_share == (mask[row.window.slices] > 0).mean()
    assert rows[3].grid == Grid(32, 32, make_grid().transform @ Affine.translation(32, 32), UTM)
    assert store.verify() == []


def test_the_whole_scene_is_the_default(data, tmp_path):
    store = prepare(data, tmp_path / "tiles", size=16)
    assert len(store.rows) == 4
    assert store.settings["grid"] == 1
    assert store.gsd_m == pytest.approx(4 * 0.3, rel=0.01)
    assert store.rows[0].grid.transform.a == pytest.approx(1.2)


def test_gsd_cuts_by_ground_size(data, tmp_path, capsys):
    make_pair(data, "hut1", 20)
    make_pair(data, "vienna1", 100)
    store = prepare(data, tmp_path / "tiles", gsd=0.6, size=20)
    assert {row.window[2:] for row in store.rows} == {(40, 40)}
    assert [row.scene for row in store.rows] == [*NAMES, *["vienna1"] * 4]
    assert store.gsd_m == pytest.approx(0.6, rel=0.001)
    assert body(tmp_path / "tiles")["counts"]["too_small"] == ["hut1"]
    said = capsys.readouterr().out
    assert "1 scene skipped, smaller than one tile: hut1" in said
    assert "at the right and bottom of scenes no whole tile of 20 px fits" in said and "--size" in said


@pytest.mark.parametrize(("side", "size", "advised"), [(130, 96, "--size 64 would leave out 3.1 %"), (200, 96, None)])
def test_pixels_that_fill_no_tile_are_told_with_the_size_that_saves_them(tmp_path, capsys, side, size, advised):
    for number in range(4):
        make_pair(tmp_path / "data", f"town{number}", side)
    prepare(tmp_path / "data", tmp_path / "tiles", gsd=0.3, size=size)
    said = capsys.readouterr().out
    assert f"no whole tile of {size} px fits" in said
    assert (advised in said) if advised else ("would leave out" not in said)
    prepare(tmp_path / "data", tmp_path / "again", gsd=0.3, size=64)
    assert advised is None or body(tmp_path / "again")["counts"]["rest_share"] == pytest.approx(0.031, abs=0.001)


def test_metres_of_pixels_in_degrees_are_those_on_the_ground(tmp_path):
    """At 69° north a degree of longitude has 40 km, one of latitude 111.6 km: windows are not square, their ground is."""
    grid = Grid(120, 120, Affine(3e-6, 0, 18.9, 0, -3e-6, 69.6), CRS.from_epsg(4326))
    write_tiff(tmp_path / "data/images/tromso1.tif", make_image(make_mask(120)), grid)
    write_tiff(tmp_path / "data/masks/tromso1.tif", make_mask(120), grid)
    width_m, height_m = grid.pixel_m()
    assert height_m > 2.5 * width_m
    store = prepare(tmp_path / "data", tmp_path / "by_gsd", gsd=0.6, size=8)
    assert store.rows[0].window[2:] == (round(8 * 0.6 / height_m), round(8 * 0.6 / width_m))
    tile_width_m, tile_height_m = store.rows[0].grid.pixel_m()
    assert store.gsd_m == pytest.approx((tile_width_m + tile_height_m) / 2, rel=1e-4)
    store = prepare(tmp_path / "data", tmp_path / "by_number", grid=3, size=20)
    assert store.gsd_m == pytest.approx(2 * (width_m + height_m) / 2, rel=1e-4)


@pytest.mark.parametrize("gsd", [0.3, 0.6, 0.5])
def test_the_resolution_that_was_asked_for_is_stored_to_the_last_digit(tmp_path, gsd):
    make_pair(tmp_path / "data", "a1", 200)
    store = prepare(tmp_path / "data", tmp_path / "tiles", gsd=gsd, size=60)
    assert make_grid().gsd_m() != 0.3  # on the ellipsoid
    assert (store.gsd_m, store.rows[0].gsd_m) == (gsd, gsd)
    assert gsd == 0.5 or store.rows[0].grid.transform.a == gsd


def test_a_rest_is_dropped_and_never_squeezed_in(tmp_path):
    make_pair(tmp_path / "data", "a1", (64, 100))
    store = prepare(tmp_path / "data", tmp_path / "tiles", grid=1, size=64)
    assert [row.window for row in store.rows] == [Window(0, 0, 64, 64)]
    assert body(tmp_path / "tiles")["counts"]["rest_share"] == 0.36


def test_tiles_with_little_building_are_left_out(data, tmp_path, capsys):
    whole = prepare(data, tmp_path / "all", grid=2, size=32)
    share = float(np.median([row.building_share for row in whole.rows]))
    store = prepare(data, tmp_path / "some", grid=2, size=32, min_building=share)
    kept = [row for row in whole.rows if row.building_share >= share]
    assert [(row.scene, row.window, row.sha256) for row in store.rows] == [(row.scene, row.window, row.sha256) for row in kept]
    assert store.verify() == []
    assert f"{16 - len(kept)} tiles left out for their small share of building" in capsys.readouterr().out
    with pytest.raises(DataError, match=r"no tile has a building share of 0\.99 or more"):
        prepare(data, tmp_path / "none", grid=2, min_building=0.99)


@pytest.mark.parametrize("how", ["alpha", "mask"])
def test_tiles_whose_image_has_no_data_are_left_out_and_counted(tmp_path, capsys, how):
    """A scene of 2 × 4 tiles: the first two are empty, the third has data on 5 %, the fourth on a half, the others everywhere."""
    image, mask, grid = np.full((32, 64, 3), 90, np.uint8), np.zeros((32, 64), np.uint8), make_grid((32, 64))
    mask[:, 32:40] = 255
    valid = np.ones((32, 64), bool)
    valid[:16, :48] = False
    valid[:1, 32:44] = True  # 12 of 256 pixels
    valid[:16, 48:56] = False
    image_path = tmp_path / "data/images/a1.tif"
    if how == "alpha":
        pixels = np.dstack([image, valid * np.uint8(255)])
        write_tiff(image_path, pixels, grid, photometric="RGB", alpha="YES")
    else:
        write_raster(image_path, image, grid, valid=valid)
    write_tiff(tmp_path / "data/masks/a1.tif", mask, grid)
    bands = [1, 2, 3] if how == "alpha" else None
    for _ in range(2):
        store = prepare(tmp_path / "data", tmp_path / "tiles", grid=2, size=16, bands=bands, seed=1, overwrite=True)
        assert [tuple(row.window[:2]) for row in store.rows] == [(0, 48), (16, 0), (16, 16), (16, 32), (16, 48)]
        counts = body(store.path)["counts"]
        assert (counts["without_data"], counts["partly_without_data"], counts["below_min_building"]) == (3, 1, 0)
        said = capsys.readouterr().out
        assert "3 tiles left out because the image has data on less than 10 % of their ground" in said
        assert "1 tile kept whose image lacks data on a part of their ground" in said
        assert store.verify() == []
    assert "1 scene kept from an earlier run" in said
    some = prepare(tmp_path / "data", tmp_path / "some", grid=2, size=16, bands=bands, min_building=0.1)
    assert [tuple(row.window[:2]) for row in some.rows] == [(16, 32)]
    assert body(some.path)["counts"]["below_min_building"] == 4


def test_scenes_without_any_data_are_an_error(tmp_path):
    write_raster(tmp_path / "data/images/a1.tif", np.zeros((32, 32, 3), np.uint8), make_grid(32), valid=np.zeros((32, 32), bool))
    write_tiff(tmp_path / "data/masks/a1.tif", make_mask(32), make_grid(32))
    with pytest.raises(DataError, match=r"no tile's image holds data on 10 % of its ground or more"):
        prepare(tmp_path / "data", tmp_path / "tiles", size=16)


def test_classes_come_from_a_palette(tmp_path):
    labels = np.array([[0, 0, 1, 1], [0, 2, 1, 1], [2, 2, 2, 0], [2, 2, 0, 0]], np.uint8).repeat(8, 0).repeat(8, 1)
    colours = np.array([[0, 0, 0], [200, 30, 30], [10, 20, 250]], np.uint8)
    (tmp_path / "palette.json").write_text('{"Land": [0, 0, 0], "Building": [200, 30, 30], "Water": [10, 20, 250]}')
    write_tiff(tmp_path / "data/images/a1.tif", np.zeros((32, 32, 3), np.uint8), make_grid(32))
    write_tiff(tmp_path / "data/masks/a1.tif", colours[labels], make_grid(32))
    store = prepare(tmp_path / "data", tmp_path / "tiles", size=2, palette=tmp_path / "palette.json")
    assert store.classes.names == ("Land", "Building", "Water")
    assert store.tile(0)[1].tolist() == [[0, 1], [2, 0]]
    assert store.rows[0].building_share == 0.25
    assert store.mask_rgb(store.tile(0)[1])[0, 1].tolist() == [200, 30, 30]
    write_tiff(tmp_path / "indices/masks/a1.tif", labels, make_grid(32))  # the same as values of one band
    write_tiff(tmp_path / "indices/images/a1.tif", np.zeros((32, 32, 3), np.uint8), make_grid(32))
    (tmp_path / "values.json").write_text('{"Land": 0, "Building": {"colour": [200, 30, 30], "value": 1}, "Water": 2}')
    by_value = prepare(tmp_path / "indices", tmp_path / "by value", size=2, palette=tmp_path / "values.json")
    assert by_value.fingerprint == store.fingerprint
    assert by_value.classes.values == ((0,), (1,), (2,))
    (tmp_path / "palette.json").write_text('{"Land": [0, 0, 0], "Roof": [200, 30, 30]}')
    with pytest.raises(DataError, match=r"a1\.tif: colours that are not in the palette: \[10, 20, 250\] in 37\.5 % of pixels"):
        prepare(tmp_path / "data", tmp_path / "other", palette=tmp_path / "palette.json")
    with pytest.raises(ConfigError, match="no class is called building"):
        prepare(tmp_path / "data", tmp_path / "other", palette=tmp_path / "palette.json", min_building=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": 2, "gsd": 0.3}, "Pass one of them"),
        ({"grid": 0}, "grid is 0"),
        ({"gsd": -1}, "gsd is -1"),
        ({"size": 0}, "size is 0"),
        ({"min_building": 25}, r"min_building is 25; it is a share from 0 to 1"),
        ({"split": "odd"}, "split is 'odd'; known are digits, inria, blocks, random"),
        ({"workers": 0}, "workers is 0"),
        ({"gsd": 0.1}, r"austin1: its pixels are 0\.3 m, so tiles of 0\.1 m would hold invented detail"),
    ],
)
def test_impossible_settings_are_refused(data, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        prepare(data, tmp_path / "tiles", **options)
    assert not (tmp_path / "tiles" / "store.json").exists()


def test_scenes_without_crs_need_a_number_of_tiles(tmp_path, capsys):
    make_dataset(tmp_path / "data", [f"a{number}" for number in range(10)], crs=None, suffix=".png")
    with pytest.raises(GridError, match=r"a0: does not say how large its pixels are .* no CRS.*--grid"):
        prepare(tmp_path / "data", tmp_path / "tiles", gsd=0.3)
    store = prepare(tmp_path / "data", tmp_path / "tiles", grid=1, size=32)
    assert store.gsd_m is None
    assert store.rows[0].grid.crs is None
    assert "10 scenes without CRS: whether they touch one another cannot be known" in capsys.readouterr().out


def test_a_mask_may_lend_its_crs(tmp_path):
    grid, mask = make_grid(32), make_mask(32)
    write_tiff(tmp_path / "data/images/a1.tif", make_image(mask))
    write_tiff(tmp_path / "data/masks/a1.tif", mask, grid)
    assert prepare(tmp_path / "data", tmp_path / "tiles", gsd=0.3, size=32).rows[0].grid == grid


def test_an_image_and_a_mask_apart_are_refused(data, tmp_path):
    shifted = Grid(64, 64, make_grid().transform @ Affine.translation(0.5, 0), UTM)
    write_tiff(data / "masks/austin2.tif", make_mask(), shifted)
    with pytest.raises(GridError, match=r"austin2: mask lies 0\.50 px off the image's grid"):
        prepare(data, tmp_path / "tiles")
    write_tiff(data / "masks/austin2.tif", make_mask(), make_grid(crs=CRS.from_epsg(32634)))
    with pytest.raises(GridError, match="austin2: mask is in EPSG:32634 but image is in EPSG:32633"):
        prepare(data, tmp_path / "tiles")


def break_scenes(data):
    """A truncated image, a mask of odd values, an image of four bands, a lonely file, and a good rest."""
    image = data / "images/austin1.tif"
    image.write_bytes(image.read_bytes()[:9000])
    mask = make_mask()
    mask[0, :41] = 37
    write_tiff(data / "masks/austin2.tif", mask, make_grid())
    write_tiff(data / "images/austin3.tif", np.zeros((64, 64, 4), np.uint8), make_grid())
    (data / "masks/austin5.tif").write_bytes((data / "masks/austin4.tif").read_bytes())


def test_bad_scenes_are_named(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("orthoforge.tiles.cutting._STRIP_PIXELS", 64 * 10)
    break_scenes(data)
    tiles = tmp_path / "tiles"
    with pytest.raises(DataError, match=r"masks/austin5\.tif: has no partner.*--skip-bad"):
        prepare(data, tiles)
    (data / "masks/austin5.tif").rename(tmp_path / "austin5.tif")
    with pytest.raises(DataError, match=r"images/austin1\.tif: pixels cannot be read near row|image has 4 bands|value 37"):
        prepare(data, tiles)
    assert not (tiles / "store.json").exists()
    (tmp_path / "austin5.tif").rename(data / "masks/austin5.tif")
    store = prepare(data, tiles, skip_bad=True)
    assert [row.scene for row in store.rows] == ["austin4"]
    assert not list(tiles.glob("austin[123]*"))
    said = capsys.readouterr().out
    assert "4 left out because they cannot be used" in said
    assert "austin1.tif: pixels cannot be read near row" in said
    assert "austin2.tif: mask must hold 0 and 1, or 0 and 255; it has value 37 in 1.0 % of pixels" in said  # of all, not of a strip
    assert body(tiles)["counts"]["left_out"] == ["austin1", "austin2", "austin3", "austin5.tif"]
    assert prepare(data, tiles, skip_bad=True).fingerprint == store.fingerprint
    (data / "masks/austin5.tif").unlink()
    with pytest.raises(OutputExistsError, match="made with other scenes"):  # the bad ones would have to be errors now
        prepare(data, tiles)


def test_all_bad_pairs_are_named(data, tmp_path):
    for name, size in (("austin2", 60), ("austin4", 48)):
        write_tiff(data / "masks" / f"{name}.tif", make_mask(size), make_grid(size))
    with pytest.raises(DataError) as raised:
        prepare(data, tmp_path / "tiles", grid=2, size=32)
    first, *lines = str(raised.value).splitlines()
    assert first == "2 scenes cannot be used. Mend them, or pass --skip-bad to leave them out."
    assert [line.partition(": mask is")[0] for line in lines] == ["- austin2", "- austin4"]
    for number in range(10, 20):
        make_pair(data, f"austin{number}")
        (data / "masks" / f"austin{number}.tif").write_bytes(b"II*\0")
    with pytest.raises(DataError, match=r"^12 scenes cannot be used") as raised:
        prepare(data, tmp_path / "tiles", grid=2, size=32)
    lines = str(raised.value).splitlines()
    assert len(lines) == 12 and lines[-1] == "- and 2 more"
    for number in range(10, 12):
        (data / "masks" / f"austin{number}.tif").unlink()
    with pytest.raises(DataError, match=r"^2 files cannot be paired.*--skip-bad") as raised:
        prepare(data, tmp_path / "tiles", grid=2, size=32)
    assert [Path(line.split(": ")[0]).name for line in str(raised.value).splitlines()[1:]] == ["austin10.tif", "austin11.tif"]


def test_chips_that_keep_their_pixels_need_neither_torch_nor_pandas(data, tmp_path):
    code = (
        "import sys; from orthoforge.tiles.prepare import prepare; prepare(*sys.argv[1:], size=64); "
        "print(sorted({'torch', 'pandas', 'pyogrio', 'scipy'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", code, str(data), str(tmp_path / "tiles")]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(SRC)})
    assert said.stdout.splitlines()[-1] == "[]"


def test_nothing_usable_is_an_error(data, tmp_path):
    with pytest.raises(DataError, match=r"no scene can be used\. The first: austin1: its pixels are"):
        prepare(data, tmp_path / "tiles", gsd=0.1, skip_bad=True)
    with pytest.raises(DataError, match="all 4 scenes are smaller than one tile of 286 px"):
        prepare(data, tmp_path / "tiles", gsd=0.3)


def test_a_scene_without_number_stops_digits_before_any_work(data, tmp_path):
    make_pair(data, "harbour")
    with pytest.raises(DataError, match="harbour: has no number"):
        prepare(data, tmp_path / "tiles", split="digits")
    assert not (tmp_path / "tiles").exists()


def test_workers_change_nothing(data, tmp_path):
    for workers in (1, 3):
        prepare(data, tmp_path / str(workers), grid=3, size=20, workers=workers)
    assert content(tmp_path / "1") == content(tmp_path / "3")


def test_the_same_again_is_done_at_once(data, tmp_path, capsys, monkeypatch):
    first = prepare(data, tmp_path / "tiles", size=32)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "tiles").rglob("*")}
    monkeypatch.setattr(prepare_module, "_for_each", None)
    assert prepare(data, tmp_path / "tiles", size=32).fingerprint == first.fingerprint
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "tiles").rglob("*")} == before


@pytest.mark.parametrize("shared", [False, True])
def test_damaged_tiles_are_named_and_cut_anew(data, tmp_path, capsys, monkeypatch, shared):
    if not shared:
        monkeypatch.setattr(shards, "_SMALL_BYTES", 0)
    tiles = prepare(data, tmp_path / "tiles", grid=2, size=32).path
    made = content(tiles)
    name, last = ("together/austin1.masks.npy", -1 - 32**2 * 4) if shared else ("austin3.masks.npy", -1)
    for finished in (True, False):
        damaged = bytearray(made[name])
        damaged[last] ^= 255
        (tiles / name).write_bytes(damaged)
        if not finished:
            (tiles / "store.json").unlink()
        assert prepare(data, tiles, grid=2, size=32).verify() == []
        said = capsys.readouterr().out
        assert ("1 of 16 tiles are damaged, the first austin3 at row 32, column 32; cut anew" in said) == finished
        assert "austin3: its tile at row 32, column 32 is missing or damaged; cut anew" in said
        assert "3 scenes kept from an earlier run" in said
        assert content(tiles) == made


def test_other_settings_or_scenes_need_overwrite(data, tmp_path, capsys):
    tiles = tmp_path / "tiles"
    prepare(data, tiles, grid=2, size=32)
    for options in ({"size": 16}, {"seed": 1}, {"attribution": "me"}):
        with pytest.raises(OutputExistsError, match=r"holds tiles made with other settings.*--overwrite"):
            prepare(data, tiles, **{"grid": 2, "size": 32} | options)
    make_pair(data, "austin3", seed=9)
    with pytest.raises(OutputExistsError, match="holds tiles made with other scenes"):
        prepare(data, tiles, grid=2, size=32)
    for kind in ("images", "masks"):
        (data / kind / "austin4.tif").unlink()
    capsys.readouterr()
    store = prepare(data, tiles, grid=2, size=32, overwrite=True)
    assert "2 scenes kept from an earlier run" in capsys.readouterr().out
    assert not list(tiles.rglob("*austin4*"))
    assert content(tiles) == content(prepare(data, tmp_path / "fresh", grid=2, size=32).path)
    assert store.verify() == []


def test_a_source_of_the_same_size_and_time_with_other_bytes_is_noticed(data, tmp_path, capsys):
    tiles = prepare(data, tmp_path / "tiles", grid=2, size=32).path
    mask = data / "masks/austin2.tif"
    state, content = mask.stat(), bytearray(mask.read_bytes())
    content[-64 * 64 // 2] ^= 255  # a pixel, uncompressed
    mask.write_bytes(content)
    os.utime(mask, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(OutputExistsError, match="holds tiles made with other scenes"):
        prepare(data, tiles, grid=2, size=32)
    capsys.readouterr()
    store = prepare(data, tiles, grid=2, size=32, overwrite=True)
    assert "3 scenes kept from an earlier run" in capsys.readouterr().out
    assert store.fingerprint == prepare(data, tmp_path / "fresh", grid=2, size=32).fingerprint


def test_a_changed_side_file_is_noticed(tmp_path):
    data = make_dataset(tmp_path / "data", NAMES, crs=None, suffix=".png")
    world = data / "images/austin2.pgw"
    tiles = prepare(data, tmp_path / "tiles", grid=2, size=32).path
    for east in (500_000, 600_000, None):
        world.write_text(f"0.3\n0\n0\n-0.3\n{east}\n5000000\n") if east else world.unlink()
        with pytest.raises(OutputExistsError, match="holds tiles made with other scenes"):
            prepare(data, tiles, grid=2, size=32)
        prepare(data, tiles, grid=2, size=32, overwrite=True)


def test_sources_that_were_only_copied_are_the_same(data, tmp_path, capsys):
    tiles = prepare(data, tmp_path / "tiles", grid=2, size=32).path
    for path in data.rglob("*.tif"):
        os.utime(path, (1, 1))
    prepare(data, tiles, grid=2, size=32)
    assert "nothing to do" in capsys.readouterr().out


def test_another_split_keeps_all_pixels(data, tmp_path, capsys):
    prepare(data, tmp_path / "tiles", size=32)
    store = prepare(data, tmp_path / "tiles", size=32, split="digits", overwrite=True)
    assert [row.split for row in store.rows] == ["train"] * 4
    said = capsys.readouterr().out
    assert "4 scenes kept from an earlier run" in said
    assert "no tile is in val or test" in said


def test_random_is_warned_about(data, tmp_path, capsys):
    prepare(data, tmp_path / "tiles", grid=4, size=16, split="random")
    assert "--split random puts neighbours into different splits" in capsys.readouterr().out


def test_two_writers_on_one_store(data, tmp_path):
    with lock(tmp_path / "tiles"), pytest.raises(LockedError, match="tiles is being written by another process"):
        prepare(data, tmp_path / "tiles")


def test_a_file_in_the_way(data, tmp_path):
    (tmp_path / "tiles").write_text("")
    with pytest.raises(OutputExistsError, match="tiles is a file"):
        prepare(data, tmp_path / "tiles")


def test_room_on_the_disk_is_looked_at_first(data, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda path: usage._replace(free=10_000))
    with pytest.raises(ResourceError, match="a store of 4 tiles needs about 1 MB, the disk has 0 MB left"):
        prepare(data, tmp_path / "tiles")
    assert not (tmp_path / "tiles").exists()


def test_a_disk_that_fills_up_leaves_nothing_half_written(data, tmp_path):
    tiles = tmp_path / "tiles"
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, kept[1]))  # the kernel refuses to let a file grow beyond it
    try:
        with pytest.raises(ResourceError, match="no space left"):
            prepare(data, tiles, size=128, workers=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)
    assert not list(tiles.rglob("*.npy*"))
    assert not (tiles / "store.json").exists()
    assert prepare(data, tiles, size=128).verify() == []


SLOW = """
import sys, time
from pathlib import Path
from orthoforge.tiles import records, shards, survey
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore
survey._AHEAD_BYTES, shards._MEAN_SCENES, shards._SMALL_BYTES = map(int, sys.argv[3:])
write_json = records.write_json
def slowly(*args, **options):
    time.sleep(0.05)
    return write_json(*args, **options)
records.write_json = slowly
prepare(Path(sys.argv[1]), Path(sys.argv[2]), grid=2, size=32, workers=2)
"""


@pytest.mark.parametrize("ahead_bytes", [0, 2**26])
@pytest.mark.parametrize("small_bytes", [0, 2**22])
def test_killed_and_run_again_it_goes_on(warm_python, tmp_path, capsys, monkeypatch, ahead_bytes, small_bytes):
    monkeypatch.setattr(shards, "_MEAN_SCENES", 2)
    monkeypatch.setattr(shards, "_SMALL_BYTES", small_bytes)
    data, tiles = make_dataset(tmp_path / "data", [f"a{number}" for number in range(24)]), tmp_path / "tiles"
    process = warm_python.start("-c", SLOW, data, tiles, ahead_bytes, 2, small_bytes)
    deadline = time.monotonic() + 60
    while len(list((tiles / ".records").rglob("a*.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    warm_python.kill(process)
    finished = sum(map(len, records.recorded_scenes(tiles).values()))
    assert 3 <= finished < 24
    assert not (tiles / "store.json").exists()
    for shard in tiles.rglob("*.npy"):  # what has its final name is whole
        assert np.load(shard, mmap_mode="r").shape[0] % 4 == 0
    prepare(data, tiles, grid=2, size=32)
    said = capsys.readouterr().out
    assert f"{finished} scenes kept from an earlier run" in said
    assert not list(tiles.rglob("*.partial"))
    whole = prepare(data, tmp_path / "whole", grid=2, size=32).path
    visible = {name: text for name, text in content(tiles).items() if not name.endswith(".lock")}
    assert visible == content(whole)


def test_a_small_pair_is_opened_once(data, tmp_path, monkeypatch):
    opened = []
    reader = raster_module.Reader
    monkeypatch.setattr(
        raster_module, "Reader", lambda path, *args, **options: opened.append(path) or reader(path, *args, **options)
    )
    prepare(data, tmp_path / "tiles", grid=2, size=32)
    assert sorted(opened) == sorted(data.glob("*/*.tif"))


@pytest.mark.parametrize(
    "options", [{"grid": 2, "size": 20}, {"gsd": 0.3, "size": 64}, {"gsd": 0.6, "size": 16, "min_building": 0.1}]
)
def test_tiles_that_are_cut_ahead_are_the_same(data, tmp_path, monkeypatch, options):
    cut_ahead = prepare(data, tmp_path / "ahead", **options).path
    for room in (0, 40_000):  # of none, and of some
        monkeypatch.setattr(survey, "_AHEAD_BYTES", room)
        assert content(prepare(data, tmp_path / str(room), workers=1, **options).path) == content(cut_ahead)


def test_a_store_is_the_same_as_ever(tmp_path):
    """Its fingerprint: a run that was trained on it refuses to go on with another. Without coordinates it depends on no library."""
    data = make_dataset(tmp_path / "data", NAMES, crs=None, suffix=".png")
    store = prepare(data, tmp_path / "tiles", size=64)
    assert store.fingerprint == "f13c98ad9f5d765fa11c643b993890b199183f3072537441dc1374057da2aebc"


def test_shards_of_small_scenes_are_on_the_medium_before_the_store_is_there(data, tmp_path, monkeypatch):
    forced = []
    monkeypatch.setattr(shards, "sync", lambda path: forced.append((path.name, (tmp_path / "tiles/store.json").exists())))
    prepare(data, tmp_path / "tiles", grid=2, size=32)
    made = list((tmp_path / "tiles/together").glob("*.npy"))
    assert len(made) == 2
    assert {(f".{path.name}.partial", False) for path in made} <= set(forced)


@pytest.mark.parametrize("ahead_bytes", [0, 2**26])
def test_a_source_that_changes_while_it_is_read_is_cut_anew(data, tmp_path, monkeypatch, capsys, ahead_bytes):
    tiles, mask, cut_images = tmp_path / "tiles", data / "masks/austin2.tif", scene_tiles.cut_images

    def changing(*args):
        calls.append(args)
        if len(calls) == 3:  # two rows of windows of the first scene, then the second's
            mask.write_bytes(mask.read_bytes() + bytes(1))
        return cut_images(*args)

    monkeypatch.setattr(survey, "_AHEAD_BYTES", ahead_bytes)
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(scene_tiles, "cut_images", changing)
    prepare(data, tiles, grid=2, size=32, workers=1)
    monkeypatch.setattr(scene_tiles, "cut_images", cut_images)
    with pytest.raises(OutputExistsError, match="holds tiles made with other scenes"):
        prepare(data, tiles, grid=2, size=32)
    capsys.readouterr()
    prepare(data, tiles, grid=2, size=32, overwrite=True)
    assert "3 scenes kept from an earlier run" in capsys.readouterr().out


def make_synthetic(data, name, *, made_from="", suffix=".tif", seed=50):
    """A pair like that of the tags that generated images and their masks have."""
    mask = make_mask(seed=seed)
    tags = {"SYNTHETIC": "YES"}, {"SOURCE_SCENES": made_from}
    arrays = make_image(mask, seed=seed), mask
    for folder, array, tagged in zip(("images", "masks"), arrays, tags, strict=True):
        write_raster(data / folder / f"{name}{suffix}", array, make_grid(), tags=tagged)


@pytest.mark.parametrize("split", ["digits", "blocks", "random"])
@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_synthetic_scenes_train_and_change_nothing_else(tmp_path, split, suffix, capsys):
    data = tmp_path / "data"
    for number in range(20):
        place = make_grid(10_000).window(Window(100 * number, 0, 64, 64))
        mask = make_mask(seed=number)
        write_tiff(data / f"images/austin{number}.tif", make_image(mask, seed=number), place)
        write_tiff(data / f"masks/austin{number}.tif", mask, place)
    settings = {"grid": 2, "size": 16, "split": split, "seed": 1}
    before = prepare(data, tmp_path / "before", **settings)
    make_synthetic(data, "austin9009", suffix=suffix)  # the split of 2021 would test on it
    make_synthetic(data, "harbour", suffix=suffix)  # no number, which it asks of real scenes
    capsys.readouterr()
    after = prepare(data, tmp_path / "after", **settings)
    assert "8 tiles of 2 scenes are synthetic; all of them train" in capsys.readouterr().out
    assert tuple(row for row in after.rows if not row.synthetic) == before.rows
    assert [(row.scene, row.split) for row in after.rows if row.synthetic] == [("austin9009", "train")] * 4 + [
        ("harbour", "train")
    ] * 4
    counts = body(tmp_path / "after")["counts"]
    assert counts["synthetic"] == {"scenes": 2, "tiles": 8}
    assert counts["splits"]["train"] == body(tmp_path / "before")["counts"]["splits"]["train"] + 8
    assert "synthetic" not in (tmp_path / "before/manifest.jsonl").read_text() + (tmp_path / "before/store.json").read_text()
    assert after.verify() == []


def test_synthetic_scenes_of_masks_that_are_held_back_get_a_note(tmp_path):
    data = make_dataset(tmp_path / "data", [f"austin{number}" for number in range(10)])
    make_synthetic(data, "austin10", made_from="austin1, austin2")
    notes = body(prepare(data, tmp_path / "one", size=16, split="digits").path)["counts"]["notes"]
    assert not notes
    make_synthetic(data, "austin11", made_from="austin2, austin9")
    (note,) = body(prepare(data, tmp_path / "two", size=16, split="digits").path)["counts"]["notes"]
    assert note.startswith("1 synthetic scene was made from masks of scenes that are in val or test here (austin11)")


@pytest.mark.usefixtures("alone")
def test_a_record_of_an_earlier_version_does_not_hide_what_is_synthetic(tmp_path):
    data = make_dataset(tmp_path / "data", NAMES)
    make_synthetic(data, "austin20")
    tiles = prepare(data, tmp_path / "tiles", size=16).path
    record = tiles / ".records/austin20.json"
    told = json.loads(record.read_text())
    for row in told["rows"]:
        del row["synthetic"]
    record.write_text(json.dumps(told))
    again = prepare(data, tiles, size=16, seed=1, overwrite=True)
    assert [row.scene for row in again.rows if row.synthetic] == ["austin20"]


def test_scenes_that_show_the_same_ground_in_other_crss_are_not_in_other_splits(tmp_path, capsys):
    """The published numbers of EPSG:32633 and 25833 are the same; a copy of a held-out scene in the other must not train."""
    data = tmp_path / "data"
    for number in range(20):
        for name, crs in ((f"town{number}", UTM), (f"again{number}", CRS.from_epsg(25833))):
            grid = Grid(64, 64, make_grid().transform @ Affine.translation(1000 * number, 0), crs)
            write_tiff(data / f"images/{name}.tif", make_image(make_mask(seed=number), seed=number), grid)
            write_tiff(data / f"masks/{name}.tif", make_mask(seed=number), grid)
    store = prepare(data, tmp_path / "tiles", grid=1, size=32)
    assert "different CRSs" not in capsys.readouterr().out
    splits = {row.scene: row.split for row in store.rows}
    assert set(splits.values()) == {"train", "val", "test"}
    assert all(splits[f"town{number}"] == splits[f"again{number}"] for number in range(20))


def test_a_crs_without_a_place_on_earth_gets_a_note(tmp_path):
    data = make_dataset(tmp_path / "data", ["town1"])
    make_pair(data, "site1", crs=CRS.from_wkt('LOCAL_CS["building site",UNIT["metre",1]]'))
    (note, _) = body(prepare(data, tmp_path / "tiles", size=16).path)["counts"]["notes"]
    assert note == ("scenes in a CRS without a known place on Earth are taken not to touch those in another one (building site).")


@pytest.mark.real_data
def test_real_scenes_are_split_without_contact(shared_data, tmp_path):
    store = prepare(shared_data / "building", tmp_path / "tiles", grid=2, size=64)
    counts = body(tmp_path / "tiles")["counts"]["splits"]
    assert sum(counts.values()) == len(store.rows) >= 400
    assert min(counts["val"], counts["test"]) >= 0.1 * len(store.rows)
    assert counts["buffer"] <= 0.15 * len(store.rows)
    placed = [row for row in store.rows if row.grid.crs and row.split != "buffer"]
    boxes = np.array([row.grid.bounds for row in placed])
    for box, row in zip(boxes, placed, strict=True):
        others = boxes[[other.split != row.split and other.grid.crs == row.grid.crs for other in placed]]
        apart = (box[:2] > others[:, 2:]).any(axis=1) | (others[:, :2] > box[2:]).any(axis=1)
        assert apart.all()


def plain_stats(data, name):
    """What earlier versions recorded of a pair."""
    states = [(data / folder / f"{name}.tif").stat() for folder in ("images", "masks")]
    return [[state.st_size, state.st_mtime_ns] for state in states]


@pytest.mark.usefixtures("alone")
def test_a_store_of_an_earlier_version_is_cut_anew(data, tmp_path, capsys):
    first = prepare(data, tmp_path / "tiles", grid=2, size=32)
    made = content(tmp_path / "tiles")
    for record in (tmp_path / "tiles" / ".records").glob("*.json"):
        old = json.loads(record.read_text())
        if "made_by" in old:
            old["made_by"]["format"], old["rows"][0]["building_share"] = 1, 0.5
        else:
            del old["format"]
            old["sources"] = {name: plain_stats(data, name) for name in old["sources"]}
        record.write_text(json.dumps(old))
    store = tmp_path / "tiles" / "store.json"
    store.write_text(store.read_text().replace(f'"format": {manifest.FORMAT}', '"format": 1'))
    again = prepare(data, tmp_path / "tiles", grid=2, size=32)
    assert "made by an earlier version of orthoforge; cut anew" in capsys.readouterr().out
    assert again.rows == first.rows
    assert content(tmp_path / "tiles") == made


@pytest.mark.usefixtures("alone")
def test_an_old_store_whose_areas_may_have_overflowed_is_refused(data, tmp_path, monkeypatch):
    prepare(data, tmp_path / "tiles", grid=2, size=32)
    store = tmp_path / "tiles" / "store.json"
    store.write_text(store.read_text().replace(f'"format": {manifest.FORMAT}', '"format": 1'))
    TileStore.open(tmp_path / "tiles")
    monkeypatch.setattr(manifest, "_OVERFLOW", 32**3)
    with pytest.raises(DataError, match=r"counted the areas of such large windows wrongly.*cuts the tiles anew"):
        TileStore.open(tmp_path / "tiles")
