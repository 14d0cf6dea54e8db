"""How much of a mask is building, and whether that looks wrong: a mask that is empty, or inverted."""

from dataclasses import dataclass

import numpy as np

from orthoforge.geo.rasters import percent

# Above this share a mask is hardly one of buildings, whatever it looks like.
FULL_SHARE = 0.9
# Above this one it is inverted if its outlines enclose holes like buildings. Of 687 real masks (up to 86 % building, in dense towns
# and in chips of one roof) one is called inverted. Of the same masks inverted 498 are; most others have less building then
# (bench/inverted.py).
MOSTLY_SHARE = 0.7
# One hole, or parts of some at the frame, may be a yard. Smaller ones than any building are gaps between the roofs of a dense town:
# 16 and 24 px on average in two masks of Dhaka, and 660 at least in masks that were inverted.
LEAST_HOLES, LEAST_HOLE_PX = 2, 50
# Gaps beside streets: (2 · area / outline)² of one hole's area is 1/4 for equal squares, whatever their size. It was 0.54 in a
# third mask of Dhaka, and up to 0.35 in masks that were inverted.
MOST_UNLIKE = 0.4
BUILDING_IS = "Building must be 1 or 255, everything else 0."


@dataclass
class MaskShare:
    """What the windows of a mask add up to."""

    building_px: int = 0
    pixels: int = 0
    turning: int = 0
    outline: int = 0

    @property
    def share(self) -> float:
        """Pixels of building of all pixels; of none at all, an error."""
        return self.building_px / self.pixels

    def add(self, building: np.ndarray, row_above: np.ndarray | None = None) -> None:
        """Count one more window, (H, W), building where it is above 0; ``row_above``, (1, W), joins strips of one mask."""
        self.pixels += building.size
        self.building_px += int(np.count_nonzero(building))
        quads = _quads(building if row_above is None else np.concatenate([row_above, building]))
        self.turning += _turning(quads)
        self.outline += int(np.count_nonzero((quads > 0) & (quads < 4)))

    def warning(self, name: str, way_out: str = BUILDING_IS) -> str | None:
        """What looks wrong, in one sentence or two; ``None`` when nothing does. ``way_out`` is for a mask that looks inverted."""
        if self.building_px == 0:
            return f"{name}: the mask is empty (building share 0 %)."
        if self.share > FULL_SHARE or (self.share > MOSTLY_SHARE and self._has_holes_like_buildings):
            why = "it is nearly full" if self.share > FULL_SHARE else "its outlines enclose holes, not buildings"
            return f"{name}: the mask looks inverted: building share {percent(self.share)}, and {why}. {way_out}"
        return None

    @property
    def _has_holes_like_buildings(self) -> bool:
        holes, area = -self.turning / 4, self.pixels - self.building_px
        if holes < LEAST_HOLES or area < LEAST_HOLE_PX * holes:
            return False
        return (2 * area / self.outline) ** 2 <= MOST_UNLIKE * area / holes


def turning(building: np.ndarray) -> int:
    """Convex minus concave corners of all outlines: above 0 for separate shapes, below 0 for the holes between them.

    Four times the Euler number, counted in quads of 2×2 pixels (Gray 1971), without the frame, so that a mask and its
    inverse give the same number with opposite signs.
    """
    return _turning(_quads(building))


def _quads(building: np.ndarray) -> np.ndarray:
    """How many of each 2×2 pixels are building, (H - 1, W - 1) uint8."""
    set_px = (building > 0).view(np.uint8)
    return set_px[:-1, :-1] + set_px[1:, :-1] + set_px[:-1, 1:] + set_px[1:, 1:]


def _turning(quads: np.ndarray) -> int:
    return int(np.count_nonzero(quads == 1)) - int(np.count_nonzero(quads == 3))
