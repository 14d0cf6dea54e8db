"""The proof's bookkeeping: places split by scene, places put together, rows that are kept, and the table."""

import json
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from bench.proof.arms import run_arms
from bench.proof.new_place import FREE, ORACLE, SYNTHETIC
from bench.proof.noisy_labels import with_noise
from bench.proof.places import PLACES, scenes_of
from bench.proof.rows import _pooled, keep, rows_of_few_labels, rows_of_two, rows_without_labels
from bench.proof.settings import SETTINGS
from bench.proof.table import markdown
from bench.proof.unlabelled import Pair, as_tiles, pairs_of, seen_by, with_histograms, with_spectra
from bench.shortcuts import Tiles, sample_of, turned_and_back
from scipy import ndimage

from conftest import make_mask
from orthoforge.measures.segmenter.segmentation import SegmenterSettings
from orthoforge.usefulness.paired_statistics import bootstrap_interval, t_interval


def counts(scores, scenes=8):
    """(seeds, scenes, 1, 2) with these IoU a seed in every scene."""
    union = np.full((len(scores), scenes), 1000)
    return np.stack([np.round(union * np.array(scores)[:, None]).astype(int), union], axis=-1)[:, :, None]


def row(setting="a", arm="synthetic alone", seeds=3, weights="w1", **further):
    figures = {
        "place": "a", "tiles": 22, "masks": "turned", "steps": 200, "iou": 0.6, "validation_iou": 0.6,
        "best_baseline": "real", "difference": 0.02,
        "seeds_interval": [0.01, 0.03], "scenes_interval": [-0.01, 0.05], "verdict": "no measurable gain", "to_plain": 0.03,
        "to_plain_seeds_interval": None, "to_plain_scenes_interval": None, "is_chosen": True, "first_seed": 0, "test_tiles": 40,
        "test_scenes": 20,
    }  # fmt: skip
    return figures | {"setting": setting, "arm": arm, "seeds": seeds, "weights": weights} | further


def test_places_are_averaged_seed_by_seed():
    first = counts([0.6, 0.7, 0.8]), counts([0.5, 0.5, 0.5])
    second = counts([0.5, 0.6, 0.4], scenes=4), counts([0.5, 0.5, 0.5], scenes=4)
    mean, over_seeds, over_scenes = _pooled([first, second])
    assert mean == pytest.approx((0.05 + 0.15 + 0.10) / 3)
    assert over_seeds == pytest.approx(t_interval([0.05, 0.15, 0.10]))
    assert 0.049 < over_scenes[0] < mean < over_scenes[1] < 0.151
    alone = _pooled([first])[2]
    assert alone == pytest.approx(bootstrap_interval(*first), abs=0.01)


def test_more_seeds_take_the_place_of_fewer_and_other_weights_stand_beside(tmp_path):
    file = tmp_path / "proof.json"
    keep([row(), row(arm="real", weights=None)], file)
    keep([row(seeds=6, difference=0.01), row(weights="w2"), row(seeds=3)], file)
    kept = json.loads(file.read_text())["rows"]
    assert [(one["arm"], one["weights"], one["seeds"], one["difference"]) for one in kept] == [
        ("synthetic alone", "w1", 6, 0.01), ("real", None, 3, 0.02), ("synthetic alone", "w2", 3, 0.02),
    ]  # fmt: skip


def test_the_table_says_what_was_compared_with_what():
    lines = markdown([row(arm="real", weights=None, difference=None, to_plain=None), row()]).splitlines()
    assert "**a: 3 seeds, 40 test tiles of 20 scenes** | *real* | 0.600" in lines[2]
    assert "**synthetic alone** | 0.600 | +0.020 | +0.010 to +0.030 | −0.010 to +0.050 | no measurable gain | +0.030" in lines[3]


def test_buildings_of_noisy_labels_are_shifted_each_by_itself_and_some_are_missing():
    mask = make_mask(240, seed=1)
    sizes = np.sort(np.bincount(ndimage.label(mask)[0].ravel())[1:])
    moved = with_noise(mask, shift_px=2, dropped=0.0, rng=np.random.default_rng(0))
    assert not np.array_equal(moved, mask)
    assert moved.sum() == pytest.approx(mask.sum(), rel=0.1)
    overlap = (moved & mask).sum() / (moved | mask).sum()
    assert 0.3 < overlap < 0.9
    few = with_noise(mask, shift_px=0, dropped=0.4, rng=np.random.default_rng(0))
    assert not (few & ~mask).any()
    left = ndimage.label(few)[1] / len(sizes)
    assert 0.45 < left < 0.75
    assert set(np.bincount(ndimage.label(few)[0].ravel())[1:]) <= set(sizes), "whole buildings"


