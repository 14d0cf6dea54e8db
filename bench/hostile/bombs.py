"""Small files of footprints that ask for much, and shapes cut short inside whole files."""

import bz2
import gzip
import json
import shutil
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from bench.hostile.case import Command, Input, Surroundings
from bench.hostile.material import Material
from bench.hostile.vectors import readers

_GB = 10**9
_ROW = 'name,geometry\n1,"'
_ENTITIES = (
    '<?xml version="1.0"?><!DOCTYPE o [<!ENTITY e0 "xxxxxxxxxx">'
    + "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    + ']><osm><node id="1" lat="&e9;" lon="1"/></osm>'
)
_EXTERNAL = (
    '<?xml version="1.0"?><!DOCTYPE o ['
    '<!ENTITY e SYSTEM "file://{0}/secret.txt"><!ENTITY % w SYSTEM "{1}/x.dtd">%w;]>'
    '<osm><node id="1" lat="&e;" lon="1"/></osm>'
)
_SMALL = [[[0, 0], [1e-4, 0], [1e-4, 1e-4], [0, 0]]]
_ZEROS = "UPDATE footprints SET geom = zeroblob(500000000) WHERE fid = 3"
_ENDLESS = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n AS fid, NULL AS geom FROM c"


def inputs() -> Iterator[Input]:
    """Every input of this kind."""
    for name in _FOOTPRINTS:
        yield Input(f"bomb/footprints/{name}", "footprints", partial(_footprints, name))


def _packed(path: Path, opener: Callable[..., IO[bytes]], size: int) -> None:
    with opener(path, "wb") as file:
        file.write(b'{"type": "FeatureCollection", "features": [')
        for _ in range(size // 2**24):
            file.write(b" " * 2**24)
        file.write(b"]}")


def _sparse(path: Path, head: bytes, size: int) -> None:
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(size)


def _nested_wkt(depth: int) -> str:
    return "GEOMETRYCOLLECTION (" * depth + "POINT (0 0)" + ")" * depth


def _nested_wkb(depth: int) -> bytes:
    return struct.pack("<BII", 1, 7, 1) * depth + struct.pack("<BIdd", 1, 1, 0.0, 0.0)


def _document(coordinates: object, kind: str = "Polygon") -> str:
    return json.dumps(
        {
            "type": "FeatureCollection",
            "features": [{"type": "Feature", "properties": {}, "geometry": {"type": kind, "coordinates": coordinates}}],
        }
    )


def _star(points: int) -> list[list[list[float]]]:
    """A ring whose every edge crosses most of the others."""
    turns = np.arange(points) * np.pi * (points - 1) / points
    ring = [[15 + 1e-3 * float(np.cos(t)), 45 + 1e-3 * float(np.sin(t))] for t in turns]
    return [[*ring, ring[0]]]


def _gpkg(change: Callable[[sqlite3.Connection], object]) -> Callable[[Path, Material], None]:
    def write(path: Path, material: Material) -> None:
        shutil.copy(material.vectors / "houses.gpkg", path)
        with sqlite3.connect(path) as base:
            for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                base.execute(f'DROP TRIGGER "{name}"')
            change(base)
        base.close()

    return write


def _gpkg_view(base: sqlite3.Connection) -> None:
    (name,) = base.execute("SELECT table_name FROM gpkg_contents").fetchone()
    base.execute("PRAGMA foreign_keys = OFF")
    base.execute(f'ALTER TABLE "{name}" RENAME TO hidden')
    base.execute(f'CREATE VIEW "{name}" AS {_ENDLESS}')
    for table in ("gpkg_contents", "gpkg_geometry_columns"):
        base.execute(f"UPDATE {table} SET table_name = ?", (name,))


def _set_geometry(value: Callable[[bytes], object]) -> Callable[[sqlite3.Connection], None]:
    def change(base: sqlite3.Connection) -> None:
        (blob,) = base.execute("SELECT geom FROM footprints WHERE fid = 3").fetchone()
        base.execute("UPDATE footprints SET geom = ? WHERE fid = 3", (value(blob),))

    return change


def _zip_bomb(path: Path, material: Material) -> None:
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("houses.shp", "w", force_zip64=True) as file,
    ):
        file.write((material.vectors / "houses.shp").read_bytes()[:100])
        for _ in range(120):
            file.write(bytes(2**24))
        del file


