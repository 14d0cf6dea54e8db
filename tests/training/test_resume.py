"""A training that is killed or stopped anywhere and resumed ends with the same bits as one that was not.

Children are held at the moment in question (see ``child.install_hooks``) and get real signals there.
"""

import hashlib
import json
import random
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from harness import Trainers, assert_same_run, curves, hidden_leftovers, make_tiles, rows, tiny

from orthoforge.tiles.store import TileStore
from orthoforge.training.batches import epoch_batches, steps_an_epoch
from orthoforge.training.training import Training

# Two recipes that differ in all that a checkpoint may or may not have to hold. 8 tiles: the last batch of an epoch is smaller.
BATCH_EMA = tiny()
INSTANCE = tiny(norm="instance", ema_decay=0.0, generator="resunet6", upsample="resize", batch_size=5, crops_per_tile=2)
RECIPES = {"batch+EMA": BATCH_EMA, "instance": INSTANCE}
SAVES = 5  # calls of sync in one checkpoint: three files, their folder, its parent


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    return make_tiles(tmp_path_factory.mktemp("resume"))


@pytest.fixture(scope="module")
def trainers(warm_python):
    return Trainers(warm_python)


@pytest.fixture(scope="module")
def references(tiles, trainers, tmp_path_factory):
    """An uninterrupted run of each recipe."""
    folder = tmp_path_factory.mktemp("references")
    runs = {"batch+EMA": folder / "batch", "instance": folder / "instance"}
    started = [trainers.start(recipe, tiles, runs[name]) for name, recipe in RECIPES.items()]
    assert [trainer.wait() for trainer in started] == [0, 0]
    return runs


def finish(trainers, recipe, tiles, run, reference):
    resumed = trainers.run(recipe, tiles, run, "--resume")
    assert resumed.code == 0, resumed.text
    assert "resuming" in resumed.text
    assert_same_run(run, reference)
    assert hidden_leftovers(run) == []


@pytest.mark.parametrize("name", RECIPES)
def test_killed_three_times_at_random_steps(name, trainers, tiles, references, tmp_path):
    recipe, draw = RECIPES[name], random.Random(name)
    steps = []
    for _ in range(3):
        hold = ["step", draw.randint(1, 7)]  # counted from where this process began, so 3 to 21 of 15 or 20 in all
        trainer = trainers.start(recipe, tiles, tmp_path / "run", "--resume", hooks={"hold": hold})
        trainer.until("holding")
        trainer.kill()
        assert trainer.code == -signal.SIGKILL
        steps.append(json.loads((tmp_path / "run/weights/last/state.json").read_text())["progress"]["step"])
        if steps[-1] >= 3 * 3:  # not past the end
            break
    print(f"killed after the checkpoints of steps {steps}")
    finish(trainers, recipe, tiles, tmp_path / "run", references[name])


def test_killed_in_mid_epoch_with_a_checkpoint_at_every_step(trainers, tiles, references, tmp_path):
    for step in (2, 3):  # of 4 in an epoch
        hooks = {"hold": ["step", step], "save_every_step": True}
        trainer = trainers.start(INSTANCE, tiles, tmp_path / "run", "--resume", hooks=hooks)
        trainer.until("holding")
        trainer.kill()
    progress = json.loads((tmp_path / "run/weights/last/state.json").read_text())["progress"]
    assert (progress["epoch"], progress["step_in_epoch"], progress["step"]) == (0, 3, 3)
    finish(trainers, INSTANCE, tiles, tmp_path / "run", references["instance"])


@pytest.mark.parametrize("name", RECIPES)
def test_killed_in_validation_before_its_row_and_in_each_part_of_a_checkpoint(name, trainers, tiles, references, tmp_path):
    # Each process begins where the last whole checkpoint stands; the first one also saves at the very start.
    moments = [("validation", 1), ("row", 1), ("checkpoint", 2 * SAVES + 2), ("rename", 3)]
    for number, hold in enumerate(moments[:: 1 if name == "batch+EMA" else 2]):
        first = SAVES if number and hold[0] == "checkpoint" else 0
        trainer = trainers.start(RECIPES[name], tiles, tmp_path / "run", "--resume", hooks={"hold": [hold[0], hold[1] - first]})
        trainer.until(f"holding {hold[0]}")
        trainer.kill()
    finish(trainers, RECIPES[name], tiles, tmp_path / "run", references[name])


def test_sigterm_and_ctrl_c_save_say_where_and_exit_0_within_seconds(trainers, tiles, references, tmp_path):
    run, seconds = tmp_path / "run", []
    moments = ["checkpoint", "step", "validation", "row", "rename", "checkpoint"]  # the first one is the very first checkpoint
    for number, moment in enumerate(moments):
        trainer = trainers.start(BATCH_EMA, tiles, run, "--resume", hooks={"hold": [moment, 2], "plot": True})
        trainer.until("holding")
        trainer.signal((signal.SIGTERM, signal.SIGINT)[number % 2])
        assert trainer.wait() == 0, trainer.text
        saved = json.loads((run / "weights/last/state.json").read_text())["progress"]
        where = f"stopped at epoch {saved['epoch'] + 1}, step {saved['step']}; saved in {run}/weights/last."
        assert trainer.lines[-1].strip() == f"{where} The same command goes on."
        assert "Traceback" not in trainer.text
        seconds.append(trainer.seconds)
    finish(trainers, BATCH_EMA, tiles, run, references["batch+EMA"])
    p95 = float(np.quantile(seconds, 0.95))
    print(f"stopped by a signal: {len(seconds)}/{len(moments)} saved and exited 0; p95 {p95:.1f} s")
    assert p95 < 20, "a busy machine draws its plot slowly; alone it takes one or two seconds"


