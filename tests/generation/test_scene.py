"""A scene out of blocks is the scene in one piece, wherever the blocks begin."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from conftest import UTM, examples, make_mask
from orthoforge.config import Recipe
from orthoforge.errors import ConfigError, ResourceError
from orthoforge.generation import scene as scenes
from orthoforge.generation.scene import (
    Scene,
    block_side_px,
    blocks_of,
    place_of_name,
    require_overlap,
    sample_windows,
    with_margin,
)
from orthoforge.geo.grid import Grid, Window
from orthoforge.masks.resampled import ResampledMask
from orthoforge.models.modulated import MARGIN
from orthoforge.models.styles import bank_of
from orthoforge.trained_generator import load_generator
from saved_runs import save_run


class ArrayMask:
    """A mask in memory, at a place that is no multiple of anything."""

    def __init__(self, mask, gsd_m=0.3, origin=(1003, 2005)):
        row, col = origin
        self.mask, self.identity = mask, ""
        self.grid = Grid(*mask.shape, Affine(gsd_m, 0, col * gsd_m, 0, -gsd_m, -row * gsd_m), UTM)

    def read(self, window):
        return self.mask[window.slices], None

    def valid(self, window):
        return None


@pytest.fixture(scope="module")
def generators(tmp_path_factory):
    """Untrained networks with weights that let every layer count."""
    made = {}

    def get(name, norm):
        if (name, norm) not in made:
            folder = tmp_path_factory.mktemp(f"{name}-{norm}")
            recipe = Recipe(name="small", generator=name, generator_width=2, norm=norm, upsample="resize")
            save_run(folder, recipe, places=("aba", "oro") if name == "modulated" else None)
            generator = load_generator(folder)
            for parameter in generator.network.parameters():
                if parameter.ndim == 4 and parameter.shape[0] > 1:  # not what noise is weighted by
                    parameter.mul_((2 / parameter[0].numel()) ** 0.5 / parameter.std())
            made[name, norm] = generator
        return made[name, norm]

    return get


def out_of(scene, windows):
    grid = scene.delivered.grid
    image = np.full((grid.height, grid.width, 3), 77, np.uint8)
    for window in windows:
        image[window.slices] = scene.block(window)[0]
    return image


def moved(windows, by, grid):
    """The windows of a grid of blocks that begins ``by`` pixels earlier, as far as they lie in the scene."""
    for window in windows:
        row, col = max(0, window.row - by), max(0, window.col - by)
        bottom, right = min(grid.height, window.row + window.height - by), min(grid.width, window.col + window.width - by)
        if bottom > row and right > col:
            yield Window(row, col, bottom - row, right - col)


@pytest.mark.parametrize(
    ("name", "shape", "side", "norm"),
    [
        *(("resnet6", (300, 417), 100, norm) for norm in ("batch", "instance", "group")),
        *(("unet256", (256, 1800), 600, norm) for norm in ("batch", "instance", "group")),
        ("modulated", (240, 620), 200, "group"),
    ],
)
def test_blocks_are_the_scene_in_one_piece_wherever_they_begin(generators, monkeypatch, name, shape, side, norm):
    monkeypatch.setattr(scenes, "SAMPLE_PX", 4 * 256**2)  # the scene is larger: its statistics are sampled
    mask = ArrayMask(make_mask(shape))
    mask.mask[:, shape[1] // 2 :] = 0  # half of it is empty: tiles of their own statistics would differ
    scene = Scene(generators(name, norm), mask, mask, seed=4)
    whole = scene.sampled(mask.mask, seed=4, origin=scene.origin)
    assert whole.std() > 5
    larger = Grid(shape[0] + side, shape[1] + side)
    for by in (0, 7, 64):
        image = out_of(scene, moved(blocks_of(larger, side), by, mask.grid))
        assert np.abs(image.astype(int) - whole).max() <= 1, by


def paint(generator):
    """Roofs and ground that are as black or as white as their palettes say, and nothing else."""
    network = generator.with_style(None).network
    for part in (bank_of(network).roofs, bank_of(network).ground):
        part.copy_(8 * torch.randn(part.shape[1:], generator=torch.Generator().manual_seed(0)).sign())
    network.head.weight.data = torch.zeros_like(network.head.weight)
    network.head.bias.data = torch.zeros_like(network.head.bias)
    painted = copy.copy(generator)
    painted.network = network
    return painted


def test_roofs_and_ground_meet_across_blocks_and_a_new_seed_paints_them_anew(generators):
    """Houses, streets through all blocks, and a perimeter block of 300 px around its courtyard."""
    generator = paint(generators("modulated", "group"))
    mask = make_mask((240, 620))
    mask[101:105] = mask[:, 401:410] = 255
    mask[115:235, 55:375] = 0
    mask[120:230, 60:360], mask[140:210, 80:340] = 255, 0
    asked = ArrayMask(mask)
    scene = Scene(generator, asked, asked, seed=0)
    images = [generator(mask, seed=seed, origin=scene.origin) for seed in (0, 1)]
    assert set(np.unique(images[0][mask > 0])) == {0, 255}
    assert {0, 255} <= set(np.unique(images[0][mask == 0]))
    for by in (0, 7):
        windows = list(moved(blocks_of(Grid(440, 820), 200), by, asked.grid))
        image = out_of(scene, windows)
        np.testing.assert_array_equal(image[mask > 0], images[0][mask > 0])
        assert np.abs(image.astype(int) - images[0]).max() <= 1
    narrow = out_of(Scene(generator, asked, asked, seed=0, overlap_px=32), windows)
    np.testing.assert_array_equal(narrow[mask > 0], images[0][mask > 0], "which pixels are one building is no matter of margins")
    for image in images:
        roof = image[120:230, 60:360][mask[120:230, 60:360] > 0]
        assert len(np.unique(roof, axis=0)) == 1
    for there in (mask > 0, mask == 0):
        changed = (np.abs(images[0].astype(int) - images[1]) > 100)[there].mean()
        assert 0.2 < changed < 0.8, "by chance a half"


@examples(0.2)
@given(st.data())
def test_a_part_is_that_of_the_whole_though_less_is_made(generators, data):
    """A hall reaches from beyond what is looked at into the part; noise and stride count from the whole's first pixel."""
    generator = generators("modulated", "group")
    mask = make_mask((700, 60))
    mask[150:500, 10:50] = 255
    whole = generator(mask, seed=2, origin=(5, 9))
    row, col = data.draw(st.integers(0, 690)), data.draw(st.integers(0, 50))
    part = slice(row, data.draw(st.integers(row + 1, 700))), slice(col, data.draw(st.integers(col + 1, 60)))
    made = generator(mask, seed=2, origin=(5, 9), part=part)
    assert np.abs(made.astype(int) - whole[part]).max() <= 1


