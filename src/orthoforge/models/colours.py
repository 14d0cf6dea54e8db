"""Colours: what a generator is told of roofs and of ground, beside the mask."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orthoforge.models.ground import GROUND_CELL, OVERLAP, ground_of, laid, middle_of
from orthoforge.models.noise import NoiseField
from orthoforge.models.roofs import (
    ROOF_LAYER,
    Buildings,
    buildings_in,
    buildings_of,
    entries_of,
    mean_colours,
    painted,
    palettes_of,
    roofs_of,
)

_GROUND = ROOF_LAYER + 1  # of the noise that turns ground


class Colours(nn.Module):
    """What a generator is told of colours: (N, B, H, W) in [-1, 1], of B bands.

    ``building`` is the condition's channel of buildings. On each of these lies one colour where ``roofs`` is true, and between them
    the ground of another image where ``ground`` is; elsewhere 0, and everywhere 0 when no class is building (``None``). Which
    building has which colour of its palette, and how the ground is turned, is a function of place, or drawn from torch's global
    generator where there are no ``noise_fields``. The place of a building is its first pixel.
    """

    def __init__(self) -> None:
        super().__init__()
        self.building: int | None = 0
        self.roofs = self.ground = True
        self.noise_fields: tuple[NoiseField, ...] = ()

    @property
    def follows_buildings(self) -> bool:
        """Whether it says anything of roofs, and so has to know which pixels are one building."""
        return self.building is not None and self.roofs

    @property
    def tells_ground(self) -> bool:
        """Whether it says anything of what lies between buildings."""
        return self.building is not None and self.ground

    def forward(self, condition: Tensor, palettes: Tensor, ground: Tensor, entries: Tensor | None = None) -> Tensor:
        """Of a condition (N, C, H, W), palettes (N or 1, 16, B) of roofs and the ground (N or 1, B, 16, 16) to lay out.

        ``entries`` (N, H, W) says which colour of its palette the building of each pixel has, from 1 on; 0 outside. Without it the
        connected parts of the condition are the buildings: where that is a window, a building that it cuts may get another colour.
        """
        if entries is None:
            buildings, drawn = self._drawn(condition)
            entries = entries_of(drawn)[buildings]
        roofs = painted(palettes, entries)
        return self._over(condition, roofs, self._laid(condition, ground, overlap=OVERLAP) if self.tells_ground else None)

    def seen(self, condition: Tensor, image: Tensor, own: int, buildings: Buildings | None = None) -> Tensor:
        """For training: of the first ``own`` images their own colours, and those of the first of these for the other images.

        ``buildings`` are those of the masks (``buildings_in``); where they are not given, they are looked for in the condition.
        """
        others = len(image) - own  # of one image alone nothing is lent
        of_pixel, drawn = self._drawn(condition, buildings)
        shown = roofs_of(image[:own], of_pixel[:own], len(drawn))
        lent = palettes_of(image[:own], shown, drawn)[:others]
        roofs = torch.cat([mean_colours(shown, of_pixel[:own]), painted(lent, entries_of(drawn)[of_pixel[own:]])])
        if not self.tells_ground:
            return self._over(condition, roofs, None)
        ground = ground_of(image[:own], self._building(condition[:own]))
        parts = [F.pad(ground, (1,) * 4, mode="replicate")]
        if others:
            parts.append(self._laid(condition[own:], ground[:others], overlap=0))
        return self._over(condition, roofs, torch.cat(parts))

    def kept(self, condition: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Palettes (N, 16, B) of the roofs of images (N, B, H, W), and their ground (N, B, 16, 16)."""
        of_pixel, drawn = self._drawn(condition)
        palettes = palettes_of(image, roofs_of(image, of_pixel, len(drawn)), drawn)
        return palettes, middle_of(ground_of(image, self._building(condition)))

    def buildings_in(self, masks: np.ndarray, class_count: int | None) -> Buildings:
        """The buildings of masks (N, H, W) uint8 as ``conditions.encode_mask`` takes them, on the host."""
        if not self.follows_buildings:
            return buildings_in(np.zeros(masks.shape, bool))
        return buildings_in(masks > 127 if class_count is None else masks == self.building)

    def _building(self, condition: Tensor) -> Tensor:
        """(N, 1, H, W), 1 on buildings."""
        if self.building is None:
            return torch.zeros_like(condition[:, :1])
        return (condition[:, self.building, None] > 0).to(condition)

    def _drawn(self, condition: Tensor, buildings: Buildings | None = None) -> tuple[Tensor, Tensor]:
        """Which building each pixel (N, H, W) is of, from 1 on, and a number (n,) in [0, 1) for each of them."""
        of_pixel, first = buildings or buildings_of(self._building(condition)[:, 0] * float(self.roofs))
        if not self.noise_fields:
            return of_pixel, torch.rand(len(first), device=condition.device)
        image, row, col = first.T
        by_field = [field.at(ROOF_LAYER, row, col) for field in self.noise_fields]
        return of_pixel, torch.stack(by_field)[image % len(by_field), torch.arange(len(first), device=image.device)]

    def _laid(self, condition: Tensor, ground: Tensor, *, overlap: int) -> Tensor:
        """The ground's cells of a condition, and one more on each side."""
        height, width = (-(-side // GROUND_CELL) + 2 for side in condition.shape[2:])
        hop = ground.shape[2] - overlap
        ground = ground.to(condition).expand(len(condition), -1, -1, -1)
        shape = torch.Size((1, 1, -(-height // hop) + 2, -(-width // hop) + 2))
        if not self.noise_fields:
            turned = torch.rand(len(condition), *shape[1:], device=condition.device)
            return laid(ground, turned, 0, 0, height, width, overlap=overlap)
        parts = []
        for one, field in zip(ground, self.noise_fields * (len(ground) // len(self.noise_fields)), strict=True):
            row, col = field.row // GROUND_CELL - 1, field.col // GROUND_CELL - 1
            blocks = NoiseField(field.seed, row // hop - 1, col // hop - 1)
            turned = blocks.uniform(_GROUND, shape, 1, condition.device)
            parts.append(laid(one[None], turned, row, col, height, width, overlap=overlap))
        return torch.cat(parts)

    def _over(self, condition: Tensor, roofs: Tensor, ground: Tensor | None) -> Tensor:
        """Roofs by pixels and ground by cells, one more on each side, to one map by pixels, each as far as the mask says."""
        if ground is None:
            return roofs.to(condition)
        height, width = condition.shape[2:]
        by_pixels = F.interpolate(ground, scale_factor=GROUND_CELL, mode="bilinear", align_corners=False)
        by_pixels = by_pixels[..., GROUND_CELL : GROUND_CELL + height, GROUND_CELL : GROUND_CELL + width]
        return roofs.to(condition) + by_pixels.to(condition) * (1 - self._building(condition))
