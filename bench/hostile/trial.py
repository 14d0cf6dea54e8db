"""One command in a process of its own: forked, limited, watched, ended."""

import contextlib
import ctypes
import faulthandler
import io
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.hostile.case import Command
from bench.hostile.watch import FolderWatch, Listener, audit

# Of computing; one that does not even compute has a third of it. By the clock, a busy machine would make hangs of others.
SECONDS = 60.0
MEMORY = 2 * 10**9
# Beyond that it is ended: the machine has other users. The address space is a second fence, against one huge request.
_ENDED_AT = 2_600_000_000
_ADDRESS_SPACE = 8 * 2**30
_FILE = 4 * 2**30
_TICK = os.sysconf("SC_CLK_TCK")
_CAPABILITIES = 0x20080522
_OVERRIDES = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Outcome:
    """What became of a process."""

    code: int | None  # None where a signal ended it
    signal: int | None
    seconds: float
    peak_bytes: int
    timed_out: bool
    stdout: str
    stderr: str
    outside: tuple[str, ...]
    connections: int


def run(
    command: Command,
    here: Path,
    logs: Path,
    watch: FolderWatch,
    listener: Listener,
    *,
    task: Callable[[], int] | None = None,
    seconds: float = SECONDS,
    memory: int = _ENDED_AT,
) -> Outcome:
    """Run a command, or ``task`` in its place, with ``here`` as its folder and nothing else to write to."""
    logs.mkdir(parents=True, exist_ok=True)
    watch.seen()
    listener.answer()
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            code = _child(task or partial(_command_line, command), command, here, logs, listener)
        finally:
            os._exit(code)
    peak, timed_out, connections = 0, False, 0
    worked, moved = 0.0, begun
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        connections += listener.answer()
        if ended:
            break
        peak = max(peak, _resident(child))
        computed, now = seconds_of(child), time.monotonic()
        if computed > worked + 0.02:
            worked, moved = computed, now
        timed_out = computed > seconds or now - moved > seconds / 3
        if timed_out or peak > memory:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            _, status, usage = os.wait4(child, 0)
            break
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):  # what it started itself
        os.killpg(child, signal.SIGKILL)
    connections += listener.answer()
    noted = (logs / "audit").read_text("utf-8", "replace").splitlines() if (logs / "audit").exists() else []
    outside = [*watch.seen(), *(line for line in noted if not line.startswith("connect "))]
    connections += sum(line.startswith("connect ") for line in noted)
    return Outcome(
        os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        time.monotonic() - begun,
        max(peak, usage.ru_maxrss * 1024),
        timed_out,
        *((logs / name).read_text("utf-8", "replace") if (logs / name).exists() else "" for name in ("stdout", "stderr")),
        tuple(dict.fromkeys(outside)),
        connections,
    )


def _resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def seconds_of(process: int) -> float:
    """Seconds of processor time that a process has used."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICK


def _child(task: Callable[[], int], command: Command, here: Path, logs: Path, listener: Listener) -> int:
    """Everything that happens in the new process; returns its exit code."""
    os.setsid()
    faulthandler.disable()  # a test runner's: the signal says it
    log = os.open(logs / "audit", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    _streams(command, logs)
    os.chdir(here)
    temporary = here / ".tmp"
    temporary.mkdir(exist_ok=True)
    settings = {"TMPDIR": str(temporary), "HOME": str(temporary), "COLUMNS": "400", "TERM": "dumb"}
    os.environ.update(listener.environment() | settings | command.env)
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE, _FILE))
    space = _virtual() + (command.address_space or _ADDRESS_SPACE)
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    if command.open_files:
        most = len(os.listdir("/proc/self/fd")) - 4 + command.open_files  # besides those that this harness holds
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if command.unprivileged:
        _bind_to_permissions()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    audit(log, (here, Path(os.environ.get("MPLCONFIGDIR", here))))
    try:
        code = task()
        sys.stdout.flush()
        return code
    except SystemExit as left:
        sys.stdout.flush()
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


def _command_line(command: Command) -> int:
    from orthoforge.cli import main

    sys.argv = ["orthoforge", *command.argv]
    return main(list(command.argv))


def _streams(command: Command, logs: Path) -> None:
    """Standard input from nowhere, the outputs to files or where the command wants them, encoded as Python does by itself."""
    writing = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if command.stdout == "closed":
        reading, out = os.pipe()
        os.close(reading)
    else:
        out = os.open(command.stdout or logs / "stdout", writing, 0o600)
    os.dup2(out, 1)
    os.dup2(os.open(logs / "stderr", writing, 0o600), 2)
    strict = "surrogateescape" if command.encoding == "ascii" else "strict"
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), "utf-8")
    sys.stdout = sys.__stdout__ = _text(1, command.encoding, strict)
    sys.stderr = sys.__stderr__ = _text(2, command.encoding, "backslashreplace")


def _text(descriptor: int, encoding: str, errors: str) -> io.TextIOWrapper:
    buffered = io.BufferedWriter(io.FileIO(descriptor, "w", closefd=False))
    return io.TextIOWrapper(buffered, encoding, errors, line_buffering=descriptor == 2)


def _virtual() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * _PAGE


def _bind_to_permissions() -> None:
    """Root may read whatever it is forbidden to; give that up."""
    libc = ctypes.CDLL(None, use_errno=True)
    head = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, twice
    if libc.capget(head, sets) or not sets[0] & _OVERRIDES:
        return
    sets[0] &= ~_OVERRIDES
    sets[1] &= ~_OVERRIDES
    if libc.capset(head, sets):
        raise OSError(ctypes.get_errno(), "capset")


def prepare_folder(folder: Path) -> Path:
    """An empty folder in place of what was there, whatever its permissions."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder
