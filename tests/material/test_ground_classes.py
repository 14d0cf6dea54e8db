"""Canvases of masks with classes: ground is of the class that the mask has there, as a function of seed and place."""

import dataclasses
import json
import zipfile
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from conftest import examples
from made_land_cover import BUILDING, COLOURS, ROAD, TREES, WATER, make_classed_town, make_land_cover
from orthoforge.errors import CheckpointError
from orthoforge.geo.grid import Window
from orthoforge.geo.houses import Houses
from orthoforge.material.canvas import Composer
from orthoforge.material.packing import pack, unpack

TOWN = make_classed_town()
LIBRARY = make_land_cover()
WHOLE = Window(0, 0, *TOWN.shape)


def composer(town=TOWN, origin=(0, 0), library=LIBRARY, told=True, **options):
    def classes(window):
        return town[window.slices]

    buildings = Houses.of(town == BUILDING, origin=origin)
    return Composer.of(library, buildings, seed=3, classes=classes if told else None, **options)


@pytest.fixture(scope="module")
def whole():
    return composer().canvas(WHOLE)


def looks_like(image):
    """The class whose colour each pixel has."""
    return np.linalg.norm(image[..., None, :].astype(float) - COLOURS, axis=-1).argmin(axis=-1)


def inner(town, kind, by=2):
    return ndimage.binary_erosion(town == kind, iterations=by, border_value=1)


@pytest.mark.parametrize("kind", [ROAD, TREES, WATER, BUILDING])
def test_each_class_is_made_of_its_own_material(whole, kind):
    assert (looks_like(whole.image)[inner(TOWN, kind)] == kind).mean() > 0.97


def test_a_mask_that_tells_no_classes_gets_ground_as_it_comes():
    seen = looks_like(composer(told=False).canvas(WHOLE).image)
    assert (seen[inner(TOWN, WATER)] == WATER).mean() < 0.5


@examples(0.15)
@given(st.integers(0, 180), st.integers(0, 200), st.integers(1, 120), st.integers(1, 120))
def test_any_window_is_that_part_of_the_whole(whole, row, col, height, width):
    window = Window(row, col, min(height, TOWN.shape[0] - row), min(width, TOWN.shape[1] - col))
    found = composer().canvas(window)
    assert np.abs(found.image.astype(int) - whole.image[window.slices]).max() <= 1
    np.testing.assert_array_equal(found.source, whole.source[window.slices])


def test_a_scene_that_begins_elsewhere_shows_the_same(whole):
    moved = composer(TOWN[12:, 8:], origin=(12, 8)).canvas(Window(0, 0, TOWN.shape[0] - 12, TOWN.shape[1] - 8))
    far = slice(100, None), slice(100, None)  # patches at the cut need less ground than before
    assert np.abs(moved.image[far].astype(int) - whole.image[12:, 8:][far]).max() <= 1


def test_a_tile_that_is_left_out_gives_nothing(whole):
    assert 2 in whole.source
    assert 2 not in composer(without=[2]).canvas(WHOLE).source


def test_ground_of_a_class_that_no_tile_has_is_any_ground():
    town = np.where(TOWN == WATER, 9, TOWN).astype(np.uint8)
    canvas = composer(town).canvas(WHOLE)
    assert (looks_like(canvas.image)[inner(town, ROAD)] == ROAD).mean() > 0.97
    assert canvas.image[town == 9].std() > 0


def test_tiles_without_classes_are_used_as_before():
    plain = dataclasses.replace(LIBRARY, classes=None)
    told, untold = (composer(library=plain, told=told).canvas(WHOLE).image for told in (True, False))
    np.testing.assert_array_equal(told, untold)


def test_a_library_keeps_its_classes():
    again = unpack(pack(LIBRARY), "library")
    np.testing.assert_array_equal(again.classes, LIBRARY.classes)
    np.testing.assert_array_equal(again.masks, LIBRARY.masks)
    assert unpack(pack(dataclasses.replace(LIBRARY, classes=None)), "library").classes is None


def test_a_library_without_classes_is_of_the_format_that_older_versions_read():
    with zipfile.ZipFile(BytesIO(pack(dataclasses.replace(LIBRARY, classes=None)))) as archive:
        assert json.loads(archive.read("index.json"))["format"] == 1
        assert not [name for name in archive.namelist() if "classes" in name]


def test_a_library_that_lost_its_classes_is_refused():
    out = BytesIO()
    with zipfile.ZipFile(BytesIO(pack(LIBRARY))) as archive, zipfile.ZipFile(out, "w") as lost:
        for name in archive.namelist():
            if name != "3.classes.png":
                lost.writestr(name, archive.read(name))
    with pytest.raises(CheckpointError, match=r"library: is no library of material, or damaged"):
        unpack(out.getvalue(), "library")
