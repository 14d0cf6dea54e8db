"""The protocol's arithmetic, distances and tables; and one small run through training, judging and scoring."""

import argparse
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from bench.protocol import __main__ as command
from bench.protocol import distances, tiles
from bench.protocol.ablations import ABLATIONS
from bench.protocol.judges import Judges, judges_of
from bench.protocol.pictures import contact_sheet, rows_of
from bench.protocol.scores import Truth, _diversity, _fidelity, generation, score_run, without_noise
from bench.protocol.summary import _against, over_seeds, summarise
from bench.protocol.table import ablation_table, cell, markdown
from bench.protocol.trainings import (
    Entry,
    at_equal_seconds,
    budget,
    changes_by_recipe,
    diverged_records,
    entries_of,
    read_record,
    run_folder,
    sized,
)
from bench.protocol.trainings import train_all as train
from torch import nn

from conftest import make_dataset, make_pair
from orthoforge.config import load_recipe
from orthoforge.errors import ConfigError, DataError
from orthoforge.measures.realism.features import LiteFeatures, ScoreNetwork
from orthoforge.measures.segmenter.network import segmenter_network
from orthoforge.measures.segmenter.segmentation import Segmenter, SegmenterSettings, tile_sample, train_segmenter
from orthoforge.tiles.prepare import prepare
from orthoforge.trained_generator import load_generator

SMALL = {"generator": "resnet6", "generator_width": 2, "discriminator_width": 2, "precision": "float32"}


@pytest.mark.parametrize("tiles_in_training", [1, 7, 90, 298])
@pytest.mark.parametrize("crops", [1, 89, 600, 100_000])
def test_a_budget_is_the_least_number_of_whole_epochs_that_reaches_the_crops(crops, tiles_in_training):
    length = budget(crops, tiles_in_training)
    assert length.crops == length.epochs * length.crops_per_tile * tiles_in_training
    assert 0 <= length.crops - crops < max(60, tiles_in_training) * tiles_in_training
    assert length.epochs <= 60


def test_the_budget_of_a_hundred_thousand_crops_misses_by_less_than_a_hundredth():
    length = budget(100_000, 90)
    assert 20 <= length.epochs <= 60
    assert 100_000 <= length.crops < 101_000


def test_a_recipe_keeps_its_rates_and_the_proportions_of_its_schedule():
    recipe = sized(load_recipe("baseline"), budget(1000, 10), crop_px=64, batch=None)
    assert recipe.epochs == recipe.decay_epochs
    assert recipe.total_epochs * recipe.crops_per_tile * 10 == 1000
    assert (recipe.batch_size, recipe.learning_rate, recipe.lambda_l1, recipe.crop_px) == (16, 2e-4, 100.0, 64)
    assert sized(load_recipe("high-5x5"), budget(1000, 10), crop_px=64, batch=8).batch_size == 8


def test_what_is_set_reaches_the_recipes_that_are_named():
    changes = changes_by_recipe(["*.norm=group", "baseline.generator_width=8"])
    entries = entries_of(["baseline", "resize-conv"], 10, changes, {"baseline: hinge": {"gan_loss": "hinge"}})
    assert [dict(entry.changes) for entry in entries] == [
        {"norm": "group", "generator_width": "8"}, {"norm": "group"},
        {"norm": "group", "generator_width": "8", "gan_loss": "hinge"},
    ]  # fmt: skip
    assert [(entry.recipe, entry.ablates) for entry in entries] == [("baseline", ""), ("resize-conv", ""), ("baseline", "baseline")]
    with pytest.raises(ConfigError, match=r"RECIPE\.FIELD=VALUE"):
        changes_by_recipe(["baseline.nonsense=1"])
    with pytest.raises(ConfigError, match="not among the recipes"):
        entries_of(["baseline"], 10, changes_by_recipe(["resize-conv.norm=group"]), {})


@pytest.mark.parametrize("base", ["orthoforge-s", "orthoforge-m"])
def test_every_ablation_is_a_recipe_that_differs_from_its_base(base):
    for name, fields in ABLATIONS.items():
        assert load_recipe(base, **fields) != load_recipe(base), name


def test_quarters_are_those_of_each_tile_in_turn():
    numbers = np.arange(2 * 4 * 4).reshape(2, 4, 4)
    parts = tiles.quarters(numbers)
    assert parts.shape == (8, 2, 2)
    assert parts[1].tolist() == [[2, 3], [6, 7]]
    assert parts[4].tolist() == [[16, 17], [20, 21]]


