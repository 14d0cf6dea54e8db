"""How fast each backend is on the processor, and how far its images are from PyTorch's.

    python -m bench.backends [--run orthoforge-s] [--size 512] [--rounds 7] [--threads 1 2]

Backends take turns in one process. ``time of the processor`` counts only what the process itself computed, so that a busy machine
disturbs it less. OpenVINO in bf16 is no backend of ``generate``: it is printed to show what a level costs.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from orthoforge.backends.elsewhere import computed_by, converted
from orthoforge.backends.engines import _OpenVino
from orthoforge.backends.names import installed, missing
from orthoforge.trained_generator import TrainedGenerator, load_generator
from orthoforge.trained_generator.backend import channels_of


def houses(size: int) -> np.ndarray:
    """A mask of scattered houses."""
    rng, mask = np.random.default_rng(0), np.zeros((size, size), np.uint8)
    for row, col in rng.integers(0, size, (size * size // 6000, 2)):
        mask[row : row + rng.integers(15, 60), col : col + rng.integers(15, 60)] = 255
    return mask


def backends(generator: TrainedGenerator) -> dict[str, TrainedGenerator]:
    """The generator on each backend, and in bf16."""
    found = {name: generator.on_backend(name) for name in installed()}
    if not missing("openvino"):
        model, noise = converted(generator.network, channels=channels_of(generator.saved), bands=generator.bands)
        in_bf16 = generator.on_backend("torch")
        in_bf16.network = computed_by(generator.network, _OpenVino(model, torch.get_num_threads(), "bf16"), noise)
        found["openvino, bf16"] = in_bf16  # type: ignore[index]
    return found  # type: ignore[return-value]


def table(calls: dict[str, Callable[[], np.ndarray]], rounds: int) -> None:
    """Print a row for each call: its medians, how many times as fast as PyTorch, and levels apart."""
    expected = calls["torch"]().astype(int)
    apart = {}
    for name, call in calls.items():
        call()  # the second in one size is compiled for it
        apart[name] = np.abs(call().astype(int) - expected)
    wall: dict[str, list[float]] = {name: [] for name in calls}
    own: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            began, before = time.perf_counter(), time.process_time()
            call()
            wall[name].append(time.perf_counter() - began)
            own[name].append(time.process_time() - before)
    medians = {name: (statistics.median(wall[name]), statistics.median(own[name])) for name in calls}
    for name, (seconds, computed) in medians.items():
        off = f"{apart[name].max():3d} levels at most, {(apart[name] > 1).mean():7.3%} of values above one"
        times = f"{medians['torch'][0] / seconds:5.2f} and {medians['torch'][1] / computed:5.2f} times"
        print(f"  {name:16} {seconds:7.3f} s, time of the processor {computed:6.3f} s: {times} PyTorch's; {off}", flush=True)


def main() -> None:
    """Print a table for each number of threads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="orthoforge-s")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    mask = houses(options.size)
    for threads in options.threads:
        torch.set_num_threads(threads)
        generator = load_generator(options.run)
        print(f"{options.run}, mask of {options.size} px to image, {threads} threads, load {os.getloadavg()[0]:.1f}")
        table({name: partial(one, mask, seed=0) for name, one in backends(generator).items()}, options.rounds)


if __name__ == "__main__":
    main()
