"""How many pixels a mask lies off its image, estimated from the pixels.

A scene is cut into cells. In each, the mask's outline is laid over the image at every shift of up to ``RADIUS_PX``
px, and the contrast of the image across the outline is summed along it, for each colour: roofs may be brighter or
darker than the ground, but one roof's sides mostly agree, while lawns and streets cancel. Every cell thus votes for
shifts. The estimate is the shift with the most votes; it is believed when the cells prefer it over no shift by more
than they differ among themselves.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RADIUS_PX = 12
_SIDE = 2 * RADIUS_PX + 1
_MARGIN_PX = RADIUS_PX + 2  # the outline's filter reaches 2 px beyond it
_CELL_PX = 52  # 80 with margins, a quick size for the FFT. 44 and 68 did not do better (bench/shift_detection.py)
_PATCH_PX = _CELL_PX + 2 * _MARGIN_PX
# A cell with less outline than half its side sees too little of a building.
_MIN_OUTLINE_PX = _CELL_PX // 2
# Cells spread over a scene; more cost time and change nothing.
MAX_CELLS = 200
_MIN_VOTES = 4
# Thresholds read off bench/shift_detection.py: no false alarm in 104 real scenes, 88 % of 5 px shifts and 92 % of 10 px found.
# Agreement is for masks that have nothing to do with their image: of other scenes' masks, 16 % look moved without it, 1 % with it.
CONFIDENT = 3.0
AGREEING = 5.0
MIN_SHIFT_PX = 2.0


@dataclass(frozen=True)
class Shift:
    """The mask's offset from its image: ``down`` and ``right`` in pixels, and how sure that is."""

    down: int
    right: int
    confidence: float  # preference of the estimate over no shift, in standard errors between the votes
    agreement: float  # votes for the estimate, in standard deviations of cells that vote at random
    votes: int

    @property
    def distance_px(self) -> float:
        """Length of the offset."""
        return math.hypot(self.down, self.right)

    @property
    def is_seen(self) -> bool:
        """The image does have edges where the mask has outlines, at this shift."""
        return self.agreement >= AGREEING

    @property
    def is_sure(self) -> bool:
        """Far and confident enough for a warning."""
        return self.is_seen and self.distance_px >= MIN_SHIFT_PX and self.confidence >= CONFIDENT

    def __str__(self) -> str:
        """'5 px right, 3 px up'."""
        parts = []
        if self.right:
            parts.append(f"{abs(self.right)} px {'right' if self.right > 0 else 'left'}")
        if self.down:
            parts.append(f"{abs(self.down)} px {'down' if self.down > 0 else 'up'}")
        return ", ".join(parts) or "0 px"


def cast_votes(image: np.ndarray, mask: np.ndarray, limit: int = MAX_CELLS) -> np.ndarray:
    """Votes (N, 625) of up to ``limit`` cells for each shift of up to 12 px, from (H, W, 3) and (H, W) of 0 and 255.

    A cell's votes have mean 0; cells with more outline have more to say. N is 0 when nothing is to be seen.
    """
    corners, outline_px = _cells(mask, limit)
    if not len(corners):
        return np.zeros((0, _SIDE**2), np.float32)
    cut = [(slice(row, row + _PATCH_PX), slice(col, col + _PATCH_PX)) for row, col in corners]
    filters = np.conj(np.fft.rfft2(_outline_filter(np.stack([mask[window] for window in cut]))))
    patches = np.stack([image[window] for window in cut]).astype(np.float32)  # (N, P, P, 3)
    energy = np.zeros((len(cut), _PATCH_PX, _PATCH_PX), np.float32)
    for band in range(patches.shape[-1]):
        energy += np.fft.irfft2(np.fft.rfft2(patches[..., band]) * filters, s=energy.shape[1:]) ** 2
    contrast = np.roll(np.sqrt(energy), (RADIUS_PX, RADIUS_PX), axis=(1, 2))[:, :_SIDE, :_SIDE].reshape(len(cut), -1)
    contrast -= contrast.mean(axis=1, keepdims=True)
    return contrast / (contrast.std(axis=1, keepdims=True) + 1e-6) * np.sqrt(outline_px)[:, None].astype(np.float32)


