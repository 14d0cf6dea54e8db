"""Two processes train as one."""

import json
from pathlib import Path

import pytest
from harness import in_any_number, largest_difference, make_tiles, rows
from safetensors.torch import load_file

from orthoforge.training import train
from orthoforge.training.state import STYLE_BANKS


@pytest.fixture(scope="module")
def trained(warm_python, tmp_path_factory):
    """What ``two_processes.py`` leaves."""
    out = tmp_path_factory.mktemp("two")
    tiles = make_tiles(out, ("arden1", "brennau2", "arden7"))
    script = Path(__file__).with_name("two_processes.py")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHON_EXEC", str(warm_python.executable))  # what torchrun starts its processes with
        warm_python.run(*torchrun, script, tiles, out)
    return out


def streams(folder: Path) -> list[list[int]]:
    """The random stream of each step, of the first process and of the second."""
    return [json.loads((folder / f"streams-{rank}.json").read_text()) for rank in (0, 1)]


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


@pytest.mark.parametrize("name", ["grouped", "accumulated"])
def test_two_processes_do_what_one_does_with_the_same_batch(name, trained, tmp_path):
    run = train(in_any_number(), trained / "tiles", tmp_path / "alone", quiet=True, trackers=())
    here, there = ([{name: float(text) for name, text in row.items()} for row in rows(of)] for of in (run, trained / name))
    assert len(here) == len(there) == 3
    for one, two in zip(here, there, strict=True):
        assert two == pytest.approx(one, rel=1e-4), "losses are means over both halves of a batch"
    apart = largest_difference(run, trained / name)
    print(f"largest difference of a tensor after {here[-1]['step']:.0f} steps, two processes against one ({name}): {apart:.1e}")
    assert apart < 1e-4


def test_each_process_draws_its_own_random_numbers(trained):
    for name in ("plain", "styled"):
        first, second = streams(trained / name)
        assert len(set(first)) > 1
        assert not set(first) & set(second)


def test_a_stop_asked_of_the_second_process_alone_stops_both(trained):
    assert [len(steps) for steps in streams(trained / "stopped")] == [3, 3]
    state = json.loads((trained / "stopped/weights/last/state.json").read_text())
    assert (state["progress"]["step"], state["progress"]["epoch"]) == (3, 1)