def flat(*colours, side=8):
    """One image of each colour."""
    return np.stack([np.full((side, side, 3), colour, np.uint8) for colour in colours])


def test_histogram_distances_of_known_colours():
    black_and_white, black, dark = flat((0, 0, 0), (255, 255, 255)), flat((0, 0, 0)), flat((10, 10, 40))
    colours, levels = distances.colour_histograms, distances.band_histograms
    assert distances.colour_distance(colours(black_and_white), colours(black)) == pytest.approx(0.5)
    assert distances.colour_distance(colours(black), colours(dark)) == 1  # another bin of blue
    assert distances.level_distance(levels(black), levels(dark)) == pytest.approx((10 + 10 + 40) / 3)
    assert distances.level_distance(levels(black_and_white), levels(black)) == pytest.approx(255 / 2)
    for histogram, distance in ((colours, distances.colour_distance), (levels, distances.level_distance)):
        assert distance(histogram(dark), histogram(dark)) == pytest.approx(0)


def test_the_spectrum_of_a_flat_image_is_far_from_that_of_noise_and_near_itself():
    noise = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    of_noise, of_flat = distances.ring_decibels(noise), distances.ring_decibels(flat(*[(90, 90, 90)] * 4, side=32))
    assert distances.spectrum_distance(of_noise, of_flat) > 30
    assert distances.spectrum_distance(of_noise[:2], of_noise[2:]) < 3


def test_kernel_figures_of_equal_and_of_moved_sets():
    rng = np.random.default_rng(0)
    real, other = rng.normal(size=(2, 24, 6))
    scenes = [f"s{number // 4}" for number in range(24)]
    near, far = (distances.kernel_figures(fake, real, scenes) for fake in (other, other + 2))
    assert abs(near["above"]) < 0.1 * far["above"]
    assert far["above"] == pytest.approx(far["matched"] - far["floor"])
    assert np.percentile(far["draws"], 2.5) < far["above"] < np.percentile(far["draws"], 97.5)
    assert distances.kernel_figures(other, real, ["one"] * 24)["draws"] is None


def test_kernel_draws_vary_the_distance_above_the_floor_as_they_vary_the_distance():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(2, 12, 6))
    scenes = [f"s{number // 2}" for number in range(12)]
    figures, drawn = distances.kernel_figures(fake, real, scenes), distances.kernel_draws(fake, real, scenes)
    shift = figures["above"] - figures["value"]
    assert abs(shift) > 0.1 * np.std(figures["draws"])
    assert np.array(figures["draws"]) == pytest.approx(1000 * np.array(drawn) + shift)


def test_means_over_seeds_have_the_interval_of_scenes_and_seeds():
    narrow = over_seeds([1.0, 1.0], [[0.9, 1.1] * 50] * 2)
    wide = over_seeds([0.0, 2.0], [[-0.1, 0.1] * 50, [1.9, 2.1] * 50])
    assert narrow["mean"] == wide["mean"] == 1
    assert narrow["high"] - narrow["low"] == pytest.approx(0.2)
    assert wide["high"] - wide["low"] > 1.9
    assert cell(narrow, 1) == "1.0 (0.9 to 1.1)"
    assert cell({"mean": 2.0, "low": None, "high": None}, 0) == "2"
    assert cell({"mean": None, "low": None, "high": None}, 0) == "–"


def area_scores(kernel, fidelity, real_iou, without=None):
    """The scores of an area whose figures are 200 draws each: a kernel distance and fidelities by draw."""
    figures = {"above": float(np.mean(kernel)), "floor": 1.0, "draws": list(kernel)}
    shares = {"generated_iou": 0.0, "real_iou": real_iou, "share": float(np.mean(fidelity)), "draws": list(fidelity)}
    still = None if without is None else shares | {"share": float(np.mean(without)), "draws": list(without)}
    return {
        "tiles": 2, "scenes": 2, "kernel": {"lite": figures, "segmenter": figures}, "empty": {"quarters": 0}, "pixels": {},
        "fidelity": shares, "fidelity_eye": shares, "fidelity_without_noise": still,
        "diversity": {"share": 0.0, "share_error": 0.0},
    }  # fmt: skip


