"""What was made lately: remembered within bounds, so that a scene of any size takes the same memory."""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key")
Made = TypeVar("Made")


def _one(_: object) -> int:
    return 1


class Lately(Generic[Key, Made]):
    """What was made for each key, ``most`` of it in all by its ``weight``; what was not asked for the longest time goes first.

    All that is kept here is a function of its key, so that it may be made again. Any thread may ask; two may make the same.
    """

    def __init__(self, most: float = math.inf, weight: Callable[[Made], float] = _one) -> None:
        self._most, self._weight = most, weight
        self._kept: OrderedDict[Key, Made] = OrderedDict()
        self._lock, self._heavy = threading.Lock(), 0.0

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._kept)

    def of(self, key: Key, make: Callable[[Key], Made]) -> Made:
        """What is kept for a key, or else made now. ``make`` may ask for others."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make(key)
        self.take([(key, made)])
        return made

    def take(self, others: Iterable[tuple[Key, Made]]) -> None:
        """Keep what was made elsewhere."""
        with self._lock:
            for key, made in others:
                self._forget(key)
                self._kept[key] = made
                self._heavy += self._weight(made)
            while self._heavy > self._most and len(self._kept) > 1:
                self._forget(next(iter(self._kept)))

    def kept(self) -> list[tuple[Key, Made]]:
        """All of it, what was asked for last at the end."""
        with self._lock:
            return list(self._kept.items())

    def _forget(self, key: Key) -> None:
        if key in self._kept:
            self._heavy -= self._weight(self._kept.pop(key))
