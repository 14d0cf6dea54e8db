"""A generator out of a checkpoint: masks of any size to images, the seed, the style, and weights that do not fit."""

import copy
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from orthoforge.checkpoint_files import load_checkpoint, save_checkpoint
from orthoforge.checkpoints import MODEL, STATE
from orthoforge.config import Recipe
from orthoforge.errors import CheckpointError, ConfigError, DataError, ResourceError
from orthoforge.geo.grid import Window
from orthoforge.masks.classes import Classes
from orthoforge.models.conditions import decode_image, encode_image, encode_mask, pad_to_stride
from orthoforge.models.noise import NoiseField, place_noise
from orthoforge.models.styles import bank_of
from orthoforge.trained_generator import load_generator
from saved_runs import RECIPE, save_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    save_run(folder)
    return folder


@pytest.fixture(scope="module")
def generator(run):
    return load_generator(run)


def some_mask(height, width):
    return np.random.default_rng(height * width).random((height, width)) > 0.6


def test_it_knows_what_it_is(run, generator):
    assert generator.recipe == RECIPE
    assert (generator.step, generator.gsd_m, generator.classes) == (1, 0.3, None)
    assert generator.attribution == "© Survey"
    assert generator.sha256 == json.loads((run / "weights/last" / STATE).read_text())["checksums"][MODEL]
    assert load_generator(run / "weights" / "last").sha256 == generator.sha256


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 3), (7, 8), (8, 8), (37, 53), (64, 64)])
def test_a_mask_of_any_size_is_padded_and_the_image_cropped_back(size, generator):
    height, width = size
    mask = some_mask(height, width)
    grow = [(0, max(8, -(-side // 4) * 4) - side) for side in size]
    mode = "reflect" if all(after < side for (_, after), side in zip(grow, size, strict=True)) else "edge"
    padded = np.pad(mask.astype(np.uint8) * 255, grow, mode=mode)
    with torch.inference_mode():
        expected = decode_image(generator.network(encode_mask(torch.from_numpy(padded)[None], None)))[0].numpy()
    image = generator(mask)
    assert image.shape == (height, width, 3)
    assert image.dtype == np.uint8
    np.testing.assert_allclose(image.astype(int), expected[:height, :width], atol=1)


def test_a_size_that_fits_the_network_is_not_padded(generator):
    assert pad_to_stride(masks := some_mask(8, 12)[None], 4, 8) is masks
    assert pad_to_stride(masks, 4, 12).shape == (1, 12, 12)


def test_bool_0_1_and_0_255_masks_give_the_same_image_each_time(generator):
    mask = some_mask(20, 30)
    image = generator(mask)
    assert image.std() > 0
    for same in (mask, mask.astype(np.uint8), mask * np.uint8(255), np.asfortranarray(mask)):
        np.testing.assert_array_equal(generator(same, seed=1), image)
    assert not np.array_equal(generator(~mask), image)


def test_generating_leaves_the_global_random_stream_alone(generator):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    generator(some_mask(8, 8), seed=5)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.array([[0, 1, 37]], np.uint8), r"holds 0 and 1, or 0 and 255; this one also has \[1, 37\]"),
        (np.zeros((4, 4, 1), np.uint8), r"shape \(height, width\); this one has \(4, 4, 1\)"),
        (np.zeros(4, np.uint8), r"this one has \(4,\)"),
        (np.zeros((0, 4), np.uint8), r"this one has \(0, 4\)"),
        (np.zeros((4, 4), np.float32), "bool or holds whole numbers; this one is float32"),
        (np.full((4, 4), -1, np.int64), r"also has \[-1\]"),
    ],
)
def test_what_is_no_mask_is_refused_by_name(mask, message, generator):
    with pytest.raises(DataError, match=message):
        generator(mask)


@pytest.mark.parametrize("part", [np.s_[:, :], np.s_[3:, :-2], np.s_[-9:, 5:400], np.s_[:4, None:7]])
def test_a_part_is_given_as_slices_are(part, generator, styled):
    mask = some_mask(40, 52)
    for one in (generator, styled):
        whole = one(mask)
        assert np.abs(one(mask, part=part).astype(int) - whole[part]).max() <= 1


@pytest.mark.parametrize("part", [np.s_[::2, :], np.s_[:, ::-1], np.s_[5:5, :], np.s_[:, 9:4], np.s_[60:, :]])
def test_a_part_with_gaps_or_without_pixels_is_refused(part, generator):
    with pytest.raises(DataError, match=r"a part of a mask of \(40, 52\) is two slices with step 1 that hold a pixel; this one is"):
        generator(some_mask(40, 52), part=part)


def test_too_little_memory_is_said_of_what_is_generated(generator, styled, monkeypatch):
    def full(*_args, **_options):
        raise torch.OutOfMemoryError

    mask, part = some_mask(1000, 40), np.s_[500:501, :]
    side = 2 * styled.reach_px + 1
    for one, height in ((generator, range(1000, 1001)), (styled, range(side, side + 2 * styled.stride_px))):
        monkeypatch.setattr(one.network, "forward", full)
        with pytest.raises(ResourceError, match=r"generating 40×(\d+) px needs more memory than cpu has left") as raised:
            one(mask, part=part)
        assert int(re.search(r"×(\d+)", str(raised.value))[1]) in height


def test_classes_are_indices(tmp_path):
    save_run(tmp_path, classes=["ground", "roof", "water"])
    generator = load_generator(tmp_path)
    assert generator.classes == Classes(("ground", "roof", "water"), (((0, 0, 0),), ((1, 0, 0),), ((2, 0, 0),)))
    images = [generator(np.full((8, 8), index, np.uint8)) for index in range(3)]
    assert not np.array_equal(images[1], images[2])
    with pytest.raises(DataError, match=r"knows 3 classes \(0 to 2\); the mask has 3"):
        generator(np.full((8, 8), 3, np.uint8))


def swap_recipe(folder: Path, **changes):
    """Write the checkpoint anew, its checksums right, as another program would."""
    checkpoint = load_checkpoint(folder)
    state = {name: checkpoint.state.part(name) for name in ("progress", "tiles")}
    state = {**state, "recipe": checkpoint.state.recipe | changes.pop("recipe", {})}
    state["tiles"] = state["tiles"] | changes
    save_checkpoint(folder, model=checkpoint.model, train=checkpoint.train, state=state)


@pytest.mark.parametrize("generator", ["resnet6", "modulated"])
def test_weights_of_another_mask_are_named_by_their_channels(tmp_path, generator):
    last = save_run(tmp_path, replace(RECIPE, generator=generator))
    swap_recipe(last, classes={"names": list("abcde"), "colours": [[[0, 0, i]] for i in range(5)]})
    with pytest.raises(CheckpointError, match="generator expects 5 mask channels, file has 3"):
        load_generator(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator_width": 8}, r"stem\.1\.weight is \(8, 3, 7, 7\) in the network and \(4, 3, 7, 7\) in the file"),
        ({"generator": "resunet9"}, r"is missing from the file; the recipes differ"),
        ({"norm": "batch"}, r"is (missing from|only in) the file; the recipes differ"),
        ({"generator": "resnet6"}, r"up2\.\d\.weight is \(8, 16, 3, 3\) in the network and \(8, 32, 3, 3\) in the file"),
        ({"paint": "red"}, "unknown `paint`. It was written by another version of orthoforge"),
    ],
)
def test_weights_that_do_not_fit_their_recipe(changes, message, tmp_path):
    last = save_run(tmp_path)
    swap_recipe(last, recipe=changes)
    with pytest.raises(CheckpointError, match=message):
        load_generator(tmp_path)


