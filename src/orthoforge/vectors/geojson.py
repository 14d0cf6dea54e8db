"""GeoJSON, whole documents and a feature a line. Read without GDAL, which could follow another format elsewhere."""

import itertools
import json
import reprlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from rasterio.crs import CRS

from orthoforge.errors import DataError
from orthoforge.vectors.chunks import CHUNK_FEATURES, Chunk, Source, invalid
from orthoforge.vectors.foreign import refuse_json
from orthoforge.vectors.json_stream import JsonObject, JsonStream
from orthoforge.vectors.limits import Metered, shown
from orthoforge.vectors.osm import elements_source
from orthoforge.vectors.places import WGS84, crs_from

_MALFORMED = (ValueError, KeyError, AttributeError, TypeError, IndexError, RecursionError, OverflowError)
_NOT_JSON = (*_MALFORMED, EOFError, OSError, zlib.error)
_NOT_A_GEOMETRY = (*_MALFORMED, shapely.errors.ShapelyError)
_NUMBERS = {int, float}
_OTHER_KINDS = {"Point", "MultiPoint", "LineString", "MultiLineString"}


def read_document(path: Path, *, repair: bool) -> Source:
    """A GeoJSON document, or what the Overpass API answers as JSON. Without a ``crs`` member it is in EPSG:4326."""
    try:
        with Metered(path) as file:
            return _document(path, JsonStream(file), repair=repair) or read_lines(path, repair=repair)
    except _NOT_JSON as error:
        raise DataError(f"{path}: not a readable GeoJSON file ({_words(error)}).") from error


def read_lines(path: Path, *, repair: bool, crs: CRS = WGS84) -> Source:
    """A GeoJSON feature, or a bare geometry, on each line, with or without the record separators of RFC 8142."""
    return Source(crs, _line_chunks(path, repair=repair))


def _line_chunks(path: Path, *, repair: bool) -> Iterator[Chunk]:
    first, geometries, line_number = 0, [], 0
    try:
        with Metered(path) as file:
            while raw := file.readline():
                file.mark()
                line_number += 1
                line = raw.strip(b"\x1e\xef\xbb\xbf \t\r\n")
                if not line:
                    continue
                record = json.loads(line)
                if record["type"] == "FeatureCollection":
                    raise ValueError("it holds a whole FeatureCollection; rename the file to .geojson")
                geometries.append(_geometry(record))
                if len(geometries) == CHUNK_FEATURES:
                    yield _chunk(path, geometries, first, repair=repair)
                    first, geometries = first + len(geometries), []
    except _NOT_JSON as error:
        raise DataError(f"{path}: line {line_number} is not a GeoJSON feature ({_words(error)}).") from error
    if geometries or first == 0:
        yield _chunk(path, geometries, first, repair=repair)


def _document(path: Path, stream: JsonStream, *, repair: bool) -> Source | None:
    """The document under the cursor; ``None`` where it is a feature that others follow: a sequence under the name of a document."""
    if stream.peek() != "{":
        raise ValueError("it does not begin with {")
    members: JsonObject = {}
    chunks: list[Chunk] | None = None
    of_osm: Source | None = None
    for name in stream.members():
        starts_list = stream.peek() == "["
        if name == "features" and starts_list:
            chunks = list(_feature_chunks(path, stream, repair=repair))
        elif name == "elements" and starts_list and "type" not in members:
            of_osm = elements_source(path, stream.items("element"))
        else:
            members[name] = stream.value()
            if name in ("type", "geometryType"):
                refuse_json(path, members[name])
    if stream.peek():
        if members.get("type") == "Feature":
            return None
        raise ValueError(f"something follows the end of the document, at character {stream.place}")
    if of_osm is not None and "type" not in members:
        return of_osm
    if members["type"] != "FeatureCollection":
        chunks = [_chunk(path, [_geometry(members)], 0, repair=repair)]
    elif chunks is None:
        raise ValueError(f"its features are {reprlib.repr(members['features'])}, not a list")
    crs, why_no_crs = _crs(members.get("crs"))
    return Source(crs, iter(chunks), why_no_crs=why_no_crs)


def _feature_chunks(path: Path, stream: JsonStream, *, repair: bool) -> Iterator[Chunk]:
    first, geometries = 0, []
    for feature in stream.items("feature"):
        if "type" not in feature:
            refuse_json(path, feature)
        geometries.append(_geometry(feature))
        if len(geometries) == CHUNK_FEATURES:
            yield _chunk(path, geometries, first, repair=repair)
            first, geometries = first + len(geometries), []
    yield _chunk(path, geometries, first, repair=repair)


def _crs(member: Any) -> tuple[CRS | None, str]:
    """The CRS that a ``crs`` member names, or why it names none. There are two forms, of 2008: a name, and an EPSG code."""
    if member is None:
        return WGS84, ""
    try:
        about = member["properties"]
        return crs_from(f"EPSG:{about['code']}" if "code" in about else about["name"]), ""
    except (KeyError, TypeError, AttributeError):
        return None, "its `crs` member names none by a name or an EPSG code"
    except ValueError as error:
        return None, shown(error)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {shown(error)}"


