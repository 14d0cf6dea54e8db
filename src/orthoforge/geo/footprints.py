"""Building footprints as vector files, and as masks."""

import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import shapely
from pyogrio.errors import DataSourceError
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.features import rasterize
from shapely.geometry import shape

from orthoforge.errors import DataError
from orthoforge.files import new_file
from orthoforge.geo.grid import Grid

_DRIVERS = {".geojson": "GeoJSON", ".json": "GeoJSON", ".gpkg": "GPKG"}
_LAYER = "footprints"


def write_footprints(path: Path, polygons: Sequence[shapely.Polygon], crs: CRS | None, *, overwrite: bool = False) -> None:
    """Write polygons to GeoJSON or GeoPackage, by suffix. GeoJSON keeps the CRS in its ``crs`` member, as GDAL does."""
    driver = _driver_of(path)
    with new_file(path, overwrite=overwrite) as partial, warnings.catch_warnings():
        # GDAL minds that the temporary name does not end in .gpkg, pyogrio that a drawing may have no CRS.
        warnings.simplefilter("ignore")
        pyogrio.raw.write(
            partial,
            geometry=shapely.to_wkb(np.asarray(polygons, dtype=object)),
            field_data=[],
            fields=[],
            driver=driver,
            layer=_LAYER,  # else the temporary name, and GeoPackage refuses its dots
            geometry_type="Polygon",
            crs=crs.to_wkt() if crs else None,
        )


def read_footprints(path: Path) -> tuple[list[shapely.Polygon], CRS | None]:
    """Polygons (multi-polygons taken apart) and CRS of a vector file; points, lines and empty shapes are left out.

    Raises ``DataError`` when the file cannot be read, when a polygon is unclosed or crosses itself (with its feature's
    index, from 0), and when longitude and latitude are swapped.
    """
    path = Path(path)
    driver = _driver_of(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    features, crs = _read_geojson(path) if driver == "GeoJSON" else _read_geopackage(path)
    polygons = []
    for index, geometry in features:
        for part in shapely.get_parts(geometry):
            if not isinstance(part, shapely.Polygon) or part.is_empty:
                continue
            if not part.is_valid:
                reason = shapely.is_valid_reason(part)
                raise DataError(f"{path}: feature {index} is no valid polygon: {reason}. Mend it, or remove it.")
            polygons.append(part)
    if crs and crs.is_geographic and polygons:
        _, south, _, north = shapely.total_bounds(polygons)
        if south < -90 or north > 90:
            raise DataError(
                f"{path}: latitudes run from {south:.5g} to {north:.5g}. Longitude and latitude seem to be swapped; "
                "longitude comes first."
            )
    return polygons, crs


def rasterize_footprints(polygons: Sequence[shapely.Polygon], grid: Grid) -> np.ndarray:
    """Mask (H, W) uint8, 255 where a pixel's centre lies inside a polygon. Polygons are in the grid's CRS.

    Raises ``DataError`` when none touches the grid, but would with longitude and latitude exchanged.
    """
    shape_px = (grid.height, grid.width)
    if not polygons:
        return np.zeros(shape_px, np.uint8)
    if grid.crs and grid.crs.is_geographic:
        left, bottom, right, top = grid.bounds
        ground = shapely.box(left, bottom, right, top)
        exchanged = shapely.box(bottom, left, top, right)
        if not shapely.intersects(ground, polygons).any() and shapely.intersects(exchanged, polygons).any():
            raise DataError(
                f"none of the {len(polygons)} footprints lies in the scene, but they would with longitude and latitude "
                "exchanged. Longitude comes first."
            )
    return rasterize(polygons, out_shape=shape_px, transform=grid.transform, fill=0, default_value=255, dtype=np.uint8)


def _read_geojson(path: Path) -> tuple[Iterator[tuple[int, Any]], CRS | None]:
    """Numbered geometries and CRS. Read without GDAL, which would follow other formats behind the suffix to other files."""
    try:
        document = json.loads(path.read_bytes())
        named = (document.get("crs") or {}).get("properties", {}).get("name")
        crs = _crs_from(named or "EPSG:4326")
        kind = document["type"]
        features = document["features"] if kind == "FeatureCollection" else [document]
        geometries = [feature["geometry"] if feature["type"] == "Feature" else feature for feature in features]
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError, CRSError) as error:
        raise DataError(f"{path}: not a readable GeoJSON file ({type(error).__name__}: {error}).") from error

    def shapes() -> Iterator[tuple[int, Any]]:
        for index, geometry in enumerate(geometries):
            if geometry is None:
                continue
            try:
                _require_closed(geometry)
                yield index, shape(geometry)
            except (ValueError, KeyError, AttributeError, TypeError, IndexError, shapely.errors.ShapelyError) as error:
                raise DataError(f"{path}: feature {index} is no valid geometry: {error}. Mend it, or remove it.") from error

    return shapes(), crs


def _require_closed(geometry: dict[str, Any]) -> None:
    """``ValueError`` for a ring whose last point is not its first; shapely would close it silently."""
    coordinates = geometry.get("coordinates") or []
    polygons = {"Polygon": [coordinates], "MultiPolygon": coordinates}
    for rings in polygons.get(geometry["type"], []):
        for ring in rings:
            if ring and ring[0] != ring[-1]:
                raise ValueError(f"its ring is not closed: it starts at {ring[0]} and ends at {ring[-1]}")


def _read_geopackage(path: Path) -> tuple[Iterator[tuple[int, Any]], CRS | None]:
    with open(path, "rb") as file:
        if not file.read(16).startswith(b"SQLite format 3"):
            raise DataError(f"{path}: not a GeoPackage. Copy or export it again.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters to GDAL about a readable file does not matter here
            meta, _, wkb, _ = pyogrio.raw.read(path, columns=[])
    except DataSourceError as error:
        raise DataError(f"{path}: footprints cannot be read: {error}") from error
    crs = _crs_from(meta["crs"]) if meta["crs"] else None

    def shapes() -> Iterator[tuple[int, Any]]:
        for index, geometry in enumerate(wkb):
            if geometry is None:
                continue
            try:
                yield index, shapely.from_wkb(geometry)
            except shapely.errors.ShapelyError as error:
                raise DataError(f"{path}: feature {index} is no valid geometry: {error}. Mend it, or remove it.") from error

    return shapes(), crs


def _crs_from(text: str) -> CRS:
    """The CRS, by its EPSG code where it has one, so that it equals the same CRS of a raster."""
    crs = CRS.from_user_input(text)
    if crs.to_authority() == ("OGC", "CRS84"):  # what GDAL calls EPSG:4326 in GeoJSON: longitude first, as everywhere here
        return CRS.from_epsg(4326)
    return CRS.from_epsg(epsg) if (epsg := crs.to_epsg()) else crs


def _driver_of(path: Path) -> str:
    driver = _DRIVERS.get(Path(path).suffix.lower())
    if driver is None:
        raise DataError(f"{path}: footprints are read and written as .geojson or .gpkg.")
    return driver
