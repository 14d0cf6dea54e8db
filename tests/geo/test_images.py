"""Images whose bands are not three colours."""

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from conftest import make_grid, make_image, make_mask, write_tiff
from orthoforge.errors import DataError
from orthoforge.geo.grid import Window
from orthoforge.geo.rasters import image_without_data, open_raster, read_image


def read(path, reader=read_image, **options):
    with open_raster(path) as raster:
        return reader(raster, **options)


def with_palette(path, colours):
    write_tiff(path, np.arange(64, dtype=np.uint8).reshape(8, 8), make_grid(8))
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, colours)
    return path


@pytest.mark.parametrize(
    ("count", "advice"),
    [(4, r"Its band 4 is declared to be alpha.* leave it out with --bands 1 2 3 .* gdal_translate -b 1 -b 2 -b 3\. If it"),
     (2, r"Its band 2 is declared to be alpha.* leave it out with --bands 1 .* gdal_translate -b 1\. If it")],
)  # fmt: skip
def test_a_band_that_is_alpha_is_said_to_be_no_colour(tmp_path, count, advice):
    path = write_tiff(tmp_path / "a.tif", np.zeros((8, 8, count), np.uint8), make_grid(8), alpha="yes")
    with pytest.raises(DataError, match=f"image has {count} bands; three .* are expected. {advice}"):
        read(path)
    assert read(path, bands=range(1, count)).shape == (8, 8, count - 1)


@pytest.mark.parametrize("bands", [None, (1,), (1, 1, 1)])
def test_a_palette_is_no_image(tmp_path, bands):
    path = with_palette(tmp_path / "a.tif", {value: (200, value, 0, 255) for value in range(64)})
    with pytest.raises(DataError, match=r"image has a palette.*gdal_translate -expand rgb"):
        read(path, bands=bands)


def test_a_palette_of_all_greys_changes_nothing(tmp_path):
    path = with_palette(tmp_path / "a.tif", {value: (value, value, value, 255) for value in range(256)})
    assert np.array_equal(read(path, bands=(1,))[..., 0], np.arange(64).reshape(8, 8))


@pytest.mark.parametrize("kind", ["nodata", "alpha", "mask"])
@pytest.mark.parametrize("window", [None, Window(2, 0, 4, 8)])
def test_where_an_image_holds_no_data(tmp_path, kind, window):
    image, empty = make_image(make_mask(8)), np.zeros((8, 8), bool)
    empty[:, :3] = True
    image[empty], image[0, 7] = 0, (0, 9, 0)  # a colour with a 0 in it is one
    bands = np.dstack([image, ~empty * np.uint8(255)]) if kind == "alpha" else image
    path = write_tiff(tmp_path / "a.tif", bands, make_grid(8), nodata=0 if kind == "nodata" else None)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
        if kind == "alpha":
            dataset.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
        if kind == "mask":
            dataset.write_mask(~empty)
    assert np.array_equal(read(path, image_without_data, window=window), empty[window.slices if window else (slice(None),)])
    assert read(write_tiff(tmp_path / "b.tif", image, make_grid(8)), image_without_data) is None
