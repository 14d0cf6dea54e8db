"""What differs is found, whatever fields a recipe has."""

import re

import pytest

from made_runs import RECIPE
from orthoforge.comparison.compared_runs import ComparedRun
from orthoforge.comparison.settings import (
    all_settings,
    differences_table,
    differing_fields,
    duration,
    facts_table,
    money,
    run_facts,
    settings_of,
    shown_value,
)
from orthoforge.config import recipe_values
from orthoforge.run_files import ArgsTiles, RunArgs
from page_checks import read_page


def run(tmp_path, label="run", results=(), **changes) -> ComparedRun:
    return ComparedRun(tmp_path / label, label, recipe_values(RECIPE) | {"name": label} | changes, None, list(results))


def test_fields_that_nobody_knew_are_compared_too(tmp_path):
    runs = [run(tmp_path, "a"), run(tmp_path, "b", sharpness=0.5, panels_every=3, description="other")]
    assert differing_fields([settings_of(one) for one in runs]) == ["sharpness"]
    text = read_page(differences_table(runs)[0]).text
    assert "sharpness" in text and "0.5" in text and "description" not in text


def test_an_older_run_had_what_is_now_the_default(tmp_path):
    older = run(tmp_path, "older")
    del older.settings["beta1"], older.settings["upsample"]
    assert differing_fields([settings_of(older), settings_of(run(tmp_path))]) == []
    changed = run(tmp_path, beta1=0.9)
    assert differing_fields([settings_of(older), settings_of(changed)]) == ["beta1"]
    assert "–" in read_page(all_settings([older, changed])).text


def test_few_runs_that_differ_in_much_are_set_side_by_side(tmp_path):
    runs = [run(tmp_path, "a"), run(tmp_path, "b", **{f"knob{i}": i for i in range(9)})]
    table = differences_table(runs)[0]
    assert [re.sub(r"<.*?>", "", head) for head in re.findall(r'<th scope="col".*?</th>', table)] == ["Run", "a", "b"]
    assert table.count('<th scope="row">') == 1 + 9 and table.count("<mark>") == 9
    runs[1].settings.pop("knob0")
    assert differences_table(runs)[0].count('<th scope="row">') == 2


def test_same_recipes_are_said_to_be_the_same(tmp_path):
    assert "the same in everything" in differences_table([run(tmp_path, "a"), run(tmp_path, "b")])[0]
    assert differences_table([run(tmp_path)]) == []


def test_facts_of_a_run_without_curves_are_unknown(tmp_path):
    facts = run_facts(run(tmp_path), 2.0)
    assert {name for name, value in facts.items() if value is None} == {
        "images_seen", "seconds_per_epoch", "seconds", "cost", "init_from",
    }  # fmt: skip
    assert facts["epochs"] == 0 and facts["planned_epochs"] == RECIPE.total_epochs
    page = read_page(facts_table([run(tmp_path)], [facts], "€"))
    assert "0 of 4" in page.text and "Cost" not in page.text and page.tags.count("mark") == 1


def test_facts_of_rows_are_their_sums(tmp_path):
    rows = [{"epoch": i, "seconds": s, "images_per_s": 100 / s} for i, s in ((1, 10.0), (2, 4.0), (3, 6.0))]
    facts = run_facts(run(tmp_path, results=rows), 36.0)
    assert (facts["seconds"], facts["seconds_per_epoch"], facts["images_seen"]) == (20, 6, 300)
    assert facts["cost"] == pytest.approx(0.2)


def test_values_are_short():
    assert [shown_value(value) for value in (2e-4, True, None, "", [], ["a", 1.0], 3, "ab" * 32)] == [
        "0.0002", "yes", "none", "none", "none", "a, 1", "3", "abababababab…",
    ]  # fmt: skip
    assert [duration(seconds) for seconds in (None, 3.26, 245, 90_600)] == ["–", "3.3 s", "4 min 05 s", "25 h 10 min"]
    assert [money(amount, "€") for amount in (16, 0.0075, 0)] == ["16.00 €", "0.0075 €", "0.00 €"]


def test_settings_without_effect_do_not_differ(tmp_path):
    plain = run(tmp_path, "plain")
    idle = run(tmp_path, "idle", perceptual="vgg19", perceptual_layers=["relu5_4"], step_epochs=3)
    assert differing_fields([settings_of(plain), settings_of(idle)]) == []
    seen = run(tmp_path, "seen", lambda_perceptual=1.0)
    assert {"lambda_perceptual", "perceptual", "perceptual_layers"} <= set(
        differing_fields([settings_of(plain), settings_of(seen)])
    )
    alone = run(tmp_path, "alone", gan_loss="none")
    differing = differing_fields([settings_of(plain), settings_of(alone)])
    assert {name for name in differing if not name.startswith("discriminator")} == {"gan_loss"}


def test_many_runs_that_differ_in_much_are_told_by_what_each_changes(tmp_path):
    runs = [run(tmp_path, f"run{i}", **({f"knob{i}": i} if i else {})) for i in range(10)]
    table = differences_table(runs)[0]
    assert [re.sub(r"<.*?>", "", head) for head in re.findall(r'<th scope="col".*?</th>', table)] == ["Run", "Other than in run0"]
    assert re.findall(r"<mark>(.*?)</mark>", table) == [f"knob{i} {i}" for i in range(1, 10)]


def test_hardware_that_is_the_same_everywhere_is_said_once(tmp_path):
    runs = [run(tmp_path, name) for name in "ab"]
    for one, device in zip(runs, ("cpu", "NVIDIA H100"), strict=True):
        one.args = RunArgs({}, "", None, ArgsTiles(), {"device": device, "init": 1})
    other = read_page(facts_table(runs, [run_facts(one, None) for one in runs], "€")).text
    assert "Hardware" in other and "NVIDIA H100" in other
    runs[1].args = runs[0].args
    same = read_page(facts_table(runs, [run_facts(one, None) for one in runs], "€")).text
    assert "Hardware" not in same and same.count("cpu") == 1
