"""Map layers out of any vector file: areas, lines and points with what they say of themselves."""

import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from rasterio.crs import CRS

from orthoforge.errors import DataError
from orthoforge.geo.grid import Grid
from orthoforge.vectors.chunks import Chunk, Source, Tags
from orthoforge.vectors.complexity import refuse_tangled_lines
from orthoforge.vectors.foreign import refuse_content
from orthoforge.vectors.geojson import read_document, read_lines
from orthoforge.vectors.geopackage import read_tables
from orthoforge.vectors.osm import read_osm
from orthoforge.vectors.parquet import read_parquet
from orthoforge.vectors.places import WGS84
from orthoforge.vectors.plausible import Degrees
from orthoforge.vectors.reading import LINES, bounds_of, file_crs, meeting, require_readable, suffix_of, valid_polygons
from orthoforge.vectors.tables import read_table

POINT, LINE, AREA = 0, 1, 3
"""Kinds of shapes, as shapely numbers them."""
_MULTI = 3


@dataclass(frozen=True)
class Shapes:
    """Some of a layer's shapes, each with its feature's tags."""

    layer: str
    """Name of the layer, or of the file where that has one alone."""
    crs: CRS | None
    shapes: np.ndarray
    """(n,) points, lines and valid polygons of two dimensions."""
    tags: list[Tags]
    features: np.ndarray
    """(n,) int, the index from 0 of the feature in its layer that each comes from."""

    def __len__(self) -> int:
        return len(self.shapes)


def read_shapes(
    path: Path, keys: Collection[str], *, within: Grid | None = None, repair: bool = False, stated_crs: str | None = None
) -> Iterator[Shapes]:
    """All shapes of all layers of a vector file, some at a time, with those of their tags that are among ``keys`` (lower case).

    Formats, hostile files and the meaning of ``repair`` are those of ``load_footprints``; a file of footprints has polygons alone,
    this one lines and points too. ``within`` leaves out what does not meet a grid. ``stated_crs`` is the CRS of the coordinates
    where the file names none or a wrong one. Raises ``DataError`` for what cannot be read, with the feature; ``ConfigError`` for a
    CRS that is none, or a package that is missing.
    """
    path = Path(path)
    try:
        for name, source in _layers(path, keys, repair=repair, within=within):
            crs = file_crs(path, source, stated_crs)
            degrees = Degrees(crs)
            bounds, repaired = bounds_of(within, crs), 0
            for chunk in source.chunks:
                shapes, features, tags, mended = _simple(path, chunk, source, repair=repair)
                repaired += mended
                degrees.see(shapes, features)
                near = meeting(shapes, bounds, crs) if len(shapes) else np.zeros(0, bool)
                kept = np.flatnonzero(near).tolist()
                if kept:
                    yield Shapes(name, crs, shapes[near], [tags[index] for index in kept], features[near])
            degrees.refuse(path, crs, source.name, stated=stated_crs is not None)
            if repaired:
                warnings.warn(f"{path}: {repaired} areas were not valid and have been mended.", stacklevel=2)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check its name, its permissions and the disk.") from error


def _layers(path: Path, keys: Collection[str], *, repair: bool, within: Grid | None) -> list[tuple[str, Source]]:
    """The layers of a file by name."""
    suffix = suffix_of(path)
    require_readable(path)
    if suffix == ".gpkg":
        return read_tables(path, keys, repair=repair)
    from orthoforge.vectors.containers import read_container_layers, read_zip_layers  # see ``reading``

    if suffix == ".zip":
        return read_zip_layers(path, keys, repair=repair)
    if suffix in (".shp", ".fgb", ".pbf", ".osm.pbf"):
        place = bounds_of(within, WGS84) if within is not None and within.crs else None
        return read_container_layers(path, keys, repair=repair, within=place)
    name = path.name.split(".")[0]
    if suffix in (".geojson", ".json", ".osm", ".csv"):
        refuse_content(path)
    if suffix in (".geojson", ".json"):
        return [(name, read_document(path, repair=repair, keys=keys))]
    if suffix in LINES:
        return [(name, read_lines(path, repair=repair, keys=keys))]
    if suffix == ".csv":
        return [(name, read_table(path, repair=repair, keys=keys))]
    if suffix in (".parquet", ".geoparquet"):
        return [(name, read_parquet(path, repair=repair, keys=keys))]
    return [(name, read_osm(path, keys))]


def _simple(path: Path, chunk: Chunk, source: Source, *, repair: bool) -> tuple[np.ndarray, np.ndarray, list[Tags], int]:
    """The chunk's shapes taken apart, valid, in the order of the file; the feature of each, its tags, how many were mended."""
    # A feature has one set of tags, whatever it is made of.
    tags_of = dict(zip(chunk.features.tolist(), chunk.tags, strict=True))
    polygons = valid_polygons(path, chunk, source.name, repair=repair)
    others, origin = _lines_and_points(chunk.geometries)
    features = chunk.features[origin]
    if not np.isfinite(shapely.get_coordinates(others)).all():
        bad = next(i for i, shape in enumerate(others) if not np.isfinite(shapely.get_coordinates(shape)).all())
        raise DataError(f"{path}: {source.name(int(features[bad]))} has a coordinate that is no number. Mend it, or remove it.")
    refuse_tangled_lines(path, others, lambda index: source.name(int(features[index])))
    shapes = np.concatenate([polygons.polygons, others])
    features = np.concatenate([polygons.features, features])
    order = np.argsort(features, kind="stable")
    return shapes[order], features[order], [tags_of[feature] for feature in features[order].tolist()], polygons.repaired


def _lines_and_points(geometries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lines and points in geometries of any kind, and the position of the geometry that each comes from."""
    origin = np.arange(len(geometries))
    parts = geometries
    while len(parts) and (shapely.get_type_id(parts) > _MULTI).any():
        parts, index = shapely.get_parts(parts, return_index=True)
        origin = origin[index]
    kinds = shapely.get_type_id(parts)
    kept = (kinds >= POINT) & (kinds < _MULTI) & ~shapely.is_empty(parts)  # a ring, too, is a line
    return shapely.force_2d(parts[kept]), origin[kept]
