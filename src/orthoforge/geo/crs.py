"""A CRS from text that came with somebody's file. Text is never taken for the name of a file or a web address.

``CRS.from_user_input`` hands text that it does not know to GDAL, which opens it as a file or fetches it. What is read here is told
by its form alone: a code, an OGC name, WKT or PROJJSON.
"""

import json
import re

from rasterio.crs import CRS
from rasterio.errors import CRSError

# The WKT and the PROJJSON of the longest definitions in EPSG's registry have some 20 000 characters.
_LONGEST = 100_000
_AUTHORITY, _CODE = r"[A-Za-z][A-Za-z0-9_]{1,15}", r"[A-Za-z0-9_.-]{1,32}"
# 'EPSG:32633', 'OGC:CRS84', and a horizontal with a vertical one, 'EPSG:27700+5701'.
_SHORT = re.compile(rf"({_AUTHORITY}):({_CODE})(?:\+(\d{{1,9}}))?")
# 'urn:ogc:def:crs:EPSG::32633', with or without a version of the registry.
_URN = re.compile(rf"urn:(?:x-)?ogc:def:crs:({_AUTHORITY}):[0-9.]{{0,16}}:({_CODE})", re.IGNORECASE)
_COMPOUND_URN = re.compile(r"urn:ogc:def:crs,crs:EPSG:[0-9.]{0,16}:(\d{1,9}),crs:EPSG:[0-9.]{0,16}:(\d{1,9})", re.IGNORECASE)
# 'http://www.opengis.net/def/crs/EPSG/0/32633' is a name as well; nothing is fetched.
_URI = re.compile(rf"https?://www\.opengis\.net/def/crs/({_AUTHORITY})/[0-9.]{{1,16}}/({_CODE})", re.IGNORECASE)
_WKT = re.compile(
    r"(?:GEOGCS|GEOCCS|PROJCS|VERT_CS|COMPD_CS|LOCAL_CS|FITTED_CS|GEOGCRS|GEODCRS|GEODETICCRS|GEOGRAPHICCRS|PROJCRS|PROJECTEDCRS"
    r"|VERTCRS|VERTICALCRS|COMPOUNDCRS|BOUNDCRS|ENGCRS|ENGINEERINGCRS|DERIVEDPROJCRS)\s*[\[(]",
    re.IGNORECASE,
)
# Definitions may name grids of datum shifts. PROJ opens them at the first transformation: a bare name among its own, else a file.
_GRIDS = re.compile(
    r"\+(?:nadgrids|geoidgrids|grids|init|catalog)\s*=\s*([^\s\"]*)|\"PROJ4_GRIDS\"\s*,\s*\"([^\"]*)"
    r"|PARAMETERFILE\s*[\[(]\s*\"[^\"]*\"\s*,\s*\"([^\"]*)|\"value\"\s*:\s*\"([^\"]*)",
    re.IGNORECASE,
)
_GRID_NAME = re.compile(r"@?\w[\w.-]*(?:,@?\w[\w.-]*)*")


def crs_from_text(text: str) -> CRS:
    """The CRS of a code ('EPSG:32633'), an OGC URN or its web form, WKT or PROJJSON. ``ValueError`` for anything else."""
    text = text.strip()
    if len(text) > _LONGEST:
        raise ValueError(f"a CRS written in {len(text)} characters; {_LONGEST} are the most")
    require_no_files(text)
    try:
        if match := _SHORT.fullmatch(text):
            return _of_code(*match.groups())
        if match := _COMPOUND_URN.fullmatch(text):
            return _of_code("EPSG", *match.groups())
        if match := _URN.fullmatch(text) or _URI.fullmatch(text):
            return _of_code(match[1], match[2])
        if _WKT.match(text):
            return CRS.from_wkt(text)
        if text.startswith("{"):
            return _of_json(text)
    except CRSError as error:
        raise ValueError(f"{_shown(text)} is no CRS: {error}") from error
    raise ValueError(f"{_shown(text)} is no CRS: a code like EPSG:32633, an OGC URN, WKT or PROJJSON is expected")


def require_no_files(definition: str) -> None:
    """``ValueError`` where a CRS, as text of any kind, names files of datum shifts; PROJ's own, by bare names, may be named."""
    if any(_GRID_NAME.fullmatch(grid := "".join(found)) is None for found in _GRIDS.findall(definition)):
        raise ValueError(f"a CRS that needs the file {grid!r}; files that a CRS names are not opened")


def _of_code(authority: str, code: str, vertical: str | None = None) -> CRS:
    if authority.upper() == "EPSG" and code.isdecimal() and code.isascii() and vertical is None:
        return CRS.from_epsg(int(code))
    # As a URN, which GDAL looks up in PROJ's database and nowhere else.
    if vertical is not None:
        return CRS.from_user_input(f"urn:ogc:def:crs,crs:{authority.upper()}::{code},crs:{authority.upper()}::{vertical}")
    return CRS.from_user_input(f"urn:ogc:def:crs:{authority.upper()}::{code}")


def _of_json(text: str) -> CRS:
    try:
        definition = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{_shown(text)} is no CRS: not readable as PROJJSON") from error
    if not str(definition.get("type", "")).endswith("CRS"):
        raise ValueError(f"{_shown(text)} is no CRS: PROJJSON has a type, such as ProjectedCRS")
    # Written anew, as it was understood: GDAL tells PROJJSON by its first characters.
    return CRS.from_user_input(json.dumps({"type": definition["type"]} | definition))


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
