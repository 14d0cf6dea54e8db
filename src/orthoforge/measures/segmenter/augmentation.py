"""Strong augmentation of crops: colour, sharpness and scale change at random. Pure functions on arrays.

It costs no label and no image: a segmenter that has to stand another flight's light, camera and resolution is trained with it
anyway. A gain of synthetic images counts beyond it only.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from PIL import Image
from scipy import ndimage

Augmentation = Literal["strong", "flips"]

SCALES = (0.7, 1.4)
# Limits of what is drawn evenly: brightness in levels, hue in turns, the others as factors (gamma and gains by their logarithm).
_BRIGHTNESS, _HUE = 40.0, 0.06
_CONTRAST, _SATURATION = (0.6, 1.4), (0.3, 1.7)
_GAMMA, _CHANNEL_GAIN = 1.5, 1.15
# Shares of crops that are blurred and that get noise, and how much at most: pixels, levels.
_BLURRED, _BLUR_PX = 0.3, 1.5
_NOISY, _NOISE = 0.3, 12.0
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def source_px(crop_px: int, most_px: int) -> int:
    """Side of the crops that ``strongly_augmented`` makes crops of ``crop_px`` of: enough to show more ground, where tiles of
    ``most_px`` have it."""
    return min(most_px, math.ceil(crop_px / SCALES[0]))


def strongly_augmented(
    images: np.ndarray, masks: np.ndarray, *, crop_px: int, keys: Sequence[Sequence[int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Crops (N, C, C, 3) and masks (N, C, C) uint8 of side ``crop_px``, out of larger ones (N, S, S, 3) and (N, S, S).

    A crop shows 1 / 1.4 to 1 / 0.7 of ``crop_px`` of its source, at a random place of it; of a source too small, all of it,
    mirrored at the edges. Colours, sharpness and noise change as well, of the image alone. All that is random about a crop is a
    function of its key, whole numbers such as (seed, stream, number).
    """
    pairs = [
        _one(image, mask, crop_px, np.random.default_rng([*key]))
        for image, mask, key in zip(images, masks, keys, strict=True)
    ]  # fmt: skip
    both = zip(*pairs, strict=True)
    return np.stack(next(both)), np.stack(next(both))


def _one(image: np.ndarray, mask: np.ndarray, crop_px: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    scale = math.exp(rng.uniform(math.log(SCALES[0]), math.log(SCALES[1])))
    image, mask = _scaled(image, mask, crop_px, scale, rng)
    return _recoloured(image, rng), mask


def _scaled(
    image: np.ndarray, mask: np.ndarray, crop_px: int, scale: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """``crop_px`` / ``scale`` pixels of the source as ``crop_px``. Image smoothly, mask by its nearest pixel."""
    side = crop_px / scale
    beyond = math.ceil(side) - len(image)
    if beyond > 0:
        before = beyond // 2
        grow = (before, beyond - before), (before, beyond - before)
        image, mask = np.pad(image, (*grow, (0, 0)), mode="symmetric"), np.pad(mask, grow, mode="symmetric")
    left, top = rng.uniform(0, len(image) - side, 2)
    box, size = (left, top, left + side, top + side), (crop_px, crop_px)
    resized = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, box=box)
    nearest = Image.fromarray(mask).resize(size, Image.Resampling.NEAREST, box=box)
    return np.asarray(resized), np.asarray(nearest)


def _recoloured(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    pixels = _hue_turned(image.astype(np.float32), rng.uniform(-_HUE, _HUE))
    grey = (pixels @ _GREY)[..., None]
    pixels = grey + (pixels - grey) * np.float32(rng.uniform(*_SATURATION))
    pixels *= _gains(_CHANNEL_GAIN, rng, 3)
    middle = pixels.mean(dtype=np.float64)
    pixels = (pixels - np.float32(middle)) * np.float32(rng.uniform(*_CONTRAST))
    pixels += np.float32(middle + rng.uniform(-_BRIGHTNESS, _BRIGHTNESS))
    pixels = 255 * (np.clip(pixels, 0, 255) / 255) ** _gains(_GAMMA, rng, 1)
    blurred, noisy = rng.random(2)
    if blurred < _BLURRED:
        sigma = rng.uniform(0, _BLUR_PX)
        pixels = ndimage.gaussian_filter(pixels, (sigma, sigma, 0), mode="nearest")
    if noisy < _NOISY:
        pixels += np.float32(rng.uniform(0, _NOISE)) * rng.standard_normal(pixels.shape, np.float32)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _gains(most: float, rng: np.random.Generator, count: int) -> np.ndarray:
    """Factors from 1 / ``most`` to ``most``."""
    return np.exp(rng.uniform(-math.log(most), math.log(most), count)).astype(np.float32)


def _hue_turned(pixels: np.ndarray, turn: float) -> np.ndarray:
    """Colours (H, W, 3) turned about the axis of greys, which stay as they are."""
    angle = 2 * math.pi * turn
    cosine, sine = math.cos(angle), math.sin(angle) / math.sqrt(3)
    shared = (1 - cosine) / 3
    turned = [[cosine + shared, shared - sine, shared + sine]]
    for _ in range(2):  # red, green and blue change places in a circle
        turned.append([turned[-1][-1], *turned[-1][:-1]])
    return pixels @ np.array(turned, np.float32).T
