"""Trainings killed and stopped at random, and what became of each: ``python bench/faults_training.py [COUNT]``.

Prints for COUNT runs (20 by default): killed three times at random moments in time (not at chosen places, as the tests do) and
resumed; stopped by SIGTERM or Ctrl-C; checkpoints killed while written, flipped and cut; second trainers refused.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "training")]

import numpy as np  # noqa: E402
from harness import Trainers, assert_same_run, hidden_leftovers, make_tiles, tiny  # noqa: E402

from orthoforge.checkpoint_files import load_checkpoint  # noqa: E402
from orthoforge.checkpoints import MODEL, STATE, TRAIN  # noqa: E402
from orthoforge.errors import CheckpointError  # noqa: E402
from test_checkpoints import KILLER, save_run  # noqa: E402

RECIPES = {
    "batch norm, EMA": tiny(epochs=6, decay_epochs=4),
    "instance norm": tiny(epochs=6, decay_epochs=4, norm="instance", ema_decay=0.0, generator="resunet6", batch_size=5),
}


def killed_at_random(trainers, tiles, folder, count, draw):
    """Runs that were killed three times, anywhere, and are the same to the bit as one that was not."""
    references, seconds = {}, {}
    for name, recipe in RECIPES.items():
        began = time.monotonic()
        references[name] = folder / f"reference {name}"
        assert trainers.run(recipe, tiles, references[name]).code == 0
        seconds[name] = time.monotonic() - began
    same = clean = 0
    for number in range(count):
        name = list(RECIPES)[number % 2]
        run, hooks = folder / f"killed{number}", {"save_every_step": number % 4 > 1}
        kills = 0
        for _ in range(3):
            trainer = trainers.start(RECIPES[name], tiles, run, "--resume", hooks=hooks)
            time.sleep(draw.uniform(0.1, 0.6) * seconds[name])
            trainer.kill()
            kills += trainer.code == -signal.SIGKILL
        finished = trainers.run(RECIPES[name], tiles, run, "--resume")
        try:
            assert finished.code == 0, finished.text
            assert_same_run(run, references[name])
            same += 1
        except AssertionError as error:
            print(f"  run {number} ({name}, {kills} kills, {hooks}) differs from {references[name]}: {error!r}")
        clean += hidden_leftovers(run) == []
    print(f"killed 3 times at random moments, resumed, bit-identical: {same}/{count}; without leftovers: {clean}/{count}")


def stopped(trainers, tiles, folder, count, draw):
    """Stops by SIGTERM and SIGINT, each held in a step, in validation, in a checkpoint, before a row."""
    recipe, seconds, good = tiny(epochs=20, decay_epochs=0), [], 0
    for number in range(count):
        moment = ("step", "validation", "checkpoint", "row", "rename")[number % 5]
        run = folder / f"stopped{number}"
        trainer = trainers.start(recipe, tiles, run, hooks={"hold": [moment, draw.randint(1, 9)], "plot": True})
        trainer.until("holding")
        trainer.signal((signal.SIGTERM, signal.SIGINT)[number // 5 % 2])
        good += trainer.wait() == 0 and f"saved in {run}/weights/last" in trainer.lines[-1]
        load_checkpoint(run / "weights" / "last")
        seconds.append(trainer.seconds)
    p50, p95 = np.quantile(seconds, [0.5, 0.95])
    print(f"stopped by a signal, saved, exit 0: {good}/{count}; p50 {p50:.1f} s, p95 {p95:.1f} s")


def damaged(folder, count, draw):
    """Flipped bits and cut files that are refused."""
    last = save_run(folder / "damaged")
    flips = cuts = 0
    for number in range(count):
        path = last / (MODEL, TRAIN, STATE)[number % 3]
        sound = path.read_bytes()
        flipped = bytearray(sound)
        flipped[draw.randrange(len(sound))] ^= 1 << draw.randrange(8)
        for payload in (bytes(flipped), sound[: draw.randrange(len(sound))]):
            path.write_bytes(payload)
            try:
                load_checkpoint(last)
            except CheckpointError:
                flips, cuts = flips + (len(payload) == len(sound)), cuts + (len(payload) < len(sound))
        path.write_bytes(sound)
    load_checkpoint(last)
    print(f"flipped bits refused: {flips}/{count}; files cut short refused: {cuts}/{count}")


def killed_while_saving(folder, count):
    """Checkpoints that load after a kill while the next one was written."""
    command = [sys.executable, "-c", KILLER, str(folder / "saving"), str(count)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    good, kills, restored = result.stdout.split()
    print(f"killed while a checkpoint was written, the last good one loads: {good}/{kills} ({restored} from `previous`)")


def second_trainers(trainers, tiles, folder, count):
    """Trainers that find another one at work."""
    first = trainers.start(tiny(), tiles, folder / "locked", hooks={"hold": ["step", 2]})
    first.until("holding")
    refused = sum(trainers.run(tiny(), tiles, folder / "locked", "--resume").code == 5 for _ in range(count))
    first.kill()
    taken_over = trainers.run(tiny(), tiles, folder / "locked", "--resume").code == 0
    print(f"second trainers refused: {refused}/{count}; the lock of a killed one taken over: {taken_over}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, nargs="?", default=20)
    count = parser.parse_args().count
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as name, Trainers() as trainers:
        folder = Path(name)
        tiles = make_tiles(folder)
        killed_at_random(trainers, tiles, folder, count, draw)
        stopped(trainers, tiles, folder, count, draw)
        second_trainers(trainers, tiles, folder, count)
        damaged(folder, max(40, count), draw)
        killed_while_saving(folder, max(50, 10 * count))


if __name__ == "__main__":
    main()
