import os
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from conftest import make_grid
from orthoforge.errors import ConfigError, DataError
from orthoforge.geo.cog import assemble, write_block, write_raster
from orthoforge.geo.grid import Grid, Window
from orthoforge.geo.pixel_sizes import PixelSizes, overruled_note
from orthoforge.geo.rasters import open_raster


def table(folder, text):
    path = folder / "sizes.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_stated_size_goes_along_with_windows_and_resizing_and_is_no_part_of_the_place():
    grid = Grid(100, 200)
    stated = grid.with_pixel_size(0.3)
    assert stated.pixel_m() == pytest.approx((0.3, 0.3))
    assert stated.window(Window(10, 20, 30, 40)).gsd_m() == pytest.approx(0.3)
    assert stated.resized(50, 100).gsd_m() == pytest.approx(0.6)
    assert stated.resized(50, 200).pixel_m() == pytest.approx((0.3, 0.6))
    assert stated == grid
    assert grid.pixel_m() is None


def test_coordinates_of_a_world_file_have_no_unit_until_the_size_is_stated():
    grid = Grid(10, 10, Affine(0.5, 0, 1000, 0, -0.5, 2000))
    assert grid.gsd_m() is None
    assert grid.with_pixel_size(0.3).pixel_m() == pytest.approx((0.3, 0.3))


def test_a_number_is_for_all_files_that_do_not_say_it_themselves():
    sizes = PixelSizes.stated(0.4)
    assert sizes.applied(Grid(8, 8), Path("a.png")).gsd_m() == pytest.approx(0.4)
    own = make_grid(8, gsd_m=0.3)
    assert sizes.applied(own, Path("a.tif")).unit_m is None
    assert sizes.is_overruled(own.gsd_m(), Path("a.tif"))
    assert not PixelSizes.stated(0.3).is_overruled(own.gsd_m(), Path("a.tif"))
    assert "a: the file itself says that a pixel is 0.3 m" in overruled_note(["a"], [own.gsd_m()])
    assert overruled_note([], []) is None


def test_the_first_pattern_of_a_table_that_fits_decides(tmp_path):
    text = "name,metres\n# drone\nrf_00*, 0.4\nrf_1.png,0.5\n\nrf_*,0.3\n"
    sizes = PixelSizes.stated(table(tmp_path, text))
    names = ("x/rf_001.jpg", "rf_1.png", "rf_1.tif", "other.png")
    assert [sizes.of(Path(name)) for name in names] == [0.4, 0.5, 0.3, None]
    assert sizes.unused([Path("rf_001.jpg")]) == ["rf_1.png"]
    assert PixelSizes.of_plain(sizes.plain) == sizes
    assert PixelSizes.stated(table(tmp_path, "a;0.3\nb;0.4\n")).rules == (("a", 0.3), ("b", 0.4))


def test_a_table_in_the_folder_is_found_and_what_is_said_comes_first(tmp_path):
    (tmp_path / "pixel_size.csv").write_text("*,0.2\n")
    assert PixelSizes.stated(None, tmp_path / "nowhere", tmp_path).rules == (("*", 0.2),)
    assert PixelSizes.stated(0.3, tmp_path).rules == (("*", 0.3),)
    assert PixelSizes.stated(None).rules == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no pixel size"),
        ("a,0,3\n", r"line 1 is 'a,0,3'.*rf_\*,0\.4"),
        ("a,0.3\nb,x\n", "line 2 is 'b,x'"),
        ("a,0\n", "line 1 is 'a,0'"),
        ("a,nan\n", "line 1"),
        ("a,1e9\n", "line 1"),
        (",0.3\n", "line 1"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        PixelSizes.stated(table(tmp_path, text))


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no such file.*takes metres"):
        PixelSizes.stated(tmp_path / "sizes.csv")
    (tmp_path / "latin.csv").write_bytes(b"\xff\xfe,0.3")
    os.mkfifo(tmp_path / "pipe.csv")
    for name in ("latin.csv", "pipe.csv"):
        with pytest.raises(DataError, match="not a readable table"):
            PixelSizes.stated(tmp_path / name)
    for metres in (0, -1, 1e9, float("nan")):
        with pytest.raises(ConfigError, match="side of a pixel on the ground in metres"):
            PixelSizes.stated(metres)


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_what_is_written_says_the_size_that_was_stated(tmp_path, suffix):
    path = tmp_path / f"mask{suffix}"
    write_raster(path, np.zeros((8, 8), np.uint8), Grid(8, 8).with_pixel_size(0.12))
    with open_raster(path) as raster:
        assert raster.grid.gsd_m() == pytest.approx(0.12)
        assert raster.grid == Grid(8, 8)
    assert PixelSizes.stated(0.5).applied(raster.grid, path).gsd_m() == pytest.approx(0.12)


def test_a_scene_of_blocks_says_it_too(tmp_path):
    write_block(tmp_path / "block.tif", np.zeros((8, 8, 3), np.uint8))
    whole = Window(0, 0, 8, 8)
    assemble(tmp_path / "scene.tif", {whole: tmp_path / "block.tif"}, Grid(8, 8).with_pixel_size(0.12))
    with open_raster(tmp_path / "scene.tif") as raster:
        assert raster.grid.gsd_m() == pytest.approx(0.12)


@pytest.mark.parametrize("told", ["-1", "1e30", "nan", "a metre", ""])
def test_a_tag_that_is_no_size_says_nothing(tmp_path, told):
    path = tmp_path / "a.tif"
    write_raster(path, np.zeros((4, 4), np.uint8), Grid(4, 4), tags={"PIXEL_SIZE_M": told})
    with open_raster(path) as raster:
        assert raster.grid.gsd_m() is None
