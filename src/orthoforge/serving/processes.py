"""Processes that work on what strangers send: each does one order at a time, with limits of memory and time.

A process knows no key and no model. One that dies or takes too long is replaced, and the server goes on.
"""

import asyncio
import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from prometheus_client import Counter

from orthoforge.serving.answering import UNFORESEEN
from orthoforge.serving.problems import Problem

_START_S = 120.0
_LONGEST_ANSWER = 2**16
_WARM_S = 0.1
# What GDAL, PROJ and Python read of the environment; the rest of the server's, with its keys, is none of the process's business.
_PASSED_ON = ("PATH", "PYTHONPATH", "PROJ_DATA", "PROJ_LIB", "GDAL_DATA", "LANG", "HOME", "VIRTUAL_ENV", "TMPDIR")
# GDAL has no way out: no virtual file systems over the network, and no plugins.
_CLOSED = {"GDAL_HTTP_PROXY": "127.0.0.1:9", "CPL_CURL_ENABLE_VSIMEM": "NO", "GDAL_DRIVER_PATH": "disable", "PROJ_NETWORK": "OFF",
           "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # fmt: skip


class Processes:
    """``count`` processes of ``module``, and a thread for each, which starts it with the thread's first order.

    ``most_waiting`` orders may wait. ``restarts`` counts processes that were replaced.
    """

    def __init__(self, module: str, *, count: int, most_bytes: int, most_waiting: int, restarts: Counter) -> None:
        self._module, self._most_bytes, self._restarts = module, most_bytes, restarts
        self._most, self._orders = count + most_waiting, 0
        self._threads = ThreadPoolExecutor(count, thread_name_prefix=module.rpartition(".")[2])
        self._count = count
        self._own = threading.local()
        self._all: list[_Process] = []
        self._lock, self._closing = threading.Lock(), False

    def start(self) -> None:
        """Start all of them before the first order; they are ready some tenths of a second later."""
        for _ in range(self._count):
            self._threads.submit(self._warmed)

    def close(self) -> None:
        """End them, whatever they do."""
        with self._lock:
            self._closing = True
            for process in self._all:
                process.end()
        self._threads.shutdown(cancel_futures=True)

    @property
    def pids(self) -> list[int]:
        """Those that run."""
        return [process.pid for process in list(self._all)]

    async def ask(self, order: bytes, most_s: float) -> dict[str, str]:
        """What a process answers. An order that nobody waits for any more is not begun.

        ``Problem`` where too many wait, ``TimeoutError`` when it takes longer than ``most_s``, ``OSError`` when the process ended.
        """
        if self._orders >= self._most:
            raise Problem("busy", f"{self._orders} requests are being read; ask again in 5 s.", retry_after_s=5)
        self._orders += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._answer, order, most_s)
        finally:
            self._orders -= 1

    async def done(self, order: bytes, most_s: float, *, late: Problem, ended: Problem, unforeseen: Problem) -> None:
        """Have a process do an order. ``Problem`` where it says why not, or one of those given: ``late`` where it takes too long,
        ``ended`` where the process died, ``unforeseen`` for a fault of the code."""
        try:
            answer = await self.ask(order, most_s)
        except TimeoutError:
            raise late from None
        except OSError:
            raise ended from None
        if answer.get("error") == UNFORESEEN:
            raise unforeseen
        if "error" in answer:
            raise Problem(answer["error"], answer["words"])

    def _answer(self, order: bytes, most_s: float) -> dict[str, str]:
        process = self._process()
        try:
            return process.answer(order, most_s)
        except OSError:  # TimeoutError too
            self._remove(process)
            self._restarts.inc()
            if not self._closing:
                self._process()  # the next order finds one that starts already
            raise

    def _warmed(self) -> None:
        self._process()
        time.sleep(_WARM_S)  # so that each thread takes one of these, and none takes two

    def _process(self) -> "_Process":
        """This thread's process."""
        process: _Process | None = getattr(self._own, "process", None)
        if process is None:
            with self._lock:
                if self._closing:
                    raise OSError("the server has ended")
                process = self._own.process = _Process(self._module, self._most_bytes)
                self._all.append(process)
        return process

    def _remove(self, process: "_Process") -> None:
        process.end()
        self._own.process = None
        with self._lock:
            self._all.remove(process)


class _Process:
    """A process, and the pipes to it."""

    def __init__(self, module: str, most_bytes: int) -> None:
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _CLOSED
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(most_bytes)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True,
        )  # fmt: skip
        self.pid = self._process.pid
        self._is_ready = False

    def answer(self, line: bytes, most_s: float) -> dict[str, str]:
        """What the process says to an order. ``TimeoutError`` when it takes too long, ``OSError`` when it ended."""
        assert self._process.stdin is not None
        if not self._is_ready:
            self._line(_START_S)
            self._is_ready = True
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
            answer: dict[str, str] = json.loads(self._line(most_s))
        except ValueError as error:  # closed meanwhile, or half an answer
            raise OSError("the process ended") from error
        return answer

    def _line(self, most_s: float) -> bytes:
        assert self._process.stdout is not None
        descriptor, until, read = self._process.stdout.fileno(), time.monotonic() + most_s, b""
        ready = select.poll()  # ``select`` knows no descriptor above 1023, which a busy server has
        ready.register(descriptor, select.POLLIN)
        while not read.endswith(b"\n"):
            left = until - time.monotonic()
            if left <= 0 or not ready.poll(1000 * left):
                raise TimeoutError
            piece = os.read(descriptor, _LONGEST_ANSWER)
            if not piece or len(read) > _LONGEST_ANSWER:
                raise OSError("the process ended")
            read += piece
        return read

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
