"""Building footprints as vector files, and as masks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyogrio.raw
import shapely
from pyogrio.errors import DataSourceError
from rasterio.crs import CRS
from rasterio.features import rasterize

from orthoforge.errors import DataError
from orthoforge.files import new_file
from orthoforge.geo.grid import Grid

_DRIVERS = {".geojson": "GeoJSON", ".json": "GeoJSON", ".gpkg": "GPKG"}


def write_footprints(path: Path, polygons: Sequence[shapely.Polygon], crs: CRS | None, *, overwrite: bool = False) -> None:
    """Write polygons to GeoJSON or GeoPackage, by suffix. GeoJSON keeps the CRS in its ``crs`` member, as GDAL does."""
    driver = _driver_of(path)
    with new_file(path, overwrite=overwrite) as partial:
        pyogrio.raw.write(
            partial,
            geometry=shapely.to_wkb(np.asarray(polygons, dtype=object)),
            field_data=[],
            fields=[],
            driver=driver,
            geometry_type="Polygon",
            crs=crs.to_wkt() if crs else None,
        )


def read_footprints(path: Path) -> tuple[list[shapely.Polygon], CRS | None]:
    """Polygons (multi-polygons taken apart) and CRS of a vector file. ``DataError`` when it cannot be read."""
    _driver_of(path)
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file.")
    try:
        meta, _, wkb, _ = pyogrio.raw.read(path, columns=[])
    except DataSourceError as error:
        raise DataError(f"{path}: footprints cannot be read: {error}") from error
    parts = [part for geometry in shapely.from_wkb(wkb) if geometry is not None for part in shapely.get_parts(geometry)]
    crs = CRS.from_user_input(meta["crs"]) if meta["crs"] else None
    return [part for part in parts if isinstance(part, shapely.Polygon)], crs


def rasterize_footprints(polygons: Sequence[shapely.Polygon], grid: Grid) -> np.ndarray:
    """Mask (H, W) uint8, 255 where a pixel's centre lies inside a polygon. Polygons are in the grid's CRS."""
    shape = (grid.height, grid.width)
    if not polygons:
        return np.zeros(shape, np.uint8)
    return rasterize(polygons, out_shape=shape, transform=grid.transform, fill=0, default_value=255, dtype=np.uint8)


def _driver_of(path: Path) -> str:
    driver = _DRIVERS.get(Path(path).suffix.lower())
    if driver is None:
        raise DataError(f"{path}: footprints are read and written as .geojson or .gpkg.")
    return driver
