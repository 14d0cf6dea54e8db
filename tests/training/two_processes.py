"""What ``test_processes.py`` runs under torchrun: trainings in one go, the same in instalments, and one that one process stops."""

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch
from harness import in_any_number, small_s, tiny

from orthoforge import run_files
from orthoforge.training import loop, train

run_files.plot_results = lambda run: None  # half of the time of so short a training
tiles, out = map(Path, sys.argv[1:])
rank, train_step = int(os.environ["RANK"]), loop.train_step


def follow(folder: Path, stop_at: int = 0) -> None:
    """From now on keep which random stream this process has in each step; the second one is asked to stop at ``stop_at``."""
    streams: list[int] = []

    def followed(*arguments):
        losses = train_step(*arguments)
        streams.append(torch.initial_seed())
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"streams-{rank}.json").write_text(json.dumps(streams))
        if rank == 1 and len(streams) == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return losses

    loop.train_step = followed


# Batch norm's running statistics and the losses differ between the processes; rates, scores and the best epoch must not.
plain = tiny(schedule="plateau-2021", batch_size=4, epochs=4, decay_epochs=0)
for name, recipe in (("plain", plain), ("styled", small_s(batch_size=4))):
    follow(out / name)
    train(recipe, tiles, out / name / "one", quiet=True, trackers=())
    for _ in range(2):
        train(recipe, tiles, out / name / "chain", resume=True, stop_after=recipe.total_epochs // 2, quiet=True, trackers=())
train(in_any_number(), tiles, out / "grouped", quiet=True, trackers=())
train(replace(in_any_number(), accumulate=2), tiles, out / "accumulated", quiet=True, trackers=())
follow(out / "stopped", stop_at=3)
train(in_any_number(), tiles, out / "stopped", quiet=True, trackers=())
