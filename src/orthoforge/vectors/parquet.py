"""GeoParquet (https://geoparquet.org/releases/v1.1.0/), read and written with pyarrow, which is an optional package."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from rasterio.crs import CRS

from orthoforge.errors import ConfigError, DataError
from orthoforge.vectors.chunks import CHUNK_FEATURES, Chunk, Source, chunk_from_wkb
from orthoforge.vectors.json_stream import JsonObject
from orthoforge.vectors.limits import first_bytes, require_utf8, shown
from orthoforge.vectors.places import WGS84, crs_from

_MAGIC = b"PAR1"


def read_parquet(path: Path, *, repair: bool) -> Source:
    """The primary geometry column of a GeoParquet file, row group by row group; other columns are not read."""
    require_utf8(path)
    if first_bytes(path, len(_MAGIC)) != _MAGIC:
        raise DataError(f"{path}: not a Parquet file. Copy or export it again.")
    arrow, parquet = _pyarrow(path)
    try:
        table = parquet.ParquetFile(path)
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file: {shown(error)}. Copy or download it again.") from error
    geo = (table.schema_arrow.metadata or {}).get(b"geo")
    if geo is None:
        raise DataError(f"{path}: has no `geo` metadata, so it is Parquet but not GeoParquet. Export it as GeoParquet.")
    try:
        described = json.loads(geo)
        column = described["primary_column"]
        about = described["columns"][column]
        encoding = about["encoding"]
        crs, why_no_crs = _crs(about)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path}: its `geo` metadata cannot be read ({type(error).__name__}: {shown(error)}).") from error
    if encoding != "WKB":
        raise DataError(f"{path}: geometries are encoded as {shown(encoding)}; WKB is read. Export it with that encoding.")
    if column not in table.schema_arrow.names:
        raise DataError(f"{path}: has no column {shown(column)!r}, which its `geo` metadata names.")
    return Source(crs, _chunks(path, table, column, arrow, repair=repair), why_no_crs=why_no_crs)


def write_parquet(partial: Path, path: Path, polygons: np.ndarray, crs: CRS | None) -> None:
    """Polygons as GeoParquet 1.0 with WKB."""
    arrow, parquet = _pyarrow(path)
    about: JsonObject = {"encoding": "WKB", "geometry_types": ["Polygon"], "crs": crs.to_dict(projjson=True) if crs else None}
    if len(polygons):
        about["bbox"] = shapely.total_bounds(polygons).tolist()
    geo = {"version": "1.0.0", "primary_column": "geometry", "columns": {"geometry": about}}
    wkb = arrow.array(shapely.to_wkb(polygons), arrow.binary())
    table = arrow.table({"geometry": wkb}).replace_schema_metadata({"geo": json.dumps(geo)})
    parquet.write_table(table, partial, compression="zstd")


def _crs(about: JsonObject) -> tuple[CRS | None, str]:
    """The CRS, or why it cannot be used. No ``crs`` means longitude and latitude; ``null`` means unknown."""
    if "crs" not in about:
        return WGS84, ""
    try:
        return (crs_from(json.dumps(about["crs"])) if about["crs"] else None), ""
    except ValueError as error:
        return None, shown(error)


def _chunks(path: Path, table: Any, column: str, arrow: Any, *, repair: bool) -> Iterator[Chunk]:
    first = 0
    try:
        for batch in table.iter_batches(batch_size=CHUNK_FEATURES, columns=[column]):
            values = batch.column(0)
            wkb = np.array(getattr(values, "storage", values).to_pylist(), object)
            yield chunk_from_wkb(path, wkb, first, repair=repair, name="feature {}".format)
            first += len(wkb)
    except (arrow.ArrowException, OSError) as error:
        raise DataError(
            f"{path}: row group near feature {first} cannot be read: {shown(error)}. Copy or download it again."
        ) from error


def _pyarrow(path: Path) -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ConfigError(
            f"{path}: GeoParquet needs the package pyarrow. Install it with: pip install 'orthoforge[parquet]' "
            "(or use GeoPackage, which needs nothing)."
        ) from None
