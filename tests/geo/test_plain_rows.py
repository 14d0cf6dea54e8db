"""Uncompressed GeoTIFFs are read as they lie in the file, and as GDAL reads them."""

import io
import struct

import numpy as np
import pytest
import rasterio
from rasterio.env import getenv

from conftest import make_grid, make_image, make_mask, write_tiff
from orthoforge.errors import DataError
from orthoforge.geo.grid import Window
from orthoforge.geo.rasters import READ_OPTIONS, open_quietly, open_raster, orientation, plain_rows, reading_many

HEIGHT, WIDTH = 50, 70
PIXELS = make_image(make_mask((HEIGHT, WIDTH)))
WINDOWS = [None, Window(0, 0, 1, WIDTH), Window(7, 0, 13, 60), Window(49, 5, 1, 65), Window(3, 40, 20, 9)]


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(plain_rows, "_LEAST_BYTES", 1)


def as_gdal_reads(path, window=None):
    with open_quietly(path) as dataset:
        part = window and rasterio.windows.Window(window.col, window.row, window.width, window.height)
        return np.moveaxis(dataset.read(window=part), 0, -1)


@pytest.mark.parametrize("block_rows", [1, 4, 16, 50])
@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("kind", [{}, {"BIGTIFF": "YES"}, {"ENDIANNESS": "BIG"}])
def test_plain_rows_are_read_without_gdal_and_as_gdal_reads_them(tmp_path, monkeypatch, block_rows, bands, kind):
    path = write_tiff(
        tmp_path / "a.tif", PIXELS[..., :bands], make_grid((HEIGHT, WIDTH)), blockysize=block_rows, interleave="pixel", **kind
    )
    expected = [as_gdal_reads(path, window) for window in WINDOWS]
    pieces = []
    found = plain_rows.read_plain_rows
    monkeypatch.setattr("orthoforge.geo.rasters.raster.read_plain_rows", lambda *args: pieces.append(rows := found(*args)) or rows)
    with open_raster(path) as raster:
        assert raster.has_plain_rows
        for window, pixels in zip(WINDOWS, expected, strict=True):
            np.testing.assert_array_equal(raster.read(window), pixels)
        np.testing.assert_array_equal(raster.read(None, (bands,)), expected[0][..., bands - 1 :])  # some bands: by GDAL
    assert [piece is not None for piece in pieces[:5]] == [True, True, True, True, False]  # the last is narrow


@pytest.mark.parametrize(
    "options",
    [
        {"compress": "lzw"},
        {"tiled": True, "blockxsize": 16, "blockysize": 16},
        {"interleave": "band"},
        {"photometric": "YCBCR", "compress": "jpeg"},
    ],
)
def test_other_rows_are_left_to_gdal(tmp_path, options):
    path = write_tiff(tmp_path / "a.tif", PIXELS, make_grid((HEIGHT, WIDTH)), **{"interleave": "pixel"} | options)
    with open_raster(path) as raster:
        assert not raster.has_plain_rows
        np.testing.assert_array_equal(raster.read(), as_gdal_reads(path))


def test_rows_that_were_never_written_are_zeros(tmp_path):
    path = tmp_path / "a.tif"
    options = {"driver": "GTiff", "height": 64, "width": 64, "count": 1, "dtype": "uint8", "blockysize": 4, "SPARSE_OK": "TRUE"}
    with rasterio.open(path, "w", transform=make_grid(64).transform, crs=make_grid(64).crs, **options) as dataset:
        dataset.write(np.full((1, 4, 64), 9, np.uint8), window=rasterio.windows.Window(0, 8, 64, 4))
    with open_raster(path) as raster:
        pixels = raster.read()[..., 0]
        assert raster.has_plain_rows
    assert set(np.flatnonzero(pixels.any(axis=1))) == {8, 9, 10, 11}


@pytest.mark.parametrize("block_rows", [1, 50])
def test_a_truncated_file_is_named_and_gives_no_garbage(tmp_path, block_rows):
    path = write_tiff(tmp_path / "a.tif", PIXELS, make_grid((HEIGHT, WIDTH)), blockysize=block_rows, interleave="pixel")
    path.write_bytes(path.read_bytes()[:-1000])
    with open_raster(path) as raster, pytest.raises(DataError, match=r"a\.tif: pixels cannot be read near row .*truncated"):
        raster.read()


@pytest.mark.parametrize(("fill_order", "plain"), [(1, True), (2, False)])
def test_bits_in_the_other_order_are_turned(tmp_path, fill_order, plain):
    """A TIFF by hand, as GDAL writes none with that order: 16 × 16 px that rise from 0 to 255."""
    entries = ((256, 16), (257, 16), (258, 8), (259, 1), (262, 1), (266, fill_order), (273, 200), (277, 1), (278, 16), (279, 256))
    tags = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in entries)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + tags + bytes(4)
    path = tmp_path / "a.tif"
    path.write_bytes(head.ljust(200, b"\0") + bytes(range(256)))
    with open_raster(path) as raster:
        assert raster.has_plain_rows == plain
        np.testing.assert_array_equal(raster.read(), as_gdal_reads(path))
        assert raster.read()[0, 1, 0] == (1 if plain else 128)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_lists_of_numbers_in_a_directory_are_read_wherever_they_lie(order, big):
    """A TIFF by hand: two numbers of 16 bits inline, three of the longest kind elsewhere, and a list beyond any file."""
    size, place, kind = (8, "Q", 16) if big else (4, "I", 4)
    inline = struct.pack(order + "HHHH", 7, 8, 0, 0)[:size]
    entries = ((273, 3, 2, inline), (278, kind, 3, struct.pack(order + place, 300)), (279, kind, 3, b"\xff" * size))
    body = b"".join(struct.pack(order + "HH" + place, tag, type_, count) + value for tag, type_, count, value in entries)
    head = struct.pack(order + "HHHQQ", 43, 8, 0, 16, 3) if big else struct.pack(order + "HIH", 42, 8, 3)
    stored = struct.pack(order + place * 3, 5, 6, 70_000)
    file = io.BytesIO(({"<": b"II", ">": b"MM"}[order] + head + body).ljust(300, b"\0") + stored)
    assert orientation.short_tag(file, 273, 1) == 7
    np.testing.assert_array_equal(orientation.numbers_of_tag(file, 273, 0, 1), [7, 8])
    np.testing.assert_array_equal(orientation.numbers_of_tag(file, 278, 1, 2), [6, 70_000])
    assert orientation.numbers_of_tag(file, 278, 1, 3) is None, "it has three"
    assert orientation.numbers_of_tag(file, 279, 0, 2) is None
    assert orientation.numbers_of_tag(file, 280, 0, 0) is None
    cut = io.BytesIO(file.getvalue()[:-1])
    assert orientation.numbers_of_tag(cut, 278, 0, 2) is None


def test_many_rasters_share_the_options_for_reading(tmp_path):
    path = write_tiff(tmp_path / "a.tif", PIXELS, make_grid((HEIGHT, WIDTH)))
    with reading_many(), reading_many():
        for _ in range(2):
            with open_raster(path) as raster:
                raster.read()
                assert READ_OPTIONS.items() <= getenv().items()
    with open_raster(path):
        assert READ_OPTIONS.items() <= getenv().items()
    assert not rasterio.env.hasenv()
