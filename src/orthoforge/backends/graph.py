"""A network as one function of named inputs, which other engines can be given as an ONNX graph."""

import io
import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from orthoforge.backends.fused import fused
from orthoforge.backends.inputs import GivenNoise, NoiseLayer, called, example_inputs, noise_layers
from orthoforge.models.generator import Generator
from orthoforge.models.noise import place_noise

IMAGE = "image"
OPSET = 17
_TRACED_CELLS = 2  # sides of what is traced, in the least that the network takes; any size comes out of it


class Graph(nn.Module):
    """A trained network as a function of its inputs alone: ``graph(*values)``, in the order of ``names``, to (N, B, H, W).

    What is ``fixed`` by name is no input any more. ``noise`` are the layers whose maps are.
    """

    def __init__(
        self,
        network: Generator,
        *,
        channels: int,
        bands: int,
        fixed: Mapping[str, Tensor] | None = None,
        side_px: int | None = None,
    ) -> None:
        super().__init__()
        self.network = fused(network)
        side = side_px or max(_TRACED_CELLS * network.least_px, 4 * network.stride)
        example = example_inputs(network, side, side, channels=channels, bands=bands)
        self.noise = noise_layers(self.network, example)
        example |= {layer.name: torch.rand(_shape(layer, side)) for layer in self.noise}
        self.every = list(example)
        self.fixed = dict(fixed or {})
        self.example = {name: value for name, value in example.items() if name not in self.fixed}
        self._given = GivenNoise({})
        place_noise(self.network, self._given)  # type: ignore[arg-type]

    @property
    def names(self) -> list[str]:
        """Of its inputs."""
        return list(self.example)

    def forward(self, *values: Tensor) -> Tensor:
        inputs = self.fixed | dict(zip(self.example, values, strict=True))
        self._given.maps = {layer.layer: inputs[layer.name] for layer in self.noise}
        return called(self.network, inputs)


def _shape(layer: NoiseLayer, side: int) -> tuple[int, ...]:
    cells = (side + layer.margin_px) // layer.stride
    return 1, layer.channels, cells, cells


def onnx_bytes(graph: Graph, *, any_size: bool = True) -> bytes:
    """The graph in ONNX. Of ``any_size``: batch, height and width are those of its inputs; else those of its example."""
    held = io.BytesIO()
    axes = {name: _axes(name, value) for name, value in graph.example.items()} | {IMAGE: _axes(IMAGE, torch.empty(1, 1, 1, 1))}
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # sizes that are checked become constants of the trace; the checks are for wrong ones
        torch.onnx.export(
            graph, tuple(value.clone() for value in graph.example.values()),
            held,  # type: ignore[arg-type]  # a file in memory will do for what is not dynamo
            dynamo=False, opset_version=OPSET,
            input_names=graph.names, output_names=[IMAGE], dynamic_axes=axes if any_size else None,
        )  # fmt: skip
    return held.getvalue()


def traced(graph: Graph) -> torch.jit.ScriptModule:
    """The graph in TorchScript."""
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        return torch.jit.trace(graph, tuple(value.clone() for value in graph.example.values()), check_trace=False)


def _axes(name: str, value: Tensor) -> dict[int, str]:
    """What may be of another size: noise has maps of its own sizes."""
    return {0: f"{name}_n" if name.startswith("noise") else "n"} | {axis: f"{name}_{axis}" for axis in range(2, value.ndim)}
