"""What colours roofs have, and what a generator is told of roofs and of ground."""

import itertools

import numpy as np
import pytest
import torch

from drawn_masks import row_of_houses, tensor, town
from orthoforge.geo.buildings import Buildings
from orthoforge.geo.grid import Window
from orthoforge.models.colours import Colours
from orthoforge.models.ground import GROUND_CELL, GROUND_SIDE, OVERLAP, ground_of, laid, middle_of
from orthoforge.models.noise import NoiseField
from orthoforge.models.roofs import COLOURS, ROOF_LAYER, buildings_of, entries_of, mean_colours, painted, palettes_of, roofs_of


def images_of(count, sides, seed=0):
    return torch.rand(count, 3, *sides, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_mean_colours_are_those_of_each_building_in_its_own_image():
    masks = torch.cat([tensor(town(np.random.default_rng(seed))) for seed in (0, 1, 0)] + [torch.zeros(1, 1, 64, 64)])
    image = images_of(4, (64, 64))
    buildings, _ = buildings_of(masks[:, 0])
    pixels, expected = image.numpy(), np.zeros(image.shape, np.float32)
    for one in range(4):
        for number in np.unique(buildings[one])[1:]:
            there = buildings[one].numpy() == number
            expected[one][:, there] = pixels[one][:, there].mean(axis=1, keepdims=True)
    found = mean_colours(roofs_of(image, buildings, int(buildings.max())), buildings)
    assert len(found[2].flatten(1).unique(dim=1).T) > 5
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert torch.equal((found != 0).any(dim=1), buildings > 0)
    some = slice(1, 3)
    torch.testing.assert_close(
        mean_colours(roofs_of(image[some], buildings[some], int(buildings.max())), buildings[some]), found[some]
    )


@pytest.mark.parametrize("bands", [(3,), (3, 0, 1), (0, 1, 2, 3, 4)])
def test_what_is_told_of_a_band_is_its_own(bands):
    """Of some bands of an image the same is seen, kept and laid out as of all of them, band by band."""
    masks = torch.cat([tensor(town(np.random.default_rng(seed))) for seed in (0, 1, 2)])
    image = torch.rand(3, 5, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    colours, condition = Colours(), masks.repeat(1, 3, 1, 1) * 2 - 1
    colours.noise_fields = (NoiseField(5), NoiseField(6), NoiseField(7))
    of_all, of_some = colours.kept(condition, image), colours.kept(condition, image[:, bands])
    torch.testing.assert_close(of_some[0], of_all[0][..., bands])
    torch.testing.assert_close(of_some[1], of_all[1][:, bands])
    torch.testing.assert_close(colours(condition, *of_some), colours(condition, *of_all)[:, bands])
    colours.noise_fields = ()
    seen = []
    for some in (image, image[:, bands]):
        torch.manual_seed(3)
        seen.append(colours.seen(condition, some, own=2))
    torch.testing.assert_close(seen[1], seen[0][:, bands])


def coloured_houses(count, seed=0):
    """An image (1, 3, H, W) of as many houses, each of one colour, on grey; its buildings, and the colours (count, 3)."""
    mask = tensor(row_of_houses(count))
    colours = images_of(1, (count, 1), seed)[0, :, :, 0].T
    image = torch.full((1, 3, *mask.shape[2:]), 0.1)
    for number, colour in enumerate(colours):
        image[..., 4:16, 4 + 16 * number : 16 + 16 * number] = colour[:, None, None]
    return image, buildings_of(mask[:, 0])[0], colours


def drawn_for(buildings, seed=0):
    return torch.rand(int(buildings.max()), generator=torch.Generator().manual_seed(seed))


def drawn_palettes(image, buildings, drawn):
    return palettes_of(image, roofs_of(image, buildings, len(drawn)), drawn)


def as_set(colours):
    return {tuple(np.round(colour, 4).tolist()) for colour in np.asarray(colours, np.float64)}


def test_a_palette_holds_colours_of_some_of_many_buildings():
    image, buildings, colours = coloured_houses(40)
    (palette,) = drawn_palettes(image, buildings, drawn_for(buildings))
    assert palette.shape == (COLOURS, 3)
    assert len(as_set(palette)) == COLOURS and as_set(palette) <= as_set(colours)
    (other,) = drawn_palettes(image, buildings, drawn_for(buildings, seed=1))
    assert as_set(other) != as_set(palette), "which ones is drawn"


@pytest.mark.parametrize("count", [1, 5, 16])
def test_a_palette_holds_the_colours_of_few_buildings_in_turn(count):
    image, buildings, colours = coloured_houses(count)
    (palette,) = drawn_palettes(image, buildings, drawn_for(buildings))
    assert as_set(palette[:count]) == as_set(colours)
    assert all(torch.equal(palette[at], palette[at % count]) for at in range(COLOURS))


def test_an_image_without_buildings_borrows_of_the_one_before_or_after_it_and_else_has_its_mean():
    image, first, colours = coloured_houses(3)
    empty, none, second = images_of(1, image.shape[2:]), torch.zeros_like(first), (first + 3) * (first > 0)
    (alone,) = drawn_palettes(empty, none, torch.zeros(0))
    torch.testing.assert_close(alone, empty.mean(dim=(2, 3)).expand(COLOURS, -1))
    brighter = image + 0.125
    buildings = torch.cat([none, first, none, second, none])
    palettes = drawn_palettes(torch.cat([empty, image, empty, brighter, empty]), buildings, torch.rand(3).repeat(2))
    assert [as_set(palette) == as_set(colours) for palette in palettes] == [True, True, True, False, False]
    torch.testing.assert_close(palettes[3], palettes[1] + 0.125)
    assert torch.equal(palettes[4], palettes[3])


def test_a_palette_of_many_buildings_prefers_none_for_its_size():
    """Small and large houses in turn: both are in palettes as often."""
    inside, image = torch.zeros(1, 1, 384, 384), torch.zeros(1, 3, 384, 384)
    for number, (row, col) in enumerate(itertools.product(range(0, 384, 32), repeat=2)):
        large = (number // 12 + number) % 2 == 0
        inside[..., row : row + (28 if large else 8), col : col + (28 if large else 8)] = 1
        image[..., row : row + 32, col : col + 32] = 1.0 if large else -1.0
    large = 0
    for seed in range(20):
        buildings, _ = buildings_of(inside[:, 0])
        large += (drawn_palettes(image, buildings, drawn_for(buildings, seed))[0, :, 0] > 0).sum().item()
    assert abs(large - 160) < 4 * (320 * 0.25) ** 0.5, "of 320, by chance 160 with a deviation of 9"


def test_a_palette_takes_no_colour_of_a_speck():
    image, buildings, colours = coloured_houses(3)
    image[..., 0:2, 20:35], buildings[:, 0:1, 20:35] = -0.9, 4
    (palette,) = drawn_palettes(image, buildings, drawn_for(buildings))
    assert as_set(palette) == as_set(colours)
    buildings[:, 1, 20] = 4
    assert len(as_set(drawn_palettes(image, buildings, drawn_for(buildings))[0])) == 4, "of 16 px"


NAMED = torch.linspace(-1, 1, 3 * COLOURS).reshape(1, COLOURS, 3)  # a palette of sixteen different colours


def entries_in(colours, palette=NAMED):
    """Which entry of its palette each colour (3, …) is."""
    apart = (colours.movedim(0, -1)[..., None, :] - palette[0]).abs().sum(dim=-1)
    assert apart.min(dim=-1).values.max() < 1e-6
    return apart.argmin(dim=-1)


def test_a_pixels_colour_is_that_of_its_entry_and_of_its_images_palette():
    entries = torch.randint(0, COLOURS + 1, (2, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    entries[:, 0] = 0
    entries[:, 1:] = entries[:, 1:].clamp(min=1)
    other = torch.cat([NAMED, NAMED.flip(1)])
    first, second = painted(other, entries)
    assert not first[:, 0].any() and not second[:, 0].any(), "outside"
    assert torch.equal(entries_in(first[:, 1:]), entries[0, 1:].long() - 1)
    assert torch.equal(entries_in(second[:, 1:], other[1:]), entries[1, 1:].long() - 1)
    assert torch.equal(painted(other[1:], entries)[1], second), "one palette for all images"


# What a generator is told


def condition_of(*masks):
    """Conditions of building masks, as the generators take them."""
    return torch.cat([tensor(mask) for mask in masks]).repeat(1, 3, 1, 1) * 2 - 1


NOTHING = torch.zeros(1, 3, 12, 12)


def placed(*fields, roofs=True, ground=False):
    colours = Colours()
    colours.noise_fields = fields
    colours.roofs, colours.ground = roofs, ground
    return colours


def by_house(told, count):
    """The colour (3, count) of each of a row of houses, from its middle."""
    return told[:, 10, 10 : 10 + 16 * count : 16]


def test_each_house_has_one_colour_of_the_palette_that_seed_and_place_name():
    mask = row_of_houses(60)
    roofs, condition = placed(NoiseField(1)), condition_of(mask)
    told = roofs(condition, NAMED, NOTHING)
    assert told.shape == condition.shape
    names = entries_in(by_house(told[0], 60))
    assert len(names.unique()) > 10, "of 16; by chance 15.7"
    for number in range(60):
        house = told[0, :, 4:16, 4 + 16 * number : 16 + 16 * number]
        assert len(house.flatten(1).unique(dim=1).T) == 1
    assert torch.equal(roofs(condition, NAMED, NOTHING), told)
    for field in (NoiseField(2), NoiseField(1, 64), NoiseField(1, 0, 400)):
        share = (entries_in(by_house(placed(field)(condition, NAMED, NOTHING)[0], 60)) == names).float().mean()
        assert share < 0.3, "by chance a sixteenth"
    moved = placed(NoiseField(1, -16, 16))(condition, NAMED, NOTHING)[0]
    onward = placed(NoiseField(1, -16, 0))(condition, NAMED, NOTHING)[0]
    assert torch.equal(entries_in(by_house(moved, 60))[:-1], entries_in(by_house(onward, 60))[1:]), "the colour lies on the ground"


def test_told_which_entry_each_pixel_has_it_asks_no_mask():
    """As scenes tell it: by the buildings of the whole, of which a window shows parts."""
    mask = town(np.random.default_rng(2), 96, longest=70)
    whole, window = Buildings.of(mask, origin=(-40, 7)), (slice(20, 84), slice(8, 72))
    entries = entries_of(torch.from_numpy(whole.numbers(3, ROOF_LAYER)))[whole.ids(Window(0, 0, 96, 96)).astype(int)][None]
    told = placed(NoiseField(3, -40, 7))(condition_of(mask), NAMED, NOTHING)
    assert torch.equal(placed()(condition_of(mask), NAMED, NOTHING, entries), told), "the network's own are the same"
    part = placed(NoiseField(3, -20, 15))(condition_of(mask[window]), NAMED, NOTHING, entries[:, *window])
    assert torch.equal(part[0], told[0][:, *window])


@pytest.mark.parametrize("seed", range(3))
def test_a_colour_ends_where_the_mask_does(seed):
    mask = town(np.random.default_rng(seed))
    told, own = (
        placed(NoiseField(0))(condition_of(mask), NAMED, NOTHING),
        placed().seen(condition_of(mask), images_of(1, (64, 64)), 1),
    )
    for roofs in (told, own):
        assert np.array_equal(roofs[0].any(dim=0).numpy(), mask)


def test_a_field_for_each_image_or_one_for_all():
    condition = condition_of(row_of_houses(20)).expand(2, -1, -1, -1)
    palettes = torch.cat([NAMED, NAMED.flip(1)])
    one, other = placed(NoiseField(1))(condition, NAMED, NOTHING), placed(NoiseField(2))(condition, NAMED, NOTHING)
    assert torch.equal(one[0], one[1])
    both = placed(NoiseField(1), NoiseField(2))(condition, NAMED, NOTHING)
    assert torch.equal(both[0], one[0]) and torch.equal(both[1], other[1]) and not torch.equal(both[0], both[1])
    names = entries_in(by_house(placed(NoiseField(1))(condition, palettes, NOTHING)[1], 20), palettes[1:])
    assert torch.equal(names, entries_in(by_house(one[1], 20))), "and a palette for each image or one for all"


def test_without_a_seed_torch_draws():
    roofs, condition = placed(), condition_of(row_of_houses(30)).expand(2, -1, -1, -1)
    torch.manual_seed(0)
    told = roofs(condition, NAMED, NOTHING)
    assert not torch.equal(told[0], told[1])
    assert not torch.equal(roofs(condition, NAMED, NOTHING), told)
    torch.manual_seed(0)
    assert torch.equal(roofs(condition, NAMED, NOTHING), told)


def test_bfloat16_autocast_changes_no_colour():
    colours = placed(NoiseField(3), ground=True)
    condition, image = condition_of(town(np.random.default_rng(1))), images_of(1, (64, 64))
    plain = colours(condition, NAMED, GROUND), *colours.kept(condition, image), colours.seen(condition, image, 1)
    with torch.autocast("cpu", torch.bfloat16):
        rough = colours(condition, NAMED, GROUND), *colours.kept(condition, image), colours.seen(condition, image, 1)
    for one, other in zip(plain, rough, strict=True):
        assert one.abs().sum() > 0 and other.dtype == torch.float32
        assert torch.equal(one, other)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_in_training_the_first_have_their_own_colours_and_the_others_those_of_the_first(count):
    own, houses = count - count // 2, 20
    pictures = [coloured_houses(houses, seed)[0::2] for seed in range(count)]
    image, colours = torch.cat([image for image, _ in pictures]), [colours for _, colours in pictures]
    told = placed().seen(condition_of(*[row_of_houses(houses)] * count), image, own)
    assert told.shape == image.shape
    for number in range(own):
        torch.testing.assert_close(by_house(told[number], houses).T, colours[number], atol=1e-5, rtol=0)
    for number in range(own, count):
        found = as_set(by_house(told[number], houses).T)
        assert found <= as_set(colours[number - own]) and 5 < len(found) <= COLOURS
    assert not told[:, :, ~row_of_houses(houses)].any()


def test_in_training_own_colours_are_means_of_what_is_seen():
    mask, image = row_of_houses(3), images_of(1, (20, 52))
    (told,) = placed().seen(condition_of(mask), image, 1)
    for left in (4, 20, 36):
        house = slice(4, 16), slice(left, left + 12)
        torch.testing.assert_close(told[:, *house], image[0][:, *house].mean(dim=(1, 2), keepdim=True).expand(3, 12, 12))


def test_where_no_class_is_building_nothing_is_told():
    colours, condition, image = placed(NoiseField(0), ground=True), condition_of(*[row_of_houses(5)] * 2), images_of(2, (20, 84))
    assert colours.follows_buildings
    colours.building = None
    assert not colours.follows_buildings
    assert torch.equal(colours(condition, NAMED, GROUND), torch.zeros(2, 3, 20, 84))
    assert torch.equal(colours.seen(condition, image, 1), torch.zeros(2, 3, 20, 84))
    torch.testing.assert_close(colours.kept(condition, image)[0], image.mean(dim=(2, 3))[:, None].expand(-1, COLOURS, -1))


def test_of_several_classes_one_is_building():
    mask = row_of_houses(5)
    condition = torch.cat([tensor(~mask), tensor(mask), torch.zeros(1, 1, *mask.shape)], dim=1) * 2 - 1
    roofs = placed(NoiseField(0))
    roofs.building = 1
    assert torch.equal(roofs(condition, NAMED, NOTHING), placed(NoiseField(0))(condition_of(mask), NAMED, NOTHING))
    roofs.building = 2
    assert not roofs(condition, NAMED, NOTHING).any()


# The ground


GROUND = torch.linspace(-1, 1, 3 * 12 * 12).reshape(1, 3, 12, 12)  # each cell of another colour


def told_ground(mask, ground, *fields, roofs=None):
    colours = placed(*fields, roofs=roofs is not None, ground=True)
    return colours(condition_of(mask), NAMED if roofs is None else roofs, ground)[0]


@pytest.mark.parametrize("seed", range(3))
def test_roofs_and_ground_are_told_side_by_side(seed):
    mask = town(np.random.default_rng(seed), 96)
    condition, field = condition_of(mask), NoiseField(seed)
    both, roofs, ground = (
        placed(field, roofs=of_roofs, ground=of_ground)(condition, NAMED, GROUND)[0]
        for of_roofs, of_ground in ((True, True), (True, False), (False, True))
    )
    assert torch.equal(both, roofs + ground)
    assert roofs[:, mask].any() and not roofs[:, ~mask].any()
    assert ground[:, ~mask].all() and not ground[:, mask].any()
    assert not placed(field, roofs=False)(condition, NAMED, GROUND).any()
    assert placed(field).follows_buildings and not placed(field, roofs=False, ground=True).follows_buildings


def test_ground_is_blended_between_the_middles_of_its_cells():
    """Of the plane that ``laid`` makes, of a layer of noise of its own."""
    told = told_ground(np.zeros((96, 160), bool), GROUND, NoiseField(5, 32, -16))
    hop = 12 - OVERLAP
    turned = NoiseField(5, 1 // hop - 1, -2 // hop - 1).uniform(2**21 + 1, torch.Size((1, 1, 4, 4)), 1, told.device)
    plane = laid(GROUND, turned, 1, -2, 8, 12, overlap=OVERLAP)[0].numpy()  # a cell more on each side
    middles = [(np.arange(-1, count + 1) + 0.5) * GROUND_CELL for count in (6, 10)]
    for band, cells in zip(told.numpy(), plane, strict=True):
        across = np.stack([np.interp(np.arange(160) + 0.5, middles[1], line) for line in cells])
        expected = np.stack([np.interp(np.arange(96) + 0.5, middles[0], line) for line in across.T], axis=1)
        np.testing.assert_allclose(band, expected, atol=1e-5)


def test_ground_lies_on_the_plane_and_is_turned_by_the_seed():
    mask = town(np.random.default_rng(1), 320, houses=20)
    whole = told_ground(mask, GROUND, NoiseField(3, -64, 48))
    for row, col in ((0, 0), (16, 208), (160, 32)):
        window = told_ground(mask[row : row + 112, col : col + 112], GROUND, NoiseField(3, -64 + row, 48 + col))
        torch.testing.assert_close(window, whole[:, row : row + 112, col : col + 112])
    other = told_ground(mask, GROUND, NoiseField(4, -64, 48))
    open_ground = ~mask
    assert ((other - whole).abs().amax(dim=0).numpy() > 0.01)[open_ground].mean() > 0.7, "by chance one in eight is alike"
    both = placed(NoiseField(3), NoiseField(4), ground=True)(condition_of(mask, mask), NAMED, GROUND)
    torch.testing.assert_close(both[1], told_ground(mask, GROUND, NoiseField(4), roofs=NAMED))


def test_without_a_seed_torch_turns_the_ground():
    colours, condition = placed(ground=True), condition_of(*[np.zeros((64, 64), bool)] * 2)
    torch.manual_seed(0)
    told = colours(condition, NAMED, GROUND)
    assert not torch.equal(told[0], told[1]) and not torch.equal(colours(condition, NAMED, GROUND), told)
    torch.manual_seed(0)
    assert torch.equal(colours(condition, NAMED, GROUND), told)


def test_in_training_the_first_have_their_own_ground_and_the_others_that_of_the_first():
    """A meadow beside sand, and a lake: in whose place the first's ground is laid, turned."""
    image = torch.full((2, 3, 160, 160), -0.5)
    image[0, :, :, 80:] = 0.5
    image[1] = 0.0
    mask = np.zeros((160, 160), bool)
    mask[40:60, 70:90] = True
    own, lent = placed(ground=True).seen(condition_of(mask, ~mask), image, 1)
    torch.testing.assert_close(own[:, ~mask & (np.arange(160) < 64)], torch.tensor(-0.5).expand(3, 160 * 64))
    torch.testing.assert_close(own[:, ~mask & (np.arange(160) >= 96)], torch.tensor(0.5).expand(3, 160 * 64))
    assert lent[:, mask].any() and lent[:, mask].abs().max() <= 0.5
    (whole,) = placed(ground=True).seen(condition_of(np.zeros((160, 160), bool), mask & ~mask), image, 1)[1:]
    assert whole.min() == -0.5 and whole.max() == 0.5 and whole.mean().abs() < 0.15, "half meadow, half sand"


def test_what_is_kept_is_the_colours_of_roofs_and_the_middle_of_the_ground():
    masks = [town(np.random.default_rng(seed), 288) for seed in (0, 1)]
    image, colours = images_of(2, (288, 288)), placed(NoiseField(0))
    roofs, ground = colours.kept(condition_of(*masks), image)
    assert ground.shape == (2, 3, GROUND_SIDE, GROUND_SIDE)
    building = torch.cat([tensor(mask) for mask in masks])
    assert torch.equal(ground, middle_of(ground_of(image, building)))
    buildings, first = buildings_of(building[:, 0])
    drawn = NoiseField(0).at(ROOF_LAYER, first[:, 1], first[:, 2])
    assert torch.equal(roofs, drawn_palettes(image, buildings, drawn))
