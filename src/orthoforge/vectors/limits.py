"""How much a file may ask for: bytes unpacked, text of one feature, nesting, words in a message.

A few kB can unpack to gigabytes or describe a shape nested 200 000 deep. The limits lie far above what footprints need.
"""

import bz2
import gzip
import io
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from orthoforge.errors import ConfigError, DataError

# Text of one feature, one line or one field: a building's outline has some kB, a whole town dissolved into one shape 40 MB.
MAX_FEATURE_BYTES = 64 * 2**20
# GeoJSON and tables unpack to 5 to 30 times their size.
MAX_RATIO, FREE_BYTES = 50, 64 * 2**20
# Collections in collections. GEOS and Python's JSON reader go down one call a level.
MAX_NESTING = 32
_SHOWN_CHARACTERS = 200
# File systems take 255 bytes; '.NAME.partial-journal' needs some of them.
_LONGEST_NAME = 235
_LINES = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")
_GZIP, _BZIP2 = b"\x1f\x8b", b"BZh"


def first_bytes(path: Path, count: int) -> bytes:
    """So many bytes of a file's beginning. ``DataError`` when it may not be read."""
    try:
        with open(path, "rb") as file:
            return file.read(count)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check its permissions and the disk.") from error


def require_utf8(path: Path) -> None:
    """Raise ``DataError`` for a name that GDAL and Arrow cannot be told."""
    try:
        str(path.resolve()).encode()
    except UnicodeEncodeError:
        raise DataError(f"{path}: its name, or a folder's, is not UTF-8, which this format needs. Rename it.") from None


def require_name(path: Path) -> None:
    """Raise before anything is read where ``path`` cannot be written by its name: ``ConfigError`` when it is too long."""
    length = len(os.fsencode(path.name))
    if length > _LONGEST_NAME:
        raise ConfigError(
            f"{path}: the file's name has {length} bytes; {_LONGEST_NAME} are the most, so that temporary files beside it have "
            "names too. Choose a shorter one."
        )
    require_utf8(path)


class Metered(io.RawIOBase):
    """A file's bytes, unpacked on the way. ``DataError`` for what unpacks to far more than its size, or goes on without a break.

    Whoever reads says with ``mark`` that a feature has ended; ``MAX_FEATURE_BYTES`` may lie between two of them.
    """

    def __init__(self, path: Path) -> None:
        head = first_bytes(path, 3)
        packed = head.startswith((_GZIP, _BZIP2))
        opener: Callable[..., IO[bytes]] = gzip.open if head.startswith(_GZIP) else bz2.open if packed else open  # type: ignore[assignment]
        self._path, self._file = path, opener(path, "rb")
        self._most = max(FREE_BYTES, MAX_RATIO * path.stat().st_size) if packed else None
        self._read, self._marked = 0, 0

    def mark(self) -> None:
        """A feature has ended here."""
        self._marked = self._read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._count(len(data))
        return len(data)

    def readline(self, size: int | None = -1) -> bytes:
        """The next line with its end, at most ``MAX_FEATURE_BYTES`` of it; the line is a feature, or a part of one."""
        line = self._file.readline(MAX_FEATURE_BYTES + 1)
        self._count(len(line))
        return line

    def close(self) -> None:
        self._file.close()
        super().close()

    def _count(self, read: int) -> None:
        self._read += read
        if self._most is not None and self._read > self._most:
            raise DataError(
                f"{self._path}: unpacks to more than {MAX_RATIO} times its size, which no footprints do. If the file is sound, "
                "unpack it first."
            )
        if self._read - self._marked > MAX_FEATURE_BYTES:
            raise DataError(
                f"{self._path}: {MAX_FEATURE_BYTES >> 20} MB follow byte {self._marked} without the end of a feature. Split large "
                "features into polygons, for example with ogr2ogr -explodecollections, or export the file again."
            )


def lines_of(file: Metered) -> Iterator[str]:
    """Lines of text in UTF-8, without a byte order mark."""
    encoding = "utf-8-sig"
    while line := file.readline():
        text, encoding = line.decode(encoding), "utf-8"
        if "\r" in text[:-2]:  # an old Mac's ends of lines
            yield from filter(None, _LINES.findall(text))
        else:
            yield text


def shown(cause: object, most: int = _SHOWN_CHARACTERS) -> str:
    """What a message says of an error: a few words of it, however long it is."""
    if isinstance(cause, RecursionError):
        return "it is nested too deep"
    text = str(cause)
    if text.startswith("Exceeds the limit"):  # Python's own words advise to raise its limit
        return "it holds a number of thousands of digits"
    return text if len(text) <= most else f"{text[:most]}…"
