"""Labels as open footprints are: each building shifted by itself, and some missing."""

import numpy as np
from scipy import ndimage


def with_noise(mask: np.ndarray, *, shift_px: float, dropped: float, rng: np.random.Generator) -> np.ndarray:
    """A mask (H, W) of 0 and 255 whose buildings are each shifted by a normal draw of ``shift_px`` along rows and columns.

    A share ``dropped`` of them is left out. What leaves the mask is lost; where two meet, they are one.
    """
    labels, _ = ndimage.label(mask)
    moved = np.zeros_like(mask)
    height, width = mask.shape
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        row, col = np.rint(rng.normal(0, shift_px, 2)).astype(int)
        if rng.random() < dropped:
            continue
        rows, cols = np.nonzero(labels[box] == number)
        rows, cols = rows + box[0].start + row, cols + box[1].start + col
        inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
        moved[rows[inside], cols[inside]] = 255
    return moved
