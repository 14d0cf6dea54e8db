"""A mask file becomes an image file in the same place, of the same size, marked as synthetic; or an error says why not."""

import json

import numpy as np
import pytest
import shapely
from affine import Affine
from PIL import Image
from rasterio.crs import CRS

from conftest import UTM, make_grid, make_mask, write_tiff
from orthoforge.checkpoint_files import load_checkpoint
from orthoforge.config import Recipe
from orthoforge.errors import CheckpointError, ConfigError, DataError, GridError, LockedError, OutputExistsError, ResourceError
from orthoforge.files import lock
from orthoforge.generation import generate
from orthoforge.geo.grid import Grid
from orthoforge.geo.rasters import open_raster, read_image, read_tags
from orthoforge.geo.signing import SOURCE_TYPE
from orthoforge.trained_generator import load_generator
from orthoforge.vectors import write_footprints
from saved_runs import save_run
from small_disk import small_disk

HOUSE = shapely.box(500_001, 4_999_990, 500_009, 4_999_999)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    save_run(run)
    return run


@pytest.fixture
def mask_path(tmp_path):
    return write_tiff(tmp_path / "masks" / "town.tif", make_mask(64), make_grid(64))


def read(path):
    with open_raster(path) as raster:
        return read_image(raster), raster.grid


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (37, 53), (64, 64)])
@pytest.mark.parametrize("crs", [UTM, CRS.from_epsg(4326), None], ids=["projected", "geographic", "no CRS"])
def test_size_crs_and_transform_are_the_masks(run, tmp_path, size, crs):
    wide, high = (4.0812e-6, 2.6974e-6) if crs and crs.is_geographic else (0.3, 0.3)  # 0.3 m at that latitude
    transform = Affine(wide, 0, 15.1234567, 0, -high, 48.7654321) if crs else Affine.identity()
    grid = Grid(*size, transform, crs)
    mask = write_tiff(tmp_path / "mask.tif", make_mask(size), grid if crs else None)
    (path,) = generate(run, [mask], tmp_path / "out.tif")
    image, written = read(path)
    assert written == grid  # to the last digit
    assert image.shape == (*size, 3)


def test_the_file_holds_what_the_generator_makes(run, tmp_path, mask_path):
    (path,) = generate(run, [mask_path], tmp_path / "out.tif", seed=5)
    assert np.array_equal(read(path)[0], load_generator(run)(make_mask(64), seed=5))


def test_same_seed_same_bytes(tmp_path, mask_path):
    recipe = Recipe(name="noisy", generator="unet256", generator_width=4, norm="instance")
    run = save_run(tmp_path / "noisy", recipe).parents[1]
    first, second, other = (
        generate(run, [mask_path], tmp_path / f"{n}.tif", seed=seed)[0].read_bytes() for n, seed in enumerate((3, 3, 4))
    )
    assert first == second != other


def test_tags_say_that_it_is_synthetic_and_where_it_comes_from(run, tmp_path, mask_path):
    for name in ("out.tif", "out.png"):
        (path,) = generate(run, [mask_path], tmp_path / name, seed=9)
        tags = read_tags(path)
        assert tags["SYNTHETIC"] == "YES"
        assert tags["DIGITAL_SOURCE_TYPE"] == SOURCE_TYPE
        assert tags["SEED"] == "9"
        assert tags["SOURCE_ATTRIBUTION"] == "© Survey"
        state = load_checkpoint(run / "weights" / "last").state
        assert tags["MODEL_SHA256"] == state.checksums.model


def test_a_png_mask_becomes_a_png_or_a_tiff_without_crs(run, tmp_path):
    Image.fromarray(make_mask(40)).save(tmp_path / "mask.png")
    png, tif = (generate(run, [tmp_path / "mask.png"], tmp_path / name)[0] for name in ("out.png", "out.tif"))
    assert np.array_equal(np.asarray(Image.open(png)), read(tif)[0])
    assert read(tif)[1] == Grid(40, 40)


def test_several_masks_go_into_a_folder_by_stem(run, tmp_path):
    masks = [write_tiff(tmp_path / f"{name}.tif", make_mask(32), make_grid(32)) for name in ("a", "b")]
    assert generate(run, masks, tmp_path / "out") == [tmp_path / "out" / "a.tif", tmp_path / "out" / "b.tif"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.json", "a.tif", "b.json", "b.tif"]  # STAC items


def test_masks_whose_names_are_not_utf_8_do_not_stop_the_others(run, tmp_path):
    masks = tmp_path / "masks"
    for name in ("a", "b", "c"):
        write_tiff(masks / f"{name}.tif", make_mask(32), make_grid(32))
    (masks / "b.tif").rename(masks / "b\udcff.tif")
    with pytest.raises(DataError, match=r"1 of 3 masks failed(?s:.*)masks/b\udcff.tif: its name, or a folder's, is not UTF-8"):
        generate(run, [masks], tmp_path / "out")
    for name in ("d", "e"):
        write_footprints(tmp_path / f"{name}.gpkg", [HOUSE], UTM)
    odd = (tmp_path / "d.gpkg").rename(tmp_path / "d\udcff.gpkg")  # can be read, but no image of that name can be written
    with pytest.raises(DataError, match=r"1 of 2 masks failed(?s:.*)out/d\udcff.tif: its name, or a folder's, is not UTF-8"):
        generate(run, [odd, tmp_path / "e.gpkg"], tmp_path / "out", gsd=0.3)
    assert [path.name for path in sorted((tmp_path / "out").glob("*.tif"))] == ["a.tif", "c.tif", "e.tif"]


def test_best_weights_can_be_named(tmp_path, mask_path):
    save_run(tmp_path / "run", step=1, name="best")
    save_run(tmp_path / "run", step=2)
    images = [
        read(generate(tmp_path / "run" / which, [mask_path], tmp_path / f"{n}.tif")[0])[0]
        for n, which in enumerate(("", "weights/last", "weights/best"))
    ]
    assert np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])


