"""The protocol's arithmetic, distances and tables; and one small run through training, judging and scoring."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from bench.protocol import distances, tiles
from bench.protocol.judges import Judges
from bench.protocol.pictures import contact_sheet, rows_of
from bench.protocol.scores import Truth, generation, score_run, without_noise
from bench.protocol.table import cell, markdown, over_seeds, summarise
from bench.protocol.trainings import (
    Entry,
    _OutOfTime,
    _stopped_at,
    at_equal_seconds,
    budget,
    changes_by_recipe,
    entries_of,
    read_record,
    run_folder,
    sized,
)
from bench.protocol.trainings import train_all as train
from torch import nn

from conftest import make_dataset
from orthoforge import runs
from orthoforge.config import load_recipe
from orthoforge.errors import ConfigError, DataError
from orthoforge.evaluation.realism.features import LiteFeatures
from orthoforge.evaluation.segmenter.network import segmenter_network
from orthoforge.evaluation.segmenter.segmentation import Segmenter, SegmenterSettings
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


def test_means_over_seeds_have_the_interval_of_scenes_and_seeds():
    narrow = over_seeds([1.0, 1.0], [[0.9, 1.1] * 50] * 2)
    wide = over_seeds([0.0, 2.0], [[-0.1, 0.1] * 50, [1.9, 2.1] * 50])
    assert narrow["mean"] == wide["mean"] == 1
    assert narrow["high"] - narrow["low"] == pytest.approx(0.2)
    assert wide["high"] - wide["low"] > 1.9
    assert cell(narrow, 1) == "1.0 (0.9 to 1.1)"
    assert cell({"mean": 2.0, "low": None, "high": None}, 0) == "2"
    assert cell({"mean": None, "low": None, "high": None}, 0) == "–"


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with tiles of two small towns, and one run of a tiny network."""
    out = tmp_path_factory.mktemp("work")
    names = [f"{place}{number}" for place in ("arden", "brennau") for number in (0, 1, 2, 3, 7, 8, 9, 17, 19)]
    scenes = make_dataset(tmp_path_factory.mktemp("scenes"), names, 64)
    prepare(scenes, out / "tiles", grid=1, size=64, split="digits")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "plot_results", lambda run: None)
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
    truth = truth_of(work)
    run = run_folder(work, "baseline", 0)
    generator = load_generator(run)
    scores = score_run(run, truth, read_record(run), generator)
    json.dumps(scores, allow_nan=False)
    assert set(scores["areas"]) == {"all", "arden", "brennau"}
    assert scores["areas"]["all"]["tiles"] == sum(scores["areas"][place]["tiles"] for place in ("arden", "brennau"))
    assert scores["areas"]["arden"]["diversity"]["share"] == scores["areas"]["all"]["diversity"]["share"] == 0
    assert scores["areas"]["all"]["fidelity_without_noise"] is None
    other = json.loads(json.dumps(scores))
    other["record"] |= {"label": "other", "ablates": ""}
    summary = summarise([scores, other], baseline="baseline")
    assert summary["rows"]["other"]["areas"]["all"]["kernel_lite"]["of_baseline"]["mean"] == pytest.approx(1)
    text = markdown(summary, ["baseline", "other"])
    assert "| other | arden |" in text and "generator_width 2" in text
    other["judged_by"] |= {"tiles": "others"}
    with pytest.raises(DataError, match="judged otherwise"):
        summarise([scores, other], baseline="baseline")


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


def test_a_call_whose_time_is_over_stops_what_does_not_listen():
    began = time.monotonic()
    with pytest.raises(_OutOfTime), _stopped_at(began + 0.05):
        time.sleep(10)
    assert time.monotonic() - began < 5
