"""Whether coordinates can be where their CRS says: degrees that are none, exchanged ones, corners far off, the antimeridian."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import shapely
from rasterio.crs import CRS

from orthoforge.errors import DataError
from orthoforge.geo.grid import crs_name

STATE_IT = "State theirs with --footprints-crs, for example --footprints-crs EPSG:32633"
# Some count longitudes from 0 to 360. Room for rounding.
_MOST_LON, _MOST_LAT = 360 + 1e-6, 90 + 1e-6
# Nothing that is built is wider, in degrees or metres; the longest building has 3 km.
_WIDEST_DEG, _WIDEST_M = 1.0, 100_000.0


class Degrees:
    """Looks at all polygons of a file whose CRS is in degrees, chunk by chunk."""

    def __init__(self, crs: CRS | None) -> None:
        self._geographic = bool(crs and crs.is_geographic)
        self._bounds = np.array([np.inf, np.inf, -np.inf, -np.inf])
        self._count, self._off, self._first = 0, 0, (0, 0.0, 0.0)

    def see(self, polygons: np.ndarray, features: np.ndarray) -> None:
        """Remember these polygons' bounds, and the first of which a corner has no place on Earth."""
        if not len(polygons):
            return
        bounds = shapely.bounds(polygons)
        self._count += len(polygons)
        least, most = bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)
        self._bounds = np.concatenate([np.minimum(self._bounds[:2], least), np.maximum(self._bounds[2:], most)])
        off = (np.abs(bounds[:, [0, 2]]) > _MOST_LON).any(1) | (np.abs(bounds[:, [1, 3]]) > _MOST_LAT).any(1)
        if self._geographic and off.any():
            if not self._off:
                index = int(off.argmax())
                corners = shapely.get_coordinates(polygons[index])
                worst = corners[(np.abs(corners) / (_MOST_LON, _MOST_LAT)).max(1).argmax()]
                self._first = int(features[index]), float(worst[0]), float(worst[1])
            self._off += int(off.sum())

    def refuse(self, path: Path, crs: CRS | None, name: Callable[[int], str], *, stated: bool) -> None:
        """Raise ``DataError`` for coordinates that are no degrees, and for metres that are, where the CRS was ``stated``."""
        if stated and crs and not crs.is_geographic and self._within(180, 90):
            raise DataError(
                f"{path}: its coordinates ({_run(self._bounds)}) look like degrees, not like {crs_name(crs)}. --footprints-crs "
                "says which CRS the footprints are in; --crs says which one the mask gets."
            )
        if not self._off:
            return
        if self._off <= self._count // 2:
            feature, x, y = self._first
            more = f" (and {self._off - 1} more after it)" if self._off > 1 else ""
            raise DataError(
                f"{path}: {name(feature)} has a corner at {x:.10g}, {y:.10g}, which is no longitude and latitude{more}. Mend or "
                "remove it."
            )
        if self._within(90, 360):
            raise DataError(
                f"{path}: latitudes run from {self._bounds[1]:.5g} to {self._bounds[3]:.5g}. Longitude and latitude seem to be "
                "swapped; longitude comes first."
            )
        raise DataError(
            f"{path}: its coordinates ({_run(self._bounds)}) are no degrees, and {crs_name(crs)} is in degrees; a GeoJSON or CSV "
            f"that names no CRS is taken to be in it. {STATE_IT}."
        )

    def _within(self, most_x: float, most_y: float) -> bool:
        """Whether there are polygons, and all within these numbers."""
        return bool(self._count) and bool((np.abs(self._bounds) <= (most_x, most_y, most_x, most_y)).all())


def unwrapped(polygons: np.ndarray, crs: CRS | None, extent: tuple[float, float, float, float] | None) -> np.ndarray:
    """Polygons in degrees on both sides of the antimeridian as on one map: longitudes east of it go on beyond 180.

    So they do where an ``extent`` reaches beyond 180, and where the polygons, or one of them, would else go around the Earth.
    """
    if not (len(polygons) and crs and crs.is_geographic):
        return polygons
    if extent is not None and (extent[2] > 180 or extent[0] > extent[2]):
        seam = extent[2] - (360 if extent[2] > 180 else 0)
    elif extent is None and _goes_around(polygons):
        seam = 0.0
    else:
        return polygons
    return shapely.transform(polygons, lambda xy: np.column_stack([np.where(xy[:, 0] < seam, xy[:, 0] + 360, xy[:, 0]), xy[:, 1]]))


def _goes_around(polygons: np.ndarray) -> bool:
    longitudes = shapely.get_coordinates(polygons)[:, 0]
    width = float(np.ptp(longitudes))
    return width > 180 and float(np.ptp(np.where(longitudes < 0, longitudes + 360, longitudes))) < 180


def refuse_widest(path: Path, polygons: np.ndarray, features: np.ndarray, crs: CRS | None, name: Callable[[int], str]) -> None:
    """Raise ``DataError`` for a polygon that is wider than any building, with the corner that lies furthest from its others."""
    if crs is None or not len(polygons):
        return
    left, bottom, right, top = shapely.bounds(polygons).T
    widest = _WIDEST_DEG if crs.is_geographic else _WIDEST_M / (crs.linear_units_factor[1] if crs.is_projected else 1)
    wide = np.maximum(right - left, top - bottom)
    if not (wide > widest).any():
        return
    index = int((wide > widest).argmax())
    corners = shapely.get_coordinates(polygons[index])
    x, y = corners[np.abs(corners - np.median(corners, axis=0)).max(1).argmax()]
    unit = "degrees" if crs.is_geographic else "units of its CRS"
    raise DataError(
        f"{path}: {name(int(features[index]))} is {wide[index]:.4g} {unit} wide, which no building is; its corner at {x:.10g}, "
        f"{y:.10g} lies far from the others. Mend or remove it."
    )


def far_off(polygons: np.ndarray) -> int | None:
    """The polygon that lies furthest from the others, when it and few more lie much further off than all the rest."""
    if len(polygons) < 3:
        return None
    left, bottom, right, top = shapely.bounds(polygons).T
    x, y = (left + right) / 2, (bottom + top) / 2
    distance = np.maximum(np.abs(x - np.median(x)), np.abs(y - np.median(y)))
    few = max(1, len(polygons) // 100)
    rest = float(np.sort(distance)[-1 - few])
    furthest = int(distance.argmax())
    return furthest if distance[furthest] > 20 * max(rest, float((right - left).max())) else None


def _run(bounds: np.ndarray) -> str:
    left, bottom, right, top = bounds
    return f"x {left:.7g} to {right:.7g}, y {bottom:.7g} to {top:.7g}"
