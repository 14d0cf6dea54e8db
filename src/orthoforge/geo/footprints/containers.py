"""Vector files that GDAL reads: GeoPackage, Shapefile, FlatGeobuf and OpenStreetMap's .osm.pbf.

GDAL opens a file with whatever driver its content suggests, and some formats are but instructions to read other files. So the first
bytes must be those of the format that the suffix names, and the driver that GDAL then chose is compared before anything is read.
"""

import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyogrio
import pyogrio.raw
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError
from rasterio.errors import CRSError

from orthoforge.errors import DataError
from orthoforge.geo.footprints.chunks import CHUNK_FEATURES, Chunk, Source, chunk_from_wkb
from orthoforge.geo.footprints.places import WGS84, crs_from
from orthoforge.geo.rasters import require_memory

# Suffix: GDAL's driver, the first bytes, and at which byte they stand.
_FORMATS = {
    ".gpkg": ("GPKG", b"SQLite format 3", 0),
    ".shp": ("ESRI Shapefile", b"\x00\x00\x27\x0a", 0),
    ".fgb": ("FlatGeobuf", b"fgb\x03", 0),
    ".pbf": ("OSM", b"OSMHeader", 6),
}
_CALLED = {"GPKG": "GeoPackage", "ESRI Shapefile": "Shapefile", "FlatGeobuf": "FlatGeobuf", "OSM": ".osm.pbf file"}
_UNREADABLE = (DataSourceError, DataLayerError, FeatureError)
_BUILDINGS = re.compile("building|footprint", re.IGNORECASE)
# What GDAL makes of OpenStreetMap's closed ways and multipolygons, and the tag that makes one a building.
_OSM_LAYER, _OSM_BUILDING = "multipolygons", "building IS NOT NULL AND building <> 'no'"


def read_container(path: Path, *, layer: str | None, repair: bool) -> Source:
    """The polygons of a layer: the one named, or the only one with polygons, or the only one of these that speaks of buildings.

    Raises ``DataError`` with the layers' names where none can be chosen.
    """
    suffix = path.suffix.lower()
    driver, magic, offset = _FORMATS[suffix]
    with open(path, "rb") as file:
        head = file.read(offset + len(magic))
    if head[offset:] != magic:
        raise DataError(f"{path}: not a {_CALLED[driver]}. Copy or export it again.")
    return _source(path, str(path.resolve()), driver, layer=layer, repair=repair)


def read_zip(path: Path, *, layer: str | None, repair: bool) -> Source:
    """The Shapefile in a .zip, read without unpacking it; of several, the one that ``layer`` names or that speaks of buildings."""
    _, magic, _ = _FORMATS[".shp"]
    try:
        with zipfile.ZipFile(path) as archive:
            members = {Path(name).stem: name for name in archive.namelist() if name.lower().endswith(".shp")}
            if not members:
                raise DataError(f"{path}: holds no Shapefile (.shp). Unpack it and name the file with the footprints.")
            chosen = _choose(path, list(members), layer)
            unpacked = archive.getinfo(members[chosen]).file_size
            require_memory(unpacked, f"{path}: reading {members[chosen]}")
            with archive.open(members[chosen]) as file:
                if file.read(len(magic)) != magic:
                    raise DataError(f"{path}: {members[chosen]} in it is not a Shapefile. Copy or export it again.")
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path}: not a readable .zip file: {error}. Copy or download it again.") from error
    # Braces tell GDAL where the archive's own name ends.
    return _source(path, f"/vsizip/{{{path.resolve()}}}/{members[chosen]}", "ESRI Shapefile", layer=None, repair=repair)


