"""A replaced image is read without what lay beside the old one; files of other images stay."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import Resampling

from conftest import make_grid
from orthoforge.geo.cog import assemble, write_block, write_raster
from orthoforge.geo.grid import Grid, Window

OLD_PLACE = "<PAMDataset><SRS>EPSG:3857</SRS><GeoTransform>1, 2, 0, 3, 0, -2</GeoTransform></PAMDataset>"
WORLD = "2\n0\n0\n-2\n7\n9\n"


def _replace(path, image, grid):
    write_raster(path, image, grid, overwrite=True)


def _replace_by_blocks(path, image, grid):
    block = path.parent / "blocks" / "b.tif"
    block.parent.mkdir()
    write_block(block, image)
    assemble(path, {Window(0, 0, *image.shape[:2]): block}, grid, overwrite=True)


@pytest.mark.parametrize("replace", [_replace, _replace_by_blocks])
def test_place_overviews_and_mask_of_the_old_image_go(tmp_path, replace):
    path, grid = tmp_path / "town.tif", make_grid(128)
    with rasterio.open(path, "w", driver="GTiff", height=128, width=128, count=3, dtype="uint8", transform=Affine.scale(2)) as old:
        old.write(np.zeros((3, 128, 128), np.uint8))
    with rasterio.Env(TIFF_USE_OVR="YES"), rasterio.open(path, "r+") as old:
        old.build_overviews([2], Resampling.nearest)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="NO"), rasterio.open(path, "r+") as old:
        old.write_mask(np.zeros((128, 128), np.uint8))
    for name, text in (("town.tif.aux.xml", OLD_PLACE), ("town.aux.xml", OLD_PLACE), ("town.TFW", WORLD), ("town.wld", WORLD)):
        (tmp_path / name).write_text(text)
    assert {"town.tif.ovr", "town.tif.msk"} <= {file.name for file in tmp_path.iterdir()}
    replace(path, np.full((128, 128, 3), 200, np.uint8), grid)
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["town.tif"]
    with rasterio.open(path) as new:
        assert (new.crs, new.transform) == (grid.crs, grid.transform)
        assert (new.read(out_shape=(3, 64, 64)) == 200).all()
        assert (new.dataset_mask() == 255).all()


def test_an_image_without_a_place_does_not_get_the_old_ones(tmp_path):
    path, image = tmp_path / "town.png", np.zeros((8, 8, 3), np.uint8)
    for name in ("town.pgw", "town.png.aux.xml"):
        (tmp_path / name).write_text(WORLD if name.endswith("w") else OLD_PLACE)
    write_raster(path, image, Grid(8, 8, Affine.identity(), None), overwrite=True)
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(path) as new:
        assert new.crs is None and new.transform == Affine.identity()


def test_files_of_other_images_stay(tmp_path):
    names = (
        "town.png", "town.pgw", "town.png.aux.xml", "town.wld", "town.tab", "town.shp", "town.prj", "town.dbf", "town.json",
        "town.txt", "town2.tfw", "town2.tif.aux.xml", "town.tif.xml",
    )  # fmt: skip
    for name in names:
        (tmp_path / name).write_text("the user's")
    write_raster(tmp_path / "town.tif", np.zeros((8, 8, 3), np.uint8), make_grid(8), overwrite=True)
    assert {file.name for file in tmp_path.iterdir()} == {*names, "town.tif"}


def test_the_world_file_of_another_spelling_stays(tmp_path):
    for name in ("town.tiff", "town.tfw"):
        (tmp_path / name).write_text("the user's")
    write_raster(tmp_path / "town.tif", np.zeros((8, 8, 3), np.uint8), make_grid(8), overwrite=True)
    assert (tmp_path / "town.tfw").exists()


def test_without_overwrite_nothing_is_removed(tmp_path):
    (tmp_path / "town.tif.aux.xml").write_text(OLD_PLACE)
    write_raster(tmp_path / "town.tif", np.zeros((8, 8, 3), np.uint8), make_grid(8))
    assert (tmp_path / "town.tif.aux.xml").exists()