def run_scores(label, seed, areas, ablates=""):
    session = {"cpu": "c", "threads": 1, "gpu": None, "torch": "t"}
    record = {
        "label": label, "recipe": label, "changes": {}, "ablates": ablates, "seed": seed, "crops": 1, "crop_px": 1, "batch": 1,
        "seconds": 1.0, "images_per_s": 1.0, "sessions": [session],
    }  # fmt: skip
    return {"run": f"{label}-s{seed}", "record": record, "parameters": 1, "judged_by": {"tiles": "these"}, "areas": areas}


VARIED = np.random.default_rng(0).normal(0, 0.1, 200)


def test_fidelity_over_all_is_the_mean_of_the_places_worth_measuring():
    areas = {
        "all": area_scores([1.0] * 200, [2.0] * 200, 0.5),
        "weak": area_scores([1.0] * 200, 4 + VARIED, 0.29),
        "one": area_scores([1.0] * 200, 0.4 + VARIED, 0.3),
        "two": area_scores([1.0] * 200, 0.8 + VARIED, 0.7),
    }
    summary = summarise([run_scores("baseline", 0, areas)], baseline="baseline")
    figures = summary["rows"]["baseline"]["areas"]
    assert figures["all"]["fidelity"]["mean"] == pytest.approx(0.6 + VARIED.mean())
    assert figures["all"]["fidelity"]["places"] == ["one", "two"]
    assert figures["all"]["fidelity"]["pooled"]["mean"] == 2
    assert summary["beside"]["all"]["fidelity"] == pytest.approx(0.5)
    whole, alone = (figures[area]["fidelity"]["high"] - figures[area]["fidelity"]["low"] for area in ("all", "two"))
    assert 0.55 < whole / alone < 0.85  # places vary independently, though their draws are equal: 1 / √2
    text = markdown(summary, ["baseline"])
    assert "| baseline | all ‡ |" in text and "0.3 or more: one, two; for the eye" in text
    blind = {name: area_scores([1.0] * 200, 4 + VARIED, 0.2) for name in ("all", "one")}
    nothing = summarise([run_scores("baseline", 0, blind)], baseline="baseline")["rows"]["baseline"]["areas"]["all"]["fidelity"]
    assert (nothing["mean"], nothing["places"]) == (None, [])


def test_what_noise_does_to_fidelity_has_the_interval_of_the_pairs():
    with_noise, without = 0.5 + VARIED, 0.6 + VARIED
    one = area_scores([1.0] * 200, with_noise, 0.5, without)
    areas = {"all": one, "one": one, "two": area_scores([1.0] * 200, 0.1 + with_noise, 0.5, without)}
    figures = summarise([run_scores("baseline", 0, areas)], baseline="baseline")["rows"]["baseline"]["areas"]
    assert [figures["one"]["noise"][key] for key in ("mean", "low", "high")] == pytest.approx([-0.1] * 3)
    assert [figures["all"]["noise"][key] for key in ("mean", "low", "high")] == pytest.approx([-0.05] * 3)


def test_a_share_of_the_baseline_is_ours_by_theirs():
    ours, theirs = (run_scores("any", 0, {"all": area_scores([value] * 200, [1.0] * 200, 0.5)}) for value in (2.0, 4.0))
    share = _against([ours], [theirs], "all", "kernel_lite")
    assert [share[key] for key in ("mean", "low", "high")] == [0.5] * 3
    assert _against([ours], [], "all", "kernel_lite") is None


def test_an_ablation_is_compared_with_its_base_of_the_same_seed():
    bases = [run_scores("s", seed, {"all": area_scores(far + VARIED, [1.0] * 200, 0.5)}) for seed, far in ((0, 4), (1, 10))]
    ablation = run_scores("s: less", 0, {"all": area_scores(2 * (4 + VARIED), [1.0] * 200, 0.5)}, ablates="s")
    summary = summarise([*bases, ablation], baseline="baseline")
    share = summary["rows"]["s: less"]["areas"]["all"]["kernel_lite"]["of_base"]
    assert [share[key] for key in ("mean", "low", "high")] == pytest.approx([2] * 3)
    base, less = ablation_table(summary, "s").splitlines()[2:4]
    assert base.startswith("| s | 2 |") and "2.00 (2.00 to 2.00)" not in base
    assert less.startswith("| less | 1 |") and less.count("2.00 (2.00 to 2.00)") == 2


