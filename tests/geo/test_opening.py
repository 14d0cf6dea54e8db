"""What a raster's file may ask for, and what may lie beside it."""

import builtins
import errno
import shutil
import struct

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from rasterio.crs import CRS

from conftest import UTM, make_grid, make_image, make_mask, write_tiff
from orthoforge.errors import DataError, GridError
from orthoforge.geo.grid import Grid
from orthoforge.geo.heights import horizontal
from orthoforge.geo.rasters import open_raster

WGS84 = CRS.from_epsg(4326)
DRIVER = {"tif": "GTiff", "png": "PNG", "jpg": "JPEG"}


def grid_of(path):
    with open_raster(path) as raster:
        return raster.grid


def vrt_of(path):
    return (
        '<VRTDataset rasterXSize="8" rasterYSize="8"><Metadata><MDI key="INTERNAL_MASK_FLAGS_1">2</MDI></Metadata>'
        f'<VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename>{path}</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )


# Side files


@pytest.mark.parametrize("suffix", ["tif", "png", "jpg"])
@pytest.mark.parametrize(("side", "kind"), [("msk", "mask"), ("MSK", "mask"), ("ovr", "overviews"), ("OVR", "overviews")])
def test_a_side_file_that_is_a_vrt_is_not_followed(tmp_path, suffix, side, kind):
    secret = write_tiff(tmp_path / "secret.tif", np.zeros((8, 8), np.uint8))
    path = write_tiff(tmp_path / f"a.{suffix}", np.full((8, 8), 255, np.uint8), driver=DRIVER[suffix])
    (tmp_path / f"a.{suffix}.{side}").write_text(vrt_of(secret))
    with pytest.raises(DataError, match=rf"a\.{suffix}\.{side}: lies beside a\.{suffix} as its {kind} and is no TIFF\. Remove it"):
        grid_of(path)


def test_a_mask_in_a_side_file_that_is_a_tiff_is_read(tmp_path):
    valid = np.full((8, 8), 255, np.uint8)
    valid[:, :3] = 0
    path = write_tiff(tmp_path / "a.tif", make_image(make_mask(8)), make_grid(8))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(valid)
    assert (tmp_path / "a.tif.msk").exists()
    with open_raster(path) as raster:
        assert np.array_equal(raster.read_valid(), valid > 0)


@pytest.mark.parametrize("where", ["beside", "inside"])
def test_metadata_that_name_another_file_are_refused(tmp_path, where):
    path = write_tiff(tmp_path / "a.tif", make_mask(8), make_grid(8))
    write_tiff(tmp_path / "secret.tif", make_mask(8))
    if where == "inside":
        with rasterio.open(path, "r+") as dataset:
            dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(tmp_path / "secret.tif"))
    else:
        item = f'<MDI key="OVERVIEW_FILE">{tmp_path}/secret.tif</MDI>'
        (tmp_path / "a.tif.aux.xml").write_text(f'<PAMDataset><Metadata domain="OVERVIEWS">{item}</Metadata></PAMDataset>')
    with pytest.raises(DataError, match="its metadata name another file as its overviews"):
        grid_of(path)


@pytest.mark.parametrize("where", ["geokeys", "a.tif.aux.xml", "a.aux.xml", "a.aux"])
def test_a_crs_that_names_a_file_is_refused_before_gdal_reads_it(tmp_path, monkeypatch, where):
    """PROJ opens grids of datum shifts as soon as it reads the CRS."""
    path = write_tiff(tmp_path / "a.tif", np.full((8, 8), 255, np.uint8), make_grid(8))
    if where == "geokeys":
        shifted = (
            'GEOGCS["x",DATUM["x",SPHEROID["Clarke 1866",6378206.4,294.978698213898],EXTENSION["PROJ4_GRIDS","./shifts.gsb"]],'
            'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]]'
        )
        options = {"driver": "GTiff", "height": 8, "width": 8, "count": 1, "dtype": "uint8", "GEOTIFF_KEYS_FLAVOR": "ESRI_PE"}
        with rasterio.open(path, "w", crs=CRS.from_wkt(shifted), transform=Affine(1e-5, 0, 15, 0, -1e-5, 45), **options) as dataset:
            dataset.write(np.zeros((1, 8, 8), np.uint8))
    else:
        srs = "<SRS>+proj=longlat +ellps=clrk66 +nadgrids=.&#47;shifts.gsb</SRS>"
        (tmp_path / where).write_text(f"<PAMDataset>{srs}</PAMDataset>")
    opened = []
    monkeypatch.setattr("orthoforge.geo.rasters.raster.Reader", lambda *args, **options: opened.append(args))
    file = "a.tif" if where == "geokeys" else where
    with pytest.raises(DataError, match=rf"{file}: has a CRS that needs the file '\./shifts\.gsb'; .* Give a\.tif a CRS of EPSG's"):
        grid_of(path)
    assert opened == []


