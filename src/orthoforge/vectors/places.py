"""Footprints moved from one CRS to another, and the grid on which they become a mask."""

import math
from collections.abc import Sequence

import numpy as np
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform as transform_points
from rasterio.warp import transform_bounds

from orthoforge.errors import ConfigError, DataError, GridError
from orthoforge.geo.crs import crs_from_text
from orthoforge.geo.grid import Grid, crs_name
from orthoforge.geo.rasters import GDAL_ERRORS, MAX_PIXELS
from orthoforge.vectors.limits import shown
from orthoforge.vectors.plausible import STATE_IT, far_off

WGS84 = CRS.from_epsg(4326)
# Ground around the outermost buildings, so that they do not stand at the picture's edge.
MARGIN_M = 10.0
# A projection whose metre differs by more than this from one on the ground makes buildings of another size than those that a run
# was trained on. UTM stays below 0.1 %, national grids mostly below 1 %; web mercator is 36 % off at 50° north.
_TRUE_TO_SCALE = 0.05
# Room for rounding, in pixels, before an edge is said to reach into the next pixel.
_ROUNDING_PX = 1e-6
# UTM is defined between these latitudes.
_UTM_LATITUDES = (-80.0, 84.0)
_POINTS_AT_A_TIME = 1_000_000
# Beyond this many pixels a grid is not counted out.
_COUNTABLE_PX = 1e15


def crs_from(text: str) -> CRS:
    """The CRS, by its EPSG code where it has one, so that it equals the same CRS of a raster. ``ValueError`` when it is none."""
    crs = crs_from_text(text)
    if crs.to_authority() == ("OGC", "CRS84"):  # what GDAL calls EPSG:4326 in GeoJSON: longitude first, as everywhere here
        return WGS84
    return CRS.from_epsg(epsg) if (epsg := crs.to_epsg()) else crs


def crs_asked(text: str) -> CRS:
    """The CRS that a user typed. ``ConfigError`` when there is none of that name."""
    try:
        return crs_from(text)
    except ValueError as error:
        raise ConfigError(f"no CRS is called {shown(text)!r} ({error}). Write it as EPSG:32633, for example.") from error


def reproject(
    polygons: Sequence[shapely.Polygon] | np.ndarray,
    from_crs: CRS | None,
    to_crs: CRS | None,
    *,
    features: np.ndarray | None = None,
) -> np.ndarray:
    """The polygons with their corners moved from one CRS to the other, as an array (n,) of shapely polygons.

    Edges stay straight between the corners: over the length of a building the two projections do not differ. ``features``
    (n,) are the numbers by which errors name them; without it their positions are. Raises ``GridError`` when only one side
    has a CRS and ``DataError`` with the first feature of which a corner has no place in ``to_crs``.
    """
    polygons = _array(polygons)
    if from_crs == to_crs or not len(polygons):
        return polygons
    if from_crs is None or to_crs is None:
        if from_crs is None:
            raise GridError(f"the footprints name no CRS (a Shapefile has it in the .prj beside it). {STATE_IT}.")
        raise GridError(
            f"footprints in {crs_name(from_crs)} cannot be moved to a raster without a CRS. Assign the raster's, for example with "
            "gdal_edit -a_srs."
        )
    coordinates, owners = shapely.get_coordinates(polygons, return_index=True)
    moved = np.empty_like(coordinates)
    for start in range(0, len(coordinates), _POINTS_AT_A_TIME):
        part = slice(start, start + _POINTS_AT_A_TIME)
        moved[part] = _moved(coordinates[part], from_crs, to_crs)
    bad = ~np.isfinite(moved).all(axis=1)
    if bad.any():
        first = int(bad.argmax())
        x, y = coordinates[first]
        number = int(owners[first] if features is None else features[owners[first]])
        raise DataError(
            f"feature {number}: its corner at {x:.10g}, {y:.10g} ({crs_name(from_crs)}) has no place in {crs_name(to_crs)}. Is "
            "the CRS of the footprints the right one?"
        )
    return shapely.set_coordinates(polygons.copy(), moved)


def bounds_in(bounds: tuple[float, float, float, float], from_crs: CRS, to_crs: CRS) -> tuple[float, float, float, float]:
    """(left, bottom, right, top) of the ground inside ``bounds`` in another CRS; edges that become curves count."""
    if from_crs == to_crs:
        return bounds
    try:
        found = transform_bounds(from_crs, to_crs, *bounds, densify_pts=21)
    except GDAL_ERRORS as error:
        found, cause = (math.nan,) * 4, f" ({error})"
    else:
        cause = ""
    if not all(map(math.isfinite, found)):
        extent = " ".join(f"{edge:.10g}" for edge in bounds)
        raise GridError(f"the extent {extent} in {crs_name(from_crs)} has no place in {crs_name(to_crs)}{cause}.")
    return found


