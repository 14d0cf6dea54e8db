"""Roofs: which pixels are one building, and the colour that its roof is asked to have.

A mask does not say which of two like outlines has the red roof. Left to noise, a network gives every outline the roof that suits
most; told the colour, it has a reason to tell them apart (a mean over the instance, as in Wang et al. 2018, section 3.4, of the
image itself in place of learned features).
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

COLOURS = 16  # of each palette
LEAST_PX = 16  # of a building that lends its colour: of smaller ones nothing but edges is seen
ROOF_LAYER = 2**21  # of the noise that gives each building its colour: far from those of maps and styles
_SIDES = np.stack([np.zeros((3, 3)), ndimage.generate_binary_structure(2, 1), np.zeros((3, 3))])  # within an image, along sides


class Buildings(NamedTuple):
    """Which building each pixel of masks is of, and where each building begins."""

    of_pixel: Tensor
    """(N, H, W) from 1 on, 0 outside."""
    first: Tensor
    """Their first pixels, line by line: (n, 3) image, row and column."""


def buildings_of(inside: Tensor) -> Buildings:
    """The buildings of masks (N, H, W), which are other than 0 there. Found on the host: of a GPU's masks it waits."""
    return Buildings(*(part.to(inside.device) for part in buildings_in(inside.cpu().numpy())))


def buildings_in(inside: np.ndarray) -> Buildings:
    """The same of masks on the host. Pixels that share a side are of one building, as in ``geo.buildings``."""
    labels, count = ndimage.label(inside, _SIDES)
    there = np.flatnonzero(labels)[::-1]
    first = np.zeros(count + 1, np.int64)
    first[labels.ravel()[there]] = there  # what is written last, the first pixel, stays
    places = np.stack(np.unravel_index(first[1:], labels.shape), axis=1)
    return Buildings(torch.from_numpy(labels).long(), torch.from_numpy(places))


class Roofs(NamedTuple):
    """What images show of their buildings, by number; the first entry is of what lies outside, and means nothing."""

    colours: Tensor
    """(n + 1, B), the mean on a building's pixels; 0 of one that is in none of the images."""
    areas: Tensor
    """(n + 1,) pixels."""
    image: Tensor
    """(n + 1,), in which image a building is."""


def roofs_of(image: Tensor, buildings: Tensor, count: int) -> Roofs:
    """Of ``count`` buildings, in images (N, B, H, W) and their ``buildings`` (N, H, W); nothing waits for the host."""
    bands, building = image.shape[1], buildings.flatten()
    precise = torch.float32 if image.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
    summed = image.new_empty(bands + 2, len(building), dtype=precise)
    summed[:bands] = image.movedim(1, 0).flatten(1)
    summed[bands] = 1
    summed[bands + 1].view(len(image), -1).copy_(torch.arange(len(image), device=image.device)[:, None])
    sums = summed.new_zeros(bands + 2, count + 1).index_add_(1, building, summed)
    means = sums / sums[bands].clamp_min(1)
    colours = means[:bands].T.float()
    colours[0] = 0
    return Roofs(colours, sums[bands], means[bands + 1].round().long())


def mean_colours(roofs: Roofs, buildings: Tensor) -> Tensor:
    """Each building (N, H, W) in its mean colour: (N, B, H, W), 0 outside."""
    return roofs.colours[buildings].permute(0, 3, 1, 2)


def palettes_of(image: Tensor, roofs: Roofs, drawn: Tensor) -> Tensor:
    """Colours of the buildings of each image, (N, 16, B): some of them where there are more, all in turn where there are fewer.

    ``drawn``, a number for each building, says which. An image without buildings has those of the one before it that has some, or
    after it; where none has, its mean colour. Buildings of less than 16 px do not count. Nothing waits for the host.
    """
    whole = image.float().mean(dim=(2, 3))[:, None].expand(-1, COLOURS, -1)
    if not len(drawn):
        return whole
    count, at = len(image), torch.arange(len(image), device=image.device)
    of_image = torch.where(roofs.areas[1:] >= LEAST_PX, roofs.image[1:], count)  # those that do not count come last
    by_draw = drawn.argsort(stable=True)
    in_turn = by_draw[of_image[by_draw].argsort(stable=True)]
    found = (of_image == at[:, None]).sum(dim=1)
    before = torch.where(found > 0, at, -1).cummax(dim=0).values
    after = torch.where(found > 0, at, count - 1).flip(0).cummin(dim=0).values.flip(0)
    lender = torch.where(before >= 0, before, after)
    first = (found.cumsum(dim=0) - found)[lender]
    lent = first[:, None] + torch.arange(COLOURS, device=image.device) % found[lender].clamp_min(1)[:, None]
    colours = roofs.colours[1 + in_turn[lent.clamp(max=len(drawn) - 1)]]
    return torch.where((found[lender] > 0)[:, None, None], colours, whole)


def entries_of(drawn: Tensor) -> Tensor:
    """Which colour of its palette each building has, by numbers (n,) in [0, 1): (n + 1,) uint8 from 1 on, after a 0 for outside."""
    return torch.cat([drawn.new_zeros(1), 1 + (drawn * COLOURS).floor()]).to(torch.uint8)


def painted(palettes: Tensor, entries: Tensor) -> Tensor:
    """Each pixel in the colour of its palette (N or 1, 16, B) that its entry (N, H, W) names from 1 on: (N, B, H, W), 0 where 0."""
    palettes = palettes.expand(len(entries), -1, -1).float()
    colours = torch.cat([torch.zeros_like(palettes[:, :1]), palettes], dim=1)
    of_image = torch.arange(len(entries), device=entries.device)[:, None, None]
    return colours[of_image, entries.long()].permute(0, 3, 1, 2)