def estimate(votes: np.ndarray) -> Shift | None:
    """The shift with the most votes of (N, 625); ``None`` when fewer than four vote."""
    if len(votes) < _MIN_VOTES:
        return None
    total = votes.sum(axis=0)
    best = int(total.argmax())
    preference = votes[:, best] - votes[:, _SIDE * RADIUS_PX + RADIUS_PX]
    confidence = preference.sum() / (math.sqrt(len(votes)) * preference.std(ddof=1) + 1e-6)
    agreement = total[best] / (math.sqrt((votes**2).sum(axis=0).mean()) + 1e-6)
    # The image answers to the outline moved by (row, col): so much must the mask move, and so much it lies off the
    # other way.
    row, col = best // _SIDE - RADIUS_PX, best % _SIDE - RADIUS_PX
    return Shift(-row, -col, float(confidence), float(agreement), len(votes))


def common_shift(totals: Sequence[np.ndarray]) -> Shift | None:
    """The shift that the scenes of one place share, from each scene's votes summed to (625,). One scene, one vote."""
    return estimate(np.stack([total / (total.std() + 1e-6) for total in totals])) if totals else None


def _cells(mask: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Top left corners (N, 2) of patches whose cells hold enough outline, spread over the mask, and that outline's length."""
    height, width = mask.shape
    none = np.zeros((0, 2), int), np.zeros(0, int)
    if height < _PATCH_PX or width < _PATCH_PX:
        return none
    rows, cols = (
        np.unique(np.linspace(0, size - _PATCH_PX, math.ceil((size - 2 * _MARGIN_PX) / _CELL_PX)).round().astype(int))
        for size in (height, width)
    )
    edges = (mask[1:, :-1] != mask[:-1, :-1]) | (mask[:-1, 1:] != mask[:-1, :-1])
    per_cell = np.array([
        np.count_nonzero(edges[row + _MARGIN_PX : row + _MARGIN_PX + _CELL_PX, col + _MARGIN_PX : col + _MARGIN_PX + _CELL_PX])
        for row in rows
        for col in cols
    ])  # fmt: skip
    chosen = np.flatnonzero(per_cell >= _MIN_OUTLINE_PX)
    if len(chosen) > limit:
        chosen = chosen[np.linspace(0, len(chosen) - 1, limit).round().astype(int)]
    corners = np.array([(row, col) for row in rows for col in cols])
    return corners[chosen], per_cell[chosen]


def _outline_filter(masks: np.ndarray) -> np.ndarray:
    """Filters (N, P, P) that sum an image's gradient along the outline's normal, for outlines inside the cells.

    Summing g·n over the outline is the same as correlating the image with −div n; n is the gradient of the smoothed
    mask, zero outside the cell. The filter sums to zero, so that brightness alone gives no contrast.
    """
    smooth = _smooth(masks.astype(np.float32) / 255)
    normal_y, normal_x = np.zeros_like(smooth), np.zeros_like(smooth)
    inside = slice(_MARGIN_PX, -_MARGIN_PX)
    normal_y[:, inside, inside] = (smooth[:, 2:] - smooth[:, :-2])[:, _MARGIN_PX - 1 : 1 - _MARGIN_PX, inside]
    normal_x[:, inside, inside] = (smooth[:, :, 2:] - smooth[:, :, :-2])[:, inside, _MARGIN_PX - 1 : 1 - _MARGIN_PX]
    divergence = np.zeros_like(smooth)
    divergence[:, 1:-1] += normal_y[:, 2:] - normal_y[:, :-2]
    divergence[:, :, 1:-1] += normal_x[:, :, 2:] - normal_x[:, :, :-2]
    return divergence


def _smooth(stack: np.ndarray) -> np.ndarray:
    """Binomial filter of 5×5 px over (N, P, P); the borders, which no cell reaches, keep their values."""
    for axis in (1, 2):
        moved = np.moveaxis(stack, axis, 0)
        out = moved.copy()
        out[2:-2] = (moved[:-4] + 4 * moved[1:-3] + 6 * moved[2:-2] + 4 * moved[3:-1] + moved[4:]) / 16
        stack = np.moveaxis(out, 0, axis)
    return stack
