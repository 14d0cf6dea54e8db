"""Which pixels are one building, what colour its roof has, and what colour it is asked to have."""

import itertools
from collections import deque

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orthoforge.models.noise import NoiseField
from orthoforge.models.roofs import CELL, COLOURS, REACH, Roofs, buildings_of, mean_colours, painted, palettes_of

CPU = torch.device("cpu")
WIDEST = 96  # px; of a building that surely has one number
seeds = st.integers(0, 2**32 - 1)


def tensor(mask):
    """A mask (H, W) of any type as (1, 1, H, W) of 0 and 1."""
    return torch.from_numpy(np.asarray(mask) > 0).float()[None, None]


def drawn_for(mask, seed=0, origin=(0, 0)):
    sides = (side // CELL for side in mask.shape)
    return NoiseField(seed, *origin).uniform(0, torch.Size((1, 1, *sides)), CELL, CPU)


def numbers_of(mask, seed=0, origin=(0, 0), drawn=None):
    """The number of each pixel (H, W); what lies outside the building in a half cell has it too."""
    numbers = buildings_of(tensor(mask), drawn_for(mask, seed, origin) if drawn is None else drawn)
    return np.kron(numbers[0, 0].numpy(), np.ones((2, 2), np.float32))


def whole_cells(mask):
    """Where the cells lie that are all building, by pixel."""
    rows, cols = (side // CELL for side in mask.shape)
    return np.kron(mask.reshape(rows, CELL, cols, CELL).all(axis=(1, 3)), np.ones((CELL, CELL), bool))


def rectangle(row, col, height, width, side=128):
    mask = np.zeros((side, side), bool)
    mask[row : row + height, col : col + width] = True
    return mask


def town(rng, side=64, houses=12, longest=40):
    """Rectangles at random, over and beside one another."""
    mask = np.zeros((side, side), bool)
    for row, col in rng.integers(0, side - 8, (houses, 2)):
        height, width = rng.integers(3, longest, 2)
        mask[row : row + height, col : col + width] = True
    for row, col in rng.integers(0, side, (houses, 2)):  # and gaps of a pixel between some of them
        mask[row] &= rng.random() < 0.7
        mask[:, col] &= rng.random() < 0.7
    return mask


def streets(rng, side):
    """Long corridors that cross: from each of their pixels others are seen that lie as far away as can be."""
    mask = np.zeros((side, side), bool)
    for start in rng.integers(0, side, 8):
        lines = mask if rng.random() < 0.5 else mask.T
        lines[start : start + rng.integers(4, 12)] = True
    return mask & (rng.random((side, side)) > 1e-4)


def row_of_houses(count, side=12, gap=4):
    """Houses as far apart as no edge can meet, in a mask (side + 2 gaps, …)."""
    mask = np.zeros((side + 2 * gap, count * (side + gap) + gap), bool)
    for number in range(count):
        left = gap + number * (side + gap)
        mask[gap : gap + side, left : left + side] = True
    return mask


# Buildings


@given(st.integers(7, WIDEST), st.integers(7, WIDEST), st.integers(0, 30), st.integers(0, 30), seeds)
def test_a_building_of_up_to_96_px_has_one_number_the_largest_drawn_on_it(height, width, row, col, seed):
    mask = rectangle(row, col, height, width)
    drawn = drawn_for(mask, seed)
    expected = drawn[0, 0][whole_cells(mask)[::CELL, ::CELL]].max().item()
    assert set(numbers_of(mask, seed)[mask].tolist()) == {expected}


def turned_house(height, width, degrees, side=64):
    rows, cols = np.mgrid[:side, :side] - (side - 1) / 2
    angle = np.radians(degrees)
    across, along = rows * np.cos(angle) + cols * np.sin(angle), cols * np.cos(angle) - rows * np.sin(angle)
    return (abs(across) <= height / 2) & (abs(along) <= width / 2)


SHAPES = {
    "L": rectangle(3, 5, 40, 9, 64) | rectangle(34, 5, 9, 38, 64),
    "T": rectangle(2, 1, 8, 45, 64) | rectangle(2, 18, 40, 8, 64),
    "around a court": rectangle(6, 7, 31, 31, 64) & ~rectangle(14, 15, 15, 15, 64),
    "15°": turned_house(16, 30, 15),
    "45°": turned_house(20, 35, 45),
    "70°": turned_house(18, 44, 70),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("seed", range(4))
def test_one_building_has_one_number_in_any_shape_and_to_its_edges(name, seed):
    (number,) = np.unique(numbers_of(SHAPES[name], seed)[SHAPES[name]])
    assert number > 0


@example(sides=(8, 8, 8, 8), corner=(0, 0), seed=0, apart=("aslant", 0))  # whole cells that touch at a corner
@example(sides=(8, 8, 8, 8), corner=(0, 0), seed=0, apart=("aslant, to the left", 0))
@given(
    sides=st.tuples(*[st.integers(7, 30)] * 4), corner=st.tuples(*[st.integers(0, 3)] * 2), seed=seeds,
    apart=st.sampled_from([("beside", 1), ("below", 1), ("aslant", 0), ("aslant", 1), ("aslant, to the left", 0)]),
)  # fmt: skip
def test_two_houses_a_pixel_apart_are_two(sides, corner, seed, apart):
    (height, width, other_height, other_width), (row, col), (where, gap) = sides, corner, apart
    down, right = {"beside": (0, width + gap), "below": (height + gap, 0)}.get(where, (height + gap, width + gap))
    one = rectangle(row, col, height, width, 68)
    other = rectangle(row + down, col + right, other_height, other_width, 68)
    if where == "aslant, to the left":
        one, other = one[:, ::-1].copy(), other[:, ::-1].copy()
    numbers = numbers_of(one | other, seed)
    # A half cell that lies inside a house has its number; one with a bit of each has one of both.
    inside = [np.kron(house.reshape(34, 2, 34, 2).all(axis=(1, 3)), np.ones((2, 2), bool)) for house in (one, other)]
    (first,), (second,) = (np.unique(numbers[house]) for house in inside)
    assert 0 < first != second > 0
    assert set(np.unique(numbers[one | other])) == {first, second}


def labelled(mask, drawn):
    """What ``buildings_of`` says, by following each building from cell to cell: largest numbers, then the edges step by step."""
    rows, cols = drawn.shape
    whole = whole_cells(mask)[::CELL, ::CELL]
    numbers = np.zeros((rows, cols), np.float32)
    for start in zip(*np.nonzero(whole), strict=True):
        if numbers[start]:
            continue
        cells, left = {start}, deque([start])
        while left:
            row, col = left.popleft()
            for cell in ((row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)):
                if 0 <= cell[0] < rows and 0 <= cell[1] < cols and whole[cell] and cell not in cells:
                    cells.add(cell)
                    left.append(cell)
        numbers[tuple(zip(*cells, strict=True))] = max(drawn[cell] for cell in cells)
    numbers = np.pad(numbers.repeat(2, axis=0).repeat(2, axis=1), 1)
    touched = np.pad(mask.reshape(2 * rows, 2, 2 * cols, 2).any(axis=(1, 3)), 1)
    for _ in range(4):
        before = numbers.copy()
        for row, col in zip(*np.nonzero(touched & (before == 0)), strict=True):
            numbers[row, col] = before[row - 1 : row + 2, col - 1 : col + 2].max()
    return numbers[1:-1, 1:-1]


@settings(max_examples=60)
@given(seeds)
def test_the_buildings_of_a_town_are_those_that_one_finds_by_following_them(seed):
    mask = town(np.random.default_rng(seed), 40, longest=16)
    found = buildings_of(tensor(mask), drawn_for(mask, seed))[0, 0].numpy()
    np.testing.assert_array_equal(found, labelled(mask, drawn_for(mask, seed)[0, 0].numpy()))


def test_of_a_longer_building_parts_may_differ():
    mask = rectangle(4, 0, 8, 400, 400)
    drawn = 0.5 * drawn_for(mask, 0)
    drawn[0, 0, 1, 20] = 0.875
    numbers = numbers_of(mask, drawn=drawn)[4]
    assert set(np.unique(numbers[(20 + 1) * CELL : (20 + 24) * CELL])) == {0.875}, "24 cells along, and one is across"
    further = numbers[(20 + 25) * CELL :]
    assert further.min() > 0 and further.max() < 0.5


def test_specks_without_a_whole_cell_have_none():
    for row, col in np.ndindex(4, 4):
        assert not numbers_of(rectangle(8 + row, 8 + col, 3, 40, 64)).any(), "thinner than a cell"
        assert numbers_of(rectangle(8 + row, 8 + col, 7, 7, 64)).any(), "a cell fits in wherever it lies"
    assert numbers_of(rectangle(8, 8, 4, 4, 64)).any() and not numbers_of(rectangle(9, 9, 6, 6, 64)).any()


def test_what_is_drawn_as_zero_is_a_building_too():
    mask = rectangle(4, 4, 12, 12, 32)
    numbers = buildings_of(tensor(mask), torch.zeros(1, 1, 8, 8))
    assert (numbers > 0).sum() == 36


def test_an_edge_is_followed_for_four_half_cells_and_no_further():
    mask = rectangle(8, 8, 8, 8, 64)
    mask[9, 16:40] = True  # a wall of one pixel
    assert (numbers_of(mask)[9] > 0).nonzero()[0].tolist() == list(range(8, 16 + 8))


# How far


def window_of(array, row, col, side):
    return array[row : row + side, col : col + side]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 20), st.integers(0, 20), st.tuples(st.integers(-(2**20), 2**20), st.integers(-(2**20), 2**20)), seeds)
def test_a_windows_middle_has_the_numbers_of_the_whole_scene(down, right, origin, seed):
    row, col, side = CELL * down, CELL * right, 4 * (2 * REACH // 4 + 5)
    mask = streets(np.random.default_rng(seed), side + 80)
    whole = numbers_of(mask, seed, tuple(CELL * place for place in origin))
    window = numbers_of(window_of(mask, row, col, side), seed, (CELL * origin[0] + row, CELL * origin[1] + col))
    inner = REACH, REACH, side - 2 * REACH
    np.testing.assert_array_equal(window_of(window, *inner), window_of(window_of(whole, row, col, side), *inner))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 7), st.integers(0, 7), seeds)
