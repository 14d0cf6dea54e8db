"""Small files that ask for much, read by `orthoforge footprints`: what is said, in how much processor time and memory.

    python -m bench.bombs

Each runs in a process of its own with a limit of memory and time. `base` is what a sound file needs: Python and its packages.
"""

import gzip
import json
import os
import resource
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyogrio.raw
import shapely
from rasterio.crs import CRS

from bench.hostile.trial import seconds_of
from orthoforge.vectors import write_footprints

LIMIT_BYTES, LIMIT_S = 6 * 2**30, 120
SPARSE_BYTES, PACKED_BYTES = 2 * 2**30, 3 * 2**30
DEEP = 200_000
HOUSE = [shapely.box(500_000 + 9 * n, 5_500_000, 500_006 + 9 * n, 5_500_006) for n in range(4)]
RUN = "import sys; from orthoforge.cli import main; sys.exit(main(sys.argv[1:]))"


def packed(path: Path, start: bytes, filling: bytes, size: int = PACKED_BYTES) -> None:
    """A gzip file that unpacks to ``size`` bytes: members of 64 MB, each packed once."""
    piece = gzip.compress(filling * (2**26 // len(filling)), 9)
    path.write_bytes(gzip.compress(start) + piece * (size // 2**26))


def sparse(path: Path, start: bytes, size: int = SPARSE_BYTES) -> None:
    """A file of ``size`` bytes, zeros after its start, that takes no room on the disk."""
    path.write_bytes(start)
    os.truncate(path, size)


def geopackage(path: Path, *statements: str) -> None:
    write_footprints(path, HOUSE, CRS.from_epsg(32633))
    with sqlite3.connect(path) as base:
        for (trigger,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            base.execute(f'DROP TRIGGER "{trigger}"')
        for statement in statements:
            base.execute(statement)
    base.close()


def shapefile(path: Path, longer: str) -> None:
    wkb = shapely.to_wkb(np.array(HOUSE, object))
    pyogrio.raw.write(path, geometry=wkb, field_data=[], fields=[], geometry_type="Polygon", crs="EPSG:32633")
    os.truncate(path.with_suffix(longer), SPARSE_BYTES - 4)


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("f.shp", "w", force_zip64=True) as member:
        member.write(b"\x00\x00\x27\x0a")
        for _ in range(PACKED_BYTES // 2**26):
            member.write(bytes(2**26))


def nested_wkb(path: Path) -> None:
    level = struct.pack("<BII", 1, 7, 1) * DEEP
    write_footprints(path, HOUSE, CRS.from_epsg(32633))
    with sqlite3.connect(path) as base:
        for (trigger,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            base.execute(f'DROP TRIGGER "{trigger}"')
        base.execute("UPDATE footprints SET geom = ? WHERE fid = 2", (b"GP\0\1" + struct.pack("<i", 32633) + level,))
    base.close()


ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
RENAME = "ALTER TABLE footprints RENAME TO real"
FEATURES = b'{"type": "FeatureCollection", "features": ['
BOMBS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "base": ("f.gpkg", geopackage),
    "spaces, packed": ("f.geojson.gz", lambda path: packed(path, FEATURES, b" ")),
    "one string, packed": ("f.geojson.gz", lambda path: packed(path, FEATURES + b'{"a": "', b"a")),
    "features, packed": ("f.geojson.gz", lambda path: packed(path, FEATURES, b'{"type":"Feature","geometry":null},')),
    "lists, packed": ("f.geojson.gz", lambda path: packed(path, FEATURES + b"[", b"[],")),
    "a document of 2 GB": ("f.geojson", lambda path: sparse(path, FEATURES)),
    "a string of 2 GB": ("f.geojson", lambda path: sparse(path, FEATURES + b'{"a": "')),
    "lists of 63 MB": ("f.geojson", lambda path: path.write_bytes(FEATURES + b"[" + b"[]," * (21 * 2**20)) and None),
    "a line of 2 GB": ("f.geojsonl", lambda path: sparse(path, b"{")),
    "lines, packed": ("f.geojsonl.gz", lambda path: packed(path, b"", b"\n")),
    "a field of 2 GB": ("f.csv", lambda path: sparse(path, b'wkt\n"')),
    "a field, packed": ("f.csv.gz", lambda path: packed(path, b'wkt\n"', b"a\n")),
    "a comment of 2 GB": ("f.osm", lambda path: sparse(path, b"<osm><!--")),
    "a way, packed": ("f.osm.gz", lambda path: packed(path, b'<osm><way id="1">', b'<nd ref="1"/>')),
    "entities": (
        "f.osm",
        lambda path: (
            path.write_text(
                '<!DOCTYPE osm [<!ENTITY a0 "aaaaaaaaaa">'
                + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
                + ']><osm><node id="&a11;"/></osm>'
            )
            and None
        ),
    ),
    "text nested deep": (
        "f.csv",
        lambda path: path.write_text(f'wkt\n"{"GEOMETRYCOLLECTION(" * DEEP}{")" * DEEP}"\n') and None,
    ),
    "JSON nested deep": (
        "f.geojson",
        lambda path: path.write_text('{"type":"GeometryCollection","geometries":[' * DEEP + "]}" * DEEP) and None,
    ),
    "bytes nested deep": ("f.gpkg", nested_wkb),
    "an endless view": (
        "f.gpkg",
        lambda p: geopackage(p, RENAME, f"CREATE VIEW footprints AS {ENDLESS} SELECT real.* FROM c, real"),
    ),
    "endless contents": (
        "f.gpkg",
        lambda path: geopackage(
            path, "ALTER TABLE gpkg_contents RENAME TO old", f"CREATE VIEW gpkg_contents AS {ENDLESS} SELECT old.* FROM c, old"
        ),
    ),
    "a computed column": (
        "f.gpkg",
        lambda path: geopackage(
            path,
            RENAME,
            "CREATE TABLE footprints (fid INTEGER PRIMARY KEY, geom BLOB AS (zeroblob(999999999)))",
            "INSERT INTO footprints (fid) VALUES (1)",
        ),
    ),
    "a .shx of 2 GB": ("f.shp", lambda path: shapefile(path, ".shx")),
    "a .shp of 2 GB": ("f.shp", lambda path: shapefile(path, ".shp")),
    "a .dbf of 2 GB": ("f.shp", lambda path: shapefile(path, ".dbf")),
    "a .shp, zipped": ("f.zip", zipped),
}


def measured(path: Path) -> tuple[str, float, float]:
    """What the command says, the seconds that it computes, and its peak of memory in MB."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))

    command = [sys.executable, "-c", RUN, "footprints", str(path), "--out", str(path.parent / "m.tif"), "--gsd", "0.3"]
    started_at = time.perf_counter()
    with open(path.parent / "said.txt", "w+", encoding="utf-8") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, preexec_fn=limited)
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            if seconds_of(process.pid) > LIMIT_S or time.perf_counter() - started_at > 10 * LIMIT_S:
                process.kill()
            time.sleep(0.01)
        process.returncode = os.waitstatus_to_exitcode(ended[1])
        said.seek(0)
        words = said.read().replace(str(path.parent) + "/", "").strip().splitlines() or [""]
    return f"{process.returncode}: {words[-1][:110]}", ended[2].ru_utime + ended[2].ru_stime, ended[2].ru_maxrss / 1024


def rows(only: list[str]) -> Iterator[dict[str, object]]:
    for name, (file, make) in BOMBS.items():
        if only and name not in only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / file
            make(path)
            size = path.stat().st_blocks * 512
            words, seconds, peak_mb = measured(path)
        yield {"bomb": name, "file": file, "kB": size // 1024, "s": round(seconds, 1), "MB": round(peak_mb), "said": words}


if __name__ == "__main__":
    for row in rows(sys.argv[1:]):
        print(json.dumps(row, ensure_ascii=False), flush=True)
