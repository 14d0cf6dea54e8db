"""What the command line prints through: a terminal that is gone stops no command, and no name steers one that is there."""

import contextlib
import errno
import os
import re
import shutil
import sys
from collections.abc import Iterator
from typing import Any, TextIO

LEAST_COLUMNS = 40  # with fewer, help is broken into lines without end
# Colours, and what redraws a progress bar: all that rich writes to a terminal.
_OURS = r"\r|\x1b\[[0-9;]*m|\x1b\[[0-9]*[AK]|\x1b\[\?25[lh]"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_OURS_OR_CONTROL = re.compile(f"(?P<ours>{_OURS})|{_CONTROL.pattern}")


def printable(text: str) -> str:
    """``text`` without characters that steer a terminal, such as may stand in a file's name; they are shown as ``\\x1b``."""
    return _CONTROL.sub(_shown, text)


class Stream:
    """A text stream that never raises: what cannot be written is lost, and ``lost`` says why."""

    def __init__(self, inner: TextIO) -> None:
        self._inner = inner
        self.lost: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def write(self, text: str) -> int:
        """Write ``text``, in the characters that the stream has."""
        keeps = self._inner.isatty() if self.lost is None else False
        safe = _OURS_OR_CONTROL.sub(lambda found: found["ours"] if keeps and found["ours"] else _shown(found), text)
        encoding = getattr(self._inner, "encoding", None) or "utf-8"
        with self._surviving():
            self._inner.write(safe.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Send what was written on its way."""
        with self._surviving():
            self._inner.flush()

    @contextlib.contextmanager
    def _surviving(self) -> Iterator[None]:
        if self.lost is not None:
            return (yield)
        try:
            yield
        except OSError as error:
            self.lost = error
            # What is still in buffers goes nowhere, or Python would fail at its exit.
            with contextlib.suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), self._inner.fileno())


@contextlib.contextmanager
def safe_streams() -> Iterator[Stream]:
    """Print through ``Stream`` inside the block; yields that of stdout. A stream that was closed at the start leads nowhere."""
    if shutil.get_terminal_size().columns < LEAST_COLUMNS:
        os.environ["COLUMNS"] = str(LEAST_COLUMNS)
    with contextlib.ExitStack() as stack:
        out, err = (stream or stack.enter_context(open(os.devnull, "w")) for stream in (sys.stdout, sys.stderr))
        streams = Stream(out), Stream(err)
        stack.enter_context(contextlib.redirect_stdout(streams[0]))
        stack.enter_context(contextlib.redirect_stderr(streams[1]))
        try:
            yield streams[0]
        finally:
            for stream in streams:
                stream.flush()


def words_on_loss(lost: OSError | None) -> str:
    """What to say of output that is lost; nothing of a reader that had enough, as ``head`` has."""
    if lost is None or lost.errno in (errno.EPIPE, errno.EIO):  # EIO: the terminal is gone
        return ""
    return f"what was to be printed could not be written ({lost.strerror})"


def _shown(found: re.Match[str]) -> str:
    return "".join(character.encode("unicode_escape").decode() for character in found[0])


@contextlib.contextmanager
def undecodable_messages_dropped() -> Iterator[None]:
    """Keep rasterio from complaining on stderr that bytes of a damaged file, in a message of GDAL's for its log, are no text.

    It can raise nothing there, so Python's hooks for what cannot be raised print a traceback. What it means is said elsewhere.
    """
    excepthook, unraisablehook = sys.excepthook, sys.unraisablehook

    def uncaught(kind: type[BaseException], *rest: Any) -> None:
        if not issubclass(kind, UnicodeDecodeError):
            excepthook(kind, *rest)

    def unraisable(told: Any) -> None:
        if not issubclass(told.exc_type, UnicodeDecodeError):
            unraisablehook(told)

    sys.excepthook, sys.unraisablehook = uncaught, unraisable
    try:
        yield
    finally:
        sys.excepthook, sys.unraisablehook = excepthook, unraisablehook
