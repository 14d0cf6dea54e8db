import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from made_library import SIZE, make_library

from orthoforge.errors import CheckpointError
from orthoforge.material import packing
from orthoforge.material.chance import uniform
from orthoforge.material.light import Light, cast_shadow, light_of, shifted
from orthoforge.material.rectangles import Rectangle, rectangle_of
from orthoforge.material.roofs import _stretched


def turned_rectangle(width, height, degrees, size=101):
    rows, cols = np.mgrid[:size, :size]
    target = Rectangle(size // 2, size // 2, width, height, np.radians(degrees), 1.0)
    along, across = target.local(rows, cols)
    return (np.abs(along) <= width / 2) & (np.abs(across) <= height / 2)


def test_chance_is_even_and_a_function_of_its_keys():
    drawn = uniform(7, 1, np.arange(100)[:, None], np.arange(100))
    assert drawn.shape == (100, 100)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert drawn.mean() == pytest.approx(0.5, abs=0.01)
    assert np.unique(drawn).size == drawn.size
    assert drawn[3, 8] == uniform(7, 1, 3, 8)
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]) < 0.3
    assert uniform(-1, 5) != uniform(1, 5)


@pytest.mark.parametrize("degrees", [0, 10, 30, 41, -20, -41])
def test_the_rectangle_of_a_turned_house(degrees):
    found = rectangle_of(turned_rectangle(41, 23, degrees))
    assert (found.row, found.col) == pytest.approx((50, 50), abs=0.6)
    assert (found.width, found.height) == pytest.approx((41, 23), abs=1.6)
    assert np.degrees(found.angle) == pytest.approx(degrees, abs=1.5)
    assert found.fill == pytest.approx(1, abs=0.12)


def test_a_house_that_stands_upright_has_its_length_across():
    found = rectangle_of(turned_rectangle(15, 60, 5))
    assert found.height > found.width
    assert np.degrees(found.angle) == pytest.approx(5, abs=2)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_rectangles_of_a_few_pixels(shape):
    found = rectangle_of(np.ones(shape, bool))
    assert sorted((found.width, found.height)) == pytest.approx(sorted(shape))
    assert found.fill == pytest.approx(1)


@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(-0.78, 0.78))
def test_places_and_local_coordinates_are_inverse(row, col, angle):
    target = Rectangle(3.0, -4.0, 10, 5, angle, 1.0)
    assert target.place(*target.local(np.array(row), np.array(col))) == pytest.approx((row, col), abs=1e-9)


@given(st.floats(4, 300), st.floats(4, 60))
def test_a_roof_is_never_stretched_beyond_its_measure_and_keeps_its_walls(target, source):
    steps = np.linspace(-target / 2, target / 2, 2001)
    found = _stretched(steps, target, source)
    assert np.abs(found).max() <= source / 2 + 1e-6
    assert np.abs(found[[0, -1]]) == pytest.approx(source / 2)
    assert _stretched(np.array([target / 2 + 3]), target, source) == pytest.approx(source / 2 + 3)
    slope = np.abs(np.diff(found)) / np.diff(steps)
    assert np.median(slope) >= 1 / 1.4 - 1e-6


def test_the_light_is_seen_in_the_shadows_beside_walls():
    masks = np.zeros((2, 80, 80), bool)
    masks[:, 30:50, 30:50] = True
    images = np.full((2, 80, 80, 3), 140, np.uint8)
    shade = shifted(masks, 6, 0) | shifted(masks, 3, 0)
    shade &= ~masks
    images[shade] = 50
    images[masks] = 200
    light = light_of(images, masks, ~masks & ~shade, shade)
    assert light.direction == pytest.approx((1, 0), abs=0.2)
    assert light.ratio == pytest.approx(50 / 140, abs=0.01)


def test_under_an_overcast_sky_there_is_no_direction():
    masks = np.zeros((1, 60, 60), bool)
    masks[:, 20:40, 20:40] = True
    images = np.full((1, 60, 60, 3), 140, np.uint8)
    assert light_of(images, masks, ~masks, np.zeros_like(masks)).direction == (0, 0)


def test_a_shadow_falls_away_from_the_sun_as_far_as_the_building_is_high():
    ids = np.zeros((40, 40), np.int32)
    ids[10:20, 10:20], ids[10:20, 30:35] = 1, 2
    dark = cast_shadow(ids, np.array([8.0, 3.0]), Light((1.0, 0.0), 8, np.full(3, 0.5)))
    assert dark[24, 15] > 0.9
    assert dark[30, 15] < 0.1
    assert dark[5, 15] < 0.3
    assert dark[25, 32] < 0.1
    assert dark[21, 32] > 0.8
    assert (dark[ids > 0] == 0).all()


def test_open_ground_is_off_walls_and_never_a_building():
    library = make_library()
    assert not (library.open_ground & library.masks).any()
    assert library.open_ground[~library.masks].mean() > 0.3


def test_what_looks_like_an_unmapped_roof_is_no_open_ground():
    library = make_library()
    library.images[0, 90:102, 10:30] = (40, 60, 220)
    assert not library.open_ground[0, 90:102, 10:30].any()
    assert library.open_ground[1, 92:100, 40:60].any()


@pytest.mark.parametrize("bands", [3, 4])
def test_a_library_is_the_same_unpacked(bands):
    library = make_library(3, places=2, bands=bands)
    packed = packing.pack(library)
    assert packed == packing.pack(library)
    found = packing.unpack(packed, "here")
    np.testing.assert_array_equal(found.masks, library.masks)
    assert np.abs(found.images.astype(int) - library.images).mean() < (4 if bands == 3 else 1e-9)
    assert (found.places == library.places).all()
    assert (found.place_names, found.names) == (library.place_names, library.names)
    assert len(packed) < library.images.nbytes


_PACKED = packing.pack(make_library(2))


def _at(name: bytes, offset: int) -> int:
    """The byte that lies so far behind a name in the zip's directory."""
    return _PACKED.rindex(name) + offset


@given(at=st.integers(0, len(_PACKED) - 1), bits=st.integers(1, 255), cut=st.booleans())
@example(at=_at(b"0.webp", -46 + 6), bits=15, cut=False)  # a version of zip that does not exist
@example(at=_at(b"0.webp", -46 + 8), bits=1, cut=False)  # encrypted
@example(at=_at(b"0.webp", -46 + 10), bits=8, cut=False)  # deflated, as it says
@example(at=_at(b"0.webp", -46 + 10), bits=5, cut=False)  # packed by a method that is not known
@example(at=_at(b"0.webp", -46 + 21), bits=15, cut=False)  # longer than the file
def test_a_damaged_library_is_refused_or_whole(at, bits, cut):
    payload = bytearray(_PACKED)
    payload[at] ^= bits
    try:
        library = packing.unpack(bytes(payload[:at] if cut else payload), "weights/material.zip")
    except CheckpointError as error:
        refused = str(error)
    else:
        refused = "weights/material.zip" * (library.images.shape == (2, SIZE, SIZE, 3))
    assert "weights/material.zip" in refused
