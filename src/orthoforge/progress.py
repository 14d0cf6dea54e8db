"""How far a long command has come, and how long it will still take: a bar on a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

SECONDS_BETWEEN_LINES = 30.0


class Progress:
    """Shows tasks on stderr. A task shorter than ``SECONDS_BETWEEN_LINES`` leaves no trace in a log."""

    _bars: Bars | None = None  # of the outermost task, which shows those inside it too

    def __init__(self, name: str = "") -> None:
        self.name = name

    @contextmanager
    def task(self, what: str, total: int, *, done: int = 0) -> Iterator[Callable[[], None]]:
        """Yields a function to call after each of ``total`` steps, ``done`` of which are behind already."""
        what = f"{self.name} {what}".strip()
        console = Console(stderr=True)
        if total == 1:
            yield lambda: None
        elif not console.is_terminal:
            yield _Lines(what, total, done).step
        else:
            with self._shown(console) as bars:
                task = bars.add_task(what, total=total, completed=done)
                yield lambda: bars.advance(task)
                bars.remove_task(task)

    @contextmanager
    def _shown(self, console: Console) -> Iterator[Bars]:
        if Progress._bars is not None:
            yield Progress._bars
            return
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Bars(*columns, console=console, transient=True, speed_estimate_period=600) as bars:
            Progress._bars = bars
            try:
                yield bars
            finally:
                Progress._bars = None


class _Lines:
    def __init__(self, what: str, total: int, done: int) -> None:
        self.what, self.total, self.done, self.found = what, total, done, done
        self.began_at = self.last_at = time.monotonic()

    def step(self) -> None:
        self.done += 1
        now = time.monotonic()
        if now - self.last_at >= SECONDS_BETWEEN_LINES:
            self.last_at = now
            left = (now - self.began_at) / (self.done - self.found) * (self.total - self.done)
            print(f"{self.what}: {self.done} of {self.total}, {duration(left)} left", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """'40 s', '12 min', '3.5 h'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
