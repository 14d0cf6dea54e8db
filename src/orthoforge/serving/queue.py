"""What waits for a device: a bounded queue, and one worker a device that takes from it.

A device computes one thing at a time, since networks remember the place of their noise. Work whose client has left, or whose
deadline has passed, is dropped before the network runs. Small work of one key is done together.
"""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from orthoforge.devices import give_back_memory
from orthoforge.serving.metrics import Metrics
from orthoforge.serving.problems import ClientLeft, Problem

log = logging.getLogger(__name__)
# So many seconds later than it came is work taken to have come: others go first, but not for ever.
IMAGE, TILE, BACKGROUND = 0.0, 0.2, 5.0
_LEAST_RETRY_S, _MOST_RETRY_S = 1.0, 60.0
_BATCHES_A_TRIM = 200
_USUAL_SECONDS = 0.5  # of work, before any was done
_FORGOTTEN = 0.9  # of the mean of what was done before, at each new one


@dataclass(frozen=True)
class Work:
    """Something for a device: ``run(device, payloads)`` gives one result a payload. Work of one ``key`` may be run together."""

    run: Callable[[str, Sequence[Any]], Sequence[Any]]
    payload: Any = None
    key: Hashable | None = None
    pixels: int = 0


def alone(call: Callable[[str], Any], pixels: int = 0) -> Work:
    """Work that shares nothing: ``call(device)``."""
    return Work(lambda device, payloads: [call(device)], pixels=pixels)


@dataclass(order=True)
class _Waiting:
    due: float
    number: int
    work: Work = field(compare=False)
    future: "Future[Any]" = field(compare=False)
    deadline: float = field(compare=False)


