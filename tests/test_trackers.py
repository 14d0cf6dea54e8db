"""Trackers: what each records, what a resumed run finds again, and that none ever stops or stalls the others."""

import os
import pty
import select
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from orthoforge import trackers as room
from orthoforge.errors import ConfigError
from orthoforge.trackers import TRACKERS, Trackers, require_trackers
from small_disk import small_disk

SETTINGS = {"learning_rate": 2e-4, "norm": "batch", "crop_px": 32, "perceptual_layers": ["stem", "stage1"], "tiles": "t" * 9000}
PANEL = np.arange(8 * 12 * 3, dtype=np.uint8).reshape(8, 12, 3)


@pytest.fixture(autouse=True)
def _no_account(monkeypatch, tmp_path):
    """No credentials or settings of the machine, and none of ours left behind."""
    for name in [name for name in os.environ if name.startswith(("WANDB_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    for name, value in room.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "wandb-user"))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    yield
    if hasattr(sys.modules.get("wandb"), "teardown"):
        sys.modules["wandb"].teardown()  # it read its variables once


def track(run, names=("tensorboard",), *, first_step=1, last_step=4, settings=SETTINGS):
    """A training of two steps an epoch, from ``first_step`` to ``last_step``; returns its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        tracked = Trackers(names, run, settings=settings, first_step=first_step)
        for step in range(first_step, last_step + 1):
            tracked.scalars({"train/loss_g": 1 / step, "train/loss_d": 0.5}, step)
            if step % 2 == 0:
                tracked.scalars({"epoch/psnr": 20.0 + step}, step)
                tracked.picture("panel", PANEL, step)
        tracked.close()
    return [str(w.message) for w in caught if issubclass(w.category, UserWarning)]


def events_of(run):
    events = EventAccumulator(str(run), size_guidance={"tensors": 0})
    events.Reload()
    return events


def points(run, name="train/loss_g"):
    return [(point.step, pytest.approx(point.value)) for point in events_of(run).Scalars(name)]


def assert_complete(run):
    assert points(run) == [(step, 1 / step) for step in range(1, 5)]
    assert points(run, "epoch/psnr") == [(2, 22), (4, 24)]
    assert [picture.step for picture in events_of(run).Images("panel")] == [2, 4]


# Names


def test_importing_the_room_imports_no_tracker():
    code = "import orthoforge.trackers, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "orthoforge.trackers" in loaded
    assert not {*TRACKERS, "torch", "sqlalchemy", "matplotlib"} & set(loaded)


def test_an_unknown_name_is_told_the_known_ones(tmp_path):
    with pytest.raises(ConfigError, match=r"unknown tracker `neptune`\. Trackers: tensorboard, wandb, mlflow"):
        Trackers(["tensorboard", "neptune"], tmp_path / "run", settings={}, first_step=1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_is_told_how_to_install_it(name, folder, tmp_path, monkeypatch):
    if folder:  # W&B makes one of its name where it runs, which Python would import as a package
        (tmp_path / name).mkdir()
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(ConfigError, match=r"is not installed\. Install it: pip install 'orthoforge\[trackers\]'"):
        require_trackers([name])


# TensorBoard


def test_a_resumed_run_has_the_points_of_one_that_was_not_stopped(tmp_path):
    assert track(tmp_path / "whole") == []
    assert_complete(tmp_path / "whole")
    track(tmp_path / "run", last_step=3)
    assert track(tmp_path / "run", first_step=2) == []
    assert_complete(tmp_path / "run")
    picture = events_of(tmp_path / "run").Images("panel")[0]
    assert (picture.width, picture.height) == (12, 8)


def test_settings_and_scores_stand_once_in_tensorboards_hparams_tab(tmp_path):
    track(tmp_path, last_step=3)
    track(tmp_path, first_step=2, settings=SETTINGS | {"learning_rate": 1.0})
    events = events_of(tmp_path)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [], "no run of its own"
    plugin = HParamsPluginData.FromString(events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content)
    values = plugin.session_start_info.hparams
    assert values["learning_rate"].number_value == 2e-4, "as the run began"
    assert values["norm"].string_value == "batch"
    assert values["perceptual_layers"].string_value == "['stem', 'stage1']"
    experiment = HParamsPluginData.FromString(events.SummaryMetadata(metadata.EXPERIMENT_TAG).plugin_data.content).experiment
    assert [metric.name.tag for metric in experiment.metric_infos] == ["epoch/psnr", "epoch/ssim", "epoch/loss_g", "epoch/detail"]
    files = [LegacyEventFileLoader(str(path)) for path in tmp_path.glob("events.out*")]
    tags = Counter(value.tag for file in files for event in file.Load() for value in event.summary.value)
    assert len(files) == 2
    assert tags["train/loss_g"] == 3 + 3
    for tag in (metadata.SESSION_START_INFO_TAG, metadata.EXPERIMENT_TAG, "custom_scalars__config__"):
        assert tags[tag] == 1, tag


# TensorBoard's own thread dies of a full disk, and Python shows how.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_full_disk_ends_the_curves_with_one_warning(tmp_path):
    with small_disk(tmp_path / "disk", 1 << 16) as disk:
        tracked = Trackers(["tensorboard"], disk / "run", settings=SETTINGS, first_step=1)
        noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)  # 200 kB as a PNG
        with pytest.warns(UserWarning, match=r"^TensorBoard curves stop here: .*No space left.*\. Training goes on\.$") as caught:
            tracked.picture("panel", noise, 1)
        assert len(caught) == 1
        tracked.scalars({"loss": 1.0}, 2)  # says nothing more: warnings are errors here
        tracked.close()
        for thread in threading.enumerate():
            if type(thread).__name__ == "_AsyncWriterThread":
                thread.join(10)  # or its last words would fall into the next test


def test_a_read_only_disk_ends_the_curves_with_one_warning(tmp_path):
    with small_disk(tmp_path / "disk", 1 << 20, read_only=True) as disk:
        messages = track(disk / "run")
    assert len(messages) == 1
    assert "Read-only file system" in messages[0]


# Any tracker's failure: W&B's package replaced by ones that fail here or there

WORKING = """
class Run:
    define_metric = log = finish = lambda *_, **__: None
Image = login = teardown = lambda *_, **__: None
init = lambda **_: Run()
"""
FAILURES = {
    "import": "import orthoforge.nowhere",
    "login": WORKING + "def login(**_): raise OSError('at login')",
    "init": WORKING + "def init(**_): raise SystemExit('at init')",
    "scalars": WORKING + "def log(self, values): raise ValueError('at log')\nRun.log = log",
    "picture": WORKING + "def Image(_): raise MemoryError",
    "close": WORKING + "def finish(_): raise ConnectionError('at finish\\n\\nand more.')\nRun.finish = finish",
    "hangs": WORKING + "import time\ndef init(**_): time.sleep(60)",
}


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Writes the package that is imported as W&B."""
    real = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "wandb"}
    for name in real:
        del sys.modules[name]
    monkeypatch.syspath_prepend(tmp_path)
    yield (tmp_path / "wandb.py").write_text
    sys.modules.pop("wandb", None)
    sys.modules.update(real)


@pytest.mark.parametrize("where", FAILURES)
def test_one_that_fails_is_left_out_with_one_warning_and_the_others_go_on(where, stand_in, tmp_path, monkeypatch):
    stand_in(FAILURES[where])
    monkeypatch.setattr(room, "CLOSE_SECONDS", 0.5)
    began = time.monotonic()
    messages = track(tmp_path / "run", ["wandb", "tensorboard"])
    assert time.monotonic() - began < 10
    assert len(messages) == 1, messages
    cause = {"import": "No module named", "picture": "MemoryError", "close": "at finish and more", "hangs": "no answer for 0 s"}
    assert messages[0].startswith("W&B curves stop here: ")
    assert cause.get(where, f"at {where}".replace("scalars", "log")) in messages[0]
    assert messages[0].endswith(". Training goes on.")
    assert_complete(tmp_path / "run")


def test_one_that_falls_behind_is_left_out(stand_in, tmp_path, monkeypatch):
    stand_in(WORKING + "import time\nRun.log = lambda *_: time.sleep(60)")
    monkeypatch.setattr(room, "CALLS_WAITING", 3)
    messages = track(tmp_path / "run", ["wandb", "tensorboard"])
    assert messages == ["W&B curves stop here: it does not keep up, 3 calls are waiting. Training goes on."]
    assert_complete(tmp_path / "run")


# Weights & Biases


def wandb_records(run):
    """What W&B kept of its runs below the run folder: for each one its id, its settings, and its points."""
    import wandb
    from wandb.proto.wandb_internal_pb2 import Record

    wandb.teardown()  # its service process writes the last of them as it ends
    found = []
    for path in sorted(run.glob("wandb/offline-run-*/*.wandb")):
        data, position, parts, kept = path.read_bytes(), 7, b"", SimpleNamespace(id=None, config={}, points=[])
        while position + 7 <= len(data):
            if 32768 - position % 32768 < 7:  # as in LevelDB's logs: blocks of 32 kB, in them checksum, length, kind, bytes
                position += 32768 - position % 32768
                continue
            length, kind = int.from_bytes(data[position + 4 : position + 6], "little"), data[position + 6]
            parts, position = parts + data[position + 7 : position + 7 + length], position + 7 + length
            if kind in (1, 4):  # whole, or its last part
                record, parts = Record.FromString(parts), b""
                if record.HasField("run"):
                    kept.id = record.run.run_id
                    kept.config |= {item.key: item.value_json for item in record.run.config.update}
                items = {item.key or item.nested_key[0]: item.value_json for item in record.history.item}
                kept.points += [items] if items else []
        found.append(kept)
    return found


def test_wandb_keeps_a_run_offline_and_resumes_it(tmp_path):
    run = tmp_path / "town"
    assert track(run, ["wandb"], last_step=3) == []
    assert track(run, ["wandb"], first_step=3) == []
    first, second = wandb_records(run)
    assert first.id == second.id == room._read_ids(run)["wandb"]
    assert first.config["learning_rate"] == "0.0002"
    losses = [(point["step"], point["train/loss_g"]) for point in first.points if "train/loss_g" in point]
    assert [int(step) for step, _ in losses] == [1, 2, 3]
    assert [float(loss) for _, loss in losses] == pytest.approx([1, 1 / 2, 1 / 3])
    assert [point["step"] for point in second.points if "epoch/psnr" in point] == ["4"]
    assert [point["step"] for point in first.points if "panel" in point] == ["2"]
    assert len(list(run.glob("wandb/offline-run-*/files/media/images/panel*.png"))) == 2


def test_wandb_asks_nobody_for_a_login_on_a_terminal(tmp_path):
    code = (
        "import sys; from pathlib import Path; from orthoforge.trackers import Trackers\n"
        "assert sys.stdin.isatty() and sys.stderr.isatty()\n"
        f"Trackers(['wandb'], Path({str(tmp_path / 'run')!r}), settings={{}}, first_step=1).close()"
    )
    terminal, end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "WANDB_SILENT": "false", "WANDB_MODE": "online"}
    child = subprocess.Popen([sys.executable, "-c", code], stdin=end, stdout=end, stderr=end, env=environment)
    os.close(end)
    said = b""
    while select.select([terminal], [], [], 60)[0]:
        try:
            said += os.read(terminal, 4096)
        except OSError:  # the other side has closed
            break
    assert child.wait(timeout=10) == 0, said.decode()
    assert b"offline" in said
    assert b"Enter your choice" not in said
    assert len(wandb_records(tmp_path / "run")) == 1


def unanswered(port):
    return f"http://127.0.0.1:{port}"


def test_wandb_without_its_server_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", unanswered(9))
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1")
    messages = track(tmp_path / "run", ["wandb", "tensorboard"])
    assert len(messages) == 1
    assert messages[0].startswith("W&B curves stop here: ")
    assert_complete(tmp_path / "run")


# MLflow


def test_mlflow_keeps_a_run_beside_the_run_folder_and_resumes_it(tmp_path):
    import mlflow

    run = tmp_path / "runs" / "town"
    assert track(run, ["mlflow"], last_step=3) == []
    assert track(run, ["mlflow"], first_step=4, settings=SETTINGS | {"norm": "other"}) == []
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'runs/mlflow.db'}")
    (found,) = client.search_runs([client.get_experiment_by_name("orthoforge").experiment_id])
    assert found.info.run_id == room._read_ids(run)["mlflow"]
    assert (found.info.run_name, found.info.status) == ("town", "FINISHED")
    assert found.data.params["learning_rate"] == "0.0002"
    assert found.data.params["norm"] == "batch"
    assert found.data.params["tiles"] == "t" * 6000
    history = client.get_metric_history(found.info.run_id, "train/loss_g")
    assert [(point.step, point.value) for point in history] == [(step, 1 / step) for step in range(1, 5)]
    pictures = [file.path for file in client.list_artifacts(found.info.run_id, "images") if file.path.endswith(".png")]
    assert [path.split("+")[2] for path in sorted(pictures)] == ["2", "4"]
    assert (tmp_path / "runs" / "mlartifacts").is_dir()


def test_mlflow_without_its_server_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", unanswered(9))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    messages = track(tmp_path / "run", ["mlflow", "tensorboard"])
    assert len(messages) == 1
    assert messages[0].startswith("MLflow curves stop here: ")
    assert "127.0.0.1" in messages[0]
    assert_complete(tmp_path / "run")
    assert not (tmp_path / "mlflow.db").exists()


def test_a_server_that_never_answers_keeps_nobody_waiting(tmp_path, monkeypatch):
    import mlflow  # noqa: F401, so that the import is not measured

    monkeypatch.setattr(room, "CLOSE_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes calls and is silent
        monkeypatch.setenv("MLFLOW_TRACKING_URI", unanswered(server.getsockname()[1]))
        tracked = Trackers(["mlflow"], tmp_path, settings=SETTINGS, first_step=1)
        began = time.monotonic()
        for step in range(100):
            tracked.scalars({"loss": 1.0}, step)
        assert time.monotonic() - began < 0.5
        with pytest.warns(UserWarning, match="MLflow curves stop here: no answer for 1 s"):
            tracked.close()
        assert time.monotonic() - began < 3
