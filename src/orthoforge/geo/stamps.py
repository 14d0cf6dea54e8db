"""How a source file was when it was read: it and the files beside it that say where it lies, what it shows and what is valid.

A stamp holds size, times and a checksum of each. Where size and times are as they were, the checksum is taken to be, too: among the
times is that of the last change of the file's entry (ctime), which nobody can set back. Otherwise the bytes decide.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from orthoforge.files import sha256_of

# Beside a raster: world files, projections, MapInfo's georeference, GDAL's metadata and masks. Beside footprints: other parts of a
# Shapefile, and what SQLite has not written into a GeoPackage yet.
_AFTER_STEM = (
    ".tfw", ".tifw", ".tiffw", ".pgw", ".pngw", ".jgw", ".jpgw", ".jpegw", ".wld", ".tab", ".prj", ".aux", ".aux.xml", ".qpj",
    ".dbf", ".shx", ".cpg",
)  # fmt: skip
_AFTER_NAME = (".aux.xml", ".aux", ".msk", ".prj", ".wld", "-wal")

Stamp = list[list[Any]]


def source_files(path: Path) -> list[Path]:
    """The file, and those beside it that belong to it."""
    return [Path(file) for file, _ in _found(path)]


class Listed:
    """Names in folders, read once for all sources in them: to ask for each file that may lie beside a small one takes longer than
    reading it. What is put there later is not seen."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}

    def endings(self, path: Path) -> Iterable[str]:
        """What may follow the stem in the names of the source and of the files that belong to it; all where the folder says
        nothing of it."""
        folder, name = os.path.split(path)
        if folder not in self._names:
            with contextlib.suppress(OSError):
                self._names[folder] = {other.casefold() for other in os.listdir(folder or ".")}
        names, stem = self._names.get(folder, ()), name.removesuffix(path.suffix).casefold()
        if name.casefold() not in names:
            return _endings(path.suffix)
        return [ending for ending in _endings(path.suffix) if stem + ending.casefold() in names]


def stamp(path: Path, listed: Listed | None = None) -> Stamp:
    """Name, size, both times and checksum of a source and of the files that belong to it, as plain values. Reads them."""
    return [[*_entry(file, state), sha256_of(Path(file))] for file, state in _found(path, listed)]


def state(path: Path) -> Stamp:
    """As ``stamp``, without checksums. Where it is the same before and after some work, the files did not change meanwhile."""
    return [_entry(file, found) for file, found in _found(path)]


def unchanged(path: Path, recorded: object, listed: Listed | None = None) -> bool:
    """Whether a source is as its ``stamp`` says. Reads only files of another time; an odd stamp fits no file.

    Of a stamp by an earlier version, size and time of the file itself are compared.
    """
    found = list(_found(path, listed))
    if not isinstance(recorded, list) or not found:
        return False
    if recorded and not isinstance(recorded[0], list):
        return recorded == [found[0][1].st_size, found[0][1].st_mtime_ns]
    if len(recorded) != len(found):
        return False
    return all(_is_as(file, state, entry) for (file, state), entry in zip(found, recorded, strict=True))


def source_sha256(path: Path) -> str:
    """A checksum of a source with the files that belong to it; that of the file alone where there are none."""
    first, *beside = source_files(path)
    if not beside:
        return sha256_of(first)
    together = [sha256_of(first), *(f"{file.name[len(path.stem) :]} {sha256_of(file)}" for file in beside)]
    return hashlib.sha256("\n".join(together).encode()).hexdigest()


def _is_as(file: str, state: os.stat_result, entry: Any) -> bool:
    now = _entry(file, state)
    if not isinstance(entry, list) or entry[:2] != now[:2]:
        return False
    return entry[:-1] == now or entry[-1] == sha256_of(Path(file))


def _entry(file: str, state: os.stat_result) -> list[Any]:
    return [os.path.basename(file), state.st_size, state.st_mtime_ns, state.st_ctime_ns]


def _found(path: Path, listed: Listed | None = None) -> Iterator[tuple[str, os.stat_result]]:
    """Files that are there, with their state, each once: some disks tell no capitals from small letters."""
    suffix = path.suffix
    stem = str(path).removesuffix(suffix)
    seen: set[tuple[int, int]] = set()
    for ending in listed.endings(path) if listed else _endings(suffix):
        file = stem + ending
        try:
            state = os.stat(file)
        except OSError:
            continue
        if (state.st_dev, state.st_ino) not in seen:
            seen.add((state.st_dev, state.st_ino))
            yield file, state


@cache
def _endings(suffix: str) -> tuple[str, ...]:
    """What the names of a source ``X`` + ``suffix`` and of the files that belong to it have after X, in capitals too."""
    endings = (suffix, *_AFTER_STEM, *(suffix + after for after in _AFTER_NAME))
    return tuple(variant for one in endings for variant in dict.fromkeys((one, one.upper())))
