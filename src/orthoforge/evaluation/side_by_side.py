"""One function over many items, by several threads, in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def in_order(function: Callable[[T], R], items: Iterable[T], *, workers: int) -> Iterator[R]:
    """``map``, by ``workers`` threads with one thread of PyTorch's own each, a few items ahead of who takes the results.

    Two such threads do more than one whose operations are shared between two threads: most operations are too small to share, and
    what lies between them is not shared at all. With one worker it is ``map``.
    """
    if workers == 1:
        yield from map(function, items)
        return
    threads = torch.get_num_threads()
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
            torch.set_num_threads(threads)  # the number is also the process's, for threads to come


def batches(count: int, size: int) -> Iterator[range]:
    """Numbers from 0 to ``count`` in groups of ``size``."""
    for begin in range(0, count, size):
        yield range(begin, min(begin + size, count))
