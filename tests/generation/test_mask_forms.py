"""Masks that say less, or something else, than a run wants to know: without a pixel size, or of classes."""

import json

import numpy as np
import pytest

from conftest import make_grid, make_mask, write_tiff
from orthoforge.errors import ConfigError, DataError, GridError
from orthoforge.generation import generate
from orthoforge.geo.rasters import open_raster, read_image, read_tags
from orthoforge.trained_generator import load_generator
from saved_runs import save_run

CODES = {"Ground": 0, "Building": 40, "Water": 80}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One that knows buildings alone, at 0.3 m."""
    folder = tmp_path_factory.mktemp("run")
    save_run(folder)
    return folder


@pytest.fixture
def palette(tmp_path):
    path = tmp_path / "palette.json"
    path.write_text(json.dumps(CODES))
    return path


@pytest.fixture
def coded(tmp_path):
    """A mask of buildings, 40, and of water, 80, in the lower half."""
    labels = make_mask(32) // 255 * np.uint8(40)
    labels[16:] = 80
    return write_tiff(tmp_path / "masks/town.tif", labels, make_grid(32)), labels


def read(path):
    with open_raster(path) as raster:
        return read_image(raster), raster.grid


def test_the_size_of_pixels_is_the_runs_unless_it_is_stated(run, tmp_path, capsys):
    mask = write_tiff(tmp_path / "town.tif", make_mask(32))
    (path,) = generate(run, [mask], tmp_path / "a.tif")
    assert read(path)[1].gsd_m() is None
    said = capsys.readouterr().err
    assert "town.tif does not say how large its pixels are. They are taken to be 0.3 m, as in the run." in said
    generate(run, [mask], tmp_path / "stated.tif", pixel_size=0.3)
    assert "taken to be" not in capsys.readouterr().err
    with pytest.raises(GridError, match=r"its pixels are 0\.6 m, the run was trained at 0\.3 m"):
        generate(run, [mask], tmp_path / "b.tif", pixel_size=0.6)
    (own,) = generate(run, [mask], tmp_path / "own.tif", pixel_size=0.6, resample=True)
    (runs,) = generate(run, [mask], tmp_path / "runs.tif", pixel_size=0.6, resample=True, deliver="run")
    assert read(own)[0].shape == (32, 32, 3)
    assert read(runs)[0].shape == (64, 64, 3)
    assert (read(own)[1].gsd_m(), read(runs)[1].gsd_m()) == (pytest.approx(0.6), pytest.approx(0.3))
    assert read_tags(own)["PIXEL_SIZE_M"] == "0.6"


def test_a_table_beside_the_masks_is_used(run, tmp_path):
    mask = write_tiff(tmp_path / "data/masks/town.tif", make_mask(32))
    (tmp_path / "data/pixel_size.csv").write_text("town,0.6\n")
    with pytest.raises(GridError, match=r"its pixels are 0\.6 m"):
        generate(run, [mask], tmp_path / "a.tif")


def test_a_mask_with_coordinates_keeps_its_own_size_and_that_is_said(run, tmp_path, capsys):
    masks = [write_tiff(tmp_path / f"masks/{name}.tif", make_mask(32), make_grid(32)) for name in ("a", "b")]
    generate(run, masks, tmp_path / "out", pixel_size=0.6)
    assert capsys.readouterr().err.count("the file itself says that a pixel is 0.3 m") == 1


def test_a_run_that_knows_buildings_says_so_and_can_be_told_which_class_they_are(run, tmp_path, palette, coded, capsys):
    mask, labels = coded
    with pytest.raises(DataError, match=r"value 40 in .*--palette .*, or with --building .* The run, .*, knows buildings"):
        generate(run, [mask], tmp_path / "out.tif")
    generator = load_generator(run)
    for options, building in (
        ({"palette": palette}, labels == 40),
        ({"palette": palette, "building": ["water"]}, labels == 80),
        ({"palette": palette, "building": ["Water", "Building"]}, labels > 0),
        ({"building": ["80"]}, labels == 80),
    ):
        (path,) = generate(run, [mask], tmp_path / "out.tif", overwrite=True, **options)
        assert np.array_equal(read(path)[0], generator(building))
    assert "the run knows buildings alone; 'Building' of the palette is taken for them" in capsys.readouterr().err


def test_a_run_of_classes_takes_other_codes_by_their_names(tmp_path, palette, coded):
    save_run(tmp_path / "run", classes=["water", "ground", "building"])  # colours [0,0,0], [1,0,0], [2,0,0]
    mask, labels = coded
    (path,) = generate(tmp_path / "run", [mask], tmp_path / "out.tif", palette=palette)
    assert np.array_equal(read(path)[0], load_generator(tmp_path / "run")((labels // 40 + 1) % 3))
    with pytest.raises(ConfigError, match="trained on classes"):
        generate(tmp_path / "run", [mask], tmp_path / "b.tif", palette=palette, building=["Water"])
