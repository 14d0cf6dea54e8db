"""Masks drawn at random, and the numbers of their buildings."""

import numpy as np
import torch

from orthoforge.models.noise import NoiseField
from orthoforge.models.roofs import CELL, buildings_of

CPU = torch.device("cpu")


def tensor(mask):
    """A mask (H, W) of any type as (1, 1, H, W) of 0 and 1."""
    return torch.from_numpy(np.asarray(mask) > 0).float()[None, None]


def drawn_for(mask, seed=0, origin=(0, 0)):
    sides = (side // CELL for side in mask.shape)
    return NoiseField(seed, *origin).uniform(0, torch.Size((1, 1, *sides)), CELL, CPU)


def numbers_of(mask, seed=0, origin=(0, 0), drawn=None):
    """The number of each pixel (H, W); what lies outside the building in a half cell has it too."""
    numbers = buildings_of(tensor(mask), drawn_for(mask, seed, origin) if drawn is None else drawn)
    return np.kron(numbers[0, 0].numpy(), np.ones((2, 2), np.float32))


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
