import struct
import warnings
import zlib

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp

from conftest import UTM, make_grid, make_image, make_mask, write_tiff
from orthoforge.errors import ConfigError, DataError, ResourceError
from orthoforge.geo.grid import Window
from orthoforge.geo.rasters import (
    memory,
    nodata_note,
    open_raster,
    read_image,
    read_mask,
    read_mask_and_valid,
    read_mask_rgb,
    read_mask_values,
)
from orthoforge.geo.rasters import raster as raster_module


def read(path, reader=read_image, **options):
    with open_raster(path) as raster:
        return reader(raster, **options)


# What comes in


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tif", b"", r"a\.tif: the file is empty \(0 bytes\)"),
        ("a.png", b"", r"a\.png: the file is empty"),
        ("a.tif", b"<!DOCTYPE html><html>Not found</html>", "not a GTiff file; it begins with b'<!DO'.*not a page or a VRT"),
        ("a.tif", b"\xff\xd8\xff\xe0rest", r"holds JPEG data under the name of a GTiff file\. Rename it to a\.jpg"),
        ("a.png", b"II*\0rest", r"holds GTiff data under the name of a PNG file\. Rename it to a\.tif"),
        ("a.tif", b"II*\0\x08\0\0\0", "not a readable GTiff file"),
        ("a.jp2", b"xx", "unknown suffix '.jp2'; GeoTIFF, PNG and JPEG are read"),
    ],
)
def test_files_that_are_not_what_their_name_says(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(tmp_path / name)


def test_a_missing_file_and_a_folder(tmp_path):
    (tmp_path / "folder.tif").mkdir()
    for name, message in (("none.tif", "no such file"), ("folder.tif", r"is a folder; name the files in it")):
        with pytest.raises(DataError, match=f"{name}: {message}"):
            read(tmp_path / name)


def test_a_vrt_named_tif_reads_nothing_of_the_file_it_points_to(tmp_path):
    secret = write_tiff(tmp_path / "secret.tif", np.full((4, 4), 77, np.uint8))
    leak = tmp_path / "leak.tif"
    leak.write_text(
        '<VRTDataset rasterXSize="4" rasterYSize="4"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f"<SourceFilename>{secret}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(leak) as leaking:  # left to itself, GDAL does follow it
            assert leaking.read().max() == 77
    with pytest.raises(DataError, match="not a GTiff file") as raised:
        read(leak, read_mask_values)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("compress", [None, "deflate", "jpeg"])
def test_a_truncated_tiff_names_the_first_rows_that_are_lost(tmp_path, compress):
    image = make_image(make_mask(128))
    path = write_tiff(tmp_path / "a.tif", image, make_grid(128), blockysize=16, **({"compress": compress} if compress else {}))
    whole = path.read_bytes()
    # Plain TIFFs keep their directory in front when small, so a file cut in the middle opens as if it were sound.
    path.write_bytes(whole[: len(whole) // 2])
    with open_raster(path) as raster:
        assert np.array_equal(raster.read(Window(0, 0, 16, 128)), read_rows(whole, tmp_path, 16))
        with pytest.raises(DataError, match=r"pixels cannot be read near row (\d+) \(truncated or damaged file\)") as raised:
            read_image(raster)
    row = int(str(raised.value).split("row ")[1].split(" ")[0])
    assert row % 16 == 0
    assert 32 <= row <= 80


def read_rows(content, folder, rows):
    (folder / "whole.tif").write_bytes(content)
    return read(folder / "whole.tif")[:rows]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_a_truncated_png_or_jpeg_is_noticed(tmp_path, suffix, share):
    # GDAL's default returns garbage for the missing rows of a PNG read as a whole, and no error.
    path = tmp_path / f"a{suffix}"
    Image.fromarray(make_image(make_mask(128))).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DataError, match=r"cannot be read near row|not a readable"):
        read(path)


def test_a_small_file_that_declares_a_giant_raster_is_refused_before_reading(tmp_path):
    path = tmp_path / "giant.tif"
    giant = {"driver": "GTiff", "height": 200_000, "width": 200_000, "count": 3, "dtype": "uint8"}
    sparse = {"tiled": True, "blockxsize": 4096, "blockysize": 4096, "sparse_ok": True, "bigtiff": "yes"}
    with rasterio.open(path, "w", crs=UTM, transform=make_grid(1).transform, **giant, **sparse):
        pass
    assert path.stat().st_size < 2_000_000
    with pytest.raises(DataError, match=r"header declares 200000×200000 px; more than 2\.5 billion pixels are not accepted"):
        read(path)


def test_a_png_bomb_is_refused_before_reading(tmp_path):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(10_000_000), 9)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(bomb)
    with pytest.raises(DataError, match="declares 60000×60000 px"):
        read(tmp_path / "bomb.png")


def test_a_raster_larger_than_memory_is_refused_with_both_numbers(tmp_path, monkeypatch):
    path = write_tiff(tmp_path / "a.tif", make_image(make_mask(64)), make_grid(64))
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    assert read(path) is not None  # so little is not asked for
    monkeypatch.setattr("orthoforge.geo.rasters.raster._UNASKED_BYTES", 1000)
    with pytest.raises(ResourceError, match=r"a\.tif: reading 64×64 px needs about .* GB of memory; .* are available"):
        read(path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((8, 8, 3), np.uint16), "image is uint16; three bands of uint8 are expected.*-ot Byte -scale"),
        (np.zeros((8, 8, 3), np.float32), "image is float32; three bands of uint8"),
        (np.zeros((8, 8, 4), np.uint8), "image has 4 bands; three .red, green, blue. are expected.*-b 1 -b 2 -b 3"),
        (np.zeros((8, 8), np.uint8), "image has 1 band; three"),
    ],
)
def test_images_of_other_types_and_band_counts(tmp_path, array, message):
    path = write_tiff(tmp_path / "a.tif", array, make_grid(8))
    with pytest.raises(DataError, match=message):
        read(path)


