"""Houses: buildings that stand wall to wall, told apart where their mask has a crack between them."""

import numpy as np
from scipy import ndimage

from orthoforge.geo.buildings import CHUNK_PX, Buildings, Read
from orthoforge.geo.grid import Window

_NECK_PX = 2.5  # what is not broader than twice this joins nothing: cracks of a pixel have gaps of some
_SKIRT_PX = 6.0  # what is so near the inside of a house is of it; what is farther off is a house of its own
_MARGIN_PX = 9  # both, rounded up


class Houses(Buildings):
    """``Buildings`` that are one for each house of a block, where thin lines of other pixels run between them.

    Such lines are often broken, as rasterised gaps between footprints are, so a block is one connected part of its mask. Here a
    house is a connected part of what is farther than some pixels from the edge, and all pixels nearest to it. Walls that touch
    along more than that have no crack, and stay one house. Anchors, areas and moments are of those insides; ``bbox`` holds the
    whole house. Which house a pixel is of depends on what is around it alone, so windows and scenes agree.
    """

    def __init__(self, read: Read, height: int, width: int, *, origin: tuple[int, int] = (0, 0), chunk_px: int = CHUNK_PX) -> None:
        self._mask = read
        self._whole = Window(0, 0, height, width)
        super().__init__(self._insides, height, width, origin=origin, chunk_px=chunk_px)
        low = np.maximum(self.bbox[:, :2] - int(_SKIRT_PX), origin)
        high = np.minimum(self.bbox[:, :2] + self.bbox[:, 2:] + int(_SKIRT_PX), np.add(origin, (height, width)))
        self.bbox = np.concatenate([low, high - low], axis=1)

    @staticmethod
    def of(mask: np.ndarray, origin: tuple[int, int] = (0, 0)) -> "Houses":
        """Those of a mask (H, W) in memory."""
        return Houses(lambda window: mask[window.slices], *mask.shape, origin=origin)

    def ids(self, window: Window) -> np.ndarray:
        """As ``Buildings.ids``: all pixels of the mask are of a house."""
        around = _grown(window, int(_SKIRT_PX), self._whole)
        inside = super().ids(around)
        if not inside.any():
            return np.zeros((window.height, window.width), np.int32)
        rows, cols = ndimage.distance_transform_edt(inside == 0, return_distances=False, return_indices=True)
        found = np.where(self._mask(around) != 0, inside[rows, cols], 0).astype(np.int32)
        return found[_within(window, around)]

    def _insides(self, window: Window) -> np.ndarray:
        """(h, w) bool: what is inside of houses, and what is far from all insides."""
        around = _grown(window, _MARGIN_PX, self._whole)
        mask = self._mask(around) != 0
        # Beyond the mask's border a house is taken to go on.
        beyond = 1 + int(_NECK_PX)
        inside = ndimage.distance_transform_edt(np.pad(mask, beyond, mode="edge"))[beyond:-beyond, beyond:-beyond] > _NECK_PX
        if inside.all():
            return inside[_within(window, around)]
        far = mask & (ndimage.distance_transform_edt(~inside) > _SKIRT_PX) if inside.any() else mask
        return (inside | far)[_within(window, around)]


def _grown(window: Window, by: int, whole: Window) -> Window:
    """A window with so many pixels more each way, as far as the ``whole`` goes."""
    top, left = max(0, window.row - by), max(0, window.col - by)
    bottom, right = min(whole.height, window.row + window.height + by), min(whole.width, window.col + window.width + by)
    return Window(top, left, bottom - top, right - left)


def _within(window: Window, around: Window) -> tuple[slice, slice]:
    """The part of a larger window that a window is."""
    return window._replace(row=window.row - around.row, col=window.col - around.col).slices
