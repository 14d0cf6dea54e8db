"""Where curves go: TensorBoard, Weights & Biases, MLflow. None of them ever stops a training, or keeps it waiting."""

import importlib
import importlib.util
import json
import os
import queue
import secrets
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np

from orthoforge.errors import ConfigError
from orthoforge.files import new_file

LABELS = {"tensorboard": "TensorBoard", "wandb": "W&B", "mlflow": "MLflow"}
TRACKERS = tuple(LABELS)
"""Names of the trackers, which are also those of their packages."""
PROJECT = "orthoforge"  # of W&B, and MLflow's experiment
CHOSEN_METRICS = ("epoch/psnr", "epoch/ssim", "epoch/loss_g", "epoch/detail")  # beside the settings in TensorBoard's HParams tab

CALLS_WAITING = 256  # a panel is about 2 MB: no more than some hundred MB wait for a slow server
CLOSE_SECONDS = 30.0
# What the user sets goes before. MLflow would ask a server that is not there for four minutes, and both report home.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
}


def require_trackers(names: Sequence[str]) -> None:
    """Raise ``ConfigError`` for a name that is no tracker's, or a tracker whose package is not installed. Imports nothing."""
    for name in names:
        if name not in TRACKERS:
            raise ConfigError(f"unknown tracker `{name}`. Trackers: {', '.join(TRACKERS)}.")
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:  # no origin: only a folder of that name, as W&B itself leaves behind
            raise ConfigError(f"{LABELS[name]} is not installed. Install it: pip install 'orthoforge[trackers]'")


