"""``train --dry-run``: right numbers, measured on real steps, and no trace; and what is said of a store that is too small."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from harness import make_tiles, tiny
from test_material import recipe as on_material

from orthoforge import run_files
from orthoforge.cli import main
from orthoforge.config import recipe_values
from orthoforge.plain_yaml import dump_yaml
from orthoforge.tiles.material import MATERIAL_GSD_M
from orthoforge.tiles.store import TileStore
from orthoforge.training import dry_run as dry_run_module
from orthoforge.training import fitting, train
from orthoforge.training.dry_run import TRIED_CANVASES, TRIED_STEPS, dry_run
from orthoforge.training.fitting import LEAST_STEPS, notes_on_tiles


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    return make_tiles(tmp_path_factory.mktemp("dry"))


@pytest.fixture
def clock(monkeypatch):
    """A clock on which a step takes 2 s (the first one 5 s) and a validation 3 s."""
    now, train_step, validate = [0.0], dry_run_module.train_step, dry_run_module.validate

    def step(*words):
        now[0] += 5 if now[0] == 0 else 2
        return train_step(*words)

    def validation(*words):
        now[0] += 3
        return validate(*words)

    monkeypatch.setattr(dry_run_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(dry_run_module, "train_step", step)
    monkeypatch.setattr(dry_run_module, "validate", validation)
    return now


def test_it_measures_steps_and_leaves_no_trace(tiles, tmp_path, monkeypatch, clock):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    found = dry_run(tiny(), tiles, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    assert torch.equal(torch.rand(3), expected), "torch's random state is as it was"
    assert (found.steps_an_epoch, found.epochs_left, found.steps, found.tried_steps) == (3, 5, 15, TRIED_STEPS)
    assert (found.step_s, found.validation_s) == (2, 3 * 4 / 3)  # 4 tiles to validate, 3 in a batch
    assert found.seconds == 5 * (3 * 2 + 4)
    text = "\n".join(found.lines())
    assert "steps   15: 8 tiles, 3 steps an epoch, 5 epochs" in text
    assert "time    about 50 s: 10 s an epoch" in text
    assert "Nothing was written" in text


def test_slow_steps_are_not_tried_long(tiles, tmp_path, monkeypatch, clock):
    monkeypatch.setattr(dry_run_module, "LONGEST_TRIAL_S", 6)
    assert dry_run(tiny(), tiles, tmp_path / "run").tried_steps == 2


def test_the_disk_that_it_names_holds_the_run(tiles, tmp_path, monkeypatch):
    monkeypatch.setattr(run_files, "plot_results", lambda run: None)
    found = dry_run(tiny(), tiles, tmp_path / "run")
    run = train(tiny(epochs=1, decay_epochs=0), tiles, tmp_path / "run", quiet=True)
    one = sum(path.stat().st_size for path in (run / "weights" / "last").iterdir())
    assert one < found.run_bytes < 8 * one
    assert found.run_bytes < found.free_bytes


def test_of_a_run_it_is_the_epochs_that_are_left(tiles, tmp_path, monkeypatch):
    monkeypatch.setattr(run_files, "plot_results", lambda run: None)
    run = train(tiny(), tiles, tmp_path / "run", stop_after=2, quiet=True)
    found = dry_run(tiny(), tiles, run, resume=True)
    assert (found.epochs_left, found.steps) == (3, 9)
    assert "5 epochs, of which 3 are left" in "\n".join(found.lines())
    assert dry_run(tiny(), tiles, run).epochs_left == 5


def test_canvases_are_counted_and_a_few_of_them_composed(tmp_path):
    tiles = make_tiles(tmp_path, ("arden1", "arden2", "brennau1", "brennau7"), size=64)
    found, store = dry_run(on_material(), tiles, tmp_path / "run"), TileStore.open(tiles)
    assert found.canvases == 2 * len(store.ids("train")) + len(store.ids("val"))
    assert found.canvas_bytes == found.canvases * 64 * 64 * 3
    assert found.canvas_s > 0 and found.canvases > TRIED_CANVASES
    assert f"for {found.canvases} canvases" in "\n".join(found.lines())
    assert not (tmp_path / "run").exists()


def test_on_the_command_line(tiles, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(dump_yaml(recipe_values(tiny())))
    assert main(["train", "tiny.yaml", "--data", str(tiles), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("tiny on cpu")
    assert "measured here" in out and "too few for images" in out
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


def test_train_warns_of_a_store_that_is_too_small_and_says_what_to_do(tiles, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_files, "plot_results", lambda run: None)
    train(tiny(epochs=1, decay_epochs=0), tiles, tmp_path / "run")
    said = capsys.readouterr().out
    assert f"3 steps are too few for images to use (8 crops an epoch in batches of 3, 1 epoch; at least {LEAST_STEPS}" in said
    assert "--epochs 134." in said and "--init-from RUN" in said and "--material-from" not in said
    store = TileStore.open(tiles)
    for gsd_m, is_offered in ((MATERIAL_GSD_M, True), (store.gsd_m, False)):
        (note,) = notes_on_tiles(tiny(epochs=1, decay_epochs=0), replace(store, gsd_m=gsd_m), from_scratch=True)
        assert (f"--material-from {tiles}" in note) == is_offered


def test_a_finished_run_and_trained_weights_are_not_warned_of(tiles, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_files, "plot_results", lambda run: None)
    recipe = tiny(epochs=1, decay_epochs=0)
    train(recipe, tiles, tmp_path / "run")
    assert "too few" in capsys.readouterr().out
    train(recipe, tiles, tmp_path / "run", resume=True)
    assert "too few" not in capsys.readouterr().out
    train(recipe, tiles, tmp_path / "next", init_from=tmp_path / "run", stop_after=1)
    assert "too few" not in capsys.readouterr().out
    longer = tiny(epochs=2, decay_epochs=0)
    assert dry_run(recipe, tiles, tmp_path / "run", resume=True).notes == ()
    assert any("too few" in note for note in dry_run(longer, tiles, tmp_path / "run", resume=True).notes)


@pytest.mark.parametrize(("epochs", "is_warned"), [(133, True), (134, False)])
def test_the_number_of_steps_that_it_warns_below(tiles, epochs, is_warned):
    notes = notes_on_tiles(tiny(epochs=epochs, decay_epochs=0), TileStore.open(tiles))
    assert any("too few" in note for note in notes) == is_warned, "3 steps an epoch; 400 are needed"
    assert fitting.LEAST_STEPS == 400


def test_the_first_steps_of_a_long_training_tell_how_long_it_takes(tiles, tmp_path, monkeypatch, capsys):
    from orthoforge.training import loop

    monkeypatch.setattr(run_files, "plot_results", lambda run: None)
    now, train_step = [0.0], loop.train_step

    def step_of_a_minute(training, batch):
        now[0] += 90 if now[0] == 0 else 60
        return train_step(training, batch)

    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(loop, "train_step", step_of_a_minute)
    train(tiny(), tiles, tmp_path / "run", stop_after=1)
    said = [line for line in capsys.readouterr().out.splitlines() if "by the first" in line]
    assert said == ["about 60 s a step by the first 3: 3 min an epoch, 12 min to the end, besides validation"]
