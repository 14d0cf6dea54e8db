"""Distances that the package has no name for, and intervals that all runs share: pure functions on arrays."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from orthoforge.measures.realism.distances import Resampled, kernel_distance, kernel_interval, resample
from orthoforge.measures.realism.realism import split_halves
from orthoforge.measures.spectra import ROUNDING_POWER, radial_spectrum
from orthoforge.models.conditions import encode_image

BINS = 8  # a band, in the joint histogram: 32 levels each
SPLITS = 20


def ring_decibels(images: np.ndarray) -> np.ndarray:
    """Mean power by frequency in dB (N, rings) of images (N, H, W, 3) uint8; not below what rounding to bytes leaves."""
    power = radial_spectrum(encode_image(torch.from_numpy(images)))[1]
    return (10 * torch.log10(power + ROUNDING_POWER)).numpy()


def spectrum_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Root mean square difference, in dB, of two sets' mean ``ring_decibels``: what ``orthoforge evaluate`` calls spectrum_db."""
    return float(np.sqrt(np.square(first.mean(axis=0) - second.mean(axis=0)).mean()))


def colour_histograms(images: np.ndarray) -> np.ndarray:
    """Share of pixels by colour (N, 512) of images (N, H, W, 3) uint8, in bins of 32 levels of red, green and blue together."""
    bands = images.reshape(len(images), -1, 3) // (256 // BINS)
    numbers = (bands[..., 0].astype(int) * BINS + bands[..., 1]) * BINS + bands[..., 2]
    return np.stack([np.bincount(each, minlength=BINS**3) / len(each) for each in numbers])


def colour_distance(first: np.ndarray, second: np.ndarray) -> float:
    """1 − Σ min(p, q) of two sets' mean ``colour_histograms``: 0 for the same colours as often, 1 for none in common.

    Swain and Ballard 1991 ("Color indexing", eq. 1): histogram intersection. Half the L1 distance.
    """
    return float(1 - np.minimum(first.mean(axis=0), second.mean(axis=0)).sum())


def band_histograms(images: np.ndarray) -> np.ndarray:
    """Share of pixels by level (N, 3·256) of images (N, H, W, 3) uint8, band after band."""
    bands = images.reshape(len(images), -1, 3)
    return np.stack([np.concatenate([np.bincount(band, minlength=256) / len(band) for band in each.T]) for each in bands])


def level_distance(first: np.ndarray, second: np.ndarray) -> float:
    """How many levels the pixels of one set would have to move to have the other's ``band_histograms``, mean over the bands.

    The earth mover's distance in one dimension, Σ |F − G| of the cumulative histograms (Rubner et al. 2000). Unlike
    ``colour_distance`` it knows that a slightly other colour is nearly the same.
    """
    apart = (first.mean(axis=0) - second.mean(axis=0)).reshape(3, 256)
    return float(np.abs(np.cumsum(apart, axis=1)).sum(axis=1).mean())


def of_halves(scenes: Sequence[str], distance: Callable[[np.ndarray, np.ndarray], float], *, seed: int = 0) -> float | None:
    """Mean of ``distance(one, other)`` over ways to halve numbers of images, by scene where there are several."""
    rng = np.random.default_rng(seed)
    by_scene = len(set(scenes)) > 1
    halves = [split_halves(scenes, rng, by_scene=by_scene) for _ in range(SPLITS)]
    values = [distance(one, other) for one, other in halves if min(len(one), len(other)) > 1]
    return float(np.mean(values)) if values else None


def scene_draws(scenes: Sequence[str], *, seed: int = 0) -> np.ndarray | None:
    """How often each image counts (rounds, N) when whole scenes are drawn with putting back; ``None`` with one scene.

    A function of the scenes and the seed: all runs on the same tiles get the same draws, so differences have intervals, too.
    """
    drawn = resample(scenes, scenes, together=True, seed=seed)
    return None if drawn is None else drawn.x


def kernel_draws(fake: np.ndarray, real: np.ndarray, scenes: Sequence[str], *, seed: int = 0) -> list[float] | None:
    """``kernel_distance`` of images of the same tiles in each of the ``scene_draws``; ``None`` with one scene."""
    drawn = resample(scenes, scenes, together=True, seed=seed)
    if drawn is None:
        return None
    values = []
    for some in drawn.x:  # the interval of a single draw is that draw's distance
        alone = Resampled(some[None], some[None], drawn.x_groups, drawn.y_groups)
        values.append(float(kernel_interval(fake, real, alone)[0]))
    return values


def kernel_figures(fake: np.ndarray, real: np.ndarray, scenes: Sequence[str]) -> dict[str, float | list[float] | None]:
    """Kernel distance × 1000 of vectors (N, C) of the same tiles in the same order, with what it must be read beside.

    ``floor`` is that of halves of the real ones which share no scene, ``matched`` that of fakes in place of one of the halves, and
    ``above`` what it lies above the floor. Both halves are as small and share as little, so it is 0 for fakes as good as real ones;
    ``value`` itself, of twice as many images, would then lie below the floor. ``draws`` by scene vary ``above`` as they vary
    ``value``.
    """
    floor = of_halves(scenes, lambda one, other: 1000 * kernel_distance(real[other], real[one]))
    matched = of_halves(scenes, lambda one, other: 1000 * kernel_distance(fake[other], real[one]))
    value = 1000 * kernel_distance(fake, real)
    draws = kernel_draws(fake, real, scenes)
    above = value if floor is None or matched is None else matched - floor
    moved = None if draws is None else [1000 * draw - value + above for draw in draws]
    return {"value": value, "floor": floor, "matched": matched, "above": above, "draws": moved}
