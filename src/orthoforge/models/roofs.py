"""Roofs: which pixels are one building, and the colour that its roof is asked to have.

A mask does not say which of two like outlines has the red roof. Left to noise, a network gives every outline the roof that suits
most; told the colour, it has a reason to tell them apart (a mean over the instance, as in Wang et al. 2018, section 3.4, of the
image itself in place of learned features).
"""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

COLOURS = 16  # of each palette
LEAST_PX = 16  # of a building that lends its colour: of smaller ones nothing but edges is seen
ROOF_LAYER = 2**21  # of the noise that gives each building its colour: far from those of maps and styles
_SIDES = np.stack([np.zeros((3, 3)), ndimage.generate_binary_structure(2, 1), np.zeros((3, 3))])  # within an image, along sides


def buildings_of(inside: Tensor) -> tuple[Tensor, Tensor]:
    """Which building each pixel of masks (N, H, W) is of: (N, H, W) from 1 on, 0 outside; and their first pixels, line by line:
    (n, 3) image, row and column.

    ``inside`` is other than 0 on buildings. Pixels that share a side are of one, as in ``geo.buildings``. Found on the host.
    """
    labels, count = ndimage.label(inside.cpu().numpy(), _SIDES)
    there = np.flatnonzero(labels)[::-1]
    first = np.zeros(count + 1, np.int64)
    first[labels.ravel()[there]] = there  # what is written last, the first pixel, stays
    places = np.stack(np.unravel_index(first[1:], labels.shape), axis=1)
    return torch.from_numpy(labels).to(inside.device).long(), torch.from_numpy(places).to(inside.device)


def mean_colours(image: Tensor, buildings: Tensor) -> Tensor:
    """The mean colour of each building in its own image (N, B, H, W), on its pixels: (N, B, H, W), 0 outside."""
    means, _ = _means(image, buildings)
    return means[buildings].permute(0, 3, 1, 2)


def palettes_of(image: Tensor, buildings: Tensor, drawn: Tensor) -> Tensor:
    """Colours of the buildings of each image, (N, 16, B): some of them where there are more, all in turn where there are fewer.

    ``drawn``, a number for each building, says which. An image without buildings has those of the one before it that has some, or
    after it; where none has, its mean colour. Buildings of less than 16 px do not count.
    """
    means, areas = _means(image, buildings)
    found = []
    for of_one in buildings:
        numbers = of_one.unique()
        numbers = numbers[(numbers > 0) & (areas[numbers] >= LEAST_PX)]
        found.append(means[numbers[drawn[numbers - 1].argsort()]])
    palettes = []
    for index, one in enumerate(image):
        lenders = [colours for colours in (*found[: index + 1][::-1], *found[index:]) if len(colours)]
        colours = lenders[0] if lenders else one.float().mean(dim=(1, 2))[None]
        palettes.append(colours[torch.arange(COLOURS, device=image.device) % len(colours)])
    return torch.stack(palettes)


def entries_of(drawn: Tensor) -> Tensor:
    """Which colour of its palette each building has, by numbers (n,) in [0, 1): (n + 1,) uint8 from 1 on, after a 0 for outside."""
    return torch.cat([drawn.new_zeros(1), 1 + (drawn * COLOURS).floor()]).to(torch.uint8)


def painted(palettes: Tensor, entries: Tensor) -> Tensor:
    """Each pixel in the colour of its palette (N or 1, 16, B) that its entry (N, H, W) names from 1 on: (N, B, H, W), 0 where 0."""
    palettes = palettes.expand(len(entries), -1, -1).float()
    colours = torch.cat([torch.zeros_like(palettes[:, :1]), palettes], dim=1)
    of_image = torch.arange(len(entries), device=entries.device)[:, None, None]
    return colours[of_image, entries.long()].permute(0, 3, 1, 2)


def _means(image: Tensor, buildings: Tensor) -> tuple[Tensor, Tensor]:
    """Mean colours (n + 1, B) by number of building, 0 for those that are in none of the images; and pixels (n + 1,)."""
    building = buildings.flatten()
    there = building > 0
    precise = torch.float32 if image.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
    bands, building = image.movedim(1, -1).flatten(0, 2)[there].to(precise), building[there]
    areas = building.bincount(minlength=1)
    sums = bands.new_zeros(len(areas), bands.shape[1]).index_add_(0, building, bands)
    return (sums / areas.clamp_min(1)[:, None]).float(), areas
