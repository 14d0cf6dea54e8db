"""OpenStreetMap's own formats: .osm (XML) and the Overpass API's JSON. Larger extracts come as .osm.pbf, which GDAL reads.

A building is a closed way or a multipolygon relation with the tag ``building``, unless that says ``no``
(https://wiki.openstreetmap.org/wiki/Key:building, https://wiki.openstreetmap.org/wiki/Relation:multipolygon).
"""

import math
import warnings
import zlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import shapely

from orthoforge.errors import DataError
from orthoforge.vectors.attributes import tags_of
from orthoforge.vectors.chunks import Source, Tags, chunk_of
from orthoforge.vectors.json_stream import JsonObject
from orthoforge.vectors.limits import Metered, shown
from orthoforge.vectors.places import WGS84

_Point = tuple[float, float]
_NOT_OSM = (ValueError, KeyError, AttributeError, TypeError, IndexError, OverflowError, EOFError, OSError, zlib.error)
_NOT_AN_AREA = (ValueError, TypeError, OverflowError, shapely.errors.ShapelyError)


def read_osm(path: Path, keys: Collection[str] | None = None) -> Source:
    """The buildings of an .osm file; with ``keys`` all that has one of these tags."""
    try:
        with Metered(path) as file:
            return elements_source(path, _elements(file), keys=keys)
    except (ElementTree.ParseError, *_NOT_OSM) as error:
        raise DataError(f"{path}: not a readable OpenStreetMap file ({type(error).__name__}: {shown(error)}).") from error


def elements_source(path: Path, elements: Iterable[JsonObject], *, keys: Collection[str] | None = None) -> Source:
    """The buildings among OpenStreetMap's elements, as the Overpass API writes them; with ``keys`` all that has one of these tags.

    Of an area cut by the border of the extract nodes or ways are missing; it is left out, and a warning counts them. Raises
    ``DataError`` with the element of which a corner is no place.
    """
    if keys is not None:
        return _tagged_source(path, elements, keys)
    nodes: dict[int, _Point] = {}
    ways: dict[int, list[_Point | int | None]] = {}
    buildings: list[tuple[str, list[list[_Point | int | None] | int]]] = []  # name; its lines, or the numbers of their ways
    for element in elements:
        kind, number, tags = element["type"], element["id"], element.get("tags") or {}
        is_building = tags.get("building", "no") != "no"
        if kind == "node":
            nodes[number] = (element["lon"], element["lat"])
        elif kind == "way":
            ways[number] = _line(element)
            if is_building:
                buildings.append((f"way {number}", [number]))
        elif kind == "relation" and is_building and tags.get("type") == "multipolygon":
            members = [member for member in element["members"] if member["type"] == "way"]
            lines = [_line(member) if member.get("geometry") else member["ref"] for member in members]
            buildings.append((f"relation {number}", lines))
    names: list[str] = []
    areas: list[shapely.Geometry] = []
    cut = 0
    for name, lines in buildings:
        # Looked up only now: Overpass may list ways before their nodes.
        drawn = [ways.get(line, [None]) if isinstance(line, int) else line for line in lines]
        points = [[nodes.get(point) if isinstance(point, int) else point for point in line] for line in drawn]
        whole = bool(points) and all(point is not None for line in points for point in line)
        try:
            area = _area(points, is_way=name.startswith("way")) if whole else None
        except _NOT_AN_AREA as error:
            raise DataError(
                f"{path}: feature {len(names)} ({name}) is no valid geometry: {shown(error)}. Mend or remove it, or export the "
                "file again."
            ) from error
        cut += not whole or (area is None and name.startswith("relation"))
        if area is not None:
            names.append(name)
            areas.append(area)
    if cut:
        warnings.warn(
            f"{path}: {cut} building{'s' * (cut > 1)} without a whole outline (cut by the extract's border?) left out.",
            stacklevel=5,
        )
    table = np.empty(len(areas), object)
    table[:] = areas
    return Source(WGS84, iter([chunk_of(table, 0)]), lambda index: f"feature {index} ({names[index]})")


