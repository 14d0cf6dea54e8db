"""The augmentation experiment: what arms are shown, what differences mean, and that nothing leaks or is lost."""

import hashlib
import itertools
import json
import re
import time
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_dataset, make_grid, make_mask, write_tiff
from made_runs import make_run
from orthoforge.cli import main
from orthoforge.errors import CheckpointError, ConfigError, DataError, OutputExistsError
from orthoforge.masks.turned import turned_mask
from orthoforge.measures.segmenter.mask_scores import components, mask_scores, pooled_scores
from orthoforge.measures.segmenter.segmentation import SegmenterSettings, train_segmenter
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import load_generator
from orthoforge.usefulness.choosing import choose
from orthoforge.usefulness.design import Arm, arm_sample, arms_of, copy_paste, real_subset, synthetic_count
from orthoforge.usefulness.page import overall_verdict
from orthoforge.usefulness.paired_statistics import (
    bootstrap_interval,
    boundary_f,
    difference,
    iou,
    t_interval,
    t_quantile,
    verdict,
)
from orthoforge.usefulness.synthetic_tiles import open_source, pool_of
from orthoforge.usefulness.utility import held_out_counts, plan, summary_lines, utility
from page_checks import read_page

SIZE = 48
QUICK = {"ratios": (1,), "fractions": (0.02,), "seeds": 3, "steps": 12, "augmentation": "flips"}
SETTINGS = SegmenterSettings(batch_size=4, crop_px=32)


def make_town(folder, *, seed, roofs=True, split="blocks", scenes=12):
    """Tiles of two places, each scene with roofs of its own colour, mostly bright; without ``roofs`` the images are noise."""
    rng = np.random.default_rng(seed)
    for place in ("ash", "birch"):
        for number in range(scenes):
            mask = make_mask(SIZE * 2, seed=int(rng.integers(1 << 30)))
            roof = rng.normal(40, 40, 3)
            image = rng.normal(90, 12, (*mask.shape, 3)) + (mask[..., None] > 0) * roof
            image = image if roofs else rng.integers(0, 256, image.shape)
            for kind, pixels in (("images", np.clip(image, 0, 255).astype(np.uint8)), ("masks", mask)):
                write_tiff(folder / "scenes" / kind / f"{place}{number + 1}.tif", pixels, make_grid(2 * SIZE, crs=None))
    return prepare(folder / "scenes", folder / "tiles", grid=2, size=SIZE, split=split, workers=1)


def train_by_colour(sample, settings, *, class_count=None, device="cpu"):
    """Buildings by least squares on a pixel's three values: in a millisecond, and it takes many scenes to see what roofs share."""
    pixels, labels = [], []
    for step in range(settings.steps):
        images, masks = sample(step)
        pixels.append(images.reshape(-1, 3))
        labels.append(masks.ravel() > 0)
    features, wanted = with_one(np.concatenate(pixels)), np.concatenate(labels)
    weights = np.linalg.lstsq(features, wanted, rcond=None)[0]
    threshold = np.mean([(features[wanted] @ weights).mean(), (features[~wanted] @ weights).mean()])
    return lambda images: np.where(with_one(images) @ weights > threshold, np.uint8(255), np.uint8(0))


def with_one(pixels):
    return np.concatenate([pixels / 255, np.ones((*pixels.shape[:-1], 1))], axis=-1)


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    return make_town(tmp_path_factory.mktemp("town"), seed=0)


@pytest.fixture(scope="module")
def hamlet(tmp_path_factory):
    return make_town(tmp_path_factory.mktemp("hamlet"), seed=3, scenes=4)


@pytest.fixture(scope="module")
def more_of_the_town(tmp_path_factory):
    return make_town(tmp_path_factory.mktemp("more"), seed=1)


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    return make_town(tmp_path_factory.mktemp("noise"), seed=2, roofs=False)


@pytest.fixture(scope="module")
def finished(town, more_of_the_town, tmp_path_factory):
    """An experiment that has run: its folder and result."""
    out = tmp_path_factory.mktemp("finished")
    options = QUICK | {"ratios": (0.5, 1), "fractions": (0.02, 1.0), "seeds": 8}
    return out, utility(more_of_the_town.path, town.path, out, segmenter=SETTINGS, train=train_by_colour, **options)


def row_of(result, name, fraction=0.02):
    return next(row for row in result["arms"] if (row["arm"], row["fraction"]) == (name, fraction))


# What arms are shown


@given(st.sampled_from([0.5, 1, 2, 3, 1 / 3, 0.1]), st.integers(1, 9), st.integers(1, 60))
def test_after_any_number_of_steps_the_synthetic_share_is_that_of_the_ratio(ratio, batch_size, steps):
    share = Fraction(ratio).limit_denominator(1000)
    share = share / (1 + share)
    total = synthetic_count(Arm("mixed", ratio), steps * batch_size, steps * batch_size)
    assert total <= steps * batch_size * share < total + 1
    by_step = np.diff([synthetic_count(Arm("mixed", ratio), step * batch_size, steps * batch_size) for step in range(steps + 1)])
    assert by_step.sum() == total
    assert by_step.min() >= 0
    assert by_step.max() - by_step.min() <= 1, "no step has two more than another"


