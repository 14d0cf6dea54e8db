"""Polygons written to GeoJSON, GeoPackage or GeoParquet."""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import shapely
from rasterio.crs import CRS

from orthoforge.errors import DataError
from orthoforge.files import new_file
from orthoforge.vectors.limits import require_name
from orthoforge.vectors.parquet import write_parquet

_DRIVERS = {".geojson": "GeoJSON", ".json": "GeoJSON", ".gpkg": "GPKG", ".parquet": "Parquet", ".geoparquet": "Parquet"}
_LAYER = "footprints"


def write_footprints(
    path: Path, polygons: Sequence[shapely.Polygon] | np.ndarray, crs: CRS | None, *, overwrite: bool = False
) -> None:
    """Write polygons to GeoJSON, GeoPackage or GeoParquet, by suffix.

    GeoJSON keeps the coordinates and names their CRS in its ``crs`` member, which GDAL and QGIS read; RFC 7946 knows only degrees.
    Raises ``DataError`` for another suffix and ``ConfigError`` when GeoParquet's package is missing.
    """
    path = Path(path)
    driver = driver_of(path)
    require_name(path)
    table = np.empty(len(polygons), object)
    table[:] = polygons
    with new_file(path, overwrite=overwrite) as partial:
        if driver == "Parquet":
            write_parquet(partial, path, table, crs)
            return
        import pyogrio.raw  # with pandas, where that is installed: a second, 70 MB

        # GDAL minds that the temporary name does not end in .gpkg, pyogrio that a drawing may have no CRS.
        with warnings.catch_warnings(action="ignore"):
            pyogrio.raw.write(
                partial,
                geometry=shapely.to_wkb(table),
                field_data=[],
                fields=[],
                driver=driver,
                layer=_LAYER,  # else the temporary name, and GeoPackage refuses its dots
                geometry_type="Polygon",
                crs=crs.to_wkt() if crs else None,
            )


def write_map(
    path: Path,
    shapes: Sequence[shapely.Geometry] | np.ndarray,
    tags: Sequence[Mapping[str, str]],
    crs: CRS | None,
    *,
    overwrite: bool = False,
) -> None:
    """Write areas, lines and points with their tags to GeoJSON, which names its CRS as that of ``write_footprints`` does."""
    decimals = 9 if crs is None or crs.is_geographic else 3
    features = [
        {"type": "Feature", "properties": dict(about), "geometry": json.loads(shapely.to_geojson(shape))}
        for shape, about in zip(shapely.set_precision(shapes, 10.0**-decimals, mode="pointwise"), tags, strict=True)
    ]
    epsg = crs.to_epsg() if crs else None
    named = {"crs": {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{epsg}"}}} if epsg else {}
    with new_file(path, overwrite=overwrite) as partial:
        partial.write_text(json.dumps({"type": "FeatureCollection", **named, "features": features}) + "\n", encoding="utf-8")


def driver_of(path: Path) -> str:
    """The format that a suffix asks for. ``DataError`` when footprints are not written so."""
    driver = _DRIVERS.get(Path(path).suffix.lower())
    if driver is None:
        raise DataError(f"{path}: footprints are written as .geojson, .gpkg or .parquet.")
    return driver
