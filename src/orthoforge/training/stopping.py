"""SIGTERM and Ctrl-C as a request that the loop reads between two steps."""

import signal
import threading
from types import FrameType, TracebackType


class StopRequest:
    """Inside the block, the first SIGTERM or Ctrl-C sets ``requested``; a second one interrupts at once.

    Outside the main thread, where Python delivers no signals, it does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._former: dict[int, object] = {}

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
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
