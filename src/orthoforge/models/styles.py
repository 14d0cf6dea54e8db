"""Styles: what a whole image looks like, as a short code and the colours of its roofs; and a bank of those that training saw."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from orthoforge.models.noise import NoiseField
from orthoforge.models.roofs import COLOURS

CODE = 16
KEPT = 64  # styles of each place in the bank
BLUR = 0.1  # of codes in training, as a share of half their range
CHANNELS = (32, 64, 128, 128)
_LAYER = 2**20  # of the noise that chooses a code: far from those of the maps


class Style(NamedTuple):
    """What images look like: ``code`` (N, 16), and ``palette`` (N, 16, 3), colours of roofs in [-1, 1]."""

    code: Tensor
    palette: Tensor


class StyleEncoder(nn.Module):
    """Image (N, 3, H, W) in [-1, 1] to a code (N, 16) in [-1, 1]: four halvings, and the mean over the image.

    The mean leaves no room for where things are. In training noise blurs the code, so that codes between those that were seen mean
    something too (denoising: Poole et al. 2014).
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
        return code + BLUR * torch.randn_like(code) if self.training else code


class StyleBank(nn.Module):
    """Styles of training images, from which an image gets its own when none is asked for.

    ``codes`` are (places, 64, 16), ``palettes`` (places, 64, 16, 3).

    Which one is drawn from torch's global generator, or is a function of the seed of ``noise_fields``. ``place`` leaves those of
    one place alone, ``fixed`` is used instead of them all.
    """

    codes: Tensor
    palettes: Tensor

    def __init__(self, places: int) -> None:
        super().__init__()
        self.register_buffer("codes", torch.empty(0))
        self.register_buffer("palettes", torch.empty(0))
        self.room_for(places)
        self.noise_fields: tuple[NoiseField, ...] = ()
        self.place: int | None = None
        self.fixed: Style | None = None

    def room_for(self, places: int) -> None:
        """Hold styles of so many places, zeros until they are filled."""
        self.codes = self.codes.new_zeros(places, KEPT, CODE)
        self.palettes = self.palettes.new_zeros(places, KEPT, COLOURS, 3)

    def forward(self, count: int) -> Style:
        """Styles for as many images."""
        if self.fixed is not None:
            return Style(*(part.to(self.codes).expand(count, *part.shape[1:]) for part in self.fixed))
        places = slice(None) if self.place is None else slice(self.place, self.place + 1)
        codes, palettes = self.codes[places].flatten(0, 1), self.palettes[places].flatten(0, 1)
        chosen = (self._drawn(count) * len(codes)).long()
        return Style(codes[chosen], palettes[chosen])

    def of_places(self, places: Sequence[int]) -> Style:
        """A style for each of some images, of its own place, drawn from torch's global generator."""
        chosen = torch.tensor(places, device=self.codes.device), (self._drawn(len(places)) * KEPT).long()
        return Style(self.codes[chosen], self.palettes[chosen])

    def like(self, code: Tensor) -> Style:
        """The style of a code (1, 16) that is not in the bank, with the roofs of the one that is nearest to it."""
        nearest = (self.codes - code).square().sum(dim=2).argmin()
        return Style(code, self.palettes.flatten(0, 1)[nearest, None])

    def _drawn(self, count: int) -> Tensor:
        if not self.noise_fields:
            return torch.rand(count, device=self.codes.device)
        # Of the seed alone: every window of a scene has one style.
        drawn = [
            NoiseField(field.seed).uniform(_LAYER, torch.Size((1, 1, 1, 1)), 1, self.codes.device) for field in self.noise_fields
        ]
        return torch.cat(drawn).flatten().expand(count)


def bank_of(network: nn.Module) -> StyleBank | None:
    """The network's styles, if it has any."""
    return next((module for module in network.modules() if isinstance(module, StyleBank)), None)
