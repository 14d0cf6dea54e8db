"""Two processes train as one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness import largest_difference, make_tiles, rows
from safetensors.torch import load_file

from orthoforge.training.state import STYLE_BANKS


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What ``two_processes.py`` leaves."""
    out = tmp_path_factory.mktemp("two")
    tiles = make_tiles(out, ("arden1", "brennau2", "arden7"))
    script = Path(__file__).with_name("two_processes.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([*command, str(tiles), str(out)], env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize(("name", "epochs"), [("plain", 4), ("styled", 2)])
def test_two_processes_resumed_end_as_two_that_were_not_stopped(name, epochs, trained):
    one, chain = trained / name / "one", trained / name / "chain"
    assert rows(chain) == rows(one)
    assert len(rows(one)) == epochs
    assert largest_difference(chain, one) == 0
    state = json.loads((one / "weights/last/state.json").read_text())
    assert state["versions"]["processes"] == 2


def test_both_remember_the_styles_of_all_places(trained):
    tensors = load_file(trained / "styled/one/weights/last/model.safetensors")
    codes, *palettes = (tensors[name] for name in STYLE_BANKS)
    assert codes.shape[0] == palettes[0].shape[0] == palettes[1].shape[0] == 2
    assert [len(place.unique(dim=0)) for place in codes] == [4, 4], "a code for each training tile"
    for part in palettes:
        assert [len(place.unique(dim=0)) for place in part] == [4, 4], "and the colours of its roofs and its ground"
