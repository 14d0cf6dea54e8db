import textwrap
import time
import warnings

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rio_cogeo.cogeo import cog_validate

from conftest import UTM, examples, make_grid, make_image, make_mask
from orthoforge.errors import ConfigError, DataError, LockedError, OutputExistsError, ResourceError
from orthoforge.files import lock
from orthoforge.geo import cog
from orthoforge.geo.cog import assemble, read_block, write_block, write_raster
from orthoforge.geo.grid import Grid, Window
from orthoforge.geo.rasters import open_raster, read_image, read_mask, read_mask_and_valid, read_tags
from small_disk import small_disk

TAGS = {"SYNTHETIC": "YES", "SEED": "7", "SOURCE_ATTRIBUTION": "© \"A\" & 'B' <c>"}
LOCAL = CRS.from_wkt('LOCAL_CS["a plan",UNIT["metre",1],AXIS["X",EAST],AXIS["Y",NORTH]]')
PLACES = {
    "projected": (UTM, Affine(0.3, 0, 500_000.1, 0, -0.3, 5_000_000.7)),
    "geographic": (CRS.from_epsg(4326), Affine(1e-6 / 3, 0, 13.1 + 1e-13, 0, -2e-6 / 7, 52.123456789)),
    "northing first": (CRS.from_epsg(31468), Affine(0.2, 0, 4_468_000, 0, -0.2, 5_333_000)),
    "local": (LOCAL, Affine(1 / 3, 0, 0.1, 0, -1 / 3, 7)),
    "none": (None, Affine.identity()),
    "none but scaled": (None, Affine(0.5, 0, 10, 0, -0.5, 20)),
}


def noise(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def write_blocks(folder, image, valid=None, size=64):
    """Cut (H, W, C) into block files of ``size`` pixels."""
    blocks = {}
    for row in range(0, image.shape[0], size):
        for col in range(0, image.shape[1], size):
            window = Window(row, col, min(size, image.shape[0] - row), min(size, image.shape[1] - col))
            blocks[window] = folder / f"block {row} & {col}.tif"
            write_block(blocks[window], image[window.slices], None if valid is None else valid[window.slices])
    return blocks


def write_both_ways(folder, name, image, grid, *, valid=None, size=64, **options):
    """The same scene from its array and from its blocks."""
    write_raster(folder / f"whole {name}", image, grid, valid=valid, **options)
    assemble(folder / f"pieces {name}", write_blocks(folder / "blocks", image, valid, size), grid, **options)
    return folder / f"whole {name}", folder / f"pieces {name}"


def read(path, reader=read_image, **options):
    with open_raster(path) as raster:
        return reader(raster, **options)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# Blocks


@pytest.mark.parametrize("size", [(1, 1, 3), (37, 53, 3), (300, 700, 3), (37, 53)])
@pytest.mark.parametrize("masked", [False, True])
def test_a_block_reads_back(tmp_path, size, masked):
    pixels = noise(size)
    valid = noise(size[:2], 1) < 128
    valid[0, 0] = False
    write_block(tmp_path / "b.tif", pixels, valid if masked else None)
    read_pixels, read_valid = read_block(tmp_path / "b.tif")
    assert np.array_equal(read_pixels, pixels)
    assert np.array_equal(read_valid, valid) if masked else read_valid is None
    assert names(tmp_path) == ["b.tif"]


def test_a_block_that_is_valid_everywhere_needs_no_mask_and_replaces_another(tmp_path):
    write_block(tmp_path / "b.tif", noise((8, 8, 3)), np.zeros((8, 8), bool))
    write_block(tmp_path / "b.tif", noise((8, 8, 3), 1), np.ones((8, 8), bool))
    assert np.array_equal(read_block(tmp_path / "b.tif")[0], noise((8, 8, 3), 1))
    assert read_block(tmp_path / "b.tif")[1] is None


def test_no_flipped_bit_and_no_cut_of_a_block_goes_unnoticed(tmp_path):
    pixels, valid, path = make_image(make_mask((40, 56))), noise((40, 56), 1) < 200, tmp_path / "b.tif"
    write_block(path, pixels, valid)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    noticed = 0
    for position in rng.choice(len(whole), 150, replace=False):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                read_pixels, read_valid = read_block(path)
            except DataError:
                noticed += 1
            else:  # a bit that says nothing about the pixels
                assert np.array_equal(read_pixels, pixels) and np.array_equal(read_valid, valid)
    assert noticed > 120
    for share in (0, 0.1, 0.5, 0.99):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(DataError, match=r"b\.tif"):
            read_block(path)
    path.unlink()
    with pytest.raises(DataError, match=r"b\.tif: no such file"):
        read_block(path)


def test_an_ordinary_tiff_is_no_block(tmp_path):
    write_raster(tmp_path / "a.tif", noise((8, 8, 3)), make_grid(8))
    with pytest.raises(DataError, match=r"a\.tif: this block of a scene is damaged \(its checksum does not fit\)"):
        read_block(tmp_path / "a.tif")


# Whole files


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (37, 53), (600, 700)])
@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_what_is_written_reads_back_with_its_place_and_tags(tmp_path, size, suffix):
    image, grid = noise((*size, 3)), make_grid(size)
    for path in write_both_ways(tmp_path, f"a{suffix}", image, grid, size=512, tags=TAGS):
        with open_raster(path) as raster:
            assert np.array_equal(read_image(raster), image)
            if suffix == ".tif":
                assert raster.grid == grid
        assert read_tags(path).items() >= TAGS.items()
    assert names(tmp_path) == ["blocks", f"pieces a{suffix}", f"whole a{suffix}"]


