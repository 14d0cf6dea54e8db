import numpy as np
import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st
from made_library import SIZE, make_library
from scipy import ndimage

from orthoforge.errors import CheckpointError
from orthoforge.material import packing
from orthoforge.material.chance import uniform
from orthoforge.material.cuts import between, least_cut, softened
from orthoforge.material.edges import softly
from orthoforge.material.light import Light, cast_shadow, light_of, shaded, shifted
from orthoforge.material.outlines import line_outline
from orthoforge.material.pieces import Pieces
from orthoforge.material.rectangles import Rectangle, rectangle_of
from orthoforge.material.stretching import axis_of, slopes_of
from orthoforge.material.wings import nearest_wing, wings_of


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


@given(st.floats(4, 300), st.integers(4, 60), st.sampled_from([axis_of, slopes_of]))
def test_a_roof_is_never_stretched_beyond_its_measure_never_mirrored_and_keeps_its_walls(target, source, made_by):
    picture = np.random.default_rng(0).random((5, source, 3))
    axis = made_by(picture, target, keys=(1, 2))
    steps = np.linspace(-target / 2, target / 2, 2001)
    shown = axis.shown(axis.at(steps), np.full(2001, 2.5))
    assert shown[[0, -1]] == pytest.approx([0, source])
    assert shown.min() >= 0
    assert shown.max() <= source
    slope = axis.length / axis.target
    assert 1 / 1.4 - 0.2 <= slope <= 1 / 0.55 + 0.2
    moved = np.diff(shown)
    goes_on = np.isclose(moved, slope * np.diff(steps))
    assert (~goes_on).sum() == len(axis.jumps)
    assert axis.at(np.array([target / 2 + 1])) == pytest.approx(axis.length - slope)


def test_a_broad_hall_has_broad_slopes_and_its_ridge_in_the_middle():
    gable = np.full((40, 20, 3), 80.0)
    gable[:, :10] = 160
    axis = slopes_of(gable, 62, keys=(0,))
    across = axis.shown(axis.at(np.arange(62) - 30.5), np.full(62, 20.5))
    (ridge,) = np.flatnonzero(np.diff((across < 10).astype(int)))
    assert ridge == pytest.approx(30, abs=1)


def test_what_stands_out_is_not_what_is_repeated():
    picture = np.full((10, 40, 3), 120.0)
    picture[3:7, 12:16] = 40  # a dormer
    axis = axis_of(picture, 70, keys=(0,))
    shown = axis.shown(axis.at(np.arange(70) - 34.5), np.full(70, 5.0))
    assert ((shown >= 12) & (shown < 16)).sum() == pytest.approx(4, abs=1)


@pytest.mark.parametrize("turned", [False, True])
def test_a_cut_has_no_stairs(turned):
    rows, cols = np.mgrid[:20, :30]
    beyond = cols > 8 + 0.4 * rows
    parts = beyond.T if turned else beyond
    image = np.where(parts[..., None], [200.0, 100, 50], [20.0, 40, 60])
    soft = softened(image, *between(parts))
    changed = (soft != image).any(axis=2)
    beside = parts ^ ndimage.binary_erosion(parts, border_value=1) | (ndimage.binary_dilation(parts) ^ parts)
    assert np.array_equal(changed, beside)
    steps = [np.abs(np.diff(soft, axis=axis)).max() for axis in (0, 1)]
    assert max(steps) < 0.65 * 180
    assert softened(image, *between(np.zeros_like(parts))) is image


def test_a_cut_takes_the_cheapest_way():
    cost = np.ones((6, 5))
    way = [1, 2, 3, 3, 2, 1]
    cost[np.arange(6), way] = 0
    assert least_cut(cost).tolist() == way
    pinned = least_cut(cost, first=0, last=2)
    assert (pinned[0], pinned[-1]) == (0, 2)
    assert np.abs(np.diff(pinned)).max() <= 1
    assert pinned[1:5].tolist() == [1, 2, 3, 2] or pinned[1:5].tolist() == way[1:5]


