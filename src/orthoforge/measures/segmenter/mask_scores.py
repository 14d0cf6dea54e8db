"""How far two masks agree, in pixels and along edges, so that counts of tiles add up to a set's. Pure functions on arrays."""

from collections.abc import Mapping, Sequence

import numpy as np

from orthoforge.errors import DataError

BOUNDARY_PX = 3
COUNTS = ("hit", "extra", "missed", "edge_predicted", "edge_right", "edge_real", "edge_found")

Scores = dict[str, float | int]


def mask_scores(
    predicted: np.ndarray, mask: np.ndarray, *, boundary_px: int = BOUNDARY_PX, class_count: int | None = None
) -> Scores:
    """Agreement of a predicted with a true mask (H, W), or of batches (N, H, W) counted together: counts, and scores from them.

    Building masks (``class_count`` left out) hold 0 for ground and anything else for building. Pixels: ``hit``, ``extra``,
    ``missed``; ``iou`` and ``f1``. Edges: pixels of a mask beside one outside it, ``edge_predicted`` and ``edge_real``; those with
    an edge pixel of the other mask within ``boundary_px`` (a disc) are ``edge_right`` and ``edge_found``, and ``boundary_f`` is the
    harmonic mean of both shares (Csurka et al. 2013). The picture's own border is no edge. Nothing where nothing is scores 1.

    With ``class_count``, masks hold indices; every name ends in ``.0``, ``.1``, …, and ``iou``, ``f1``, ``boundary_f`` alone are
    the means over classes that are in either mask. ``pooled_scores`` adds tiles up. Raises ``DataError`` when the sizes differ.
    """
    predicted, mask = np.asarray(predicted), np.asarray(mask)
    if predicted.shape != mask.shape:
        raise DataError(
            f"the predicted mask is {_size(predicted)} and the true one {_size(mask)}; only masks of one size can be compared."
        )
    if mask.ndim not in (2, 3) or 0 in mask.shape:
        raise DataError(f"masks have shape (height, width), or (number, height, width); these have {mask.shape}.")
    if class_count is None:
        return with_scores(_counts(predicted > 0, mask > 0, boundary_px))
    counts: Scores = {}
    for index in range(class_count):
        of_class = _counts(predicted == index, mask == index, boundary_px)
        counts |= {f"{name}.{index}": value for name, value in of_class.items()}
    return with_scores(counts)


def pooled_scores(tiles: Sequence[Mapping[str, float | int]]) -> Scores:
    """Scores of a set from those of its tiles: counts are added up, so that large buildings weigh as much as their pixels."""
    if not tiles:
        raise DataError("there is no tile to take the scores of.")
    names = [name for name in tiles[0] if name.split(".")[0] in COUNTS]
    return with_scores({name: int(sum(tile[name] for tile in tiles)) for name in names})


def with_scores(counts: Mapping[str, float | int]) -> Scores:
    """The counts, and what follows from them."""
    suffixes = [name.removeprefix("hit") for name in counts if name.split(".")[0] == "hit"]
    scores: Scores = dict(counts)
    present = []
    for suffix in suffixes:
        hit, extra, missed, edge_predicted, edge_right, edge_real, edge_found = (counts[name + suffix] for name in COUNTS)
        scores[f"iou{suffix}"] = hit / (hit + extra + missed) if hit + extra + missed else 1.0
        scores[f"f1{suffix}"] = 2 * hit / (2 * hit + extra + missed) if hit + extra + missed else 1.0
        scores[f"boundary_f{suffix}"] = _harmonic(edge_right, edge_predicted, edge_found, edge_real)
        if hit + extra + missed:
            present.append(suffix)
    if suffixes != [""]:
        for name in ("iou", "f1", "boundary_f"):
            scores[name] = float(np.mean([scores[name + suffix] for suffix in present]))
    return scores


def chance_iou(scores: Mapping[str, float | int], pixels: int) -> float:
    """IoU on average of as many predicted and as many true pixels without any relation, of ``pixels``; mean over classes."""
    values = []
    for suffix in (name.removeprefix("hit") for name in scores if name.split(".")[0] == "hit"):
        predicted = (scores[f"hit{suffix}"] + scores[f"extra{suffix}"]) / pixels
        real = (scores[f"hit{suffix}"] + scores[f"missed{suffix}"]) / pixels
        if predicted or real:
            values.append(predicted * real / (predicted + real - predicted * real))
    return float(np.mean(values))


def components(mask: np.ndarray) -> np.ndarray:
    """Numbers (H, W) from 1 of the connected parts of a mask (bool), 0 elsewhere. Pixels that share a side are connected."""
    flat = np.arange(mask.size)
    parent = flat.copy()
    pairs = []
    for first, second in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        both = mask[first] & mask[second]
        numbers = flat.reshape(mask.shape)
        pairs.append((numbers[first][both], numbers[second][both]))
    a, b = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
    while True:  # each round hangs the root of one end below the smaller root of the other (Shiloach & Vishkin 1982)
        low, high = np.minimum(parent[a], parent[b]), np.maximum(parent[a], parent[b])
        if (low == high).all():
            break
        np.minimum.at(parent, high, low)
        while (parent != (above := parent[parent])).any():
            parent = above
    labels = np.zeros(mask.size, np.int64)
    labels[mask.ravel()] = np.unique(parent[mask.ravel()], return_inverse=True)[1] + 1
    return labels.reshape(mask.shape)


def _counts(predicted: np.ndarray, real: np.ndarray, boundary_px: int) -> Scores:
    """Of two masks (..., H, W), bool."""
    edge_predicted, edge_real = _edge(predicted), _edge(real)
    counted = {
        "hit": predicted & real,
        "extra": predicted & ~real,
        "missed": real & ~predicted,
        "edge_predicted": edge_predicted,
        "edge_right": edge_predicted & _near(edge_real, boundary_px),
        "edge_real": edge_real,
        "edge_found": edge_real & _near(edge_predicted, boundary_px),
    }
    return {name: int(pixels.sum()) for name, pixels in counted.items()}


def _harmonic(right: float, predicted: float, found: float, real: float) -> float:
    """Harmonic mean of right / predicted and found / real; 1 where there is no edge at all, 0 where only one mask has any."""
    if not predicted and not real:
        return 1.0
    if not right or not found:
        return 0.0
    return 2 / (predicted / right + real / found)


def _edge(mask: np.ndarray) -> np.ndarray:
    """Pixels of a mask (..., H, W) that share a side with one outside it."""
    edge = np.zeros_like(mask)
    edge[..., 1:, :] |= ~mask[..., :-1, :]
    edge[..., :-1, :] |= ~mask[..., 1:, :]
    edge[..., :, 1:] |= ~mask[..., :, :-1]
    edge[..., :, :-1] |= ~mask[..., :, 1:]
    return edge & mask


def _near(mask: np.ndarray, radius_px: int) -> np.ndarray:
    """Pixels with one of the mask (..., H, W) within ``radius_px``, in a disc."""
    height, width = mask.shape[-2:]
    padded = np.pad(mask, [(0, 0)] * (mask.ndim - 2) + [(radius_px, radius_px)] * 2)
    near = np.zeros_like(mask)
    for row in range(-radius_px, radius_px + 1):
        for col in range(-radius_px, radius_px + 1):
            if row * row + col * col <= radius_px * radius_px:
                top, left = radius_px + row, radius_px + col
                near |= padded[..., top : top + height, left : left + width]
    return near


def _size(mask: np.ndarray) -> str:
    return "×".join(map(str, mask.shape[::-1])) + " px"
