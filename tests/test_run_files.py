"""The files of a run folder come back as they were written, or are refused in words, whatever happened to them."""

import contextlib
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orthoforge.checkpoint_state import CONFIG, MODEL, STATE
from orthoforge.checkpoints import read_state, state_bytes
from orthoforge.errors import CheckpointError, ConfigError
from orthoforge.plain_yaml import dump_yaml
from orthoforge.run_files import ArgsTiles, RunArgs, append_result, read_args, read_results, write_args
from orthoforge.training.progress import Progress
from orthoforge.training.schedules import Standing
from saved_runs import state_of

ROWS = [{"epoch": 1.0, "step": 3.0, "loss_g": 0.1, "psnr": 12.5}, {"epoch": 2.0, "step": 6.0, "loss_g": 0.2, "psnr": float("inf")}]
ARGS = {
    "name": "tiny", "epochs": 3,
    "run": {"data": "tiles", "out": "run", "init_from": None, "resume": False, "tiles": {"gsd_m": 0.3}, "versions": {"torch": "2"}},
}  # fmt: skip
PROGRESS = Progress(epoch=2, step=6, updates={"generator": 6}, sums={"loss_g": 0.5}, standings={"generator": Standing(0.5, 0.1, 2)})
STATE_VALUES = {"format": 1, "checksums": {MODEL: "0" * 64}} | state_of(classes=["ground", "building"], places=["arden"])
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=3), st.just([]), st.just({}),
    st.just([[1]]), st.just({"a": 1}),
)  # fmt: skip


def spoil(values, data):
    """``values`` with one thing in it replaced, removed or added."""
    copy = json.loads(json.dumps(values))
    part = copy
    while True:
        keys = list(part) if isinstance(part, dict) else list(range(len(part)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(part[key], dict | list) and part[key] and data.draw(st.integers(0, 3)):
            part = part[key]
            continue
        if isinstance(part, dict) and data.draw(st.integers(0, 4)) == 0:
            del part[key]
        elif isinstance(part, dict) and data.draw(st.integers(0, 4)) == 0:
            part["another"] = data.draw(ODD)
        else:
            part[key] = data.draw(ODD)
        return copy


@pytest.mark.parametrize("cells", ["inf,1", "1e400,1", "-1,1", "1,inf"])
def test_an_epoch_or_a_duration_that_cannot_be_is_named(tmp_path, cells):
    (tmp_path / "results.csv").write_text(f"epoch,seconds\n{cells}\n")
    with pytest.raises(CheckpointError, match=r"results\.csv: line 2: (epoch|seconds) is .*, which cannot be"):
        read_results(tmp_path)


def test_no_number_without_end_is_taken_from_the_args(tmp_path):
    write_args(tmp_path, ARGS | {"learning_rate": float("nan")})
    with pytest.raises(ConfigError, match=r"args\.yaml: is not what .* writes: learning_rate is nan"):
        read_args(tmp_path)


def test_rows_come_back_and_a_column_more_does_not_lose_the_others(tmp_path):
    for row in ROWS:
        append_result(tmp_path, row)
    assert read_results(tmp_path) == ROWS
    append_result(tmp_path, {"epoch": 3.0, "ssim": 0.5})
    assert read_results(tmp_path) == [*ROWS, {"epoch": 3.0, "ssim": 0.5}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"epoch,step\n1,many\n", r"results\.csv: line 2: step is 'many', which is no number"),
        (b"epoch,step\n1,nan\n", r"line 2: step is 'nan', which is no number"),
        (b"epoch,step\n1,2,3\n", r"line 2: has more cells than the first line has names"),
        (b"step,loss\n1,2\n", r"line 2: names no epoch"),
        (b"epoch,step\n1,\xff\n", r"is no table in CSV"),
        (b"epoch,step\n1," + b"9" * 200_000 + b"\n", r"is no table in CSV \(field larger than field limit"),
    ],
)
def test_results_that_are_no_numbers_are_refused_by_their_line(content, message, tmp_path):
    (tmp_path / "results.csv").write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_results(tmp_path)
    assert len(str(caught.value)) < 400