def test_ratios_by_hand():
    def counts(ratio):
        return np.diff([synthetic_count(Arm("mixed", ratio), 8 * step, 24) for step in range(4)]).tolist()

    assert counts(1) == [4, 4, 4]
    assert counts(3) == [6, 6, 6]
    assert counts(0.5) == [2, 3, 3], "8/3, 16/3, 24/3"
    assert synthetic_count(Arm("flips"), 80, 80) == synthetic_count(Arm("strong"), 80, 80) == 0
    assert synthetic_count(Arm("copy-paste"), 80, 80) == 0
    assert synthetic_count(Arm("synthetic"), 80, 80) == 80
    assert [synthetic_count(Arm("synthetic first"), 8 * step, 24) for step in range(4)] == [0, 8, 12, 12], "then real ones alone"
    with_synthetic = ["real + synthetic 1:0.5", "real + synthetic 1:1", "synthetic alone", "synthetic first"]
    free = ["real, strong augmentation", "real, copy-paste"]
    assert [arm.name for arm in arms_of((1, 0, 0.5, 1))] == ["real", "real, no flips", *free, *with_synthetic]
    assert {arm.name for arm in arms_of((1,)) if arm.is_free} == {"real", "real, no flips", *free}


def test_batches_hold_synthetic_images_as_counted_and_real_ones_in_the_order_of_the_other_arms(town, noise):
    real, other = (town, town.ids("train")[:5]), (noise, noise.ids("train")[:7])

    def drawn(arm, seed=3):
        sample = arm_sample(arm, real, other, steps=6, batch_size=4, crop_px=SIZE, seed=seed)
        return [sample(step) for step in range(6)]

    reals = np.concatenate([images for images, _ in drawn(Arm("flips"))])
    synthetics = np.concatenate([images for images, _ in drawn(Arm("synthetic"))])
    mixed = drawn(Arm("mixed", 2))
    for step, (images, masks) in enumerate(mixed):
        before, after = (synthetic_count(Arm("mixed", 2), 4 * number, 24) for number in (step, step + 1))
        assert images.shape == (4, SIZE, SIZE, 3)
        assert masks.shape == (4, SIZE, SIZE)
        expected = np.concatenate([reals[4 * step - before : 4 * (step + 1) - after], synthetics[before:after]])
        np.testing.assert_array_equal(images, expected)
    again = drawn(Arm("mixed", 2))
    np.testing.assert_array_equal(again[5][0], mixed[5][0])
    assert not np.array_equal(drawn(Arm("mixed", 2), seed=4)[0][0], mixed[0][0])
    first = np.concatenate([images for images, _ in drawn(Arm("synthetic first"))])
    np.testing.assert_array_equal(first, np.concatenate([synthetics[:12], reals[:12]]))


def test_augmentation_is_that_of_all_arms_but_the_plain_ones_and_the_same_in_each(town, noise):
    real, other = (town, town.ids("train")[:5]), (noise, noise.ids("train")[:7])

    def drawn(arm, augmentation):
        return arm_sample(arm, real, other, steps=6, batch_size=4, crop_px=32, seed=3, augmentation=augmentation)(2)

    for arm in (Arm("flips"), Arm("no flips"), Arm("strong")):
        np.testing.assert_array_equal(drawn(arm, "strong")[0], drawn(arm, "flips")[0])
    strong = np.concatenate([drawn(Arm("strong"), "flips")[0]])
    assert strong.shape == (4, 32, 32, 3)
    assert not np.array_equal(strong, drawn(Arm("flips"), "strong")[0])
    mixed = arm_sample(Arm("mixed", 1), real, other, steps=6, batch_size=4, crop_px=32, seed=3, augmentation="strong")
    np.testing.assert_array_equal(np.concatenate([mixed(step)[0][:2] for step in (4, 5)]), strong)
    for kind in ("mixed", "synthetic", "synthetic first", "copy-paste"):
        assert not np.array_equal(drawn(Arm(kind, 1), "strong")[0], drawn(Arm(kind, 1), "flips")[0]), kind


def test_without_flips_the_crops_stand_as_in_the_tile(town):
    ids = town.ids("train")[:3]
    images, masks = arm_sample(Arm("no flips"), (town, ids), (town, ids), steps=1, batch_size=3, crop_px=SIZE, seed=0)(0)
    tiles = {town.tile(i)[0].tobytes() + town.tile(i)[1].tobytes() for i in ids.tolist()}
    assert {image.tobytes() + mask.tobytes() for image, mask in zip(images, masks, strict=True)} == tiles


