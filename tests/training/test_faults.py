"""Faults injected for real into trainings: what each does, says and leaves."""

import contextlib
import json
import re
import shutil
import signal
import time
import warnings

import numpy as np
import pytest
import torch
from harness import Trainers, assert_same_run, begun, hidden_leftovers, make_tiles, rows, tiny
from safetensors.torch import load_file

from orthoforge import checkpoint_state, run_files
from orthoforge.checkpoint_files import load_checkpoint, save_checkpoint
from orthoforge.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    DivergedError,
    OutputExistsError,
    ResourceError,
    exit_code,
)
from orthoforge.masks.classes import Classes
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import load_generator
from orthoforge.training import loop, saving, train
from orthoforge.training import step as training_step
from orthoforge.training.batches import epoch_batches
from orthoforge.training.known_classes import require_classes
from small_disk import small_disk

SHORT = tiny(epochs=2, decay_epochs=1)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    return make_tiles(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="module")
def trainers(warm_python):
    return Trainers(warm_python)


def as_in_children(patch):
    """The settings that ``child.install_hooks`` makes, so that runs of both can be compared."""
    patch.setattr(loop, "STEPS_BETWEEN_CURVE_POINTS", 2)


@pytest.fixture(autouse=True)
def _as_in_children(monkeypatch):
    as_in_children(monkeypatch)


