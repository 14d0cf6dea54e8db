"""Transposed convolution leaves a checkerboard in empty areas, resizing and a convolution leaves none."""

import numpy as np
from torch import Tensor

from bench.phenomena.small_set import Finding, SmallSet, empty_area, side_by_side
from orthoforge.measures.spectra import checkerboard, checkerboard_levels
from orthoforge.models.conditions import decode_image

NONE, THERE = 2.0, 10.0  # plain areas without one lie near 1; noise alone reaches 2
SHOWN_PX, STRETCH = 32, 12.0


def measure(tiles: SmallSet) -> Finding:
    """The spectrum of what each makes of a mask without buildings."""
    figures: dict[str, dict[str, list[float]]] = {}
    lines, shown = [], []
    for name in ("baseline", "resize-conv", "instance-norm"):
        areas = [empty_area(tiles.run(name, seed=seed)) for seed in tiles.seeds]
        figures[name] = {
            "checkerboard": [checkerboard(area).item() for area in areas],
            "period_2": [checkerboard(area, period_px=2).item() for area in areas],
            "period_4": [checkerboard(area, period_px=4).item() for area in areas],
            "levels": [checkerboard_levels(area).item() for area in areas],
        }
        own = figures[name]
        lines.append(
            f"{name:13} power at the checkerboard's frequencies, by that around them: {_joined(own['checkerboard'])} "
            f"(period 2: {_joined(own['period_2'])}, period 4: {_joined(own['period_4'])}); "
            f"{', '.join(f'{value:.2f}' for value in own['levels'])} grey levels"
        )
        shown.append(_stretched(areas[0][0, :, :SHOWN_PX, :SHOWN_PX].unsqueeze(0)))
    transposed, resized = figures["baseline"], figures["resize-conv"]
    shows = min(transposed["checkerboard"]) > THERE and max(resized["checkerboard"]) < NONE
    lines.append(
        f"transposed convolution: {min(transposed['checkerboard']):.0f} times its surroundings at least, "
        f"{np.mean(transposed['levels']):.2f} grey levels; resize-convolution: {max(resized['checkerboard']):.2f} times, "
        f"{np.mean(resized['levels']):.2f}: {'a checkerboard, and none' if shows else 'NOT as expected'}"
    )
    return Finding(dict(figures), lines, shows, {"checkerboard.png": side_by_side([shown], scale=6)})


def _stretched(area: Tensor) -> np.ndarray:
    """What lies around the mean colour, ``STRETCH`` times as strong, (H, W, 3) uint8."""
    mean = area.mean(dim=(2, 3), keepdim=True)
    return decode_image(mean + STRETCH * (area - mean))[0].numpy()


def _joined(values: list[float]) -> str:
    return ", ".join(f"{value:.0f}" if value >= 10 else f"{value:.2f}" for value in values)
