"""The mask of the package: what it shows, and where its name is taken for it."""

import numpy as np
import pytest

from conftest import make_grid, make_mask, write_tiff
from orthoforge import footprints
from orthoforge.forging.places import real_masks
from orthoforge.generation.given_masks import given_masks
from orthoforge.geo.example import EXAMPLE_MASK
from orthoforge.geo.rasters import open_raster, read_mask
from orthoforge.scenes import simulate
from orthoforge.scenes.simulate import PLACES, render_scene


def no_outlines():
    pytest.fail("outlines are to be drawn, and there are none")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_it_is_the_mask_of_a_simulated_town(monkeypatch):
    monkeypatch.setattr(simulate, "render_town", lambda *_: None)  # takes a second, and is not asked for
    town = render_scene(PLACES["arden"], seed=0, height_px=512, width_px=512, gsd_m=0.3)
    with open_raster(EXAMPLE_MASK) as raster:
        assert raster.grid == town.grid
        assert np.array_equal(read_mask(raster), town.mask)
    assert EXAMPLE_MASK.stat().st_size < 10_000


def test_its_name_stands_for_it_wherever_a_mask_is_asked_for(tmp_path):
    assert given_masks(["example"], no_outlines).paths == (EXAMPLE_MASK,)
    assert real_masks("example").paths == (EXAMPLE_MASK,)
    footprints("example", tmp_path / "outlines.geojson")
    assert (tmp_path / "outlines.geojson").is_file()


def test_a_file_or_a_folder_of_that_name_comes_first(tmp_path):
    (tmp_path / "example").mkdir()
    mask = write_tiff(tmp_path / "example" / "a.tif", make_mask(), make_grid())
    assert [path.resolve() for path in given_masks(["example"], no_outlines).paths] == [mask]
    assert [path.resolve() for path in real_masks("example").paths] == [mask]
