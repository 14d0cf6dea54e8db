"""``python -m bench.gpu``: it runs where there is no GPU, at tiny size, so that it still runs where there is one."""

import json
from dataclasses import replace

import pytest
import torch
from bench import gpu, small_store

TINY = [
    replace(gpu.Setting("baseline", "float32", 2, is_plain=True), is_tiny=True),
    gpu.Setting("orthoforge-m", "bf16", 2, is_tiny=True),
]


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    return small_store(tmp_path_factory.mktemp("gpu"), size_px=96).path


@pytest.fixture
def few_steps(monkeypatch):
    monkeypatch.setattr(gpu, "STEPS_A_READING", 2)
    monkeypatch.setattr(gpu, "WARM_UP_STEPS", 1)


def test_settings_are_measured_by_steps_alone_and_as_train_does_them(tiles, few_steps):
    plain, ours = (gpu.measured(setting, tiles, "cpu", 0) for setting in TINY)
    assert plain.keys() == {"crops_per_s", "first_steps_s", "memory_gb"}
    assert ours.keys() == plain.keys() | {"with_cutting"}
    assert all(value > 0 for name, value in (plain | ours).items() if name != "memory_gb")
    before = torch.backends.cudnn.benchmark
    assert not before, "switches are as they were"


def test_what_is_measured_is_the_recipe_at_the_size_of_the_goal():
    recipes = {setting: gpu.load_recipe(setting.recipe, **setting.recipe_fields()) for setting in gpu.SETTINGS}
    assert {(recipe.name, recipe.crop_px) for recipe in recipes.values()} == {("baseline", 256), ("orthoforge-m", 128)}
    assert {recipe.generator_width for recipe in recipes.values()} == {64, 40}
    assert {recipe.compile for recipe in recipes.values()} == {False, True}
    assert len({setting.name for setting in gpu.SETTINGS}) == len(gpu.SETTINGS)


def test_a_rate_is_the_median_over_readings(monkeypatch):
    now = iter([0.0, 0.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 7.0, 7.0])
    monkeypatch.setattr(gpu.time, "perf_counter", lambda: next(now))
    taken = []
    rate = gpu._rate(4, iter([lambda: taken.append(1)] * 100), lambda: taken.append(0), 5)
    assert rate == 10 * 4 / 2, "of 1, 2 and 4 seconds for ten steps"
    assert taken == [*[1] * 10, 0] * 3


def test_settings_run_in_processes_within_their_share_and_failures_are_told(tmp_path, monkeypatch, capsys):
    asked = []

    def run(command, timeout, **options):
        given = json.loads(command[-1])
        asked.append((given["setting"]["precision"], timeout))
        if given["setting"]["compile"]:
            raise gpu.subprocess.TimeoutExpired(command, timeout)
        refused = given["setting"]["precision"] == "tf32"
        found = {"crops_per_s": 700.0, "with_cutting": 500.0, "first_steps_s": 1.0, "memory_gb": 2.0}
        words = {"stdout": "" if refused else f"said\n{json.dumps(found)}\n", "stderr": "ConfigError: no" if refused else ""}
        return gpu.subprocess.CompletedProcess(command, int(refused), **words)

    monkeypatch.setattr(gpu.subprocess, "run", run)
    assert gpu.main(["--device", "cpu", "--only", "baseline", "--minutes", "10", "--out", str(tmp_path / "gpu.json")]) == 0
    report = json.loads((tmp_path / "gpu.json").read_text())
    told = {setting["name"]: setting for setting in report["settings"]}
    assert told["baseline, tf32, batch 16"]["failed"] == "ConfigError: no"
    assert told["baseline, bf16, compiled, batch 16"]["failed"].startswith("no figure within its ")
    assert told["baseline, bf16, batch 64"]["crops_per_s"] == 700
    assert report["goals"] == [
        "baseline, float32, batch 16: 700 crops/s at 256 px (goal 600), 1.0 times plain eager (goal 4)",
        "orthoforge-m: no figure",
    ]
    assert [name for name, _ in asked] == ["float32", "float32", "tf32", "bf16", "bf16", "bf16", "bf16"]
    shares = [seconds for _, seconds in asked]
    assert shares[0] == pytest.approx(600 / 11, rel=0.1) and shares[-2] > 2.5 * shares[0]
    assert "no figure within its" in capsys.readouterr().err


def test_a_process_of_its_own_gives_the_figures(tiles):
    found = gpu.in_child(TINY[0], tiles, "cpu", 300)
    assert found.get("crops_per_s", 0) > 0, found