def test_a_crs_beside_a_raster_may_name_projs_own_grids(tmp_path):
    path = write_tiff(tmp_path / "a.tif", np.full((8, 8), 255, np.uint8), make_grid(8))
    srs = "<SRS>+proj=longlat +ellps=clrk66 +nadgrids=ntv2_0.gsb</SRS>"
    place = "<GeoTransform>15,1e-5,0,45,0,-1e-5</GeoTransform>"
    (tmp_path / "a.tif.aux.xml").write_text(f"<PAMDataset>{srs}{place}</PAMDataset>")
    assert grid_of(path).crs.is_geographic


def test_huge_blocks_are_refused_and_large_ones_read_in_parts(tmp_path, monkeypatch):
    pixels = np.arange(64 * 8, dtype=np.uint8).reshape(64, 8)
    path = write_tiff(tmp_path / "a.tif", pixels, make_grid((64, 8)), blockysize=64, compress="deflate")
    monkeypatch.setattr("orthoforge.geo.rasters.raster._MOST_STRIP_PIXELS", 80)
    monkeypatch.setattr("orthoforge.geo.rasters.raster._STRIP_PIXELS", 80)
    with open_raster(path) as raster:
        strips = list(raster.strips())
        assert [strip.height for strip in strips] == [10] * 6 + [4]
        assert np.array_equal(np.concatenate([raster.read(strip)[..., 0] for strip in strips]), pixels)
    monkeypatch.setattr("orthoforge.geo.rasters.raster._MOST_BLOCK_BYTES", 500)
    with pytest.raises(DataError, match=r"a\.tif: its pixels lie in blocks of 8×64, .* TILED=YES"):
        grid_of(path)


def test_a_world_file_still_says_where_a_png_lies(tmp_path):
    path = write_tiff(tmp_path / "a.png", make_mask(8), driver="PNG")
    (tmp_path / "a.pgw").write_text("0.3\n0\n0\n-0.3\n500000.15\n4999999.85\n")
    assert grid_of(path).offset_px(make_grid(8)) < 1e-6


# What cannot be read


def test_a_file_that_must_not_be_read_is_named(tmp_path, monkeypatch):
    path = write_tiff(tmp_path / "a.tif", make_mask(8), make_grid(8))

    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(builtins, "open", refuse)
    with pytest.raises(DataError, match=r"a\.tif: cannot be read \(Permission denied\)"):
        grid_of(path)


def test_a_name_that_is_too_long_is_our_error(tmp_path):
    with pytest.raises(DataError, match=r"cannot be read \(File name too long\)"):
        grid_of(tmp_path / f"{'a' * 300}.tif")


def test_a_link_without_target_is_called_one(tmp_path):
    (tmp_path / "a.tif").symlink_to(tmp_path / "gone" / "a.tif")
    with pytest.raises(DataError, match=r"/a\.tif: is a link to .*/gone/a\.tif, which is not there"):
        grid_of(tmp_path / "a.tif")


@pytest.mark.parametrize("interleave", ["band", "pixel"])
def test_a_small_file_that_declares_very_many_bands_is_refused_before_reading(tmp_path, interleave):
    shape = {"height": 1, "width": 1, "count": 65_535, "dtype": "uint8", "transform": make_grid(1).transform}
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", sparse_ok=True, interleave=interleave, **shape):
        pass
    with pytest.raises(DataError, match="declares 65535 bands; more than 1000 are not accepted"):
        grid_of(tmp_path / "a.tif")