def _source(path: Path, opened: str, driver: str, *, layer: str | None, repair: bool) -> Source:
    if driver == "OSM":
        return _read_osm(path, opened, repair=repair)
    try:
        with _quietly():
            info = pyogrio.read_info(opened)
            if info["driver"] != driver:
                raise DataError(f"{path}: holds {info['driver']} data, not a {_CALLED[driver]}. Export it again.")
            layers = pyogrio.list_layers(opened)
            chosen = _choose(path, _with_polygons(layers), layer, every=[str(name) for name, _ in layers])
            meta, _, wkb, _ = pyogrio.raw.read(opened, layer=chosen, columns=[], force_2d=True)
    except _UNREADABLE as error:
        raise DataError(f"{path}: footprints cannot be read: {error}") from error
    except IndexError as error:  # pyogrio asks for the first layer also where GDAL finds none
        raise DataError(f"{path}: holds no layer; it is empty or damaged. Copy or export it again.") from error
    if driver == "FlatGeobuf" and len(wkb) < info["features"]:  # GDAL stops at the end of a file cut between two features
        raise DataError(f"{path}: holds {len(wkb)} of its {info['features']} features; it was cut short. Copy or export it again.")
    try:
        crs = crs_from(meta["crs"]) if meta["crs"] else None
    except (CRSError, ValueError) as error:
        raise DataError(f"{path}: its CRS cannot be read ({error}). Assign it again, for example with ogr2ogr -a_srs.") from error
    return Source(crs, _chunks(path, wkb, repair=repair))


def _read_osm(path: Path, opened: str, *, repair: bool) -> Source:
    """Buildings of an .osm.pbf. GDAL's fast index wants nodes in rising order, as Geofabrik's are; else the slow one is taken."""
    failure: Exception | None = None
    for fast in ("YES", "NO"):
        try:
            with _quietly():
                _, _, wkb, (of_relation, of_way) = pyogrio.raw.read(
                    opened, layer=_OSM_LAYER, columns=["osm_id", "osm_way_id"], where=_OSM_BUILDING, force_2d=True,
                    USE_CUSTOM_INDEXING=fast,
                )  # fmt: skip
        except _UNREADABLE as error:
            failure = error
            continue

        def name(index: int, relations: np.ndarray = of_relation, ways: np.ndarray = of_way) -> str:
            return f"feature {index} ({f'way {ways[index]}' if ways[index] else f'relation {relations[index]}'})"

        return Source(WGS84, _chunks(path, wkb, repair=repair, name=name), name)
    raise DataError(f"{path}: footprints cannot be read: {failure}") from failure


def _with_polygons(layers: np.ndarray) -> list[str]:
    """Names of the layers of polygons; where there are none, of those that may hold any geometry."""
    for wanted in (("Polygon", "Surface"), ("Unknown", "Geometry")):
        found = [str(name) for name, kind in layers if kind and any(word in kind for word in wanted)]
        if found:
            return found
    return []


def _choose(path: Path, names: list[str], asked: str | None, *, every: list[str] | None = None) -> str:
    every = names if every is None else every
    if asked is not None:
        if asked not in every:
            raise DataError(f"{path}: has no layer {asked!r}; it has {', '.join(every)}.")
        return asked
    if len(names) == 1:
        return names[0]
    of_buildings = [name for name in names if _BUILDINGS.search(name)]
    if len(of_buildings) == 1:
        return of_buildings[0]
    if not names:
        raise DataError(f"{path}: has no layer of polygons; it has {', '.join(every) or 'no layer'}.")
    raise DataError(
        f"{path}: has {len(names)} layers of polygons; say with --layer which one holds the buildings: {', '.join(names)}."
    )


def _chunks(path: Path, wkb: np.ndarray, *, repair: bool, name: Callable[[int], str] = "feature {}".format) -> Iterator[Chunk]:
    for first in range(0, len(wkb), CHUNK_FEATURES):
        yield chunk_from_wkb(path, wkb[first : first + CHUNK_FEATURES], first, repair=repair, name=name)


def _quietly() -> warnings.catch_warnings:
    """What matters to GDAL about a readable file does not matter here."""
    return warnings.catch_warnings(action="ignore")
