"""Whether generated images are copies of training tiles: the nearest training tile of each, beside what real test tiles have."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from orthoforge.measures.realism.distances import squared_distances

# Training tiles beyond these are left out, spread over the set; the report says so.
MOST_TRAINING_TILES = 4000
# Nearer to a training tile than all but so many of the real test tiles are.
_NEAR_SHARE = 0.01


class Memorisation(TypedDict):
    """Distances of generated and of real images to their nearest training tile."""

    median_generated: float
    median_real: float
    ratio: float | None
    least_generated: float
    least_real: float
    nearer_than_real: float
    expected_nearer: float
    n_generated: int
    n_real: int
    searched: int
    training_tiles: int


@dataclass(frozen=True)
class Neighbours:
    """Nearest training tile of each image: its tile id (N,), and the distance (N,) in the network's vectors."""

    tile_ids: np.ndarray
    distances: np.ndarray


def nearest(vectors: Sequence[np.ndarray], training: Iterator[tuple[Sequence[int], np.ndarray]]) -> list[Neighbours]:
    """For each set of vectors (N, C) the nearest among the training tiles, which come as batches of ids and vectors.

    Euclidean. Memory does not grow with the number of training tiles.
    """
    ids = [np.full(len(some), -1) for some in vectors]
    best = [np.full(len(some), np.inf) for some in vectors]
    for tile_ids, rows in training:
        for index, some in enumerate(vectors):
            if not len(some):
                continue
            apart = squared_distances(some, rows)
            column = apart.argmin(axis=1)
            found = apart[np.arange(len(some)), column]
            closer = found < best[index]
            best[index][closer] = found[closer]
            ids[index][closer] = np.asarray(tile_ids)[column[closer]]
    return [Neighbours(of, np.sqrt(squared)) for of, squared in zip(ids, best, strict=True)]


def chosen_training_tiles(tile_ids: np.ndarray) -> np.ndarray:
    """All of them, or ``MOST_TRAINING_TILES`` spread over the set."""
    if len(tile_ids) <= MOST_TRAINING_TILES:
        return tile_ids
    return tile_ids[np.linspace(0, len(tile_ids) - 1, MOST_TRAINING_TILES).round().astype(int)]


def memorisation(fake: Neighbours, real: Neighbours, *, searched: int, training_tiles: int) -> Memorisation:
    """Medians of both distances, their ratio, and the share of images that lie nearer than real ones ever do.

    ``real`` is the yardstick: test tiles were not trained on, and resemble the training tiles as strangers of the same place do.
    The ratio is 1 when the generated images are as far from the training tiles as they are, and 0 for copies.
    """
    medians = float(np.median(fake.distances)), float(np.median(real.distances))
    threshold = float(np.quantile(real.distances, _NEAR_SHARE))
    return {
        "median_generated": medians[0],
        "median_real": medians[1],
        "ratio": medians[0] / medians[1] if medians[1] > 0 else None,
        "least_generated": float(fake.distances.min()),
        "least_real": float(real.distances.min()),
        "nearer_than_real": float((fake.distances < threshold).mean()),
        "expected_nearer": _NEAR_SHARE,
        "n_generated": len(fake.distances),
        "n_real": len(real.distances),
        "searched": searched,
        "training_tiles": training_tiles,
    }


def levels_apart(image: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference of two images of one size, in levels: whether what lies near is also the same, pixel by pixel."""
    return float(np.abs(image.astype(np.int16) - other).mean())
