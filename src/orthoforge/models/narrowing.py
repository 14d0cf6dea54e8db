"""What of each of a decoder's maps is still needed, where a part of its image is asked for.

The finer a map is, the less far a pixel of the image looks in it. So maps become narrower on their way to full resolution, where
most of the work would be.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Part = tuple[slice, slice]
Place = tuple[int, int]


class Narrowing:
    """Cuts maps at each resolution, of which 0 is the finest, to what ``part`` of the image (rows, columns) is made of.

    The image is a 3×3 convolution of the finest map. Each map comes from the next coarser one, of half its size, in which it sees
    a cell beside its own, after so many of ``blocks`` there, of two 3×3 convolutions each.
    """

    def __init__(self, part: Part, blocks: Sequence[int]) -> None:
        self._parts = list(zip(*(needed(side, blocks) for side in part), strict=True))

    def place(self, level: int) -> Place:
        """The cell (row, column) of the whole map at which the narrow one begins."""
        rows, cols = self._parts[level]
        return rows.start, cols.start

    def whole(self, maps: Tensor, level: int) -> Tensor:
        """Of maps (N, C, H, W) that are whole. A copy, so that the rest of them is freed."""
        return copied(maps, self._parts[level])

    def finer(self, maps: Tensor, level: int) -> Tensor:
        """Of maps that were made of narrow ones of half the size."""
        row, col = self.place(level + 1)
        return cut(maps, self._parts[level], (2 * row, 2 * col))


def needed(part: slice, blocks: Sequence[int]) -> list[slice]:
    """The rows, or columns, of the maps at each resolution, the finest first, of which ``part`` of the image is made."""
    start, stop = part.start - 1, part.stop + 1
    found = [slice(max(0, start), stop)]
    for count in blocks[1:]:
        start, stop = (start - 1) // 2 - 2 * count, -(-(stop + 1) // 2) + 2 * count
        found.append(slice(max(0, start), stop))
    return found


def cut(maps: Tensor, part: Part, place: Place = (0, 0)) -> Tensor:
    """``part`` of maps (N, C, H, W) of which the first cell (row, column) lies at ``place``; a copy of it where gradients pass."""
    if torch.is_grad_enabled() and maps.requires_grad:
        return copied(maps, part, place)  # gradients of a view would be laid out anew, channels first
    rows, cols = (slice(side.start - at, side.stop - at) for side, at in zip(part, place, strict=True))
    return maps[..., rows, cols]


def copied(maps: Tensor, part: Part, place: Place = (0, 0)) -> Tensor:
    """A copy of the same, or ``maps`` where that is all. In memory it lies as they do, channels last or not; so do gradients."""
    (top, bottom), (left, right) = (
        (side.start - at, min(side.stop - at, size) - size) for side, at, size in zip(part, place, maps.shape[2:], strict=True)
    )
    return F.pad(maps, (-left, right, -top, bottom)) if top or bottom or left or right else maps