def test_the_table_says_which_seeds_diverged():
    areas = {"all": area_scores([1.0] * 200, [1.0] * 200, 0.5)}
    lost = [
        {"label": label, "seed": seed, "ablates": "", "tiles": "these"} for label, seed in (("half", 2), ("gone", 1), ("gone", 0))
    ]
    lost.append({"label": "half", "seed": 5, "ablates": "", "tiles": "others"})
    summary = summarise([run_scores("half", seed, areas) for seed in (0, 1)], baseline="baseline", diverged=lost)
    assert (summary["rows"]["half"]["seeds"], summary["rows"]["half"]["diverged"]) == ([0, 1], [2])
    assert summary["diverged"] == {"gone": {"seeds": [0, 1], "ablates": ""}}
    text = markdown(summary, ["half"])
    assert "| 2 of 3 seeds (1 diverged) |" in text and "`gone` (0 of 2 seeds, 2 diverged)" in text


def test_fidelity_is_the_iou_on_generated_images_by_that_on_real_ones():
    fake, real = np.zeros((2, 2, 7), int)
    fake[:, :3], real[:, :3] = [[1, 1, 0], [0, 0, 2]], [[1, 1, 0], [1, 0, 1]]  # hit, extra, missed
    figures = _fidelity(fake, real, ["a", "b"])
    assert (figures["generated_iou"], figures["real_iou"], figures["share"]) == (0.25, 0.5, 0.5)
    assert set(figures["draws"]) == {0.0, 0.5, 1.0}  # b twice, one each, a twice


def test_features_are_scaled_by_the_training_tiles_and_all_of_one_length():
    class Eye:
        def features(self, images):
            return np.array([[3.0, 1.0], [1.0, 6.0]])

    judges = Judges(Eye(), (np.array([1.0, 1.0]), np.array([0.5, 1.0])), ())
    assert judges.features(flat((0, 0, 0), (0, 0, 0))) == pytest.approx(np.sqrt(2) * np.eye(2))


def test_quarters_with_hardly_a_building_are_empty():
    mask = np.zeros((20, 20), np.uint8)
    mask[:10, 10:] = 255
    mask[10:12, :2] = 255  # 4 of 100 pixels
    mask[10:13, 10:12] = 255  # 6 of 100

    class Store:
        def tile(self, tile_id):
            return np.zeros((20, 20, 3), np.uint8), mask

    assert Truth(Store(), None, None, [0]).is_empty.tolist() == [True, False, True, False]