def test_larger_fractions_hold_the_smaller_ones_and_every_place(town):
    train = town.ids("train")
    subsets = [set(real_subset(town.rows, train, fraction=share, seed=1).tolist()) for share in (0.01, 0.1, 0.25, 0.5, 1)]
    assert all(small < large for small, large in itertools.pairwise(subsets))
    assert [len(subset) for subset in subsets][::4] == [2, len(train)], "one of each place, and all"
    for subset in subsets:
        counts = [sum(town.rows[i].place == place for i in subset) for place in ("ash", "birch")]
        assert abs(counts[0] - counts[1]) <= 1 or len(subset) == len(train)
    assert set(real_subset(town.rows, train, fraction=0.1, seed=2).tolist()) != subsets[1]


@given(st.integers(0, 1000), st.sampled_from([0, None]))
def test_what_is_pasted_brings_its_mask_along(seed, background):
    rng = np.random.default_rng(seed)
    masks, others = (np.stack([make_mask(40, seed=int(rng.integers(99))) for _ in range(2)]) for _ in range(2))

    # Every pixel says in its colour which picture it is from, where it was, and what the mask says there.
    def picture(masks, tag):
        where = np.broadcast_to(np.arange(40 * 40).reshape(40, 40) % 251, masks.shape)
        return np.stack([np.full_like(masks, tag), where.astype(np.uint8), masks], axis=-1)

    images, other_images = picture(masks, 1), picture(others, 2)
    before, before_mask = images.copy(), masks.copy()
    copy_paste(images, masks, other_images, others, background=background, rng=rng)
    np.testing.assert_array_equal(images[..., 2], masks)
    np.testing.assert_array_equal(images[..., 1], before[..., 1])
    pasted = images[..., 0] == 2
    np.testing.assert_array_equal(masks[~pasted], before_mask[~pasted])
    np.testing.assert_array_equal(masks[pasted], others[pasted])
    if background == 0:
        assert (others[pasted] == 255).all(), "only buildings"
        for other, chosen in zip(others, pasted, strict=True):
            patches = components(other > 0)
            whole = [chosen[patches == number] for number in range(1, patches.max() + 1)]
            assert all(patch.all() or not patch.any() for patch in whole), "whole buildings"


# Where synthetic images come from


def test_a_generator_is_given_other_training_masks_and_altered_ones_of_the_fraction(hamlet, tmp_path):
    run = make_run(tmp_path / "run", hamlet)
    train = hamlet.ids("train")
    held_out = np.concatenate([hamlet.ids("val"), hamlet.ids("test")]).tolist()
    source = open_source(run, hamlet, held_out, device="cpu", allow_leaks=False)
    pool = pool_of(source, hamlet, train, tmp_path / "made")
    subset = real_subset(hamlet.rows, train, fraction=0.1, seed=0)
    made, ids = pool.of(subset, 0)
    assert len(ids) == len(train), "as many as there are training tiles"
    masks = {made.tile(i)[1].tobytes() for i in ids.tolist()}
    outside = {hamlet.tile(i)[1].tobytes() for i in set(train.tolist()) - set(subset.tolist())}
    inside = {hamlet.tile(i)[1].tobytes() for i in subset.tolist()}
    assert outside <= masks
    assert not inside & masks
    assert {turned_mask(hamlet.tile(i)[1], i).tobytes() for i in subset.tolist()} <= masks
    assert not {hamlet.tile(i)[1].tobytes() for i in held_out} & {made.tile(i)[1].tobytes() for i in range(len(made.rows))}
    generator = load_generator(run)
    image, mask = made.tile(0)
    np.testing.assert_array_equal(generator(mask, seed=int(train[0])), image)
    shard = next((tmp_path / "made").glob("*.images.npy"))
    written_at = shard.stat().st_mtime_ns
    pool_of(source, hamlet, train, tmp_path / "made")
    assert shard.stat().st_mtime_ns == written_at, "what was generated is kept"


def test_masks_of_held_out_tiles_are_refused_however_they_are_turned(town, tmp_path):
    tile_id = next(i for i in town.ids("test").tolist() if town.tile(i)[1].any())
    image, mask = town.tile(tile_id)
    for kind, pixels in (("images", image), ("masks", np.ascontiguousarray(np.rot90(mask).T))):
        write_tiff(tmp_path / "scenes" / kind / "copy1.tif", pixels, make_grid(SIZE, crs=None))
    copies = prepare(tmp_path / "scenes", tmp_path / "tiles", grid=1, size=SIZE, split="random", workers=1)
    with pytest.raises(DataError, match=r"1 of its masks are masks of held-out tiles.*copy1.*--allow-leaks"):
        open_source(copies.path, town, town.ids("test").tolist(), device="cpu", allow_leaks=False)
    source = open_source(copies.path, town, town.ids("test").tolist(), device="cpu", allow_leaks=True)
    assert source.facts["leaked_tiles"] == 1
    assert "--allow-leaks was given" in source.warnings[0]