@given(st.data())
def test_damaged_results_are_rows_of_numbers_or_an_error(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "results.csv")
        text = bytearray(b"epoch,step,loss_g\n1,3,0.1\n2,6,0.05\n")
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(text)))
            words = st.sampled_from([b",", b"\n", b'"', b"\0", b"nan", b"\r", b"\xff", b"1e999", b"epoch"])
            text[at : at + data.draw(st.integers(0, 6))] = data.draw(st.one_of(st.binary(max_size=4), words))
        path.write_bytes(text)
        with contextlib.suppress(CheckpointError):
            for row in read_results(Path(folder)):
                assert "epoch" in row and all(type(value) is float for value in row.values())


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("tiles", r"args\.yaml: is not what `orthoforge train` writes: run: .* \(is 'tiles'\)"),
        ({"data": ["a"]}, r"run\.data: .* \(is \['a'\]\)"),
        ({"init_from": 3}, r"run\.init_from: .* \(is 3\)"),
        ({"tiles": []}, r"run\.tiles: .* \(is \[\]\)"),
    ],
)
def test_args_of_another_form_are_refused_by_name(run, message, tmp_path):
    write_args(tmp_path, ARGS | {"run": run})
    with pytest.raises(ConfigError, match=message):
        read_args(tmp_path)
    write_args(tmp_path, ARGS)
    told = read_args(tmp_path)
    assert told == RunArgs({"name": "tiny", "epochs": 3}, "tiles", "", ArgsTiles(gsd_m=0.3), {"torch": "2"})
    write_args(tmp_path, {"run": {"data": "tiles"}})
    assert read_args(tmp_path).init_from is None, "an older one did not note whose weights it began with"
    (tmp_path / "args.yaml").write_text("- a\n")
    with pytest.raises(ConfigError, match=r"args\.yaml: is not what"):
        read_args(tmp_path)


@given(st.data())
def test_changed_args_are_of_the_form_or_an_error(data):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "args.yaml").write_text(dump_yaml(spoil(ARGS, data)), encoding="utf-8")
        with contextlib.suppress(ConfigError):
            told = read_args(Path(folder))
            assert isinstance(told.data, str) and isinstance(told.init_from, str | None)
            assert isinstance(told.tiles, ArgsTiles) and isinstance(told.versions, dict)


@given(st.data())
def test_a_changed_state_with_a_fitting_checksum_is_a_state_or_an_error(data):
    body = spoil(STATE_VALUES, data)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, data.draw(st.sampled_from([STATE, CONFIG])))
        path.write_bytes(state_bytes(body | {"library_name": "orthoforge"}))
        state = None
        with contextlib.suppress(CheckpointError):
            state = read_state(Path(folder))
    if state is None:
        return
    assert state.progress.step >= 0 and (state.tiles.gsd_m is None or 0 < state.tiles.gsd_m < 1e309)
    assert state.tiles.classes is None or len(state.tiles.classes.names) == len(state.tiles.classes.colours)
    assert state.recorded["recipe"] == state.recipe and state.part("tiles")["fingerprint"] == state.tiles.fingerprint


def test_progress_comes_back_and_one_from_before_best_by_too():
    assert Progress.read(asdict(PROGRESS), "it") == PROGRESS
    assert Progress.read({"step": 3, "best_ssim": 0.75}, "it") == Progress(step=3, best_shortfall=0.25)
    assert Progress.read({"step": 3, "best_ssim": None}, "it") == Progress(step=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rollbacks": -1}, r"rollbacks: .* \(is -1\)"),
        ({"step": True}, r"step: .* \(is True\)"),
        ({"sums": {"loss_g": float("nan")}}, r"sums\.loss_g: "),
        ({"standings": {"generator": {"waited": "long"}}}, r"standings\.generator\.waited: .* \(is 'long'\)"),
        ({"best_ssim": "high"}, r"best_ssim: "),
        ({"speed": 1}, r"speed: "),
    ],
)
def test_progress_of_another_form_is_refused_by_name(changes, message):
    with pytest.raises(CheckpointError, match=f"it: does not say how far its training is: {message}"):
        Progress.read(asdict(PROGRESS) | changes, "it")


@given(st.data())
def test_changed_progress_is_progress_or_an_error(data):
    with contextlib.suppress(CheckpointError):
        assert Progress.read(spoil(asdict(PROGRESS), data), "it").rollbacks >= 0