def test_stopped_in_validation_then_killed_after_its_points_were_logged(trainers, tiles, references, tmp_path):
    trainer = trainers.start(BATCH_EMA, tiles, tmp_path / "run", hooks={"hold": ["validation", 2]})
    trainer.until("holding")
    trainer.signal(signal.SIGTERM)
    assert trainer.wait() == 0
    trainer = trainers.start(BATCH_EMA, tiles, tmp_path / "run", "--resume", hooks={"hold": ["rename", 1]})
    trainer.until("holding")  # the curves have this epoch, its checkpoint does not
    trainer.kill()
    finish(trainers, BATCH_EMA, tiles, tmp_path / "run", references["batch+EMA"])


def test_a_second_ctrl_c_interrupts_at_once_and_costs_only_the_steps_since(trainers, tiles, references, tmp_path):
    trainer = trainers.start(BATCH_EMA, tiles, tmp_path / "run", hooks={"hold": ["step", 5]})
    trainer.until("holding")
    for _ in range(50):  # while held, it cannot get to its next step
        signal_now = time.monotonic()
        trainer.interrupt()
        if trainer.ended_within(0.2):
            break
    assert trainer.wait() == 130, trainer.text
    assert time.monotonic() - signal_now < 10
    finish(trainers, BATCH_EMA, tiles, tmp_path / "run", references["batch+EMA"])


def test_curves_have_no_jump_and_no_repeat(references):
    train = curves(references["batch+EMA"])["train/loss_g_l1"]
    assert [step for step, _ in train] == [2, 4, 8, 10, 14], "at an epoch's last step stand its means"
    epochs = curves(references["batch+EMA"])["epoch/ssim"]
    assert [step for step, _ in epochs] == [3, 6, 9, 12, 15]
    assert [row["step"] for row in rows(references["batch+EMA"])] == ["3", "6", "9", "12", "15"]


def order_hash(store, recipe, epoch, step_in_epoch=0, rollbacks=0):
    """Of the tiles and pixels of what is left of an epoch, batch by batch."""
    progress = SimpleNamespace(epoch=epoch, step_in_epoch=step_in_epoch, rollbacks=rollbacks)
    one_process = SimpleNamespace(world_size=1, global_rank=0)
    batches = list(epoch_batches(Training(one_process, recipe, store, SimpleNamespace(progress=progress), Path("run"))))
    return [hashlib.sha256(b.tile_ids.tobytes() + b.image.tobytes() + b.mask.tobytes()).hexdigest() for b in batches]


def test_the_order_of_tiles_is_the_same_when_resumed_in_mid_epoch_and_at_its_boundary(tiles):
    store = TileStore.open(tiles)
    whole = [order_hash(store, INSTANCE, epoch) for epoch in range(3)]
    assert [len(batches) for batches in whole] == [4, 4, 4]
    assert steps_an_epoch(Training(SimpleNamespace(world_size=1), INSTANCE, store, None, Path("run"))) == 4
    for epoch, step in [(0, 1), (1, 3), (2, 2)]:
        assert order_hash(TileStore.open(tiles), INSTANCE, epoch, step) == whole[epoch][step:]
    assert order_hash(store, INSTANCE, 1, 4) == []
    assert order_hash(store, INSTANCE, 1, 0) == whole[1]
    everything = [digest for batches in whole for digest in batches]
    assert len(set(everything)) == len(everything)
    assert order_hash(store, INSTANCE, 0, rollbacks=1) != whole[0]
    assert order_hash(store, tiny(seed=1, batch_size=5, crops_per_tile=2), 0) != whole[0]


def test_an_epoch_shows_every_tile_as_often_as_asked(tiles):
    store = TileStore.open(tiles)
    state = SimpleNamespace(progress=SimpleNamespace(epoch=0, step_in_epoch=0, rollbacks=0))
    one_process = SimpleNamespace(world_size=1, global_rank=0)
    batches = list(epoch_batches(Training(one_process, INSTANCE, store, state, Path("run"))))
    seen = np.concatenate([batch.tile_ids for batch in batches])
    np.testing.assert_array_equal(np.sort(seen), np.sort(np.tile(store.ids("train"), 2)))


@pytest.mark.parametrize("step_in_epoch", [0, 1])
def test_processes_share_a_batch_between_them(step_in_epoch, tiles):
    store, recipe = TileStore.open(tiles), tiny(batch_size=6)
    state = SimpleNamespace(progress=SimpleNamespace(epoch=0, step_in_epoch=step_in_epoch, rollbacks=0))

    def of(world_size, rank):
        process = SimpleNamespace(world_size=world_size, global_rank=rank)
        return list(epoch_batches(Training(process, recipe, store, state, Path("run"))))

    alone, shares = of(1, 0), [of(2, rank) for rank in range(2)]
    for number, batch in enumerate(alone):
        together = [share[number].image[position] for position in range(len(batch.image) // 2) for share in shares]
        np.testing.assert_array_equal(np.stack(together), batch.image)
