"""The command ``orthoforge`` as another process: its words, its progress, its errors. Knows nothing of QGIS."""

from __future__ import annotations

import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# What QGIS sets for its own Python and libraries; a Python of another place breaks by them.
_OF_QGIS = ("PYTHONHOME", "PYTHONPATH", "GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_LIB", "PROJ_DATA", "QT_PLUGIN_PATH")
_PROGRESS = re.compile(r"^(?P<what>.*): (?P<done>\d+) of (?P<total>\d+)(, .*)?$")
_LOOK_S = 0.1
_GRACE_S = 15.0  # after Ctrl-C, in which the command clears away what is unfinished
_SECONDS_BETWEEN_LINES = "ORTHOFORGE_PROGRESS_SECONDS"


class CommandError(Exception):
    """What the command says when it fails, as it says it."""


class CommandCancelledError(Exception):
    """It was cancelled."""


@dataclass
class Told:
    """Whom a command tells: of a line that is no more than that, of a warning, and of the share (0 to 1) that is done."""

    line: Callable[[str], None]
    warning: Callable[[str], None]
    progress: Callable[[float], None]
    is_cancelled: Callable[[], bool]
    _errors: list[str] = field(default_factory=list)

    def read(self, line: str) -> None:
        """Tell of a line of the command's standard error."""
        if found := _PROGRESS.match(line):
            self.progress(int(found["done"]) / max(1, int(found["total"])))
        if line.startswith("warning: "):
            self.warning(line[len("warning: ") :])
        elif line.startswith("error: "):
            self._errors.append(line[len("error: ") :])
        else:
            self.line(line)
            self._errors += [line] if self._errors else []  # a message may have several lines

    @property
    def error(self) -> str:
        """The message of the error that it ended by; nothing where it named none."""
        return "\n".join(self._errors)


def program(command: str) -> list[str]:
    """The words of the command that a user typed: a path, which may hold spaces, or a path with options.

    ``CommandError`` where there is no such program.
    """
    command = command.strip()
    try:
        words = [command] if Path(command).is_file() else shlex.split(command, posix=os.name != "nt")
    except ValueError:  # a quotation mark without another
        words = []
    if not words or shutil.which(words[0]) is None:
        raise CommandError(
            f"There is no program {command!r}. Install Orthoforge, then say where its command lies: Settings > Options > "
            "Processing > Providers > Orthoforge > Command, such as /home/me/orthoforge/.venv/bin/orthoforge."
        )
    return words


def environment() -> dict[str, str]:
    """That of QGIS, without what would lead another Python astray."""
    kept = {name: value for name, value in os.environ.items() if name not in _OF_QGIS}
    return kept | {_SECONDS_BETWEEN_LINES: "1", "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"}


def run(words: Sequence[str], told: Told) -> list[str]:
    """Run the command until it ends, and return the lines of its standard output.

    ``CommandError`` with its own message when it fails, ``CommandCancelledError`` when ``told`` says so: the command then gets
    Ctrl-C, in which it clears away what is unfinished.
    """
    # A QGIS that was started in the background ignores Ctrl-C, and what it starts would too: it could not be cancelled.
    hears = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    own_group = {"start_new_session": True, **hears} if os.name != "nt" else {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    process = subprocess.Popen(
        list(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
        encoding="utf-8", errors="replace", **own_group,
    )  # fmt: skip
    printed, last = [], ""
    try:
        for is_error, line in _lines(process, told.is_cancelled):
            if is_error:
                told.read(line)
                last = line or last
            else:
                printed.append(line)
                told.line(line)
        code = process.wait()
    finally:
        _end(process)
    if code:
        raise CommandError(told.error or f"{words[0]} ended with code {code}: {last}")
    return printed


def _lines(process: subprocess.Popen, is_cancelled: Callable[[], bool]) -> Iterator[tuple[bool, str]]:
    """Lines as they come, each with whether it is of the standard error."""
    found: queue.Queue[tuple[bool, str | None]] = queue.Queue()

    def read(stream, is_error: bool) -> None:
        with stream:
            for line in stream:
                found.put((is_error, line.rstrip("\r\n")))
        found.put((is_error, None))

    for stream, is_error in ((process.stdout, False), (process.stderr, True)):
        threading.Thread(target=read, args=(stream, is_error), daemon=True).start()
    open_streams = 2
    while open_streams:
        if is_cancelled():
            raise CommandCancelledError
        try:
            is_error, line = found.get(timeout=_LOOK_S)
        except queue.Empty:
            continue
        if line is None:
            open_streams -= 1
        else:
            yield is_error, line


def _end(process: subprocess.Popen) -> None:
    """Nothing of the command is left: Ctrl-C, and after a while by force."""
    if process.poll() is not None:
        return
    if os.name == "nt":
        process.send_signal(signal.CTRL_BREAK_EVENT)
    else:
        os.killpg(process.pid, signal.SIGINT)
    until = time.monotonic() + _GRACE_S
    while process.poll() is None and time.monotonic() < until:
        time.sleep(_LOOK_S)
    if process.poll() is None:
        if os.name != "nt":
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
    process.wait()