def test_the_austin_scenes_lie_from_north_to_south_and_then_to_the_east(tmp_path):
    for number in (0, 1, 19):
        make_pair(tmp_path / "data", f"inria_austin1_{number:02d}", 224, seed=number)
    store = tiles.make_tiles(tmp_path / "data", tmp_path / "out")
    first, below, beside = (
        next(row for row in store.rows if row.scene == f"austin_{number}").grid.bounds for number in ("00", "01", "19")
    )
    side = 224 * 0.3
    assert below == pytest.approx((first[0], first[1] - side, first[2], first[3] - side))
    assert beside == pytest.approx((first[0] + side, first[1], first[2] + side, first[3]))
    copies = [
        next(folder.glob("*austin*01.*")) for folder in (tmp_path / "out" / "scenes" / "images", tmp_path / "data" / "images")
    ]
    with tiles.open_raster(copies[0]) as staged, tiles.open_raster(copies[1]) as given:
        assert np.array_equal(tiles.read_image(staged), tiles.read_image(given))
        assert tuple(staged.grid.transform)[:6] == pytest.approx((0.3, 0, 0, 0, -0.3, -side))


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with tiles of two small towns, and one run of a tiny network."""
    out = tmp_path_factory.mktemp("work")
    names = [f"{place}{number}" for place in ("arden", "brennau") for number in (0, 1, 2, 3, 7, 8, 9, 17, 19)]
    scenes = make_dataset(tmp_path_factory.mktemp("scenes"), names, 64)
    prepare(scenes, out / "tiles", grid=1, size=64, split="digits")
    assert train(out, [Entry("baseline", "baseline", 1, SMALL)], [0], crop_px=32, batch=4, minutes=None)
    return out


def truth_of(work):
    """The held-out tiles, and judges that learnt nothing."""
    store = tiles.TileStore.open(work / "tiles")
    blind = Segmenter(segmenter_network(None, width=1, pretrained=False), SegmenterSettings(width=1), class_count=None)
    scale = np.zeros(320), np.ones(320)
    return Truth(
        store,
        Judges(blind, scale, ((store.ids("val"), blind), (store.ids("test"), blind))),
        LiteFeatures(),
        tiles.held_out(store).tolist(),
    )


def test_each_half_is_looked_at_by_who_learned_from_the_other(work, tmp_path):
    store = tiles.TileStore.open(work / "tiles")
    judges, settings = judges_of(store, tmp_path, steps=1, device="cpu"), SegmenterSettings(steps=1)
    learned = {
        split: train_segmenter(tile_sample(store, store.ids(split), settings), settings).sha256
        for split in ("train", "val", "test")
    }
    assert len({*learned.values()}) == 3
    assert [(ids.tolist(), judge.sha256) for ids, judge in judges.halves] == [
        (store.ids("val").tolist(), learned["test"]), (store.ids("test").tolist(), learned["val"]),
    ]  # fmt: skip
    assert judges.eye.sha256 == learned["train"]
    known = judges.eye.features(tiles.quarters(np.stack([store.tile(tile_id)[0] for tile_id in store.ids("train").tolist()])))
    assert judges.scale[0] == pytest.approx(known.mean(axis=0)) and judges.scale[1] == pytest.approx(known.std(axis=0), abs=2e-6)


def test_a_finished_run_is_skipped_and_another_length_is_refused(work, capsys):
    entry = Entry("baseline", "baseline", 1, SMALL)
    record = read_record(run_folder(work, "baseline", 0))
    assert record["finished"] and record["crops"] == record["epochs"] * len(tiles.TileStore.open(work / "tiles").ids("train"))
    assert record["sessions"][0]["torch"] and record["changes"] == SMALL
    assert train(work, [entry], [0], crop_px=32, batch=4, minutes=None)
    assert "finished before" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"begun with other settings: .*epochs"):
        train(work, [replace(entry, crops=1000)], [0], crop_px=32, batch=4, minutes=None)


def test_no_time_left_stops_before_a_run_and_asks_to_go_on(work):
    assert not train(work, [Entry("later", "baseline", 1, SMALL)], [0], crop_px=32, batch=4, minutes=0)
    assert not run_folder(work, "later", 0).exists()


def test_a_call_whose_time_is_over_saves_and_the_next_one_goes_on(work):
    entry = Entry("long", "baseline", 100_000, SMALL)
    assert not train(work, [entry], [0], crop_px=32, batch=4, minutes=0.05)
    assert not train(work, [entry], [0], crop_px=32, batch=4, minutes=0.05)
    record = read_record(run_folder(work, "long", 0))
    assert not record["finished"] and len(record["sessions"]) == 2
    assert all(session["wall_s"] < 20 for session in record["sessions"])


def test_the_cheaper_recipe_gets_as_many_crops_as_the_dearer_ones_time_allows(tmp_path):
    for label, seconds in (("cheap", 10.0), ("dear", 30.0), ("nearly", 29.0)):
        folder = run_folder(tmp_path, label, 0)
        folder.mkdir(parents=True)
        (folder / "protocol.json").write_text(json.dumps({"finished": True, "seconds": seconds}))
    entries = [Entry(label, label, 100) for label in ("cheap", "dear", "nearly")]
    assert [(entry.label, entry.recipe, entry.crops) for entry in at_equal_seconds(tmp_path, entries, [0])] == [
        ("cheap at equal seconds", "cheap", 300)
    ]
    with pytest.raises(ConfigError, match="not finished with all seeds"):
        at_equal_seconds(tmp_path, entries, [0, 1])


def test_a_run_is_scored_by_place_and_the_table_prints_it(work):
    colours = ScoreNetwork("colours", "mean", "0" * 64, "none", 3, lambda images: images.mean(dim=(2, 3)))
    truth = replace(truth_of(work), outside=colours)
    run = run_folder(work, "baseline", 0)
    generator = load_generator(run)
    scores = score_run(run, truth, read_record(run), generator)
    json.dumps(scores, allow_nan=False)
    assert scores["judged_by"]["colours"] == "0" * 64
    assert {*scores["areas"]["all"]["probe"]["by_group"]} == {"arden", "brennau"}  # each left out in turn
    assert scores["areas"]["all"]["probe"]["auc"] > 0.9  # one epoch's images are grey
    assert scores["areas"]["arden"]["kernel"]["outside"]["above"] > 0
    assert set(scores["areas"]) == {"all", "arden", "brennau"}
    assert scores["areas"]["all"]["tiles"] == sum(scores["areas"][place]["tiles"] for place in ("arden", "brennau"))
    assert scores["areas"]["arden"]["diversity"]["share"] == scores["areas"]["all"]["diversity"]["share"] == 0
    assert scores["areas"]["all"]["fidelity_without_noise"] is None
    masks = tiles.quarters(np.stack([truth.store.tile(tile_id)[1] for tile_id in truth.ids]))
    empty = sum((mask > 0).mean() < 0.05 for mask in masks)
    assert scores["areas"]["all"]["empty"]["quarters"] == empty != len(masks) - empty
    other = json.loads(json.dumps(scores))
    other["record"] |= {"label": "other", "ablates": ""}
    summary = summarise([scores, other], baseline="baseline")
    assert summary["rows"]["other"]["areas"]["all"]["kernel_lite"]["of_baseline"]["mean"] == pytest.approx(1)
    text = markdown(summary, ["baseline", "other"])
    assert "| other | arden |" in text and "generator_width 2" in text
    other["judged_by"] |= {"tiles": "others"}
    with pytest.raises(DataError, match="judged otherwise"):
        summarise([scores, other], baseline="baseline")


def test_what_diverged_is_called_so_and_not_scored(tmp_path, work, capsys, monkeypatch):
    (tmp_path / "tiles").symlink_to(work / "tiles")
    for name, diverged in (("lost-s0", "loss is NaN"), ("begun-s0", "")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "protocol.json").write_text(
            json.dumps({"finished": False, "diverged": diverged, "label": name})
        )
    judges = truth_of(work).judges
    monkeypatch.setattr("bench.protocol.judges.judges_of", lambda *_, **__: judges)
    assert command.score(argparse.Namespace(out=tmp_path, judge_steps=1, device="cpu", geoembed=False)) == 0
    assert capsys.readouterr().out.splitlines() == ["begun-s0: not finished, so not scored", "lost-s0: diverged, so not scored"]
    assert [record["label"] for record in diverged_records(tmp_path)] == ["lost-s0"]


def test_the_sheet_of_pictures_holds_no_real_image(work):
    store = tiles.TileStore.open(work / "tiles")
    generator = load_generator(run_folder(work, "baseline", 0))
    rows = rows_of(store, generator, generator, count=1)
    assert [row.place for row in rows] == ["arden", "brennau"]
    assert [name for name, _ in rows[0].pictures] == ["mask", "baseline", "baseline"]
    sheet = contact_sheet(rows)
    changed = [replace(row, real=255 - row.real) for row in rows]
    assert np.array_equal(contact_sheet(changed), sheet)


class Styled:
    """A generator whose image is its style's name, by length."""

    styles = ("arden", "brennau")
    length = 0

    def with_style(self, style):
        styled = Styled()
        styled.length = len(style)
        return styled

    def __call__(self, mask, *, seed):
        return np.full((*mask.shape, 3), self.length, np.uint8)