# Styles

STYLED = Recipe(name="styled", generator="modulated", generator_width=2, crop_px=32)
PLACES = ["arden", "brennau", "cleve"]


@pytest.fixture(scope="module")
def styled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("styled")
    save_run(folder, STYLED, places=PLACES)
    return load_generator(folder)


def images(generator):
    return np.stack([generator(some_mask(32, 32), seed=seed) for seed in range(4)])


def style_of(generator, seed=0):
    """The code and the palettes that a seed chooses."""
    place_noise(generator.network, NoiseField(seed))
    return tuple(part[0] for part in bank_of(generator.network)(1))


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (16, 64), (33, 32), (100, 31)])
def test_a_mask_that_is_smaller_than_the_network_takes_is_padded(size, styled):
    height, width = size
    grow = [(0, max(32, -(-side // 16) * 16) - side) for side in size]
    mode = "reflect" if all(after < side for (_, after), side in zip(grow, size, strict=True)) else "edge"
    mask = some_mask(*size)
    image, padded = styled(mask), np.pad(mask, grow, mode=mode)
    assert image.shape == (*size, 3)

    def read(window):
        return mask[window.slices]

    buildings = styled.buildings_of(read, height, width)
    roofs = styled.teller(buildings, 0, read)(Window(0, 0, height, width)).values  # a mirrored roof has its own's colour
    np.testing.assert_array_equal(image, styled(padded, told=np.pad(roofs, grow, mode=mode))[:height, :width])


def test_its_styles_are_its_places_and_without_asking_the_seed_chooses_among_all(styled, generator):
    assert styled.styles == tuple(PLACES)
    assert generator.styles == ()
    assert styled.is_noisy and not generator.is_noisy
    assert {int(style_of(styled, seed)[0][0]) for seed in range(30)} == {0, 1, 2}, "codes of a place begin with its number"
    np.testing.assert_array_equal(images(styled), images(styled))
    assert len(np.unique(images(styled), axis=0)) == 4


@pytest.mark.parametrize("number", range(3))
def test_a_place_by_name_gives_looks_of_that_place(number, styled):
    of_place = styled.with_style(PLACES[number])
    codes, *palettes = map(torch.stack, zip(*(style_of(of_place, seed) for seed in range(30)), strict=True))
    assert set(codes[:, 0].int().tolist()) == {number}
    assert len(codes.unique(dim=0)) == len(palettes[0].unique(dim=0)) > 15, "which of them, the seed says"
    bank = bank_of(styled.network)
    for roofs, ground in zip(*palettes, strict=True):
        alike = (bank.roofs[number] == roofs).all(dim=(1, 2)) & (bank.ground[number] == ground.flatten()).all(dim=1)
        assert alike.any()
    assert of_place.styles == styled.styles


def test_a_style_is_a_copys_and_none_takes_it_back(styled):
    before = images(styled)
    first = styled.with_style("arden")
    second = first.with_style("cleve")
    reference = np.full((32, 32, 3), 200, np.uint8)
    for styled_so in (first, second, first.with_style(reference)):
        assert not np.array_equal(images(styled_so), before)
        np.testing.assert_array_equal(images(styled_so.with_style(None)), before)
    assert not np.array_equal(images(first), images(second))
    np.testing.assert_array_equal(images(first.with_style(reference)), images(styled.with_style(reference)))
    np.testing.assert_array_equal(images(styled), before)
    np.testing.assert_array_equal(images(first), images(styled.with_style("arden")))


def test_a_reference_image_is_one_style_whatever_the_seed(styled):
    reference = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    like = styled.with_style(reference)
    with torch.inference_mode():
        expected = like.network.style_encoder(encode_image(torch.from_numpy(reference[None])))[0]
    bank = bank_of(styled.network)
    nearest = (bank.codes.flatten(0, 1) - expected).norm(dim=1).argmin()
    for code, roofs, ground in (style_of(like, seed) for seed in range(5)):
        assert torch.equal(code, expected)
        assert torch.equal(roofs, bank.roofs.flatten(0, 1)[nearest])
        assert torch.equal(ground.flatten(), bank.ground.flatten(0, 1)[nearest])
    assert len(np.unique(images(like), axis=0)) == 4, "the seed still decides the noise"
    np.testing.assert_array_equal(images(like), images(styled.with_style(np.asfortranarray(reference))))
    darker = styled.with_style(reference // 4)
    assert not np.array_equal(images(darker), images(like))


def test_with_its_mask_a_reference_image_has_its_own_roofs_and_ground(styled):
    mask = np.zeros((64, 80), np.uint8)
    mask[8:24, 10:30] = mask[36:52, 40:70] = 255
    reference = np.where(mask[..., None] > 0, (200, 40, 60), (30, 120, 220)).astype(np.uint8)
    own, plain = styled.with_style(reference, mask=mask), styled.with_style(reference)
    code, roofs, ground = style_of(own)
    assert torch.equal(code, style_of(plain)[0])
    expected = torch.tensor([[200, 40, 60], [30, 120, 220]]) / 127.5 - 1
    torch.testing.assert_close(roofs, expected[0].expand_as(roofs), atol=0.02, rtol=0)
    torch.testing.assert_close(ground.flatten(1).mean(dim=1), expected[1], atol=0.02, rtol=0)
    assert not np.array_equal(images(own), images(plain))
    np.testing.assert_array_equal(images(own), images(styled.with_style(reference, mask=mask > 0)))
    other = styled.with_style(reference, mask=255 - mask)
    names = {generator.own_style for generator in (own, plain, other, styled.with_style(reference, mask=mask))}
    assert len(names) == 3, "the same style each time, and another for another mask"


def test_a_mask_that_says_nothing_of_a_style_is_refused(styled):
    reference, mask = np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40), np.uint8)
    with pytest.raises(DataError, match=r"mask of a reference image is \(40, 39\)"):
        styled.with_style(reference, mask=mask[:, :39])
    with pytest.raises(ConfigError, match="a mask belongs to a reference image"):
        styled.with_style("arden", mask=mask)
    with pytest.raises(ConfigError, match="give tiles of the image"):
        load_generator("orthoforge-material").with_style(reference, mask=mask)


def test_a_style_goes_along_to_another_device_and_over_a_scene(styled):
    of_place = styled.with_style("brennau")
    np.testing.assert_array_equal(images(of_place.to("cpu")), images(of_place))
    np.testing.assert_array_equal(images(of_place.for_scene([some_mask(32, 32)])), images(of_place))


def test_every_window_of_a_scene_has_one_style(styled):
    looks = [(styled(some_mask(32, 32), seed=4, origin=origin), bank_of(styled.network)(1)) for origin in ((0, 0), (640, 320))]
    assert all(map(torch.equal, looks[0][1], looks[1][1]))
    assert not np.array_equal(looks[0][0], looks[1][0]), "the noise is that of the place"


def colours_of_houses(generator, seed, **place):
    """The mean colour (9, 3) of each of nine like houses."""
    rows = np.arange(96) % 32 < 20
    image = generator(rows[:, None] & rows, seed=seed, **place)
    return image.reshape(3, 32, 3, 32, 3)[:, 4:16, :, 4:16].mean(axis=(1, 3)).reshape(9, 3)


def of_strong_colours(generator, kind="roofs"):
    """One whose roofs, or ground, are as their colours say, black or white, and the same everywhere in other respects."""
    network = generator.with_style("arden").network
    bank = bank_of(network)
    for name in ("roofs", "ground"):
        part = getattr(bank, name)
        drawn = torch.randn(part.shape[1:], generator=torch.Generator().manual_seed(0)).sign()
        part.copy_(8 * (drawn[..., :1].expand_as(drawn) if name == "roofs" else drawn) * (name == kind))
    network.head.weight.data.zero_()
    network.head.bias.data.zero_()
    painted = copy.copy(generator)
    painted.network = network
    return painted


def test_a_seed_paints_like_houses_unlike_and_another_seed_paints_them_anew(tmp_path):
    save_run(tmp_path, STYLED, places=PLACES)
    generator = of_strong_colours(load_generator(tmp_path))
    first, again, other = (colours_of_houses(generator, seed) for seed in (0, 0, 1))
    assert set(np.unique(first)) == {0, 255}, "some are black and some are white"
    np.testing.assert_array_equal(again, first)
    assert not np.array_equal(other, first)
    onward = colours_of_houses(generator, 0, origin=(0, 32))
    np.testing.assert_array_equal(onward.reshape(3, 3, 3)[:, :-1], first.reshape(3, 3, 3)[:, 1:])


def test_classes_without_buildings_have_no_roofs_and_one_called_building_has(tmp_path):
    labels = (np.arange(96) % 32 < 20)[:, None] & (np.arange(96) % 32 < 20)
    for names, painted in ((["ground", "roof"], False), (["Building", "ground"], False), (["ground", "Building"], True)):
        folder = tmp_path / "-".join(names)
        save_run(folder, STYLED, places=PLACES, classes=names)
        image = of_strong_colours(load_generator(folder))(labels.astype(np.uint8))
        assert (set(np.unique(image[labels])) == {0, 255}) == painted
        assert (set(np.unique(image[~labels])) == {128}) == (names[0] != "Building")


def test_a_seed_paints_the_ground_and_it_stays_where_it_is(tmp_path):
    save_run(tmp_path, STYLED, places=PLACES)
    generator, mask = of_strong_colours(load_generator(tmp_path), "ground"), np.zeros((128, 128), bool)
    first = generator(mask, seed=0)
    assert {0, 255} <= set(np.unique(first)), "black and white patches, and what lies between them"
    np.testing.assert_array_equal(generator(mask, seed=0), first)
    assert not np.array_equal(generator(mask, seed=1), first)
    onward = generator(np.zeros((128, 256), bool), seed=0, origin=(0, -64))
    np.testing.assert_array_equal(onward[64:, 128:160], generator(np.zeros((128, 192), bool), seed=0)[64:, 64:96])


@pytest.mark.parametrize("kind", ["roofs", "ground"])
def test_a_recipe_without_colours_has_none(kind, tmp_path):
    save_run(tmp_path, replace(STYLED, **{f"{kind.removesuffix('s')}_colours": False}), places=PLACES)
    assert len(np.unique(colours_of_houses(of_strong_colours(load_generator(tmp_path), kind), 0))) == 1


@pytest.mark.parametrize(
    ("style", "error", "message"),
    [
        ("ardenne", ConfigError, r"no style 'ardenne' in this run; it knows arden, brennau, cleve\."),
        ("", ConfigError, "no style ''"),
        (np.zeros((64, 64), np.uint8), DataError, r"32 px or more; this one is uint8 \(64, 64\)"),
        (np.zeros((64, 64, 4), np.uint8), DataError, r"uint8 \(64, 64, 4\)"),
        (np.zeros((64, 64, 3), np.float32), DataError, r"float32 \(64, 64, 3\)"),
        (np.zeros((31, 64, 3), np.uint8), DataError, r"uint8 \(31, 64, 3\)"),
    ],
    ids=lambda value: None if isinstance(value, type) else str(getattr(value, "shape", value)),
)
def test_a_style_that_cannot_be_had_is_refused(style, error, message, styled):
    with pytest.raises(error, match=message):
        styled.with_style(style)


@pytest.mark.parametrize("style", ["arden", None, np.zeros((64, 64, 3), np.uint8)], ids=["name", "none", "image"])
def test_a_network_without_styles_says_which_have_them(style, generator):
    with pytest.raises(ConfigError, match="the network of small has no styles; those of orthoforge-s and orthoforge-m do"):
        generator.with_style(style)


# Checkpoints from before


NEW_FIELDS = ("balance", "lambda_colour", "roof_colours", "ground_colours")


def test_a_checkpoint_from_before_there_were_styles_and_their_fields_loads_and_makes_the_same(tmp_path):
    last = save_run(tmp_path)
    expected = load_generator(tmp_path)(some_mask(20, 30))
    checkpoint = load_checkpoint(last)
    recipe = {name: value for name, value in checkpoint.state.recipe.items() if name not in NEW_FIELDS}
    assert len(recipe) == len(checkpoint.state.recipe) - len(NEW_FIELDS)
    assert "places" not in checkpoint.state.part("tiles")
    state = {"progress": checkpoint.state.part("progress"), "tiles": checkpoint.state.part("tiles"), "recipe": recipe}
    save_checkpoint(last, model=checkpoint.model, train=checkpoint.train, state=state)
    old = load_generator(tmp_path)
    assert (old.recipe, old.styles) == (RECIPE, ())
    np.testing.assert_array_equal(old(some_mask(20, 30)), expected)


def test_a_bank_that_is_not_of_these_places_is_refused(tmp_path):
    last = save_run(tmp_path, STYLED, places=PLACES)
    swap_recipe(last, places=PLACES[:2])
    with pytest.raises(CheckpointError, match=r"styles\.codes is \(2, 64, 16\) in the network and \(3, 64, 16\) in the file"):
        load_generator(tmp_path)
