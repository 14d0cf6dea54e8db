"""Colours: what a generator is told of roofs and of ground, beside the mask."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orthoforge.models.ground import GROUND_CELL, OVERLAP, ground_of, laid, middle_of
from orthoforge.models.noise import NoiseField
from orthoforge.models.roofs import CELL, HALF, buildings_of, mean_colours, painted, palettes_of

_ROOFS, _GROUND = 2**21, 2**21 + 1  # layers of the noise that numbers roofs and turns ground: far from those of maps and styles


class Colours(nn.Module):
    """What a generator is told of colours: (N, B, H, W) in [-1, 1], of B bands.

    ``building`` is the condition's channel of buildings. On each of these lies one colour where ``roofs`` is true, and between them
    the ground of another image where ``ground`` is; elsewhere 0, and everywhere 0 when no class is building (``None``). Which
    building has which colour of its palette, and how the ground is turned, is a function of place, or drawn from torch's global
    generator where there are no ``noise_fields``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.building: int | None = 0
        self.roofs = self.ground = True
        self.noise_fields: tuple[NoiseField, ...] = ()

    @property
    def follows_buildings(self) -> bool:
        """Whether it looks where a building ends, which may be further away than what else is seen."""
        return self.building is not None and self.roofs

    @property
    def tells_ground(self) -> bool:
        """Whether it says anything of what lies between buildings."""
        return self.building is not None and self.ground

    def forward(self, condition: Tensor, palettes: Tensor, ground: Tensor) -> Tensor:
        """Of a condition (N, C, H, W), palettes (N or 1, 16, B) of roofs and the ground (N or 1, B, 16, 16) to lay out."""
        roofs = painted(palettes, self._numbers(condition))
        return self._over(condition, roofs, self._laid(condition, ground, overlap=OVERLAP) if self.tells_ground else None)

    def seen(self, condition: Tensor, image: Tensor, own: int) -> Tensor:
        """For training: of the first ``own`` images their own colours, and those of the first of these for the other images."""
        numbers, others = self._numbers(condition), len(image) - own  # of one image alone nothing is lent
        lent = palettes_of(image[:own], numbers[:own])[:others]
        roofs = torch.cat([mean_colours(image[:own], numbers[:own]), painted(lent, numbers[own:])])
        if not self.tells_ground:
            return self._over(condition, roofs, None)
        ground = ground_of(image[:own], self._building(condition[:own]))
        parts = [F.pad(ground, (1,) * 4, mode="replicate")]
        if others:
            parts.append(self._laid(condition[own:], ground[:others], overlap=0))
        return self._over(condition, roofs, torch.cat(parts))

    def kept(self, condition: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Palettes (N, 16, B) of the roofs of images (N, B, H, W), and their ground (N, B, 16, 16)."""
        return palettes_of(image, self._numbers(condition)), middle_of(ground_of(image, self._building(condition)))

    def _building(self, condition: Tensor) -> Tensor:
        """(N, 1, H, W), 1 on buildings."""
        if self.building is None:
            return torch.zeros_like(condition[:, :1])
        return (condition[:, self.building, None] > 0).to(condition)

    def _numbers(self, condition: Tensor) -> Tensor:
        height, width = condition.shape[2] // CELL, condition.shape[3] // CELL
        shape = torch.Size((len(condition), 1, height, width))
        if self.noise_fields:
            drawn = torch.cat([field.uniform(_ROOFS, shape, CELL, condition.device) for field in self.noise_fields])
        else:
            drawn = torch.rand(shape, device=condition.device)
        return buildings_of(self._building(condition).float() * float(self.roofs), drawn)

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
        """Roofs by half cells and ground by cells, one more on each side, to one map by pixels, each as far as the mask says."""
        building = self._building(condition)
        told = roofs.repeat_interleave(HALF, 2).repeat_interleave(HALF, 3).to(condition) * building
        if ground is None:
            return told
        height, width = condition.shape[2:]
        by_pixels = F.interpolate(ground, scale_factor=GROUND_CELL, mode="bilinear", align_corners=False)
        by_pixels = by_pixels[..., GROUND_CELL : GROUND_CELL + height, GROUND_CELL : GROUND_CELL + width]
        return told + by_pixels.to(condition) * (1 - building)
