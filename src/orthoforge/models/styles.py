"""Styles: a short code of what a whole image looks like, and a bank of those that training saw, by place."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from orthoforge.models.noise import NoiseField

CODE = 16
KEPT = 64  # codes of each place in the bank
BLUR = 0.1  # of codes in training, as a share of half their range
CHANNELS = (32, 64, 128, 128)
_LAYER = 2**20  # of the noise that chooses a code: far from those of the maps


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
    """Codes of training images, (places, 64, 16), from which an image gets its style when none is asked for.

    Which one is drawn from torch's global generator, or is a function of the seed of ``noise_fields``. ``place`` leaves those of
    one place alone, ``fixed`` (1, 16) is used instead of them all.
    """

    codes: Tensor

    def __init__(self, places: int) -> None:
        super().__init__()
        self.register_buffer("codes", torch.zeros(places, KEPT, CODE))
        self.noise_fields: tuple[NoiseField, ...] = ()
        self.place: int | None = None
        self.fixed: Tensor | None = None

    def forward(self, count: int) -> Tensor:
        """Codes (count, 16) for as many images."""
        if self.fixed is not None:
            return self.fixed.to(self.codes).expand(count, -1)
        codes = (self.codes if self.place is None else self.codes[self.place, None]).flatten(0, 1)
        return codes[(self._drawn(count) * len(codes)).long()]

    def of_places(self, places: Sequence[int]) -> Tensor:
        """A code for each of some images, of its own place, drawn from torch's global generator."""
        return self.codes[torch.tensor(places, device=self.codes.device), (self._drawn(len(places)) * KEPT).long()]

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
