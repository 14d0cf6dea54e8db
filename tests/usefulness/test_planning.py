"""What an experiment can show, before it is run."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orthoforge.errors import ConfigError, DataError
from orthoforge.usefulness.paired_statistics import t_interval, t_quantile
from orthoforge.usefulness.planning import PUBLISHED, Spread, expected, plan_lines, spread_of

FLAT = Spread(0.02, 0.0, "by hand")


def test_without_scenes_the_reach_is_students():
    row = expected(5, 40, FLAT)
    # The mean of a sample's standard deviation of 5 normal draws is 0.94 of the true one.
    assert row.seeds_reach == pytest.approx(t_quantile(4) * 0.94 * 0.02 / 5**0.5, rel=0.03)
    assert row.scenes_reach < row.seeds_reach


def test_a_gain_of_the_smallest_size_is_seen_by_four_of_five_experiments():
    smallest = expected(5, 40, FLAT).smallest
    rng = np.random.default_rng(9)
    seen = [t_interval(rng.normal(smallest, FLAT.seeds, 5).tolist())[0] > 0 for _ in range(600)]
    assert np.mean(seen) == pytest.approx(0.8, abs=0.05)


@given(st.integers(2, 15), st.integers(2, 60))
def test_more_seeds_and_more_scenes_show_smaller_gains(seeds, scenes):
    spread = Spread(0.02, 0.05, "")
    here = expected(seeds, scenes, spread).smallest
    noise = 1.01  # of the simulation
    assert expected(seeds + 5, scenes, spread).smallest < noise * here
    assert expected(seeds, 3 * scenes, spread).smallest < noise * here
    assert expected(seeds + 5, 3 * scenes, spread).smallest < 0.95 * here


def test_one_seed_has_no_interval():
    with pytest.raises(ConfigError, match="an interval takes two"):
        expected(1, 10, FLAT)


def test_a_plan_says_how_many_seeds_or_that_none_are_enough():
    enough = plan_lines(3, 200, 400, FLAT)
    assert enough[0].startswith("400 test tiles of 200 scenes")
    number = int(next(line for line in enough if "seeds are needed" in line).split("0.02, ")[1].split()[0])
    assert expected(number, 200, FLAT).smallest <= 0.02 < expected(number - 1, 200, FLAT).smallest
    assert "3 are too few" in enough[-1]
    few = plan_lines(3, 6, 12, Spread(0.02, 0.2, ""))
    assert "No number of seeds shows a gain of 0.02 on 6 scenes: it takes some" in few[-1]
    assert len([line for line in few if line.strip()[:2].strip().isdigit() and "±" in line]) == 5


def test_the_spread_of_a_pilot_is_taken_apart_into_seeds_and_scenes(tmp_path):
    error, scenes = 0.01, 25
    width = 1.959964 * (error**2 + 0.04**2 / scenes) ** 0.5
    entry = {"standard_error": error, "n": 4, "bootstrap_interval": [0.03 - width, 0.03 + width]}
    found = {"by_fraction": [{"difference": entry}], "data": {"test_scenes": scenes}}
    (tmp_path / "utility.json").write_text(json.dumps(found))
    spread = spread_of(tmp_path)
    assert (spread.seeds, spread.scenes) == (pytest.approx(0.02), pytest.approx(0.04))
    entry["bootstrap_interval"] = None
    (tmp_path / "utility.json").write_text(json.dumps(found))
    with pytest.raises(DataError, match="one test scene"):
        spread_of(tmp_path)
    assert PUBLISHED.seeds > 0 < PUBLISHED.scenes