def test_classes_are_read_by_the_runs_own_palette(tmp_path):
    save_run(tmp_path / "run", classes=["ground", "building", "water"])  # colours [0,0,0], [1,0,0], [2,0,0]
    classes = np.arange(32 * 32, dtype=np.uint8).reshape(32, 32) % 3
    rgb = np.zeros((32, 32, 3), np.uint8)
    rgb[..., 0] = classes
    mask = write_tiff(tmp_path / "mask.tif", rgb, make_grid(32))
    (path,) = generate(tmp_path / "run", [mask], tmp_path / "out.tif")
    assert np.array_equal(read(path)[0], load_generator(tmp_path / "run")(classes))
    rgb[0, 0] = 99
    with pytest.raises(DataError, match=r"not in the palette: \[99, 99, 99\]"):
        generate(tmp_path / "run", [write_tiff(tmp_path / "bad.tif", rgb, make_grid(32))], tmp_path / "bad-out.tif")


def test_a_mask_of_another_resolution_is_refused_with_the_numbers(run, tmp_path):
    mask = write_tiff(tmp_path / "mask.tif", make_mask(32), make_grid(32, gsd_m=1.0))
    with pytest.raises(GridError, match=r"its pixels are 1 m, the run was trained at 0\.3 m; .* wrong size. Pass --resample"):
        generate(run, [mask], tmp_path / "out.tif")
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize("crs", [UTM, CRS.from_epsg(4326)], ids=["projected", "geographic"])
def test_resampled_it_is_generated_at_the_runs_resolution_and_delivered_on_either_grid(run, tmp_path, crs):
    step = 6e-6 if crs.is_geographic else 0.6
    grid = Grid(40, 50, Affine(step, 0, 15.1, 0, -step, 48.7), crs)
    mask = write_tiff(tmp_path / "mask.tif", make_mask((40, 50)), grid)
    (own,) = generate(run, [mask], tmp_path / "own.tif", resample=True)
    (runs,) = generate(run, [mask], tmp_path / "runs.tif", resample=True, deliver="run")
    assert read(own)[1] == grid
    image, fine = read(runs)
    assert fine.bounds == pytest.approx(grid.bounds)
    assert fine.pixel_m() == pytest.approx((0.3, 0.3), rel=0.02)
    shrunk = np.asarray(Image.fromarray(image).resize((50, 40), Image.Resampling.BICUBIC))
    assert np.abs(read(own)[0].astype(int) - shrunk).max() <= 1


def test_a_rotated_mask_is_refused(run, tmp_path):
    grid = Grid(32, 32, make_grid(32).transform @ Affine.rotation(10), UTM)
    with pytest.raises(GridError, match="its transform is rotated"):
        generate(run, [write_tiff(tmp_path / "mask.tif", make_mask(32), grid)], tmp_path / "out.tif")


@pytest.mark.parametrize(
    ("values", "message"),
    [([0, 1, 37, 255], r"value 37 in .* of pixels; pass --threshold"), ([0, 7], r"value 7 in .* pass --threshold")],
)
def test_odd_mask_values_are_named_and_a_threshold_takes_them(run, tmp_path, values, message):
    mask = np.resize(np.array(values, np.uint8), (32, 32))
    path = write_tiff(tmp_path / "mask.tif", mask, make_grid(32))
    with pytest.raises(DataError, match=message):
        generate(run, [path], tmp_path / "out.tif")
    assert not (tmp_path / "out.tif").exists()
    (made,) = generate(run, [path], tmp_path / "out.tif", threshold=5)
    assert np.array_equal(read(made)[0], load_generator(run)(mask >= 5))