def test_synthetic_tiles_on_the_ground_of_held_out_ones_are_warned_of(tmp_path):
    def tiles(name, left, seed):
        for number in range(4):
            mask = make_mask(2 * SIZE, seed=seed + number)
            for kind, pixels in (("images", np.repeat(mask[..., None], 3, axis=2)), ("masks", mask)):
                grid = make_grid(2 * SIZE)
                place = replace(grid, transform=Affine.translation(left + 100 * number, 0) @ grid.transform)
                write_tiff(tmp_path / name / kind / f"ash{number}.tif", pixels, place)
        return prepare(tmp_path / name, tmp_path / f"{name}-tiles", grid=1, size=SIZE, split="random", workers=1)

    real, elsewhere, there = tiles("real", 0, 0), tiles("elsewhere", 5000, 10), tiles("there", 310, 20)
    held_out = range(len(real.rows))
    sources = [open_source(store.path, real, held_out, device="cpu", allow_leaks=False) for store in (elsewhere, there)]
    assert [source.facts["overlapping_tiles"] for source in sources] == [0, 1]
    assert [any("lie on the ground of 1 of the 4" in text for text in source.warnings) for source in sources] == [False, True]


def test_a_run_trained_on_the_test_ground_is_refused(town, tmp_path):
    # The same pixels under another split: some that test here trained there.
    other = prepare(town.path.parent / "scenes", tmp_path / "tiles", grid=2, size=SIZE, split="random", workers=1)
    run = make_run(tmp_path / "run", other)
    with pytest.raises(DataError, match=r"was trained on \d+ of the .*--allow-leaks"):
        utility(run, town.path, tmp_path / "out", train=train_by_colour, **QUICK)
    assert not (tmp_path / "out").exists()


def test_a_generator_of_another_resolution_than_the_tiles_is_refused(hamlet, tmp_path):
    generator = load_generator(make_run(tmp_path / "run", hamlet))
    store = prepare(make_dataset(tmp_path / "data", ("ash1",), 192), tmp_path / "tiles", gsd=0.6, size=SIZE, workers=1)
    generator.gsd_m = 0.3
    with pytest.raises(ConfigError, match=r"trained at 0\.3 m a pixel, the tiles of .* have 0\.6 m.*--gsd 0\.3"):
        open_source(generator, store, [], device="cpu", allow_leaks=True)
    for close_or_unknown in (0.6, 0.55, None):
        generator.gsd_m = close_or_unknown
        assert open_source(generator, store, [], device="cpu", allow_leaks=True).generator is generator


def test_stores_that_cannot_judge_are_refused_unless_told_otherwise(more_of_the_town, tmp_path):
    store = make_town(tmp_path, seed=5, split="random", scenes=4)
    with pytest.raises(DataError, match=r"split random puts neighbouring tiles.*--split blocks"):
        utility(more_of_the_town.path, store.path, tmp_path / "out", train=train_by_colour, **QUICK)
    options = QUICK | {"seeds": 2, "steps": 2}
    result = utility(
        more_of_the_town.path, store.path, tmp_path / "out", allow_leaks=True, segmenter=SETTINGS, train=train_by_colour, **options
    )
    assert any("split at random" in text and "--allow-leaks" in text for text in result["warnings"])
    assert "split at random" in read_page((tmp_path / "out" / "utility.html").read_text("utf-8")).text


def test_a_folder_that_is_neither_run_nor_tiles_is_told_from_both(town, tmp_path, capsys):
    with pytest.raises(CheckpointError, match=r"neither a run .* nor tiles .*orthoforge prepare"):
        open_source(tmp_path, town, [], device="cpu", allow_leaks=False)
    assert main(["utility", str(tmp_path), "--data", str(town.path), "--out", str(tmp_path / "out")]) == 6
    assert "neither a run" in capsys.readouterr().err


# What differences mean


def test_students_quantiles_are_those_of_the_tables():
    table = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 30: 2.042, 120: 1.980}
    assert {freedom: round(t_quantile(freedom), 3) for freedom in table} == table


def test_the_paired_interval_by_hand():
    # Differences 0.02, 0.04, 0.06: mean 0.04, standard error 0.02 / √3, t of 2 degrees 4.3027.
    low, high = t_interval([0.02, 0.04, 0.06])
    reach = 4.302653 * 0.02 / 3**0.5
    assert (low, high) == (pytest.approx(0.04 - reach), pytest.approx(0.04 + reach))
    assert t_interval([0.1]) is None


def test_iou_sums_counts_and_passes_over_classes_that_are_not_there():
    assert iou(np.array([[30, 60]])) == pytest.approx(0.5)
    assert iou(np.array([[30, 60], [0, 0], [10, 10]])) == pytest.approx(0.75)
    assert iou(np.array([[0, 0]])) == 1


def test_boundary_f_sums_edge_pixels_and_passes_over_classes_without_edges():
    # 40 of 50 predicted edge pixels are right, 30 of 60 real ones found: shares 0.8 and 0.5.
    assert boundary_f(np.array([[50, 40, 60, 30]])) == pytest.approx(2 / (1 / 0.8 + 1 / 0.5))
    assert boundary_f(np.array([[50, 40, 60, 30], [0, 0, 0, 0], [5, 0, 5, 0]])) == pytest.approx(1 / (1 / 0.8 + 1 / 0.5))
    assert boundary_f(np.array([[0, 0, 0, 0]])) == 1


