"""Files that a raster's CRS names, found before GDAL reads the CRS: it opens grids of datum shifts as soon as it does.

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
_BYTES_OF_TYPE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
# Bytes. The longest CRS of EPSG's registry has 20 kB; an .aux.xml with tables of values and histograms some MB.
_LONGEST_KEY, _LONGEST_SIDE_FILE = 2**20, 2**26
# Beside X.tif: X.tif.msk is a TIFF; X.tif.aux.xml and X.aux.xml, X.tif.aux and X.aux (ERDAS') hold a CRS as text.
_TIFFS, _TEXTS = (".msk", ".MSK", ".ovr", ".OVR"), (".aux.xml", ".AUX.XML", ".aux", ".AUX")
_MOST_ENTRIES = 65_535
_TAGS = str.maketrans("<>", "  ")  # a word ends where a tag begins


def require_no_named_files(path: Path) -> None:
    """Raise ``DataError`` where a raster, or a side file, has a CRS that names a file."""
    stem, name = os.fspath(path.with_suffix("")), os.fspath(path)
    tiffs = [name, *(name + suffix for suffix in _TIFFS)]
    others = [start + suffix for suffix in _TEXTS for start in (name, stem)]
    texts = []
    with readable(path):
        there = [Path(file) for file in (*tiffs, *others) if os.path.isfile(file)]
    for file in there:
        with readable(file):
            texts += [(file, text) for text in (_geo_texts(file) if os.fspath(file) in tiffs else [_whole(file)])]
    for file, text in texts:
        try:
            require_no_files(text)
        except ValueError as error:
            raise DataError(f"{file}: has {error}. Give {path.name} a CRS of EPSG's registry, or leave it out.") from error


def _whole(path: Path) -> str:
    if path.stat().st_size > _LONGEST_SIDE_FILE:
        raise DataError(f"{path}: has {path.stat().st_size / 1e6:.0f} MB, more than a raster's metadata have. Remove it.")
    return html.unescape(path.read_bytes().decode("latin-1").translate(_TAGS))


def _geo_texts(path: Path) -> Iterator[str]:
    """The text among a TIFF's geokeys; nothing of another file, or of one whose directory is damaged: GDAL refuses that."""
    with open(path, "rb") as file:
        head = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None:
            return
        try:
            (version,) = struct.unpack_from(f"{order}H", head, 2)
            big = version == 43
            (directory,) = struct.unpack_from(f"{order}Q", head, 8) if big else struct.unpack_from(f"{order}I", head, 4)
            yield from _texts_of(file, directory, order, big=big)
        except (struct.error, ValueError, OverflowError, OSError):  # what is beyond 2⁶³ is no place in a file
            return


def _texts_of(file: IO[bytes], directory: int, order: str, *, big: bool) -> Iterator[str]:
    count_form, entry_form, inline = (f"{order}Q", f"{order}HHQ8s", 8) if big else (f"{order}H", f"{order}HHI4s", 4)
    file.seek(directory)
    (count,) = struct.unpack(count_form, file.read(struct.calcsize(count_form)))
    size = struct.calcsize(entry_form)
    entries = file.read(size * min(count, _MOST_ENTRIES))
    for at in range(0, len(entries) - size + 1, size):
        tag, kind, values, where = struct.unpack_from(entry_form, entries, at)
        if tag != _GEO_ASCII:
            continue
        length = values * _BYTES_OF_TYPE.get(kind, 8)
        if length > inline:
            file.seek(int.from_bytes(where, "little" if order == "<" else "big"))
            where = file.read(min(length, _LONGEST_KEY))
        yield where.decode("latin-1")