@pytest.fixture(scope="module")
def finished(tiles, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        as_in_children(patch)
        return train(SHORT, tiles, tmp_path_factory.mktemp("runs") / "finished", quiet=True)


@pytest.fixture
def no_step(monkeypatch):
    """Fails when a step is taken."""
    monkeypatch.setattr(loop, "train_step", lambda *_: pytest.fail("a step was taken"))


# Two at once


def test_a_second_trainer_refuses_and_the_lock_of_a_killed_one_is_taken_over(trainers, tiles, finished, tmp_path):
    first = trainers.start(SHORT, tiles, tmp_path / "run", hooks={"hold": ["step", 5]})
    first.until("holding")
    refused = 0
    for _ in range(3):
        second = trainers.run(SHORT, tiles, tmp_path / "run", "--resume")
        refused += second.code == 5 and f"{tmp_path / 'run'} is being trained by another process" in second.text
    print(f"second trainers refused: {refused}/3")
    assert refused == 3
    first.kill()
    assert hidden_leftovers(tmp_path / "run") == [".run.lock"], "what the killed one left"
    assert trainers.run(SHORT, tiles, tmp_path / "run", "--resume").code == 0
    assert_same_run(tmp_path / "run", finished)
    assert hidden_leftovers(tmp_path / "run") == []


# NaN and Inf


class FiniteSaves:
    """Stands before ``save_checkpoint`` and looks at everything that passes."""

    def __init__(self, save):
        self._save, self.count = save, 0

    def __call__(self, folder, *, model, train, state, material=None):
        for name, tensor in {**model, **train}.items():
            assert torch.isfinite(tensor).all(), f"{name} was saved with NaN or Inf"
        self._save(folder, model=model, train=train, state=state, material=material)
        self.count += 1


@pytest.fixture
def saves(monkeypatch):
    watcher = FiniteSaves(saving.save_checkpoint)
    monkeypatch.setattr(saving, "save_checkpoint", watcher)
    return watcher


def poison(monkeypatch, spoil, *, step, times):
    """Call ``spoil(state, batch)`` before a step, ``times`` times."""
    inner, left = loop.train_step, [times]

    def train_step(training, batch):
        if training.progress.step + 1 == step and left[0]:
            left[0] -= 1
            spoil(training.state, batch)
        return inner(training, batch)

    monkeypatch.setattr(loop, "train_step", train_step)


def spoil_discriminator(state, batch):
    next(state.discriminator.parameters()).data[0, 0, 0, 0] = float("nan")


def files_with_nan(run):
    files = sorted(run.rglob("*.safetensors"))
    assert len(files) >= 4
    return [path for path in files if any(not torch.isfinite(tensor).all() for tensor in load_file(path).values())]


def test_a_nan_that_does_not_come_again_is_named_and_rolled_back(tiles, saves, finished, tmp_path, monkeypatch, capsys):
    poison(monkeypatch, spoil_discriminator, step=5, times=1)
    run = train(SHORT, tiles, tmp_path / "run")
    said = capsys.readouterr().out
    assert "loss_d is nan, loss_g is nan, loss_g_gan is nan at step 5, on tiles town" in said
    assert " at row " in said
    assert "Rolled back to step 3 (1 of 3 times)." in said
    assert [row["step"] for row in rows(run)] == ["3", "6", "9"]
    assert rows(run)[0] == rows(finished)[0]
    assert rows(run)[1] != rows(finished)[1], "another random stream from there on"
    assert files_with_nan(run) == []
    assert saves.count > 4


def test_a_nan_that_keeps_coming_ends_after_three_rollbacks(tiles, saves, tmp_path, monkeypatch, capsys):
    poison(monkeypatch, spoil_discriminator, step=5, times=99)
    with pytest.raises(DivergedError) as caught:
        train(SHORT, tiles, tmp_path / "run")
    assert exit_code(caught.value) == 8
    message = str(caught.value)
    assert "loss_d is nan" in message
    assert "Rolled back 3 times, and it came again" in message
    assert f"the last sound checkpoint is {tmp_path / 'run/weights/last'}" in message
    assert f"--init-from {tmp_path / 'run'}" in message
    assert capsys.readouterr().out.count("Rolled back to step 3") == 3
    assert files_with_nan(tmp_path / "run") == []
    assert load_generator(tmp_path / "run").step == 3
    with pytest.raises(DivergedError, match="Rolled back 3 times"):  # resuming tries once more, not three times
        train(SHORT, tiles, tmp_path / "run", resume=True, quiet=True)


@pytest.mark.parametrize(
    ("factor", "named"),
    [
        (3e39, "loss_g is inf, loss_g_l1 is inf at step 1, on tiles town"),  # beyond float32
        (1e37, "the gradients of 3 of 6 updates of epoch 1 were not finite"),  # their squares are
    ],
)
def test_what_truly_overflows_is_named_and_never_saved(factor, named, tiles, saves, tmp_path, monkeypatch, capsys):
    inner = training_step.l1
    monkeypatch.setattr(training_step, "l1", lambda fake, real: factor * inner(fake, real))  # no recipe may ask for such a weight
    with pytest.raises(DivergedError, match=named):
        train(tiny(lambda_l1=1.0), tiles, tmp_path / "run")
    assert capsys.readouterr().out.count("Rolled back to step 0") == 3
    assert files_with_nan(tmp_path / "run") == []


@pytest.mark.parametrize(("bad_steps", "rolled_back"), [({2}, 0), (set(range(1, 100)), 3)])
def test_overflowing_gradients_are_skipped_and_said_and_many_of_them_are_divergence(
    bad_steps, rolled_back, tiles, tmp_path, monkeypatch, capsys
):
    inner = training_step.get_total_norm
    calls = []

    def get_total_norm(gradients):
        calls.append(1)
        return inner(gradients) * (float("inf") if -(-len(calls) // 2) in bad_steps else 1)  # two networks a step

    monkeypatch.setattr(training_step, "get_total_norm", get_total_norm)
    if rolled_back:
        with pytest.raises(DivergedError, match=r"gradients of 6 of 6 updates of epoch 1 were not finite\."):
            train(SHORT, tiles, tmp_path / "run")
    else:
        train(SHORT, tiles, tmp_path / "run")
    out = capsys.readouterr().out
    assert out.count("Rolled back") == rolled_back
    assert f"{6 if rolled_back else 2} updates of 3 steps were skipped" in out


def test_a_generator_without_a_judge_has_diverged_when_no_update_of_an_epoch_was_finite(tiles, tmp_path, monkeypatch):
    monkeypatch.setattr(training_step, "get_total_norm", lambda gradients: torch.tensor(float("nan")))
    with pytest.raises(DivergedError, match=r"the gradients of 3 of 3 updates of epoch 1 were not finite\."):
        train(tiny(gan_loss="none", epochs=1, decay_epochs=0), tiles, tmp_path / "run", quiet=True)


def test_a_training_outlives_its_terminal(trainers, tiles, finished, tmp_path):
    trainer = trainers.start(SHORT, tiles, tmp_path / "hung-up", hooks={"hold": ["step", 2]})
    trainer.until("holding step")
    trainer.signal(signal.SIGHUP)
    assert trainer.wait() == 0, trainer.text
    assert rows(tmp_path / "hung-up") == rows(finished)


def test_a_training_goes_on_when_nothing_can_be_printed(tiles, finished, tmp_path, monkeypatch):
    full = open("/dev/full", "w", encoding="ascii", buffering=1)  # noqa: SIM115  # closing it fails, as it should
    monkeypatch.setattr("sys.stdout", full)
    train(SHORT, tiles, tmp_path / "run")
    monkeypatch.undo()
    with contextlib.suppress(OSError):
        full.close()
    assert rows(tmp_path / "run") == rows(finished)


def test_a_network_that_has_had_no_update_yet_can_be_resumed(tiles, tmp_path, monkeypatch):
    inner, calls = training_step.get_total_norm, []

    def get_total_norm(gradients):
        calls.append(1)
        return inner(gradients) * (float("inf") if calls == [1] * 2 else 1)  # the generator's first

    monkeypatch.setattr(training_step, "get_total_norm", get_total_norm)
    training, resumed = (begun(SHORT, TileStore.open(tiles), tmp_path) for _ in range(2))
    batch = next(epoch_batches(training))
    training_step.train_step(training, batch)
    training_step.read_figures(training)
    assert training.progress.updates == {"discriminator": 1}
    saving.save(training, "last")
    resumed.state.restore(load_checkpoint(tmp_path / "weights" / "last"))
    for each in (training, resumed):
        training_step.train_step(each, batch)
        training_step.read_figures(each)
        assert each.progress.updates == {"discriminator": 2, "generator": 1}
    after, expected = (each.state.model_tensors() | each.state.train_tensors() for each in (resumed, training))
    assert all(torch.equal(after[name], expected[name]) for name in expected)


def test_an_input_tile_with_nan_is_named(tiles, tmp_path, monkeypatch):
    store = TileStore.open(tiles)
    bad = store.ids("train")[5]
    inner = training_step.to_tensors

    def to_tensors(batch, store, device):  # bytes cannot be NaN: spoilt where they become floats
        condition, real = inner(batch, store, device)
        real[batch.tile_ids == bad, 0, 0, 0] = float("nan")
        return condition, real

    monkeypatch.setattr(training_step, "to_tensors", to_tensors)
    with pytest.raises(DivergedError) as caught:
        train(SHORT, tiles, tmp_path / "run", quiet=True)
    assert store.describe(bad) in str(caught.value)
    assert files_with_nan(tmp_path / "run") == []


def test_a_weight_that_turns_nan_without_a_loss_is_noticed_before_it_is_saved(tiles, saves, tmp_path, monkeypatch, capsys):
    inner, left = loop.train_step, [1]

    def train_step(training, batch):
        losses = inner(training, batch)
        if training.progress.step == 6 and left[0]:
            left[0] -= 1
            training.state.output_generator.head[1].bias.data[0] = float("inf")
        return losses

    monkeypatch.setattr(loop, "train_step", train_step)
    run = train(SHORT, tiles, tmp_path / "run")
    assert "head.1.bias holds NaN or Inf after step 6. Rolled back to step 3" in capsys.readouterr().out
    assert [row["step"] for row in rows(run)] == ["3", "6", "9"]
    assert "nan" not in (run / "results.csv").read_text()
    assert files_with_nan(run) == []


# Something changed between a run and its resumption


def test_a_changed_setting_is_shown_and_refused(tiles, finished, no_step):
    changed = tiny(epochs=2, decay_epochs=1, learning_rate=1e-3, batch_size=4)
    with pytest.raises(ConfigError) as caught:
        train(changed, tiles, finished, resume=True)
    assert "batch_size: 3 → 4; learning_rate: 0.002 → 0.001." in str(caught.value)
    assert str(finished / "args.yaml") in str(caught.value)
    assert "--init-from" in str(caught.value)


def test_changed_tiles_are_shown_and_refused(finished, no_step, tmp_path):
    others = make_tiles(tmp_path, names=("town1", "town3", "town8"))
    with pytest.raises(ConfigError, match=rf"tiles: [0-9a-f]{{12}} → [0-9a-f]{{12}} \({others}\)"):
        train(SHORT, others, finished, resume=True)


def test_more_epochs_are_allowed_and_shown(tiles, finished, tmp_path, capsys):
    run = shutil.copytree(finished, tmp_path / "run")
    train(tiny(epochs=3, decay_epochs=1), tiles, run, resume=True)
    assert "changed since the run began: epochs: 2 → 3" in capsys.readouterr().out
    assert len(rows(run)) == 4
    assert rows(run)[:3] == rows(finished)


def test_a_finished_run_resumed_stays_as_it_is(tiles, finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    train(SHORT, tiles, run, resume=True, quiet=True)
    assert_same_run(run, finished)


# Damage


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("optimizer_g.{}.exp_avg", lambda t: t.fill_(float("nan")), "exp_avg holds NaN or Inf"),
        ("optimizer_g.{}.exp_avg_sq", lambda t: t.fill_(-1), "exp_avg_sq is below 0"),
        ("optimizer_g.{}.exp_avg_sq", lambda t: t[:1], r"exp_avg_sq is \(.*\) in the network and \(1,"),
        ("optimizer_g.{}.step", lambda t: t.to(torch.int32), "step is float32 in the network and int32 in the file"),
        ("generator.{}", lambda t: t.fill_(float("inf")), "holds NaN or Inf"),
        ("averaged.count", lambda t: t.fill_(-10), "count is below 0"),
        ("averaged.count", lambda t: t.reshape(1), r"count is \(\) in the network and \(1,\) in the file"),
    ],
)
def test_what_cannot_be_gone_on_from_is_named(name, spoil, message, tiles, finished, no_step, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    last = load_checkpoint(run / "weights" / "last")
    name = name.format(next(name for name in last.model if name.endswith("weight")))
    train_tensors = last.train | {name: spoil(last.train[name].clone())}
    state = {key: value for key, value in last.state.recorded.items() if key not in ("format", "checksums")}
    save_checkpoint(last.folder, model=last.model, train=train_tensors, state=state)
    with pytest.raises(CheckpointError, match=message):
        train(SHORT, tiles, run, resume=True)


def test_a_damaged_checkpoint_is_refused_and_the_one_before_gives_the_same_end(tiles, finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    model = run / "weights/last/train.safetensors"
    payload = bytearray(model.read_bytes())
    payload[-1] ^= 1
    model.write_bytes(payload)
    with pytest.raises(CheckpointError, match=r"checksum does not fit.*move .*/last away, and .*/previous is used"):
        train(SHORT, tiles, run, resume=True, quiet=True)
    shutil.rmtree(run / "weights" / "last")  # as the message says
    train(SHORT, tiles, run, resume=True, quiet=True)
    assert_same_run(run, finished)


def test_without_the_optimizer_part_another_run_starts_from_the_weights(tiles, finished, tmp_path, capsys):
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "weights/last/train.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"training cannot go on from here.*--init-from"):
        train(SHORT, tiles, run, resume=True, quiet=True)
    train(tiny(epochs=1, decay_epochs=0), tiles, tmp_path / "new", init_from=run)
    said = capsys.readouterr().out
    assert f"carried over from {run}/weights/last: generator\n" in said
    assert f"not carried over: discriminator ({run}/weights/last: holds no discriminator.)" in said


def test_results_that_are_gone_are_asked_for(tiles, finished, no_step, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "results.csv").unlink()
    with pytest.raises(CheckpointError, match=r"results\.csv: has 0 rows, the checkpoint is 3 epochs old. Put the file back"):
        train(SHORT, tiles, run, resume=True, quiet=True)


# Starting


def test_a_run_that_is_there_is_not_overwritten(tiles, finished, no_step):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    with pytest.raises(OutputExistsError, match=r"holds a run already. Go on with it by --resume, or choose another --out"):
        train(SHORT, tiles, finished)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_resume_needs_out(tiles, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="--resume needs --out"):
        train(SHORT, tiles, resume=True)
    assert not list(tmp_path.iterdir())


def test_a_crop_larger_than_the_tiles(tiles, tmp_path):
    with pytest.raises(ConfigError, match=rf"crop_px is 64, but the tiles in {tiles} are 48 px.*prepare --grid 2 --size 64"):
        train(tiny(crop_px=64, tiles="--grid 2 --size 64"), tiles, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_validation_tiles(tmp_path):
    only_train = make_tiles(tmp_path, names=("town1",))
    with pytest.raises(DataError, match=r"no tile is in split val. Prepare again with more scenes or another --split"):
        train(SHORT, only_train, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_damaged_and_exchanged_tiles_are_named_before_the_first_step(tiles, no_step, tmp_path):
    copy = shutil.copytree(tiles, tmp_path / "tiles")
    (shard,) = (copy / "together").glob("*.masks.npy")  # small scenes share one
    np.save(shard, np.roll(np.load(shard), 1, axis=0))
    with pytest.raises(DataError, match=r"the pixels of town1 at row 0, column 0; .* and 9 more are not those that were prepared"):
        train(tiny(), copy, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_how_long_the_tiles_were_looked_at_is_said(tiles, tmp_path, capsys):
    train(tiny(epochs=1, decay_epochs=0), tiles, tmp_path / "run", trackers=())
    assert re.search(r"tiles: the checksums of 12 tiles are right \(\d\.\d s\)", capsys.readouterr().out)


def test_without_tiles(tmp_path):
    with pytest.raises(DataError, match="orthoforge prepare"):
        train(SHORT, tmp_path / "nowhere", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_init_from_starts_with_the_weights_of_another_run_and_says_so(tiles, finished, tmp_path, monkeypatch, capsys):
    seen = []

    def look(training, batch):
        state = training.state
        seen.append((state.generator.state_dict(), state.discriminator.state_dict(), state.optimizer_g.state, state.progress.step))
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train_step", look)
    with pytest.raises(KeyboardInterrupt):
        train(tiny(learning_rate=1e-4), tiles, tmp_path / "run", init_from=finished)
    generator, discriminator, moments, step = seen[0]
    model, others = (load_file(finished / "weights/last" / f"{name}.safetensors") for name in ("model", "train"))
    assert all(torch.equal(generator[name], tensor) for name, tensor in model.items())
    assert all(torch.equal(discriminator[name], others[f"discriminator.{name}"]) for name in discriminator)
    assert not any(moments.values())
    assert step == 0
    said = capsys.readouterr().out
    assert f"carried over from {finished}/weights/last: generator and discriminator\n" in said
    assert "not carried over: optimizers, learning rate, epoch" in said

    with pytest.raises(KeyboardInterrupt):
        train(tiny(learning_rate=1e-4), tiles, tmp_path / "run", resume=True, init_from=tmp_path / "other")
    assert f"--init-from {tmp_path / 'other'} is left aside" in capsys.readouterr().out
    assert run_files.read_args(tmp_path / "run").init_from == str(finished)  # where the run began is not forgotten


def test_init_from_a_run_that_does_not_fit_is_refused(tiles, finished, no_step, tmp_path):
    with pytest.raises(CheckpointError, match=r"stem\.1\.weight is \(4, 3, 7, 7\) in the network and \(2, 3, 7, 7\) in the file"):
        train(tiny(generator_width=4), tiles, tmp_path / "run", init_from=finished)
    assert not (tmp_path / "run" / "weights").exists()


CLASSES = ("ground", "Building")


@pytest.mark.parametrize(
    ("known", "tiles_have", "said"),
    [
        (None, CLASSES, r"weights know buildings alone; the tiles have 2 classes \(ground, Building\)\. .*--building 'Building'"),
        (CLASSES, None, r"weights know 2 classes \(ground, Building\); the tiles have buildings alone\. .*leave --init-from out"),
        (("a", "b", "c"), CLASSES, r"weights know 3 classes \(a, b, c\); the tiles have 2 classes"),
    ],
)
def test_weights_of_other_classes_are_refused_in_words(known, tiles_have, said):
    colours = tuple(((index, 0, 0),) for index in range(3))
    state = known and checkpoint_state.Classes(list(known), [list(of_class) for of_class in colours[: len(known)]])
    with pytest.raises(CheckpointError, match=said):
        require_classes(state, tiles_have and Classes(tiles_have, colours[: len(tiles_have)]), "run")


def test_weights_of_classes_with_other_names_say_which_become_which():
    colours = (((0, 0, 0),), ((1, 0, 0),))
    known = checkpoint_state.Classes(["field", "house"], [list(of_class) for of_class in colours])
    (note,) = require_classes(known, Classes(CLASSES, colours), "run")
    assert "(field, house); the tiles have 2 classes (ground, Building)" in note
    assert require_classes(known, Classes(("field", "house"), colours), "run") == []
    assert require_classes(None, None, "run") == []


def test_init_from_with_tiles_of_classes_fails_before_a_step(finished, no_step, tmp_path):
    palette = tmp_path / "palette.json"
    palette.write_text('{"ground": 0, "Building": 255}')
    of_classes = make_tiles(tmp_path / "land", palette=palette)
    with pytest.raises(CheckpointError, match="its weights know buildings alone; the tiles have 2 classes"):
        train(tiny(), of_classes, tmp_path / "run", init_from=finished)


# Memory, disk, TensorBoard


def test_out_of_memory_gives_advice_with_the_numbers(trainers, tiles, tmp_path):
    hungry = tiny(crop_px=48, batch_size=512, crops_per_tile=64, generator_width=64)
    trainer = trainers.run(hungry, tiles, tmp_path / "run", headroom_bytes=600_000_000)
    assert trainer.code == 7, trainer.text
    assert "error: out of memory at batch_size 512, crop_px 48, generator_width 64" in trainer.text
    assert "Try one of --accumulate 2, --batch-size 256, --crop-px 32, --generator-width 32." in trainer.text
    assert "Traceback" not in trainer.text
    assert load_generator(tmp_path / "run").step == 0, "what was saved before is whole"


def test_a_read_only_folder_fails_before_the_first_step(tiles, no_step, tmp_path):
    with small_disk(tmp_path / "disk", 1_000_000, read_only=True) as disk:
        began = time.monotonic()
        with pytest.raises(ResourceError, match=r"cannot be written \(Read-only file system\)"):
            train(SHORT, tiles, disk / "run")
        assert time.monotonic() - began < 5


def test_a_disk_that_is_too_small_fails_before_the_first_step(tiles, no_step, tmp_path):
    with small_disk(tmp_path / "disk", 500_000) as disk:
        with pytest.raises(ResourceError, match=r"a run of this recipe needs about \d+ MB, the disk has \d+ MB left"):
            train(SHORT, tiles, disk / "run")
        assert not list(disk.rglob("*.safetensors"))


def test_a_disk_that_fills_up_costs_nothing_but_time(tiles, finished, tmp_path, monkeypatch):
    inner = saving.save_checkpoint

    def fill(folder, *, model, train, state, material=None):
        if state["progress"]["epoch"] == 2:
            (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free - 20_480))
        inner(folder, model=model, train=train, state=state)

    with small_disk(tmp_path / "disk", 8_000_000) as disk:
        monkeypatch.setattr(saving, "save_checkpoint", fill)
        with pytest.raises(ResourceError, match=r"a checkpoint needs about .* MB, the disk has .* MB left"):
            train(SHORT, tiles, disk / "run", quiet=True)
        assert load_generator(disk / "run").step == 3
        assert hidden_leftovers(disk / "run") == []
        monkeypatch.setattr(saving, "save_checkpoint", inner)
        (disk / "filler").unlink()
        train(SHORT, tiles, disk / "run", resume=True, quiet=True)
        assert_same_run(disk / "run", finished)


def event_file_is_full(run):
    """Let the event file lead to /dev/full, as if its disk were."""
    path = next(run.glob("events.out*"))
    path.unlink()
    path.symlink_to("/dev/full")


# TensorBoard's own thread dies of it, and Python shows how.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_curves_that_cannot_be_written_are_left_out_with_one_warning(tiles, finished, tmp_path, monkeypatch):
    run, inner, steps = tmp_path / "run", loop.train_step, []

    def train_step(*arguments):
        steps.append(1)
        if len(steps) == 2:
            event_file_is_full(run)
        return inner(*arguments)

    monkeypatch.setattr(loop, "train_step", train_step)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        train(SHORT, tiles, run, quiet=True)
    messages = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    assert len(messages) == 1, messages
    assert messages[0].startswith("TensorBoard curves stop here:")
    assert "No space left on device" in messages[0]
    assert messages[0].endswith("Training goes on.")
    assert rows(run) == rows(finished)


def test_curves_that_cannot_even_be_opened(tiles, finished, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError("no")

    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter", refuse)
    with pytest.warns(UserWarning, match="TensorBoard curves stop here: no. Training goes on") as caught:
        train(SHORT, tiles, tmp_path / "run", quiet=True)
    assert len(caught) == 1
    assert rows(tmp_path / "run") == rows(finished)
    assert json.loads((tmp_path / "run/weights/last/state.json").read_text())["progress"]["epoch"] == 3
