"""Open ground of a tile: what of it may lie anywhere else, by the kind of ground that each pixel is."""

import numpy as np
from scipy import ndimage

_NEAR_WALLS_PX = 4
_SHADE_PX = 26  # from a wall
_DARK = 0.58  # of what ground of its kind has
# Looks that are roofs in one place are the soil of another: where so much of a tile's ground of a kind has one, it is ground.
_COMMON = 0.15
# What has a look is no roof where this is so seldom on roofs: in some places walls in the sun and terraces are white.
_OF_ROOFS = 0.3


def open_ground(image: np.ndarray, mask: np.ndarray, kinds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sunlit open ground of one tile (S, S, B), the shade beside its buildings, and what may be a building, (S, S) bool each.

    ``mask`` (S, S) bool are buildings, ``kinds`` (S, S) uint8 says what the ground is. Without what may be an unmapped roof, and
    without the borders between kinds, where pixels are half of one and half of the other.
    """
    distance = ndimage.distance_transform_edt(~mask) if mask.any() else np.full(mask.shape, 1e3)
    shown = image[..., :3].astype(np.float32)
    value, chroma = shown.max(axis=2), np.ptp(shown, axis=2)
    brightness = ndimage.gaussian_filter(shown.mean(axis=2), 1.0)
    green_to_yellow = (shown[..., 1] >= shown[..., 2]) & (shown[..., 0] - shown[..., 1] < 0.73 * chroma)
    painted = (chroma > 0.37 * value) & (value > 70) & ~green_to_yellow
    white = (value > 215) & (chroma < 0.24 * value)
    of_roofs = [not mask.any() or (look & mask).sum() >= _OF_ROOFS * look.sum() for look in (painted, white)]
    painted, white = (ndimage.binary_opening(look & ~mask, iterations=rounds) for look, rounds in ((painted, 1), (white, 2)))
    looks = [look for look, is_of_roofs in zip((painted, white), of_roofs, strict=True) if is_of_roofs]
    unlike, dark = np.zeros(mask.shape, bool), np.zeros(mask.shape, bool)
    for kind in np.unique(kinds[~mask]):
        own = (kinds == kind) & ~mask
        for look in looks:
            if (look & own).sum() < _COMMON * own.sum():
                unlike |= look & own
        dark |= own & (brightness < _DARK * np.median(brightness[own])) & (distance < _SHADE_PX)
    unlike = ndimage.binary_dilation(_larger(unlike, 25), iterations=5)
    at_walls = (distance <= 2) & ~mask
    labels, _ = ndimage.label(dark | at_walls)
    touching = np.unique(labels[at_walls])
    shade = np.isin(labels, touching[touching > 0]) & dark
    is_open = (distance > _NEAR_WALLS_PX) & ~unlike & ~ndimage.binary_dilation(shade, iterations=2)
    return ndimage.binary_opening(is_open, iterations=2) & ~_borders(kinds), shade, mask | unlike


def smooth(values: np.ndarray, known: np.ndarray, sigma: float, far: np.ndarray | None = None) -> np.ndarray:
    """(H, W, B) float32 values that are ``known`` (H, W), averaged with a Gaussian; far from any ``far`` (B,), or the mean of all.

    With ``far`` a value is a function of those around it: so far as the Gaussian reaches.
    """
    weight = ndimage.gaussian_filter(known.astype(np.float32), sigma, truncate=3, mode="constant")[..., None] + 1e-3
    if far is None:
        far = values[known].mean(axis=0) if known.any() else values.mean(axis=(0, 1))
    level = far.astype(np.float32)
    summed = ndimage.gaussian_filter((values - level) * known[..., None], (sigma, sigma, 0), truncate=3, mode="constant")
    return level + summed / weight


def _borders(kinds: np.ndarray) -> np.ndarray:
    """Pixels that share a side with one of another kind."""
    borders = np.zeros(kinds.shape, bool)
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        differs = kinds[one] != kinds[other]
        borders[one] |= differs
        borders[other] |= differs
    return borders


def _larger(found: np.ndarray, pixels: int) -> np.ndarray:
    """The connected parts of more than so many pixels."""
    labels, _ = ndimage.label(found)
    large = np.bincount(labels.ravel()) > pixels
    large[0] = False
    return large[labels]
