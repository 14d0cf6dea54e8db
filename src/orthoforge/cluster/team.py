"""What a command asks of those who work for it: one function over many items, answers in the order of the items."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
H = TypeVar("H")

# So many answers a worker may wait for an earlier one that takes long.
_WAITING = 8


@dataclass(frozen=True)
class Need:
    """What one item takes of the machine that it is given to."""

    threads: int = 1
    """Of PyTorch's own. Another number may round the last bit differently."""
    memory_bytes: float = 0
    gpus: int = 0


_LITTLE = Need()


class Answer(Protocol[R_co]):
    """What came of one item."""

    def result(self) -> R_co:
        """What the function returned; raises what it raised."""


class Team(Protocol):
    """Works on items side by side. It is a context manager: on leaving the block work under way ends, and nothing is begun."""

    is_far: bool
    """Whether functions and items are copied to other processes, and what they change there stays there."""

    def answers(self, work: Callable[[T], R], items: Iterable[T], need: Need = _LITTLE) -> Iterator[Answer[R]]:
        """An answer for each of ``items``, in their order. Few are taken ahead of those that are finished."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


def in_order(
    items: Iterable[T], begin: Callable[[T], H], finished: Callable[[set[H]], set[H]], *, at_once: int, workers: int
) -> Iterator[H]:
    """Begins items, ``at_once`` of them unfinished, and yields what ``begin`` gave, in order, each when it is finished.

    ``finished`` waits until one of a set is finished, and returns those that are.
    """
    waiting: deque[H] = deque()
    running: set[H] = set()
    todo, is_more = iter(items), True
    while is_more or waiting:
        while is_more and len(running) < at_once and len(waiting) < _WAITING * workers:
            for item in todo:
                handle = begin(item)
                waiting.append(handle)
                running.add(handle)
                break
            else:
                is_more = False
        if running:
            running -= finished(running)
        while waiting and waiting[0] not in running:
            yield waiting.popleft()
