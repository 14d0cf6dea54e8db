"""Styles: what a whole image looks like, as a code, colours of roofs, and ground; and a bank of those that training saw."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from orthoforge.models.ground import GROUND_SIDE
from orthoforge.models.noise import NoiseField, draw
from orthoforge.models.roofs import COLOURS

CODE = 16
KEPT = 64  # styles of each place in the bank
BLUR = 0.1  # of codes in training, as a share of half their range
CHANNELS = (32, 64, 128, 128)
LEAST_REFERENCE_PX = 32  # of an image: two cells of the encoder's deepest map
_LAYER = 2**20  # of the noise that chooses a code: far from those of the maps


class Style(NamedTuple):
    """What images of B bands look like: ``code`` (N, 16), colours of ``roofs`` (N, 16, B), ``ground`` (N, B, 16, 16)."""

    code: Tensor
    roofs: Tensor
    ground: Tensor


class StyleEncoder(nn.Module):
    """Image (N, B, H, W) in [-1, 1] to a code (N, 16) in [-1, 1]: four halvings, and the mean over the image.

    The mean leaves no room for where things are. In training noise blurs the code, so that codes between those that were seen mean
    something too (denoising: Poole et al. 2014).
    """

    def __init__(self, bands: int = 3) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        for inside, outside in zip((bands, *CHANNELS), CHANNELS, strict=False):
            modules += [nn.Conv2d(inside, outside, 3, stride=2, padding=1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*modules)
        self.to_code = nn.Linear(CHANNELS[-1], CODE)

    def forward(self, image: Tensor) -> Tensor:
        code = torch.tanh(self.to_code(self.layers(image).mean(dim=(2, 3))))
        return code + BLUR * draw(torch.randn, code.shape, code.device, code.dtype) if self.training else code


class StyleBank(nn.Module):
    """Styles of training images, from which an image gets its own when none is asked for.

    ``codes`` are (places, 64, 16), ``roofs`` (places, 64, 16, B), ``ground`` (places, 64, B · 16 · 16).

    Which one is drawn from torch's global generator, or is a function of the seed of ``noise_fields``. ``place`` leaves those of
    one place alone, ``fixed`` is used instead of them all.
    """

    codes: Tensor
    roofs: Tensor
    ground: Tensor

    def __init__(self, places: int, bands: int = 3) -> None:
        super().__init__()
        self.bands = bands
        self.register_buffer("codes", torch.empty(0))
        self.register_buffer("roofs", torch.empty(0))
        self.register_buffer("ground", torch.empty(0))
        self.room_for(places)
        self.noise_fields: tuple[NoiseField, ...] = ()
        self.place: int | None = None
        self.fixed: Style | None = None

    def room_for(self, places: int) -> None:
        """Hold styles of so many places, zeros until they are filled."""
        self.codes = self.codes.new_zeros(places, KEPT, CODE)
        self.roofs = self.roofs.new_zeros(places, KEPT, COLOURS, self.bands)
        self.ground = self.ground.new_zeros(places, KEPT, self.bands * GROUND_SIDE**2)

    def forward(self, count: int, place: int | None = None) -> Style:
        """Styles for as many images, of ``place`` where one is named."""
        if self.fixed is not None:
            return Style(*(part.to(self.codes).expand(count, *part.shape[1:]) for part in self.fixed))
        place = self.place if place is None else place
        places = slice(None) if place is None else slice(place, place + 1)
        kept = [part[places].flatten(0, 1) for part in self._parts()]
        chosen = (self._drawn(count) * len(kept[0])).long()
        return Style(*(part[chosen] for part in kept))

    def of_places(self, places: Sequence[int]) -> Style:
        """A style for each of some images, of its own place, drawn from torch's global generator."""
        chosen = torch.tensor(places, device=self.codes.device), (self._drawn(len(places)) * KEPT).long()
        return Style(*(part[chosen] for part in self._parts()))

    def like(self, code: Tensor) -> Style:
        """The style of a code (1, 16) that is not in the bank, with the colours of the one that is nearest to it."""
        nearest = (self.codes - code).square().sum(dim=2).argmin()
        return Style(code, *(part.flatten(0, 1)[nearest, None] for part in self._parts()[1:]))

    def has_colours_of(self, style: Style) -> bool:
        """Whether the roofs and ground of one style are those of one in the bank."""
        kept = [part.flatten(0, 1) for part in self._parts()[1:]]
        alike = [(part == one.to(part)).flatten(1).all(dim=1) for part, one in zip(kept, style[1:], strict=True)]
        return bool((alike[0] & alike[1]).any())

    def place_by_seed(self, seed: int) -> int:
        """The place whose style an image with this seed gets where none is asked for."""
        return int(self._drawn_by([NoiseField(seed)]) * len(self.codes) * KEPT) // KEPT

    def nearest_place(self, code: Tensor) -> int:
        """The place of the style that is nearest to a code (1, 16)."""
        return int((self.codes - code).square().sum(dim=2).argmin()) // KEPT

    def keep(self, place: int, styles: Style) -> None:
        """Fill the room of one place with ``styles``, in turn where there are fewer than room for."""
        for part, given in zip(self._parts(), styles, strict=True):
            part[place] = given[torch.arange(KEPT, device=given.device) % len(given)].to(part)

    def looks(self, place: int) -> int:
        """How many different styles are kept of a place."""
        return len(torch.cat([part[place].flatten(1) for part in self._parts()], dim=1).unique(dim=0))

    def _parts(self) -> Style:
        return Style(self.codes, self.roofs, self.ground.unflatten(2, (self.bands, GROUND_SIDE, GROUND_SIDE)))

    def _drawn(self, count: int) -> Tensor:
        if not self.noise_fields:
            return torch.rand(count, device=self.codes.device)
        return self._drawn_by(self.noise_fields).expand(count)

    def _drawn_by(self, fields: Sequence[NoiseField]) -> Tensor:
        """(n,) of the seeds alone: every window of a scene has one style."""
        drawn = [NoiseField(field.seed).uniform(_LAYER, torch.Size((1, 1, 1, 1)), 1, self.codes.device) for field in fields]
        return torch.cat(drawn).flatten()


def bank_of(network: nn.Module) -> StyleBank | None:
    """The network's styles, if it has any."""
    return next((module for module in network.modules() if isinstance(module, StyleBank)), None)