def test_what_lies_further_away_changes_nothing(row, col, seed):
    side = 4 * (2 * REACH // 4 + 8)
    row, col = REACH + 1 + row, REACH + 1 + col
    near = np.zeros((side, side), bool)
    near[row - REACH : row + REACH + 1, col - REACH : col + REACH + 1] = True
    masks = [streets(np.random.default_rng(seed + number), side) for number in (0, 1)]
    masks[0][row, col - 20 : col + 20] = masks[0][row - 4 : row + 4, col] = True  # some building near it
    masks[1] = np.where(near, masks[0], masks[1])
    drawn = [drawn_for(near, seed + number) for number in (0, 1)]
    drawn[1] = torch.where(tensor(near)[..., ::CELL, ::CELL] * tensor(near)[..., 3::CELL, 3::CELL] > 0, drawn[0], drawn[1])
    one, other = (numbers_of(mask, drawn=of_mask) for mask, of_mask in zip(masks, drawn, strict=True))
    assert one[row, col] == other[row, col]


@pytest.mark.parametrize("turned", range(4))
def test_what_lies_as_far_as_the_reach_can_change_a_number(turned):
    """A corridor of one cell, and from its beginning a wall of a pixel as long as edges are followed."""
    mask = np.zeros((160, 160), bool)
    wall, corridor = 40, 48
    mask[8, wall:corridor] = True
    mask[8:12, corridor:] = True
    drawn = 0.5 * drawn_for(mask)
    drawn[0, 0, 2, (wall + REACH) // CELL] = 0.75
    drawn[0, 0, 2, (wall + REACH) // CELL + 1] = 0.875

    def seen(mask):
        numbers = numbers_of(np.rot90(mask, turned).copy(), drawn=torch.rot90(drawn, turned, dims=(2, 3)))
        return np.rot90(numbers, -turned)[8, wall]

    assert seen(mask) == 0.75
    mask[9, wall + REACH + 1] = False
    assert seen(mask) == 0.75
    mask[9, wall + REACH] = False
    assert 0 < seen(mask) < 0.5


# Colours


def images_of(count, sides, seed=0):
    return torch.rand(count, 3, *sides, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_mean_colours_are_those_of_each_building_in_its_own_image():
    masks = torch.cat([tensor(town(np.random.default_rng(seed))) for seed in (0, 1, 0)] + [torch.zeros(1, 1, 64, 64)])
    image = images_of(4, (64, 64))
    numbers = buildings_of(masks, drawn_for(masks[0, 0]))
    assert torch.equal(numbers[0], numbers[2]), "and yet these are buildings of two images"
    cells = image.numpy().reshape(4, 3, 32, 2, 32, 2).mean(axis=(3, 5))
    expected = np.zeros_like(cells)
    for one in range(4):
        for number in np.unique(numbers[one])[1:]:
            there = numbers[one, 0].numpy() == number
            expected[one][:, there] = cells[one][:, there].mean(axis=1, keepdims=True)
    found = mean_colours(image, numbers)
    assert len(found[2].flatten(1).unique(dim=1).T) > 5
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert torch.equal((found != 0).any(dim=1, keepdim=True), numbers > 0)


def coloured_houses(count, seed=0):
    """An image (1, 3, H, W) of as many houses, each of one colour, on grey; its numbers, and the colours (count, 3)."""
    mask = tensor(row_of_houses(count))
    colours = images_of(1, (count, 1), seed)[0, :, :, 0].T
    image = torch.full((1, 3, *mask.shape[2:]), 0.1)
    for number, colour in enumerate(colours):
        image[..., 4:16, 4 + 16 * number : 16 + 16 * number] = colour[:, None, None]
    return image, buildings_of(mask, drawn_for(mask[0, 0], seed)), colours


def as_set(colours):
    return {tuple(np.round(colour, 4).tolist()) for colour in np.asarray(colours, np.float64)}


def test_a_palette_holds_colours_of_some_of_many_buildings():
    image, numbers, colours = coloured_houses(40)
    (palette,) = palettes_of(image, numbers)
    assert palette.shape == (COLOURS, 3)
    assert len(as_set(palette)) == COLOURS and as_set(palette) <= as_set(colours)
    (other,) = palettes_of(image, coloured_houses(40, seed=1)[1])
    assert as_set(other) != as_set(palette), "which ones is drawn"


@pytest.mark.parametrize("count", [1, 5, 16])
def test_a_palette_holds_the_colours_of_few_buildings_in_turn(count):
    image, numbers, colours = coloured_houses(count)
    (palette,) = palettes_of(image, numbers)
    assert as_set(palette[:count]) == as_set(colours)
    assert all(torch.equal(palette[at], palette[at % count]) for at in range(COLOURS))


def test_an_image_without_buildings_borrows_of_the_one_before_or_after_it_and_else_has_its_mean():
    image, numbers, colours = coloured_houses(3)
    empty, none = images_of(1, image.shape[2:]), torch.zeros_like(numbers)
    (alone,) = palettes_of(empty, none)
    torch.testing.assert_close(alone, empty.mean(dim=(2, 3)).expand(COLOURS, -1))
    brighter = image + 0.125
    palettes = palettes_of(torch.cat([empty, image, empty, brighter, empty]), torch.cat([none, numbers, none, numbers, none]))
    assert [as_set(palette) == as_set(colours) for palette in palettes] == [True, True, True, False, False]
    torch.testing.assert_close(palettes[3], palettes[1] + 0.125)
    assert torch.equal(palettes[4], palettes[3])


def test_a_palette_of_many_buildings_prefers_none_for_its_size():
    """Small and large houses in turn: both are in palettes as often, though the large ones have the larger numbers."""
    inside, image = torch.zeros(1, 1, 384, 384), torch.zeros(1, 3, 384, 384)
    for number, (row, col) in enumerate(itertools.product(range(0, 384, 32), repeat=2)):
        large = (number // 12 + number) % 2 == 0
        inside[..., row : row + (28 if large else 8), col : col + (28 if large else 8)] = 1
        image[..., row : row + 32, col : col + 32] = 1.0 if large else -1.0
    large = 0
    for seed in range(20):
        drawn = torch.rand(1, 1, 96, 96, generator=torch.Generator().manual_seed(seed))
        large += (palettes_of(image, buildings_of(inside, drawn))[0, :, 0] > 0).sum().item()
    assert abs(large - 160) < 4 * (320 * 0.25) ** 0.5, "of 320, by chance 160 with a deviation of 9"


NAMED = torch.linspace(-1, 1, 3 * COLOURS).reshape(1, COLOURS, 3)  # a palette of sixteen different colours


def entries(colours, palette=NAMED):
    """Which entry of its palette each colour (3, …) is."""
    apart = (colours.movedim(0, -1)[..., None, :] - palette[0]).abs().sum(dim=-1)
    assert apart.min(dim=-1).values.max() < 1e-6
    return apart.argmin(dim=-1)


def test_the_largest_of_a_buildings_numbers_names_each_colour_as_often():
    numbers = torch.rand(12, 1, 1, 32_000, generator=torch.Generator().manual_seed(0)).max(dim=0).values[None]
    counts = entries(painted(NAMED, numbers)[0]).flatten().bincount(minlength=COLOURS)
    expected = 32_000 / COLOURS
    # The sum of 16 squared deviations is chi-square with 15 degrees of freedom: mean 15, deviation 5.5.
    assert ((counts - expected) ** 2 / expected).sum() < 15 + 5 * 5.5


def test_a_buildings_entry_is_a_function_of_its_number_alone():
    numbers = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    numbers[1, 0] = numbers[0, 0].T
    numbers[:, :, 0] = 0
    other = torch.cat([NAMED, NAMED.flip(1)])
    first, second = painted(other, numbers)
    assert not first[:, 0].any() and not second[:, 0].any(), "outside"
    one, turned = entries(first[:, 1:, 1:]), entries(second[:, 1:, 1:], other[1:])
    assert torch.equal(one, turned.T)
    assert torch.equal(painted(other[1:], numbers)[1], second), "one palette for all images"


# What a generator is told


def condition_of(*masks):
    """Conditions of building masks, as the generators take them."""
    return torch.cat([tensor(mask) for mask in masks]).repeat(1, 3, 1, 1) * 2 - 1


def placed(*fields):
    roofs = Roofs()
    roofs.noise_fields = fields
    return roofs


def by_house(told, count):
    """The colour (3, count) of each of a row of houses, from its middle."""
    return told[:, 10, 10 : 10 + 16 * count : 16]


def test_each_house_has_one_colour_of_the_palette_that_seed_and_place_name():
    mask = row_of_houses(60)
    roofs, condition = placed(NoiseField(1)), condition_of(mask)
    told = roofs(condition, NAMED)
    assert told.shape == condition.shape
    names = entries(by_house(told[0], 60))
    assert len(names.unique()) > 10, "of 16; by chance 15.7"
    for number in range(60):
        house = told[0, :, 4:16, 4 + 16 * number : 16 + 16 * number]
        assert len(house.flatten(1).unique(dim=1).T) == 1
    assert torch.equal(roofs(condition, NAMED), told)
    for field in (NoiseField(2), NoiseField(1, 64), NoiseField(1, 0, 400)):
        share = (entries(by_house(placed(field)(condition, NAMED)[0], 60)) == names).float().mean()
        assert share < 0.3, "by chance a sixteenth"
    moved = placed(NoiseField(1, -16, 16))(condition, NAMED)[0]
    onward = placed(NoiseField(1, -16, 0))(condition, NAMED)[0]
    assert torch.equal(entries(by_house(moved, 60))[:-1], entries(by_house(onward, 60))[1:]), "the colour lies on the ground"


@pytest.mark.parametrize("seed", range(3))
def test_a_colour_ends_where_the_mask_does(seed):
    mask = town(np.random.default_rng(seed))
    told, own = placed(NoiseField(0))(condition_of(mask), NAMED), Roofs().seen(condition_of(mask), images_of(1, (64, 64)), 1)
    coloured = numbers_of(mask) > 0
    assert coloured[~mask].any(), "half cells are coarser"
    for roofs in (told, own):
        assert np.array_equal(roofs[0].any(dim=0).numpy(), coloured & mask)


def test_a_field_for_each_image_or_one_for_all():
    condition = condition_of(row_of_houses(20)).expand(2, -1, -1, -1)
    palettes = torch.cat([NAMED, NAMED.flip(1)])
    one, other = placed(NoiseField(1))(condition, NAMED), placed(NoiseField(2))(condition, NAMED)
    assert torch.equal(one[0], one[1])
    both = placed(NoiseField(1), NoiseField(2))(condition, NAMED)
    assert torch.equal(both[0], one[0]) and torch.equal(both[1], other[1]) and not torch.equal(both[0], both[1])
    names = entries(by_house(placed(NoiseField(1))(condition, palettes)[1], 20), palettes[1:])
    assert torch.equal(names, entries(by_house(one[1], 20))), "and a palette for each image or one for all"


def test_without_a_seed_torch_draws():
    roofs, condition = Roofs(), condition_of(row_of_houses(30)).expand(2, -1, -1, -1)
    torch.manual_seed(0)
    told = roofs(condition, NAMED)
    assert not torch.equal(told[0], told[1])
    assert not torch.equal(roofs(condition, NAMED), told)
    torch.manual_seed(0)
    assert torch.equal(roofs(condition, NAMED), told)


def test_bfloat16_autocast_changes_no_colour():
    roofs, condition, image = placed(NoiseField(3)), condition_of(town(np.random.default_rng(1))), images_of(1, (64, 64))
    plain = roofs(condition, NAMED), roofs.palettes(condition, image), roofs.seen(condition, image, 1)
    with torch.autocast("cpu", torch.bfloat16):
        rough = roofs(condition, NAMED), roofs.palettes(condition, image), roofs.seen(condition, image, 1)
    for one, other in zip(plain, rough, strict=True):
        assert one.abs().sum() > 0 and other.dtype == torch.float32
        assert torch.equal(one, other)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_in_training_the_first_have_their_own_colours_and_the_others_those_of_the_first(count):
    own, houses = count - count // 2, 20
    pictures = [coloured_houses(houses, seed)[0::2] for seed in range(count)]
    image, colours = torch.cat([image for image, _ in pictures]), [colours for _, colours in pictures]
    told = Roofs().seen(condition_of(*[row_of_houses(houses)] * count), image, own)
    assert told.shape == image.shape
    for number in range(own):
        torch.testing.assert_close(by_house(told[number], houses).T, colours[number], atol=1e-5, rtol=0)
    for number in range(own, count):
        found = as_set(by_house(told[number], houses).T)
        assert found <= as_set(colours[number - own]) and 5 < len(found) <= COLOURS
    assert not told[:, :, ~row_of_houses(houses)].any()


def test_in_training_own_colours_are_means_of_what_is_seen():
    mask, image = row_of_houses(3), images_of(1, (20, 52))
    (told,) = Roofs().seen(condition_of(mask), image, 1)
    for left in (4, 20, 36):
        house = slice(4, 16), slice(left, left + 12)
        torch.testing.assert_close(told[:, *house], image[0][:, *house].mean(dim=(1, 2), keepdim=True).expand(3, 12, 12))


def test_where_no_class_is_building_there_are_no_roofs():
    roofs, condition, image = placed(NoiseField(0)), condition_of(*[row_of_houses(5)] * 2), images_of(2, (20, 84))
    roofs.building = None
    assert torch.equal(roofs(condition, NAMED), torch.zeros(2, 3, 20, 84))
    assert torch.equal(roofs.seen(condition, image, 1), torch.zeros(2, 3, 20, 84))
    torch.testing.assert_close(roofs.palettes(condition, image), image.mean(dim=(2, 3))[:, None].expand(-1, COLOURS, -1))


def test_of_several_classes_one_is_building():
    mask = row_of_houses(5)
    condition = torch.cat([tensor(~mask), tensor(mask), torch.zeros(1, 1, *mask.shape)], dim=1) * 2 - 1
    roofs = placed(NoiseField(0))
    roofs.building = 1
    assert torch.equal(roofs(condition, NAMED), placed(NoiseField(0))(condition_of(mask), NAMED))
    roofs.building = 2
    assert not roofs(condition, NAMED).any()
