"""What a worker of a cluster does with one item: as this process would, in the same folder, with the same number of threads.

What it prints and warns of comes back with what it returns or raises, and is said where the command was given.
"""

import contextlib
import io
import os
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from orthoforge.errors import LockedError, OrthoforgeError, ResourceError

# Work of a command that was killed goes on for so long at most, and holds its locks: Ray waits 30 s for a driver to come back.
PATIENCE_S = 60.0
_PAUSE_S = 0.2


@dataclass(frozen=True)
class Circumstances:
    """Of the command: its folder, and how many threads PyTorch has for an item (0: as it likes)."""

    folder: str
    threads: int


@dataclass
class Outcome:
    """What came of an item in a worker."""

    result: Any = None
    seconds: float = 0.0
    error: Exception | None = None
    out: str = ""
    err: str = ""
    warned: list[tuple[str, type[Warning]]] = field(default_factory=list)


def done(open_work: Callable[[], Callable[[Any], Any]], item: Any, at: Circumstances) -> Outcome:
    """Work on an item. ``open_work`` gives the function; it is asked when folder and threads are set."""
    outcome, out, err = Outcome(), io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings(record=True) as warned:
        try:
            _enter(at)
            work = open_work()
            begun = time.monotonic()
            outcome.result = _patient(work, item)
            outcome.seconds = time.monotonic() - begun
        except OrthoforgeError as error:
            outcome.error = error
        except Exception as error:
            error.add_note("".join(traceback.format_exception(error)))
            outcome.error = error
    outcome.out, outcome.err = out.getvalue(), err.getvalue()
    outcome.warned = [(str(one.message), one.category) for one in warned]
    return outcome


def _enter(at: Circumstances) -> None:
    os.environ["ORTHOFORGE_PROGRESS_SECONDS"] = "inf"  # what it would say now is heard when it is over
    try:
        os.chdir(at.folder)
    except OSError as error:
        raise ResourceError(
            f"{os.uname().nodename}: there is no folder {at.folder} ({error.strerror}). All machines need the same folders: share "
            "the disk of the command, and give the command there."
        ) from error
    if at.threads:
        import torch

        torch.set_num_threads(at.threads)


def _patient(work: Callable[[Any], Any], item: Any) -> Any:
    """The result, after waiting for a file that a worker without a command still writes."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return work(item)
        except LockedError:
            if time.monotonic() > until:
                raise
            time.sleep(_PAUSE_S)