def _geometry(feature: JsonObject) -> JsonObject | None:
    return feature["geometry"] if feature["type"] == "Feature" else feature


def _chunk(path: Path, geometries: list[JsonObject | None], first: int, *, repair: bool) -> Chunk:
    """Polygons of all these geometries at once; when that fails, the first geometry to blame is looked for by halving."""
    try:
        return _polygons(geometries, first, repair=repair)
    except _NOT_A_GEOMETRY as error:
        if len(geometries) == 1:
            raise invalid(path, f"feature {first}", error) from error
        half = len(geometries) // 2
        parts = [
            _chunk(path, part, start, repair=repair)
            for part, start in ((geometries[:half], first), (geometries[half:], first + half))
        ]
        return Chunk(*map(np.concatenate, zip(*parts, strict=True)))


def _polygons(geometries: list[JsonObject | None], first: int, *, repair: bool) -> Chunk:
    polygons: list[list[list[Any]]] = []
    features: list[int] = []
    for feature, geometry in enumerate(geometries, first):
        for rings in _rings(geometry):
            if rings and rings[0]:
                polygons.append([ring for ring in rings if ring])
                features.append(feature)
    if not polygons:
        return Chunk(np.empty(0, object), np.empty(0, np.int64), np.empty(0, bool))
    rings = list(itertools.chain.from_iterable(polygons))
    polygon_of_ring = np.repeat(np.arange(len(polygons)), [len(polygon) for polygon in polygons])
    lengths = np.array([len(ring) for ring in rings])
    coordinates = _coordinates(list(itertools.chain.from_iterable(rings)))
    ends = np.cumsum(lengths)
    starts = ends - lengths
    unclosed = (coordinates[starts] != coordinates[ends - 1]).any(axis=1) & np.isfinite(coordinates[starts]).all(axis=1)
    mended = np.zeros(len(polygons), bool)
    if unclosed.any() and not repair:
        ring = rings[int(unclosed.argmax())]
        raise ValueError(f"its ring is not closed: it starts at {ring[0]} and ends at {ring[-1]}")
    too_short = lengths + unclosed < 4
    if too_short.any() and not repair:
        ring = rings[int(too_short.argmax())]
        raise ValueError(f"its ring at {ring[0]} has {len(ring)} points; four are the fewest, the first repeated at the end")
    mended[polygon_of_ring[unclosed | too_short]] = True
    if too_short.any():  # a hole of two points goes; a shell takes its holes along
        without_shell = polygon_of_ring[too_short & np.append(True, np.diff(polygon_of_ring) > 0)]
        too_short |= np.isin(polygon_of_ring, without_shell)
    kept = ~too_short
    built = np.full(len(polygons), None, object)
    if kept.any():
        ring_of_point = np.repeat(np.arange(len(rings)), lengths)
        shells = shapely.linearrings(
            coordinates[kept[ring_of_point]], indices=np.repeat(np.arange(kept.sum()), lengths[kept]), handle_nan="allow"
        )
        numbers, polygon_of_kept = np.unique(polygon_of_ring[kept], return_inverse=True)
        built[numbers] = shapely.polygons(shells, indices=polygon_of_kept)
    return Chunk(built, np.array(features), mended)


def _rings(geometry: JsonObject | None) -> list[list[Any]]:
    """The rings of each polygon in a geometry."""
    if geometry is None:
        return []
    kind = geometry["type"]
    if kind == "Polygon":
        return [_rings_in(geometry["coordinates"])]
    if kind == "MultiPolygon":
        return [_rings_in(polygon) for polygon in _list(geometry["coordinates"])]
    if kind == "GeometryCollection":
        return [rings for part in _list(geometry["geometries"]) for rings in _rings(part)]
    if kind in _OTHER_KINDS:
        return []
    raise ValueError(f"no geometry is called {reprlib.repr(kind)}")


def _rings_in(polygon: Any) -> list[Any]:
    return [_list(ring) for ring in _list(polygon)]


def _list(found: Any) -> list[Any]:
    if not isinstance(found, list):
        raise ValueError(f"it holds {reprlib.repr(found)} where a list is expected")
    return found


def _coordinates(points: list[Any]) -> np.ndarray:
    """(n, 2) float64. Heights, which some points of a file may have and others not, are left out."""
    if not set(map(type, itertools.chain.from_iterable(points))) <= _NUMBERS:  # numpy takes True and "1" for numbers
        points = [point[:2] for point in points]
        other = next((value for point in points for value in point if type(value) not in _NUMBERS), 0)
        if type(other) not in _NUMBERS:
            raise ValueError(f"a coordinate is {reprlib.repr(other)}, not a number")
    try:
        table = np.array(points, np.float64)
    except ValueError:
        table = np.array([point[:2] for point in points], np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError("a point of two or three numbers is expected")
    return table[:, :2]