def test_of_a_part_no_more_is_made_than_it_looks_at(generators):
    generator = generators("modulated", "group")
    seen = []
    hook = generator.network.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[2]))
    generator(make_mask((1000, 40)), part=(slice(500, 501), slice(0, 40)))
    hook.remove()
    assert seen[0] <= 2 * generator.reach_px + 1 + 2 * generator.stride_px + 2 * MARGIN


def test_a_scene_that_is_one_building_all_over_has_one_roof(generators):
    """20 000 px wide, by a mask that is nowhere in memory as a whole: blocks from both ends, and one in the middle."""

    class Everywhere(ArrayMask):
        def read(self, window):
            return np.full((window.height, window.width), 255, np.uint8), None

    generator = paint(generators("modulated", "group"))
    mask = Everywhere(np.zeros((1, 1), np.uint8))
    mask.grid = Grid(64, 20_000, mask.grid.transform, mask.grid.crs)
    colours = set()
    for seed in range(6):
        scene = Scene(generator, mask, mask, seed=seed)
        made = [scene.block(Window(0, col, 64, 32))[0] for col in (0, 10_001, 19_968)]
        (colour,) = np.unique(np.concatenate(made).reshape(-1, 3), axis=0)
        colours.add(tuple(colour.tolist()))
    assert len(colours) > 1, "another seed, another colour"


@pytest.mark.parametrize("classes", [None, ["ground", "water", "building"]])
def test_a_blocks_roofs_are_told_by_the_buildings_of_the_scene(tmp_path, classes):
    """Resampled masks and class masks too: of these the class called building."""
    recipe = Recipe(name="small", generator="modulated", generator_width=2)
    save_run(tmp_path, recipe, places=("aba",), classes=classes)
    generator = paint(load_generator(tmp_path))
    mask = np.zeros((24, 200), np.uint8)
    mask[2:22, 2:198] = 255 if classes is None else 2
    mask[8:16, 8:192] = 0 if classes is None else 1
    coarse = ArrayMask(mask, gsd_m=0.6)
    fine = ResampledMask(coarse, coarse.grid.resized(48, 400), classes=classes is not None)
    seen = fine.read(Window(0, 0, 48, 400))[0] == mask.max()
    for seed in range(2):
        scene = Scene(generator, fine, fine, seed=seed)
        assert len(scene.buildings) == 1
        image = out_of(scene, blocks_of(fine.grid, 160))
        assert len(np.unique(image[seen], axis=0)) == 1


