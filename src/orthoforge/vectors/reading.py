"""Building footprints out of any vector file: polygons that are valid, with the feature that each comes from, and their CRS."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import shapely
from rasterio.crs import CRS

from orthoforge.errors import ConfigError, DataError
from orthoforge.files import no_such_file
from orthoforge.geo.grid import Grid, crs_name
from orthoforge.vectors.chunks import Chunk, Source
from orthoforge.vectors.complexity import refuse_many_rings, refuse_tangles
from orthoforge.vectors.foreign import refuse_content, refuse_foreign
from orthoforge.vectors.geojson import read_document, read_lines
from orthoforge.vectors.geopackage import read_geopackage
from orthoforge.vectors.osm import read_osm
from orthoforge.vectors.parquet import read_parquet
from orthoforge.vectors.places import WGS84, bounds_in, crs_asked
from orthoforge.vectors.plausible import STATE_IT, Degrees, refuse_widest, unwrapped
from orthoforge.vectors.tables import read_table

LINES = (".geojsonl", ".geojsons", ".geojsonseq", ".jsonl", ".ndjson")
_LAYERED = (".gpkg", ".zip")
_POLYGON = 3  # shapely's type id
_SPARE = 0.001  # of a grid's width and height
SUFFIXES = (
    ".geojson", ".json", *LINES, ".gpkg", ".shp", ".zip", ".fgb", ".parquet", ".geoparquet", ".csv", ".osm", ".osm.pbf",
)  # fmt: skip
Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Footprints:
    """The polygons of a vector file."""

    polygons: np.ndarray  # (n,) valid, two-dimensional shapely polygons in ``crs``
    features: np.ndarray  # (n,) int, the index from 0 of the feature that each comes from
    crs: CRS | None
    repaired: int  # features that were mended, as asked for

    def __len__(self) -> int:
        return len(self.polygons)


class Part(NamedTuple):
    """Some of a file's polygons."""

    polygons: np.ndarray  # (n,)
    features: np.ndarray  # (n,)
    repaired: int  # features mended
    removed: int  # features of which nothing was left


def read_footprints(
    path: Path, *, layer: str | None = None, repair: bool = False, footprints_crs: str | None = None
) -> tuple[list[shapely.Polygon], CRS | None]:
    """Polygons (multi-polygons taken apart) and CRS of a vector file; points, lines and empty shapes are left out.

    See ``load_footprints`` for the formats, the options and the errors.
    """
    found = load_footprints(path, layer=layer, repair=repair, footprints_crs=footprints_crs)
    return list(found.polygons), found.crs


def load_footprints(
    path: Path,
    *,
    layer: str | None = None,
    repair: bool = False,
    within: Bounds | Grid | None = None,
    footprints_crs: str | None = None,
) -> Footprints:
    """The polygons of a vector file, each with its feature.

    Read are GeoJSON (a document, or a feature a line), GeoPackage, Shapefile (also zipped), FlatGeobuf, GeoParquet, CSV with WKT
    (Google's Open Buildings), and OpenStreetMap's .osm, .osm.pbf and Overpass JSON, of which buildings are taken; text also
    packed with gzip or bzip2. ``layer`` names one of several layers. With ``within``, bounds in the file's CRS or a grid in any,
    only polygons are kept whose bounds meet it. Heights are dropped. ``footprints_crs`` states the CRS that they are in, as
    EPSG:32633, where the file names none or a wrong one. Longitudes on both sides of the antimeridian go on beyond 180.

    Raises ``DataError`` when the file cannot be read, or not by its permissions, when a polygon is unclosed or crosses itself (with
    its feature's index, from 0, and the place), when one is wider than a building can be, and when coordinates are no degrees or
    exchanged. With ``repair`` such polygons are mended by
    ``shapely.make_valid``, and a warning counts them. Raises ``ConfigError`` when a package is missing that the format needs.
    """
    path = Path(path)
    try:
        return _load(path, layer=layer, repair=repair, within=within, footprints_crs=footprints_crs)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check its name, its permissions and the disk.") from error


