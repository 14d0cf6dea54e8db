"""Masks opened as what they mean."""

import json

import numpy as np
import pytest
from PIL import Image

from conftest import write_tiff
from orthoforge.errors import DataError
from orthoforge.geo.grid import Window
from orthoforge.masks.classes import Classes
from orthoforge.masks.palette import load_classes
from orthoforge.masks.reader import Unfit, open_raster_mask

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
        assert unfit.codes == {OTHER: 1}
    grey = write_tiff(tmp_path / "grey.tif", np.array([[0, 7, 200]], np.uint8))
    with open_raster_mask(grey) as mask:
        assert mask.building(whole, unfit).tolist() == [[0, 255, 255]]
        assert np.flatnonzero(unfit.counts).tolist() == [0, 7, 200]
    with open_raster_mask(grey, threshold=100) as mask:
        assert mask.labels().tolist() == mask.building(whole, unfit).tolist() == [[0, 0, 255]]


def test_values_of_one_band_are_classes_also_beside_colours(tmp_path):
    (tmp_path / "palette.json").write_text('{"Land": 0, "Building": {"colour": [200, 30, 30], "value": 40}, "(treat as Land)": 80}')
    classes = load_classes(tmp_path / "palette.json")
    assert (classes.count, classes.building, classes.values) == (2, 1, ((0, 80), (40,)))
    assert Classes.of_plain(json.loads(json.dumps(classes.plain()))) == classes
    band = np.array([[0, 40, 80]], np.uint8)
    image = Image.fromarray(band, "P")  # a palette PNG: its numbers count, not what it shows
    image.putpalette([255, 255, 255] * 256)
    image.save(tmp_path / "shown.png")
    for path in (write_tiff(tmp_path / "mask.tif", band), tmp_path / "shown.png"):
        with open_raster_mask(path, classes=classes) as mask:
            assert mask.labels().tolist() == [[0, 1, 0]]
            assert mask.as_stored()[0].tolist() == band.tolist()
    rgb = write_tiff(tmp_path / "rgb.tif", np.array([[ROOF]], np.uint8))
    with open_raster_mask(rgb, classes=classes) as mask:
        assert mask.labels().tolist() == [[1]]
    other = write_tiff(tmp_path / "other.tif", np.array([[0, 3, 40, 3]], np.uint8))
    with (
        open_raster_mask(other, classes=classes) as mask,
        pytest.raises(
            DataError, match=r"other\.tif: values that are not in the palette: 3 in 50\.0 % of pixels\. .*--palette FILE"
        ),
    ):
        mask.labels()
    land, roof = classes.rgb(np.array([0, 1])).tolist()
    assert roof == [*ROOF] and land not in ([*ROOF], [0, 0, 0])


def test_without_a_building_class_nothing_is_building(tmp_path):
    path = write_tiff(tmp_path / "mask.tif", np.array([[LAND, ROOF]], np.uint8))
    with open_raster_mask(path, classes=Classes(("Land", "House"), ((LAND,), (ROOF,)))) as mask:
        assert not mask.building(Window(0, 0, 1, 2), Unfit()).any()