def test_a_building_with_a_corner_has_two_wings_that_meet_along_a_valley():
    own = np.zeros((60, 70), bool)
    own[:24, :] = True
    own[:, 50:] = True
    main, side = wings_of(own)
    assert sorted((main.width, main.height)) == pytest.approx([24, 70], abs=2)
    assert side.width == pytest.approx(20, abs=2)
    assert side.row + side.height / 2 == pytest.approx(59.5, abs=2)
    assert 6 < main.row + main.height / 2 - (side.row - side.height / 2) < 14  # it reaches into the first by half its breadth
    wing = nearest_wing([main, side], *np.indices(own.shape))
    assert (wing[:12] == 0).all()
    assert (wing[26:, 50:] == 1).all()
    valley = [int((wing[row, 48:] == 1).sum()) for row in range(14, 25)]
    assert valley == sorted(valley)
    assert valley[0] < 6


def test_a_house_is_one_wing():
    assert len(wings_of(turned_rectangle(41, 23, 17))) == 1
    assert len(wings_of(np.ones((1, 1), bool))) == 1


@pytest.mark.parametrize("factor", [2.5, 4])
def test_a_house_of_an_enlarged_mask_has_straight_walls(factor):
    truth = turned_rectangle(90, 50, 17, size=120)
    cells = (np.arange(120 / factor) * factor + factor / 2).astype(int)
    coarse = truth[np.ix_(cells, cells)]
    at = ((np.arange(120) + 0.5) / factor).astype(int).clip(0, len(cells) - 1)
    stairs = coarse[np.ix_(at, at)]
    rows, cols = ndimage.find_objects(stairs.astype(int))[0]
    outline = line_outline(stairs[rows, cols])
    drawn = np.zeros_like(stairs)
    drawn[rows, cols] = shapely.contains_xy(outline, *(np.moveaxis(np.indices(stairs[rows, cols].shape), 0, 0)[::-1] + 0.5))
    assert len(outline.exterior.coords) < 12
    assert (drawn != truth).sum() < 0.8 * (stairs != truth).sum()
    assert line_outline(truth[rows, cols]) is None


def test_a_house_with_corners_on_the_grid_has_no_stairs():
    own = np.ones((47, 81), bool)
    own[:9, :23] = own[:5, 50:] = own[31:, :13] = own[40:, 60:] = False
    assert line_outline(own) is None


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


def test_the_darkest_corners_do_not_set_the_depth_of_shade():
    masks = np.zeros((2, 80, 80), bool)
    masks[:, 30:50, 30:50] = True
    images = np.full((2, 80, 80, 3), 140, np.uint8)
    shade = (shifted(masks, 6, 0) | shifted(masks, 3, 0)) & ~masks
    images[shade] = 84
    black = shade & shifted(masks, 6, 0) & ~shifted(masks, 6, 4)
    images[black] = 5
    light = light_of(images, masks, ~masks & ~shade, black)
    assert light.ratio == pytest.approx(0.6, abs=0.02)


@pytest.mark.parametrize("seen", [(60, 76, 52), (70, 50, 60), (50, 60, 70)])
def test_shade_is_as_blue_as_the_ground_or_bluer(seen):
    masks = np.zeros((2, 80, 80), bool)
    masks[:, 30:50, 30:50] = True
    images = np.full((2, 80, 80, 3), 140, np.uint8)
    shade = (shifted(masks, 6, 0) | shifted(masks, 3, 0)) & ~masks
    images[shade] = seen  # as much of it is leaves
    ratio = light_of(images, masks, ~masks & ~shade, shade).ratio
    assert (np.diff(ratio) >= -1e-9).all()
    assert ratio.mean() == pytest.approx(np.mean(seen) / 140, abs=0.01)


def test_what_is_dark_already_is_not_shaded_again():
    light = Light((1.0, 0.0), 8, np.full(3, 0.5), np.full(3, 40.0), np.full(3, 100.0))
    image = np.array([[[100.0] * 3, [50.0] * 3, [20.0] * 3]], np.float32)
    assert shaded(image, np.array([[1.0, 1.0, 1.0]]), light)[0, :, 0] == pytest.approx([50, 28.3, 20], abs=0.1)  # the sky lights it
    assert shaded(image, np.array([[0.0, 0.0, 0.0]]), light) == pytest.approx(image)


