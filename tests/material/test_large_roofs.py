from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_chosen_roofs import GROUND, library_of

from orthoforge.geo.grid import Window
from orthoforge.geo.houses import Houses
from orthoforge.material.canvas import Composer
from orthoforge.material.plain_roofs import ACROSS, ALONG, FLAT, plainness_of
from orthoforge.material.quilted_roofs import pieces_of, quilted
from orthoforge.material.rectangles import Rectangle, rectangle_of
from orthoforge.material.roofs import Roofs

HALL = np.ones((90, 110), bool)
SHED = np.ones((30, 36), bool)
TEMPLE = np.ones((44, 60), bool)


def sheets(number, mask, image):
    """Sheds of corrugated sheets of two tones, one on each slope; temples are a yard with dark slits."""
    rows, cols = np.indices(mask.shape)
    rng = np.random.default_rng(number)
    corrugated = np.where(rows < 35, 190, 140) + 6 * np.sin(cols * 1.3) + rng.normal(0, 3, mask.shape)
    yard = 120 - 70 * ((rows // 5 + cols // 9) % 2) + 25 * np.sin((rows + 2 * cols) / 7)
    image[mask] = np.where(mask.sum() < 1500, corrugated, yard)[mask, None]


def made_town(buildings=(SHED,) * 6 + (TEMPLE,) * 3):
    return library_of(list(buildings), sheets)


def mask_with(own, size=(170, 190)):
    mask = np.zeros(size, bool)
    mask[20 : 20 + own.shape[0], 30 : 30 + own.shape[1]] = own
    return mask


def canvas_of(own, seed=0, library=None):
    mask = mask_with(own)
    composer = Composer.of(library or made_town(), Houses.of(mask), seed=seed, place=0)
    return composer.canvas(Window(0, 0, *mask.shape))


def test_halls_have_plain_roofs_whatever_the_seed():
    library = made_town()
    assert {laid(library, HALL, seed).roof.tile < 6 for seed in range(30)} == {True}


@pytest.mark.parametrize("seed", [0, 1])
def test_a_hall_has_one_plain_roof(seed):
    shown = canvas_of(HALL, seed)
    roof = shown.image[26:104, 36:134].astype(float)
    (tile,) = np.unique(shown.source[26:104, 36:134])
    assert tile < 6, "no temple"
    upper, lower = roof[:36], roof[42:]
    assert upper.mean() - lower.mean() > 30, "two slopes"
    assert max(upper.std(), lower.std()) < 12


def speckled(number, mask, image):
    image[mask] = np.clip(np.random.default_rng(number).normal(140, 8, mask.shape), 0, 255)[mask, None]


@pytest.mark.parametrize("seed", [0, 1])
def test_no_part_of_a_hall_is_another_one_again_and_none_is_folded(seed):
    library = library_of([SHED] * 6, speckled)
    roof = canvas_of(HALL, seed, library).image[26:104, 36:134, 0].astype(float)
    texture = roof - roof.mean()
    for other in (texture, texture[:, ::-1], texture[::-1]):
        repeated = np.fft.ifft2(np.fft.fft2(texture) * np.conj(np.fft.fft2(other))).real / (texture**2).sum()
        if other is texture:
            repeated[:4, :4] = repeated[:4, -3:] = repeated[-3:, :4] = repeated[-3:, -3:] = 0
        assert np.abs(repeated).max() < 0.18


def test_a_hall_is_as_large_as_its_mask_and_its_ridge_lies_in_the_middle():
    image = canvas_of(HALL).image[..., 0].astype(float)
    across = image[20:110, 60:110].mean(axis=1)
    assert np.argmin(np.diff(across[5:-5])) + 5 == pytest.approx(44, abs=1.5)


def test_other_seeds_have_other_halls_and_the_same_seed_the_same():
    images = [canvas_of(HALL, seed).image for seed in (0, 1, 0)]
    assert np.array_equal(images[0], images[2])
    assert not np.array_equal(images[0], images[1])


def test_a_hall_is_the_same_in_blocks():
    mask = mask_with(HALL)
    composer = Composer.of(made_town(), Houses.of(mask), seed=3, place=0)
    whole = composer.canvas(Window(0, 0, *mask.shape)).image
    for row, col in ((0, 0), (60, 40), (100, 120)):
        part = composer.canvas(Window(row, col, 60, 60)).image
        assert np.array_equal(part, whole[row : row + 60, col : col + 60])


def laid(library, own, seed=0):
    around = rectangle_of(own)
    return Roofs(library, np.arange(len(library)), seed).of_building([around], (seed, 5), GROUND.astype(float))[0]


@pytest.mark.parametrize("own", [np.ones((42, 46), bool), np.ones((24, 90), bool)])
def test_small_and_narrow_buildings_have_any_roof(own):
    library = made_town()
    assert {laid(library, own, seed).roof.tile >= 6 for seed in range(40)} == {False, True}


def test_where_plain_roofs_are_few_some_halls_have_others():
    library = made_town((SHED,) + (TEMPLE,) * 6)
    tiles = [laid(library, HALL, seed).roof.tile for seed in range(40)]
    assert 0 < tiles.count(0) < 25


@pytest.mark.parametrize(("turned", "ridge"), [(False, ALONG), (True, ACROSS)])
def test_a_gable_is_plain_and_its_ridge_is_seen(turned, ridge):
    image = np.full((60, 60, 3), 90, np.uint8)
    image[10:26, 10:50], image[26:42, 10:50] = 180, 130
    image = image.swapaxes(0, 1) if turned else image
    sides = (32, 40) if turned else (40, 32)
    middle = (29.5, 25.5) if turned else (25.5, 29.5)
    plain = plainness_of(image, Rectangle(*middle, *sides, 0.0, 1.0), 0.0)
    assert plain is not None
    assert (plain.ridge, plain.is_regular) == (ridge, True)
    assert plain.quarter_turned(1).ridge == ACROSS + ALONG - ridge


def test_hips_and_wires_are_not_regular_and_huts_not_plain():
    rows, cols = np.mgrid[:60, :60]
    around = Rectangle(29.5, 29.5, 50, 50, 0.0, 1.0)
    hips = np.where(np.abs(rows - 29.5) > np.abs(cols - 29.5), 150, 174)
    huts = np.where((rows // 8 + cols // 8) % 2, 60, 180)
    plain = plainness_of(np.stack([hips] * 3, -1).astype(np.uint8), around, 0.0)
    assert plain is not None
    assert not plain.is_regular
    assert plainness_of(np.stack([huts] * 3, -1).astype(np.uint8), around, 0.0) is None


@given(st.integers(30, 300), st.integers(20, 80), st.booleans())
def test_pieces_cover_a_building_and_lie_in_the_source(target, source, has_ridge):
    pieces = pieces_of(target, source, has_ridge)
    assert (pieces[0].start, pieces[0].low, pieces[-1].end) == (0, 0, target)
    assert pieces[-1].low == pieces[-1].high == source - (pieces[-1].end - pieces[-1].start)
    for before, after in pairwise(pieces):
        assert before.start < after.start <= before.end
    for piece in pieces:
        assert 0 <= piece.low <= piece.high <= source - (piece.end - piece.start)


def test_a_quilt_keeps_its_walls_and_its_ridge():
    picture = np.random.default_rng(0).normal(120, 3, (30, 40, 3)).astype(np.float32)
    made = quilted(picture, ALONG, (90.0, 70.0), keys=(1, 2))
    cols, rows = made.places
    assert (cols[:, 0], cols[:, -1]) == (pytest.approx(0), pytest.approx(39))
    assert (rows[0], rows[-1]) == (pytest.approx(0), pytest.approx(29))
    assert rows[35] == pytest.approx(15, abs=0.1)
    assert quilted(picture, FLAT, (90.0, 70.0), keys=(1, 2)).places.shape == (2, 70, 90)
