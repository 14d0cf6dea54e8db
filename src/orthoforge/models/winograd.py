"""3×3 convolutions by Winograd's minimal filtering F(4×4, 3×3), of channels-last images.

Lavin & Gray 2015 (arXiv:1509.09308), section 4: 4×4 pixels are made of a tile of 6×6 by 36 products, where plain convolution takes
144. Tiles and kernels are brought into the form that is multiplied, and products back, by linear maps along both axes; gradients go
the same way back. Points of interpolation are 0, 1, −1, 1/2, −2 and ∞, which round least (Barabasz et al. 2020, arXiv:1803.10986):
what comes out lies about as far from the exact values as what plain float32 makes.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

KERNEL = 3
MADE = 4  # pixels along each axis that a tile makes
SEEN = MADE + KERNEL - 1  # pixels along each axis that it sees
_POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)  # and infinity


class Forms(NamedTuple):
    """What is multiplied: of images ``seen`` (36, tiles, C), of a weight the ``kernels`` (36, O, C)."""

    seen: Tensor
    kernels: Tensor


def forms(x: Tensor, weight: Tensor, padding: int = 0) -> Forms:
    """Of ``x`` (N, C, H, W) between ``padding`` zeros, and ``weight`` (O, C, 3, 3)."""
    return Forms(_seen(x, padding), _kernels(weight))


def convolved(x: Tensor, weight: Tensor, padding: int = 0, bias: Tensor | None = None, given: Forms | None = None) -> Tensor:
    """``x`` (N, C, H, W) between ``padding`` zeros, convolved with ``weight`` (O, C, 3, 3); ``given`` are both their forms."""
    count, _, *sides = x.shape
    height, width = (side + 2 * padding - KERNEL + 1 for side in sides)
    rows, cols = _tiles(height), _tiles(width)
    seen, kernels = given or forms(x, weight, padding)
    products = torch.bmm(seen, kernels.transpose(1, 2))  # (36, tiles, O)
    made = _along_both_axes(_maps(x.dtype).made.t(), products).view(MADE, MADE, count, rows, cols, -1)
    image = made.new_empty(count, rows, MADE, cols, MADE, made.shape[-1])
    image.copy_(made.permute(2, 3, 0, 4, 1, 5))
    if bias is not None:
        image += bias
    image = image.view(count, rows * MADE, cols * MADE, -1)
    return image[:, :height, :width].permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def gradients(x: Tensor, weight: Tensor, gradient: Tensor, padding: int = 0, given: Forms | None = None) -> tuple[Tensor, Tensor]:
    """Those of ``convolved`` to ``x`` and to ``weight``, of the ``gradient`` (N, O, H', W') to what it made."""
    count, out, height, width = gradient.shape
    rows, cols = _tiles(height), _tiles(width)
    maps = _maps(x.dtype)
    seen, kernels = given or forms(x, weight, padding)
    made = F.pad(gradient.permute(0, 2, 3, 1), (0, 0, 0, cols * MADE - width, 0, rows * MADE - height))
    made = made.reshape(count, rows, MADE, cols, MADE, out).permute(2, 4, 0, 1, 3, 5)
    products = _along_both_axes(maps.made, made.reshape(MADE**2, -1, out))  # (36, tiles, O)
    of_weight = _along_both_axes(maps.kernel.t(), torch.bmm(products.transpose(1, 2), seen))  # (9, O, C)
    of_weight = of_weight.transpose(0, 1).contiguous().view(-1, KERNEL, KERNEL, x.shape[1]).permute(0, 3, 1, 2)
    of_seen = _along_both_axes(maps.seen.t(), torch.bmm(products, kernels))  # (36, tiles, C)
    image = _overlaid(of_seen.view(SEEN, SEEN, count, rows, cols, -1).permute(2, 3, 0, 4, 1, 5))
    of_x = image[:, padding : padding + x.shape[2], padding : padding + x.shape[3]].permute(0, 3, 1, 2)
    return of_x.contiguous(memory_format=torch.channels_last), of_weight


def tiles(image: torch.Size, padding: int) -> int:
    """How many tiles images (N, C, H, W) between ``padding`` zeros are made in."""
    count, _, *sides = image
    rows, cols = (_tiles(side + 2 * padding - KERNEL + 1) for side in sides)
    return count * rows * cols


def _overlaid(seen: Tensor) -> Tensor:
    """The sum, (N, H, W, C), of tiles (N, rows, 6, cols, 6, C) at their places: each sees two pixels of the next."""
    count, rows, _, cols, _, channels = seen.shape
    image = seen.new_empty(count, rows + 1, MADE, cols + 1, MADE, channels)
    image[:, rows:], image[:, :rows, :, cols:] = 0, 0
    image[:, :rows, :, :cols] = seen[:, :, :MADE, :, :MADE]
    over = SEEN - MADE
    image[:, 1:, :over, :cols] += seen[:, :, MADE:, :, :MADE]
    image[:, :rows, :, 1:, :over] += seen[:, :, :MADE, :, MADE:]
    image[:, 1:, :over, 1:, :over] += seen[:, :, MADE:, :, MADE:]
    return image.view(count, (rows + 1) * MADE, (cols + 1) * MADE, channels)


def _seen(x: Tensor, padding: int) -> Tensor:
    """The tiles that ``x`` is seen in, in the form that is multiplied: (36, tiles, C)."""
    ends = (_tiles(side + 2 * padding - KERNEL + 1) * MADE + KERNEL - 1 - padding - side for side in x.shape[2:])
    bottom, right = ends
    if padding or bottom or right:
        x = F.pad(x.permute(0, 2, 3, 1), (0, 0, padding, right, padding, bottom)).permute(0, 3, 1, 2)
    tiles = x.unfold(2, SEEN, MADE).unfold(3, SEEN, MADE)  # (N, C, rows, cols, 6, 6), a view
    return _along_both_axes(_maps(x.dtype).seen, tiles.permute(4, 5, 0, 2, 3, 1).reshape(SEEN**2, -1, x.shape[1]))


def _kernels(weight: Tensor) -> Tensor:
    """Kernels in the form that is multiplied: (36, O, C)."""
    return _along_both_axes(_maps(weight.dtype).kernel, weight.permute(2, 3, 0, 1).reshape(KERNEL**2, *weight.shape[:2]))


def _along_both_axes(matrix: Tensor, tiles: Tensor) -> Tensor:
    """The linear map (b, a) applied to both axes of ``tiles`` (a², …): (b², …)."""
    after, before = matrix.shape
    first = (matrix @ tiles.reshape(before, -1)).view(after, before, -1)
    return torch.bmm(matrix.expand(after, -1, -1), first).view(after**2, *tiles.shape[1:])


def _tiles(side_px: int) -> int:
    """How many tiles make so many pixels."""
    return -(-side_px // MADE)


class _Maps(NamedTuple):
    """Along one axis, into the form that is multiplied: of what is ``seen`` (6, 6), of the ``kernel`` (6, 3) and, transposed, of
    what is ``made`` (6, 4)."""

    seen: Tensor
    kernel: Tensor
    made: Tensor


@cache
def _maps(dtype: torch.dtype) -> _Maps:
    """Bᵀ, G and A of Lavin & Gray, by Toom and Cook: polynomials are multiplied by their values at the points."""
    others = [[other for other in _POINTS if other != point] for point in _POINTS]
    scale = [np.prod(np.subtract(point, rest)) for point, rest in zip(_POINTS, others, strict=True)]
    seen = [*([*np.poly(rest)[::-1], 0.0] for rest in others), np.poly(_POINTS)[::-1]]
    kernel = [*np.vander(_POINTS, KERNEL, increasing=True) / np.array(scale)[:, None], np.eye(KERNEL)[-1]]
    made = [*np.vander(_POINTS, MADE, increasing=True), np.eye(MADE)[-1]]
    return _Maps(*(torch.tensor(np.array(matrix), dtype=dtype) for matrix in (seen, kernel, made)))
