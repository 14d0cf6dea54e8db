"""How long an image takes by each backend that is installed, on the network alone and through ``TrainedGenerator``.

    python -m bench.inference [--run orthoforge-s] [--size 512] [--rounds 15]

Backends take turns, so that a busy machine slows them all; the figures are medians. OpenVINO is looked for and left out where it
is missing (``pip install openvino``). Baseline's network, untrained, is there to compare with.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from orthoforge.config import load_recipe
from orthoforge.models.conditions import encode_mask
from orthoforge.models.modulated import ModulatedGenerator
from orthoforge.models.noise import NoiseField, place_noise
from orthoforge.networks import new_generator
from orthoforge.trained_generator import load_generator


class WithColours(nn.Module):
    """What is converted: a network and its two inputs. Which pixels are one building is found on the host, not in the network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, condition: torch.Tensor, colours: torch.Tensor) -> torch.Tensor:
        """The image of a condition whose colours are given."""
        return self.network(condition, colours=colours)


def backends(network: nn.Module, *inputs: torch.Tensor) -> dict[str, Callable[[], Any]]:
    """Calls that make one image."""

    def eager() -> torch.Tensor:
        with torch.inference_mode():
            return network(*inputs)

    found: dict[str, Callable[[], Any]] = {"PyTorch, eager": eager}
    try:
        import openvino
    except ImportError:
        return found
    converted = openvino.convert_model(network, example_input=inputs)
    for precision in ("f32", "bf16"):
        settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        compiled = openvino.compile_model(converted, "CPU", settings)
        found[f"OpenVINO, {precision}"] = lambda compiled=compiled: compiled([one.numpy() for one in inputs])  # type: ignore[misc]
    return found


def main() -> None:
    """Time every backend in turn, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="orthoforge-s")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    generator = load_generator(options.run)
    mask = np.zeros((options.size, options.size), np.uint8)
    mask[options.size // 4 : options.size // 2, options.size // 4 :] = 255
    condition = encode_mask(torch.from_numpy(mask[None]), None).to(memory_format=torch.channels_last)
    torch.manual_seed(0)
    baseline = new_generator(load_recipe("baseline"), None).eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    place_noise(generator.network, NoiseField(0))  # what a seed promises must be part of what is converted
    calls: dict[str, Callable[[], Any]] = {"the mask to the image, PyTorch": lambda: generator(mask)}
    network, inputs = generator.network, [condition]
    if isinstance(network, ModulatedGenerator):
        style = network.styles(1)
        inputs.append(network.colours(condition, style.roofs, style.ground))
        network = WithColours(network)
    calls |= {f"the network, {name}": call for name, call in backends(network, *inputs).items()}
    calls |= {f"baseline's network, {name}": call for name, call in backends(baseline, condition).items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(options.rounds + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
    circumstances = f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}"
    print(f"{options.size} px, {circumstances}; medians of {options.rounds} rounds")
    first = statistics.median(seconds["the mask to the image, PyTorch"][1:])
    for name, taken in seconds.items():
        median = statistics.median(taken[1:])  # the first warms up
        print(f"  {name:45} {median:6.3f} s   {median / first:5.2f}   {min(taken):6.3f} s at best")


if __name__ == "__main__":
    main()
