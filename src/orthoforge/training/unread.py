"""What steps computed and the host has not read yet."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class UnreadStep:
    """The figures of one step, still where they were computed: reading them makes the host wait for a GPU."""

    step: int
    """Its number, from 1 on."""
    tile_ids: np.ndarray
    losses: tuple[str, ...]
    networks: tuple[str, ...]
    values: Tensor
    """(losses + networks,) float32: each loss, and 1 for each network whose update was skipped, else 0."""
