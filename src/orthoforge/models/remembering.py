"""What a network remembers of real tiles: the codes that its own encoder makes of them, their roofs' colours and their ground."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from orthoforge.models.conditions import encode_image
from orthoforge.models.generator import Generator
from orthoforge.models.noise import NoiseField, place_noise
from orthoforge.models.styles import KEPT, Style


def remembered(ids: Sequence[int]) -> list[int]:
    """Of the tiles of a place as many as a bank holds, spread over them."""
    return [ids[at] for at in np.linspace(0, len(ids) - 1, min(KEPT, len(ids))).astype(int)]


def style_of_tiles(network: Generator, images: np.ndarray, condition: Tensor, *, middle_px: int, seeds: Sequence[int]) -> Style:
    """The style of each of some tiles, as ``network`` sees them; it is not training.

    ``images`` (N, S, S, B) uint8, ``condition`` (N, C, S, S) in [-1, 1]. A code is that of the middle, ``middle_px`` wide and high;
    colours are those of the whole. ``seeds``, one a tile, say which roofs are kept where a tile has many.
    """
    encoder, colours = network.style_encoder, network.colours
    assert encoder is not None and colours is not None and not encoder.training
    device = next(encoder.parameters()).device
    first = (images.shape[1] - middle_px) // 2
    middles = np.ascontiguousarray(images[:, first : first + middle_px, first : first + middle_px])
    with torch.inference_mode():
        codes = torch.cat([encoder(encode_image(torch.from_numpy(middle[None])).to(device)) for middle in middles])
        place_noise(colours, *map(NoiseField, seeds))
        try:
            return Style(codes, *colours.kept(condition, encode_image(torch.from_numpy(images))))
        finally:
            place_noise(colours)
