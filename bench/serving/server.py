"""``orthoforge serve`` as a process of its own, and what it takes of the machine."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import psutil


class Server:
    """A running server: ``url``, and figures of its process and of those that it started."""

    def __init__(self, words: Sequence[str], port: int, log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        with open(log, "ab") as file:
            self._started = subprocess.Popen(
                [sys.executable, "-m", "orthoforge.cli", "serve", *words, "--port", str(port), "--device", "cpu"],
                stdout=file, stderr=file,
            )  # fmt: skip
        self._process = psutil.Process(self._started.pid)

    def wait(self, most_s: float = 300.0) -> float:
        """Seconds until it is ready."""
        began = time.monotonic()
        while time.monotonic() - began < most_s:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    return time.monotonic() - began
            if self._started.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError("the server did not become ready")

    def cpu_s(self) -> float:
        """Of computing so far."""
        return sum(one.cpu_times().user + one.cpu_times().system for one in self._all())

    def memory_mb(self) -> float:
        """Resident."""
        return sum(one.memory_info().rss for one in self._all()) / 2**20

    def descriptors(self) -> int:
        """Open files and sockets."""
        return sum(one.num_fds() for one in self._all())

    def send(self, number: signal.Signals) -> None:
        """A signal to the server's own process."""
        self._started.send_signal(number)

    def ended(self, most_s: float = 120.0) -> int:
        """Its exit code, once it has ended."""
        return self._started.wait(most_s)

    def _all(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]


@contextlib.contextmanager
def running(folder: Path, model: str, *words: str) -> Iterator[Server]:
    """A server with its data in ``folder``, ready."""
    server = Server([model, "--data", str(folder / "data"), *words], free_port(), folder / "log")
    try:
        server.wait()
        yield server
    finally:
        with contextlib.suppress(psutil.Error, subprocess.TimeoutExpired):
            server.send(signal.SIGTERM)
            server.ended()


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