def test_under_an_overcast_sky_there_is_no_direction():
    masks = np.zeros((1, 60, 60), bool)
    masks[:, 20:40, 20:40] = True
    images = np.full((1, 60, 60, 3), 140, np.uint8)
    assert light_of(images, masks, ~masks, np.zeros_like(masks)).direction == (0, 0)


def test_a_shadow_falls_away_from_the_sun_as_far_as_the_building_is_high():
    ids = np.zeros((40, 40), np.int32)
    ids[10:20, 10:20], ids[10:20, 30:35] = 1, 2
    covered = (ids > 0).astype(np.float32)
    dark = cast_shadow(ids, covered, np.array([8.0, 3.0]), Light((1.0, 0.0), 8, np.full(3, 0.5), np.zeros(3), np.full(3, 128.0)))
    assert dark[24, 15] > 0.9
    assert dark[30, 15] < 0.1
    assert dark[5, 15] < 0.3
    assert dark[25, 32] < 0.1
    assert dark[21, 32] > 0.8
    assert (dark[ids > 0] == 0).all()


def test_the_sunny_side_of_a_house_has_no_dark_rim():
    ids = np.zeros((40, 40), int)
    ids[12:28, 12:28] = 1
    light = Light((1.0, 0.0), 6.0, np.full(3, 0.5), np.zeros(3), np.full(3, 128.0))
    depth = cast_shadow(ids, (ids > 0).astype(np.float32), np.array([6.0]), light)
    assert depth[28:32, 14:26].min() > 0.8
    assert depth[:12, 14:26].max() < 0.1


@pytest.mark.parametrize("slope", [0.1, 0.3, 0.6])
def test_the_stairs_of_a_mask_become_a_line(slope):
    rows, cols = np.mgrid[:60, :60]
    line = 25 + slope * cols
    covered = softly(rows > line)
    wanted = np.clip(rows - line + 0.5, 0, 1)
    inner = (slice(8, -8), slice(8, -8))
    stairs = np.abs((rows > line) - wanted)[inner].max()
    assert np.abs(covered - wanted)[inner].max() < 0.7 * stairs


@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_thin_wall_is_seen(width):
    inside = np.zeros((20, 20), bool)
    inside[3:17, 9 : 9 + width] = True
    covered = softly(inside)
    assert covered[inside].min() >= 0.5
    assert covered[~inside].max() <= 0.8


def test_open_ground_is_off_walls_and_never_a_building():
    library = make_library()
    open_ground = np.stack([library.open_ground(tile) for tile in range(len(library))])
    assert not (open_ground & library.masks).any()
    assert open_ground[~library.masks].mean() > 0.3


def test_what_looks_like_an_unmapped_roof_is_no_open_ground():
    library = make_library()
    library.images[0, 34:40, 10:30] = (40, 60, 220)
    assert not library.open_ground(0)[34:40, 10:30].any()
    assert library.open_ground(1)[34:40, 10:30].any()


@pytest.mark.parametrize("on_roofs", [False, True])
def test_white_is_ground_where_no_roof_is_white(on_roofs):
    library = make_library(1)
    mask = np.zeros((112, 112), bool)
    mask[10:30, 40:60] = mask[40:60, 40:60] = True
    library.masks[0], library.images[0] = mask, (90, 130, 80)
    library.images[0][mask] = (170, 60, 50)
    library.images[0][40:60, 61:72] = 250
    if on_roofs:
        library.images[0][10:30, 40:60] = 250
    assert library.open_ground(0)[42:58, 66:70].any() != on_roofs
    assert (library.off_buildings(0)[42:58, 62:71] > 0).all() != on_roofs


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


def test_ground_has_the_tone_of_tiles_that_are_as_much_built():
    library = make_library(10)
    built = np.arange(10) % 2 == 0
    library.masks[~built] = False
    library.images[...] = np.where(built[:, None, None, None], 150, 60)
    pieces = Pieces(library, np.arange(10), 0, 88, 64)
    dense, empty = (np.stack([pieces.tone_at(at, 2 * at, share) for at in range(0, 2000, 90)]) for share in (0.2, 0.0))
    np.testing.assert_allclose(dense, 150)
    np.testing.assert_allclose(empty, 60)