def _load(path: Path, *, layer: str | None, repair: bool, within: Bounds | Grid | None, footprints_crs: str | None) -> Footprints:
    source = _open(path, layer=layer, repair=repair)
    crs = file_crs(path, source, footprints_crs)
    bounds = bounds_of(within, crs)
    parts = [Part(np.empty(0, object), np.empty(0, np.int64), 0, 0)]
    degrees = Degrees(crs)
    for chunk in source.chunks:
        part = valid_polygons(path, chunk, source.name, repair=repair)
        degrees.see(part.polygons, part.features)
        parts.append(_meeting(part, bounds, crs))
    degrees.refuse(path, crs, source.name, stated=footprints_crs is not None)
    repaired, removed = sum(part.repaired for part in parts), sum(part.removed for part in parts)
    if repaired:
        gone = f"; of {removed} of them nothing was left" if removed else ""
        warnings.warn(f"{path}: {repaired} footprints were not valid and have been mended{gone}.", stacklevel=3)
    polygons, features = (np.concatenate([part[column] for part in parts]) for column in (0, 1))
    polygons = unwrapped(polygons, crs, within if isinstance(within, tuple) else None)
    refuse_widest(path, polygons, features, crs, source.name)
    return Footprints(polygons, features, crs, repaired)


def file_crs(path: Path, source: Source, stated: str | None) -> CRS | None:
    """The CRS of the coordinates: the one that was stated, else the file's."""
    if stated is None:
        if source.why_no_crs:
            raise DataError(f"{path}: its CRS cannot be read ({source.why_no_crs}). {STATE_IT}.")
        return source.crs
    crs = crs_asked(stated)
    if source.crs not in (None, WGS84, crs):
        warnings.warn(
            f"{path}: names {crs_name(source.crs)} itself; it is read as {crs_name(crs)}, as --footprints-crs says.", stacklevel=4
        )
    return crs


def suffix_of(path: Path) -> str:
    """The suffix that says the format: lower case, without that of a packer."""
    path = Path(path)
    packed = path.suffix.lower() in (".gz", ".bz2")
    return (path.with_suffix("") if packed else path).suffix.lower()


def is_footprints(path: Path) -> bool:
    """Whether a file's name is one of footprints rather than of a raster."""
    return suffix_of(path) in (*SUFFIXES, ".pbf")


