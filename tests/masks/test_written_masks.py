"""A mask that was written is read as the same mask again, on the same grid."""

import numpy as np
import pytest
from PIL import Image

from conftest import make_grid, make_mask, write_tiff
from orthoforge.errors import ConfigError
from orthoforge.masks.classes import Classes
from orthoforge.masks.opening import Extent, open_mask
from orthoforge.masks.reader import open_raster_mask
from orthoforge.masks.writing import write_mask

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
PALETTES = {
    "colours": Classes(("Road", "Building", "Tree"), ((RED,), (GREEN,), (BLUE,))),
    "values": Classes(("Road", "Building", "Tree"), ((), (), ()), ((7,), (40, 41), (0,))),
    "both": Classes(("Road", "Building", "Tree"), ((RED,), (GREEN,), (BLUE,)), ((7,), (40,), (0,))),
    "colours and some values": Classes(("Road", "Building", "Tree"), ((RED,), (GREEN,), (BLUE,)), ((7,), (), ())),
}


class MaskOf:
    """A mask of a grid in memory; ``valid`` is where it holds data."""

    def __init__(self, pixels, where=None):
        self.pixels, self.grid, self.identity, self.where = pixels, make_grid(pixels.shape), "array", where

    def read(self, window):
        return self.pixels[window.slices], self.valid(window)

    def valid(self, window):
        return None if self.where is None else self.where[window.slices]

    def require_sound(self):
        pass


@pytest.mark.parametrize("suffix", [".tif", ".png"])
@pytest.mark.parametrize("palette", PALETTES)
def test_classes_come_back(tmp_path, palette, suffix):
    classes, pixels = PALETTES[palette], np.random.default_rng(0).integers(0, 3, (40, 30), np.uint8)
    path = tmp_path / f"mask{suffix}"
    write_mask(path, MaskOf(pixels), classes)
    with open_raster_mask(path, classes=classes) as mask:
        np.testing.assert_array_equal(mask.labels(), pixels)
        assert suffix == ".png" or mask.grid == make_grid((40, 30))
    np.testing.assert_array_equal(
        np.asarray(Image.open(path).convert("RGB")), classes.rgb(pixels)
    )  # shown in the palette's colours


def test_buildings_and_what_has_no_data_come_back(tmp_path):
    pixels = make_mask((300, 40))
    where = np.ones(pixels.shape, bool)
    where[10:20, 5:9] = False
    write_mask(tmp_path / "mask.tif", MaskOf(np.where(where, pixels, 0).astype(np.uint8), where), None)
    with open_raster_mask(tmp_path / "mask.tif") as mask:
        labels, valid = mask.read()
        np.testing.assert_array_equal(labels, np.where(where, pixels, 0))
        np.testing.assert_array_equal(valid, where)


def test_a_palette_without_one_form_is_refused(tmp_path):
    classes = Classes(("Road", "Building"), ((RED,), ()), ((), (1,)))
    with pytest.raises(ConfigError, match="every class a value"):
        write_mask(tmp_path / "mask.tif", MaskOf(np.zeros((4, 4), np.uint8)), classes)


def test_a_mask_that_was_read_by_windows_is_written_as_it_is(tmp_path):
    source = write_tiff(tmp_path / "source.tif", make_mask(64), make_grid(64))
    with open_mask(source, classes=None, threshold=None, extent=Extent(), gsd_m=None) as mask:
        write_mask(tmp_path / "copy.tif", mask, None, tags={"IMAGE": "a.tif"})
    with open_raster_mask(tmp_path / "copy.tif") as copy:
        np.testing.assert_array_equal(copy.labels(), make_mask(64))
        assert copy.raster.tags()["IMAGE"] == "a.tif" and copy.grid == make_grid(64)
