"""How much images of one mask differ from seed to seed."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from orthoforge.measures.means import mean_and_error
from orthoforge.measures.realism.features import perceptual_distance
from orthoforge.progress import Progress

MASKS, SEEDS = 16, 4
# So many masks without any difference are enough to call a network deterministic.
PROBED = 2


class Diversity(TypedDict):
    """Mean perceptual distance of two images of one mask, ``between_masks`` that of two real ones; ``levels`` pixel by pixel."""

    value: float
    standard_error: float | None
    levels: float
    between_masks: float | None
    masks: int
    seeds: list[int]
    deterministic: bool


def diversity(
    draw: Callable[[int, int], np.ndarray],
    reals: Sequence[np.ndarray],
    maps_of: Callable[[np.ndarray], list[Tensor]],
    *,
    first_seed: int,
) -> Diversity:
    """Mean perceptual distance between all pairs of images of one mask, over some masks.

    ``draw(number, seed)`` makes image ``number`` (H, W, 3); ``maps_of`` gives the maps of a batch (N, H, W, 3). ``reals`` are the
    real images of the same masks: the distance between two of them, of different masks, says what the figure could grow to.
    """
    distances: list[float] = []
    levels: list[float] = []
    seeds = [first_seed + step for step in range(SEEDS)]
    for number in Progress("diversity").over(range(len(reals)), f"masks, {SEEDS} images each", len(reals)):
        if number == PROBED and not any(levels):  # nothing is random in this network: the others would show the same
            break
        images = np.stack([draw(number, seed) for seed in seeds])
        pairs = list(itertools.combinations(range(SEEDS), 2))
        levels.append(float(np.mean([np.abs(images[a].astype(np.int16) - images[b]).mean() for a, b in pairs])))
        distances.append(float(_pairs(maps_of(images), pairs).mean()) if levels[-1] else 0.0)
    apart = mean_and_error(distances)
    return {
        "value": apart["mean"],
        "standard_error": apart["standard_error"],
        "levels": math.fsum(levels) / len(levels),
        "between_masks": _between(reals, maps_of),
        "masks": len(distances),
        "seeds": seeds,
        "deterministic": not any(levels),
    }


def _between(reals: Sequence[np.ndarray], maps_of: Callable[[np.ndarray], list[Tensor]]) -> float | None:
    if len(reals) < 2:
        return None
    maps = maps_of(np.stack(reals))
    return float(_pairs(maps, [(a, (a + 1) % len(reals)) for a in range(len(reals))]).mean())


def _pairs(maps: Sequence[Tensor], pairs: Sequence[tuple[int, int]]) -> Tensor:
    firsts, seconds = (torch.tensor(side) for side in zip(*pairs, strict=True))
    return perceptual_distance([some[firsts] for some in maps], [some[seconds] for some in maps])
