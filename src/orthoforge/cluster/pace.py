"""How many items a task of a cluster gets: as many as take about a second, so that what a task costs beside its work is little."""

import statistics
from collections import deque
from collections.abc import Iterable, Iterator, Sized
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

# A task ends with the item during which this time is up; what it was given beside is given out again.
TASK_S = 1.0
# Answers wait until all of a task's items are finished, so their number has a bound.
MOST_ITEMS = 64
# Items that are remembered. The first ones of a worker take longer, since it imports what they need: so the median counts.
_REMEMBERED = 32
# What is left is divided into so many tasks for each worker, so that all are busy to the end.
_TASKS_A_WORKER = 2


class Pace:
    """Remembers how long items took, for ``workers`` who work on them side by side; a task gets ``most`` items."""

    def __init__(self, workers: int, most: int = MOST_ITEMS) -> None:
        self._workers, self._most = workers, most
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)

    def took(self, seconds: float) -> None:
        """An item is finished that took so long."""
        self._seconds.append(seconds)

    def count(self, left: int | None) -> int:
        """Items for the next task where so many are ``left``; one while nobody knows how long they take."""
        if not self._seconds:
            return 1
        fair = self._most if left is None else -(-left // (_TASKS_A_WORKER * self._workers))
        in_time = TASK_S / max(statistics.median(self._seconds), TASK_S / self._most)
        return max(1, min(int(in_time), fair))

    def portions(self, items: Iterable[T]) -> Iterator[list[T]]:
        """The items in order, as many at a time as a task then gets."""
        left = len(items) if isinstance(items, Sized) else None
        todo = iter(items)
        while some := list(islice(todo, self.count(left))):
            left = None if left is None else left - len(some)
            yield some