class _Tracker(Protocol):
    """What a tracker is told."""

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Log each value under its name."""

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        """Log an image (H, W, 3) uint8."""

    def close(self) -> None:
        """Close files and connections."""


_Call = Callable[[_Tracker], None]


class Trackers:
    """Every tracker in ``names``, as one. One that fails is left out, after a warning with its cause; the others go on."""

    def __init__(self, names: Sequence[str], run: Path, *, settings: Mapping[str, object], first_step: int) -> None:
        """``settings``, plain values, are recorded as hyperparameters. A run that was tracked before goes on at ``first_step``:
        points from there on, logged before a kill, are purged from TensorBoard; W&B and MLflow keep them beside the new ones, and
        lack what they had not sent yet.

        Raises ``ConfigError`` as ``require_trackers`` does.
        """
        require_trackers(names)
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        openers: dict[str, Callable[[], _Tracker]] = {
            "tensorboard": lambda: _TensorBoard(run, settings, first_step),
            "wandb": lambda: _Background(partial(_Wandb, importlib.import_module("wandb"), run, settings)),
            "mlflow": lambda: _Background(partial(_Mlflow, importlib.import_module("mlflow"), run, settings)),
        }
        self._trackers: dict[str, _Tracker] = {}
        for name in dict.fromkeys(names):
            self._attempt(name, partial(self._open, name, openers[name]))

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Log each value under its name."""
        copied = dict(values)
        self._each(lambda tracker: tracker.scalars(copied, step))

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        """Log an image (H, W, 3) uint8."""
        copied = image.copy()
        self._each(lambda tracker: tracker.picture(name, copied, step))

    def close(self) -> None:
        """Close files and connections. Each tracker has half a minute for what it has not sent yet."""
        self._each(lambda tracker: tracker.close())

    def _open(self, name: str, opener: Callable[[], _Tracker]) -> None:
        self._trackers[name] = opener()

    def _each(self, call: _Call) -> None:
        for name, tracker in list(self._trackers.items()):
            self._attempt(name, partial(call, tracker))

    def _attempt(self, name: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # whatever a tracker throws, training goes on
            self._trackers.pop(name, None)
            cause = textwrap.shorten(str(error) or type(error).__name__, 300, placeholder=" …").removesuffix(".")
            warnings.warn(f"{LABELS[name]} curves stop here: {cause}. Training goes on.", stacklevel=4)


class _TensorBoard:
    """Event files in the run folder, written at once: the next checkpoint counts on every point before it."""

    def __init__(self, run: Path, settings: Mapping[str, object], first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        former = [path.name for path in run.glob("events.out.tfevents.*")]
        # TensorBoard reads the files in the order of their names, which hold the second: this one must come last.
        while any(f".{int(time.time()):010d}." in name for name in former):
            time.sleep(0.02)
        begins = not former  # once a run: a resumed one has them from its first file
        self._writer = SummaryWriter(str(run), purge_step=first_step)
        if begins:
            plain = {name: value if type(value) in (int, float, str) else str(value) for name, value in settings.items()}
            experiment, session, _ = hparams(plain, dict.fromkeys(CHOSEN_METRICS, 0.0))
            for summary in (experiment, session):
                self._writer._get_file_writer().add_summary(summary)  # add_hparams would make a run of its own for them
            together = {part: ["Multiline", [f"{part}/loss_.*"]] for part in ("train", "epoch")}
            self._writer.add_custom_scalars({"losses": together})
            self._writer.flush()

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        self._writer.add_image(name, image, step, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _Wandb:
    """A run of W&B; without an API key offline, for ``wandb sync``. ``WANDB_*`` variables go before what stands here."""

    def __init__(self, wandb: ModuleType, run: Path, settings: Mapping[str, object]) -> None:
        known = _read_ids(run).get("wandb")
        run_id = known or os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4)
        folder = run.absolute()
        given = {"project": PROJECT, "name": folder.name, "dir": str(folder)}
        # Its atexit hook would wait for a lost connection as long as the connection is lost.
        limits = {"console": "off", "init_timeout": CLOSE_SECONDS * 0.8, "finish_timeout": CLOSE_SECONDS * 0.8}
        if os.environ.get("WANDB_MODE") not in ("offline", "disabled") and not wandb.login(prompt=False, verify=False):
            given["mode"] = "offline"
        self._image = wandb.Image
        self._run = wandb.init(
            **{name: value for name, value in given.items() if name == "mode" or f"WANDB_{name.upper()}" not in os.environ},
            settings={name: value for name, value in limits.items() if f"WANDB_{name.upper()}" not in os.environ},
            id=run_id, config=dict(settings), resume="allow" if known else None, reinit="create_new",
        )  # fmt: skip
        # An axis of our own: W&B's counts calls, and drops what lies before the last one, as after a resumption.
        self._run.define_metric("*", step_metric="step")
        _keep_id(run, "wandb", run_id)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self._run.log({**values, "step": step})

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        self._run.log({name: self._image(image), "step": step})

    def close(self) -> None:
        self._run.finish()


class _Mlflow:
    """A run of MLflow's experiment; without ``MLFLOW_TRACKING_URI`` in ``mlflow.db`` and ``mlartifacts`` beside the run folder."""

    def __init__(self, mlflow: ModuleType, run: Path, settings: Mapping[str, object]) -> None:
        self._entities, beside = mlflow.entities, run.absolute().parent
        local = not mlflow.is_tracking_uri_set()
        self._client = mlflow.MlflowClient(f"sqlite:///{beside / 'mlflow.db'}" if local else mlflow.get_tracking_uri())
        known = _read_ids(run).get("mlflow")
        if known:
            self._run_id = known
            self._client.update_run(known, status="RUNNING")
            return
        title = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        experiment = self._client.get_experiment_by_name(title)
        artifacts = (beside / "mlartifacts").as_uri() if local else None
        number = experiment.experiment_id if experiment else self._client.create_experiment(title, artifact_location=artifacts)
        self._run_id = self._client.create_run(number, run_name=run.absolute().name).info.run_id
        params = [mlflow.entities.Param(name, str(value)[:6000]) for name, value in settings.items()]  # no longer, says MLflow
        for first in range(0, len(params), 100):  # nor more at once
            self._client.log_batch(self._run_id, params=params[first : first + 100])
        _keep_id(run, "mlflow", self._run_id)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        now_ms = round(time.time() * 1000)
        metrics = [self._entities.Metric(name, float(value), now_ms, step) for name, value in values.items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        self._client.log_image(self._run_id, image, key=name, step=step, synchronous=True)

    def close(self) -> None:
        self._client.set_terminated(self._run_id)


class _Background:
    """A tracker in a thread of its own, in whose way nothing waits. What it throws is raised by the next call."""

    def __init__(self, opener: Callable[[], _Tracker]) -> None:
        self._calls: queue.Queue[_Call | None] = queue.Queue(CALLS_WAITING)  # closed after ``None``
        self._error: BaseException | None = None
        # A daemon, so that one that hangs does not keep the process.
        self._thread = threading.Thread(target=self._work, args=(opener,), daemon=True)
        self._thread.start()

    def _work(self, opener: Callable[[], _Tracker]) -> None:
        try:
            tracker = opener()
            while call := self._calls.get():
                call(tracker)
            tracker.close()
        except BaseException as error:  # SystemExit too: the thread ends with it
            self._error = error

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self._put(lambda tracker: tracker.scalars(values, step))

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        self._put(lambda tracker: tracker.picture(name, image, step))

    def close(self) -> None:
        self._put(None)
        self._thread.join(CLOSE_SECONDS)
        self._raise()
        if self._thread.is_alive():
            raise TimeoutError(f"no answer for {CLOSE_SECONDS:.0f} s; what it had not sent by then is missing")

    def _put(self, call: _Call | None) -> None:
        self._raise()
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            raise TimeoutError(f"it does not keep up, {CALLS_WAITING} calls are waiting") from None

    def _raise(self) -> None:
        if self._error is not None:
            raise RuntimeError(str(self._error) or type(self._error).__name__) from self._error


_ids_lock = threading.Lock()


def _read_ids(run: Path) -> dict[str, str]:
    """``trackers.json``: the id of this run in each tracker that gives one."""
    path = run / "trackers.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _keep_id(run: Path, name: str, run_id: str) -> None:
    with _ids_lock, new_file(run / "trackers.json", overwrite=True) as partial:
        partial.write_text(json.dumps(_read_ids(run) | {name: run_id}, indent=2) + "\n", encoding="utf-8")
