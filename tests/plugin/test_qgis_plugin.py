"""The plugin in QGIS's own Python and by ``qgis_process``, without a screen: what it makes, and where QGIS shows it."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from qgis_here import Qgis, require_qgis
from rasterio.warp import Resampling, reproject, transform_bounds
from skimage.registration import phase_cross_correlation

from conftest import make_dataset, make_grid, make_mask, write_tiff
from orthoforge.geo.rasters import read_tags
from orthoforge.vectors import footprints_of, write_footprints
from saved_runs import save_run

sys.path.append(str(Path(__file__).parents[1] / "serving"))

from servers import live

SIZE = (160, 240)
KEY = "a key of sixteen characters"
WEB = "EPSG:3857"
PX = [420, 300]

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(scope="module")
def qgis(tmp_path_factory):
    require_qgis()
    return Qgis(tmp_path_factory.mktemp("qgis"))


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """A mask, its footprints, a run, and a data set."""
    folder = tmp_path_factory.mktemp("town")
    grid, mask = make_grid(SIZE), make_mask(SIZE, seed=3)
    write_tiff(folder / "town.tif", mask, grid)
    write_footprints(folder / "town.gpkg", footprints_of(mask, grid=grid), grid.crs)
    write_tiff(
        folder / "large.tif", np.tile(mask, (12, 12)), make_grid((12 * SIZE[0], 12 * SIZE[1]))
    )  # takes seconds, in which it can be cancelled
    save_run(folder / "run")
    make_dataset(folder / "data", ["austin1", "austin7"], 64)
    (folder / "key").write_text(f"{KEY}\n")
    west, south, east, north = grid.bounds
    margin = 0.15 * (east - west)
    around = transform_bounds(grid.crs, WEB, west - margin, south - margin, east + margin, north + margin)
    return folder, grid, mask, list(around)


@pytest.fixture(scope="module")
def answers(qgis, town, warm_python, tmp_path_factory):
    """All that is asked of QGIS, in one process."""
    folder, _, _, around = town
    out, run, mask, footprints = qgis.folder, str(folder / "run"), str(folder / "town.tif"), str(folder / "town.gpkg")
    view = {"extent": around, "crs": WEB, "size": PX}

    def to_run(name, output="no.tif", **parameters):
        return {"do": "run", "name": name, "OUTPUT": str(out / output), **parameters}

    def to_draw(name, **what):
        return {"do": "draw", "out": str(out / f"{name}.png"), **view, **what}

    by_command = {
        "command": {"do": "settings", "command": f'"{warm_python.executable}" -m orthoforge.cli', "server": ""},
        "described": {"do": "described"},
        "mask": to_run("imagefrommask", "mask.tif", INPUT=mask, RUN=run),
        "footprints": to_run(
            "imagefromfootprints", "footprints.tif", INPUT=footprints, RUN=run, EXTENT="500003,500033,4999970,4999991 [EPSG:32633]"
        ),
        "forge": to_run("forgemasks", "forged", INPUT=footprints, HOW=2, COUNT=2, SIZE=64),
        "grow": to_run("growdataset", "grown", DATA=str(folder / "data"), RUN=run, AGREEMENT=0, SPLIT=1),
        "refused": to_run("imagefrommask", INPUT=mask, RUN="nowhere"),
        "cancelled": to_run("imagefrommask", "cancelled.tif", INPUT=str(folder / "large.tif"), RUN=run, cancel_at="device: "),
        "one": {"do": "memory_layer", "source": footprints, "uri": "Polygon?crs=EPSG:32633", "name": "Roads"},
        "another": {"do": "memory_layer", "source": footprints, "uri": "Polygon?crs=EPSG:32633", "name": "roads"},
        "two of one name": to_run(
            "imagefromfootprints",
            "two.tif",
            INPUT=footprints,
            RUN=run,
            LAYERS=["Roads", "roads"],
            EXTENT="500003,500033,4999970,4999991 [EPSG:32633]",
        ),
        "drawn image": to_draw("image", raster=str(out / "mask.tif")),
        "drawn footprints": to_draw("footprints", vector=footprints),
    }
    living = {"name": "town", "model": "normed"}
    with live(tmp_path_factory.mktemp("served"), "normed", "styled", layers=[folder / "town.tif"], keys=(KEY,)) as (port, _):
        server = f"http://127.0.0.1:{port}"
        by_server = {
            "keyless": {"do": "settings", "command": "/no/such/orthoforge", "server": server},
            "without a key": to_run("forgemaskonserver"),
            "keyed": {"do": "settings", "key_file": str(folder / "key")},
            "served mask": to_run("imagefrommask", "served.tif", INPUT=mask),
            "served footprints": to_run(
                "imagefromfootprints", "served-footprints.tif", INPUT=footprints, RUN="styled", STYLE="south"
            ),
            "served style": to_run("imagefrommask", INPUT=mask, RUN="styled", STYLE="east"),
            "served forge": to_run("forgemaskonserver", "served-forged.tif", WIDTH=96, HEIGHT=64),
            "drawn map": to_draw("map", living=living),
            "drawn mask": to_draw("map-mask", living=living | {"masks": True}),
            "dialog": {"do": "dialog", "address": server, "style": "", "seed": 7},
            "no command": {"do": "settings", "server": ""},
            "commandless": to_run("imagefrommask", INPUT=mask),
        }
        steps = by_command | by_server
        found = dict(zip(steps, qgis.answers(list(steps.values())), strict=True))
        by_process = qgis.process(
            "run", "orthoforge:forgemaskonserver", "--", "WIDTH=64", "HEIGHT=64", "SEED=5", f"OUTPUT={out / 'process.tif'}",
            server=server, key_file=str(folder / "key"),
        )  # fmt: skip
    return found | {"process": by_process}


def test_every_parameter_is_explained(answers):
    described = answers["described"]
    assert set(described) == {"imagefrommask", "imagefromfootprints", "forgemasks", "forgemaskonserver", "growdataset"}
    assert all(words for parameters in described.values() for words in parameters.values())


def test_the_image_of_a_mask_lies_on_its_grid(answers, town, qgis):
    _, grid, _, _ = town
    assert answers["mask"]["error"] == "" and any(line.startswith("device: ") for line in answers["mask"]["said"])
    with rasterio.open(answers["mask"]["results"]["OUTPUT"]) as image:
        assert (image.height, image.width, image.crs) == (*SIZE, grid.crs) and image.transform == grid.transform
    assert read_tags(qgis.folder / "mask.tif")["SYNTHETIC"] == "YES"


def test_footprints_of_an_extent(answers, town):
    _, grid, _, _ = town
    assert answers["footprints"]["error"] == ""
    with rasterio.open(answers["footprints"]["results"]["OUTPUT"]) as image:
        assert image.crs == grid.crs
        np.testing.assert_allclose(image.bounds, (500003, 4999970, 500033, 4999991), atol=0.3)


def test_masks_are_forged(answers):
    forged = answers["forge"]
    assert forged["error"] == "" and len(forged["results"]["MASKS"]) == 2 and forged["results"]["CARD"].endswith("card.html")
    with rasterio.open(forged["results"]["MASKS"][0]) as mask:
        assert (mask.width, mask.height) == (64, 64) and set(np.unique(mask.read(1))) == {0, 255}


def test_a_data_set_is_grown(answers, qgis):
    assert answers["grow"]["error"] == ""
    rows = [json.loads(line) for line in (qgis.folder / "grown" / "synthetic.jsonl").read_text().splitlines()]
    assert rows and len(list((qgis.folder / "grown" / "images").glob("*.tif"))) == 2 + len(rows)


def test_errors_are_shown_as_they_are(answers):
    assert answers["refused"]["error"].startswith("nowhere")
    assert answers["without a key"]["error"].startswith("Send an API key of this server")
    assert answers["served style"]["error"] == "style: styled has no style 'east'; there are: north, south."
    assert "Settings > Options > Processing > Providers > Orthoforge > Command" in answers["commandless"]["error"]


def test_two_layers_of_one_name_are_refused_before_one_takes_the_place_of_the_other(answers, qgis):
    assert answers["one"] != answers["another"]
    assert answers["two of one name"]["error"] == "Two layers are called roads. Rename one of them, as in roads_2."
    assert not (qgis.folder / "two.tif").exists()


def test_cancelling_ends_the_command_and_leaves_nothing(answers, qgis):
    assert answers["cancelled"]["error"] == "" and answers["cancelled"]["seconds"] < 60
    assert not list(qgis.folder.glob("*cancelled.tif*"))


def test_a_server_makes_the_same_image(answers, qgis):
    assert answers["served mask"]["error"] == "" and answers["served footprints"]["error"] == ""
    with rasterio.open(qgis.folder / "served.tif") as served, rasterio.open(qgis.folder / "mask.tif") as made:
        assert served.transform == made.transform and served.crs == made.crs
        assert np.abs(served.read().astype(int) - made.read()).max() <= 1
    assert read_tags(qgis.folder / "served-footprints.tif")["STYLE"] == "south"


def test_qgis_process_runs_the_packed_plugin(answers, qgis):
    assert answers["process"].returncode == 0, answers["process"].stderr
    for name, size in (("process", (64, 64)), ("served-forged", (96, 64))):
        with rasterio.open(qgis.folder / f"{name}.tif") as mask:
            assert (mask.width, mask.height) == size and mask.read(1).any()


def test_the_footprints_lie_where_the_mask_of_the_living_map_is_shown(answers, qgis):
    footprints, mask = (picture(qgis, name)[..., 0] for name in ("footprints", "map-mask"))
    assert answers["drawn mask"]["valid"] and mask.max() == 255
    assert offset(footprints, mask) < 0.25


def test_an_image_is_shown_where_its_pixels_lie(answers, qgis):
    assert answers["drawn image"]["errors"] == []
    expected = warped(qgis.folder / "mask.tif", answers["drawn image"]["extent"], Resampling.nearest)
    shown = picture(qgis, "image")
    assert offset(expected[..., 0], shown[..., 0]) < 0.25
    assert (
        alike(expected, shown) > 0.75
    )  # of pixels as small as the screen's, QGIS and GDAL choose another neighbour here and there


def test_the_living_map_is_shown_where_its_image_lies(answers, qgis):
    assert (
        answers["drawn map"]["valid"] and answers["drawn map"]["errors"] == [] and answers["drawn map"]["attribution"] == "© Survey"
    )
    assert KEY not in answers["drawn map"]["source"]
    expected = warped(qgis.folder / "mask.tif", answers["drawn map"]["extent"], Resampling.bilinear)
    shown = picture(qgis, "map")
    assert offset(expected[..., 0], shown[..., 0]) < 0.25
    assert alike(expected, shown) > 0.97


def test_the_window_lists_and_adds(answers):
    window = answers["dialog"]
    assert not window["found"] and "cannot be reached" in window["refused"]
    assert window["maps"] == ["town"] and window["said"] == ""
    assert set(window["layers"]) == {"town, seed 7", "town, mask"}


def picture(qgis, name):
    return np.asarray(Image.open(qgis.folder / f"{name}.png").convert("RGB"))


def warped(path, extent, resampling):
    """A raster's pixels on the picture that QGIS drew, by GDAL's own warp."""
    west, south, east, north = extent
    transform = Affine((east - west) / PX[0], 0, west, 0, (south - north) / PX[1], north)
    found = np.zeros((3, PX[1], PX[0]), np.uint8)
    with rasterio.open(path) as raster:
        reproject(
            raster.read(), found, src_transform=raster.transform, src_crs=raster.crs, dst_transform=transform, dst_crs=WEB,
            resampling=resampling,
        )  # fmt: skip
    return np.moveaxis(found, 0, -1)


def offset(wanted, shown):
    """By how many pixels one picture has to be moved to lie on the other."""
    moved, _, _ = phase_cross_correlation(wanted.astype(float), shown.astype(float), upsample_factor=20)
    return float(np.hypot(*moved))


def alike(wanted, shown):
    """The correlation of two pictures, where the first has something to show."""
    there = wanted.any(axis=2)
    return float(np.corrcoef(wanted[there].ravel(), shown[there].ravel())[0, 1])
