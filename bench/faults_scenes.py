"""Scenes killed while they are made: ``python -m bench.faults_scenes [KILLS]``.

Prints, for KILLS kills (20 by default) at random moments of generating a scene of 35 blocks and joining it to a GeoTIFF: files that
were taken for finished and were not, scenes that differ from one that was never killed, what was left over, and blocks made twice.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS)]

from conftest import make_grid, make_mask, write_tiff  # noqa: E402
from test_checkpoints import save_run  # noqa: E402


def main() -> None:
    """Kill, and print what became of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", nargs="?", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = save_run(folder / "run").parents[1]
        mask = write_tiff(folder / "town.tif", make_mask((200, 160)), make_grid((200, 160)))
        (folder / "scenes").mkdir()
        words = [TESTS / "generation" / "killed.py", run, mask, folder / "scenes" / "scene0.tif", folder / "scenes"]
        environment = os.environ | {"PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, *map(str, words), str(options.kills), str(options.seed)]
        found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True).stdout)
    total, *others = found["blocks"]
    print(f"scenes of {total} blocks, killed at random moments: {found['kills']} kills over {found['scenes'] - 1} scenes")
    print(f"  under the final name, and not the finished image: {found['false_complete']}")
    print(f"  finished scenes that differ from one never killed: {found['different']}; files left over: {found['leftovers']}")
    print(f"  blocks made in all: {sum(others)} for {total * len(others)}")


if __name__ == "__main__":
    main()