def test_edges_are_counted_as_fidelity_counts_them(town):
    ids = town.ids("test")
    shifted = {i: np.roll(town.tile(i)[1], 5, axis=1) for i in ids[:8].tolist()}
    counts = held_out_counts(lambda images: np.stack(list(shifted.values())), town, ids[:8])
    found = pooled_scores([mask_scores(mask, town.tile(i)[1]) for i, mask in shifted.items()])
    total = np.array(list(counts.values())).sum(axis=0)
    assert float(iou(total[:, :2])) == pytest.approx(found["iou"])
    assert float(boundary_f(total[:, 2:])) == pytest.approx(found["boundary_f"])
    assert 0 < found["iou"] < 1
    assert 0 < found["boundary_f"] < 1


def counts_of(scores, scenes=6):
    """Counts (seeds, scenes, 1, 2) with these IoUs a seed in every scene."""
    union = np.full((len(scores), scenes), 1000)
    return np.stack([np.round(union * np.array(scores)[:, None]).astype(int), union], axis=-1)[:, :, None]


def test_pairing_finds_what_the_spread_of_seeds_would_hide():
    seeds = np.array([0.3, 0.5, 0.7, 0.4])
    found = difference(counts_of(seeds + np.array([0.05, 0.06, 0.05, 0.04])), counts_of(seeds))
    assert found["mean"] == pytest.approx(0.05)
    assert found["verdict"] == "gain"
    low, high = found["bootstrap_interval"]
    assert 0.04 <= low < 0.05 < high <= 0.06, "no wider than the differences"
    assert difference(counts_of(seeds), counts_of(seeds + 0.05))["verdict"] == "loss"
    assert difference(counts_of(seeds + np.array([0.05, -0.06, 0.05, -0.04])), counts_of(seeds))["verdict"] == "no measurable gain"
    assert difference(counts_of(seeds[:1] + 0.1), counts_of(seeds[:1]))["verdict"] == "undecided"


def test_a_gain_in_one_scene_alone_is_none_elsewhere():
    reference, arm = counts_of([0.5] * 4), counts_of([0.5] * 4)
    arm[:, 0, 0, 0] = [900, 910, 905, 890]
    arm[:, 1:3, 0, 0] -= 60
    found = difference(arm, reference)
    assert found["t_interval"][0] > 0, "sure for these scenes"
    assert found["bootstrap_interval"][0] < 0, "but not for others"
    assert found["verdict"] == "no measurable gain"


def test_several_arms_are_averaged_and_one_scene_has_no_bootstrap():
    reference = counts_of([0.5, 0.6, 0.4])
    both = np.stack([counts_of([0.6, 0.7, 0.5]), counts_of([0.5, 0.6, 0.4])])
    assert difference(both, reference)["by_seed"] == pytest.approx([0.05] * 3)
    assert bootstrap_interval(both[:, :, :1], reference[:, :1]) is None


def test_verdicts_in_words():
    assert verdict((0.01, 0.05), (0.02, 0.04)) == "gain"
    assert verdict((-0.01, 0.05), (0.02, 0.04)) == "no measurable gain"
    assert verdict((-0.05, -0.01), None) == "loss"
    assert verdict(None, None) == "undecided"

    def overall(*pairs):
        return overall_verdict([{"fraction": share, "difference": {"verdict": word}} for share, word in pairs])

    assert overall((0.05, "gain"), (1.0, "loss")) == (
        "Training on these synthetic images helps at 5 % of the real tiles and harms at 100 % of the real tiles, against the best "
        "that costs nothing."
    )
    assert overall((0.05, "gain"), (0.1, "gain"), (1.0, "no measurable gain")) == (
        "Training on these synthetic images helps at 5 % and 10 % of the real tiles, against the best that costs nothing. "
        "No measurable gain at 100 %."
    )
    assert (
        overall((0.1, "no measurable gain"))
        == "No measurable gain from these synthetic images beyond what costs nothing, at 10 % of the real tiles."
    )
    assert overall((0.1, "undecided")).startswith("Undecided")


# The whole


def test_more_of_the_same_town_is_a_gain_where_real_tiles_are_few(finished):
    _, result = finished
    mixed = row_of(result, "real + synthetic 1:1")
    assert mixed["difference"]["verdict"] == "gain", mixed
    assert mixed["difference"]["mean"] > 0.1
    assert result["by_fraction"][0]["difference"]["verdict"] == "gain"
    assert "helps at 2 % of the real tiles" in result["verdict"]
    assert abs(result["by_fraction"][1]["difference"]["mean"]) < 0.02, "little to add to all tiles"


def test_noise_is_no_gain(town, noise, tmp_path):
    result = utility(noise.path, town.path, tmp_path / "out", segmenter=SETTINGS, train=train_by_colour, **QUICK)
    assert result["by_fraction"][0]["difference"]["verdict"] in ("no measurable gain", "loss")
    assert "helps" not in result["verdict"]
    assert row_of(result, "synthetic alone")["difference"]["verdict"] != "gain"


