"""Which objects came or went, so that an interrupted command goes on: a line each, in a file beside them."""

import json
import threading
from pathlib import Path


class Record:
    """Names with size and version; a line that a kill cut short does not count."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._known: dict[str, tuple[int, str]] = {}
        lines = path.read_text("utf-8").splitlines(keepends=True) if path.is_file() else []
        whole = [line for line in lines if line.endswith("\n")]
        if len(whole) < len(lines):  # what is added next begins a line of its own
            path.write_text("".join(whole), "utf-8")
        for line in whole:
            name, size, version = json.loads(line)
            self._known[name] = size, version

    def knows(self, name: str) -> bool:
        """Whether an object of that name came or went, or was about to."""
        return name in self._known

    def holds(self, name: str, size: int, version: str) -> bool:
        """Whether that very object came or went."""
        return self._known.get(name) == (size, version)

    def add(self, name: str, size: int, version: str) -> None:
        """Note it, at once."""
        with self._lock, open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps([name, size, version]) + "\n")
            self._known[name] = size, version
