"""What says which CRS a raster has, looked at before GDAL reads it: it opens grids of datum shifts as soon as it does.

A CRS is text in a GeoTIFF (ESRI's form of it among the geokeys), or in what lies beside a raster.
"""

import html
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from orthoforge.errors import DataError
from orthoforge.files import readable
from orthoforge.geo.crs import require_no_files

_GEO_ASCII = 34737
# A TIFF's CRS follows from geokeys and GDAL's own metadata, and from whether it has control points or a matrix.
_OF_CRS, _OF_PLACE = (34735, 34736, _GEO_ASCII, 42112), (33550, 33922, 34264)
_BYTES_OF_TYPE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
# Bytes. The longest CRS of EPSG's registry has 20 kB; an .aux.xml with tables of values and histograms some MB.
_LONGEST_KEY, _LONGEST_SIDE_FILE = 2**20, 2**26
# Beside X.tif: X.tif.msk is a TIFF; X.tif.aux.xml and X.aux.xml, X.tif.aux and X.aux (ERDAS') hold a CRS as text.
_TIFFS, _TEXTS = (".msk", ".MSK", ".ovr", ".OVR"), (".aux.xml", ".AUX.XML", ".aux", ".AUX")
# X.tab (MapInfo's) and X.xml (ESRI's) hold one in words that name no file.
_IN_OTHER_WORDS = (".tab", ".TAB", ".xml", ".XML")
_MOST_ENTRIES = 65_535
_TAGS = str.maketrans("<>", "  ")  # a word ends where a tag begins

# Tags of a TIFF, each with byte order, type, number of values, and their bytes where they are of the CRS.
CrsTags = tuple[tuple[str, int, int, int, bytes], ...]


def crs_tags(path: Path) -> CrsTags | None:
    """The tags that a GeoTIFF's CRS follows from: files that have the same have the same CRS.

    ``None`` where something else may say it: another kind of file, or one beside it. Raises ``DataError`` where the CRS of a
    raster, or of a side file, names a file.
    """
    stem, name = os.fspath(path.with_suffix("")), os.fspath(path)
    texts = [start + suffix for suffix in _TEXTS for start in (name, stem)]
    with readable(path):
        tiffs_there = [Path(file) for file in (name, *(name + suffix for suffix in _TIFFS)) if os.path.isfile(file)]
        texts_there = [Path(file) for file in texts if os.path.isfile(file)]
    tags: dict[Path, CrsTags | None] = {}
    for file in tiffs_there:
        with readable(file):
            found = list(_tags(file))
        for tag in found:
            if tag and tag[1] == _GEO_ASCII:
                _require_no_files(file, path, tag[-1].decode("latin-1"))
        tags[file] = None if None in found else tuple(tag for tag in found if tag)
    for file in texts_there:
        with readable(file):
            text = _whole(file)
        _require_no_files(file, path, text)
    own = tags.get(path)
    return own if own and not texts_there and not any(os.path.lexists(stem + suffix) for suffix in _IN_OTHER_WORDS) else None


def _require_no_files(file: Path, path: Path, text: str) -> None:
    try:
        require_no_files(text)
    except ValueError as error:
        raise DataError(f"{file}: has {error}. Give {path.name} a CRS of EPSG's registry, or leave it out.") from error


def _whole(path: Path) -> str:
    if path.stat().st_size > _LONGEST_SIDE_FILE:
        raise DataError(f"{path}: has {path.stat().st_size / 1e6:.0f} MB, more than a raster's metadata have. Remove it.")
    return html.unescape(path.read_bytes().decode("latin-1").translate(_TAGS))


def _tags(path: Path) -> Iterator[tuple[str, int, int, int, bytes] | None]:
    """Tags of a TIFF that say its CRS; nothing of another file. ``None`` where a directory is damaged, or a tag is too long."""
    with open(path, "rb") as file:
        head = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None:
            return
        try:
            (version,) = struct.unpack_from(f"{order}H", head, 2)
            big = version == 43
            (directory,) = struct.unpack_from(f"{order}Q", head, 8) if big else struct.unpack_from(f"{order}I", head, 4)
            yield from _tags_of(file, directory, order, big=big)
        except (struct.error, ValueError, OverflowError, OSError):  # what is beyond 2⁶³ is no place in a file: GDAL refuses that
            yield None


def _tags_of(file: IO[bytes], directory: int, order: str, *, big: bool) -> Iterator[tuple[str, int, int, int, bytes] | None]:
    count_form, entry_form, inline = (f"{order}Q", f"{order}HHQ8s", 8) if big else (f"{order}H", f"{order}HHI4s", 4)
    file.seek(directory)
    (count,) = struct.unpack(count_form, file.read(struct.calcsize(count_form)))
    size = struct.calcsize(entry_form)
    entries = file.read(size * min(count, _MOST_ENTRIES))
    for tag, kind, values, where in struct.iter_unpack(entry_form, entries[: len(entries) // size * size]):
        if tag in _OF_PLACE:
            yield order, tag, kind, values, b""
        if tag not in _OF_CRS:
            continue
        length = values * _BYTES_OF_TYPE.get(kind, 8)
        if length > inline:
            file.seek(int.from_bytes(where, "little" if order == "<" else "big"))
            where = file.read(min(length, _LONGEST_KEY))
            if len(where) < length:
                yield None
        yield order, tag, kind, values, where
