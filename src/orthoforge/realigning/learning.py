"""What a segmenter that was taught on other ground says of a scene: the logarithm of the odds of building, pixel by pixel.

Crops are turned and mirrored with their masks, and what is said is the mean over all eight orientations. So a shift that all masks
share points everywhere in training and is no place that a segmenter could learn: it learns the middle.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from orthoforge.geo.grid import Window
from orthoforge.measures.segmenter.augmentation import source_px, strongly_augmented
from orthoforge.measures.segmenter.segmentation import Sample, SegmenterSettings

Probabilities = Callable[[np.ndarray], np.ndarray]
"""Images (N, H, W, 3) uint8 to how likely each pixel is building, (N, H, W) float32."""

# What is further from even odds says no more: a network is not surer than that of anything.
SURE = 6.0
_WINDOW_PX, _OVERLAP_PX = 256, 64
_CROP, _TURN = 0, 1  # streams of chance


@dataclass(frozen=True)
class Ground:
    """A piece of a scene to learn on: image (H, W, 3) and mask (H, W), uint8, of 0 and 255."""

    image: np.ndarray
    mask: np.ndarray


def ground_sample(grounds: Sequence[Ground], settings: SegmenterSettings) -> Sample:
    """Strongly augmented crops in all eight orientations. Larger pieces are drawn more often, by their area.

    Pieces smaller than a crop are mirrored at their edges. A batch is a function of the settings' seed and the step only.
    """
    areas = np.array([ground.mask.size for ground in grounds], np.float64)
    side = source_px(settings.crop_px, 10**9)

    def one(key: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([*key, _CROP])
        ground = grounds[rng.choice(len(grounds), p=areas / areas.sum())]
        corner = [int(rng.integers(0, max(0, length - side) + 1)) for length in ground.mask.shape]
        cut = tuple(slice(start, start + side) for start in corner)
        turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
        image, mask = (_turned(_filled(array[cut], side), turns, mirrored) for array in (ground.image, ground.mask))
        return image, mask

    def sample(step: int) -> tuple[np.ndarray, np.ndarray]:
        numbers = range(step * settings.batch_size, (step + 1) * settings.batch_size)
        images, masks = zip(*(one((settings.seed, number)) for number in numbers), strict=True)
        keys = [(settings.seed, number, _TURN) for number in numbers]
        return strongly_augmented(np.stack(images), np.stack(masks), crop_px=settings.crop_px, keys=keys)

    return sample


def log_odds(image: np.ndarray, probabilities: Probabilities) -> np.ndarray:
    """(H, W) float32 in [-SURE, SURE] of an image (H, W, 3) uint8, window by window: the mean over all eight orientations."""
    height, width = image.shape[:2]
    total, weights = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    for window in _windows(height, width):
        pixels = image[window.slices]
        weight = np.minimum.outer(_ramp(window.height), _ramp(window.width))
        total[window.slices] += weight * _looked_at(pixels, probabilities)
        weights[window.slices] += weight
    return total / weights


def _looked_at(pixels: np.ndarray, probabilities: Probabilities) -> np.ndarray:
    said = np.zeros(pixels.shape[:2], np.float32)
    for mirrored in (False, True):
        for turns in range(4):
            seen = probabilities(np.ascontiguousarray(_turned(pixels, turns, mirrored))[None])[0]
            odds = np.clip(logit(seen.astype(np.float64)), -SURE, SURE)
            back = np.rot90(odds, -turns)
            said += (back[:, ::-1] if mirrored else back).astype(np.float32)
    return said / 8


def _turned(array: np.ndarray, turns: int, mirrored: bool) -> np.ndarray:
    return np.rot90(array[:, ::-1] if mirrored else array, turns)


def _filled(array: np.ndarray, side: int) -> np.ndarray:
    beyond = [(0, max(0, side - length)) for length in array.shape[:2]]
    return np.pad(array, [*beyond, *[(0, 0)] * (array.ndim - 2)], mode="symmetric") if any(map(any, beyond)) else array


def _windows(height: int, width: int) -> Iterator[Window]:
    for row in _starts(height):
        for col in _starts(width):
            yield Window(row, col, min(_WINDOW_PX, height), min(_WINDOW_PX, width))


def _starts(length: int) -> list[int]:
    last = max(0, length - _WINDOW_PX)
    count = -(-last // (_WINDOW_PX - _OVERLAP_PX)) + 1
    return [int(start) for start in np.unique(np.linspace(0, last, count).round())]


def _ramp(length: int) -> np.ndarray:
    """Less weight towards the ends, where a network sees the ground on one side only; above 0 everywhere."""
    inward = np.minimum(np.arange(length), np.arange(length)[::-1]) + 1
    return np.minimum(inward / (_OVERLAP_PX / 2), 1).astype(np.float32)
