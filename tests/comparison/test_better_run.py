"""Which run is called better: where the intervals allow it, and only of enough tiles."""

from types import SimpleNamespace

import numpy as np
import pytest

from orthoforge.comparison.scores import RunScores, ScoredSet
from orthoforge.comparison.verdict import LEAST_SCENES, LEAST_TILES, interval, verdict

REAL_DETAIL = 10.0


def run(label):
    return SimpleNamespace(label=label)


def scores(ssim, detail, *, tiles=40, scenes=10, seed=0, spread=0.02):
    """Of a run whose SSIM and detail are about so much, on tiles that all runs here share."""
    rng = np.random.default_rng(seed)
    rows = [SimpleNamespace(sha256=f"tile{i}", scene=f"town{i % scenes}") for i in range(tiles)]
    found = [
        {"ssim": ssim + rng.normal(0, spread), "detail_levels": detail + rng.normal(0, 10 * spread), "psnr": 20.0, "l1_levels": 9.0}
        for _ in rows
    ]
    scored = ScoredSet(SimpleNamespace(rows=rows), "test", list(range(tiles)), [], "", [REAL_DETAIL] * tiles)
    return RunScores(scored, found, "sha", 100)


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ((0.6, 9.0), "second is better than first: closer to the real images pixel by pixel (SSIM higher by 0."),
        ((0.4, 3.0), "first is better than second: closer to the real images pixel by pixel (SSIM higher by 0."),
        ((0.6, 3.0), "Neither first nor second is better: second is closer to the real images pixel by pixel"),
        ((0.6, 6.0), "second is closer to the real images than first pixel by pixel"),
        ((0.5, 9.0), "second is closer to the real images than first in detail; pixel by pixel they cannot be told apart"),
        ((0.5, 6.0), "first and second cannot be told apart; a difference in SSIM of 0.0"),
    ],
)
def test_what_is_said_of_two_runs(second, words):
    said = verdict([run("first"), run("second")], [scores(0.5, 6.0), scores(*second, seed=1)])
    assert said.startswith(words)
    assert "orthoforge evaluate" in said, "how real they look is another question"


@pytest.mark.parametrize(
    ("tiles", "scenes", "is_said"),
    [(LEAST_TILES - 1, LEAST_SCENES - 1, False), (LEAST_TILES, 1, True), (LEAST_SCENES, LEAST_SCENES, True)],
)
def test_of_too_few_nothing_is_said(tiles, scenes, is_said):
    """However large the difference is."""
    both = [scores(0.2, 2.0, tiles=tiles, scenes=scenes), scores(0.9, 10.0, tiles=tiles, scenes=scenes, seed=1)]
    said = verdict([run("first"), run("second")], both)
    assert said.startswith("second is better") == is_said
    if not is_said:
        assert said.startswith(f"Too few to tell whether second is better than first: {tiles} tiles of {scenes} scenes;")


def test_tiles_of_one_scene_are_no_independent_evidence():
    """A hundred tiles of which each scene's are alike say as much as its scenes."""
    of_scene = np.random.default_rng(3).normal(0.1, 0.2, 8)
    scenes = [f"town{i % 8}" for i in range(800)]
    by_tile = [float(of_scene[i % 8]) for i in range(800)]
    found = interval(by_tile, scenes)
    expected = interval(of_scene.tolist(), [f"town{i}" for i in range(8)])
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_the_interval_holds_the_true_difference_in_19_of_20_cases():
    rng = np.random.default_rng(5)
    scenes = [f"town{i}" for i in range(12)]
    found = [interval(rng.normal(0.3, 1, 12).tolist(), scenes) for _ in range(1000)]
    assert 0.93 < np.mean([one.low < 0.3 < one.high for one in found]) < 0.97


def test_many_comparisons_are_held_to_more():
    rng, scenes = np.random.default_rng(5), [f"town{i}" for i in range(12)]
    values = rng.normal(0.3, 1, 12).tolist()
    assert interval(values, scenes, comparisons=10).low < interval(values, scenes).low


def test_one_run_or_none_with_scores_has_no_verdict():
    assert verdict([run("first")], [scores(0.5, 6)]) == ""
    assert verdict([run("first"), run("second")], [scores(0.5, 6), None]).startswith("No verdict on which run is better")
    apart = scores(0.5, 6)
    apart.scored.store.rows = [SimpleNamespace(sha256=f"other{i}", scene="x") for i in range(40)]
    assert "were scored on different tiles" in verdict([run("first"), run("second")], [scores(0.5, 6), apart])


def test_of_many_runs_some_are_named():
    many = [scores(0.5 + 0.1 * i, 6, seed=i) for i in range(8)]
    said = verdict([run(f"run{i}") for i in range(8)], many)
    assert "run4" in said and "run5" not in said
    assert "3 more are in the table of scores." in said
