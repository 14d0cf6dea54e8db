"""GeoJSON, whole documents and a feature a line. Read without GDAL, which could follow another format elsewhere."""

import itertools
import json
import reprlib
import zlib
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from rasterio.crs import CRS

from orthoforge.errors import DataError
from orthoforge.vectors.attributes import tags_of
from orthoforge.vectors.chunks import CHUNK_FEATURES, Chunk, Source, Tags, invalid
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


def read_document(path: Path, *, repair: bool, keys: Collection[str] | None = None) -> Source:
    """A GeoJSON document, or what the Overpass API answers as JSON. Without a ``crs`` member it is in EPSG:4326.

    Polygons; with ``keys`` also lines and points, each with its properties of these names.
    """
    try:
        with Metered(path) as file:
            return _document(path, JsonStream(file), repair=repair, keys=keys) or read_lines(path, repair=repair, keys=keys)
    except _NOT_JSON as error:
        raise DataError(f"{path}: not a readable GeoJSON file ({_words(error)}).") from error


def read_lines(path: Path, *, repair: bool, crs: CRS = WGS84, keys: Collection[str] | None = None) -> Source:
    """A GeoJSON feature, or a bare geometry, on each line, with or without the record separators of RFC 8142.

    ``keys`` are as for ``read_document``.
    """
    return Source(crs, _line_chunks(path, repair=repair, keys=keys))


def _line_chunks(path: Path, *, repair: bool, keys: Collection[str] | None) -> Iterator[Chunk]:
    first, geometries, tags, line_number = 0, [], _tag_list(keys), 0
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
                if tags is not None and keys is not None:
                    tags.append(_tags(record, keys))
                if len(geometries) == CHUNK_FEATURES:
                    yield _chunk(path, geometries, first, tags, repair=repair)
                    first, geometries, tags = first + len(geometries), [], _tag_list(keys)
    except _NOT_JSON as error:
        raise DataError(f"{path}: line {line_number} is not a GeoJSON feature ({_words(error)}).") from error
    if geometries or first == 0:
        yield _chunk(path, geometries, first, tags, repair=repair)


def _document(path: Path, stream: JsonStream, *, repair: bool, keys: Collection[str] | None) -> Source | None:
    """The document under the cursor; ``None`` where it is a feature that others follow: a sequence under the name of a document."""
    if stream.peek() != "{":
        raise ValueError("it does not begin with {")
    members: JsonObject = {}
    chunks: list[Chunk] | None = None
    of_osm: Source | None = None
    for name in stream.members():
        starts_list = stream.peek() == "["
        if name == "features" and starts_list:
            chunks = list(_feature_chunks(path, stream, repair=repair, keys=keys))
        elif name == "elements" and starts_list and "type" not in members:
            of_osm = elements_source(path, stream.items("element"), keys=keys)
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
        chunks = [_chunk(path, [_geometry(members)], 0, None if keys is None else [_tags(members, keys)], repair=repair)]
    elif chunks is None:
        raise ValueError(f"its features are {reprlib.repr(members['features'])}, not a list")
    crs, why_no_crs = _crs(members.get("crs"))
    return Source(crs, iter(chunks), why_no_crs=why_no_crs)


def _feature_chunks(path: Path, stream: JsonStream, *, repair: bool, keys: Collection[str] | None) -> Iterator[Chunk]:
    first, geometries, tags = 0, [], _tag_list(keys)
    for feature in stream.items("feature"):
        if "type" not in feature:
            refuse_json(path, feature)
        geometries.append(_geometry(feature))
        if tags is not None and keys is not None:
            tags.append(_tags(feature, keys))
        if len(geometries) == CHUNK_FEATURES:
            yield _chunk(path, geometries, first, tags, repair=repair)
            first, geometries, tags = first + len(geometries), [], _tag_list(keys)
    yield _chunk(path, geometries, first, tags, repair=repair)


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


def _tag_list(keys: Collection[str] | None) -> list[Tags] | None:
    return None if keys is None else []


def _tags(feature: JsonObject, keys: Collection[str]) -> Tags:
    """A feature's properties; some writers keep OpenStreetMap's in a ``tags`` of their own. A bare geometry has none."""
    properties = feature.get("properties") if feature["type"] == "Feature" else None
    if not isinstance(properties, dict):
        return {}
    nested = properties.get("tags")
    return tags_of({**nested, **properties} if isinstance(nested, dict) else properties, keys)


def _chunk(path: Path, geometries: list[JsonObject | None], first: int, tags: list[Tags] | None, *, repair: bool) -> Chunk:
    """The polygons of these features; with their ``tags`` also lines and points."""
    polygons = _built(path, geometries, first, partial(_polygons, repair=repair))
    if tags is None:
        return polygons
    others = _built(path, geometries, first, _lines_and_points)
    shapes, features, mended = (np.concatenate([polygons[column], others[column]]) for column in range(3))
    return Chunk(shapes, features, mended, [tags[feature - first] for feature in features.tolist()])


def _built(path: Path, geometries: list[JsonObject | None], first: int, build: Callable[..., Chunk]) -> Chunk:
    """What ``build`` makes of all these geometries at once; when that fails, the first one to blame is looked for by halving."""
    try:
        return build(geometries, first)
    except _NOT_A_GEOMETRY as error:
        if len(geometries) == 1:
            raise invalid(path, f"feature {first}", error) from error
        half = len(geometries) // 2
        parts = [
            _built(path, part, start, build) for part, start in ((geometries[:half], first), (geometries[half:], first + half))
        ]
        shapes, features, mended = (np.concatenate([part[column] for part in parts]) for column in range(3))
        return Chunk(shapes, features, mended)


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


def _lines_and_points(geometries: list[JsonObject | None], first: int) -> Chunk:
    """A line of one point is left out, as a ring of none is."""
    runs: list[list[Any]] = []
    features: list[int] = []
    for feature, geometry in enumerate(geometries, first):
        for run in _runs(geometry):
            if run:
                runs.append(run)
                features.append(feature)
    if not runs:
        return Chunk(np.empty(0, object), np.empty(0, np.int64), np.empty(0, bool))
    lengths = np.array([len(run) for run in runs])
    coordinates = _coordinates(list(itertools.chain.from_iterable(runs)))
    run_of_point = np.repeat(np.arange(len(runs)), lengths)
    is_line = lengths > 1
    built = np.full(len(runs), None, object)
    built[~is_line] = shapely.points(coordinates[~is_line[run_of_point]], handle_nan="allow")
    if is_line.any():
        of_line = np.repeat(np.arange(is_line.sum()), lengths[is_line])
        built[is_line] = shapely.linestrings(coordinates[is_line[run_of_point]], indices=of_line, handle_nan="allow")
    return Chunk(built, np.array(features), np.zeros(len(runs), bool))


def _runs(geometry: JsonObject | None) -> list[list[Any]]:
    """The points of each line in a geometry, and each of its points as a run of one."""
    if geometry is None:
        return []
    kind = geometry["type"]
    if kind == "GeometryCollection":
        return [run for part in _list(geometry["geometries"]) for run in _runs(part)]
    if kind == "Point":
        return [[_list(geometry["coordinates"])]] if geometry["coordinates"] else []
    if kind == "MultiPoint":
        return [[_list(point)] for point in _list(geometry["coordinates"])]
    if kind not in ("LineString", "MultiLineString"):
        return []
    lines = [geometry["coordinates"]] if kind == "LineString" else _list(geometry["coordinates"])
    return [line for line in map(_list, lines) if len(line) > 1]


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
