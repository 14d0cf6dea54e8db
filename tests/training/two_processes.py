"""What ``test_processes.py`` runs under torchrun: one training in one go, and the same in instalments."""

import sys
from pathlib import Path

from harness import tiny

from orthoforge import runs
from orthoforge.training import train

runs.plot_results = lambda run: None  # half of the time of so short a training
tiles, out = map(Path, sys.argv[1:])
# Batch norm's running statistics and the losses differ between the processes; rates, scores and the best epoch must not.
recipe = tiny(schedule="plateau-2021", batch_size=4, epochs=4, decay_epochs=0)
train(recipe, tiles, out / "one", quiet=True, trackers=())
for _ in range(2):
    train(recipe, tiles, out / "chain", resume=True, stop_after=2, quiet=True, trackers=())
