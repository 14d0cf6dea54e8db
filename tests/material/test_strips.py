"""Roads are laid of strips of real roads that run as the roads of the mask do."""

import numpy as np
import pytest

from made_land_cover import LAND, ROAD, SIZE
from orthoforge.geo.grid import Window
from orthoforge.geo.houses import Houses
from orthoforge.material.canvas import Composer
from orthoforge.material.library import Library
from orthoforge.material.lines import lines_of

GROUND, ASPHALT, PAINT, SAND = (180, 160, 130), (70, 70, 76), (230, 220, 90), (215, 205, 185)


def slanted(angle_degrees, half=7.0, size=160):
    """(size, size) float: how far each pixel is off a line through the middle, and where a road of this width along it lies."""
    rows, cols = np.mgrid[:size, :size] - (size - 1) / 2
    angle = np.deg2rad(angle_degrees)
    off = np.abs(rows * np.cos(angle) - cols * np.sin(angle))
    return off, off < half


def library(*, tracks=False):
    """Tiles with an upright road of 14 px, its middle painted; with ``tracks``, half of them have one of 4 px and sand instead."""
    classes = np.full((8, SIZE, SIZE), LAND, np.uint8)
    images = np.empty((8, SIZE, SIZE, 3), np.uint8)
    for number, (own, image) in enumerate(zip(classes, images, strict=True)):
        at, is_track = 30 + 5 * number, tracks and number % 2
        own[:, at : at + (4 if is_track else 14)] = ROAD
        image[...] = np.where(own[..., None] == ROAD, SAND if is_track else ASPHALT, GROUND)
        if not is_track:
            image[:, at + 6 : at + 8] = PAINT
    images = np.clip(images + np.random.default_rng(0).normal(0, 3, images.shape), 0, 255).astype(np.uint8)
    names = tuple(f"town{number}" for number in range(8))
    return Library(images, np.zeros(classes.shape, bool), np.zeros(8, int), ("place0",), names, classes)


def canvas(town, of):
    buildings = Houses.of(np.zeros(town.shape, bool))
    composer = Composer.of(of, buildings, seed=5, place=0, classes=lambda window: town[window.slices])
    return composer.canvas(Window(0, 0, *town.shape)).image.astype(float)


@pytest.mark.parametrize("angle", [0, 25, 60, 90, 140])
def test_a_line_has_its_direction_and_its_width(angle):
    off, road = slanted(angle)
    lines = lines_of(road)
    inner = off < 3
    assert np.cos(2 * (lines.angle[inner] - np.deg2rad(angle))).min() > 0.97  # within 7°
    assert np.abs(lines.half[inner] - 7).max() < 1.5
    assert len(lines.middle) > 100 and off[tuple(lines.middle.T)].max() < 2


def test_a_square_has_no_direction():
    square = np.zeros((160, 160), bool)
    square[40:120, 40:120] = True
    assert not np.isfinite(lines_of(square).half[60:100, 60:100]).any()
    assert not len(lines_of(np.zeros((20, 30), bool)).middle)


def test_roads_are_lines_and_land_is_none():
    assert library().line_kinds == (ROAD,)


@pytest.mark.parametrize("angle", [0, 30, 75])
def test_paint_runs_along_a_road_of_any_direction(angle):
    off, road = slanted(angle)
    image = canvas(np.where(road, ROAD, LAND).astype(np.uint8), library())
    painted = road & (image[..., 0] - image[..., 2] > 70)
    assert painted.sum() > 0.5 * 2 * 160
    assert (off[painted] < 3).mean() > 0.9


def test_a_track_is_of_sand_and_a_highway_of_asphalt():
    town = np.full((160, 160), LAND, np.uint8)
    town[40:54], town[110:114] = ROAD, ROAD
    image = canvas(town, library(tracks=True))
    assert np.median(image[42:52, :, 0]) < 110
    assert np.median(image[111:113, :, 0]) > 160


def test_where_the_road_is_a_strip_it_is_part_of_one_tile():
    _, road = slanted(30)
    town, of = np.where(road, ROAD, LAND).astype(np.uint8), library()
    composer = Composer.of(
        of, Houses.of(np.zeros(town.shape, bool)), seed=5, place=0, without=[0, 1], classes=lambda window: town[window.slices]
    )
    source = composer.canvas(Window(0, 0, *town.shape)).source
    assert not np.isin(source, (0, 1)).any()
    assert len(np.unique(source[road])) > 1
