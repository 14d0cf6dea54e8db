"""GeoJSON files of map features, as other programs write them."""

import json
from collections.abc import Iterable
from pathlib import Path

import shapely
from rasterio.crs import CRS


def write_geojson(path: Path, features: Iterable[tuple[shapely.Geometry, dict[str, object]]], crs: CRS | None = None) -> Path:
    """Features with properties; in longitude and latitude without a CRS."""
    body: dict[str, object] = {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "geometry": shape.__geo_interface__, "properties": tags} for shape, tags in features],
    }
    if crs:
        body["crs"] = {"type": "name", "properties": {"name": f"EPSG:{crs.to_epsg()}"}}
    path.write_text(json.dumps(body))
    return path
