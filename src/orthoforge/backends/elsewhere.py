"""A network whose forward pass another engine computes. What surrounds it (styles, colours, margins) stays as it is."""

import copy

import numpy as np
import torch
from torch import Tensor

from orthoforge.backends.graph import Graph, onnx_bytes
from orthoforge.backends.inputs import COLOURS, CONDITION, STYLE_CODE, NoiseLayer, noisy_modules
from orthoforge.backends.names import Backend
from orthoforge.models.generator import Generator
from orthoforge.models.narrowing import Part, cut
from orthoforge.models.styles import Style


def computed_by(network: Generator, backend: Backend, noise: list[NoiseLayer]) -> Generator:
    """The network, computed by ``backend``, which was made of it (``converted``). Its modules are shared, not copied."""
    elsewhere = computed_by_torch(network)
    elsewhere.forward = _Elsewhere(elsewhere, backend, noise)
    return elsewhere


def computed_by_torch(network: Generator) -> Generator:
    """The same network, computed by PyTorch as ever."""
    plain = copy.copy(network)
    plain.__dict__.pop("forward", None)
    return plain


def converted(network: Generator, *, channels: int, bands: int) -> tuple[bytes, list[NoiseLayer]]:
    """A network as an ONNX graph of any size, and the noise that it is given."""
    graph = Graph(computed_by_torch(network), channels=channels, bands=bands)
    return onnx_bytes(graph), graph.noise


class _Elsewhere:
    """Stands where a network's ``forward`` was. A deep copy of the network has one of its own, which shares the engine."""

    def __init__(self, network: Generator, backend: Backend, noise: list[NoiseLayer]) -> None:
        self.network, self.backend, self.noise = network, backend, noise

    def __call__(
        self, condition: Tensor, style: Style | None = None, *, colours: Tensor | None = None, part: Part | None = None
    ) -> Tensor:
        given = {CONDITION: condition}
        if style is not None:
            assert colours is not None, "colours are found before the network is asked"
            given |= {STYLE_CODE: style.code.expand(len(condition), -1), COLOURS: colours}
        if self.noise:
            fields = noisy_modules(self.network)[0].noise_fields
            assert fields, "noise was not placed"
            height, width = condition.shape[2:]
            given |= {layer.name: layer.drawn(fields, height, width) for layer in self.noise}  # type: ignore[arg-type]
        image = self.backend({name: np.ascontiguousarray(value.numpy(), np.float32) for name, value in given.items()})
        return torch.from_numpy(image) if part is None else cut(torch.from_numpy(image), part)
