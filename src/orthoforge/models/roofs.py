"""Roofs: which pixels are one building, and the colour that its roof is asked to have.

A mask does not say which of two like outlines has the red roof. Left to noise, a network gives every outline the roof that suits
most; told the colour, it has a reason to tell them apart (a mean over the instance, as in Wang et al. 2018, section 3.4, of the
image itself in place of learned features).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

COLOURS = 16  # of each palette
CELL = 4  # px; sides of what is looked at are multiples of it
HALF = 2
_STEPS = 24  # cells that a building is followed for
_EDGE_STEPS = 4  # of half cells, from whole cells out to the edges
_BITS = 24  # of a number
_SHUFFLE = 0x9E3779B1  # odd, near 2^32 over the golden ratio (Knuth 1998, section 6.4)
# A pixel's half cell begins up to 1 px before it, and the cell of what is _EDGE_STEPS from there up to 2 px before that.
REACH = (HALF - 1) + HALF * _EDGE_STEPS + (CELL - HALF) + CELL * _STEPS


def buildings_of(inside: Tensor, drawn: Tensor) -> Tensor:
    """A number in (0, 1) for each building, by half cells: (N, 1, H/2, W/2), 0 outside and on
    specks without a whole cell, which some buildings of less than 8 px across are.

    ``inside`` (N, 1, H, W) is 1 on buildings and 0 elsewhere, ``drawn`` (N or 1, 1, H/4, W/4) uniform in [0, 1). A building has
    the largest number drawn on a cell of it, and a cell the largest within 24 steps inside the building: of one wider than 96 px,
    or as long around corners, parts may differ, so that no number depends on what is further away than ``REACH``.
    """
    whole = -F.max_pool2d(-inside, CELL)  # 1 on cells that lie inside
    numbers = drawn.clamp_min(2**-_BITS) * whole
    for _ in range(_STEPS):
        # Along rows, then columns: a step aslant would cross the gap of a pixel between two houses.
        for side in ((3, 1), (1, 3)):
            numbers = F.max_pool2d(numbers, side, stride=1, padding=(side[0] // 2, side[1] // 2)) * whole
    numbers = numbers.repeat_interleave(CELL // HALF, 2).repeat_interleave(CELL // HALF, 3)
    touched = F.max_pool2d(inside, HALF)
    for _ in range(_EDGE_STEPS):
        numbers = torch.where(numbers > 0, numbers, F.max_pool2d(numbers, 3, stride=1, padding=1) * touched)
    return numbers


def mean_colours(image: Tensor, numbers: Tensor) -> Tensor:
    """The mean colour of each building in its own image, over the half cells that it touches: (N, B, H/2, W/2), 0 outside.

    ``image`` (N, B, H, W) in [-1, 1], ``numbers`` as from ``buildings_of``.
    """
    of_half_cells = F.avg_pool2d(image.float(), HALF).permute(0, 2, 3, 1)  # (N, h, w, B)
    first = torch.arange(len(image), device=image.device)[:, None, None] << _BITS
    _, building = (_whole(numbers)[:, 0] + first).unique(return_inverse=True)
    counted = F.pad(of_half_cells, (0, 1), value=1.0).flatten(0, 2)  # a last band counts
    sums = counted.new_zeros(int(building.max()) + 1, counted.shape[1]).index_add_(0, building.flatten(), counted)
    means = (sums[:, :-1] / sums[:, -1:])[building]
    return means.permute(0, 3, 1, 2) * (numbers > 0)


def palettes_of(image: Tensor, numbers: Tensor) -> Tensor:
    """Colours of the buildings of each image, (N, 16, B): some of them where there are more, all in turn where there are fewer.

    An image without buildings has those of the one before it that has some, or after it; where none has, its mean colour.
    """
    found = []
    for of_one, numbered in zip(mean_colours(image, numbers), numbers[:, 0], strict=True):
        buildings, building = numbered.unique(return_inverse=True)
        at = torch.zeros_like(buildings, dtype=torch.long)
        at[building.flatten()] = torch.arange(building.numel(), device=image.device)  # some half cell of each
        # Large buildings have large numbers, so they are shuffled: by the number times an odd one, modulo 2^24.
        at = at[(_whole(buildings) * _SHUFFLE % 2**_BITS).argsort()]
        found.append(of_one.flatten(1)[:, at[numbered.flatten()[at] > 0]].T)
    palettes = []
    for index, one in enumerate(image):
        lenders = [colours for colours in (*found[: index + 1][::-1], *found[index:]) if len(colours)]
        colours = lenders[0] if lenders else one.float().mean(dim=(1, 2))[None]
        palettes.append(colours[torch.arange(COLOURS, device=image.device) % len(colours)])
    return torch.stack(palettes)


def painted(palettes: Tensor, numbers: Tensor) -> Tensor:
    """Each building in the colour of its palette (N or 1, 16, B) that its number names: (N, B, H/2, W/2), 0 outside."""
    at = _whole(numbers)[:, 0] % COLOURS  # (N, h, w): what is least in a number has nothing to do with which is largest
    palettes = palettes.to(numbers).expand(len(numbers), -1, -1)
    colours = palettes[torch.arange(len(numbers), device=numbers.device)[:, None, None], at]
    return colours.permute(0, 3, 1, 2) * (numbers > 0)


def _whole(numbers: Tensor) -> Tensor:
    return (numbers.double() * 2**_BITS).long()
