"""A forked process reads rasters, whatever its parent has read before: the workers of a loader are forked."""

import multiprocessing

import numpy as np

from orthoforge.geo.cog import write_raster
from orthoforge.geo.grid import Grid
from orthoforge.geo.rasters import open_raster, read_image


def mean_of(path):
    with open_raster(path) as raster:
        return float(read_image(raster).mean())


def test_large_blocks_are_read_after_a_fork(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (1100, 1100, 3), np.uint8)
    write_raster(tmp_path / "scene.tif", pixels, Grid(1100, 1100))
    expected = mean_of(tmp_path / "scene.tif")  # by GDAL's threads, which no fork takes along
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(mean_of, (tmp_path / "scene.tif",)).get(timeout=60) == expected == pixels.mean()
