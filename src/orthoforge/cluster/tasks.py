"""Items as tasks of Ray, several a task. Each outcome is sent when it is there, so a task that dies loses the item it was at."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from orthoforge.cluster import there
from orthoforge.cluster.pace import TASK_S, Pace
from orthoforge.cluster.there import Circumstances, Outcome
from orthoforge.errors import ResourceError

# An item whose workers died so often is given up: it may be what kills them.
MOST_DEATHS = 4
# Functions that a worker keeps: those of the command's step and of the one before.
_KEPT = 2
_works: dict[str, Callable[[Any], Any]] = {}

# Sends a task for items to Ray, and returns what its outcomes are heard by: a generator of references, or a single one.
Send = Callable[[Sequence[Any]], Any]


@dataclass(eq=False)
class Batch:
    """Items that were taken together, and what came of each of those that are finished."""

    items: list[Any]
    outcomes: list[Outcome] = field(init=False)
    deaths: list[int] = field(init=False)
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.outcomes = [Outcome()] * len(self.items)
        self.deaths = [0] * len(self.items)
        self.left = len(self.items)

    def finish(self, place: int, outcome: Outcome) -> None:
        """This is what came of the item at ``place``."""
        self.outcomes[place] = outcome
        self.left -= 1


@dataclass(eq=False)
class _Task:
    """Works on the items of a batch at these places, one after another; those that are finished are taken away."""

    batch: Batch
    places: deque[int]


class Tasks:
    """Gives batches to the workers of Ray by ``send``. What a task did not finish is given out again.

    ``is_one_by_one`` keeps what a task did not finish together; else it is parted, so that idle workers get of it.
    """

    def __init__(self, ray: Any, send: Send, pace: Pace, running: set[Any], *, is_one_by_one: bool) -> None:
        self._ray, self._send, self._pace, self._running = ray, send, pace, running
        self._is_one_by_one = is_one_by_one
        self._tasks: dict[Any, _Task] = {}

    def begin(self, items: list[Any]) -> Batch:
        """Send a task for these items."""
        batch = Batch(items)
        self._begin(batch, range(len(items)))
        return batch

    def finished(self, batches: set[Batch]) -> set[Batch]:
        """Those of ``batches`` of which all items are finished; waits until there is one."""
        while not (done := {batch for batch in batches if not batch.left}):
            (heard,), _ = self._ray.wait(list(self._tasks), num_returns=1)
            self._hear(heard)
        return done

    def _begin(self, batch: Batch, places: Sequence[int]) -> None:
        handle = self._send([batch.items[place] for place in places])
        self._running.add(handle)
        self._tasks[handle] = _Task(batch, deque(places))

    def _hear(self, handle: Any) -> None:
        """Take what a task sent: an outcome, ``None`` where it ends early, or an error of Ray where it died."""
        task = self._tasks[handle]
        try:
            outcome: Outcome | None = self._ray.get(next(handle) if isinstance(handle, Iterator) else handle)
        except (self._ray.exceptions.RayError, StopIteration) as error:
            self._end(handle)
            self._mourn(task, error)
            return
        if outcome is not None:
            self._pace.took(outcome.seconds)
            task.batch.finish(task.places.popleft(), outcome)
        if outcome is None or not task.places:
            self._end(handle)
            self._begin_rest(task)

    def _end(self, handle: Any) -> None:
        del self._tasks[handle]
        self._running.discard(handle)

    def _mourn(self, task: _Task, error: Exception) -> None:
        """Give out anew what a dead task had left. The item that it was at gets a task of its own: it may be what kills workers."""
        place, batch = task.places.popleft(), task.batch
        batch.deaths[place] += 1
        if batch.deaths[place] < MOST_DEATHS:
            self._begin(batch, [place])
        else:
            batch.finish(place, Outcome(error=_given_up(error)))
        self._begin_rest(task)

    def _begin_rest(self, task: _Task) -> None:
        rest = list(task.places)
        for some in [rest] if self._is_one_by_one else self._pace.portions(rest):
            if some:
                self._begin(task.batch, some)


def _given_up(error: Exception) -> ResourceError:
    words = " ".join(str(error).split())
    told = ResourceError(
        f"the Ray cluster lost a task {MOST_DEATHS} times, so it was given up. Mostly memory was too small. The same command goes "
        f"on. Ray says: {words[:400]}"
    )
    told.__cause__ = error
    return told


def outcomes(sent: list[Any], items: Sequence[Any], at: Circumstances) -> Iterator[Outcome | None]:
    """In a worker: what comes of each item; ``None`` where the task has taken long enough, and ends before the next."""
    begun = time.monotonic()
    for number, item in enumerate(items):
        if number and time.monotonic() - begun > TASK_S:
            yield None
            return
        yield there.done(partial(_opened, sent[0]), item, at)


def outcome_of_one(sent: list[Any], items: Sequence[Any], at: Circumstances) -> Outcome:
    """The same of a single item, for those who can hear one reference alone."""
    (item,) = items
    return there.done(partial(_opened, sent[0]), item, at)


def _opened(ref: Any) -> Callable[[Any], Any]:
    """A function that was sent, opened once in this worker."""
    import ray

    if ref.hex() not in _works:
        while len(_works) >= _KEPT:
            del _works[next(iter(_works))]
        _works[ref.hex()] = ray.get(ref)
    return _works[ref.hex()]
