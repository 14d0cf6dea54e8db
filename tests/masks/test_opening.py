"""Masks opened as what they mean."""

import numpy as np
import pytest

from conftest import write_tiff
from orthoforge.errors import DataError
from orthoforge.geo.grid import Window
from orthoforge.masks.classes import Classes
from orthoforge.masks.opening import Unfit, open_raster_mask

LAND, SEEN_TOO, ROOF, OTHER = (0, 0, 0), (1, 1, 1), (200, 30, 30), (9, 9, 9)
CLASSES = Classes(("Land", "Building"), ((LAND, SEEN_TOO), (ROOF,)))


def test_a_copy_of_a_mask_of_classes_keeps_its_colours(tmp_path):
    path = write_tiff(tmp_path / "mask.tif", np.array([[LAND, SEEN_TOO, ROOF]], np.uint8))
    with open_raster_mask(path, classes=CLASSES) as mask:
        assert mask.labels().tolist() == [[0, 0, 1]]
        assert mask.as_stored()[0].tolist() == [[[*LAND], [*SEEN_TOO], [*ROOF]]]


def test_what_a_mask_must_not_hold_is_refused_or_counted(tmp_path):
    path, whole = write_tiff(tmp_path / "mask.tif", np.array([[LAND, OTHER, ROOF]], np.uint8)), Window(0, 0, 1, 3)
    with open_raster_mask(path, classes=CLASSES) as mask:
        with pytest.raises(DataError, match=r"mask\.tif: colours that are not in the palette: \[9, 9, 9\] in 33\.3 %"):
            mask.read(whole)
        unfit = Unfit()
        assert mask.building(whole, unfit).tolist() == [[0, 0, 255]]
        assert unfit.colours == {OTHER: 1}
    grey = write_tiff(tmp_path / "grey.tif", np.array([[0, 7, 200]], np.uint8))
    with open_raster_mask(grey) as mask:
        assert mask.building(whole, unfit).tolist() == [[0, 255, 255]]
        assert np.flatnonzero(unfit.counts).tolist() == [0, 7, 200]
    with open_raster_mask(grey, threshold=100) as mask:
        assert mask.labels().tolist() == mask.building(whole, unfit).tolist() == [[0, 0, 255]]


def test_without_a_building_class_nothing_is_building(tmp_path):
    path = write_tiff(tmp_path / "mask.tif", np.array([[LAND, ROOF]], np.uint8))
    with open_raster_mask(path, classes=Classes(("Land", "House"), ((LAND,), (ROOF,)))) as mask:
        assert not mask.building(Window(0, 0, 1, 2), Unfit()).any()
