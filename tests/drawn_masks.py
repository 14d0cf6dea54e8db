"""Masks drawn at random."""

import numpy as np
import torch


def tensor(mask):
    """A mask (H, W) of any type as (1, 1, H, W) of 0 and 1."""
    return torch.from_numpy(np.asarray(mask) > 0).float()[None, None]


def town(rng, side=64, houses=12, longest=40):
    """Rectangles at random, over and beside one another."""
    mask = np.zeros((side, side), bool)
    for row, col in rng.integers(0, side - 8, (houses, 2)):
        height, width = rng.integers(3, longest, 2)
        mask[row : row + height, col : col + width] = True
    for row, col in rng.integers(0, side, (houses, 2)):  # and gaps of a pixel between some of them
        mask[row] &= rng.random() < 0.7
        mask[:, col] &= rng.random() < 0.7
    return mask


def row_of_houses(count, side=12, gap=4):
    """Houses as far apart as no edge can meet, in a mask (side + 2 gaps, …)."""
    mask = np.zeros((side + 2 * gap, count * (side + gap) + gap), bool)
    for number in range(count):
        left = gap + number * (side + gap)
        mask[gap : gap + side, left : left + side] = True
    return mask