def _zip_many(path: Path, material: Material) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"a/{number}.shp", b"")


def _shp_records(path: Path, material: Material) -> None:
    data = bytearray((material.vectors / "houses.shp").read_bytes())
    struct.pack_into(">i", data, 24, 0x7FFFFFFF)
    struct.pack_into("<ii", data, 100 + 8 + 36, 0x7FFFFFFF, 0x7FFFFFFF)
    path.write_bytes(data)
    for suffix in (".shx", ".dbf"):
        shutil.copy(material.vectors / f"houses{suffix}", path.with_suffix(suffix))


def _parquet(path: Path, material: Material, blob: bytes, rows: int) -> None:
    import pyarrow
    import pyarrow.parquet

    about = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": {"encoding": "WKB", "geometry_types": []}}}
    values = pyarrow.DictionaryArray.from_arrays(np.zeros(rows, np.int32), pyarrow.array([blob], pyarrow.binary()))
    table = pyarrow.table({"geometry": values}).replace_schema_metadata({b"geo": json.dumps(about).encode()})
    pyarrow.parquet.write_table(table, path, store_schema=False)


def _pbf_bomb(path: Path, material: Material) -> None:
    data = (material.vectors / "houses.osm.pbf").read_bytes()
    (size,) = struct.unpack(">I", data[:4])
    body = b"\x10\xff\xff\xff\x0f\x1a" + _varint(len(packed := zlib.compress(bytes(10**8)))) + packed
    header = b"\x0a\x07OSMData\x18" + _varint(len(body))
    first = 4 + size + data[4 + size - 1]
    path.write_bytes(data[:first] + struct.pack(">I", len(header)) + header + body)


def _varint(number: int) -> bytes:
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


def _written(text: str | Callable[[], str]) -> Callable[[Path, Material], None]:
    return lambda path, material: path.write_text(text if isinstance(text, str) else text()) and None


