"""Masks out of footprints and at other resolutions become images at their place."""

import os

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from conftest import UTM, make_grid, make_mask, write_tiff
from orthoforge.config import Recipe
from orthoforge.errors import ConfigError, DataError, GridError
from orthoforge.generation import generate
from orthoforge.geo.grid import Grid
from orthoforge.geo.rasters import open_raster, read_image
from orthoforge.masks.reader import open_raster_mask
from orthoforge.trained_generator import load_generator
from orthoforge.vectors import rasterize_file, write_footprints
from saved_runs import save_run

HOUSES = [shapely.box(500_003, 4_999_985, 500_009, 4_999_991), shapely.box(500_012, 4_999_990, 500_020, 4_999_998)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("run")).parents[1]  # trained at 0.3 m, it says


def read(path):
    with open_raster(path) as raster:
        return read_image(raster), raster.grid


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg"])
def test_footprints_become_an_image_at_the_runs_resolution(run, tmp_path, suffix):
    write_footprints(tmp_path / f"town{suffix}", HOUSES, UTM)
    (path,) = generate(run, [tmp_path / f"town{suffix}"], tmp_path / "out")
    assert path == tmp_path / "out/town.tif"
    image, grid = read(path)
    assert grid.crs == UTM and grid.gsd_m() == pytest.approx(0.3, rel=1e-3)
    assert shapely.box(*grid.bounds).covers(shapely.union_all(HOUSES))
    rows = np.arange(grid.height)[:, None] + 0.5
    cols = np.arange(grid.width)[None] + 0.5
    x, y = grid.transform @ (cols + 0 * rows, rows + 0 * cols)
    mask = shapely.contains_xy(shapely.union_all(HOUSES), x, y)
    assert np.array_equal(image, load_generator(run)(mask))


def test_side_files_are_part_of_what_a_mask_is(tmp_path):
    path = write_tiff(tmp_path / "town.tif", make_mask(), make_grid())

    def identity():
        with open_raster_mask(path) as mask:
            return mask.identity

    before = identity()
    (tmp_path / "town.tif.aux.xml").write_text("<PAMDataset></PAMDataset>")
    assert identity() != before
    (tmp_path / "town.tif.aux.xml").unlink()
    assert identity() == before


def test_an_image_and_a_mask_of_the_same_footprints_share_one_grid(run, tmp_path):
    """A run's resolution is measured on the ellipsoid, where the 0.3 m of a UTM zone are 0.299971 m."""
    write_footprints(tmp_path / "town.geojson", HOUSES, UTM)
    generator = load_generator(run)
    generator.gsd_m = 0.299971
    (image,) = generate(generator, [tmp_path / "town.geojson"], tmp_path / "image.tif")
    rasterize_file(tmp_path / "town.geojson", tmp_path / "mask.tif", gsd=0.3)
    with open_raster(tmp_path / "mask.tif") as mask:
        assert read(image)[1] == mask.grid


def test_footprints_on_the_grid_of_a_raster_or_on_an_extent(run, tmp_path):
    write_footprints(tmp_path / "town.geojson", HOUSES, UTM)
    like = write_tiff(tmp_path / "photo.tif", np.zeros((70, 90, 3), np.uint8), make_grid((70, 90)))
    (path,) = generate(run, [tmp_path / "town.geojson"], tmp_path / "like.tif", like=like)
    assert read(path)[1] == make_grid((70, 90))
    extent = (500_000.0, 4_999_982.0, 500_015.0, 5_000_000.0)
    (path,) = generate(run, [tmp_path / "town.geojson"], tmp_path / "part.tif", extent=extent, crs="EPSG:32632")
    grid = read(path)[1]
    assert grid.crs == CRS.from_epsg(32632)
    with pytest.raises(ConfigError, match=r"--like gives the grid, and --gsd would say it again"):
        generate(run, [tmp_path / "town.geojson"], tmp_path / "both.tif", like=like, gsd=0.3)
    with pytest.raises(GridError, match=r"its pixels are 0\.6 m, the run was trained at 0\.3 m"):
        generate(run, [tmp_path / "town.geojson"], tmp_path / "coarse.tif", gsd=0.6)


def test_a_broken_footprint_is_named_and_repaired_on_request(run, tmp_path):
    bow = shapely.Polygon([(500_000, 5_000_000), (500_010, 4_999_990), (500_010, 5_000_000), (500_000, 4_999_990)])
    write_footprints(tmp_path / "town.geojson", [*HOUSES, bow], UTM)
    with pytest.raises(DataError, match=r"town\.geojson: feature 2 .*Self-intersection"):
        generate(run, [tmp_path / "town.geojson"], tmp_path / "out.tif")
    with pytest.warns(UserWarning, match="1 footprints were not valid and have been mended"):
        generate(run, [tmp_path / "town.geojson"], tmp_path / "out.tif", repair=True)


