"""How much of a mask is building, and whether that looks wrong: a mask that is empty, or inverted."""

from dataclasses import dataclass

import numpy as np

from orthoforge.geo.rasters import percent

# Above this share a mask is hardly one of buildings, whatever it looks like.
FULL_SHARE = 0.9
# Above this one it is inverted if its outlines enclose holes.
MOSTLY_SHARE = 0.7


@dataclass
class MaskShare:
    """What the windows of a mask add up to."""

    building_px: int = 0
    pixels: int = 0
    turning: int = 0

    def add(self, building: np.ndarray) -> None:
        """Count one more window, (H, W), building where it is above 0."""
        self.pixels += building.size
        self.building_px += int(np.count_nonzero(building))
        self.turning += turning(building)

    def warning(self, name: str) -> str | None:
        """What looks wrong, in one sentence or two; ``None`` when nothing does."""
        if self.building_px == 0:
            return f"{name}: the mask is empty (building share 0 %)."
        share = self.building_px / self.pixels
        if share > FULL_SHARE or (share > MOSTLY_SHARE and self.turning < 0):
            why = "it is nearly full" if share > FULL_SHARE else "its outlines enclose holes, not buildings"
            return (
                f"{name}: the mask looks inverted: building share {percent(share)}, and {why}. "
                "Building must be 1 or 255, everything else 0."
            )
        return None


def turning(building: np.ndarray) -> int:
    """Convex minus concave corners of all outlines: above 0 for separate shapes, below 0 for the holes between them.

    Four times the Euler number, counted in quads of 2×2 pixels (Gray 1971), without the frame, so that a mask and its
    inverse give the same number with opposite signs.
    """
    set_px = (building > 0).view(np.uint8)
    quads = set_px[:-1, :-1] + set_px[1:, :-1] + set_px[:-1, 1:] + set_px[1:, 1:]
    return int(np.count_nonzero(quads == 1)) - int(np.count_nonzero(quads == 3))
