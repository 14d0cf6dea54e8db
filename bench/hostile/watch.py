"""What a process does beyond its folder: opens seen by inotify, connections by a listener, Python's own calls by an audit hook."""

import ctypes
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Any

_IN_OPEN, _IN_MODIFY, _IN_CREATE, _IN_DELETE, _IN_MOVED_TO, _IN_ISDIR = 0x20, 0x2, 0x100, 0x200, 0x80, 0x40000000
_EVENT = struct.Struct("iIII")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}


class FolderWatch:
    """Opens, changes and new files below a folder, by whatever library, without tracing."""

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify")
        self._names: dict[int, Path] = {}
        for each in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            number = libc.inotify_add_watch(
                self._fd, os.fsencode(each), _IN_OPEN | _IN_MODIFY | _IN_CREATE | _IN_DELETE | _IN_MOVED_TO
            )
            if number < 0:
                raise OSError(ctypes.get_errno(), f"inotify on {each}")
            self._names[number] = each

    def seen(self) -> list[str]:
        """Files that were touched since the last question."""
        found: dict[str, None] = {}
        while True:
            try:
                events = os.read(self._fd, 1 << 16)
            except BlockingIOError:
                return list(found)
            position = 0
            while position < len(events):
                number, mask, _, length = _EVENT.unpack_from(events, position)
                position += _EVENT.size
                name = events[position : position + length].rstrip(b"\0").decode("utf-8", "replace")
                position += length
                if not (mask & _IN_ISDIR and mask & _IN_OPEN):
                    found[str(self._names[number] / name)] = None

    def close(self) -> None:
        os.close(self._fd)


class Listener:
    """A web server that knows no page and counts who asks."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._socket.setblocking(False)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def answer(self) -> int:
        """Answer everybody who waits; how many that were."""
        count = 0
        while True:
            try:
                connection, _ = self._socket.accept()
            except BlockingIOError:
                return count
            count += 1
            with connection:
                connection.settimeout(1)
                try:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                except OSError:
                    pass

    def environment(self) -> dict[str, str]:
        """Every web address, whoever asks for it, leads here."""
        names = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        return dict.fromkeys(names, self.url) | {"no_proxy": "", "NO_PROXY": ""}

    def close(self) -> None:
        self._socket.close()


def _hidden(root: str) -> str:
    folder, name = os.path.split(root)
    return os.path.join(folder, f".{name}.")


def audit(log: int, allowed: tuple[Path, ...]) -> None:
    """From here on, write to the descriptor ``log`` what this process changes outside ``allowed``, and what it connects to."""
    roots = tuple(os.path.realpath(path) for path in allowed)

    def is_allowed(path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return True  # a descriptor
        folder, name = os.path.split(os.path.abspath(os.fsdecode(path)))  # not through a link: that is changed itself
        real = os.path.join(os.path.realpath(folder), name)
        if f"{real}/".startswith(("/dev/", "/proc/")):  # only what an input names as its output
            return True
        # A lock, and what is not finished, lie beside an output under its name with a dot: beside the folder where that is ".".
        return any(real == root or real.startswith((root + os.sep, _hidden(root))) for root in roots)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITES and not is_allowed(path):
                os.write(log, f"write {os.fsdecode(path)}\n".encode("utf-8", "replace"))
        elif event == "os.mkdir" and os.path.isdir(arguments[0]):
            pass  # changes nothing
        elif event in _CHANGES:
            for path in arguments[:2]:
                if isinstance(path, str | bytes | os.PathLike) and not is_allowed(path) and event != "os.symlink":
                    os.write(log, f"{event} {os.fsdecode(path)}\n".encode("utf-8", "replace"))
        elif event in ("socket.connect", "socket.getaddrinfo") and not isinstance(arguments[1], str | bytes):
            os.write(log, f"connect {event} {arguments[-1] if event == 'socket.connect' else arguments[0]}\n".encode())
        elif event == "socket.getaddrinfo":
            os.write(log, f"connect {arguments[0]}\n".encode())

    sys.addaudithook(hook)
