"""What lies beside a real building comes with its roof: walls, eaves and shadows as they are."""

import numpy as np
import pytest
from scipy import ndimage
from test_chosen_roofs import GROUND, library_of

from orthoforge.geo.grid import Window
from orthoforge.geo.houses import Houses
from orthoforge.material.canvas import Composer

KERB = np.array([240, 235, 60])
HOUSE = np.ones((24, 30), bool)


def kerb(number, mask, image):
    """A yellow line of two pixels around the building."""
    image[ndimage.binary_dilation(mask, iterations=2) & ~mask] = KERB


def canvas_of(mask, library, seed=0):
    return Composer.of(library, Houses.of(mask), seed=seed).canvas(Window(0, 0, *mask.shape)).image.astype(float)


def town(*boxes):
    mask = np.zeros((90, 120), bool)
    for row, col, height, width in boxes:
        mask[row : row + height, col : col + width] = True
    return mask


@pytest.mark.parametrize("size", [(24, 30), (27, 34), (22, 27)])
def test_what_lies_beside_walls_comes_along(size):
    mask = town((30, 40, *size))
    off_px = ndimage.distance_transform_edt(~mask)
    image = canvas_of(mask, library_of([HOUSE] * 6, kerb))
    beside, farther = (image[(off_px > least) & (off_px <= most)] for least, most in ((0.5, 2), (6, 20)))
    assert np.abs(beside - KERB).mean() < np.abs(beside - GROUND).mean()
    assert np.abs(farther - GROUND).mean() < 20


def ring_of(colour):
    """Paints ground of a tone of each tile, and what ``colour`` (3,) says of it for three pixels around the building."""

    def paint(number, mask, image):
        tone = np.array([(190, 130, 80), (60, 90, 50)][number % 2])
        image[~mask] = tone
        image[ndimage.binary_dilation(mask, iterations=3) & ~mask] = colour(tone)

    return paint


def beside(paint, seed):
    mask = town((30, 40, 24, 30))
    off_px = ndimage.distance_transform_edt(~mask)
    return canvas_of(mask, library_of([HOUSE] * 6, paint), seed)[off_px == 2]


@pytest.mark.parametrize("seed", range(4))
def test_a_wall_keeps_its_colour_on_other_ground(seed):
    assert np.abs(beside(ring_of(lambda tone: (150, 150, 150)), seed) - 150).mean() < 10


@pytest.mark.parametrize("seed", range(4))
def test_shade_on_other_ground_is_its_shade_and_not_black(seed):
    shade = beside(ring_of(lambda tone: 0.4 * tone), seed)
    assert shade.min(axis=0).min() > 12
    assert np.ptp(shade.mean(axis=0)) > 10  # of the ground's colour


def test_a_sloping_wall_is_no_row_of_dashes():
    rows, cols = np.mgrid[:90, :120]
    mask = (np.abs(rows - 45 + 0.3 * (cols - 60)) < 13) & (np.abs(cols - 60) < 22)

    def paint(number, mask, image):
        image[mask] = (200, 60, 50)
        image[ndimage.binary_dilation(mask, iterations=4) & ~mask] = (20, 30, 20)

    composer, whole = Composer.of(library_of([HOUSE] * 6, paint), Houses.of(mask), seed=0), Window(0, 0, *mask.shape)
    red = composer.canvas(whole).image[..., 0].astype(float)
    cover = composer.edges.covered(composer.edges.drawn(composer.buildings.ids(whole), whole), whole)
    # A pixel whose middle lies inside of the outline shows as much more of the roof as it is covered more.
    outside, inside = ((cover > least) & (cover < least + 0.13) & (np.abs(cols - 60) < 16) for least in (0.37, 0.5))
    more = cover[inside].mean() - cover[outside].mean()
    assert red[inside].mean() - red[outside].mean() < 1.3 * more * (200 - 20)


def test_a_real_neighbour_does_not_come_along():
    def neighbour(number, mask, image):
        mask[20:44, 56:80] = True  # six pixels off
        image[20:44, 56:80] = (30, 40, 220)

    mask = town((30, 40, 24, 30))
    image = canvas_of(mask, library_of([HOUSE] * 6, neighbour))
    blue = (image[..., 2] > 150) & (image[..., 0] < 90)
    assert not (blue & ~mask).any()


def test_another_outline_shows_its_own_ground():
    mask = town((20, 30, 40, 50))
    mask[38:60, 48:80] = False  # an L, whose notch is no wall of a whole house
    image = canvas_of(mask, library_of([np.ones((40, 50), bool)] * 6, kerb))
    notch = image[48:58, 58:76]
    assert np.abs(notch - GROUND).mean() < 25


def test_a_place_without_roofs_shows_ground():
    library = library_of([np.zeros((24, 30), bool)] * 4)
    mask = town((30, 40, 24, 30))
    assert np.abs(canvas_of(mask, library) - GROUND).max() < 90