def require_readable(path: Path) -> None:
    """Raise ``DataError`` where there is no file, or its name is not one of a format that is read."""
    suffix = suffix_of(path)
    if not path.exists():
        raise DataError(no_such_file(path))
    refuse_foreign(path)
    if suffix not in (*SUFFIXES, ".pbf"):
        raise DataError(f"{path}: footprints are read as {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise DataError(f"{path}: is no file; name the file with the footprints.")
    if suffix in (".zip", ".gpkg", ".shp", ".fgb", ".pbf") and suffix != path.suffix.lower():
        raise DataError(f"{path}: unpack it first; only text formats are read packed.")


def _open(path: Path, *, layer: str | None, repair: bool) -> Source:
    suffix = suffix_of(path)
    require_readable(path)
    if layer is not None and suffix not in _LAYERED:
        raise ConfigError(f"{path}: --layer chooses a layer of a GeoPackage or of a .zip; this file has none to choose from.")
    if suffix in (".geojson", ".json", ".osm", ".csv"):
        refuse_content(path)
    if suffix in (".geojson", ".json"):
        return read_document(path, repair=repair)
    if suffix in LINES:
        return read_lines(path, repair=repair)
    if suffix == ".csv":
        return read_table(path, repair=repair)
    if suffix in (".parquet", ".geoparquet"):
        return read_parquet(path, repair=repair)
    if suffix == ".osm":
        return read_osm(path)
    from orthoforge.vectors.containers import read_container, read_zip  # with pandas, where that is installed: a second, 70 MB

    if suffix == ".zip":
        return read_zip(path, layer=layer, repair=repair)
    if suffix == ".gpkg":
        return read_geopackage(path, layer=layer, repair=repair)
    return read_container(path, repair=repair)


def bounds_of(within: Bounds | Grid | None, crs: CRS | None) -> Bounds | None:
    """``within`` in the CRS of a file's coordinates."""
    if not isinstance(within, Grid):
        return within
    if not (within.crs and crs):
        return within.bounds
    left, bottom, right, top = bounds_in(within.bounds, within.crs, crs)
    # A straight edge of the grid is curved in the other CRS and is followed at some points only.
    wide, high = _SPARE * (right - left), _SPARE * (top - bottom)
    return left - wide, bottom - high, right + wide, top + high


def valid_polygons(path: Path, chunk: Chunk, name: Callable[[int], str], *, repair: bool) -> Part:
    """The chunk's polygons, taken apart and valid."""
    polygons, origin = _parts(chunk.geometries)
    features = chunk.features[origin]
    mended = set(chunk.features[chunk.mended].tolist())
    refuse_many_rings(path, polygons, lambda index: name(int(features[index])))
    broken = np.flatnonzero(~shapely.is_valid(polygons))
    if broken.size:
        first = int(broken[0])
        if not repair or not np.isfinite(shapely.get_coordinates(polygons[broken])).all():
            more = f" (and {broken.size - 1} more after it)" if broken.size > 1 else ""
            raise DataError(
                f"{path}: {name(int(features[first]))} is no valid polygon: {shapely.is_valid_reason(polygons[first])}{more}. "
                f"Mend it{'' if repair else ', pass --repair'}, or remove it."
            )
        refuse_tangles(path, polygons[broken], lambda index: name(int(features[broken[index]])))
        mended |= set(features[broken].tolist())
        pieces, owner = _parts(shapely.make_valid(polygons[broken], method="structure", keep_collapsed=False))
        sound = np.delete(np.arange(len(polygons)), broken)
        polygons = np.concatenate([polygons[sound], pieces])
        features = np.concatenate([features[sound], features[broken][owner]])
        order = np.argsort(features, kind="stable")
        polygons, features = polygons[order], features[order]
    return Part(polygons, features, len(mended), len(mended - set(features.tolist())))


def _parts(geometries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The polygons in geometries of any kind, and the position of the geometry that each comes from. Empty ones are left out."""
    origin = np.arange(len(geometries))
    parts = geometries
    while len(parts) and (shapely.get_type_id(parts) > _POLYGON).any():  # a collection may hold multi-polygons
        parts, index = shapely.get_parts(parts, return_index=True)
        origin = origin[index]
    kept = (shapely.get_type_id(parts) == _POLYGON) & ~shapely.is_empty(parts)
    return shapely.force_2d(parts[kept]), origin[kept]


def _meeting(part: Part, bounds: Bounds | None, crs: CRS | None) -> Part:
    if bounds is None or not len(part.polygons):
        return part
    near = meeting(part.polygons, bounds, crs)
    return part._replace(polygons=part.polygons[near], features=part.features[near])


def meeting(shapes: np.ndarray, bounds: Bounds | None, crs: CRS | None) -> np.ndarray:
    """(n,) bool: whose bounds meet ``bounds``, in their CRS."""
    if bounds is None:
        return np.ones(len(shapes), bool)
    left, bottom, right, top = shapely.bounds(shapes).T
    west, east = bounds[0], bounds[2]
    beside = (left < east) & (right > west)
    if crs and crs.is_geographic and (west > east or east > 180):  # across the antimeridian
        beside = (right > west) | (left < (east if west > east else east - 360))
    return np.asarray(beside & (bottom < bounds[3]) & (top > bounds[1]))
