"""GeoTIFFs whose rows lie in the file as they are read: uncompressed, pixel by pixel. Reading them needs no copy through GDAL.

GDAL takes six times as long for Inria's rows. Its own shortcut (GTIFF_DIRECT_IO) gives a truncated file's missing rows as garbage;
here such rows are left to GDAL, which says what is wrong.
"""

import os
from pathlib import Path

import numpy as np
from rasterio.io import DatasetReader

from orthoforge.geo.grid import Window
from orthoforge.geo.rasters.orientation import short_tag

# Of a smaller raster, looking whether its rows are plain takes longer than is saved.
_LEAST_BYTES = 2**20
# What tags of TIFF 6.0 must hold: compression: none; fill order: as usual; photometric interpretation: grey, RGB, a colour table.
_COMPRESSION, _FILL_ORDER, _PHOTOMETRIC = (259, 1), (266, 1), (262, 0)
_NONE, _USUAL, _AS_STORED = (1,), (1,), (1, 2, 3)


def has_plain_rows(path: Path, dataset: DatasetReader) -> bool:
    """Whether an open dataset is a large GeoTIFF of 8 bits whose rows lie in the file as they are."""
    height, width, count = dataset.height, dataset.width, dataset.count
    if dataset.driver != "GTiff" or dataset.dtypes[0] != "uint8" or height * width * count < _LEAST_BYTES:
        return False
    structure = dataset.tags(ns="IMAGE_STRUCTURE")
    if "COMPRESSION" in structure or (count > 1 and structure.get("INTERLEAVE") != "PIXEL"):
        return False
    if dataset.block_shapes[0][1] != width or "NBITS" in dataset.tags(1, ns="IMAGE_STRUCTURE"):
        return False
    with open(path, "rb") as file:
        return (
            short_tag(file, *_COMPRESSION) in _NONE
            and short_tag(file, *_FILL_ORDER) in _USUAL
            and short_tag(file, *_PHOTOMETRIC) in _AS_STORED
        )


def read_plain_rows(path: Path, dataset: DatasetReader, window: Window) -> np.ndarray | None:
    """All bands of a window as (H, W, C) uint8; ``None`` where its rows are not one piece of the file, or end before it does."""
    block_rows, width = dataset.block_shapes[0]
    count = dataset.count
    if window.width < width // 2:  # most of what is read would be thrown away
        return None
    first, last = window.row // block_rows, (window.row + window.height - 1) // block_rows
    at = [dataset.get_tag_item(f"BLOCK_OFFSET_0_{block}", "TIFF", bidx=1) for block in range(first, last + 1)]
    if None in at:  # never written
        return None
    starts = np.array(at, np.int64)
    if starts[0] <= 0 or (np.diff(starts) != block_rows * width * count).any():
        return None
    pixels = np.empty((window.height, width, count), np.uint8)
    start = int(starts[0]) + (window.row - first * block_rows) * width * count
    descriptor = os.open(path, os.O_RDONLY)
    try:
        read = os.preadv(descriptor, [pixels.data], start)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    if read != pixels.nbytes:
        return None
    return pixels if window.width == width else np.ascontiguousarray(pixels[:, window.col : window.col + window.width])
