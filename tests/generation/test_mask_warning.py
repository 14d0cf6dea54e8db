"""A building mask that is empty or inverted is said to be so, and no other."""

import numpy as np
import pytest
import shapely
from PIL import Image

from conftest import UTM, make_grid, make_image, make_mask, write_tiff
from orthoforge.errors import DataError
from orthoforge.generation import generate
from orthoforge.generation.mask_warning import mask_warning
from orthoforge.geo.rasters import open_raster
from orthoforge.masks.reader import MaskReader, RasterMask
from orthoforge.scenes.scene_check import check_scene
from orthoforge.scenes.sources import Pair
from orthoforge.vectors import write_footprints
from saved_runs import save_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("run")).parents[1]


def town(share):
    """Houses on a grid that take about that share of the ground."""
    side = round(20 * share**0.5)
    mask = np.zeros((200, 200), np.uint8)
    for row in range(0, 200, 20):
        for col in range(0, 200, 20):
            mask[row + 1 : row + 1 + side, col + 1 : col + 1 + side] = 255
    return mask


def said(mask):
    with open_raster(mask) as raster:
        return mask_warning(RasterMask(raster, None, None), mask.stem, MaskReader())


MASKS = {
    "empty": (np.zeros((64, 64), np.uint8), "the mask is empty (building share 0 %)."),
    "full": (np.full((64, 64), 255, np.uint8), "the mask looks inverted: building share 100.0 %, and it is nearly full."),
    "inverted": (
        255 - town(0.17),
        "the mask looks inverted: building share 84.0 %, and its outlines enclose holes, not buildings.",
    ),
    "dense": (town(0.83), None),
    "sparse": (town(0.01), None),
    "town": (make_mask(64), None),
}


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_that_looks_wrong_is_said_in_one_line_in_the_words_of_check(run, tmp_path, capsys, name):
    mask, words = MASKS[name]
    path = write_tiff(tmp_path / f"{name}.tif", mask, make_grid(mask.shape))
    generate(run, [path], tmp_path / "out")
    printed = capsys.readouterr().err
    if words is None:
        assert printed == ""
    else:
        assert printed.startswith(f"warning: {name}: {words}") and printed.count("\n") == 1
    image = write_tiff(tmp_path / "image.tif", make_image(mask), make_grid(mask.shape))
    found = [finding.message for finding in check_scene(Pair(name, image, path), MaskReader())[0].findings]
    assert [said(path)] == (found or [None])


def test_footprints_that_cover_no_pixel_give_an_empty_mask(run, tmp_path, capsys):
    like = write_tiff(tmp_path / "like.tif", np.zeros((40, 40), np.uint8), make_grid(40))
    for name, side_m, words in (("house", 3, ""), ("speck", 0.05, "warning: speck: the mask is empty (building share 0 %).\n")):
        write_footprints(tmp_path / f"{name}.gpkg", [shapely.box(500_003, 4_999_995, 500_003 + side_m, 4_999_995 + side_m)], UTM)
        generate(run, [tmp_path / f"{name}.gpkg"], tmp_path / f"{name}.tif", like=like)
        assert capsys.readouterr().err == words


def test_classes_are_not_judged(tmp_path, capsys):
    run = save_run(tmp_path / "run", classes=["ground", "roof"]).parents[1]
    image = Image.new("RGB", (16, 16), (1, 0, 0))
    image.save(tmp_path / "roofs.png")
    generate(run, [tmp_path / "roofs.png"], tmp_path / "out.png")
    assert "warning" not in capsys.readouterr().err


class Counted:
    """A mask of some array that counts the pixels that are read of it."""

    identity = ""

    def __init__(self, mask):
        self.mask, self.grid, self.read_px = mask, make_grid(mask.shape), 0

    def read(self, window):
        self.read_px += window.height * window.width
        return self.mask[window.slices], None


def test_of_a_large_scene_windows_are_looked_at_and_one_house_makes_it_not_empty():
    large = Counted(np.tile(255 - town(0.17), (15, 15)))
    assert "looks inverted: building share 8" in mask_warning(large, "large", MaskReader())
    assert large.read_px <= 2**20
    empty = Counted(np.zeros((3000, 3000), np.uint8))
    assert mask_warning(empty, "none", MaskReader()) == "none: the mask is empty (building share 0 %)."
    empty.mask[2999, 2999] = 255
    assert mask_warning(empty, "one", MaskReader()) is None


def test_bad_values_are_still_said_of_the_whole(tmp_path):
    mask = np.zeros((2000, 1000), np.uint8)
    mask[:, :500] = 37
    with pytest.raises(DataError, match=r"value 37 in 50\.0 % of pixels"):
        said(write_tiff(tmp_path / "m.tif", mask, make_grid(mask.shape)))
