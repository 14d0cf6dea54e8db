"""GeoPackage (https://www.geopackage.org/spec/), read with SQLite.

GDAL drops a geometry that is cut short without a word, holds the whole layer, and computes views, which may have no end. Here only
tables are read, row by row.
"""

import contextlib
import os
import sqlite3
import time
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from rasterio.crs import CRS

from orthoforge.errors import DataError
from orthoforge.vectors.attributes import OTHER_TAGS, tags_of
from orthoforge.vectors.chunks import CHUNK_FEATURES, Chunk, Source, Tags, chunk_from_wkb, unreadable
from orthoforge.vectors.layers import choose
from orthoforge.vectors.limits import MAX_FEATURE_BYTES, first_bytes, shown
from orthoforge.vectors.places import crs_from

_MAGIC = b"SQLite format 3"
# The form of the bytes before a shape: how long its bounds are, by the number in the flags.
_BOUNDS_BYTES = (0, 32, 48, 48, 64)
_POLYGONAL = {"POLYGON", "MULTIPOLYGON", "CURVEPOLYGON", "MULTISURFACE", "POLYHEDRALSURFACE", "TIN", "TRIANGLE"}
_ANY = {"GEOMETRY", "GEOMCOLLECTION", "GEOMETRYCOLLECTION"}
_MOST_LAYERS = 10_000
# SQLite answers a sound file in less than a second; a damaged one can send it in circles.
_PATIENCE_S, _STEPS = 30.0, 1_000_000


def read_geopackage(path: Path, *, layer: str | None, repair: bool) -> Source:
    """The polygons of a layer: the one named, or the only one with polygons, or the only one of these that speaks of buildings.

    Raises ``DataError`` with the layers' names where none can be chosen, for a layer that is a view, and for damaged files.
    """
    with _database(path) as rows:
        kinds, every, known = _contents(path, rows)
        of_polygons = [name for name in every if name in known and known[name][1] in _POLYGONAL]
        chosen = choose(
            path, of_polygons or [name for name in every if name in known and known[name][1] in _ANY], layer, every=every
        )
        if kinds.get(chosen.lower()) != "table":
            raise DataError(
                f"{path}: its layer {chosen} is no table but is computed (a view), which is not read. Save it as a layer of its "
                "own, for example with ogr2ogr."
            )
        if chosen not in known:
            raise DataError(
                f"{path}: its layer {chosen} has no geometries. Choose another with --layer: {shown(', '.join(known))}."
            )
        column, _, number = known[chosen]
        crs, why_no_crs = _crs(list(rows("SELECT * FROM gpkg_spatial_ref_sys WHERE srs_id = ?", number, named=True)))
    return Source(crs, _chunks(path, chosen, column, repair=repair), why_no_crs=why_no_crs)


def read_tables(path: Path, keys: Collection[str], *, repair: bool) -> list[tuple[str, Source]]:
    """All layers with geometries, by name, and what their columns called as one of ``keys`` say.

    Views are left out, with a warning. Raises ``DataError`` for damaged files.
    """
    found = []
    with _database(path) as rows:
        kinds, every, known = _contents(path, rows)
        for name in every:
            if name not in known:
                continue
            if kinds.get(name.lower()) != "table":
                warnings.warn(f"{path}: its layer {shown(name)} is computed (a view) and is not read.", stacklevel=4)
                continue
            column, _, number = known[name]
            columns = [str(other) for (other,) in rows("SELECT name FROM pragma_table_info(?)", name)]
            beside = [other for other in columns if other.lower() in (*keys, OTHER_TAGS) and other != column]
            crs, why_no_crs = _crs(list(rows("SELECT * FROM gpkg_spatial_ref_sys WHERE srs_id = ?", number, named=True)))
            chunks = _chunks(path, name, column, repair=repair, beside=beside, keys=keys)
            found.append((name, Source(crs, chunks, why_no_crs=why_no_crs)))
    return found


def _contents(path: Path, rows: Any) -> tuple[dict[str, str], list[str], dict[str, tuple[str, str, Any]]]:
    """What each name in the database is, its layers, and of those with geometries the column, the kind and the CRS's number."""
    kinds = {str(name).lower(): kind for name, kind in rows(_KINDS)}
    for table in ("gpkg_contents", "gpkg_geometry_columns", "gpkg_spatial_ref_sys"):
        if kinds.get(table) != "table":
            raise DataError(f"{path}: has no table {table}, so it is SQLite but not a GeoPackage. Export it as GeoPackage.")
    every = [str(name) for (name,) in rows("SELECT table_name FROM gpkg_contents ORDER BY rowid")]
    columns = rows("SELECT table_name, column_name, geometry_type_name, srs_id FROM gpkg_geometry_columns")
    return kinds, every, {str(name): (str(column), str(kind).upper(), number) for name, column, kind, number in columns}


# A virtual table computes as well.
_KINDS = "SELECT name, iif(sql LIKE 'create virtual%', 'virtual', type) FROM sqlite_master WHERE type IN ('table', 'view')"


