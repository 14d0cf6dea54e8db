"""Ground: what lies between buildings, by the mean colour of cells of some metres, laid out over the plane.

A mask says nothing of roads, gardens and yards. Left to noise, a network gives all ground one cover; told where a real image is
green and where it is grey, it makes each what it is.
"""

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

GROUND_CELL = 16  # px
GROUND_SIDE = 16  # cells of the ground that is kept of a tile
OVERLAP = 4  # cells, over which blocks of it fade into each other
LEAST_GROUND = 0.3  # share of a cell; what there is of less is shade and the feet of walls
_LITTLE = 1e-3


def ground_of(image: Tensor, building: Tensor) -> Tensor:
    """The mean colour of the ground in each cell of 16 px, (N, B, H/16, W/16); where there is little of it, of the cells around.

    ``image`` (N, B, H, W) in [-1, 1], ``building`` (N, 1, H, W) 1 on buildings and 0 elsewhere; what is left over at the end of a
    side makes a smaller cell. An image that is all building has its mean colour.
    """
    open_ground = 1 - building.float()
    by_cells = partial(F.avg_pool2d, kernel_size=GROUND_CELL, ceil_mode=True, count_include_pad=False)
    shares, sums = by_cells(open_ground), by_cells(image.float() * open_ground)
    # A cell with little ground takes the mean of ever larger surroundings, until there is some. Whether all have some is not asked:
    # a GPU's answer would have to be waited for.
    known = shares >= LEAST_GROUND
    colours = sums / shares.clamp_min(LEAST_GROUND)
    side = 3
    while side < 2 * max(shares.shape[2:]):
        around = [F.avg_pool2d(maps, side, stride=1, padding=side // 2) for maps in (sums, shares)]
        colours = torch.where(known, colours, around[0] / around[1].clamp_min(_LITTLE))
        known = known | (around[1] > _LITTLE)
        side = 2 * side + 1
    return torch.where(known, colours, image.float().mean(dim=(2, 3), keepdim=True))


def laid(ground: Tensor, turned: Tensor, row: int, col: int, height: int, width: int, *, overlap: int = 0) -> Tensor:
    """Ground (N, B, S, S) over the plane in blocks, each turned and mirrored in one of eight ways: (N, B, height, width) cells of
    the plane from (row, col) on.

    Blocks begin every S − ``overlap`` cells and fade into each other where they overlap. ``turned`` (N or 1, 1, blocks, blocks) in
    [0, 1) says how they lie, from the block before that of (row, col) on.
    """
    side = ground.shape[2]
    hop = side - overlap
    ways = (turned[:, 0] * 8).long()
    image = torch.arange(len(ground), device=ground.device)[:, None, None]
    cells = ground.permute(0, 2, 3, 1)
    plane = ground.new_zeros(len(ground), height, width, ground.shape[1])
    for rows, down, share_down in _covering(row, height, side, hop, ground.device):
        for cols, right, share_right in _covering(col, width, side, hop, ground.device):
            way = ways[:, rows[:, None], cols[None, :]]
            near, far = torch.where(way & 4 > 0, right, down[:, None]), torch.where(way & 4 > 0, down[:, None], right)
            near, far = torch.where(way & 1 > 0, side - 1 - near, near), torch.where(way & 2 > 0, side - 1 - far, far)
            plane += cells[image, near, far] * (share_down[:, None] * share_right)[..., None]
    return plane.permute(0, 3, 1, 2)


def _covering(first: int, count: int, side: int, hop: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The block that begins last before each cell of a line, then the one before: number, cell within it, share of the blend."""
    at = torch.arange(first, first + count, device=device)
    block, within = at // hop - first // hop + 1, at % hop
    rising = ((within + 1) / (side - hop + 1)).clamp(max=1)
    yield block, within, rising
    if hop < side:
        yield block - 1, (within + hop).clamp(max=side - 1), 1 - rising


def middle_of(ground: Tensor) -> Tensor:
    """The middle 16 × 16 cells of ground (N, B, h, w); of a smaller one all, and mirrored beyond."""
    for axis in (2, 3):
        count = ground.shape[axis]
        at = torch.arange(GROUND_SIDE, device=ground.device) + max(0, count - GROUND_SIDE) // 2
        ground = ground.index_select(axis, torch.where(at // count % 2 == 1, count - 1 - at % count, at % count))
    return ground