class Workers:
    """One thread a device, and the queue before them. ``warm_up(device)`` is run before a device counts as ready."""

    def __init__(
        self,
        devices: Sequence[str],
        *,
        size: int,
        together_s: float,
        together_pixels: int,
        metrics: Metrics,
        warm_up: Callable[[str], None] = lambda device: None,
    ) -> None:
        self.devices, self._size, self._together_s, self._together_pixels = tuple(devices), size, together_s, together_pixels
        self._metrics, self._warm_up = metrics, warm_up
        self._heap: list[_Waiting] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._ready: set[str] = set()
        self._refusing = self._closing = False
        self._running = 0
        self._requests = 0
        self._mean_s = _USUAL_SECONDS
        self._threads = [threading.Thread(target=self._serve, args=(device,), daemon=True, name=device) for device in self.devices]
        metrics.watch(lambda: self.waiting)

    def start(self) -> None:
        """Start the workers."""
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """How much waits and is still wanted."""
        with self._changed:
            return sum(not one.future.cancelled() for one in self._heap)

    @property
    def is_ready(self) -> bool:
        """Whether every device has a worker that is warm."""
        return len(self._ready) == len(self.devices)

    @property
    def retry_after_s(self) -> float:
        """When the queue will have room again, about."""
        wanted = max(self.waiting + self._running, self._requests) * self._mean_s / len(self.devices)
        return min(max(_LEAST_RETRY_S, wanted), _MOST_RETRY_S)

    def require_room(self) -> None:
        """Raise ``Problem`` when the queue takes nothing, before anything is done for a request."""
        if self._refusing:
            raise Problem("stopping", "The server is stopping; ask again in 10 s.", retry_after_s=10)
        if self.waiting >= self._size:
            raise self._full()

    def require_place(self) -> None:
        """Raise ``Problem`` when as many requests are being answered as may wait."""
        self.require_room()
        if self._requests >= self._size:
            raise self._full()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a request's place, of as many as may wait, while it is decoded and made: nothing is done for one too many.

        For the event loop's thread alone. ``Problem`` where all places are taken.
        """
        self.require_place()
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1

    def submit(
        self, work: Work, *, urgency: float = IMAGE, deadline_s: float = float("inf"), admitted: bool = False
    ) -> "Future[Any]":
        """Put work into the queue. ``admitted`` work is a further part of what was taken before, and is never refused.

        Raises ``Problem`` where the queue is full or the server stops. Cancelling the future drops what does not run yet.
        """
        if not admitted:
            self.require_room()
        now = time.monotonic()
        waiting = _Waiting(now + urgency, next(self._numbers), work, Future(), now + deadline_s)
        with self._changed:
            if self._closing and not self._threads_live():
                raise Problem("stopping", "The server is stopping; ask again in 10 s.", retry_after_s=10)
            heapq.heappush(self._heap, waiting)
            self._changed.notify()
        return waiting.future

    def close(self) -> None:
        """Take nothing new, finish what was taken, and end the workers."""
        with self._changed:
            self._refusing = self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def refuse(self) -> None:
        """Take nothing new. Further parts of what was taken still come: the workers live on until ``close``."""
        self._refusing = True

    def _full(self) -> Problem:
        wait_s = self.retry_after_s
        return Problem("busy", f"{self._size} requests are waiting; ask again in {wait_s:.0f} s.", retry_after_s=wait_s)

    def _threads_live(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _serve(self, device: str) -> None:
        """A worker's life. Whatever ends it, another begins."""
        while True:
            try:
                self._warm_up(device)
                self._ready.add(device)
                self._work(device)
                return
            except BaseException:
                self._ready.discard(device)
                self._metrics.restarts.inc()
                log.exception("the worker of %s ended and is started again", device)
                time.sleep(0.1)

    def _work(self, device: str) -> None:
        for number in itertools.count(1):
            if number % _BATCHES_A_TRIM == 0:
                give_back_memory()
            batch = self._next()
            if not batch:
                return
            self._running += 1
            began = time.monotonic()
            try:
                self._run(device, batch)
            finally:
                self._running -= 1
                took = (time.monotonic() - began) / len(batch)
                self._mean_s = _FORGOTTEN * self._mean_s + (1 - _FORGOTTEN) * took

    def _next(self) -> list[_Waiting]:
        """What to run next, marked as running; empty when all is done and nothing comes any more."""
        with self._changed:
            while True:
                first = self._pop()
                if first is not None:
                    break
                if self._closing:
                    return []
                self._changed.wait(1.0)
        return [first] if first.work.key is None else self._joined(first)

    def _joined(self, first: _Waiting) -> list[_Waiting]:
        """``first`` and what may be run with it, of which some may come within milliseconds."""
        batch, until = [first], time.monotonic() + self._together_s
        pixels = first.work.pixels
        with self._changed:
            while True:
                for one in sorted(one for one in self._heap if one.work.key == first.work.key):
                    if pixels + one.work.pixels > self._together_pixels:
                        return batch
                    self._heap.remove(one)
                    heapq.heapify(self._heap)
                    if self._is_wanted(one):
                        batch.append(one)
                        pixels += one.work.pixels
                left = until - time.monotonic()
                if left <= 0 or self._heap or self._closing:  # others wait: they do not wait longer for more of these
                    return batch
                self._changed.wait(left)

    def _pop(self) -> _Waiting | None:
        while self._heap:
            one = heapq.heappop(self._heap)
            if self._is_wanted(one):
                return one
        return None

    def _is_wanted(self, one: _Waiting) -> bool:
        """Marks it as running, unless nobody waits for it any more."""
        if not one.future.set_running_or_notify_cancel():
            self._metrics.dropped.labels("client left").inc()
            return False
        if time.monotonic() > one.deadline:
            self._metrics.dropped.labels("deadline").inc()
            one.future.set_exception(Problem("deadline", "The deadline passed while this waited for its turn. Ask again later."))
            return False
        return True

    def _run(self, device: str, batch: Sequence[_Waiting]) -> None:
        try:
            results = batch[0].work.run(device, [one.work.payload for one in batch])
        except Exception as error:
            if not isinstance(error, Problem | ClientLeft):
                log.exception("work on %s failed", device)
            for one in batch:
                one.future.set_exception(error)
        except BaseException:
            for one in batch:
                one.future.set_exception(Problem("failed", "The worker ended while it made this. Ask again."))
            raise
        else:
            self._metrics.forward_passes.inc()
            self._metrics.made_pixels.inc(sum(one.work.pixels for one in batch))
            for one, result in zip(batch, results, strict=True):
                one.future.set_result(result)