def test_what_is_there_is_kept_unless_asked_for(run, tmp_path, mask_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.tif").write_bytes(b"mine")
    other = write_tiff(tmp_path / "b.tif", make_mask(32), make_grid(32))
    with pytest.raises(OutputExistsError, match=r"b\.tif exists\. Pass --overwrite"):
        generate(run, [mask_path, other], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.tif"]  # not even the first was begun
    assert (tmp_path / "out" / "b.tif").read_bytes() == b"mine"
    generate(run, [mask_path, other], tmp_path / "out", overwrite=True)
    assert read(tmp_path / "out" / "b.tif")[0].shape == (32, 32, 3)


def test_one_of_two_writers_is_refused(run, tmp_path, mask_path):
    with lock(tmp_path / "out.tif"), pytest.raises(LockedError, match=r"out\.tif is being written by another process"):
        generate(run, [mask_path], tmp_path / "out.tif")


def test_a_disk_without_room_is_said_before_the_network_runs(run, tmp_path, monkeypatch):
    mask = write_tiff(tmp_path / "mask.tif", np.zeros((1200, 1200), np.uint8), make_grid(1200))
    generator = load_generator(run)
    monkeypatch.setattr(generator.network, "forward", None)  # would fail if it were called
    with small_disk(tmp_path / "disk", 1) as disk:
        with pytest.raises(ResourceError, match=r"the image for .*mask\.tif needs about 1 MB, the disk has [01] MB left"):
            generate(generator, [mask], disk / "out.tif")
        assert [path.name for path in disk.iterdir()] == []


def test_names_that_cannot_work(run, tmp_path, mask_path):
    twin = write_tiff(tmp_path / "elsewhere" / "town.tif", make_mask(32), make_grid(32))
    for masks, out, message in (
        ([mask_path, twin], "out", "two masks are called town"),
        ([mask_path, twin], "out.tif", "is one file, but 2 masks were given"),
        ([], "out", "no mask was given"),
    ):
        with pytest.raises(ConfigError, match=message):
            generate(run, masks, tmp_path / out)
    with pytest.raises(DataError, match=r"written as \.tif or \.png"):
        generate(run, [mask_path], tmp_path / "out.jpg")


def test_what_cannot_be_written_is_said_before_the_network_runs(run, tmp_path, mask_path, monkeypatch):
    generator = load_generator(run)
    monkeypatch.setattr(generator.network, "forward", lambda *_: pytest.fail("the network ran"))
    for options, error, message in (
        ({"out": "out.gif"}, ConfigError, r"written as \.tif or \.png"),
        ({"out": "out.png", "compress": "jpeg"}, ConfigError, "jpeg is for GeoTIFF"),
        ({"compress": "jpeg", "quality": 3}, ConfigError, "quality 3 is not between"),
        ({"variants": 0}, ConfigError, "variants is 0; it is the number of images for each mask, 1 or more"),
        ({"device": "gpu"}, ConfigError, "device 'gpu' cannot be used here"),
        ({"device": "cpu,nonsense"}, ConfigError, "device 'nonsense' cannot be used here"),
        ({"sign": (tmp_path / "none.pem", tmp_path / "none.key")}, ConfigError, r"none\.pem: cannot be read"),
        ({"overlap": 10**6}, ConfigError, r"--overlap 1000000: it must be smaller than a block, which has \d+ px"),
    ):
        with pytest.raises(error, match=message):
            generate(generator, [mask_path], tmp_path / options.pop("out", "out.tif"), **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks"]


def test_inputs_are_never_replaced(run, tmp_path, mask_path):
    with pytest.raises(ConfigError, match=r"town\.tif is one of the inputs and would be replaced"):
        generate(run, [mask_path.parent], mask_path.parent, overwrite=True)
    footprints = tmp_path / "town.json"
    write_footprints(tmp_path / "town.geojson", [shapely.box(500_003, 4_999_985, 500_009, 4_999_991)], UTM)
    (tmp_path / "town.geojson").rename(footprints)
    mine = footprints.read_bytes()
    for source, error in ((footprints, ConfigError), (mask_path, OutputExistsError)):
        with pytest.raises(error, match=r"town\.json (is one of the inputs|exists and is no STAC item)"):
            generate(run, [source], tmp_path / "town.tif", overwrite=True)
    assert footprints.read_bytes() == mine


def test_a_new_image_loses_the_credentials_of_the_old_one(run, tmp_path, mask_path):
    generate(run, [mask_path], tmp_path / "out.tif")
    (tmp_path / "out.c2pa").write_bytes(b"of the old image")
    before = json.loads((tmp_path / "out.json").read_text())
    generate(run, [mask_path], tmp_path / "out.tif", seed=1, overwrite=True)
    assert not (tmp_path / "out.c2pa").exists()
    assert json.loads((tmp_path / "out.json").read_text())["properties"] != before["properties"]


def test_a_run_without_checkpoint_is_named(tmp_path, mask_path):
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        generate(tmp_path / "nothing", [mask_path], tmp_path / "out.tif")


@pytest.mark.parametrize(("epoch", "is_said"), [(0, True), (1, False)])
def test_weights_of_less_than_an_epoch_are_told_of(mask_path, tmp_path, capsys, epoch, is_said):
    run = save_run(tmp_path / "run", step=7, epoch=epoch).parents[1]
    generate(run, [mask_path], tmp_path / "image.tif")
    assert ("these weights have taken 7 steps, less than one of their" in capsys.readouterr().err) == is_said
