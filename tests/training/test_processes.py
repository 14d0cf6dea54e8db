"""Two processes train as one."""

import json
import os
import subprocess
import sys
from pathlib import Path

from harness import largest_difference, make_tiles, rows


def test_two_processes_resumed_end_as_two_that_were_not_stopped(tmp_path):
    tiles = make_tiles(tmp_path)
    script = Path(__file__).with_name("two_processes.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([*command, str(tiles), str(tmp_path)], env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path / "chain") == rows(tmp_path / "one")
    assert len(rows(tmp_path / "one")) == 4
    assert largest_difference(tmp_path / "chain", tmp_path / "one") == 0
    state = json.loads((tmp_path / "one/weights/last/state.json").read_text())
    assert state["versions"]["processes"] == 2
