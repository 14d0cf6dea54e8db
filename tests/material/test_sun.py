from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy import ndimage

from orthoforge.errors import ConfigError
from orthoforge.geo.grid import Window
from orthoforge.geo.houses import Houses
from orthoforge.material import canvas as canvases
from orthoforge.material.canvas import Composer
from orthoforge.material.library import Library
from orthoforge.material.light import light_of
from orthoforge.material.rectangles import Rectangle, rectangle_of
from orthoforge.material.shapes import shape_of
from orthoforge.material.sun import Turn, require_azimuth, sunlit
from orthoforge.trained_generator.told import Composers, canvas_teller

SIZE, OWN = 112, 90.0  # the sun of the library stands in the east
TURNS = [Turn(quarters, mirrored) for mirrored in (False, True) for quarters in range(4)]


def house(size, row, col, degrees):
    """Where a house stands whose ridge has this direction, (size, size) bool, and how far beside its ridge each pixel is."""
    along, across = Rectangle(row, col, 30, 18, np.radians(degrees), 1.0).local(*np.mgrid[:size, :size])
    return (np.abs(along) <= 15) & (np.abs(across) <= 9), across


def town_tile(seed):
    """Houses in many directions; slopes that face the east are light, those that face the west dark, and shadows fall west."""
    random = np.random.default_rng(seed)
    mask, image = np.zeros((SIZE, SIZE), bool), np.full((SIZE, SIZE, 3), 140.0)
    for row in (28, 84):
        for col in (28, 84):
            degrees = random.uniform(-90, 90)
            own, across = house(SIZE, row, col, degrees)
            normal = np.cos(np.radians(degrees + 90))
            lit = 120 + 60 * normal * np.sign(across)
            image[own] = lit[own][:, None]
            mask |= own
    shade = np.zeros_like(mask)
    for step in range(1, 9):
        shade |= np.roll(mask, -step, 1)
    image[shade & ~mask] = 60
    return np.clip(image + random.normal(0, 2, (SIZE, SIZE, 1)), 0, 255).astype(np.uint8), mask


@pytest.fixture(scope="module")
def library():
    images, masks = zip(*(town_tile(seed) for seed in range(12)), strict=True)
    return Library(np.stack(images), np.stack(masks), np.zeros(12, int), ("town",), tuple(map(str, range(12))))


def composer(library, mask, sun, origin=(0, 0)):
    return Composer.of(library, Houses.of(mask, origin=origin), seed=3, place=0, sun=sun)


def canvas(library, mask, sun):
    return composer(library, mask, sun).canvas(Window(0, 0, *mask.shape)).image.astype(float).mean(axis=2)


def houses_in_all_directions():
    """A mask, and of each house where it stands, how far beside its ridge pixels are, and the direction of that, in radians."""
    houses = [
        (*house(240, 40 + 80 * (number // 3), 40 + 80 * (number % 3), degrees), np.radians(degrees + 90))
        for number, degrees in enumerate(range(-80, 90, 20))
    ]
    return np.any([own for own, _, _ in houses], axis=0), houses


def every_roof(library):
    return [roof for tile in range(len(library)) for roof in library.roofs(tile)]


def seen_azimuth(image, houses):
    """Where the light of roofs comes from, by which slopes are light."""
    lighter, facing = [], []
    for own, across, angle in houses:
        inner = ndimage.binary_erosion(own, iterations=3)
        lighter.append(image[inner & (across > 2)].mean() - image[inner & (across < -2)].mean())
        facing.append((np.cos(angle), np.sin(angle)))
    east, south = np.linalg.lstsq(np.array(facing), np.array(lighter), rcond=None)[0]
    return np.degrees(np.arctan2(east, -south)) % 360


def apart(one, other):
    return abs((one - other + 180) % 360 - 180)


def test_the_sun_of_the_library_is_seen(library):
    assert apart(library.light(0).azimuth, OWN) < 12


def test_without_a_sun_nothing_is_turned_and_canvases_stay_as_they_are(library, monkeypatch):
    def refused(*args):
        raise AssertionError("nothing was asked for")

    monkeypatch.setattr(canvases, "sunlit", refused)
    monkeypatch.setattr(Rectangle, "quarter_turned", refused)
    mask, _ = houses_in_all_directions()
    made = composer(library, mask, None)
    assert made.library is library and made.light is library.light(0) and made.roofs.turned is None
    window, allowed = Window(0, 0, *mask.shape), library.of_place(0)
    plain = Composer(library, Houses.of(mask), 3, allowed, library.light(0)).canvas(window)
    np.testing.assert_array_equal(made.canvas(window).image, plain.image)
    assert all(roof is own for roof, own in zip(made.roofs._sources[0], every_roof(library), strict=True))


@pytest.mark.parametrize("turn", TURNS)
def test_a_tile_that_is_turned_has_its_sun_turned(library, turn):
    images, masks = turn.of(library.images), turn.of(library.masks)
    shade = (images.mean(axis=3) < 80) & ~masks
    grounds = ~masks & ~shade
    assert apart(light_of(images, masks, grounds, shade).azimuth, turn.azimuth(OWN)) < 12


@pytest.mark.parametrize("sun", [None, 90, 0, 35, 200, 290])
def test_roofs_are_lit_from_where_it_is_asked(library, sun):
    mask, houses = houses_in_all_directions()
    assert apart(seen_azimuth(canvas(library, mask, sun), houses), OWN if sun is None else sun) < 20


def l_shape(degrees):
    """(SIZE, SIZE) bool: where a building of two wings stands, and how far along its longer one each pixel is."""
    along, across = Rectangle(55, 55, 1, 1, np.radians(degrees), 1.0).local(*np.mgrid[:SIZE, :SIZE])
    return (np.abs(along) <= 30) & (np.abs(across) <= 22) & ((across < -4) | (along < -10)), along


def test_a_roof_of_several_wings_is_turned_as_a_whole(library):
    """From 30 to 60 degrees, beyond 45, where the axes of the rectangle around it are other ones."""
    own, along = l_shape(30)
    images = np.where(own[..., None], np.clip(120 + 2 * along, 0, 255)[..., None], library.images).astype(np.uint8)
    wings = Library(images, np.broadcast_to(own, library.masks.shape), library.places, library.place_names, library.names)
    wings.__dict__["_each_light"] = {0: library.light(0).under(90)}
    wanted, along = l_shape(60)
    made = composer(wings, wanted, 120.0)
    around = rectangle_of(wanted)
    assert len(made.roofs.of_shape(around, shape_of(wanted, around), (0, 0), np.full(3, 140.0))) == 1
    inner = ndimage.binary_erosion(wanted, iterations=3)
    assert np.corrcoef(canvas(wings, wanted, 120.0)[inner], along[inner])[0, 1] > 0.98


@pytest.mark.parametrize(("sun", "down", "right"), [(0, 1, 0), (90, 0, -1), (180, -1, 0), (270, 0, 1)])
def test_shadows_fall_away_from_the_sun(library, sun, down, right):
    mask = np.zeros((120, 120), bool)
    mask[50:70, 50:70] = True
    image = canvas(library, mask, sun)
    away, toward = (image[60 + side * 13 * down][60 + side * 13 * right] for side in (1, -1))
    assert away < toward - 20


def test_ground_is_turned_by_right_angles(library):
    mask = np.zeros((80, 80), bool)
    turned, further = sunlit(library, 275.0, [0])
    west = [turn.of(library.images) for turn in (Turn(2, False), Turn(0, True))]  # either brings the east there
    assert any((turned.images == images).all() for images in west) and abs(np.degrees(further[0])) < 20
    assert sunlit(library, 275.0, [0]).library is turned, "it is remembered"
    first = composer(library, mask, 275.0).canvas(Window(0, 0, 80, 80))
    assert (first.image == composer(turned, mask, None).canvas(Window(0, 0, 80, 80)).image).all()


def test_classes_are_turned_with_their_tiles(library):
    classes = np.broadcast_to(np.arange(SIZE) // (SIZE // 2), library.masks.shape).astype(np.uint8)  # 1 in the east
    turned, _ = sunlit(replace(library, classes=classes), 275.0, [0])
    assert turned.classes is not None
    assert (turned.classes[:, :, 0] == 1).all() and (turned.classes[:, :, -1] == 0).all()
    wanted = np.zeros((80, 80), np.uint8)
    wanted[:, 40:] = 1
    made, of_turned = (
        Composer.of(of, Houses.of(wanted > 1), seed=3, place=0, sun=sun, classes=lambda window: wanted[window.slices])
        for of, sun in ((replace(library, classes=classes), 275.0), (turned, None))
    )
    window = Window(0, 0, 80, 80)
    np.testing.assert_array_equal(made.canvas(window).image, of_turned.canvas(window).image)


def test_a_place_without_a_sun_is_left_as_it_is(library):
    flat = Library(np.full_like(library.images, 120), library.masks, library.places, library.place_names, library.names)
    turned, further = sunlit(flat, 45.0, [0])
    assert (turned.images == flat.images).all() and (further == 0).all()
    assert composer(flat, library.masks[0], 45.0).light.azimuth == pytest.approx(45)


def test_windows_and_moved_grids_agree_under_another_sun(library):
    mask, _ = houses_in_all_directions()
    whole = composer(library, mask, 200.0).canvas(Window(0, 0, 240, 240))
    part = composer(library, mask, 200.0).canvas(Window(50, 33, 90, 120))
    assert np.abs(part.image.astype(int) - whole.image[50:140, 33:153]).max() <= 1
    moved = composer(library, np.pad(mask, ((30, 0), (30, 0))), 200.0, origin=(-30, -30)).canvas(Window(30, 30, 240, 240))
    inner = slice(150, None), slice(150, None)
    assert np.abs(moved.image[inner].astype(int) - whole.image[inner]).max() <= 1


def test_suns_are_not_mixed_up(library):
    mask, _ = houses_in_all_directions()
    buildings = partial(Houses.of, mask)
    composers = Composers()
    for sun in (None, 0.0, 180.0, 0.0, None):
        told = composers.told(library, buildings(), 3, 0, None, sun)
        expected = canvas_teller(library, buildings(), 3, 0, None, sun)(Window(0, 0, *mask.shape))
        np.testing.assert_array_equal(told.values, expected.values)


@pytest.mark.parametrize("quarters", [-1, 0, 1, 2])
def test_a_rectangle_with_its_axis_turned_back_is_the_same_one(quarters):
    one = Rectangle(20.0, 30.0, 24.0, 10.0, 0.3, 1.0)
    other = one.quarter_turned(quarters)
    rows, cols = np.mgrid[:50, :60]
    inside = [np.all([np.abs(at) <= side / 2 for at, side in zip(of.local(rows, cols), (of.width, of.height), strict=True)], axis=0)
              for of in (one, other)]  # fmt: skip
    np.testing.assert_array_equal(*inside)


@pytest.mark.parametrize("azimuth", [-1, 361, float("nan")])
def test_an_azimuth_is_between_0_and_360(azimuth):
    with pytest.raises(ConfigError, match="clockwise from north"):
        require_azimuth(azimuth)


def test_north_has_two_names():
    assert require_azimuth(360) == require_azimuth(0) == 0
