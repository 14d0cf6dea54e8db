"""A STAC Item beside an image: where it lies, what made it, and the checksum of its file, for catalogues of images.

STAC 1.1 (https://github.com/radiantearth/stac-spec) with the extensions projection 2.0, file 2.1 and processing 1.2.
"""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
import shapely
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
_COLOURS = ("red", "green", "blue")
# STAC has no words for a generator, so they have this package's prefix.
_PREFIX = "orthoforge:"
# Multihash: 0x12 is SHA2-256, 0x20 its 32 bytes.
_SHA2_256 = "1220"
# Straight edges of a projected grid are curves in degrees. With 20 pieces the edge of a 100 km scene is off by less than a metre.
_EDGE_PIECES = 20
# Where longitude turns by more than this between two points of an edge, a pole is so near that the edge cannot be told by them.
_LARGEST_TURN = 40
# An item has some thousand characters.
_LONGEST_ITEM = 2**20
# A tenth of a millimetre on the ground.
_DECIMALS = 9


def write_stac_item(
    path: Path, grid: Grid, *, tags: Mapping[str, str], bands: int = 3, created: datetime | None = None, overwrite: bool = False
) -> Path:
    """Write the STAC Item of the image ``path`` beside it, as ``NAME.json``, and return its path.

    ``tags`` are the image's own: those that say that it is synthetic, and from which model, recipe and seed, go into the item's
    properties. ``bands`` is how many it has; the first three are red, green and blue. ``created`` (with a time zone) is now unless
    given; all else follows from the image. Where ``footprint`` finds no outline, the item has no geometry. Raises ``DataError`` for
    a missing image, and what ``new_file`` raises.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file; a STAC item describes an image that is there.")
    out = path.with_suffix(".json")
    item = stac_item(path, grid, tags=tags, bands=bands, created=created or datetime.now(UTC))
    content = json.dumps(item, indent=1, ensure_ascii=False)
    with new_file(out, overwrite=overwrite) as partial:
        partial.write_text(content + "\n", encoding="utf-8")
    return out


def stac_item(path: Path, grid: Grid, *, tags: Mapping[str, str], bands: int, created: datetime) -> dict[str, object]:
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
            "href": f"./{quote(path.name)}",
            "type": MEDIA_TYPES[path.suffix.lower()],
            "title": f"Synthetic image {path.stem}" if tags.get("SYNTHETIC") == "YES" else path.stem,
            "roles": ["data"],
            "bands": _bands(bands),
            "file:size": path.stat().st_size,
            "file:checksum": _SHA2_256 + sha256_of(path),
        }
    }
    return item


def _bands(count: int) -> list[dict[str, object]]:
    """The first three of three or more are colours; what others show is not known."""
    named: list[dict[str, object]] = [{"name": name} for name in _COLOURS] if count >= len(_COLOURS) else []
    return [band | {"data_type": "uint8"} for band in named + [{}] * (count - len(named))]


def is_ours(item: Path, image: Path) -> bool:
    """Whether the file ``item`` is a STAC Item that ``write_stac_item`` wrote for the image ``image``, so may be written anew.

    It is told by a property with this package's prefix, or by the package as its software, and by an asset with the image's path.
    False for everything else: another image's item, another program's, a file that cannot be read, and none at all.
    """
    item, image = Path(item), Path(image)
    try:
        if not item.is_file() or item.stat().st_size > _LONGEST_ITEM:
            return False
        body = json.loads(item.read_bytes())
        properties = body["properties"]
        made_here = any(name.startswith(_PREFIX) for name in properties) or "orthoforge" in properties["processing:software"]
        hrefs = [asset["href"] for asset in body["assets"].values()]
        of_image = any((item.parent / unquote(href)).resolve() == image.resolve() for href in hrefs)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError):
        return False
    return body.get("type") == "Feature" and "stac_version" in body and made_here and of_image


def footprint(grid: Grid) -> Polygon | MultiPolygon | None:
    """The grid's outline in longitude and latitude on WGS 84, counter-clockwise; in parts when it crosses the antimeridian.

    ``None`` without a CRS, when the CRS has no known place on Earth, and over a pole, where longitudes do not enclose the grid.
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
    # On from one point to the next, also where longitudes begin again.
    around = np.unwrap([*lons, lons[0]], period=360)
    if abs(around[-1] - around[0]) > 180 or np.abs(np.diff(around)).max() > _LARGEST_TURN:
        return None
    outline = Polygon(np.round(np.column_stack([around[:-1], lats]), _DECIMALS))
    return _on_the_globe(outline) if outline.is_valid else None


def _on_the_globe(outline: Polygon) -> Polygon | MultiPolygon | None:
    """An outline with any longitudes, cut at the antimeridian and moved to -180 to 180; ``None`` where it leaves nothing."""
    west, _, east, _ = outline.bounds
    parts = [
        affinity.translate(outline.intersection(box(360 * turn - 180, -90, 360 * turn + 180, 90)), -360 * turn)
        for turn in range(math.floor((west + 180) / 360), math.ceil((east + 180) / 360))
    ]
    # Of a part that only touches the antimeridian a line is left, or a point.
    polygons = [orient(part) for part in shapely.get_parts(shapely.union_all(parts)) if isinstance(part, Polygon)]
    if len(polygons) > 1:
        return MultiPolygon(polygons)
    return polygons[0] if polygons else None


def _bbox(outline: Polygon | MultiPolygon) -> list[float]:
    """West, south, east, north; across the antimeridian west is larger than east (RFC 7946, 5.2)."""
    west, south, east, north = outline.bounds
    if isinstance(outline, MultiPolygon):
        west = min((part.bounds[0] for part in outline.geoms if part.bounds[2] == 180), default=west)
        east = max((part.bounds[2] for part in outline.geoms if part.bounds[0] == -180), default=east)
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
    """What the image's tags say of its origin."""
    fields: dict[str, object] = {"synthetic": tags.get("SYNTHETIC") == "YES"}
    software, _, version = tags.get("SOFTWARE", "").partition(" ")
    if software:
        fields["processing:software"] = {software: version}
    names = {
        "DIGITAL_SOURCE_TYPE": "digital_source_type", "MODEL_SHA256": "model_sha256", "MODEL_RECIPE": "recipe",
        "MODEL_STEP": "model_step", "SEED": "seed", "STYLE": "style", "STYLE_SHA256": "style_sha256",
        "SOURCE_ATTRIBUTION": "attribution", "BACKEND": "backend",
        "MATERIAL_SHA256": "material_sha256", "MATERIAL_SOURCES": "material_sources",
    }  # fmt: skip
    fields |= {f"{_PREFIX}{name}": tags[tag] for tag, name in names.items() if tag in tags}
    if "MATERIAL_SHARES" in tags:
        fields[f"{_PREFIX}material_shares"] = json.loads(tags["MATERIAL_SHARES"])
    return fields


def _plain(geometry: Mapping[str, object]) -> dict[str, object]:
    """Lists where shapely has tuples."""
    return json.loads(json.dumps(geometry))
