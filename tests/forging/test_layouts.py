"""The layouts that recombine and streets make, before they are pixels."""

import itertools

import numpy as np
import pytest
import shapely
from towns import SIDE_PX, town_mask

from orthoforge.forging.layouts.library import library_of
from orthoforge.forging.layouts.recombine import recombine
from orthoforge.forging.layouts.streets import streets
from orthoforge.forging.measuring import measure
from orthoforge.forging.shapes import draw, take_apart
from orthoforge.forging.transform import Change, random_change, transform, warped

NO_CHANGE = Change(False, 0, 0.0, 1.0, 0.0, (), 0)
LAYOUTS = [take_apart(town_mask(seed)) for seed in range(6)]
REAL = measure(LAYOUTS)
LIBRARY = library_of(LAYOUTS)


def grown(how: str, *, seed: int = 0, density: float = 1.0, size=(SIDE_PX, SIDE_PX)):
    rng = np.random.default_rng(seed)
    if how == "recombine":
        return recombine(LIBRARY, seed % len(LAYOUTS), size, 1.0, density, rng)
    return streets(REAL, size, LAYOUTS[seed % len(LAYOUTS)].share, 0.35, density, rng)[0]


@pytest.mark.parametrize("how", ["recombine", "streets"])
@pytest.mark.parametrize("density", [1.0, 1.6])
def test_no_two_buildings_overlap_or_run_together(how, density):
    polygons = grown(how, density=density, size=(240, 200)).polygons
    assert len(polygons) > 20
    assert all(polygon.is_valid for polygon in polygons)
    tree = shapely.STRtree(polygons)
    first, second = tree.query(polygons, predicate="dwithin", distance=1.0)
    assert (first == second).all()
    mask = draw(polygons, (240, 200), (1, 1))
    drawn = [polygon for polygon in polygons if polygon.area >= 12]
    assert len(take_apart(mask)) >= len(drawn) - 2  # none was joined to another; a sliver at the border may go


@pytest.mark.parametrize("how", ["recombine", "streets"])
def test_the_share_is_hit_and_rises_with_density(how):
    shares = []
    for density in (0.4, 1.0, 1.4):
        layout = grown(how, density=density, size=(240, 240))
        assert layout.share == pytest.approx(layout.wanted, rel=0.08)
        on_pixels = np.count_nonzero(draw(layout.polygons, (240, 240), (1, 1))) / 240**2
        assert on_pixels == pytest.approx(layout.share, rel=0.02)
        shares.append(layout.share)
    assert all(more > less * 1.2 for less, more in itertools.pairwise(shares))


def test_what_cannot_be_reached_is_told():
    layout = grown("recombine", density=4.0)
    assert layout.wanted > 0.95
    assert layout.share < 0.9
    assert shapely.area(layout.polygons).sum() == pytest.approx(layout.share * SIDE_PX**2)


def test_recombined_blocks_are_as_the_place_and_new():
    masks = [draw(grown("recombine", seed=seed).polygons, (SIDE_PX, SIDE_PX), (1, 1)) for seed in range(6)]
    made = measure([take_apart(mask) for mask in masks], window=REAL.window)
    distances = made.distances(REAL)
    assert distances["area"] < 0.2
    assert distances["elongation"] < 0.15
    assert distances["orientation"] < 4
    assert distances["share"] < 0.1
    for seed, mask in enumerate(masks):
        real = town_mask(seed) > 0
        agreement = np.count_nonzero(real & (mask > 0)) / np.count_nonzero(real | (mask > 0))
        assert agreement < 0.5  # a copy would have 1


@pytest.mark.parametrize("how", ["recombine", "streets"])
def test_a_model_without_buildings_gives_none(how):
    empty = take_apart(np.zeros((SIDE_PX, SIDE_PX), np.uint8))
    if how == "recombine":
        layout = recombine(library_of([*LAYOUTS, empty]), len(LAYOUTS), (SIDE_PX, SIDE_PX), 1.0, 1.0, np.random.default_rng(0))
    else:
        layout = streets(REAL, (SIDE_PX, SIDE_PX), 0.0, 0.0, 1.0, np.random.default_rng(0))[0]
    assert layout.polygons == [] and layout.share == 0