def test_every_figure_comes_with_its_circumstances(finished, town):
    out, result = finished
    assert json.loads((out / "utility.json").read_text("utf-8")) == json.loads(json.dumps(result))
    assert result["data"]["split"] == "test"
    assert result["data"]["fingerprint"] == town.fingerprint
    assert result["data"]["test_scenes"] == len({town.rows[i].scene for i in town.ids("test").tolist()})
    assert result["data"]["validation_tiles"] == len(town.ids("val"))
    row = row_of(result, "real + synthetic 1:0.5")
    assert row["drawn"] == {"real": 32, "synthetic": 16}
    assert row["iou"]["n"] == 8
    assert row["iou"]["mean"] == pytest.approx(np.mean(row["iou"]["by_seed"]))
    real = row_of(result, "real")
    assert real["difference"] is None
    expected = np.array(row["iou"]["by_seed"]) - real["iou"]["by_seed"]
    assert row["difference"]["by_seed"] == pytest.approx(expected)


def test_the_verdict_is_of_all_ratios_against_the_best_that_costs_nothing(finished):
    _, result = finished
    for entry in result["by_fraction"]:
        rows = {row["arm"]: row for row in result["arms"] if row["fraction"] == entry["fraction"]}
        free = [name for name in rows if name.startswith("real") and "synthetic" not in name]
        assert len(free) == 4
        assert entry["best_baseline"] == max(free, key=lambda name: rows[name]["validation_iou"])
        assert entry["best_synthetic"] == max(set(rows) - set(free), key=lambda name: rows[name]["validation_iou"])
        assert entry["chosen_on"] == "val"
        mixed = [rows[f"real + synthetic 1:{ratio}"]["iou"]["by_seed"] for ratio in ("0.5", "1")]
        expected = np.mean(mixed, axis=0) - rows[entry["best_baseline"]]["iou"]["by_seed"]
        assert entry["difference"]["by_seed"] == pytest.approx(expected)
        assert rows[entry["best_synthetic"]]["to_best"] == entry["best_synthetic_difference"]
        assert rows[entry["best_baseline"]]["to_best"] is None
        assert f"against {entry['best_baseline']} (the best" in entry["text"]
        assert f"{entry['best_synthetic']} is best on validation tiles" in entry["text"]


def test_the_best_baseline_is_chosen_by_validation_tiles_or_fixed_beforehand():
    arms = [Arm("strong"), Arm("flips"), Arm("mixed", 1), Arm("synthetic")]
    on_validation = {arm: counts_of([score, score]) for arm, score in zip(arms, (0.4, 0.5, 0.6, 0.7), strict=True)}
    chosen = choose(on_validation, arms)
    assert (chosen.synthetic, chosen.baseline) == (arms[3], arms[1])
    assert chosen.scores[arms[3]] == pytest.approx(0.7)
    fixed = choose({}, arms)
    assert (fixed.synthetic, fixed.baseline, fixed.scores) == (None, arms[0], {})


def test_a_finding_is_confirmed_with_other_seeds_on_more_tiles(finished, town, more_of_the_town, tmp_path):
    _, before = finished
    options = QUICK | {"seeds": 2, "first_seed": 7}
    call = {"segmenter": SETTINGS, "train": train_by_colour} | options
    alone = utility(more_of_the_town.path, town.path, tmp_path / "alone", **call)
    assert alone["settings"]["seeds"] == [7, 8]
    seventh = row_of(before, "real + synthetic 1:1")["iou"]["by_seed"][7]
    assert row_of(alone, "real + synthetic 1:1")["iou"]["by_seed"][0] == seventh, "the seed decides, not its place in the row"

    both = utility(more_of_the_town.path, town.path, tmp_path / "both", splits=("test", "val"), **call)
    assert both["data"]["split"] == "val+test"
    assert both["data"]["test_tiles"] == len(town.ids("val")) + len(town.ids("test"))
    assert both["data"]["test_scenes"] == len({town.rows[i].scene for name in ("val", "test") for i in town.ids(name).tolist()})
    assert any("Split val tests" in text for text in both["warnings"])
    assert not any("Split val tests" in text for text in alone["warnings"])
    assert any("No validation tile could choose the best baseline" in text for text in both["warnings"])
    assert (both["by_fraction"][0]["best_baseline"], both["by_fraction"][0]["chosen_on"]) == ("real, strong augmentation", None)
    assert not any("No validation tile could choose the best baseline" in text for text in alone["warnings"])
    with pytest.raises(OutputExistsError, match=r"other settings \(split\)"):
        utility(more_of_the_town.path, town.path, tmp_path / "alone", splits=("val", "test"), **call)
    with pytest.raises(ConfigError, match="Segmenters are trained on split train"):
        utility(more_of_the_town.path, town.path, tmp_path / "none", splits=("train",), **call)