@pytest.mark.parametrize("bands", [1, 2, 4, 7])
@pytest.mark.parametrize("masked", [False, True])
def test_any_number_of_bands_reads_back_and_none_of_them_is_alpha(tmp_path, bands, masked):
    image, grid = noise((300, 70, bands)), make_grid((300, 70))
    valid = noise((300, 70)) > 60 if masked else None
    for path in write_both_ways(tmp_path, "a.tif", image, grid, valid=valid, size=256):
        with open_raster(path) as raster:
            assert np.array_equal(raster.read(), image)
            assert not raster.has_alpha
            assert raster.has_mask == masked
            if masked:
                assert np.array_equal(raster.read_valid(), valid)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("compress", ["deflate", "jpeg"])
def test_the_grid_is_kept_to_the_last_digit(tmp_path, place, compress):
    crs, transform = PLACES[place]
    grid = Grid(37, 53, transform, crs)
    for path in write_both_ways(tmp_path, "a.tif", make_image(make_mask((37, 53))), grid, compress=compress):
        with open_raster(path) as raster:
            assert raster.grid == grid
            assert raster.grid.bounds == grid.bounds


@pytest.mark.parametrize("compress", cog.COMPRESSIONS)
@pytest.mark.parametrize("masked", [False, True])
def test_every_compression_makes_a_valid_cog(tmp_path, compress, masked):
    image = make_image(make_mask((1100, 700)))
    valid = noise((1100, 700), 1) < 250 if masked else None
    for path in write_both_ways(tmp_path, "a.tif", image, make_grid((1100, 700)), valid=valid, size=512, compress=compress):
        assert cog_validate(path, strict=True) == (True, [], [])
        with rasterio.open(path) as dataset:
            assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert dataset.overviews(1)
            assert dataset.compression.name == compress
            assert dataset.profile.get("photometric") == ("ycbcr" if compress == "jpeg" else None)
            assert dataset.files == [str(path)]  # the mask is inside
            written = np.moveaxis(dataset.read(), 0, -1)
            assert np.array_equal(dataset.dataset_mask() > 0, np.ones((1100, 700), bool) if valid is None else valid)
        if compress in cog.LOSSY:
            assert 0 < np.abs(written.astype(int) - image).mean() < 12
        else:
            assert np.array_equal(written, image)


