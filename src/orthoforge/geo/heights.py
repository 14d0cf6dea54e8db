"""Coordinate reference systems without their heights: an image lies on the ground, and GeoTIFF cannot hold all that have some."""

import json
from functools import lru_cache
from typing import Any

from rasterio.crs import CRS
from rasterio.errors import CRSError


@lru_cache(maxsize=64)
def horizontal(crs: CRS) -> CRS:
    """The CRS of places alone, of one that also tells heights: of a compound CRS its first part, of a 3D one two axes.

    Any other, and one that has no description in PROJJSON, as it is.
    """
    try:
        described = crs.to_dict(projjson=True)
        flat = _flat(described)
        return crs if flat == described else CRS.from_user_input(json.dumps(flat))
    except CRSError:
        return crs


def _flat(crs: dict[str, Any]) -> dict[str, Any]:
    if crs.get("type") == "CompoundCRS":
        return _flat(crs["components"][0])
    flat = {name: _flat(part) if name in ("base_crs", "source_crs") else part for name, part in crs.items()}
    axes = crs.get("coordinate_system", {}).get("axis", [])
    if len(axes) == 3 and axes[2].get("direction") == "up":
        flat["coordinate_system"] = crs["coordinate_system"] | {"axis": axes[:2]}
        flat.pop("id", None)  # the code is that of the CRS in 3D
    return flat
