"""A STAC Item beside an image: where it lies, what made it, and the checksum of its file, for catalogues of images.

STAC 1.1 (https://github.com/radiantearth/stac-spec) with the extensions projection 2.0, file 2.1 and processing 1.2.
"""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from rasterio.crs import CRS
from rasterio.warp import transform as transform_points
from shapely import affinity
from shapely.geometry import MultiPolygon, Polygon, box, mapping
from shapely.geometry.polygon import orient

from orthoforge.errors import DataError
from orthoforge.files import new_file, sha256_of
from orthoforge.geo.grid import Grid
from orthoforge.geo.rasters import GDAL_ERRORS

EXTENSIONS = {
    "proj": "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "file": "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "processing": "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
}
MEDIA_TYPES = {
    ".tif": "image/tiff; application=geotiff; profile=cloud-optimized",
    ".tiff": "image/tiff; application=geotiff; profile=cloud-optimized",
    ".png": "image/png",
}
# Multihash: 0x12 is SHA2-256, 0x20 its 32 bytes.
_SHA2_256 = "1220"
# Straight edges of a projected grid are curves in degrees. With 20 pieces the edge of a 100 km scene is off by less than a metre.
_EDGE_PIECES = 20
# A tenth of a millimetre on the ground.
_DECIMALS = 9


def write_stac_item(
    path: Path, grid: Grid, *, tags: Mapping[str, str], created: datetime | None = None, overwrite: bool = False
) -> Path:
    """Write the STAC Item of the image ``path`` beside it, as ``NAME.json``, and return its path.

    ``tags`` are the image's own: those that say that it is synthetic, and from which model, recipe and seed, go into the item's
    properties. ``created`` (with a time zone) is now unless given; all else follows from the image. Without a CRS, or with one that
    has no place on Earth, the item has no geometry. Raises ``DataError`` for a missing image, and what ``new_file`` raises.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file; a STAC item describes an image that is there.")
    out = path.with_suffix(".json")
    content = json.dumps(stac_item(path, grid, tags=tags, created=created or datetime.now(UTC)), indent=1, ensure_ascii=False)
    with new_file(out, overwrite=overwrite) as partial:
        partial.write_text(content + "\n", encoding="utf-8")
    return out


def stac_item(path: Path, grid: Grid, *, tags: Mapping[str, str], created: datetime) -> dict[str, object]:
    """The STAC Item of the image ``path`` as JSON's own types."""
    assert created.tzinfo is not None, created
    outline = footprint(grid)
    provenance = _provenance(tags)
    used = [name for name in EXTENSIONS if name != "processing" or "processing:software" in provenance]
    item: dict[str, object] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [EXTENSIONS[name] for name in used],
        "id": path.stem,
        "geometry": None if outline is None else _plain(mapping(outline)),
    }
    if outline is not None:
        item["bbox"] = _bbox(outline)
    when = created.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    item["properties"] = {"datetime": when} | _ground(grid) | provenance
    item["links"] = []
    item["assets"] = {
        "image": {
            "href": f"./{path.name}",
            "type": MEDIA_TYPES[path.suffix.lower()],
            "title": f"Synthetic image {path.stem}" if tags.get("SYNTHETIC") == "YES" else path.stem,
            "roles": ["data"],
            "bands": [{"name": name, "data_type": "uint8"} for name in ("red", "green", "blue")],
            "file:size": path.stat().st_size,
            "file:checksum": _SHA2_256 + sha256_of(path),
        }
    }
    return item


def footprint(grid: Grid) -> Polygon | MultiPolygon | None:
    """The grid's outline in longitude and latitude on WGS 84, counter-clockwise; in two parts when it crosses the antimeridian.

    ``None`` without a CRS, or when the CRS has no known place on Earth.
    """
    if grid.crs is None:
        return None
    steps = [piece / _EDGE_PIECES for piece in range(_EDGE_PIECES)]
    ring = [(0.0, s) for s in steps] + [(s, 1.0) for s in steps] + [(1.0, 1 - s) for s in steps] + [(1 - s, 0.0) for s in steps]
    points = [grid.transform @ (col * grid.width, row * grid.height) for col, row in ring]
    xs, ys = zip(*points, strict=True)
    try:
        lons, lats = transform_points(grid.crs, CRS.from_epsg(4326), xs, ys)
    except GDAL_ERRORS:
        return None
    if not all(map(math.isfinite, [*lons, *lats])):
        return None
    crosses = max(lons) - min(lons) > 180
    shifted = [lon + 360 if crosses and lon < 0 else lon for lon in lons]
    outline = Polygon([(round(lon, _DECIMALS), round(lat, _DECIMALS)) for lon, lat in zip(shifted, lats, strict=True)])
    if not crosses:
        return orient(outline)
    west = outline.intersection(box(0, -90, 180, 90))
    east = affinity.translate(outline.intersection(box(180, -90, 360, 90)), -360)
    assert isinstance(west, Polygon) and isinstance(east, Polygon), grid
    return MultiPolygon([orient(west), orient(east)])


def _bbox(outline: Polygon | MultiPolygon) -> list[float]:
    """West, south, east, north; across the antimeridian west is larger than east (RFC 7946, 5.2)."""
    west, south, east, north = outline.bounds
    if isinstance(outline, MultiPolygon):
        west, east = outline.geoms[0].bounds[0], outline.geoms[1].bounds[2]
    return [west, south, east, north]


def _ground(grid: Grid) -> dict[str, object]:
    """``gsd`` and the projection extension's fields."""
    gsd_m = grid.gsd_m()
    fields: dict[str, object] = {} if gsd_m is None else {"gsd": float(f"{gsd_m:.6g}")}
    epsg = grid.crs.to_epsg() if grid.crs else None
    fields["proj:code"] = f"EPSG:{epsg}" if epsg else None
    if grid.crs is None:
        return fields | {"proj:shape": [grid.height, grid.width]}
    if not epsg:
        fields["proj:wkt2"] = grid.crs.to_wkt(version="WKT2_2019")
    left, bottom, right, top = grid.bounds
    return fields | {
        "proj:shape": [grid.height, grid.width],
        "proj:transform": list(grid.transform)[:6],
        "proj:bbox": [left, bottom, right, top],
    }


def _provenance(tags: Mapping[str, str]) -> dict[str, object]:
    """What the image's tags say of its origin. STAC has no words for a generator, so they have this package's prefix."""
    fields: dict[str, object] = {"synthetic": tags.get("SYNTHETIC") == "YES"}
    software, _, version = tags.get("SOFTWARE", "").partition(" ")
    if software:
        fields["processing:software"] = {software: version}
    names = {
        "DIGITAL_SOURCE_TYPE": "digital_source_type", "MODEL_SHA256": "model_sha256", "MODEL_RECIPE": "recipe",
        "MODEL_STEP": "model_step", "SEED": "seed", "SOURCE_ATTRIBUTION": "attribution",
    }  # fmt: skip
    return fields | {f"orthoforge:{name}": tags[tag] for tag, name in names.items() if tag in tags}


def _plain(geometry: Mapping[str, object]) -> dict[str, object]:
    """Lists where shapely has tuples."""
    return json.loads(json.dumps(geometry))