def test_bands_are_read_in_the_order_that_was_asked_for(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 9, 5), np.uint8)
    path = write_tiff(tmp_path / "a.tif", pixels, make_grid((8, 9)))
    with open_raster(path) as raster:
        assert np.array_equal(read_image(raster, bands=(4, 1, 2)), pixels[..., [3, 0, 1]])
        assert np.array_equal(read_image(raster, Window(2, 3, 4, 5), bands=[5]), pixels[2:6, 3:8, 4:])
        with pytest.raises(DataError, match="image has 5 bands, and no band 6"):
            read_image(raster, bands=(1, 6))
    for deep in (np.zeros((8, 8, 4), np.uint16), np.zeros((8, 8, 4), np.float32)):
        write_tiff(path, deep, make_grid(8))
        with open_raster(path) as raster, pytest.raises(DataError, match=f"image is {deep.dtype}; bands of uint8 are expected"):
            read_image(raster, bands=(1, 2, 3, 4))


def test_nan_pixels_are_counted_over_the_whole_file_and_the_first_is_placed(tmp_path, monkeypatch):
    pixels = np.zeros((40, 8, 3), np.float32)
    pixels[21, 5, 1] = pixels[21, 6] = pixels[33, 0] = np.nan
    path = write_tiff(tmp_path / "a.tif", pixels, make_grid((40, 8)), blockysize=4)
    monkeypatch.setattr(raster_module, "_STRIP_PIXELS", 64)  # strips of 8 rows
    for window in (None, Window(30, 0, 10, 8)):
        with pytest.raises(DataError, match="float32, with 3 NaN pixels, the first at row 21, column 5; three bands"):
            read(path, window=window)


def test_mask_values_other_than_0_1_255_are_named_with_their_share(tmp_path):
    mask = np.zeros((50, 20), np.uint8)
    mask[:10], mask[10:20] = 1, 255
    mask[30, :3] = 37
    path = write_tiff(tmp_path / "m.tif", mask, make_grid((50, 20)))
    with pytest.raises(
        DataError, match=r"m\.tif: mask must hold 0 and 1, or 0 and 255; it has value 37 in 0\.3 % of pixels; pass --threshold"
    ):
        read(path, read_mask)
    assert np.count_nonzero(read(path, read_mask, threshold=37)) == 10 * 20 + 3
    assert np.count_nonzero(read(path, read_mask, threshold=38)) == 10 * 20


