"""Open ground of a tile: what of it may lie anywhere else, by the kind of ground that each pixel is."""

import numpy as np
from scipy import ndimage

_NEAR_WALLS_PX = 4
_SHADE_PX = 26  # from a wall
_DARK = 0.58  # of what ground of its kind has
# Looks that are roofs in one place are the soil of another: where so much of a tile's ground of a kind has one, it is ground.
_COMMON = 0.15
# What lies at a wall is a terrace, or the wall itself in the sun, where it is unlike the roof; else the roof goes on beyond its outline.
_AT_WALL_PX, _ROOF_PX, _OTHER = 3, 4.0, 35.0


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
    painted, white = (ndimage.binary_opening(look & ~mask, iterations=rounds) for look, rounds in ((painted, 1), (white, 2)))
    unlike, dark = np.zeros(mask.shape, bool), np.zeros(mask.shape, bool)
    for kind in np.unique(kinds[~mask]):
        own = (kinds == kind) & ~mask
        for look in (painted & own, white & own):
            if look.sum() < _COMMON * own.sum():
                unlike |= look
        dark |= own & (brightness < _DARK * np.median(brightness[own])) & (distance < _SHADE_PX)
    unlike = ndimage.binary_dilation(_standing_alone(_larger(unlike, 25), shown, mask), iterations=5)
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


def _standing_alone(found: np.ndarray, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The connected parts of what was ``found`` (S, S) that lie at no wall of the ``mask``, or have the colours of the roof there."""
    if not found.any() or not mask.any():
        return found
    distance, at = ndimage.distance_transform_edt(~mask, return_indices=True)
    inner = ndimage.binary_erosion(mask, iterations=2)
    off = image - smooth(image, inner if inner.any() else mask, _ROOF_PX)[tuple(at)]
    labels, count = ndimage.label(found)
    numbers = np.arange(1, count + 1)
    differs = np.sqrt(np.mean([ndimage.mean(band, labels, numbers) ** 2 for band in np.moveaxis(off, 2, 0)], axis=0))
    is_at_wall = ndimage.minimum(distance, labels, numbers) <= _AT_WALL_PX
    return found & np.isin(labels, numbers[~(is_at_wall & (differs > _OTHER))])


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