def test_a_curve_takes_a_ladder_of_fractions_and_says_what_labels_bring(town, more_of_the_town, tmp_path):
    options = QUICK | {"seeds": 2, "steps": 3, "ratios": (0.5, 1)}
    result = utility(more_of_the_town.path, town.path, tmp_path, segmenter=SETTINGS, train=train_by_colour, curve=True, **options)
    assert result["settings"]["fractions"] == [0.125, 0.25, 0.5, 1.0]
    assert result["settings"]["ratios"] == [1]
    assert result["curve"]["sides"][0]["real_tiles"] == [8, 16, 32, 64]
    assert result["curve"]["text"] in summary_lines(result)
    page = read_page((tmp_path / "utility.html").read_text("utf-8")).text
    assert "How many labels" in page
    assert result["curve"]["text"] in page


def test_a_plan_counts_test_tiles_and_writes_nothing(town, tmp_path, capsys):
    words = ["utility", "orthoforge-s", "--plan", "--data", str(town.path), "--out", str(tmp_path / "out"), "--seeds", "4"]
    assert main(words) == 0
    said = capsys.readouterr().out
    scenes = len({town.rows[i].scene for i in town.ids("test").tolist()})
    assert f"{len(town.ids('test'))} test tiles of {scenes} scenes" in said
    assert "published experiments" in said
    assert "\n    4  ± " in said
    assert not (tmp_path / "out").exists()


def test_a_plan_takes_the_spread_of_the_pilot_in_its_folder(finished, town):
    out, _ = finished
    assert "utility.json, 2 fractions" in plan(town.path, out, train=train_by_colour)[0]


def test_a_plan_says_how_long_the_trainings_take(town, tmp_path):
    def train(sample, settings, **options):
        time.sleep(0.01 * settings.steps)
        return train_by_colour(sample, settings)

    said = plan(town.path, tmp_path, ratios=[1], fractions=[0.5, 1.0], seeds=2, steps=60_000, train=train)[-1]
    assert said.startswith("28 trainings of 60000 steps take about ")
    assert re.search(r"about [\d.]+ h on this machine", said)


def split_anew(store, split_of):
    """The store with each row in the split that ``split_of(row)`` says."""
    rows = [replace(row, split=split_of(row)) for row in store.rows]
    text = "".join(json.dumps(row.to_json()) + "\n" for row in rows)
    (store.path / "manifest.jsonl").write_text(text)
    body = json.loads((store.path / "store.json").read_text())
    body["fingerprint"] = hashlib.sha256(text.encode()).hexdigest()
    (store.path / "store.json").write_text(json.dumps(body))
    return TileStore.open(store.path)


def never(*_, **__):
    raise AssertionError("a segmenter was trained before it was told that the plan cannot be")


def test_a_plan_for_one_test_scene_is_refused_at_once_and_names_the_way_out(tmp_path):
    store = make_town(tmp_path, seed=0, scenes=4)
    val = next(row.scene for row in store.rows if row.split == "val")
    test = next(row.scene for row in store.rows if row.split == "test")
    split_anew(store, lambda row: {val: "val", test: "test"}.get(row.scene, "train"))
    with pytest.raises(ConfigError, match=r"tiles in split test are of one scene.* Pass --splits val test to test on 2 scenes"):
        plan(store.path, tmp_path / "out", train=never)
    assert plan(store.path, tmp_path / "out", splits=("val", "test"), train=train_by_colour)[0].startswith(
        "8 test tiles of 2 scenes"
    )
    split_anew(store, lambda row: "test" if row.scene == test else "train")
    with pytest.raises(ConfigError, match=r"of one scene, .*or more. Prepare the tiles from more scenes.$"):
        plan(store.path, tmp_path / "out", train=never)


def test_a_plan_beside_a_pilot_that_tells_nothing_is_refused_at_once(town, tmp_path):
    entry = {"standard_error": None, "n": 1, "bootstrap_interval": None}
    (tmp_path / "utility.json").write_text(json.dumps({"by_fraction": [{"difference": entry}], "data": {"test_scenes": 1}}))
    with pytest.raises(DataError, match="tells nothing of how differences spread"):
        plan(town.path, tmp_path, train=never)


def test_tiles_without_any_to_test_on_are_not_offered_what_is_refused_again(tmp_path):
    store = split_anew(make_town(tmp_path, seed=0, scenes=4), lambda row: "train")
    for allow in (False, True):
        with pytest.raises(DataError, match=r"nothing else may judge. Prepare the tiles .*three splits\).$"):
            plan(store.path, tmp_path / "out", allow_leaks=allow, train=never)


def test_a_plan_tests_on_validation_tiles_where_that_is_allowed(tmp_path):
    store = split_anew(make_town(tmp_path, seed=0), lambda row: "buffer" if row.split == "test" else row.split)
    with pytest.raises(DataError, match="no tile in split test"):
        plan(store.path, tmp_path / "out", train=train_by_colour)
    said = plan(store.path, tmp_path / "out", allow_leaks=True, train=train_by_colour)
    assert said[0].startswith(f"{len(store.ids('val'))} test tiles of ")