def test_a_network_that_is_told_of_no_roofs_looks_for_no_buildings(generators):
    mask = ArrayMask(make_mask((64, 64)))
    assert Scene(generators("resnet6", "batch"), mask, mask, seed=0).buildings is None


def test_a_building_keeps_its_roof_in_a_scene_that_begins_elsewhere(generators):
    generator = paint(generators("modulated", "group"))
    mask = np.zeros((160, 420), np.uint8)
    mask[60:100, 120:380] = mask[60:90, 110:118] = 255
    here = ArrayMask(mask, origin=(512, 1024))
    there = ArrayMask(np.pad(mask, ((40, 0), (70, 0))), origin=(512 - 40, 1024 - 70))
    whole = Scene(generator, here, here, seed=2).block(Window(0, 0, 160, 420))[0]
    moved_by = Scene(generator, there, there, seed=2).block(Window(40, 70, 160, 420))[0]
    np.testing.assert_array_equal(moved_by[mask > 0], whole[mask > 0])


def test_tiles_with_their_own_statistics_would_have_seams(generators):
    mask = make_mask((128, 256))
    mask[:, 128:] = 0
    generator = generators("resnet6", "instance")
    halves = np.concatenate([generator(mask[:, :128]), generator(mask[:, 128:])], axis=1).astype(int)
    assert np.abs(halves - generator(mask)).mean() > 5


@given(st.data(), st.sampled_from([1, 4, 256]), st.integers(0, 100))
def test_a_margin_stays_in_the_scene_and_holds_what_the_window_needs(data, stride, margin):
    height, width = data.draw(st.integers(1, 2000)), data.draw(st.integers(1, 2000))
    row, col = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    window = Window(row, col, data.draw(st.integers(1, height - row)), data.draw(st.integers(1, width - col)))
    around = with_margin(window, Grid(height, width), margin_px=margin, stride_px=stride)
    for start, size, outer, outer_size, total in (
        (window.row, window.height, around.row, around.height, height),
        (window.col, window.width, around.col, around.width, width),
    ):
        end, outer_end = start + size, outer + outer_size
        assert outer >= 0 and outer_end <= total
        assert outer % stride == 0  # the network's cells are those of the scene
        assert outer_end % stride == 0 or outer_end == total
        assert outer <= max(0, start - margin) and outer_end >= min(total, end + margin)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 70))
def test_blocks_cover_every_pixel_once(height, width, side):
    seen = np.zeros((height, width), int)
    for window in blocks_of(Grid(height, width), side):
        assert max(window.height, window.width) <= side
        seen[window.slices] += 1
    assert (seen == 1).all()


@given(st.integers(1, 60_000), st.integers(1, 60_000), st.sampled_from([4, 256, 512]))
def test_samples_lie_in_the_scene_are_of_one_size_and_spread(height, width, stride):
    windows = sample_windows(Grid(height, width), stride)
    assert len({(w.height, w.width) for w in windows}) == 1
    assert all(w.row >= 0 and w.col >= 0 and w.row + w.height <= height and w.col + w.width <= width for w in windows)
    assert sum(w.height * w.width for w in windows) <= scenes.SAMPLE_PX
    if height * width <= scenes.SAMPLE_PX:
        assert windows == [Window(0, 0, height, width)]
    elif min(height, width) > 20_000 and stride == 4:
        assert len(windows) >= 11  # of 16, which do not fill every shape of scene
        assert max(w.row for w in windows) - min(w.row for w in windows) > height / 3
        assert max(w.col for w in windows) - min(w.col for w in windows) > width / 3


@pytest.mark.parametrize("name", ["unet256", "modulated"])
def test_neighbouring_scenes_share_their_noise(generators, name):
    """One mask cut in two: away from the cut, each half has the picture that the whole has."""
    generator = generators(name, "batch")
    mask = make_mask((256, 4096))
    whole = ArrayMask(mask, origin=(512, 1024))
    right = ArrayMask(mask[:, 2048:], origin=(512, 1024 + 2048))
    elsewhere = ArrayMask(mask[:, 2048:], origin=(512, 0))
    inner = Window(0, 1024, 256, 512)
    expected = Scene(generator, whole, whole, seed=1).block(inner._replace(col=2048 + 1024))[0]
    found = Scene(generator, right, right, seed=1).block(inner)[0]
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert np.abs(Scene(generator, elsewhere, elsewhere, seed=1).block(inner)[0].astype(int) - expected).max() > 1


