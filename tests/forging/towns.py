"""A made-up place whose every measure is known: masks of houses along streets, some large, some small."""

from functools import cache
from pathlib import Path

import numpy as np

from conftest import make_grid, write_tiff
from orthoforge.forging.shapes import draw, rectangle

SIDE_PX = 200


@cache
def town_mask(seed: int, side: int = SIDE_PX, *, turn: float = 0.35) -> np.ndarray:
    """Two-row blocks, turned by ``turn`` radians, about a fifth built."""
    rng = np.random.default_rng(seed)
    along, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    origin = rng.uniform(0, 40, 2)
    houses = []
    for row in range(-side // 38, 2 * side // 38):
        at = -side + rng.uniform(0, 10)
        while at < 2 * side:
            long, short = rng.uniform(16, 28), rng.uniform(11, 16)
            x, y = origin + along * (at + long / 2) + across * row * 38
            askew = rng.normal(0, 0.03)
            if -30 < x < side + 30 and -30 < y < side + 30:
                houses.append(rectangle(x, y, long, short, turn + askew))
            at += long + rng.uniform(4, 12)
    mask = draw(houses, (side, side), (1, 1))
    mask.flags.writeable = False
    return mask


def write_place(folder: Path, name: str = "elm", scenes: int = 5, *, crs: bool = True) -> Path:
    """A folder of masks ``elm1.tif`` …"""
    for number in range(scenes):
        grid = make_grid(SIDE_PX) if crs else None
        write_tiff(folder / f"{name}{number + 1}.tif", town_mask(number), grid)
    return folder
