"""Shapes as bytes (WKB), taken apart before GEOS sees them.

GEOS goes down one call a level, so a shape nested 20 000 deep ends the process. And it knows no 3D surfaces (TIN, polyhedral
surface), as which Shapefiles with MultiPatch and 3D city models come.
"""

import struct
from collections.abc import Callable

import numpy as np
import shapely

from orthoforge.vectors.limits import MAX_NESTING

_POINT, _LINE, _POLYGON, _TRIANGLE = 1, 2, 3, 17
_COLLECTION = 7
_PARTS = {4, 5, 6, _COLLECTION}
# What a surface is made of has the form of what stands on the right: faces like the polygons of a multi-polygon.
_SURFACES = {15: 6, 16: 6, _TRIANGLE: _POLYGON}
_CURVES = range(8, 15)
CURVES = "it has curves; turn them into lines first, for example with ogr2ogr -nlt CONVERT_TO_LINEAR"
# Flags of PostGIS' dialect: heights, measures, and the number of a CRS.
_EWKB_Z, _EWKB_M, _EWKB_SRID = 0x80000000, 0x40000000, 0x20000000
# Shapes of several parts, which are many, are looked into from so many bytes on: one level takes 9, and GEOS bears 500 levels.
_HARMLESS_BYTES = 9 * 500


def plain(wkb: bytes) -> tuple[bytes, bool]:
    """The shape with its surfaces as multi-polygons, which GEOS reads, and whether it had any.

    Raises ``ValueError`` for curves, for nesting deeper than ``MAX_NESTING``, and where the bytes end too early.
    """
    if not _looked_into(wkb):
        return wkb, False
    kinds: dict[int, bytes] = {}
    try:
        _walk(wkb, lambda at, kind: kinds.update({at: kind}))
    except struct.error:
        raise ValueError("it is cut short") from None
    if not kinds:
        return wkb, False
    patched = bytearray(wkb)
    for at, kind in kinds.items():
        patched[at : at + 4] = kind
    return bytes(patched), True


def from_above(surface: shapely.Geometry) -> shapely.Geometry:
    """The outline that a surface's faces have together, seen from above. Walls have none."""
    parts = np.array([shapely.force_2d(surface)], object)
    while (shapely.get_type_id(parts) > _POLYGON).any():
        parts = shapely.get_parts(parts)
    faces = parts[(shapely.get_type_id(parts) == _POLYGON) & (shapely.area(parts) > 0)]
    return shapely.union_all(shapely.make_valid(faces))


def _looked_into(wkb: bytes) -> bool:
    if len(wkb) < 5:
        return False
    kind = int.from_bytes(wkb[1:5], "little" if wkb[0] == 1 else "big") & 0x0FFFFFFF
    kind %= 1000
    return kind >= _COLLECTION or (kind in _PARTS and len(wkb) > _HARMLESS_BYTES)


def _walk(wkb: bytes, replace: Callable[[int, bytes], None]) -> None:
    """Every shape inside, calling ``replace`` with the place and the bytes of a type that is to be another."""
    at, waiting = 0, [1]  # how many shapes are still to come on each level
    while waiting:
        if waiting[-1] == 0:
            waiting.pop()
            continue
        waiting[-1] -= 1
        order = "<" if wkb[at : at + 1] == b"\x01" else ">"
        (code,) = struct.unpack_from(f"{order}I", wkb, at + 1)
        kind, dialect = (code & 0x0FFFFFFF) % 1000, (code & 0x0FFFFFFF) // 1000
        if kind in _SURFACES:
            replace(at + 1, struct.pack(f"{order}I", code - kind + _SURFACES[kind]))
        has_z, has_m = bool(code & _EWKB_Z) or dialect in (1, 3), bool(code & _EWKB_M) or dialect in (2, 3)
        point_bytes = 8 * (2 + has_z + has_m)
        at += 5 + 4 * bool(code & _EWKB_SRID)
        if kind == _POINT:
            at += point_bytes
            continue
        if kind in _CURVES:
            raise ValueError(CURVES)
        (count,) = struct.unpack_from(f"{order}I", wkb, at)
        at += 4
        if kind == _LINE:
            at += count * point_bytes
        elif kind in (_POLYGON, _TRIANGLE):
            for _ in range(count):
                at += 4 + struct.unpack_from(f"{order}I", wkb, at)[0] * point_bytes
        elif kind in _PARTS or kind in _SURFACES:
            waiting.append(count)
            if len(waiting) > MAX_NESTING:
                raise ValueError(f"its parts are nested more than {MAX_NESTING} deep")
        else:
            raise ValueError(f"its type {code} is unknown")
        if at > len(wkb):
            raise ValueError("it is cut short")
