"""The only room that opens rasters: GeoTIFF, PNG and JPEG. ``cog`` writes them.

Arrays are (H, W) for masks and (H, W, C) for images, uint8. A file is opened with the one driver that its name and its first bytes
agree on: GDAL left to choose would follow a VRT named ``.tif`` to any other file.
"""

from orthoforge.geo.rasters.files import DRIVERS, require_name
from orthoforge.geo.rasters.image_values import image_without_data, read_image
from orthoforge.geo.rasters.mask_values import (
    MASK_VALUES,
    nodata_note,
    percent,
    read_mask,
    read_mask_and_valid,
    read_mask_rgb,
    read_mask_values,
    require_mask_values,
    require_threshold,
)
from orthoforge.geo.rasters.memory import available_memory, require_memory
from orthoforge.geo.rasters.raster import (
    GDAL_ERRORS,
    MAX_PIXELS,
    PIXEL_SIZE_TAG,
    READ_OPTIONS,
    Raster,
    gdal_threads,
    open_quietly,
    open_raster,
    quiet_about_places,
    read_tags,
    reading_many,
)
from orthoforge.geo.rasters.reference_image import REFERENCE_PX, read_reference

__all__ = [
    "DRIVERS",
    "GDAL_ERRORS",
    "MASK_VALUES",
    "MAX_PIXELS",
    "PIXEL_SIZE_TAG",
    "READ_OPTIONS",
    "REFERENCE_PX",
    "Raster",
    "available_memory",
    "gdal_threads",
    "image_without_data",
    "nodata_note",
    "open_quietly",
    "open_raster",
    "percent",
    "quiet_about_places",
    "read_image",
    "read_mask",
    "read_mask_and_valid",
    "read_mask_rgb",
    "read_mask_values",
    "read_reference",
    "read_tags",
    "reading_many",
    "require_mask_values",
    "require_memory",
    "require_name",
    "require_threshold",
]