@pytest.mark.parametrize("compress", cog.LOSSY)
def test_quality_is_a_trade(tmp_path, compress):
    image = make_image(make_mask(200))
    for quality in (25, 90):
        write_raster(tmp_path / f"{quality}.tif", image, make_grid(200), compress=compress, quality=quality)
    assert (tmp_path / "25.tif").stat().st_size < 0.7 * (tmp_path / "90.tif").stat().st_size


@pytest.mark.parametrize("compress", cog.LOSSY)
@pytest.mark.parametrize("quality", [25, 90])
@pytest.mark.parametrize("image", [noise((200, 130, 3)), noise((200, 130, 3)) // 128 * 255, np.zeros((3, 5, 3), np.uint8)])
def test_the_check_of_a_lossy_file_bears_any_image(tmp_path, compress, quality, image):
    write_raster(tmp_path / "a.tif", image, make_grid(image.shape[:2]), compress=compress, quality=quality)


@pytest.mark.parametrize("where", [np.s_[:64, :64], np.s_[:, 64:]])
def test_the_check_of_a_lossy_file_notices_a_lost_piece(where):
    image = make_image(make_mask(128))
    lost = image.copy()
    lost[where] = 0
    assert cog._alike(image, image)
    assert not cog._alike(lost, image)
    assert not cog._alike(image[::-1] // 2, image)


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_masks_go_through_blocks_too(tmp_path, suffix):
    mask, valid = make_mask((150, 90)), np.ones((150, 90), bool)
    valid[70:80, 3:] = False
    for path in write_both_ways(tmp_path, f"m{suffix}", mask, make_grid((150, 90)), valid=valid):
        read_valid = read(path, read_mask_and_valid)[1]
        assert np.array_equal(read_valid, valid)
        assert np.array_equal(read(path, read_mask), np.where(valid, mask, 0))


def test_an_image_with_gaps_becomes_a_png_with_an_alpha_band(tmp_path):
    image, valid = noise((70, 90, 3)), noise((70, 90), 1) < 128
    for path in write_both_ways(tmp_path, "a.png", image, make_grid((70, 90)), valid=valid):
        with open_raster(path) as raster:
            bands = raster.read()
        assert np.array_equal(bands[..., :3], image)
        assert np.array_equal(bands[..., 3] == 255, valid)


@examples(0.3)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(25, 60), st.data())
def test_any_window_of_an_assembled_scene_is_that_part_of_it(tmp_path_factory, height, width, size, data):
    row, col = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    window = Window(row, col, data.draw(st.integers(1, height - row)), data.draw(st.integers(1, width - col)))
    image, folder = noise((height, width, 3), height * 100 + width), tmp_path_factory.mktemp("window")
    assemble(folder / "a.tif", write_blocks(folder, image, size=size), make_grid((height, width)))
    assert np.array_equal(read(folder / "a.tif", window=window), image[window.slices])


def test_overviews_are_means_of_an_image_and_values_of_a_mask(tmp_path):
    stripes = np.zeros((1100, 1100), np.uint8)
    stripes[::2] = 255
    for name, array, expected in (("image", np.dstack([stripes] * 3), {127, 128}), ("mask", stripes, {0, 255})):
        for path in write_both_ways(tmp_path, f"{name}.tif", array, make_grid(1100), size=512):
            with rasterio.open(path, overview_level=0) as dataset:
                assert set(np.unique(dataset.read(1))) <= expected


def test_blocks_that_overlap_or_leave_a_gap_are_a_mistake_of_the_caller(tmp_path):
    write_block(tmp_path / "b.tif", noise((8, 8, 3)))
    for windows in ([Window(0, 0, 8, 8)], [Window(0, 0, 8, 8), Window(8, 8, 8, 8)], [Window(0, 0, 8, 8), Window(4, 0, 8, 8)]):
        with pytest.raises(AssertionError):
            assemble(tmp_path / "a.tif", dict.fromkeys(windows, tmp_path / "b.tif"), make_grid((12, 8)))
    assert names(tmp_path) == ["b.tif"]


# What goes wrong


@pytest.mark.parametrize(
    ("name", "bands", "options", "error", "message"),
    [
        ("a.jpg", 3, {}, DataError, r"a\.jpg: images are written as \.tif or \.png"),
        ("a.tif", 3, {"compress": "lerc"}, ConfigError, "unknown compression 'lerc'; there are deflate, zstd, lzw, jpeg, webp"),
        ("a.png", 3, {"compress": "webp"}, ConfigError, "webp is for GeoTIFF; a PNG is always deflate"),
        ("a.tif", 1, {"compress": "jpeg"}, ConfigError, "jpeg is for images of three bands; a mask needs a lossless"),
        ("a.tif", 3, {"compress": "jpeg", "quality": 5}, ConfigError, "quality 5 is not between 25 and 100"),
    ],
)
def test_what_cannot_be_written_is_refused_at_once(tmp_path, name, bands, options, error, message):
    array = noise((8, 8, bands)).squeeze()
    blocks = write_blocks(tmp_path / "blocks", array)
    with pytest.raises(error, match=message):
        write_raster(tmp_path / name, array, make_grid(8), **options)
    with pytest.raises(error, match=message):
        assemble(tmp_path / name, blocks, make_grid(8), **options)
    assert names(tmp_path) == ["blocks"]


def test_an_existing_file_is_kept_unless_asked(tmp_path):
    path, first, second = tmp_path / "m.tif", make_mask(32, seed=1), make_mask(32, seed=2)
    blocks = write_blocks(tmp_path / "blocks", second)
    write_raster(path, first, make_grid(32))
    with pytest.raises(OutputExistsError, match=r"m\.tif exists\. Pass --overwrite"):
        write_raster(path, second, make_grid(32))
    with pytest.raises(OutputExistsError):
        assemble(path, blocks, make_grid(32))
    assert np.array_equal(read(path, read_mask), first)
    assemble(path, blocks, make_grid(32), overwrite=True)
    assert np.array_equal(read(path, read_mask), second)


@pytest.mark.parametrize("name", ["a.tif", "with [brackets] & #2 and *.tif", "a.png"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, name):
    path, mask = tmp_path / name, make_mask(32)
    assemble(path, write_blocks(tmp_path / "blocks", mask), make_grid(32))
    monkeypatch.setattr(cog, "_reads_back", lambda *_, **__: False)
    for write, source in ((write_raster, 255 - mask), (assemble, {Window(0, 0, 32, 32): tmp_path / "blocks/block 0 & 0.tif"})):
        with pytest.raises(ResourceError, match=r"could not be written .* does not read back.*Nothing was left"):
            write(path, source, make_grid(32), overwrite=True)
        with pytest.raises(ResourceError):
            write(tmp_path / f"new {name}", source, make_grid(32))
    assert names(tmp_path) == sorted(["blocks", name])
    assert np.array_equal(read(path, read_mask), mask)


def test_a_damaged_block_is_named_and_nothing_is_written(tmp_path):
    blocks = write_blocks(tmp_path / "blocks", noise((200, 200, 3)), size=100)
    grid, third = make_grid(200), list(blocks.values())[2]
    whole = third.read_bytes()
    for damage in (whole[: len(whole) // 2], whole[:-30_000] + bytes([whole[-30_000] ^ 1]) + whole[-29_999:]):
        third.write_bytes(damage)
        with pytest.raises(DataError, match=r"block 100 & 0\.tif"):
            assemble(tmp_path / "a.tif", blocks, grid)
    third.unlink()
    with pytest.raises(DataError, match=r"block 100 & 0\.tif: no such file"):
        assemble(tmp_path / "a.tif", blocks, grid)
    assert names(tmp_path) == ["blocks"]


def test_the_second_of_two_writers_refuses(tmp_path):
    blocks = write_blocks(tmp_path / "blocks", noise((20, 20, 3)))
    with lock(tmp_path / "a.tif"), pytest.raises(LockedError, match="being written by another process"):
        assemble(tmp_path / "a.tif", blocks, make_grid(20))


@pytest.mark.parametrize("room", [2**17, 2**20])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, room):
    image, grid = noise((900, 900, 3)), make_grid(900)
    blocks = write_blocks(tmp_path / "blocks", image, size=450)
    with small_disk(tmp_path / "disk", room) as disk:
        path = disk / "a.tif"
        for write in (
            lambda: assemble(path, blocks, grid),
            lambda: write_raster(path, image, grid),
            lambda: write_block(path, image),
        ):
            with pytest.raises(ResourceError, match=r"could not be written|no space left"):
                write()
            assert names(disk) == []


ASSEMBLE = """
    import sys
    from pathlib import Path
    from orthoforge.geo.cog import assemble
    from orthoforge.geo.grid import Grid, Window
    folder, size, step = Path(sys.argv[1]), 1536, 512
    blocks = {Window(r, c, step, step): folder / "blocks" / f"block {r} & {c}.tif"
              for r in range(0, size, step) for c in range(0, size, step)}
    assemble(folder / "a.tif", blocks, Grid(size, size))
"""


def test_a_kill_in_the_middle_leaves_no_file_and_the_next_writer_clears_up(warm_python, tmp_path):
    image = noise((1536, 1536, 3))
    blocks = write_blocks(tmp_path / "blocks", image, size=512)
    left_behind = set()
    for stage in (".a.tif.partial.ovr.tmp", ".a.tif.partial"):
        process = warm_python.start("-c", textwrap.dedent(ASSEMBLE), tmp_path)
        started = time.monotonic()
        while not (tmp_path / stage).exists():
            assert process.poll() is None and time.monotonic() - started < 60
            time.sleep(0.002)
        warm_python.kill(process)
        left_behind |= set(names(tmp_path))
        assert "a.tif" not in left_behind
    assert left_behind >= {".a.tif.partial.ovr.tmp", ".a.tif.partial"}
    (tmp_path / ".a.tif.partial.msk.ovr.tmp").touch()
    assemble(tmp_path / "a.tif", blocks, Grid(1536, 1536))
    assert names(tmp_path) == ["a.tif", "blocks"]
    assert np.array_equal(read(tmp_path / "a.tif"), image)


def test_a_crs_that_a_geotiff_cannot_hold_is_not_lost_in_silence(tmp_path):
    site = CRS.from_wkt(
        f'DERIVEDPROJCRS["site grid",{UTM.to_wkt(version="WKT2_2019").replace("PROJCRS[", "BASEPROJCRS[", 1).split(",CS[")[0]}],'
        'DERIVINGCONVERSION["Affine",METHOD["Affine parametric transformation"],'
        'PARAMETER["A0",-500000,LENGTHUNIT["metre",1]],PARAMETER["A1",1,SCALEUNIT["coefficient",1]],'
        'PARAMETER["A2",0,SCALEUNIT["coefficient",1]],PARAMETER["B0",-5000000,LENGTHUNIT["metre",1]],'
        'PARAMETER["B1",0,SCALEUNIT["coefficient",1]],PARAMETER["B2",1,SCALEUNIT["coefficient",1]]],'
        'CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'
    )
    with pytest.warns(UserWarning, match=r"a\.tif: a GeoTIFF cannot hold its CRS, site grid; it is written without"):
        write_raster(tmp_path / "a.tif", make_mask(8), Grid(8, 8, Affine(0.3, 0, 9, 0, -0.3, 9), site))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_raster(tmp_path / "b.tif", make_mask(8), make_grid(8))
