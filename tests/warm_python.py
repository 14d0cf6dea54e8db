"""A ``python`` that has imported what commands import: programs start in it at once, each in a forked child of its own.

``WarmPython`` starts the process that has imported it all. Its ``executable`` stands on a command line as ``sys.executable`` does
(``-c CODE``, ``-m MODULE`` or a script, and arguments), passes on streams, folder, environment and signals, and ends as the program
ends. What a test asks of the imports themselves wants ``sys.executable``.
"""

import atexit
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

MODULES = (
    "matplotlib.figure", "torch.utils.tensorboard", "orthoforge.checkpoints", "orthoforge.cli", "orthoforge.evaluation.evaluate",
    "orthoforge.generation", "orthoforge.growing", "orthoforge.hub", "orthoforge.tiles.prepare", "orthoforge.training.session",
)  # fmt: skip
# What stands on the command line. Isolated and without `site`, it starts in hundredths of a second.
EXECUTABLE = """#!{python} -IS
import json, os, signal, socket, sys
server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
server.connect({address!r})
request = {{"words": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}}
socket.send_fds(server, [json.dumps(request).encode()], [0, 1, 2])
program = int(server.recv(100))
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: os.kill(program, number))
code = int(server.recv(100) or 70)
if code < 0:
    if code != -signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


class WarmPython:
    """The process that has imported everything; a context manager. Its files lie in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.executable = folder / "python"

    def __enter__(self) -> "WarmPython":
        address = str(self.folder / "socket")
        self.executable.write_text(EXECUTABLE.format(python=sys.executable, address=address), encoding="utf-8")
        self.executable.chmod(0o755)
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(address)
            listener.listen()
            command = [sys.executable, __file__, str(listener.fileno()), str(self.folder)]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, pass_fds=[listener.fileno()])
        self.run("-c", "")  # tests count time from when it is ready
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()  # its sign to end
        self._process.wait(timeout=30)

    def start(self, *words: object, **options: Any) -> subprocess.Popen[str]:
        """Start a program; ``options`` are those of ``Popen``, and ``PYTHONPATH`` holds what this process imports from."""
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | options.pop("env", {})
        return subprocess.Popen([str(self.executable), *map(str, words)], env=environment, text=True, **options)

    def run(self, *words: object, timeout: float = 240) -> str:
        """What a program printed; it must end well."""
        with self.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            out, err = process.communicate(timeout=timeout)
        assert process.returncode == 0, err
        return out

    def pid(self, process: subprocess.Popen[Any]) -> int:
        """The number of the program itself, of which ``process`` passes everything on."""
        path, deadline = self.folder / f"{process.pid}.pid", time.monotonic() + 60
        while not path.exists():
            assert process.poll() is None and time.monotonic() < deadline, "the program did not start"
            time.sleep(0.002)
        return int(path.read_text())

    def kill(self, process: subprocess.Popen[Any]) -> None:
        """SIGKILL to the program, which is gone afterwards."""
        with suppress(ProcessLookupError):
            os.kill(self.pid(process), signal.SIGKILL)
        process.wait(timeout=60)


def serve(listener: socket.socket, folder: Path) -> tuple[dict[str, Any], list[int]]:
    """Fork for each program that is asked for; returns in its process, with the request and three streams."""
    while True:
        ready, _, _ = select.select([listener, 0], [], [])
        with suppress(ChildProcessError):
            while os.waitpid(-1, 0 if 0 in ready else os.WNOHANG)[0]:
                pass
        if 0 in ready:
            os._exit(0)
        connection, _ = listener.accept()
        if not os.fork():
            listener.close()
            message, streams, _, _ = socket.recv_fds(connection, 1 << 20, 3)
            watch(connection, folder)
            return json.loads(message), streams
        connection.close()


def watch(connection: socket.socket, folder: Path) -> None:
    """Fork once more, and return in the child. The parent tells its number and its end, and ends it when nobody listens."""
    program = os.fork()
    if not program:
        connection.close()
        return
    asking = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))[0]
    partial = folder / f"{asking}.partial"
    partial.write_text(str(program))
    partial.rename(folder / f"{asking}.pid")
    with suppress(OSError):
        connection.send(str(program).encode())
    ready, _, _ = select.select([connection, os.pidfd_open(program)], [], [])
    if connection in ready:
        os.kill(program, signal.SIGKILL)
    _, status = os.waitpid(program, 0)
    with suppress(OSError):
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def become(words: list[str], folder: str, environment: dict[str, str], streams: list[int]) -> None:
    """Run the program of a command line in this process; never returns."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.__stdout__ = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    code = 0
    try:
        _run([word for word in words if word != "-u"] if words[0] == "-u" else words)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if code and not isinstance(error.code, int):
            print(error.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)  # Python's own end would take all modules apart, a second's work


def _run(words: list[str]) -> None:
    option, *rest = words
    if option == "-c":
        sys.argv = ["-c", *rest[1:]]
        sys.path.insert(0, "")
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    elif option == "-m":
        sys.argv = rest
        sys.path.insert(0, os.getcwd())
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        sys.path.insert(0, str(Path(option).resolve().parent))
        runpy.run_path(option, run_name="__main__")


if __name__ == "__main__":
    for module in MODULES:
        importlib.import_module(module)
    import torch

    torch.set_num_threads(1)
    request, streams = serve(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2]))
    become(**request, streams=streams)