def test_a_photo_given_as_a_mask_shows_a_few_values_only(tmp_path):
    path = write_tiff(tmp_path / "m.tif", np.arange(256, dtype=np.uint8).reshape(16, 16), make_grid(16))
    with pytest.raises(DataError, match=r"value 2 in 0\.4 %, value 3 in 0\.4 %, .* of pixels and 249 more values"):
        read(path, read_mask)


@pytest.mark.parametrize("high", [1, 255])
@pytest.mark.parametrize("bands", [1, 3])
def test_masks_of_0_and_1_or_255_in_one_band_or_three_equal_ones(tmp_path, high, bands):
    mask = make_mask(32)
    path = write_tiff(tmp_path / "m.tif", np.repeat((mask // 255 * high)[..., None], bands, 2), make_grid(32))
    assert np.array_equal(read(path, read_mask), mask)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (make_image(make_mask(16)), "mask has 3 bands that differ.*Is it the image instead of its mask.*with --palette"),
        (np.zeros((16, 16), np.float32), "mask is float32; uint8 is expected"),
        (np.zeros((16, 16), np.uint16), "mask is uint16"),
    ],
)
def test_masks_of_other_kinds(tmp_path, array, message):
    path = write_tiff(tmp_path / "m.tif", array, make_grid(16))
    with pytest.raises(DataError, match=message):
        read(path, read_mask)


def test_strips_cover_every_row_once_and_hold_whole_blocks(tmp_path, monkeypatch):
    path = write_tiff(tmp_path / "a.tif", make_image(make_mask((100, 40))), make_grid((100, 40)), blockysize=16)
    monkeypatch.setattr(raster_module, "_STRIP_PIXELS", 40 * 40)
    with open_raster(path) as raster:
        strips = list(raster.strips())
        assert [(strip.row, strip.height) for strip in strips] == [(0, 32), (32, 32), (64, 32), (96, 4)]
        assert np.array_equal(np.concatenate([raster.read(strip) for strip in strips]), raster.read())


def test_blocks_that_were_never_written_are_counted(tmp_path):
    path = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "height": 64, "width": 64, "count": 1, "dtype": "uint8", "blockysize": 16}
    place = {"crs": UTM, "transform": make_grid(1).transform}
    with rasterio.open(path, "w", sparse_ok=True, **profile, **place) as dataset:
        dataset.write(np.full((1, 16, 64), 9, np.uint8), window=rasterio.windows.Window(0, 16, 64, 16))
    with open_raster(path) as raster:
        assert raster.missing_blocks() == (3, 4)
    with open_raster(write_tiff(tmp_path / "b.tif", np.zeros((64, 64), np.uint8), make_grid(64), blockysize=16)) as raster:
        assert raster.missing_blocks() == (0, 4)


# Pixels without data


COLOURS = {
    "alpha": (ColorInterp.gray, ColorInterp.alpha),
    "rgba": (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha),
}


def write_nodata(path, kind, values, valid, nodata=7):
    """A mask of ``values`` that says in one way or another that it has data where ``valid``."""
    if kind == "nodata":
        return write_tiff(path, np.where(valid, values, np.uint8(nodata)), make_grid(values.shape), nodata=nodata)
    if kind in ("alpha", "rgba"):
        colours = COLOURS[kind]
        write_tiff(path, np.dstack([values] * (len(colours) - 1) + [valid * np.uint8(255)]), make_grid(values.shape))
        with rasterio.open(path, "r+") as dataset:
            dataset.colorinterp = colours
        return path
    if kind == "png":
        Image.fromarray(np.dstack([values, valid * np.uint8(255)]), "LA").save(path.with_suffix(".png"))
        return path.with_suffix(".png")
    path = write_tiff(path, values, make_grid(values.shape), nodata=nodata if kind == "mask and nodata" else None)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(valid)
    return path


@pytest.mark.parametrize("kind", ["nodata", "alpha", "rgba", "png", "mask", "mask and nodata"])
@pytest.mark.parametrize("window", [None, Window(5, 9, 20, 11)])
def test_pixels_without_data_are_background_and_told_apart(tmp_path, kind, window):
    mask, valid = make_mask(40), np.random.default_rng(0).random((40, 40)) < 0.7
    path = write_nodata(tmp_path / "m.tif", kind, mask, valid)
    part = window.slices if window else (slice(None), slice(None))
    read_mask_part, read_valid = read(path, read_mask_and_valid, window=window)
    assert np.array_equal(read_valid, valid[part])
    assert np.array_equal(read_mask_part, np.where(valid, mask, 0)[part])
    assert np.array_equal(read(path, read_mask, window=window), read_mask_part)
    assert set(np.unique(read(path, read_mask_values))) == {0, 255}
    assert not read(path, read_mask_and_valid, threshold=1)[0][~valid].any()


def test_the_internal_mask_and_the_nodata_value_both_count(tmp_path):
    values, valid = np.zeros((8, 8), np.uint8), np.ones((8, 8), bool)
    values[0, 0], valid[1, 1] = 7, False
    path = write_nodata(tmp_path / "m.tif", "mask and nodata", values, valid)
    assert [*zip(*np.nonzero(~read(path, read_mask_and_valid)[1]), strict=True)] == [(0, 0), (1, 1)]


@pytest.mark.parametrize(("nodata", "high"), [(0, 1), (0, 255), (1, 1), (255, 255)])
def test_a_nodata_value_that_a_mask_needs_is_ignored(tmp_path, nodata, high):
    path = write_tiff(tmp_path / "m.tif", np.array([[0, high, 0]], np.uint8), make_grid((1, 3)), nodata=nodata)
    mask, valid = read(path, read_mask_and_valid)
    assert mask.tolist() == [[0, 255, 0]]
    assert valid is None
    assert (nodata_note_of(path) is None) == (nodata == 0)


@pytest.mark.parametrize(("nodata", "building"), [(1, [0, 0, 255]), (255, [0, 255, 0])])
@pytest.mark.parametrize("window", [None, Window(0, 2, 1, 1)])
def test_1_and_255_are_nodata_where_they_are_declared_and_the_other_is_building(tmp_path, nodata, building, window):
    path = write_tiff(tmp_path / "m.tif", np.array([[0, 1, 255]], np.uint8), make_grid((1, 3)), nodata=nodata)
    mask, valid = read(path, read_mask_and_valid, window=window)
    part = window.slices[1] if window else slice(None)
    assert mask[0].tolist() == building[part]
    assert valid[0].tolist() == [value != nodata for value in (0, 1, 255)][part]
    assert nodata_note_of(path) is None


def nodata_note_of(path):
    with open_raster(path) as raster:
        return nodata_note(raster)


def test_1_and_255_in_one_mask_are_refused_also_when_two_windows_hold_them(tmp_path):
    path = write_tiff(tmp_path / "m.tif", np.array([[0, 1], [0, 255]], np.uint8), make_grid(2))
    message = r"holds 1 in 25\.0 % and 255 in 25\.0 % of pixels.*declare it, .* -a_nodata 255.* --threshold 1; .*--threshold 255"
    with pytest.raises(DataError, match=message):
        read(path, read_mask)
    with open_raster(path) as raster:
        assert read_mask(raster, Window(0, 0, 1, 2)).tolist() == [[0, 255]]
        with pytest.raises(DataError, match=message):
            read_mask(raster, Window(1, 0, 1, 2))
    assert read(path, read_mask, threshold=1).tolist() == [[0, 255], [0, 255]]
    assert read(path, read_mask, threshold=255).tolist() == [[0, 0], [0, 255]]


@pytest.mark.parametrize("kind", ["alpha", "rgba", "png", "mask"])
def test_a_mask_whose_background_is_transparent_has_data_everywhere(tmp_path, kind):
    mask = make_mask(40)
    path = write_nodata(tmp_path / "m.tif", kind, mask, mask > 0)
    for window in (None, Window(0, 0, 3, 40)):
        found, valid = read(path, read_mask_and_valid, window=window)
        assert np.array_equal(found, mask[window.slices if window else (slice(None), slice(None))])
        assert valid is None
    path = write_nodata(tmp_path / "none.tif", kind, mask, mask > 300)  # nothing is opaque
    assert not read(path, read_mask_and_valid)[1].any()


