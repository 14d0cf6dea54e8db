"""Forging from masks without coordinates, and from masks of classes."""

import json

import numpy as np
import pytest
from towns import SIDE_PX, town_mask, write_place

from conftest import make_grid, write_tiff
from orthoforge.errors import DataError
from orthoforge.forging.forge import forge
from orthoforge.geo.rasters import open_raster, read_mask


def read(path):
    with open_raster(path) as raster:
        return read_mask(raster), raster.grid


def test_a_stated_pixel_size_gives_metres_and_goes_along(tmp_path, capsys):
    place = write_place(tmp_path / "elm", scenes=3, crs=False)
    made = forge(place, tmp_path / "out", count=1, pixel_size=0.3, seed=3)
    assert made.cards["elm"].real.unit == "m"
    _, grid = read(made.masks[0])
    assert grid.gsd_m() == pytest.approx(0.3)
    assert grid.crs is None
    located = forge(write_place(tmp_path / "located", scenes=3), tmp_path / "same", count=1, seed=3)
    areas = [np.median(card.real.area) for card in (made.cards["elm"], located.cards["elm"])]
    assert areas[0] == pytest.approx(areas[1], rel=1e-3)  # as if the masks lay somewhere
    assert capsys.readouterr().err == ""
    forge(tmp_path / "located", tmp_path / "own", count=1, pixel_size=1.0)
    assert "3 scenes (elm1, elm2, elm3): the file itself says that a pixel is 0.3 m" in capsys.readouterr().err


def test_a_place_of_unknown_pixel_size_fails_alone(tmp_path):
    place = write_place(tmp_path / "data", scenes=3)
    write_place(tmp_path / "data", "oak", scenes=2)
    write_tiff(tmp_path / "data/oak3.tif", town_mask(7))
    made = forge(place, tmp_path / "out", count=1)
    assert set(made.cards) == {"elm"}
    assert "State it with --pixel-size" in made.skipped["oak"]
    (place / "pixel_size.csv").write_text("oak3,0.3\n")
    assert set(forge(place, tmp_path / "both", count=1).cards) == {"elm", "oak"}


def test_masks_of_classes_give_the_buildings_that_are_named(tmp_path):
    for number in range(3):
        labels = town_mask(number) // 255 * np.uint8(2)
        labels[:10] = 1
        write_tiff(tmp_path / f"classes/elm{number + 1}.tif", labels, make_grid(SIDE_PX))
        write_tiff(tmp_path / f"plain/elm{number + 1}.tif", np.where(labels == 2, np.uint8(255), np.uint8(0)), make_grid(SIDE_PX))
    (tmp_path / "palette.json").write_text(json.dumps({"Land": 0, "Water": 1, "House": 2}))
    options = {"count": 1, "seed": 5, "how": "transform"}
    with pytest.raises(DataError, match="with --building which of them are building"):
        forge(tmp_path / "classes", tmp_path / "no", **options)
    made = forge(tmp_path / "classes", tmp_path / "out", palette=tmp_path / "palette.json", building=["house"], **options)
    plain = forge(tmp_path / "plain", tmp_path / "same", **options)
    assert np.array_equal(read(made.masks[0])[0], read(plain.masks[0])[0])
