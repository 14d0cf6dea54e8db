"""A forked process reads and writes rasters, whatever its parent did before: the workers of a loader are forked."""

import multiprocessing

import numpy as np

from orthoforge.geo.cog import write_raster
from orthoforge.geo.grid import Grid
from orthoforge.geo.rasters import open_raster, read_image

PIXELS = np.random.default_rng(0).integers(0, 256, (1100, 1100, 3), np.uint8)


def mean_of(path):
    with open_raster(path) as raster:
        return float(read_image(raster).mean())


def test_large_blocks_are_read_after_a_fork(tmp_path):
    write_raster(tmp_path / "scene.tif", PIXELS, Grid(1100, 1100))
    expected = mean_of(tmp_path / "scene.tif")  # by GDAL's threads, which no fork takes along
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(mean_of, (tmp_path / "scene.tif",)).get(timeout=60) == expected == PIXELS.mean()


def write(path):
    write_raster(path, PIXELS, Grid(1100, 1100))
    return path.stat().st_size


def test_an_image_is_written_after_a_fork(tmp_path):
    size = write(tmp_path / "before.tif")  # by GDAL's threads
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(write, (tmp_path / "after.tif",)).get(timeout=60) == size