def _tagged_source(path: Path, elements: Iterable[JsonObject], keys: Collection[str]) -> Source:
    """Nodes, ways and multipolygons with one of the tags. Of a way cut by the border the part that is there is taken."""
    nodes: dict[int, _Point] = {}
    ways: dict[int, list[_Point | int | None]] = {}
    wanted: list[tuple[str, Tags, list[list[_Point | int | None] | int]]] = []
    is_area: list[bool] = []
    for element in elements:
        kind, number, every = element["type"], element["id"], element.get("tags") or {}
        tags = tags_of(every, keys)
        if kind == "node":
            nodes[number] = (element["lon"], element["lat"])
        elif kind == "way":
            ways[number] = _line(element)
        is_multipolygon = kind == "relation" and every.get("type") == "multipolygon"
        if tags and kind == "node":
            wanted.append((f"node {number}", tags, [[number]]))
            is_area.append(False)
        elif tags and kind == "way":
            closed = len(ways[number]) > 3 and ways[number][0] == ways[number][-1]
            wanted.append((f"way {number}", tags, [number]))
            is_area.append(closed and _encloses(every))
        elif tags and is_multipolygon:
            members = [member for member in element["members"] if member["type"] == "way"]
            lines = [_line(member) if member.get("geometry") else member["ref"] for member in members]
            wanted.append((f"relation {number}", tags, lines))
            is_area.append(True)
    found: list[tuple[str, Tags, shapely.Geometry]] = []
    cut = 0
    for (name, tags, lines), area in zip(wanted, is_area, strict=True):
        drawn = [ways.get(line, [None]) if isinstance(line, int) else line for line in lines]
        points = [[nodes.get(point) if isinstance(point, int) else point for point in line] for line in drawn]
        whole = bool(points) and all(point is not None for line in points for point in line)
        if area and not whole:
            cut += 1
            continue
        try:
            shapes = [_area(points, is_way=name.startswith("way"))] if area else _pieces(points)
        except _NOT_AN_AREA as error:
            raise DataError(
                f"{path}: feature {len(found)} ({name}) is no valid geometry: {shown(error)}. Mend or remove it, or export the "
                "file again."
            ) from error
        cut += area and shapes == [None]
        found += [(name, tags, shape) for shape in shapes if shape is not None]
    if cut:
        warnings.warn(
            f"{path}: {cut} area{'s' * (cut > 1)} without a whole outline (cut by the extract's border?) left out.", stacklevel=6
        )
    table = np.empty(len(found), object)
    table[:] = [shape for _, _, shape in found]
    chunk = chunk_of(table, 0)._replace(tags=[tags for _, tags, _ in found])
    return Source(WGS84, iter([chunk]), lambda index: f"feature {index} ({found[index][0]})")


def _encloses(tags: JsonObject) -> bool:
    """Whether a closed way is the area inside it, not the line around it (https://wiki.openstreetmap.org/wiki/Key:area)."""
    if tags.get("area") in ("yes", "no"):
        return tags["area"] == "yes"
    return not any(key in tags for key in ("highway", "railway", "barrier")) and tags.get("natural") not in (
        "tree_row",
        "coastline",
    )


def _pieces(lines: list[list[Any]]) -> list[shapely.Geometry]:
    """The runs of points of a node or a way that the extract holds."""
    runs: list[list[_Point]] = [[]]
    for point in lines[0]:
        if point is None:
            runs.append([])
        else:
            lon, lat = point
            if not (math.isfinite(lon) and math.isfinite(lat)):
                raise ValueError(f"its corner at {lon}, {lat} is no place")
            runs[-1].append(point)
    if len(lines[0]) == 1:
        return [shapely.Point(run[0]) for run in runs if run]
    return [shapely.LineString(run) for run in runs if len(run) > 1]


def _line(element: JsonObject) -> list[_Point | int | None]:
    """A way's points, where Overpass was asked for them, else the numbers of its nodes."""
    if element.get("geometry"):
        return [point and (point["lon"], point["lat"]) for point in element["geometry"]]
    return list(element["nodes"])


def _area(lines: list[list[Any]], *, is_way: bool) -> shapely.Geometry | None:
    """What a way, or a relation's ways end to end, enclose; ``None`` where that is nothing."""
    for lon, lat in (point for line in lines for point in line):
        if not (math.isfinite(lon) and math.isfinite(lat)):
            raise ValueError(f"its corner at {lon}, {lat} is no place")
    if is_way:
        ring = lines[0]
        return shapely.Polygon(ring) if len(ring) >= 4 and ring[0] == ring[-1] else None
    # Even-odd: what an odd number of rings surround is building, so outer and inner ways need no roles.
    area = shapely.build_area(shapely.MultiLineString([line for line in lines if len(line) > 1]))
    return None if area.is_empty else area


def _elements(file: Metered) -> Iterator[JsonObject]:
    """An .osm file's elements as the Overpass API writes them in JSON."""
    events = ElementTree.iterparse(file, events=("start", "end"))
    _, root = next(events)
    if root.tag != "osm":
        raise ValueError(f"its root is <{root.tag}>, not <osm>")
    for event, element in events:
        if event == "start" or element.tag not in ("node", "way", "relation"):
            continue
        if element.get("action") != "delete":  # as the editor JOSM marks what it will take away
            yield _element(element)
        root.clear()
        file.mark()


def _element(element: ElementTree.Element) -> JsonObject:
    found: JsonObject = {"type": element.tag, "id": int(element.attrib["id"])}
    found["tags"] = {tag.attrib["k"]: tag.attrib["v"] for tag in element.iter("tag")}
    if element.tag == "node":
        found |= {"lon": float(element.attrib["lon"]), "lat": float(element.attrib["lat"])}
    elif element.tag == "way":
        found["nodes"] = [int(node.attrib["ref"]) for node in element.iter("nd")]
        found |= _drawn(element)
    else:
        found["members"] = [
            {"type": member.attrib["type"], "ref": int(member.attrib["ref"])} | _drawn(member) for member in element.iter("member")
        ]
    return found


def _drawn(element: ElementTree.Element) -> JsonObject:
    """The points that Overpass adds to ways when asked for geometry."""
    nodes = list(element.iter("nd"))
    if not nodes or not all("lat" in node.attrib for node in nodes):
        return {}
    return {"geometry": [{"lon": float(node.attrib["lon"]), "lat": float(node.attrib["lat"])} for node in nodes]}
