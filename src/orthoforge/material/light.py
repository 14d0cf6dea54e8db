"""Light: where the sun stands in images of a place, and the shadows that buildings throw under it."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from scipy.optimize import isotonic_regression

_DIRECTIONS = 24
_RING_PX = (3, 5, 7)
# Below this contrast between the sunny and the shady side of walls the sky is taken to be overcast.
_LEAST_CONTRAST = 0.03
SHADE_REACH_PX = 16
_OUTLINE_PX = 2  # an outline leaves its mask by no more
_TINT = 1.1
_LIFT = 0.5  # the sky lights shade evenly, yet what is darker in the sun stays so
_FLOOR, _DEPTH = 0.25, 0.4  # quantiles of the pixels beside walls on the side away from the sun: shade leaves some of them out


@dataclass(frozen=True)
class Light:
    """``direction`` is that in which shadows fall, as (rows, columns) of length 1, (0, 0) under an overcast sky; ``length_px`` how
    far they reach in the mean; ``ratio`` (B,) what is left of each band in the shade, ``floor`` (B,) what is so dark already that
    shade hardly changes it, and ``open`` (B,) what open ground has in the sun."""

    direction: tuple[float, float]
    length_px: float
    ratio: np.ndarray
    floor: np.ndarray
    open: np.ndarray

    @property
    def azimuth(self) -> float | None:
        """Where the sun stands, in degrees clockwise from north; ``None`` under an overcast sky."""
        rows, cols = self.direction
        return None if (rows, cols) == (0.0, 0.0) else float(np.degrees(np.arctan2(-cols, rows)) % 360)

    def under(self, azimuth: float) -> "Light":
        """The same with the sun there."""
        angle = np.radians(azimuth)
        return replace(self, direction=(float(np.cos(angle)), -float(np.sin(angle))))


def light_of(images: np.ndarray, masks: np.ndarray, open_ground: np.ndarray, shade: np.ndarray) -> Light:
    """The light of images (N, S, S, B) uint8 with building masks, bool (N, S, S): of their sunlit ``open_ground`` and ``shade``."""
    brightness = images.mean(axis=3)
    angles = 2 * np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
    ground = ~ndimage.binary_dilation(masks, np.ones((1, 3, 3), bool))
    beside = np.array([_beside_walls(brightness, masks, ground, angle) for angle in angles])
    first = (beside * np.exp(1j * angles)).mean()
    direction = (0.0, 0.0)
    if np.isfinite(first) and 2 * abs(first) > _LEAST_CONTRAST * np.nanmean(beside):
        away = np.angle(-first)  # from the bright side of walls to the dark one
        direction = (float(np.sin(away)), float(np.cos(away)))
    bands = images.shape[3]
    beside_sun_off = _beside(masks, ground, float(np.arctan2(*direction)))
    if not shade.any() or not open_ground.any() or not beside_sun_off.any():
        return Light(direction, 6.0, np.full(bands, 0.55), np.zeros(bands), np.full(bands, 128.0))
    # Not the pixels found to be shade: they are found by being dark, and the darkest of them.
    floor, middle = np.quantile(images[beside_sun_off], (_FLOOR, _DEPTH), axis=0)
    lit = np.maximum(np.median(images[open_ground], axis=0), 1)
    ratio = middle / lit
    ratio = ratio.mean() * np.clip(ratio / ratio.mean(), 1 / _TINT, _TINT)  # beside walls grow leaves, which tint no shade
    if bands == 3:
        ratio = _rising(ratio)
    floor = floor.mean() * lit / lit.mean()
    distance = np.concatenate(
        [ndimage.distance_transform_edt(~mask)[dark] for mask, dark in zip(masks, shade, strict=True) if dark.any()]
    )
    return Light(direction, float(np.clip(2 * np.median(distance), 3, SHADE_REACH_PX)), np.clip(ratio, 0.35, 0.9), floor, lit)


def _rising(ratio: np.ndarray) -> np.ndarray:
    """The nearest values (B,), by least squares, of which none is below the one before it: what lights shade is the sky, which is
    blue, so that of bands from long waves to short ones a shorter one loses no more."""
    return isotonic_regression(ratio).x


def _beside_walls(brightness: np.ndarray, masks: np.ndarray, ground: np.ndarray, angle: float) -> float:
    """Mean brightness of the ground some pixels off walls in one direction."""
    seen = _beside(masks, ground, angle)
    return float(brightness[seen].mean()) if seen.any() else np.nan


def _beside(masks: np.ndarray, ground: np.ndarray, angle: float) -> np.ndarray:
    """(N, S, S) bool: the ``ground`` (N, S, S) some pixels off walls in one direction."""
    seen = np.zeros(masks.shape, bool)
    for distance in _RING_PX:
        rows, cols = round(distance * np.sin(angle)), round(distance * np.cos(angle))
        seen |= shifted(masks, rows, cols)
    return seen & ground


def shaded(image: np.ndarray, depth: np.ndarray, light: Light) -> np.ndarray:
    """The image (H, W, B) in shade of a ``depth`` (H, W) from 0 to 1; what lies in the shade of something else stays as it is."""
    out = image.copy()
    where = depth > 0
    lit = image[where]
    least = light.floor * np.clip(lit / light.open, 0.25, 1.5) ** _LIFT
    dark = np.maximum(lit * light.ratio, np.minimum(lit, least))
    out[where] = lit + depth[where][:, None] * (dark - lit)
    return out


def cast_shadow(ids: np.ndarray, covered: np.ndarray, reach_px: np.ndarray, light: Light) -> np.ndarray:
    """How deep in shadow each pixel of the ground lies, (H, W) float32 in [0, 1]; 0 on buildings.

    ``ids`` (H, W) is 0 on the ground and i + 1 on building i, whose shadow reaches ``reach_px[i]``; roofs are ``covered`` (H, W) of
    each pixel, so that edges of shadows are lines as those of roofs are.
    """
    dark = np.zeros(ids.shape, np.float32)
    reach = ndimage.maximum_filter(np.concatenate([[0.0], reach_px]).astype(np.float32)[ids], 2 * _OUTLINE_PX + 1)
    for step in range(1, int(np.ceil(reach_px.max(initial=0))) + 1):
        cast = np.clip(reach - step + 0.5, 0, 1) * covered
        np.maximum(dark, _between_pixels(cast, step * light.direction[0], step * light.direction[1]), out=dark)
    return ndimage.gaussian_filter(dark, 0.7, truncate=3) * (ids == 0)


def _between_pixels(array: np.ndarray, rows: float, cols: float) -> np.ndarray:
    """``shifted`` by parts of pixels as well, bilinearly."""
    (top, down), (left, right) = ((int(np.floor(by)), by - np.floor(by)) for by in (rows, cols))
    return sum(
        (weight_down * weight_right * shifted(array, top + at_row, left + at_col)
        for at_row, weight_down in ((0, 1 - down), (1, down)) for at_col, weight_right in ((0, 1 - right), (1, right))
        if weight_down * weight_right),
        start=np.zeros(array.shape, np.float32),
    )  # fmt: skip


def shifted(array: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """``array`` (..., H, W) moved down and to the right, with zeros coming in."""
    out = np.zeros_like(array)
    height, width = array.shape[-2:]
    if abs(rows) < height and abs(cols) < width:
        to = (slice(max(0, rows), height + min(0, rows)), slice(max(0, cols), width + min(0, cols)))
        of = (slice(max(0, -rows), height + min(0, -rows)), slice(max(0, -cols), width + min(0, -cols)))
        out[(..., *to)] = array[(..., *of)]
    return out
