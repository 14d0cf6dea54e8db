"""GeoParquet (https://geoparquet.org/releases/v1.1.0/), read and written with pyarrow, which is an optional package."""

import importlib
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from rasterio.crs import CRS

from orthoforge.errors import ConfigError, DataError
from orthoforge.vectors.attributes import OTHER_TAGS, tags_of
from orthoforge.vectors.chunks import CHUNK_FEATURES, Chunk, Source, Tags, chunk_from_wkb
from orthoforge.vectors.json_stream import JsonObject
from orthoforge.vectors.limits import FREE_BYTES, MAX_FEATURE_BYTES, MAX_RATIO, first_bytes, require_utf8, shown
from orthoforge.vectors.places import WGS84, crs_from

_MAGIC = b"PAR1"
# Of attributes; lists and records say nothing that a style asks for.
_PLAIN_TYPES = {"string", "large_string", "string_view", "bool", "int8", "int16", "int32", "int64", "float", "double"}
# Of geometries, unpacked. Writers end a row group at 1 MB to 128 MB.
_MOST_GROUP_BYTES = 512 * 2**20


def read_parquet(path: Path, *, repair: bool, keys: Collection[str] | None = None) -> Source:
    """The primary geometry column of a GeoParquet file, row group by row group, and the columns called as one of ``keys``."""
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
    wanted = (*keys, OTHER_TAGS) if keys is not None else ()
    beside = [
        field.name
        for field in table.schema_arrow
        if field.name.lower() in wanted and field.name != column and str(field.type) in _PLAIN_TYPES
    ]
    for name in (column, *beside):
        _refuse_large(path, table, name, "geometries" if name == column else f"text in its column {shown(name)}")
    # One copy of a shape that is there many times.
    table = parquet.ParquetFile(path, read_dictionary=[column, *beside])
    return Source(crs, _chunks(path, table, column, beside, arrow, repair=repair, keys=keys), why_no_crs=why_no_crs)


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


def _refuse_large(path: Path, table: Any, column: str, what: str) -> None:
    """``DataError`` for a row group of which a column would take more memory, unpacked, than they should."""
    for number in range(table.metadata.num_row_groups):
        group = table.metadata.row_group(number)
        parts = (group.column(index) for index in range(group.num_columns))
        size = sum(part.total_uncompressed_size for part in parts if part.path_in_schema.split(".")[0] == column)
        if size > _MOST_GROUP_BYTES:
            raise DataError(
                f"{path}: row group {number} holds {size >> 20} MB of {what}; {_MOST_GROUP_BYTES >> 20} MB are the most. Write "
                "the file with smaller row groups."
            )


def _shapes(path: Path, values: Any, first: int) -> tuple[np.ndarray, int]:
    """The shapes of a batch as an array of bytes, ``None`` where there is none, and how many bytes they are in all."""
    compute = importlib.import_module("pyarrow.compute")
    values = getattr(values, "storage", values)
    if not hasattr(values, "dictionary"):
        values = values.dictionary_encode()
    places = values.indices.fill_null(len(values.dictionary)).to_numpy()
    sizes = np.append(compute.binary_length(values.dictionary).fill_null(0).to_numpy(zero_copy_only=False), 0)[places]
    if (large := np.flatnonzero(sizes > MAX_FEATURE_BYTES)).size:
        raise DataError(
            f"{path}: feature {first + int(large[0])} has {sizes[large[0]] >> 20} MB; {MAX_FEATURE_BYTES >> 20} MB are the most. "
            "Split it into polygons, or remove it."
        )
    shapes = np.empty(len(values.dictionary) + 1, object)
    shapes[:-1] = values.dictionary.to_pylist()
    return shapes[places], int(sizes.sum())


def _chunks(
    path: Path, table: Any, column: str, beside: list[str], arrow: Any, *, repair: bool, keys: Collection[str] | None
) -> Iterator[Chunk]:
    first, unpacked = 0, 0
    most = max(FREE_BYTES, MAX_RATIO * path.stat().st_size)
    try:
        for batch in table.iter_batches(batch_size=CHUNK_FEATURES, columns=[column, *beside]):
            wkb, size = _shapes(path, batch.column(column), first)
            tags = [] if keys is None else _tags(batch, beside, keys, len(wkb))
            unpacked += size
            if unpacked > most:
                raise DataError(f"{path}: unpacks to more than {MAX_RATIO} times its size, which no footprints do.")
            yield chunk_from_wkb(path, wkb, first, repair=repair, name="feature {}".format, tags=tags)
            first += len(wkb)
    except (arrow.ArrowException, OSError) as error:
        raise DataError(
            f"{path}: row group near feature {first} cannot be read: {shown(error)}. Copy or download it again."
        ) from error


def _tags(batch: Any, beside: list[str], keys: Collection[str], count: int) -> list[Tags]:
    columns = [_values(batch.column(name)) for name in beside]
    rows = zip(*columns, strict=True) if columns else ((),) * count
    return [tags_of(dict(zip(beside, row, strict=True)), keys) for row in rows]


def _values(column: Any) -> list[object]:
    """One copy of a text that is there many times."""
    if not hasattr(column, "dictionary"):
        return list(column.to_pylist())
    texts = [*column.dictionary.to_pylist(), None]
    return [texts[index] for index in column.indices.fill_null(len(texts) - 1).to_pylist()]


def _pyarrow(path: Path) -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ConfigError(
            f"{path}: GeoParquet needs the package pyarrow. Install it with: pip install 'orthoforge[parquet]' "
            "(or use GeoPackage, which needs nothing)."
        ) from None