# How the pixels are turned


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_pixels_that_viewers_turn_are_refused(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(make_image(make_mask(8))).save(tmp_path / f"a.{suffix}", exif=exif)
    if orientation == 1:
        assert (grid_of(tmp_path / f"a.{suffix}").height) == 8
        return
    with pytest.raises(DataError, match=rf"a\.{suffix}: its EXIF tag Orientation is {orientation}: viewers show it turned by"):
        grid_of(tmp_path / f"a.{suffix}")


def test_pixels_with_a_place_on_the_ground_lie_as_they_are_stored(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(make_image(make_mask(8))).save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "a.jgw").write_text("0.3\n0\n0\n-0.3\n500000.15\n4999999.85\n")
    assert grid_of(tmp_path / "a.jpg").offset_px(make_grid(8)) < 1e-6


# Where they lie


@pytest.mark.parametrize(("crs", "flat"), [("EPSG:32633+5773", 32633), ("EPSG:32633+4979", 32633), ("EPSG:4979", 4326)])
def test_heights_are_left_out_of_a_crs(tmp_path, crs, flat):
    place = Affine(3e-6, 0, 15, 0, -3e-6, 50) if flat == 4326 else make_grid(8).transform
    path = write_tiff(tmp_path / "a.tif", make_mask(8), Grid(8, 8, place, CRS.from_user_input(crs)))
    assert grid_of(path).crs == CRS.from_epsg(flat)


def test_other_crss_stay_what_they_are():
    for crs in (UTM, WGS84, CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')):
        assert horizontal(crs) == crs


@pytest.mark.parametrize(
    ("transform", "crs", "message"),
    [
        (Affine(1e-300, 0, 5e5, 0, -1e-300, 5e6), UTM, r"its pixels are 1e-300 × 1e-300 in size, so it lies nowhere"),
        (Affine(0.3, 0, np.nan, 0, -0.3, 5e6), UTM, "its transform holds a number that is not finite"),
        (Affine(0.3, 0, 5e5, 0, -np.inf, 5e6), UTM, "its transform holds a number that is not finite"),
        (Affine(0.3, 0, 1e300, 0, -0.3, 5e6), UTM, r"its coordinates reach 1e\+300"),
        (Affine(1e-6, 0, 5e8, 0, -1e-6, 5e6), UTM, r"its coordinates reach 5e\+08"),
        (Affine(0.1, 0.1, 5e5, 0.1, 0.1, 5e6), UTM, r"its pixels are .* in size"),
        (Affine(1e-6, 0, 15, 0, -1e-6, 400), WGS84, "its degrees reach from 15, 400 to 15, 400"),
        (Affine(1e-6, 0, 900, 0, -1e-6, 50), WGS84, "its degrees reach from 900"),
    ],
)
def test_places_that_cannot_be_are_refused(tmp_path, transform, crs, message):
    path = write_tiff(tmp_path / "a.tif", make_mask(8), Grid(8, 8, transform, crs))
    with pytest.raises(GridError, match=rf"a\.tif: {message}"):
        grid_of(path)


def test_a_raster_of_the_whole_earth_is_a_place(tmp_path):
    for grid in (Grid(180, 360, Affine(1, 0, -180, 0, -1, 90), WGS84), Grid(4, 8, Affine(0.25, 0, 0, 0, -0.25, 0), None)):
        assert grid_of(write_tiff(tmp_path / "a.tif", np.zeros((grid.height, grid.width), np.uint8), grid)).width == grid.width
        shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.mark.parametrize("place", [2**63, 2**64 - 1])
@pytest.mark.parametrize("of", ["directory", "text"])
def test_a_tiff_whose_directory_lies_beyond_any_file_is_refused_as_damaged(tmp_path, of, place):
    first = place if of == "directory" else 16
    entry = struct.pack("<QHHQQ", 1, 34737, 2, 100, place)  # geokeys as text, 100 bytes long
    (tmp_path / "mask.tif").write_bytes(struct.pack("<2sHHHQ", b"II", 43, 8, 0, first) + entry + bytes(8))
    with pytest.raises(DataError, match=r"mask\.tif"), open_raster(tmp_path / "mask.tif"):
        pass
