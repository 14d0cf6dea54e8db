"""The work done by a Ray cluster: a task works on one or several items, and its function is sent once to each worker."""

import contextlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from orthoforge.cluster import tasks
from orthoforge.cluster.pace import MOST_ITEMS, Pace
from orthoforge.cluster.tasks import Batch, Tasks
from orthoforge.cluster.team import Answer, Need, in_order
from orthoforge.cluster.there import Circumstances, Outcome
from orthoforge.errors import ConfigError, ResourceError

T = TypeVar("T")
R = TypeVar("R")

# Each worker has one task, and one waits for it on its way.
_AHEAD = 2
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_DEDUP_LOGS": "0",
    "RAY_enable_metrics_collection": "0",
}  # fmt: skip


class OnRay:
    """The workers of the cluster at ``address``, such as ``ray://HOST:10001``; as many items at once as they have processors for.

    Without an address it is the cluster that this process is connected to, the one that this machine belongs to, or one of this
    machine alone, started here and stopped at the end. ``most`` bounds how many items are worked on at once.
    """

    is_far = True

    def __init__(self, address: str | None = None, *, most: int | None = None) -> None:
        self._address, self._most = address, most
        self._running: set[Any] = set()
        self._sent: dict[int, tuple[object, Any]] = {}
        self._paces: dict[int, Pace] = {}
        self._is_ours = False
        self._sigterm: Any = None

    def __enter__(self) -> Self:
        os.environ.update({name: value for name, value in _QUIET.items() if name not in os.environ})
        try:
            import ray
        except ImportError as error:
            raise ConfigError("--on ray needs the package ray. Install the extra: pip install 'orthoforge[ray]'") from error
        self._ray: Any = ray
        if not ray.is_initialized():
            self._sigterm = signal.getsignal(signal.SIGTERM)
            self._connect()
            self._is_ours = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(self._ray.exceptions.RayError, ConnectionError):
            for ref in self._running:
                self._ray.cancel(ref, force=True)  # at once: what is half done is done again, or thrown away, by the next command
        self._running.clear()
        self._sent.clear()
        if self._is_ours:
            self._ray.shutdown()
            # Ray takes the signal for itself, and leaves nobody who hears it.
            if threading.current_thread() is threading.main_thread() and self._sigterm is not None:
                signal.signal(signal.SIGTERM, self._sigterm)

    def answers(self, work: Callable[[T], R], items: Iterable[T], need: Need = Need()) -> Iterator[Answer[R]]:  # noqa: B008 (immutable)
        """As ``Team`` says. Short items share a task. An item whose worker or machine dies is given to another one."""
        with _connected():
            largest, total = self._room()
        cpus = min(need.threads, largest.cpus)
        streams = not self._ray.util.client.ray.is_connected()  # through ray:// Ray hears one answer a task
        options = {
            "num_cpus": cpus, "num_gpus": need.gpus, "memory": int(min(need.memory_bytes, largest.memory_bytes)) or None,
            "max_retries": 0, "num_returns": "streaming" if streams else 1,
        }  # fmt: skip
        task = self._ray.remote(tasks.outcomes if streams else tasks.outcome_of_one).options(**options)
        at = Circumstances(os.getcwd(), need.threads)
        workers = min(max(1, int(total // cpus)), self._most or sys.maxsize)
        pace = self._paces.setdefault(id(work), Pace(workers, MOST_ITEMS if streams else 1))

        def send(some: Sequence[T]) -> Any:
            return task.remote([self._put(work)], some, at)  # in a list Ray hands it on as it is

        given = Tasks(self._ray, send, pace, self._running, is_one_by_one=self._most is not None)
        at_once = workers if self._most else _AHEAD * workers
        batches = in_order(pace.portions(items), given.begin, given.finished, at_once=at_once, workers=workers)
        return (_Told(outcome) for batch in _heard(batches) for outcome in batch.outcomes)

    def _put(self, work: Callable[[T], R]) -> Any:
        """Where the cluster keeps a function with all that it holds; it is sent there once."""
        if id(work) not in self._sent:
            self._sent[id(work)] = work, self._ray.put(work)
        return self._sent[id(work)][1]

    def _connect(self) -> None:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        try:
            if self._address is not None:
                self._ray.init(address=self._address, **quiet)
                return
            try:
                self._ray.init(address="auto", **quiet)
            except ConnectionError:
                self._ray.init(address="local", num_cpus=len(os.sched_getaffinity(0)), include_dashboard=False, **quiet)
        except Exception as error:  # Ray raises that itself where a machine is too busy to start in 30 s
            raise ResourceError(
                f"{self._address or 'ray'}: no Ray cluster answers, or one of another version of Ray or Python, or one that asks "
                "for a token (RAY_AUTH_MODE=token). Is it started (`ray start`), and its port reached from here? A machine that "
                "is too busy starts none. Ray says: "
                f"{' '.join(str(error).split())[:300]}"
            ) from error

    def _room(self) -> "tuple[_Room, float]":
        """What the largest machine has, and how many processors all have together."""
        alive = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        cpus = [node.get("CPU", 0.0) for node in alive]
        memory = [node.get("memory", 0.0) for node in alive]
        return _Room(max(1.0, *cpus), max(memory)), sum(cpus)


@contextlib.contextmanager
def _connected() -> Iterator[None]:
    """``ResourceError`` where the cluster is not reached any more."""
    try:
        yield
    except ConnectionError as error:
        raise ResourceError(
            f"the connection to the Ray cluster was lost. The same command goes on. Ray says: {' '.join(str(error).split())[:300]}"
        ) from error


@dataclass(frozen=True)
class _Room:
    cpus: float
    memory_bytes: float


@dataclass(frozen=True)
class _Told(Generic[R]):
    """What came of an item; taking it says what the worker said."""

    outcome: Outcome

    def result(self) -> R:
        outcome = self.outcome
        sys.stdout.write(outcome.out)
        sys.stderr.write(outcome.err)
        for message, kind in outcome.warned:
            warnings.warn(message, kind, stacklevel=3)
        if outcome.error is not None:
            raise outcome.error
        result: R = outcome.result
        return result


def _heard(batches: Iterator[Batch]) -> Iterator[Batch]:
    with _connected():
        yield from batches
