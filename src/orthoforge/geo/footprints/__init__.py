"""Building footprints: vector files, masks made from them, and masks made into them.

file ── reading (geojson, tables, osm, containers, parquet) ──► polygons ── places (CRS, grid) ── masks ──► pixels
file ◄── writing ── polygons ◄── outlines ── pixels                                   files: both ways, from file to file
"""

from orthoforge.geo.footprints.files import open_mask, polygonize_file, rasterize_file
from orthoforge.geo.footprints.foreign import refuse_foreign
from orthoforge.geo.footprints.masks import FootprintMask, rasterize_footprints
from orthoforge.geo.footprints.outlines import footprints_of, footprints_of_strips
from orthoforge.geo.footprints.places import grid_for, reproject, utm_zone
from orthoforge.geo.footprints.reading import Footprints, is_footprints, load_footprints, read_footprints
from orthoforge.geo.footprints.writing import write_footprints

__all__ = [
    "FootprintMask",
    "Footprints",
    "footprints_of",
    "footprints_of_strips",
    "grid_for",
    "is_footprints",
    "load_footprints",
    "open_mask",
    "polygonize_file",
    "rasterize_file",
    "rasterize_footprints",
    "read_footprints",
    "refuse_foreign",
    "reproject",
    "utm_zone",
    "write_footprints",
]