def test_streets_run_where_they_are_told():
    for direction in (0.0, 0.5):
        layout = streets(REAL, (300, 300), 0.25, direction, 1.0, np.random.default_rng(3))[0]
        made = measure([take_apart(draw(layout.polygons, (300, 300), (1, 1)))], window=(300, 300))
        off = (made.orientation - np.degrees(direction) + 45) % 90 - 45
        assert abs(np.median(off)) < 4


def test_large_ground_has_districts_and_little_ground_one():
    directions = [0.2, 0.9]
    layout, parameters = streets(REAL, (600, 600), 0.2, directions, 1.0, np.random.default_rng(3))
    assert parameters["districts"] > 2
    made = measure([take_apart(draw(layout.polygons, (600, 600), (1, 1)))], window=(600, 600))
    turns = [np.abs((made.orientation - np.degrees(angle) + 45) % 90 - 45) < 8 for angle in directions]
    assert all(0.25 < np.mean(turn) < 0.75 for turn in turns)
    assert np.mean(turns[0] | turns[1]) > 0.9
    assert streets(REAL, (100, 100), 0.2, directions, 1.0, np.random.default_rng(3))[1]["districts"] == 1


def test_where_the_place_s_buildings_touch_so_do_those_along_streets():
    mask = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    for row in range(10, 180, 40):
        for col in range(4, 180, 13):
            mask[row : row + 20, col : col + 12] = 255  # terraces, a line of one pixel between two houses
    terraces = measure([take_apart(mask)] * 8, window=(SIDE_PX, SIDE_PX))
    assert terraces.touching == 1
    layouts = [streets(terraces, (SIDE_PX, SIDE_PX), 0.4, 0.3, 1.0, np.random.default_rng(seed))[0] for seed in range(2)]
    assert all(layout.share == pytest.approx(0.4, rel=0.08) for layout in layouts)
    made = [take_apart(draw(layout.polygons, (SIDE_PX, SIDE_PX), (1, 1))) for layout in layouts]
    assert measure(made, window=(SIDE_PX, SIDE_PX)).touching > 0.8


def test_the_eight_turns_and_flips_are_exact():
    mask = town_mask(1)
    seen = {
        warped(mask, Change(flip, turns, 0.0, 1.0, 0.0, (), 0)).tobytes() for flip in (False, True) for turns in range(4)
    }  # fmt: skip
    assert len(seen) == 8
    assert np.array_equal(warped(mask, NO_CHANGE), mask)
    assert np.array_equal(warped(mask, Change(True, 1, 0.0, 1.0, 0.0, (), 0)), np.rot90(mask[:, ::-1]))


def test_a_change_moves_mask_and_image_alike_and_can_be_made_again():
    mask = town_mask(2)
    change = random_change(np.random.default_rng(5))
    pair = warped(np.stack([mask, mask, mask], axis=-1), change)
    assert np.array_equal(pair[..., 1], warped(mask, change))
    assert Change(**change.values()) == change  # type: ignore[arg-type]
    made = transform(mask, change)
    assert set(np.unique(made)) == {0, 255}
    assert np.array_equal(made, transform(mask, change))
    assert 0.7 < np.count_nonzero(made) / np.count_nonzero(mask) < 1.4
    assert not np.array_equal(made, warped(mask, change))  # single buildings went other ways


def test_a_turn_turns_clockwise_by_so_much():
    mask = draw([shapely.box(80, 95, 120, 105)], (200, 200), (1, 1))
    turned = take_apart(warped(mask, Change(False, 0, 20.0, 1.0, 0.0, (), 0)))
    assert abs(np.degrees(turned.angle[0]) - 20) < 1.5 or abs(np.degrees(turned.angle[0]) - 160) < 1.5
    larger = warped(mask, Change(False, 0, 0.0, 1.5, 0.0, (), 0))
    assert np.count_nonzero(larger) / np.count_nonzero(mask) == pytest.approx(2.25, rel=0.05)
