"""Styles: a short code of what a whole image looks like, and a bank of those seen in training, by place."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orthoforge.models.noise import NoiseField

CODE = 16
KEPT = 64  # codes of each place in the bank
CHANNELS = (32, 64, 128, 128)


class StyleEncoder(nn.Module):
    """Image (N, 3, H, W) in [-1, 1] to a code (N, 16) in [-1, 1]: four halvings, and the mean over the image.

    In training the code is blurred by noise of a tenth of its range, so that near codes mean like images (an autoencoder with a noisy
    bottleneck: Poole et al. 2014).
    """

    def __init__(self) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        for inside, outside in zip((3, *CHANNELS), CHANNELS, strict=False):
            modules += [nn.Conv2d(inside, outside, 3, stride=2, padding=1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*modules)
        self.to_code = nn.Linear(CHANNELS[-1], CODE)

    def forward(self, image: Tensor) -> Tensor:
        code = torch.tanh(self.to_code(self.layers(image).mean(dim=(2, 3))))
        return code + 0.1 * torch.randn_like(code) if self.training else code


class StyleBank(nn.Module):
    codes: Tensor

    def __init__(self, places: int) -> None:
        super().__init__()
        self.register_buffer("codes", torch.zeros(places, KEPT, CODE))
        self.noise_fields: tuple[NoiseField, ...] = ()
        self.place: int | None = None

    def forward(self, count: int) -> Tensor:
        """Codes (count, 16) for as many images."""
        codes = self.codes if self.place is None else self.codes[self.place : self.place + 1]
        return codes.flatten(0, 1)[torch.randint(codes.shape[0]*codes.shape[1], (count,))]