def test_a_run_of_classes_takes_no_footprints(tmp_path):
    run = save_run(tmp_path / "run", classes=["ground", "building"]).parents[1]
    write_footprints(tmp_path / "town.geojson", HOUSES, UTM)
    with pytest.raises(ConfigError, match="footprints give building masks; this run was trained on classes"):
        generate(run, [tmp_path / "town.geojson"], tmp_path / "out.tif")


def test_variants_need_noise_and_differ(run, tmp_path):
    mask = write_tiff(tmp_path / "town.tif", make_mask(64), make_grid(64))
    with pytest.raises(ConfigError, match="has no noise: its 2 variants would be one image"):
        generate(run, [mask], tmp_path / "out", variants=2)
    noisy = save_run(tmp_path / "noisy", Recipe(name="noisy", generator="unet256", generator_width=4, norm="instance")).parents[1]
    with pytest.raises(ConfigError, match="1 masks with 1000000000 variants each are more than 1000000 images"):
        generate(noisy, [mask], tmp_path / "out", variants=10**9)
    paths = generate(noisy, [mask], tmp_path / "out", variants=2, seed=5)
    assert [path.name for path in paths] == ["town_v1.tif", "town_v2.tif"]
    images = [read(path)[0] for path in paths]
    assert not np.array_equal(*images)
    (second,) = generate(noisy, [mask], tmp_path / "second.tif", seed=6)
    assert np.array_equal(read(second)[0], images[1])


def test_pixels_that_are_too_wide_and_too_low_are_not_the_runs(run, tmp_path):
    grid = Grid(40, 40, Affine(3.25e-6, 0, 15.1, 0, -3.25e-6, 48.77), CRS.from_epsg(4326))  # 0.24 × 0.36 m; 0.3 m in the mean
    mask = write_tiff(tmp_path / "mask.tif", make_mask(40), grid)
    with pytest.raises(GridError, match=r"its pixels are 0\.239 × 0\.361 m, the run was trained at 0\.3 m"):
        generate(run, [mask], tmp_path / "out.tif")
    (path,) = generate(run, [mask], tmp_path / "out.tif", resample=True, deliver="run")
    assert read(path)[1].pixel_m() == pytest.approx((0.3, 0.3), rel=0.02)


def test_nodata_of_a_mask_of_classes_has_no_image(tmp_path):
    run = save_run(tmp_path / "run", classes=["ground", "building"]).parents[1]
    rgb = np.zeros((32, 32, 3), np.uint8)
    path = write_tiff(tmp_path / "mask.tif", rgb, make_grid(32))
    with rasterio.open(path, "r+") as dataset:
        dataset.write_mask(np.repeat([[False, True]], 32, axis=0).repeat(16, axis=1))
    (made,) = generate(run, [path], tmp_path / "out.tif")
    with rasterio.open(made) as dataset:
        assert dataset.dataset_mask()[:, :16].max() == 0 and dataset.dataset_mask()[:, 16:].min() == 255


def test_control_points_are_said_to_give_no_place(run, tmp_path):
    points = [GroundControlPoint(row, col, 500_000 + col, 5_000_000 - row) for row in (0, 64) for col in (0, 64)]
    path = write_tiff(tmp_path / "m.tif", make_mask(64), gcps=points, crs=UTM)
    with pytest.warns(UserWarning, match=r"m\.tif: only 4 ground control points say where it lies, which are not read"):
        generate(run, [path], tmp_path / "o.tif")


def test_options_for_footprints_do_not_go_unheard(run, tmp_path):
    mask = write_tiff(tmp_path / "town.tif", make_mask(64), make_grid(64))
    with pytest.raises(ConfigError, match=r"own grid; --gsd is for footprints\. Its resolution is changed by --resample"):
        generate(run, [mask], tmp_path / "out.tif", gsd=0.3)
    with pytest.raises(ConfigError, match=r"own grid; --crs, --layer are for footprints\.$"):
        generate(run, [mask], tmp_path / "out.tif", crs="EPSG:32633", layer="x")


def test_lists_that_cannot_be_read(run, tmp_path):
    write_tiff(tmp_path / "town.tif", make_mask(64), make_grid(64))
    for content, message in ((b"t\xf6wn.tif", "is not text in UTF-8"), (b" \n\n", r"list\.txt: no mask is listed in it")):
        (tmp_path / "list.txt").write_bytes(content)
        with pytest.raises(DataError, match=message):
            generate(run, [tmp_path / "list.txt"], tmp_path / "out")
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(DataError, match=r"pipe\.txt: the list of masks cannot be read \(it is a device or a pipe"):
        generate(run, [tmp_path / "pipe.txt"], tmp_path / "out")
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbftown.tif\r\n")  # as Windows' editor saves it
    assert generate(run, [tmp_path / "list.txt"], tmp_path / "out.tif") == [tmp_path / "out.tif"]
