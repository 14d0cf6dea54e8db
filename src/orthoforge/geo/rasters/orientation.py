"""The Orientation tag of EXIF: viewers turn the pixels as it says, GDAL and other readers do not."""

import io
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from orthoforge.errors import DataError
from orthoforge.files import readable

_UPRIGHT, _TAG, _SHORT = 1, 274, 3
# Types of whole numbers in a TIFF, and what a place in the file is by its bytes.
_WHOLE = {_SHORT: "u2", 4: "u4", 16: "u8"}
_OFFSETS = {4: "I", 8: "Q"}
_SHOWN_AS = {
    2: "mirrored", 3: "turned by 180°", 4: "upside down", 5: "mirrored and turned", 6: "turned by 90° to the right",
    7: "mirrored and turned", 8: "turned by 90° to the left",
}  # fmt: skip
# EXIF lies in front of a PNG's pixels, between a few others. One chunk of it has at most some hundred kilobytes.
_MOST_CHUNKS, _LARGEST_EXIF = 100, 2**20


def require_upright(path: Path, driver: str, tags: Mapping[str, str]) -> None:
    """Raise ``DataError`` for a file that viewers show turned or mirrored. ``tags`` are those that GDAL found."""
    if driver == "JPEG":
        found = tags.get("EXIF_Orientation", "")
        orientation = int(found) if found.isdecimal() else _UPRIGHT
    else:
        with readable(path), open(path, "rb") as file:
            exif: BinaryIO | None = file if driver == "GTiff" else _exif_of_png(file)
            orientation = short_tag(exif, _TAG, _UPRIGHT) if exif else _UPRIGHT
    if orientation in _SHOWN_AS:
        raise DataError(
            f"{path}: its EXIF tag Orientation is {orientation}: viewers show it {_SHOWN_AS[orientation]}, and its pixels are not "
            "stored that way, so image and mask may not fit. Turn the pixels themselves, for example with "
            "mogrify -auto-orient, or remove the tag with exiftool -Orientation= where the pixels are right."
        )


def _exif_of_png(file: BinaryIO) -> BinaryIO | None:
    """The chunk eXIf, which is laid out as a TIFF."""
    file.seek(8)
    for _ in range(_MOST_CHUNKS):
        header = file.read(8)
        if len(header) < 8:
            return None
        size, kind = struct.unpack(">I4s", header)
        if kind == b"eXIf":
            return io.BytesIO(file.read(min(size, _LARGEST_EXIF)))
        if kind in (b"IDAT", b"IEND"):
            return None
        file.seek(size + 4, io.SEEK_CUR)
    return None


def short_tag(file: BinaryIO, wanted: int, otherwise: int) -> int:
    """The number that a tag of the first directory of a TIFF or BigTIFF holds; ``otherwise`` where it is missing or damaged."""
    found = _entry(file, wanted)
    return int(struct.unpack_from(found.order + "H", found.value)[0]) if found and found.kind == _SHORT else otherwise


def numbers_of_tag(file: BinaryIO, wanted: int, first: int, last: int) -> np.ndarray | None:
    """Whole numbers ``first`` to ``last`` of a tag that holds a list, (N,) int64; ``None`` where it is missing or too short."""
    found = _entry(file, wanted)
    if found is None or found.kind not in _WHOLE or last >= found.length:
        return None
    kind = np.dtype(found.order + _WHOLE[found.kind])
    if found.length * kind.itemsize <= len(found.value):
        return np.frombuffer(found.value, kind, found.length)[first : last + 1].astype(np.int64)
    (start,) = struct.unpack(found.order + _OFFSETS[len(found.value)], found.value)
    wanted_bytes = (last - first + 1) * kind.itemsize
    try:
        file.seek(start + first * kind.itemsize)
    except (OverflowError, ValueError):  # damaged: no file is so long
        return None
    stored = file.read(wanted_bytes)
    return np.frombuffer(stored, kind).astype(np.int64) if len(stored) == wanted_bytes else None


class _Entry(NamedTuple):
    """Of a directory: byte order, type, number of values, and the values or where they lie."""

    order: str
    kind: int
    length: int
    value: bytes


def _entry(file: BinaryIO, wanted: int) -> _Entry | None:
    """The entry of a tag in the first directory of a TIFF or BigTIFF; ``None`` where it is missing or damaged."""
    try:
        file.seek(0)
        order = {b"II": "<", b"MM": ">"}[file.read(2)]
        (version,) = struct.unpack(order + "H", file.read(2))
        if big := version == 43:
            file.read(4)
        size, count_format = (8, "Q") if big else (4, "H")
        (offset,) = struct.unpack(order + _OFFSETS[size], file.read(size))
        file.seek(offset)
        (count,) = struct.unpack(order + count_format, file.read(8 if big else 2))
        for _ in range(min(count, 2**16)):
            tag, kind, values = struct.unpack(order + "HH" + _OFFSETS[size], file.read(4 + size))
            value = file.read(size)
            if tag >= wanted:  # they are in ascending order
                return _Entry(order, kind, values, value) if tag == wanted and len(value) == size else None
    except (KeyError, struct.error, OverflowError, ValueError):
        pass
    return None