# Thresholds


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        ([0, 2, 2, 2], r"\(for example 2, which makes 75\.0 % of them building\)"),
        ([0, 37, 255, 255], r"\(for example 128, which makes 50\.0 % of them building\)"),
        ([0, 0, 0, 9], r"\(for example 5, which makes 25\.0 % of them building\)"),
    ],
)
def test_the_advised_threshold_parts_the_values_seen(tmp_path, values, advice):
    path = write_tiff(tmp_path / "m.tif", np.array([values], np.uint8), make_grid((1, 4)))
    with pytest.raises(DataError, match="pass --threshold " + advice):
        read(path, read_mask)


@pytest.mark.parametrize(
    ("values", "is_of_classes"),
    [
        ([0, 1, 2, 3], True),
        ([0, 1, 2, 2], True),
        ([0, 40, 80, 120], True),
        ([0, 80, 120, 255], False),
        ([0, 0, 0, 9], False),
        (range(100), False),
    ],
)
def test_a_mask_of_classes_is_told_of_palettes_and_not_of_thresholds(tmp_path, values, is_of_classes):
    path = write_tiff(tmp_path / "m.tif", np.array([values], np.uint8), make_grid((1, len(values))))
    with pytest.raises(DataError) as failure:
        read(path, read_mask)
    assert ("looks like a mask of classes. Say with --palette" in str(failure.value)) == is_of_classes
    assert ("--threshold" in str(failure.value)) != is_of_classes


def test_no_threshold_parts_a_single_value(tmp_path):
    path = write_tiff(tmp_path / "m.tif", np.full((4, 4), 7, np.uint8), make_grid(4))
    with pytest.raises(DataError, match=r"it has value 7 in 100\.0 % of pixels\. If it is one of classes"):
        read(path, read_mask)


@pytest.mark.parametrize(("threshold", "makes"), [(0, "everything"), (-3, "everything"), (256, "nothing")])
def test_a_threshold_that_no_value_is_below_or_above_is_refused(tmp_path, threshold, makes):
    path = write_tiff(tmp_path / "m.tif", make_mask(8), make_grid(8))
    with pytest.raises(ConfigError, match=f"threshold {threshold} makes {makes} building: masks hold 0 to 255"):
        read(path, read_mask, threshold=threshold)


def test_negative_values_are_no_building(tmp_path):
    path = write_tiff(tmp_path / "m.tif", np.array([[0, -1]], np.int8), make_grid((1, 2)))
    with pytest.raises(DataError, match="mask is int8 and holds values below 0"):
        read(path, read_mask)


def test_a_file_that_declares_nothing_has_no_validity(tmp_path):
    assert read(write_tiff(tmp_path / "m.tif", make_mask(16), make_grid(16)), read_mask_and_valid)[1] is None


def test_values_besides_the_declared_nodata_are_still_refused(tmp_path):
    values = np.array([[0, 255, 7, 37]], np.uint8)
    path = write_tiff(tmp_path / "m.tif", values, make_grid((1, 4)), nodata=7)
    with pytest.raises(DataError, match=r"it has value 37 in 25\.0 % of pixels; pass --threshold"):
        read(path, read_mask)
    with pytest.raises(DataError, match="mask has 2 bands that differ"):  # the second is not declared to be alpha
        read(write_tiff(tmp_path / "two.tif", np.zeros((4, 4, 2), np.uint8), make_grid(4), alpha="no"), read_mask)


def test_a_truncated_internal_mask_is_noticed(tmp_path):
    path = tmp_path / "m.tif"
    valid = np.random.default_rng(0).random((300, 300)) < 0.5
    write_nodata(path, "mask", make_mask(300), valid)
    whole = path.read_bytes()
    with rasterio.open(path) as dataset:
        assert dataset.files == [str(path)]  # inside
    path.write_bytes(whole[:-2000] + bytes(2000))
    with pytest.raises(DataError, match=r"cannot be read near row|not a readable"):
        read(path, read_mask_and_valid)


# Palettes


def write_palette(path, indices, *colours, **options):
    """A palette PNG or TIFF of those colours."""
    image = Image.fromarray(indices, "L")
    image.putpalette([part for colour in colours for part in colour])
    image.save(path, **options)
    return path


