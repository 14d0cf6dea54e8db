"""SIGTERM, Ctrl-C and the end of the time given as a request that the loop reads between two steps."""

import signal
import threading
import time
from types import FrameType, TracebackType


class StopRequest:
    """Inside the block, the first SIGTERM or Ctrl-C, or the end of ``seconds``, sets ``requested``. A second signal interrupts.

    Outside the main thread, where Python delivers no signals, only the time counts.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._signalled = False
        self._ends_at = None if seconds is None else time.monotonic() + seconds
        self._former: dict[int, object] = {}

    @property
    def requested(self) -> bool:
        """Whether to save and return."""
        return self._signalled or (self._ends_at is not None and time.monotonic() >= self._ends_at)

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._former[number] = signal.signal(number, self._on_signal)
            self._former[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a training outlives its terminal
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signalled:
            raise KeyboardInterrupt
        self._signalled = True