# Name: the file, how it is written, and whether to succeed would be wrong.
_FOOTPRINTS: dict[str, tuple[str, Callable[[Path, Material], object], bool]] = {
    "gzip-3gb": ("houses.geojson.gz", lambda path, material: _packed(path, gzip.open, 3 * _GB), False),
    "bzip2-3gb": ("houses.geojson.bz2", lambda path, material: _packed(path, bz2.open, _GB), False),
    "gzip-lines": ("houses.geojsonl.gz", lambda path, material: _packed(path, gzip.open, 3 * _GB), False),
    "gzip-osm": ("houses.osm.gz", lambda path, material: _packed(path, gzip.open, 3 * _GB), True),
    "gzip-csv": ("houses.csv.gz", lambda path, material: _gzip_csv(path), True),
    "csv-field-2gb": ("houses.csv", lambda path, material: _sparse(path, _ROW.encode(), 2 * _GB), True),
    "csv-columns": ("houses.csv", _written(lambda: ",".join(["x"] * 10**6) + "\n"), True),
    "line-2gb": ("houses.geojsonl", lambda path, material: _sparse(path, b'{"type": "Feature', 2 * _GB), True),
    "document-2gb": ("houses.geojson", lambda path, material: _sparse(path, b'{"type": "Feature', 2 * _GB), True),
    "osm-2gb": ("houses.osm", lambda path, material: _sparse(path, b"<osm>", 2 * _GB), True),
    "osm-entities": ("houses.osm", _written(_ENTITIES), True),
    "osm-deep": ("houses.osm", _written(lambda: "<osm>" * 10**6), True),
    "osm-attribute": ("houses.osm", _written(lambda: f'<osm><node id="{"9" * 10**7}"/></osm>'), True),
    "wkt-nested": ("houses.csv", _written(lambda: f'{_ROW}{_nested_wkt(200_000)}"\n'), True),
    "wkt-nested-line": ("houses.csv", _written(lambda: f'{_ROW}{"(" * 10**6}"\n'), True),
    "wkt-digits": ("houses.csv", _written(lambda: f'{_ROW}POLYGON (({"9" * 10**5} 1, 2 2, 3 1, 1 1))"\n'), True),
    "wkb-nested-parquet": ("houses.parquet", lambda path, material: _parquet(path, material, _nested_wkb(200_000), 1), True),
    "wkb-count-parquet": (
        "houses.parquet",
        lambda path, material: _parquet(path, material, struct.pack("<BII", 1, 3, 0xFFFFFFFF), 1),
        True,
    ),
    "parquet-repeated": ("houses.parquet", lambda path, material: _parquet(path, material, bytes(10**6), 4000), True),
    "geojson-nested": ("houses.geojson", _written(lambda: '{"type":"GeometryCollection","geometries":[' * 100_000), True),
    "geojson-lists": ("houses.geojson", _written(lambda: "[" * 10**6), True),
    "geojson-digits": (
        "houses.geojson",
        _written(lambda: _document([[[0, 0], [1, 0], [1, 1], [0, 0]]]).replace("1, 1", "1" * 10**5 + ", 1")),
        True,
    ),
    "geojson-infinite": ("houses.geojson", _written(lambda: _document([[[0, 0], [1e308 * 10, 0], [1, 1], [0, 0]]])), True),
    "latitude-400": ("houses.geojson", _written(lambda: _document([[[0, 400], [1e-4, 400], [1e-4, 401], [0, 400]]])), True),
    "star": ("houses.geojson", _written(lambda: _document(_star(6001))), False),
    "far-apart": (
        "houses.geojson",
        _written(lambda: _document([_SMALL, [[[50, 50], [50.0001, 50], [50.0001, 50.0001], [50, 50]]]], "MultiPolygon")),
        True,
    ),
    "many-rings": (
        "houses.geojson",
        _written(lambda: _document([[[15, 45], [15.001, 45], [15.001, 45.001], [15, 45]]] * 200_000)),
        False,
    ),
    "gpkg-view": ("houses.gpkg", _gpkg(_gpkg_view), True),
    "gpkg-cut": ("houses.gpkg", _gpkg(_set_geometry(lambda blob: blob[:-9])), True),
    "gpkg-cut-head": ("houses.gpkg", _gpkg(_set_geometry(lambda blob: blob[:5])), True),
    "gpkg-empty": ("houses.gpkg", _gpkg(_set_geometry(lambda blob: b"")), True),
    "gpkg-text": ("houses.gpkg", _gpkg(_set_geometry(lambda blob: "north")), True),
    "gpkg-number": ("houses.gpkg", _gpkg(_set_geometry(lambda blob: 7)), True),
    "gpkg-count": ("houses.gpkg", _gpkg(_set_geometry(lambda blob: blob[:-84] + b"\xff" * 4 + blob[-80:])), True),
    "gpkg-nested": ("houses.gpkg", _gpkg(_set_geometry(lambda blob: blob[:8] + _nested_wkb(100_000))), True),
    "gpkg-zeros": ("houses.gpkg", _gpkg(lambda base: base.execute(_ZEROS)), True),
    "zip-2gb": ("houses.zip", _zip_bomb, True),
    "zip-many": ("houses.zip", _zip_many, True),
    "shp-records": ("houses.shp", _shp_records, True),
    "pbf-blob": ("houses.osm.pbf", _pbf_bomb, True),
    "external-entity": (
        "houses.osm",
        lambda path, material: path.write_text(_EXTERNAL.format(material.root.parent / "outside", "http://127.0.0.1:9")),
        True,
    ),
}


def _gzip_csv(path: Path) -> None:
    with gzip.open(path, "wb") as file:
        file.write(_ROW.encode())
        for _ in range(180):
            file.write(b"9" * 2**24)


def _footprints(name: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    file, write, refuse = _FOOTPRINTS[name]
    write(here / file, material)
    return readers(here, material, file, 3 if name == "star" else 1, refuse=refuse)