def test_a_quick_plan_and_one_for_a_curve_count_their_own_trainings(town, tmp_path):
    quick = plan(town.path, tmp_path, seeds=1, steps=40, quick=True, train=train_by_colour)[-1]
    curve = plan(town.path, tmp_path, seeds=1, steps=40, curve=True, train=train_by_colour)[-1]
    assert quick.startswith("14 trainings of 10 steps ")
    assert curve.startswith("28 trainings of 40 steps ")


def test_the_page_says_the_verdict_and_fetches_nothing(finished):
    out, result = finished
    page = read_page((out / "utility.html").read_text("utf-8"))
    assert result["verdict"] in page.text
    assert all(row["arm"] in page.text for row in result["arms"])
    assert f"{row_of(result, 'real')['iou']['mean']:.3f}" in page.text
    assert not page.unclosed
    assert all(address.startswith("data:") for address in page.addresses)


def test_finished_trainings_are_kept_and_the_missing_one_comes_out_the_same(town, more_of_the_town, finished, tmp_path, capsys):
    trained = []

    def counting(*words, **options):
        trained.append(options)
        return train_by_colour(*words, **options)

    first = utility(more_of_the_town.path, town.path, tmp_path, segmenter=SETTINGS, train=counting, **QUICK)
    assert len(trained) == 21, "seven arms, three seeds"
    lost = sorted((tmp_path / "arms").glob("*.json"))[4]
    lost.unlink()
    again = utility(more_of_the_town.path, town.path, tmp_path, segmenter=SETTINGS, train=counting, **QUICK)
    assert len(trained) == 22
    assert "20 of 21 trainings are finished and kept" in capsys.readouterr().out
    assert [row["iou"] for row in again["arms"]] == [row["iou"] for row in first["arms"]]
    utility(more_of_the_town.path, town.path, tmp_path, segmenter=SETTINGS, train=counting, **QUICK | {"ratios": (1, 2)})
    assert len(trained) == 25, "the new ratio alone"


def test_other_settings_are_not_mixed_in_and_real_trainings_outlive_other_images(town, more_of_the_town, noise, tmp_path):
    trained = []

    def counting(*words, **options):
        trained.append(options)
        return train_by_colour(*words, **options)

    options = QUICK | {"segmenter": SETTINGS, "train": counting, "seeds": 2}
    utility(more_of_the_town.path, town.path, tmp_path, **options)
    with pytest.raises(OutputExistsError, match=r"other settings \(segmenter\)"):
        utility(more_of_the_town.path, town.path, tmp_path, **options | {"steps": 3})
    with pytest.raises(OutputExistsError, match=r"other settings \(synthetic\)"):
        utility(noise.path, town.path, tmp_path, **options)
    trained.clear()
    utility(noise.path, town.path, tmp_path, overwrite=True, **options)
    assert len(trained) == 6, "mixed, synthetic alone and first, two seeds"
    trained.clear()
    utility(noise.path, town.path, tmp_path, overwrite=True, **options)
    assert len(trained) == 14, "the same again, begun anew"


@pytest.mark.parametrize("words", [{"ratios": (0,)}, {"ratios": (-1,)}, {"fractions": (0.0,)}, {"fractions": (5,)}, {"seeds": 0}])
def test_numbers_that_cannot_be_are_refused(town, tmp_path, words):
    with pytest.raises(ConfigError):
        utility(town.path, town.path, tmp_path, **QUICK | words)


def test_with_a_run_and_one_training_by_the_packages_own_segmenter(hamlet, tmp_path, capsys):
    run = make_run(tmp_path / "run", hamlet)
    answers = []

    def own_at_first(*words, **options):
        predict = train_by_colour(*words, **options) if answers else train_segmenter(*words, **options)
        return lambda images: answers.append(predict(images)) or answers[-1]

    result = utility(
        run, hamlet.path, tmp_path / "out", ratios=(0.2, 0.9), fractions=(0.02,), seeds=1, steps=4, quick=True,
        segmenter=SegmenterSettings(batch_size=2, crop_px=32, width=1), train=own_at_first,
    )  # fmt: skip
    assert result["settings"]["segmenter"]["steps"] == 1
    predicted, masks = answers[0] == 255, np.stack([hamlet.tile(i)[1] for i in hamlet.ids("test").tolist()]) == 255
    expected = (predicted & masks).sum() / (predicted | masks).sum()
    assert row_of(result, "real")["iou"]["mean"] == pytest.approx(expected)
    assert [row["arm"] for row in result["arms"]] == [
        "real", "real, no flips", "real, strong augmentation", "real, copy-paste", "real + synthetic 1:0.9", "synthetic alone",
        "synthetic first",
    ]  # fmt: skip
    assert result["verdict"].startswith("Undecided")
    assert any("learnt from all training tiles" in text for text in result["warnings"])
    assert TileStore.open(tmp_path / "out" / "synthetic").settings["generator_sha256"] == result["synthetic"]["sha256"]
    said = capsys.readouterr().out
    assert said.index("7 trainings of a segmenter, 1 steps each") < said.index("1 of 7: ")
    assert " left" in said
