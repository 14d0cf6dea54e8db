"""Masks as a network takes them: their values, their parts, their sides."""

import numpy as np

from orthoforge.errors import DataError


def mask_values(mask: np.ndarray, class_count: int | None) -> np.ndarray:
    """Values (H, W) uint8 of a mask: 0 and 255 of buildings (``class_count`` is ``None``), or indices of classes.

    ``DataError`` for another shape, type or value.
    """
    if mask.ndim != 2 or 0 in mask.shape:
        raise DataError(f"a mask has shape (height, width); this one has {mask.shape}.")
    if mask.dtype != np.bool_ and mask.dtype != np.uint8:
        raise DataError(f"a mask is bool or uint8; this one is {mask.dtype}.")
    if class_count is None:
        values = np.unique(mask)
        if not set(values.tolist()) <= {0, 1, 255}:
            raise DataError(f"a building mask holds 0 and 1, or 0 and 255; this one also has {values[-2:].tolist()}.")
        return np.where(mask > 0, np.uint8(255), np.uint8(0))
    if mask.max() >= class_count:
        raise DataError(f"this run knows {class_count} classes (0 to {class_count - 1}); the mask has {mask.max()}.")
    return mask.astype(np.uint8)


def part_within(shape: tuple[int, ...], part: tuple[slice, slice]) -> tuple[slice, slice]:
    """``part`` with all its numbers counted from the first row and column. ``DataError`` where it has gaps or holds nothing."""
    rows, cols = (slice(*given.indices(side)) for given, side in zip(part, shape, strict=True))
    if any(given.step != 1 or given.stop <= given.start for given in (rows, cols)):
        raise DataError(f"a part of a mask of {shape} is two slices with step 1 that hold a pixel; this one is {part}.")
    return rows, cols


def pad_to_stride(masks: np.ndarray, stride: int, least: int) -> np.ndarray:
    """Grow (N, H, W, …) at the far edges to multiples of the stride, ``least`` px at least.

    By reflection; with edge pixels where there is too little to reflect.
    """
    sides = masks.shape[1:3]
    grow = [(0, max(least, -(-side // stride) * stride) - side) for side in sides]
    if not any(after for _, after in grow):
        return masks
    reflects = all(after < side for (_, after), side in zip(grow, sides, strict=True))
    return np.pad(masks, [(0, 0), *grow, *[(0, 0)] * (masks.ndim - 3)], mode="reflect" if reflects else "edge")