@pytest.mark.real_data
def test_no_scene_is_in_two_splits_and_those_on_one_grid_do_not_touch(shared_data):
    for place in PLACES.values():
        scenes = scenes_of(place, shared_data)
        assert len({scene.image for scene in scenes}) == len(scenes)
        largest = max(setting.tiles for setting in SETTINGS if setting.place == place.name)
        in_train = sum(scene.split == "train" for scene in scenes)
        assert in_train * (16 if place.name == "austin" else 4 if place.size_px == 224 else 1) >= largest
        if "barnarp" in (place.name, place.like):
            columns = {split: {scene.at[0] for scene in scenes if scene.split == split} for split in ("train", "val", "test")}
            step = 512 * place.metres
            assert max(columns["train"]) + 1.5 * step < min(columns["val"])
            assert max(columns["val"]) + 1.5 * step < min(columns["test"])


def test_an_image_turned_and_back_lies_where_it_lay_and_lost_its_finest_detail():
    rng = np.random.default_rng(0)
    wide = ndimage.gaussian_filter(rng.uniform(0, 255, (64, 64, 3)), (4, 4, 0))
    wide = ((wide - wide.min()) / np.ptp(wide) * 255).astype(np.uint8)
    fine = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    assert np.abs(turned_and_back(wide, 3).astype(int) - wide).max() <= 3
    assert turned_and_back(fine, 3).std() < 0.95 * fine.std()


def test_each_part_is_swapped_where_the_mask_says_and_crops_are_a_function_of_seed_and_step():
    images, masks = np.zeros((2, 80, 80, 3), np.uint8), np.zeros((2, 80, 80), np.uint8)
    masks[:, 10:40, 20:60] = 255
    tiles = Tiles(images, masks, None)  # no generator is asked
    swapped, of = tiles.made(lambda number, seed: tiles.roofs_on(number, images[number] + 200, images[number] + 50), 2)
    assert swapped.shape == (4, 80, 80, 3) and np.array_equal(swapped[..., 0] == 200, of > 0)
    settings = SegmenterSettings(batch_size=3, crop_px=32)
    one, same, other = (sample_of((swapped, of), seed, settings)(5) for seed in (1, 1, 2))
    assert one[0].shape == (3, 32, 32, 3) and np.array_equal(one[0], same[0]) and not np.array_equal(one[1], other[1])


def outcomes(score, seeds=3, scenes=6):
    """Of each seed: test and validation scenes of this IoU, a little more with each seed."""

    def counted(seed):
        return {str(scene): [[round(1000 * (score + 0.001 * seed)), 1000, 0, 0, 0, 0]] for scene in range(scenes)}

    return {seed: {"scenes": counted(seed), "validation": counted(seed)} for seed in range(seeds)}


def test_a_place_without_labels_has_its_baseline_chosen_on_the_other_places():
    plain, matched, swapped, trained, again = FREE
    alike = {plain: 0.3, matched: 0.3, swapped: 0.3, trained: 0.5, again: 0.1}
    scores = {"a": alike | {matched: 0.6, trained: 0.35}, "b": alike, "c": alike}
    others = dict(zip(SYNTHETIC, (0.55, 0.2, 0.45), strict=True)) | {ORACLE: 0.7}
    found = {place: {arm: outcomes(score) for arm, score in (arms | others).items()} for place, arms in scores.items()}
    options = {"free": list(FREE), "oracle": ORACLE, "weights": "w", "tiles": 48, "steps": 200}
    rows = rows_without_labels(found, dict.fromkeys(scores, 10), **options)
    of = {(one["place"], one["arm"]): one for one in rows}
    first = next(iter(SYNTHETIC))
    assert of["a", first]["best_baseline"] == trained, "the best in a, but not in the others, is not chosen by a's labels"
    assert of["a", first]["difference"] == pytest.approx(0.2)
    assert of["a", first]["to_plain"] == pytest.approx(0.25)
    assert of["b", first]["best_baseline"] == matched
    assert of["3 places", first]["is_chosen"] and not of["3 places", ORACLE]["is_chosen"]
    assert of["3 places", first]["test_tiles"] == 30
    assert (of["a", matched]["weights"], of["a", first]["weights"]) == (None, "w")


def looks(seed, brightness):
    """Four pairs of textured ground with a brighter building."""
    rng = np.random.default_rng(seed)
    pairs = []
    for number in range(4):
        mask = np.roll(make_mask(64, seed=number), number, 0)
        image = ndimage.gaussian_filter(rng.normal(brightness, 30, (64, 64, 3)), (1, 1, 0)) + 40 * (mask > 0)[..., None]
        pairs.append(Pair(np.clip(image, 0, 255).astype(np.uint8), mask))
    return pairs


@pytest.mark.parametrize("change", [with_histograms, with_spectra])
def test_images_of_other_places_take_the_look_of_the_new_one_and_keep_their_masks(change):
    source, target = looks(0, 60), looks(1, 160)
    changed = change(source, target, 0)
    assert [pair.mask.tobytes() for pair in changed] == [pair.mask.tobytes() for pair in source]
    for pair, before in zip(changed, source, strict=True):
        assert abs(pair.image.mean() - np.mean([other.image.mean() for other in target])) < 12
        built = before.mask > 0
        assert pair.image[built].mean() > pair.image[~built].mean() + 10, "what the mask shows is still there"
    again, other = (np.stack([pair.image for pair in change(source, target, seed)]) for seed in (0, 1))
    assert np.array_equal(again, [pair.image for pair in changed])
    assert not np.array_equal(again, other)


