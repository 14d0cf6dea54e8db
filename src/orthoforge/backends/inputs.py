"""All that a network's image depends on besides its weights, by name: the condition, a style's code and colours, and its noise.

``condition`` is (N, C, H, W) float32. A modulated network also has ``code`` (N, 16) and ``colours`` (N, B, H, W). Noise is a map
for each layer that adds some, ``noise_LAYER`` (N or 1, C, h, w) in [0, 1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from orthoforge.models.generator import Generator
from orthoforge.models.modulated import ModulatedGenerator
from orthoforge.models.noise import NoiseField, place_noise
from orthoforge.models.styles import CODE, Style

CONDITION, STYLE_CODE, COLOURS = "condition", "code", "colours"


@dataclass(frozen=True)
class NoiseLayer:
    """A layer's noise: of so many ``channels``, ``stride`` px a cell, over the condition and ``margin_px`` more in all a side."""

    layer: int
    stride: int
    channels: int
    margin_px: int

    @property
    def name(self) -> str:
        return f"noise_{self.layer}"

    def drawn(self, fields: Sequence[NoiseField], height: int, width: int) -> Tensor:
        """Values (fields, C, h, w) for a condition of ``height`` × ``width`` px, that begins where the fields do."""
        sides = ((side + self.margin_px) // self.stride for side in (height, width))
        shape = torch.Size((1, self.channels, *sides))
        return torch.cat([field.uniform(self.layer, shape, self.stride, torch.device("cpu")) for field in fields])


class GivenNoise:
    """Noise that is there already: stands where a network expects a ``NoiseField``."""

    def __init__(self, maps: Mapping[int, Tensor]) -> None:
        self.maps = dict(maps)

    def uniform(self, layer: int, shape: torch.Size, stride: int, device: torch.device) -> Tensor:
        """The map of the layer, as ``NoiseField.uniform`` would make it."""
        return self.maps[layer]


class _Asked:
    """Writes down which noise a network asks for."""

    def __init__(self, height: int) -> None:
        self.height, self.layers = height, dict[int, NoiseLayer]()

    def uniform(self, layer: int, shape: torch.Size, stride: int, device: torch.device) -> Tensor:
        self.layers[layer] = NoiseLayer(layer, stride, shape[1], shape[2] * stride - self.height)
        return torch.zeros(shape, device=device)


def noise_layers(network: Generator, example: Mapping[str, Tensor]) -> list[NoiseLayer]:
    """The noise that it asks for, in the order of its layers, found by a pass of ``example`` (``example_inputs``)."""
    asked = _Asked(example[CONDITION].shape[2])
    before = {module: module.noise_fields for module in noisy_modules(network)}
    place_noise(network, asked)  # type: ignore[arg-type]
    try:
        with torch.inference_mode():
            called(network, example)
    finally:
        for module, fields in before.items():
            module.noise_fields = fields
    return sorted(asked.layers.values(), key=lambda layer: layer.layer)


def noisy_modules(network: nn.Module) -> list[nn.Module]:
    """Those that take noise from a field."""
    return [module for module in network.modules() if hasattr(module, "noise_fields")]


def called(network: Generator, inputs: Mapping[str, Tensor]) -> Tensor:
    """The image (N, B, H, W) in [-1, 1] of inputs by name; the network's noise is placed already."""
    if not isinstance(network, ModulatedGenerator):
        return network(inputs[CONDITION])
    nothing = inputs[STYLE_CODE][:0]
    return network(inputs[CONDITION], Style(inputs[STYLE_CODE], nothing, nothing), colours=inputs[COLOURS])


def example_inputs(network: Generator, height: int, width: int, *, channels: int, bands: int) -> dict[str, Tensor]:
    """Inputs of a network without its noise, seeded, for a condition of so many ``channels``."""
    drawn = torch.Generator().manual_seed(0)
    inside = (torch.rand(1, channels, height // 8 + 1, width // 8 + 1, generator=drawn) > 0.6).float() * 2 - 1
    inputs = {CONDITION: inside.repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)[..., :height, :width].contiguous()}
    if isinstance(network, ModulatedGenerator):
        inputs[STYLE_CODE] = torch.rand(1, CODE, generator=drawn) * 2 - 1
        inputs[COLOURS] = torch.rand(1, bands, height, width, generator=drawn) - 0.5
    return inputs
