"""GeoTIFFs whose rows lie in the file as they are read: uncompressed, pixel by pixel. Reading them needs no copy through GDAL.

GDAL takes six times as long for Inria's rows. Its own shortcut (GTIFF_DIRECT_IO) gives a truncated file's missing rows as garbage;
here such rows are left to GDAL, which says what is wrong.
"""

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
from rasterio.io import DatasetReader

from orthoforge.geo.grid import Window
from orthoforge.geo.rasters.orientation import numbers_of_tag, short_tag

# Of a smaller raster, looking whether its rows are plain takes longer than is saved.
_LEAST_BYTES = 2**20
# What tags of TIFF 6.0 must hold: compression: none; fill order: as usual; photometric interpretation: grey, RGB, a colour table.
_COMPRESSION, _FILL_ORDER, _PHOTOMETRIC = (259, 1), (266, 1), (262, 0)
_NONE, _USUAL, _AS_STORED = (1,), (1,), (1, 2, 3)
# Tags that say where pieces lie, and how many rows each has.
_STARTS, _ROWS_A_PIECE = 273, 278
_HEADER_BYTES = 4096


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
    width, count = dataset.width, dataset.count
    if window.width < width // 2:  # most of what is read would be thrown away
        return None
    pixels = np.empty((window.height, width, count), np.uint8)
    try:
        with open(path, "rb", buffering=_HEADER_BYTES) as file:
            start = _place_of(file, window, dataset.height, width * count)
            if start is None:
                return None
            read = os.preadv(file.fileno(), [pixels.data], start)
    except (OSError, OverflowError):  # what it says of its rows is damaged: GDAL names it
        return None
    if read != pixels.nbytes:
        return None
    return pixels if window.width == width else np.ascontiguousarray(pixels[:, window.col : window.col + window.width])


def _place_of(file: BinaryIO, window: Window, height: int, row_bytes: int) -> int | None:
    """Where a window's rows begin in the file; ``None`` where they are not one piece of it, or were never written.

    The file says it: to ask GDAL for each of a scene's 5000 pieces takes half as long as reading them.
    """
    stated = numbers_of_tag(file, _ROWS_A_PIECE, 0, 0)
    rows = height if stated is None else min(int(stated[0]), height)
    if rows < 1:
        return None
    first, last = window.row // rows, (window.row + window.height - 1) // rows
    starts = numbers_of_tag(file, _STARTS, first, last)
    if starts is None or starts[0] <= 0 or (np.diff(starts) != rows * row_bytes).any():
        return None
    return int(starts[0]) + (window.row - first * rows) * row_bytes
