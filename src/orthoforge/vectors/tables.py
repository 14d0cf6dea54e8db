"""Tables with a geometry as text: Google's Open Buildings, and any CSV with a column of WKT."""

import csv
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from orthoforge.errors import DataError
from orthoforge.vectors.attributes import tags_of
from orthoforge.vectors.chunks import CHUNK_FEATURES, Chunk, Source, Tags, chunk_from_wkt
from orthoforge.vectors.geojson import read_lines
from orthoforge.vectors.limits import MAX_FEATURE_BYTES, Metered, lines_of, shown
from orthoforge.vectors.places import WGS84

# Google calls it geometry, GDAL's CSV writer WKT, PostGIS dumps the others.
_COLUMNS = ("geometry", "wkt", "geom", "the_geom")


def read_table(path: Path, *, repair: bool, keys: Collection[str] | None = None) -> Source:
    """Footprints in longitude and latitude from a CSV with a column of WKT; with ``keys`` also what columns of these names say.

    Microsoft's ``.csv.gz`` hold no table but a GeoJSON feature a line; they are read as that.
    """
    try:
        with Metered(path) as file:
            head = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be unpacked ({error}). Copy or download it again.") from error
    if head.startswith((b"{", b"\x1e")):
        return read_lines(path, repair=repair, keys=keys)
    return Source(WGS84, _chunks(path, repair=repair, keys=keys))


def _chunks(path: Path, *, repair: bool, keys: Collection[str] | None) -> Iterator[Chunk]:
    first = 0
    texts: list[str] = []
    tags: list[Tags] = []
    limit = csv.field_size_limit(MAX_FEATURE_BYTES)  # a large building's outline is longer than Python's default of 128 kB
    try:
        with Metered(path) as file:
            rows = csv.reader(lines_of(file))
            header = [name.strip().lower() for name in next(rows, [])]
            column = next((header.index(name) for name in _COLUMNS if name in header), None)
            if column is None:
                raise DataError(
                    f"{path}: no column holds outlines; it has {shown(', '.join(header) or 'none')}. A column called geometry with "
                    "WKT is expected, as in the polygon files of Open Buildings (its point files have none)."
                )
            for row in rows:
                file.mark()
                texts.append(row[column] if len(row) > column else "")
                if keys is not None:
                    tags.append(tags_of(dict(zip(header, row, strict=False)), keys))
                if len(texts) == CHUNK_FEATURES:
                    yield chunk_from_wkt(path, np.array(texts, object), first, repair=repair, tags=tags)
                    first, texts, tags = first + len(texts), [], []
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: row {first + len(texts) + 2} cannot be read ({shown(error)}). Copy or download it again."
        ) from error
    finally:
        csv.field_size_limit(limit)
    yield chunk_from_wkt(path, np.array(texts, object), first, repair=repair, tags=tags)
