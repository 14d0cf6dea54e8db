"""Building footprints: vector files, masks made from them, and masks made into them.

file ── reading (geojson, tables, osm, containers, parquet) ──► polygons ── places (CRS, grid) ── masks ──► pixels
file ◄── writing ── polygons ◄── outlines ── pixels                                   files: both ways, from file to file
"""

from orthoforge.vectors.files import open_mask, polygonize_file, rasterize_file
from orthoforge.vectors.footprint_mask import FootprintMask, rasterize_footprints
from orthoforge.vectors.foreign import refuse_foreign
from orthoforge.vectors.outlines import footprints_of, footprints_of_strips
from orthoforge.vectors.places import grid_for, reproject, utm_zone
from orthoforge.vectors.reading import Footprints, is_footprints, load_footprints, read_footprints
from orthoforge.vectors.writing import write_footprints, write_map

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
    "write_map",
]
