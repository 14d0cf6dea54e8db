"""Vector formats that are not read: what they are called, and the command that turns them into one that is."""

import shlex
from pathlib import Path
from typing import Any

from orthoforge.errors import DataError
from orthoforge.vectors.limits import first_bytes

# Suffix: the format's name, and options that ogr2ogr needs for it. Drawings have no CRS, and closed lines for outlines.
_STATED = "-a_srs EPSG:CODE "
_FORMATS = {
    ".kml": ("KML", ""),
    ".kmz": ("KML, packed", ""),
    ".gml": ("GML", ""),
    ".gpx": ("GPX", ""),
    ".dxf": ("a DXF drawing", f"--config DXF_CLOSED_LINE_AS_POLYGON TRUE {_STATED}"),
    ".dgn": ("a DGN drawing", _STATED),
    ".topojson": ("TopoJSON", ""),
    ".gdb": ("an Esri file geodatabase", ""),
    ".sqlite": ("an SQLite or SpatiaLite database", ""),
    ".db": ("an SQLite or SpatiaLite database", ""),
    ".tab": ("MapInfo", ""),
    ".mif": ("MapInfo", ""),
    ".pmtiles": ("vector tiles", ""),
    ".mbtiles": ("vector tiles", ""),
}
_PARTS_OF_SHAPEFILES = (".shx", ".dbf", ".prj", ".cpg", ".sbn", ".sbx")
_NOT_FOR_OGR = {
    ".dwg": "a DWG drawing, which is not read. Save it as DXF, and convert that",
    ".city.json": "CityJSON, which is not read. Export its ground surfaces as GeoPackage",
}
# What a text begins with, in lower case: the format's name under another suffix.
_BEGINNINGS = {
    b"<kml": ".kml",
    b"http://www.opengis.net/kml": ".kml",
    b"http://www.opengis.net/gml": ".gml",
    b"<gpx": ".gpx",
}


def refuse_foreign(path: Path) -> None:
    """Raise ``DataError`` for a format that is not read, by its name, with the command that converts it."""
    if not path.exists():
        return
    name = path.name.lower()
    if path.suffix.lower() in _PARTS_OF_SHAPEFILES:
        raise DataError(f"{path}: is a part of a Shapefile; name its .shp, with the other parts beside it.")
    for suffix, words in _NOT_FOR_OGR.items():
        if name.endswith(suffix):
            raise DataError(f"{path}: is {words}.")
    if path.suffix.lower() in _FORMATS:
        raise _foreign(path, path.suffix.lower())


def refuse_content(path: Path) -> None:
    """Raise ``DataError`` for a text that begins as such a format does, whatever its name."""
    head = first_bytes(path, 2000).lower()
    if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return
    for beginning, suffix in _BEGINNINGS.items():
        if beginning in head:
            raise _foreign(path, suffix)


def refuse_json(path: Path, said: Any) -> None:
    """Raise ``DataError`` for JSON that is no GeoJSON, by what it says of its type, or a feature that says none."""
    if said == "Topology":
        raise _foreign(path, ".topojson")
    if said == "CityJSON":
        raise DataError(f"{path}: is {_NOT_FOR_OGR['.city.json']}.")
    of_esri = said.startswith("esriGeometry") if isinstance(said, str) else isinstance(said, dict) and "attributes" in said
    if of_esri:
        raise DataError(f"{path}: is Esri JSON, which is not read. {_convert(path, '', prefix='ESRIJSON:')}")


def _foreign(path: Path, suffix: str) -> DataError:
    called, options = _FORMATS[suffix]
    return DataError(f"{path}: is {called}, which is not read. {_convert(path, options)}")


def _convert(path: Path, options: str, *, prefix: str = "") -> str:
    target = path.with_suffix(".gpkg")
    code = " with the drawing's CRS for CODE" if _STATED in options else ""
    return f"Convert it{code}: ogr2ogr {options}{shlex.quote(str(target))} {shlex.quote(prefix + str(path))}"