def test_a_generator_with_styles_is_asked_for_the_tiles_place(work):
    store = tiles.TileStore.open(work / "tiles")
    generate = generation(Styled(), store)
    for tile_id in (0, len(store.rows) - 1):
        assert generate(tile_id, 0).max() == len(store.rows[tile_id].place)


class Random:
    """A generator whose image is its seed's."""

    styles = ()

    def __call__(self, mask, *, seed):
        return np.random.default_rng(seed).integers(0, 256, (*mask.shape, 3), np.uint8)


def test_only_what_depends_on_the_seed_is_diverse(work):
    truth = truth_of(work)
    generate = generation(Random(), truth.store)
    assert np.array_equal(generate(0, 5), generate(0, 5)) and not np.array_equal(generate(0, 5), generate(0, 6))
    at = truth.areas()["arden"]
    diverse = _diversity(truth, at, generate)
    assert diverse["share"] > 0.1 and diverse["share"] == pytest.approx(diverse["value"] / diverse["between_masks"])
    assert _diversity(truth, at, lambda tile_id, seed: generate(tile_id, 0))["share"] == 0


class Noise(nn.Module):
    """Adds its weight."""

    def __init__(self):
        super().__init__()
        self.weight, self.noise_fields = nn.Parameter(torch.ones(1)), ()


def test_noise_is_taken_out_of_a_copy_only(work):
    generator = load_generator(run_folder(work, "baseline", 0))
    assert without_noise(generator) is None
    generator.network.added = Noise()
    calm = without_noise(generator)
    assert (calm.network.added.weight.item(), generator.network.added.weight.item()) == (0, 1)