def test_what_a_segmenter_sees_is_the_mean_of_four_turns_without_specks(tmp_path):
    class Segmenter:
        """Sees bright pixels, and to the left of every image a building that is not there."""

        def probabilities(self, images):
            seen = (images.mean(axis=-1) > 200).astype(np.float32)
            seen[:, :, :8] = 1
            return seen

    image = np.zeros((64, 64, 3), np.uint8)
    image[20:40, 20:40], image[50:54, 50:54] = 255, 255
    pair = seen_by(Segmenter(), [Pair(image, np.zeros((64, 64), np.uint8))])[0]
    assert (pair.mask[20:40, 20:40] == 255).all()
    assert pair.mask.sum() == 255 * 400, "neither the left edge nor the speck"
    store = as_tiles([pair, pair], tmp_path / "cut", place="town")
    ids = store.ids("train")
    assert len(ids) == 2 and all(np.array_equal(kept.mask, pair.mask) for kept in pairs_of(store, ids))
    assert store.gsd_m == pytest.approx(0.3)


def by_seed(arm, scores, validation):
    """The outcomes of an arm, by seed from 1 on, with these IoU in every test scene."""
    held = counts([validation])[0].tolist()
    return {
        seed: {"arm": arm, "scenes": dict(enumerate(counts([score])[0].tolist())), "validation": {"a": held[0]}}
        for seed, score in enumerate(scores, 1)
    }


def test_few_labels_are_told_beyond_what_costs_nothing_and_beyond_tiles_of_other_places():
    arms = {
        "real": by_seed("real", [0.50, 0.52], 0.5),
        "real, no flips": by_seed("real, no flips", [0.54, 0.52], 0.6),
        "others": by_seed("others", [0.60, 0.64], 0.7),
        "made": by_seed("made", [0.62, 0.64], 0.7),
    }
    rows = rows_of_few_labels(
        {"a": arms, "b": arms}, {"a": 8, "b": 9}, free=["real", "real, no flips"], other="others", generated="made",
        weights="w", tiles=6, steps=200,
    )  # fmt: skip
    by = {(row["setting"], row["arm"]): row for row in rows}
    both = by["2 places, 6 tiles and weights of other places", "made"]
    assert (both["best_baseline"], both["test_tiles"], both["seeds"], both["first_seed"]) == ("real, no flips", 17, 2, 1)
    assert (both["difference"], both["to_plain"]) == (pytest.approx(0.10), pytest.approx(0.12))
    assert both["is_chosen"] and both["weights"] == "w"
    beside = by["a, 6 tiles and weights of other places, beside tiles of other places", "made"]
    assert (beside["best_baseline"], beside["difference"]) == ("others", pytest.approx(0.01))
    assert "beside tiles of other places" in markdown(rows)


def test_two_ways_to_make_the_same_pairs_are_compared_by_the_seeds_that_both_have():
    first = {"made": by_seed("made", [0.62, 0.64], 0.7), "composed": by_seed("composed", [0.65, 0.65], 0.7)}
    second = {"made": by_seed("made", [0.50], 0.7), "composed": by_seed("composed", [0.51, 0.9], 0.7)}
    rows = rows_of_two(
        {"a": first, "b": second}, {"a": 8, "b": 9}, one="composed", other="made", setting="x", weights="w", tiles=6, steps=200
    )
    found = {(row["place"], row["arm"]): (row["seeds"], row["difference"]) for row in rows}
    assert found["a", "composed"] == (2, pytest.approx(0.02))
    assert found["2 places", "composed"] == (1, pytest.approx((0.03 + 0.01) / 2))
    assert found["2 places", "made"] == (1, None)
    assert "2 places, 6 tiles and weights of other places, x: 1 seed, 17 test tiles" in markdown(rows)


def test_finished_arms_are_kept_and_none_is_begun_after_the_time(tmp_path, capsys):
    store = as_tiles([Pair(np.zeros((32, 32, 3), np.uint8), np.full((32, 32), 255, np.uint8))], tmp_path / "store", place="a")
    tested = replace(store, rows=tuple(replace(row, split="test") for row in store.rows))
    case = SimpleNamespace(target=tested, place="a", folder=tmp_path / "runs" / "a", seed=1)
    made = []

    def sees_nothing(of):
        made.append(of.seed)
        return lambda images: np.zeros(images.shape[:3], np.uint8)

    run_arms([case], {"real": sees_nothing, "real 1:1": sees_nothing}, ends_at=time.monotonic() + 60)
    run_arms([case], {"real": sees_nothing, "real 1:1": sees_nothing, "third": sees_nothing}, ends_at=time.monotonic() - 1)
    assert made == [1, 1]
    assert sorted(path.name for path in case.folder.glob("arms/*")) == ["real-1-1_1.json", "real_1.json"]
    assert "The time is over" in capsys.readouterr().out