def grid_for(
    polygons: Sequence[shapely.Polygon] | np.ndarray,
    crs: CRS | None,
    *,
    like: Grid | None = None,
    extent: tuple[float, float, float, float] | None = None,
    gsd_m: float | None = None,
    crs_out: CRS | None = None,
    margin_m: float = MARGIN_M,
    features: np.ndarray | None = None,
) -> Grid:
    """The grid on which footprints in ``crs`` become a mask.

    ``like``, the grid of a reference raster, is taken as it is. Otherwise the grid has pixels of ``gsd_m`` metres and covers
    ``extent`` (left, bottom, right, top, in ``crs``), or else the footprints with ``margin_m`` around them. Its CRS is
    ``crs_out``; without it the footprints' own, or the UTM zone of their middle where that is in degrees or not true to scale
    (web mercator). Its corner lies at whole pixels from the CRS's origin, so grids of neighbouring extents fit together.
    ``features`` are as for ``reproject``.

    Raises ``DataError`` when there are no footprints, or none in the extent or on ``like``; ``ConfigError`` for a missing or
    impossible ``gsd_m`` and an extent without area; ``GridError`` where no CRS is known, where ``crs_out`` is not true to
    scale, and for more than ``rasters.MAX_PIXELS`` pixels. Where a footprint far from the others is to blame, it is named.
    """
    polygons = _array(polygons)
    try:
        return _grid_for(polygons, crs, like=like, extent=extent, gsd_m=gsd_m, crs_out=crs_out, margin_m=margin_m)
    except GridError as error:
        far = None if like or extent or crs is None else far_off(polygons)
        if far is None:
            raise
        place = shapely.get_coordinates(shapely.centroid(polygons))
        (x, y), (x_others, y_others) = place[far], np.median(place, axis=0)
        raise DataError(
            f"feature {far if features is None else features[far]} lies at {x:.10g}, {y:.10g}, far from the others around "
            f"{x_others:.7g}, {y_others:.7g}, so that {error} Mend or remove that feature, or give an --extent."
        ) from error


def _grid_for(
    polygons: np.ndarray,
    crs: CRS | None,
    *,
    like: Grid | None,
    extent: tuple[float, float, float, float] | None,
    gsd_m: float | None,
    crs_out: CRS | None,
    margin_m: float,
) -> Grid:
    if like is not None:
        if not (math.isfinite(like.transform.determinant) and like.transform.determinant):
            raise GridError(f"the reference raster's pixels have no area: {like.transform.a:g} × {like.transform.e:g}.")
        there = polygons if like.crs == crs else reproject(polygons, crs, like.crs)
        _require_some(there, like.bounds, f"on the reference raster's ground ({crs_name(like.crs)})")
        return like
    if gsd_m is None:
        raise ConfigError("footprints have no pixels: say how large one is with --gsd METRES, or give a raster with --like.")
    if not (math.isfinite(gsd_m) and gsd_m > 0):
        raise ConfigError(f"a ground resolution of {gsd_m} m is impossible; it must be above 0.")
    if crs is None:
        raise GridError(f"the footprints name no CRS (a Shapefile has it in the .prj beside it). {STATE_IT}.")
    if extent is not None:
        left, bottom, right, top = extent
        if not (all(map(math.isfinite, extent)) and left < right and bottom < top):
            over = "; across the antimeridian its right edge goes on beyond 180" if crs.is_geographic and left > right else ""
            raise ConfigError(
                f"the extent {left:g} {bottom:g} {right:g} {top:g} has no area; it is written left bottom right top{over}."
            )
        _require_some(polygons, extent, "in the extent")
    if not len(polygons):
        raise DataError(
            "there are no footprints, so no ground that they cover. Give an extent with buildings, or a raster with --like."
        )
    ground = extent or tuple(shapely.total_bounds(polygons).tolist())
    target = crs_out or _true_to_scale(crs, ground)
    if extent is not None:
        left, bottom, right, top = bounds_in(extent, crs, target)
        margin = 0.0
    else:
        left, bottom, right, top = shapely.total_bounds(reproject(polygons, crs, target)).tolist()
        margin = margin_m
    unit_m = _unit_m(target, ((left + right) / 2, (bottom + top) / 2))
    if unit_m is None:
        raise GridError(
            f"pixels of {gsd_m:g} m cannot be laid in {crs_name(target)}: its unit is not a metre on the ground there. Choose a "
            "projected CRS that is true to scale, or leave --crs out: then it is the UTM zone."
        )
    pixel, margin = gsd_m / unit_m, margin / unit_m
    if not (right - left + 2 * margin) / pixel * ((top - bottom + 2 * margin) / pixel) <= _COUNTABLE_PX:
        raise _too_large((right - left) / pixel, (top - bottom) / pixel, gsd_m)
    col, row = math.floor((left - margin) / pixel + _ROUNDING_PX), math.floor(-(top + margin) / pixel + _ROUNDING_PX)
    width = math.ceil((right + margin) / pixel - _ROUNDING_PX) - col
    height = math.ceil(-(bottom - margin) / pixel - _ROUNDING_PX) - row
    if width * height > MAX_PIXELS:
        raise _too_large(width, height, gsd_m)
    return Grid(max(height, 1), max(width, 1), Affine(pixel, 0, col * pixel, 0, -pixel, -row * pixel), target)