def _crs(found: list[dict[str, object]]) -> tuple[CRS | None, str]:
    """The CRS of a row of ``gpkg_spatial_ref_sys``, or why it cannot be used. Numbers 0 and -1 mean that none is known."""
    if not found or found[0]["srs_id"] in (0, -1):
        return None, ""
    about, why = found[0], ""
    code = f"EPSG:{about.get('organization_coordsys_id')}" if str(about.get("organization")).upper() == "EPSG" else None
    for text in (code, about.get("definition"), about.get("definition_12_063")):
        if text is None or "undefined" in str(text)[:40].lower():  # GDAL's stand-in is LOCAL_CS["Undefined SRS"]
            continue
        try:
            return crs_from(str(text)), ""
        except ValueError as error:
            why = shown(error)
    return None, why


def _chunks(
    path: Path, table: str, column: str, *, repair: bool, beside: list[str] | None = None, keys: Collection[str] = ()
) -> Iterator[Chunk]:
    first, left = 0, path.stat().st_size
    quoted_table, *quoted = (f'"{name.replace(chr(34), 2 * chr(34))}"' for name in (table, column, *(beside or ())))
    wkb: list[bytes | None] = []
    tags: list[Tags] = []
    with _database(path) as rows:
        for blob, *values in rows(f"SELECT {', '.join(quoted)} FROM {quoted_table}", most=left + 1):
            left -= sum(len(value) if value and isinstance(value, bytes | str) else 1 for value in (blob, *values))
            if beside is not None:
                tags.append(tags_of(dict(zip(beside, values, strict=True)), keys))
            if left < 0:  # pages that are used twice
                raise DataError(f"{path}: its layer {table} holds more than the whole file; it is damaged. Export it again.")
            try:
                wkb.append(None if blob is None else _wkb(blob))
            except ValueError as error:
                raise unreadable(path, f"feature {first + len(wkb)}", error) from error
            if len(wkb) == CHUNK_FEATURES:
                yield _chunk(path, wkb, first, tags, repair=repair)
                first, wkb, tags = first + len(wkb), [], []
    yield _chunk(path, wkb, first, tags, repair=repair)


def _chunk(path: Path, wkb: list[bytes | None], first: int, tags: list[Tags], *, repair: bool) -> Chunk:
    shapes = np.array([*wkb, None], object)[:-1]
    return chunk_from_wkb(path, shapes, first, repair=repair, name="feature {}".format, tags=tags)


def _wkb(blob: object) -> bytes | None:
    """A shape's bytes without GeoPackage's own before them; ``None`` for an empty one."""
    if not isinstance(blob, bytes) or blob[:2] != b"GP" or len(blob) < 8:
        raise ValueError("its geometry is not in GeoPackage's form")
    flags = blob[3]
    bounds = flags >> 1 & 7
    if flags & 32 or bounds >= len(_BOUNDS_BYTES):
        raise ValueError("its geometry is in an extension of GeoPackage's form")
    wkb = blob[8 + _BOUNDS_BYTES[bounds] :]
    if not wkb:
        raise ValueError("it is cut short")
    return None if flags & 16 else wkb


@contextlib.contextmanager
def _database(path: Path) -> Iterator[Any]:
    """Yields a function that gives a query's rows. Nothing is written, no extension is loaded, and no view is trusted."""
    if first_bytes(path, len(_MAGIC)) != _MAGIC:
        raise DataError(f"{path}: not a GeoPackage. Copy or export it again.")
    connection = None
    asked_at = time.monotonic()

    def rows(query: str, *values: object, named: bool = False, most: int = _MOST_LAYERS) -> Iterator[Any]:
        nonlocal asked_at
        asked_at = time.monotonic()
        assert connection is not None
        found = connection.execute(query, values)
        names = [about[0] for about in found.description]
        for _, row in zip(range(most), found, strict=False):
            yield dict(zip(names, row, strict=True)) if named else row
            asked_at = time.monotonic()

    try:
        connection = _connected(path)
        connection.set_progress_handler(lambda: time.monotonic() - asked_at > _PATIENCE_S, _STEPS)
        yield rows
    except sqlite3.Error as error:
        raise DataError(f"{path}: footprints cannot be read ({shown(error)}). Copy or export it again.") from error
    finally:
        if connection is not None:
            connection.close()


def _connected(path: Path) -> sqlite3.Connection:
    name = quote(os.fsencode(path.resolve()))
    for options in ("mode=ro", "mode=ro&immutable=1"):  # the second where SQLite may not write its notes beside the file
        connection = sqlite3.connect(f"file:{name}?{options}", uri=True)
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_FEATURE_BYTES)
            connection.execute("SELECT count(*) FROM sqlite_master LIMIT 1")
            return connection
        except sqlite3.OperationalError as error:
            connection.close()
            if "unable to open" not in str(error):
                raise
            failure = error
    raise failure