def test_a_neighbour_to_the_south_goes_on_with_the_noise_too(generators):
    """Rows of the world count southwards, as those of an image do."""
    generator = generators("modulated", "batch")
    mask = make_mask((4096, 256))
    whole, south = ArrayMask(mask, origin=(512, 1024)), ArrayMask(mask[2048:], origin=(512 + 2048, 1024))
    inner = Window(1024, 0, 512, 256)
    expected = Scene(generator, whole, whole, seed=1).block(inner._replace(row=2048 + 1024))[0]
    found = Scene(generator, south, south, seed=1).block(inner)[0]
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_resampled_blocks_have_no_seam(generators):
    generator = generators("resnet6", "batch")
    coarse = ArrayMask(make_mask((150, 170)), gsd_m=0.47)
    fine = ResampledMask(coarse, coarse.grid.resized(235, 266), classes=False)
    whole = Scene(generator, fine, coarse, seed=0).block(Window(0, 0, 150, 170))[0]
    image = out_of(Scene(generator, fine, coarse, seed=0), blocks_of(coarse.grid, 40))
    assert np.abs(image.astype(int) - whole).max() <= 1


def test_a_smaller_overlap_is_used_and_one_as_large_as_a_block_refused(generators):
    generator = generators("resnet6", "batch")
    mask = ArrayMask(make_mask(200))
    exact = Scene(generator, mask, mask, seed=0).block(Window(96, 96, 40, 40))[0].astype(int)
    near = Scene(generator, mask, mask, seed=0, overlap_px=4).block(Window(96, 96, 40, 40))[0]
    assert np.abs(near - exact).max() > 1
    with pytest.raises(ConfigError, match="--overlap 64: it must be smaller than a block, which has 64 px"):
        require_overlap(64, 64)
    with pytest.raises(ConfigError, match="--overlap -1"):
        require_overlap(-1, 64)


def test_blocks_fit_into_memory(generators, monkeypatch):
    generator = generators("resnet6", "batch")
    monkeypatch.setattr(scenes, "available_memory", lambda: 10**12)
    roomy = block_side_px(generator, generator.reach_px)
    assert generator.memory_bytes(roomy, roomy) <= scenes.BLOCK_BYTES
    assert roomy % generator.stride_px == 0
    monkeypatch.setattr(scenes, "available_memory", lambda: 90_000_000)
    tight = block_side_px(generator, generator.reach_px)
    assert 4 <= tight < roomy
    monkeypatch.setattr("orthoforge.geo.rasters.memory.available_memory", lambda: 1_000_000)
    with pytest.raises(ResourceError, match=r"generating in blocks of \d+ px with 66 px around them needs about"):
        block_side_px(generator, generator.reach_px)


def test_a_smaller_margin_leaves_more_for_the_block(generators, monkeypatch):
    monkeypatch.setattr(scenes, "available_memory", lambda: 10**12)
    generator = generators("modulated", "group")
    assert block_side_px(generator, 40) > block_side_px(generator, generator.reach_px)


def test_masks_that_lie_nowhere_have_places_by_their_names(generators):
    """A batch of masks without coordinates would else show one ground in all of its images."""
    generator = generators("modulated", "group")
    plain = ArrayMask(make_mask(64))
    plain.grid = Grid(64, 64, Affine.identity())
    one, other, nameless = (Scene(generator, plain, plain, seed=0, name=name) for name in ("one", "other", ""))
    assert (one.block(Window(0, 0, 64, 64))[0] != other.block(Window(0, 0, 64, 64))[0]).any()
    assert nameless.origin == (0, 0)
    located = replace(one, mask=ArrayMask(make_mask(64), origin=(3, 5)))
    assert located.origin == replace(located, name="other").origin
    by_world_file = ArrayMask(make_mask(64))
    by_world_file.grid = Grid(64, 64, Affine(0.5, 0, 50, 0, -0.5, 100))
    assert Scene(generator, by_world_file, by_world_file, seed=0, name="one").origin == (-200, 100)


@given(st.text(min_size=1), st.text(min_size=1))
def test_other_names_are_other_places(one, other):
    row, col = place_of_name(one)
    assert 0 <= min(row, col) <= max(row, col) < 2**24
    assert (place_of_name(one) == place_of_name(other)) == (one == other)
