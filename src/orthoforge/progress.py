"""How far a long command has come, how fast it is, and how long it will still take: a bar on a terminal, lines in a log."""

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

SECONDS_BETWEEN_LINES = 60.0
_ASKED = "ORTHOFORGE_PROGRESS_SECONDS"  # by a program that reads the lines, such as the plugin for QGIS
T = TypeVar("T")


class Progress:
    """Shows tasks on stderr. A task shorter than ``SECONDS_BETWEEN_LINES`` leaves no trace in a log. A hidden one leaves none."""

    _bars: Bars | None = None  # of the outermost task, which shows those inside it too

    def __init__(self, name: str = "", *, hidden: bool = False) -> None:
        self.name, self.hidden = name, hidden

    @contextmanager
    def task(self, what: str, total: int, *, done: int = 0) -> Iterator[Callable[[], None]]:
        """Yields a function to call after each of ``total`` steps, ``done`` of which are behind already."""
        what = f"{self.name} {what}".strip()
        console = Console(stderr=True)
        if total == 1 or self.hidden:
            yield lambda: None
        elif not console.is_terminal:
            yield _Lines(what, total, done).step
        else:
            with self._shown(console) as bars:
                task = bars.add_task(what, total=total, completed=done)
                yield lambda: bars.advance(task)
                bars.remove_task(task)

    def over(self, items: Iterable[T], what: str, total: int) -> Iterator[T]:
        """``items``, ``total`` of them; each counts as a step when the next one is asked for."""
        with self.task(what, total) as step:
            for item in items:
                yield item
                step()

    @contextmanager
    def _shown(self, console: Console) -> Iterator[Bars]:
        if Progress._bars is not None:
            yield Progress._bars
            return
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn()
        with Bars(*columns, console=console, transient=True, speed_estimate_period=600) as bars:
            Progress._bars = bars
            try:
                yield bars
            finally:
                Progress._bars = None


class _Rate(ProgressColumn):
    """How fast a task is."""

    def render(self, task: Task) -> Text:
        """Nothing before the first step."""
        return Text(rate(task.speed) if task.speed else "")


class _Lines:
    def __init__(self, what: str, total: int, done: int) -> None:
        self.what, self.total, self.done, self.found = what, total, done, done
        self.began_at = self.last_at = time.monotonic()
        self.seconds = _seconds_between_lines()

    def step(self) -> None:
        self.done += 1
        now = time.monotonic()
        if now - self.last_at >= self.seconds:
            self.last_at = now
            a_second = (self.done - self.found) / (now - self.began_at)
            left = duration((self.total - self.done) / a_second)
            print(f"{self.what}: {self.done} of {self.total}, {rate(a_second)}, {left} left", file=sys.stderr, flush=True)


def _seconds_between_lines() -> float:
    try:
        return float(os.environ[_ASKED])
    except (KeyError, ValueError):
        return SECONDS_BETWEEN_LINES


def typical(seconds: Sequence[float]) -> float:
    """How long a step takes, by some: the median without the first one, which also sets things up."""
    return statistics.median(seconds[1:] or seconds)


def duration(seconds: float) -> str:
    """'1.6 s', '40 s', '12 min', '3.5 h', '4 days'."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 72 * 3600 else f"{seconds / 86400:.0f} days"


def rate(a_second: float) -> str:
    """'12 a second', '30 a minute', '4 an hour': the unit in which it is at least 1."""
    for factor, unit in ((1, "second"), (60, "minute")):
        if a_second * factor >= 1:
            return f"{_short(a_second * factor)} a {unit}"
    return f"{_short(a_second * 3600)} an hour"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"