BLACK, WHITE, GREY, RED = (0, 0, 0), (255, 255, 255), (90, 90, 90), (200, 30, 30)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("reader", [read_mask, read_mask_values])
@pytest.mark.parametrize("window", [None, Window(5, 9, 20, 11)])
def test_a_black_and_white_palette_reads_as_it_shows_in_either_order(tmp_path, suffix, reader, window):
    mask = make_mask(40)
    building = mask // 255
    part = window.slices if window else (slice(None), slice(None))
    for name, indices, colours in (("up", building, (BLACK, WHITE)), ("down", 1 - building, (WHITE, BLACK))):
        path = write_palette(tmp_path / f"{name}{suffix}", indices, *colours)
        assert np.array_equal(read(path, reader, window=window), mask[part])
        assert np.array_equal(read(path, read_mask, window=window, threshold=128), mask[part])


def test_what_quantizing_makes_of_a_mask_is_that_mask(tmp_path):
    mask = make_mask(40)
    Image.fromarray(mask).convert("RGB").quantize(2).save(tmp_path / "m.png")
    with open_raster(tmp_path / "m.png") as raster:
        assert raster.colour_table()[0].tolist() == [255, 255, 255]  # building is index 0
    assert np.array_equal(read(tmp_path / "m.png", read_mask), mask)


def test_a_tiff_whose_white_is_0_reads_as_it_shows(tmp_path):
    mask = make_mask(40)
    for mode in ("1", "L"):
        Image.fromarray(mask).convert(mode).save(tmp_path / "m.tif", tiffinfo={262: 0})
        assert np.array_equal(read(tmp_path / "m.tif", read_mask), mask)


def test_of_two_greys_the_brighter_is_building_and_of_more_the_values_are_judged(tmp_path):
    mask = make_mask(40)
    building = mask // 255
    assert np.array_equal(read(write_palette(tmp_path / "two.png", 1 - building, (200, 200, 200), GREY), read_mask), mask)
    building[0, :4] = 2
    three = write_palette(tmp_path / "three.png", building, BLACK, WHITE, GREY)
    with pytest.raises(DataError, match=r"three\.png: .* it has value 90 in 0\.2 % of pixels; pass --threshold"):
        read(three, read_mask)
    assert np.array_equal(read(three, read_mask, threshold=128) > 0, building == 1)


def test_what_is_transparent_in_a_palette_is_background(tmp_path):
    mask = make_mask(40)
    path = write_palette(tmp_path / "m.png", mask // 255, WHITE, WHITE, transparency=0)
    assert np.array_equal(read(path, read_mask), mask)


@pytest.mark.parametrize("reader", [read_mask, read_mask_values])
@pytest.mark.parametrize("threshold", [None, 1])
def test_a_palette_of_colours_is_no_building_mask(tmp_path, reader, threshold):
    options = {"threshold": threshold} if reader is read_mask else {}
    building = make_mask(40) // 255
    path = write_palette(tmp_path / "m.png", building, BLACK, RED)
    with pytest.raises(DataError, match=r"m\.png: its palette shows .* such as \[200, 30, 30\], .* Save it as grey.*--palette"):
        read(path, reader, **options)
    unused = write_palette(tmp_path / "unused.png", building, BLACK, WHITE, RED)
    assert np.array_equal(read(unused, read_mask), building * 255)
    with open_raster(path) as raster:
        assert np.array_equal(read_mask_rgb(raster)[..., 0], building * 200)


def test_one_bit_pngs_stay_as_they_are(tmp_path):
    mask = make_mask(40)
    Image.fromarray(mask).convert("1").save(tmp_path / "m.png")
    assert np.array_equal(read(tmp_path / "m.png", read_mask), mask)


def test_a_crs_that_names_a_file_of_datum_shifts_is_refused(tmp_path):
    path = write_tiff(tmp_path / "town1.tif", make_mask(), make_grid(crs=None))
    shifted = "+proj=utm +zone=33 +ellps=bessel +nadgrids={} +units=m +no_defs"
    side = path.with_name("town1.tif.aux.xml")
    for grids in ("/etc/passwd", "../secret.gsb"):
        side.write_text(f"<PAMDataset><SRS>{shifted.format(grids)}</SRS></PAMDataset>")
        with pytest.raises(DataError, match=r"town1\.tif\.aux\.xml: has a CRS that needs the file .*EPSG"), open_raster(path):
            pass
    side.write_text(f"<PAMDataset><SRS>{shifted.format('@null')}</SRS></PAMDataset>")
    with open_raster(path) as raster:
        assert raster.grid.crs is not None
