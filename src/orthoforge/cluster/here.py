"""The work done in this process, by threads."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

from orthoforge.cluster.team import Answer, Need, in_order

T = TypeVar("T")
R = TypeVar("R")


class Here:
    """``workers`` threads; with one, the caller's own, which works on an item when it is asked for its result.

    ``alone`` gives each thread one thread of PyTorch's own. Two such threads do more than one whose operations are shared between
    two threads: most operations are too small to share, and what lies between them is not shared at all.
    """

    is_far = False

    def __init__(self, workers: int = 1, *, alone: bool = False) -> None:
        self.workers = workers
        self._alone = alone and workers > 1
        self._pool: ThreadPoolExecutor | None = None
        self._threads = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)  # waits for what is under way, some seconds
        if self._threads:
            import torch

            torch.set_num_threads(self._threads)  # the number is also the process's, for threads to come

    def answers(self, work: Callable[[T], R], items: Iterable[T], need: Need = Need()) -> Iterator[Answer[R]]:  # noqa: B008 (immutable)
        """As ``Team`` says."""
        if self.workers == 1:
            return (_Asked(work, item) for item in items)
        pool = self._threads_of_ours()
        return in_order(items, lambda item: pool.submit(work, item), _finished, at_once=self.workers + 1, workers=self.workers)

    def _threads_of_ours(self) -> ThreadPoolExecutor:
        if self._pool is None and self._alone:
            import torch

            self._threads = torch.get_num_threads()
            self._pool = ThreadPoolExecutor(self.workers, initializer=torch.set_num_threads, initargs=(1,))
        elif self._pool is None:
            self._pool = ThreadPoolExecutor(self.workers)
        return self._pool


@dataclass(frozen=True)
class _Asked(Generic[T, R]):
    """Work that is done when its result is asked for."""

    work: Callable[[T], R]
    item: T

    def result(self) -> R:
        return self.work(self.item)


def _finished(running: set[Future[R]]) -> set[Future[R]]:
    return wait(running, return_when=FIRST_COMPLETED).done