def _too_large(width: float, height: float, gsd_m: float) -> GridError:
    return GridError(
        f"a mask of {width:.9g}×{height:.9g} px at {gsd_m:g} m is too large; {MAX_PIXELS / 1e9:.1f} billion pixels are the most. "
        "Choose a larger --gsd, or cut the town into extents."
    )


def utm_zone(lon: float, lat: float) -> CRS:
    """The UTM zone of a place in degrees: 6° wide each, numbered from 180° west; EPSG:326ZZ in the north, 327ZZ in the south.

    The wider zones around Norway and Svalbard are not made. Raises ``GridError`` near the poles, where there is none.
    """
    if not _UTM_LATITUDES[0] <= lat <= _UTM_LATITUDES[1]:
        raise GridError(f"no UTM zone covers latitude {lat:.5g}. Choose a CRS with --crs.")
    zone = math.floor((lon + 180) / 6) % 60 + 1
    return CRS.from_epsg((32600 if lat >= 0 else 32700) + zone)


def applied(transform: Affine, points: np.ndarray) -> np.ndarray:
    """Points (n, 2) through an affine transform."""
    x, y = points.T
    return np.column_stack([x * transform.a + y * transform.b + transform.c, x * transform.d + y * transform.e + transform.f])


def _true_to_scale(crs: CRS, ground: tuple[float, float, float, float]) -> CRS:
    """The CRS itself, or the UTM zone of the ground's middle where a unit of it is no true length."""
    middle = ((ground[0] + ground[2]) / 2, (ground[1] + ground[3]) / 2)
    if _unit_m(crs, middle) is not None:
        return crs
    try:
        (lon,), (lat,) = transform_points(crs, WGS84, [middle[0]], [middle[1]])
    except GDAL_ERRORS:
        lon, lat = math.nan, math.nan
    if not (math.isfinite(lon) and math.isfinite(lat)):
        raise GridError(f"the middle of the footprints, {middle[0]:.10g}, {middle[1]:.10g}, has no place in {crs_name(crs)}.")
    return utm_zone(lon, lat)


def _unit_m(crs: CRS, place: tuple[float, float]) -> float | None:
    """Metres in a unit of a projected CRS, by its definition; ``None`` where that is not so on the ground at ``place``."""
    if crs.is_geographic:
        return None
    try:
        unit_m = crs.linear_units_factor[1]
    except CRSError:
        return None
    pixel_m = Grid(1, 1, Affine(1, 0, place[0] - 0.5, 0, -1, place[1] + 0.5), crs).pixel_m()
    if pixel_m is None or any(abs(side / unit_m - 1) > _TRUE_TO_SCALE for side in pixel_m):
        return None
    return unit_m


def _moved(coordinates: np.ndarray, from_crs: CRS, to_crs: CRS) -> np.ndarray:
    """Points (n, 2) in the other CRS, not finite where they have no place there."""
    try:
        return np.column_stack(transform_points(from_crs, to_crs, coordinates[:, 0], coordinates[:, 1])[:2])
    except GDAL_ERRORS:  # for some projections GDAL says only that a point failed, not which
        if len(coordinates) == 1:
            return np.full((1, 2), np.nan)
        half = len(coordinates) // 2
        first = _moved(coordinates[:half], from_crs, to_crs)
        if not np.isfinite(first).all():  # one is enough to say
            return np.concatenate([first, np.full((len(coordinates) - half, 2), np.nan)])
        return np.concatenate([first, _moved(coordinates[half:], from_crs, to_crs)])


def _require_some(polygons: np.ndarray, bounds: tuple[float, float, float, float], where: str) -> None:
    """``DataError`` when no polygon's bounds meet these; it says so when they would with both coordinates exchanged."""
    if not len(polygons):
        raise DataError(f"there are no footprints {where}: the file holds none.")
    left, bottom, right, top = bounds
    x0, y0, x1, y1 = shapely.bounds(polygons).T
    if ((x0 < right) & (x1 > left) & (y0 < top) & (y1 > bottom)).any():
        return
    found = " ".join(f"{edge:.8g}" for edge in (x0.min(), y0.min(), x1.max(), y1.max()))
    asked = " ".join(f"{edge:.8g}" for edge in bounds)
    message = f"none of the {len(polygons)} footprints lies {where}: they cover {found}, it is {asked}"
    if ((y0 < right) & (y1 > left) & (x0 < top) & (x1 > bottom)).any():
        raise DataError(f"{message}. They would with longitude and latitude exchanged; longitude comes first.")
    raise DataError(f"{message} (left bottom right top).")


def _array(polygons: Sequence[shapely.Polygon] | np.ndarray) -> np.ndarray:
    table = np.empty(len(polygons), object)
    table[:] = polygons
    return table
