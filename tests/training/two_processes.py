"""What ``test_processes.py`` runs under torchrun: two trainings in one go, and the same in instalments."""

import sys
from pathlib import Path

from harness import small_s, tiny

from orthoforge import runs
from orthoforge.training import train

runs.plot_results = lambda run: None  # half of the time of so short a training
tiles, out = map(Path, sys.argv[1:])
# Batch norm's running statistics and the losses differ between the processes; rates, scores and the best epoch must not.
plain = tiny(schedule="plateau-2021", batch_size=4, epochs=4, decay_epochs=0)
for name, recipe in (("plain", plain), ("styled", small_s(batch_size=4))):
    train(recipe, tiles, out / name / "one", quiet=True, trackers=())
    for _ in range(2):
        train(recipe, tiles, out / name / "chain", resume=True, stop_after=recipe.total_epochs // 2, quiet=True, trackers=())
