"""GeoJSON, whole documents and a feature a line. Read without GDAL, which could follow another format elsewhere."""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from rasterio.crs import CRS
from rasterio.errors import CRSError

from orthoforge.errors import DataError
from orthoforge.geo.footprints.chunks import CHUNK_FEATURES, Chunk, Source, invalid, open_plain
from orthoforge.geo.footprints.osm import elements_source
from orthoforge.geo.footprints.places import WGS84, crs_from

_SPACE = re.compile(r"[ \t\n\r]*")
_MALFORMED = (ValueError, KeyError, AttributeError, TypeError, IndexError, RecursionError, OverflowError)
_NOT_JSON = (*_MALFORMED, CRSError, EOFError, OSError)
_NOT_A_GEOMETRY = (*_MALFORMED, shapely.errors.ShapelyError)
_OTHER_KINDS = {"Point", "MultiPoint", "LineString", "MultiLineString"}


def read_document(path: Path, *, repair: bool) -> Source:
    """A GeoJSON document, or what the Overpass API answers as JSON. Without a ``crs`` member it is in EPSG:4326.

    The text is taken apart feature by feature: Python's objects for a whole city would need ten times its size.
    """
    try:
        with open_plain(path) as file:
            text = file.read().decode("utf-8-sig")
        members, chunks, end = _members(path, text, repair=repair)
        if members.get("type") == "Feature" and _skip(text, end) < len(text):
            return read_lines(path, repair=repair)  # another feature follows: a sequence under the name of a document
        if "elements" in members and "type" not in members:
            return elements_source(path, members["elements"])
        if _skip(text, end) < len(text):
            raise ValueError(f"something follows the end of the document, at character {end}")
        named = (members.get("crs") or {}).get("properties", {}).get("name")
        crs = crs_from(named) if named else WGS84
        if members["type"] == "FeatureCollection":
            if members["features"] is not ...:
                raise ValueError(f"its features are {members['features']!r:.40}, not a list")
        else:
            chunks = [_chunk(path, [_geometry(members)], 0, repair=repair)]
    except _NOT_JSON as error:
        raise DataError(f"{path}: not a readable GeoJSON file ({type(error).__name__}: {error}).") from error
    return Source(crs, iter(chunks))


def read_lines(path: Path, *, repair: bool, crs: CRS = WGS84) -> Source:
    """A GeoJSON feature, or a bare geometry, on each line, with or without the record separators of RFC 8142."""
    return Source(crs, _line_chunks(path, repair=repair))


def _line_chunks(path: Path, *, repair: bool) -> Iterator[Chunk]:
    first, geometries, line_number = 0, [], 0
    try:
        with open_plain(path) as file:
            for raw in file:
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
        raise DataError(f"{path}: line {line_number} is not a GeoJSON feature ({type(error).__name__}: {error}).") from error
    if geometries or first == 0:
        yield _chunk(path, geometries, first, repair=repair)


def _members(path: Path, text: str, *, repair: bool) -> tuple[dict[str, Any], list[Chunk], int]:
    """The document's members, its features as chunks instead of as objects, and where the document ends."""
    decode = json.JSONDecoder().raw_decode
    members: dict[str, Any] = {}
    chunks: list[Chunk] = []
    at = _skip(text, 0)
    if text[at : at + 1] != "{":
        raise ValueError(f"it begins with {text[at : at + 20]!r}")
    at = _skip(text, at + 1)
    try:
        while text[at] != "}":
            key, at = decode(text, at)
            at = _skip(text, at)
            if text[at] != ":":
                raise ValueError(f"no colon at character {at}")
            at = _skip(text, at + 1)
            if key == "features" and text[at] == "[":
                members[key] = ...
                chunks, at = _features(path, text, at, repair=repair)
            else:
                members[key], at = decode(text, at)
            at = _skip(text, at)
            if text[at] == ",":
                at = _skip(text, at + 1)
            elif text[at] != "}":
                raise ValueError(f"no comma at character {at}")
    except IndexError:
        raise ValueError("it ends too early") from None
    return members, chunks, at + 1


def _features(path: Path, text: str, at: int, *, repair: bool) -> tuple[list[Chunk], int]:
    decode = json.JSONDecoder().raw_decode
    chunks: list[Chunk] = []
    first, geometries = 0, []
    at = _skip(text, at + 1)
    while text[at] != "]":
        feature, at = decode(text, at)
        geometries.append(_geometry(feature))
        if len(geometries) == CHUNK_FEATURES:
            chunks.append(_chunk(path, geometries, first, repair=repair))
            first, geometries = first + len(geometries), []
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)
        elif text[at] != "]":
            raise ValueError(f"no comma at character {at}")
    chunks.append(_chunk(path, geometries, first, repair=repair))
    return chunks, at + 1


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    assert space
    return space.end()


def _geometry(feature: dict[str, Any]) -> dict[str, Any] | None:
    return feature["geometry"] if feature["type"] == "Feature" else feature


def _chunk(path: Path, geometries: list[dict[str, Any] | None], first: int, *, repair: bool) -> Chunk:
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


def _polygons(geometries: list[dict[str, Any] | None], first: int, *, repair: bool) -> Chunk:
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


def _rings(geometry: dict[str, Any] | None) -> list[list[Any]]:
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
    raise ValueError(f"no geometry is called {kind!r}")


def _rings_in(polygon: Any) -> list[Any]:
    return [_list(ring) for ring in _list(polygon)]


def _list(found: Any) -> list[Any]:
    if not isinstance(found, list):
        raise ValueError(f"it holds {found!r:.40} where a list is expected")
    return found


def _coordinates(points: list[Any]) -> np.ndarray:
    """(n, 2) float64. Heights, which some points of a file may have and others not, are left out."""
    try:
        table = np.array(points, np.float64)
    except ValueError:
        table = np.array([point[:2] for point in points], np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError("a point of two or three numbers is expected")
    return table[:, :2]
