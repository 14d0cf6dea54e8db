"""What a training step costs a processor at the least, and what it takes: arithmetic, bytes, and where the rest goes.

    python -m bench.floors [--recipe orthoforge-s] [--precision auto] [--rounds 5] [--threads 1]

Two floors. Arithmetic: the step's operations, counted, at the speed of a large convolution here (3×3, 256 channels, 64 px, 4
images). Bytes: what each operation reads and writes, at the speed of copying 256 MB here; what stays in a cache takes less. Seconds
are of CPU, of rounds in turns, because other work slows all alike. Then the operations that take longest, by CPU seconds as well:
the clock of torch.profiler counts what other processes do.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from bench import small_store
from orthoforge.config import load_recipe
from orthoforge.devices import freed_memory_kept
from orthoforge.tiles.store import TileStore
from orthoforge.training.batches import epoch_batches
from orthoforge.training.hardware import new_fabric, resolved_precision
from orthoforge.training.state import TrainingState
from orthoforge.training.step import train_step
from orthoforge.training.training import Training

CHANNELS, SIDE_PX, IMAGES = 256, 64, 4
COPIED_BYTES = 256 * 2**20
SHOWN_OPERATIONS = 14


class Operations(TorchDispatchMode):
    """Within, of each operation: how often it is called, its CPU seconds, and of all the bytes that they read and write; views move
    none."""

    def __init__(self) -> None:
        super().__init__()
        self.moved, self.calls, self.seconds = 0, Counter[str](), defaultdict[str, float](float)

    def __torch_dispatch__(self, operation: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None) -> Any:
        began = time.thread_time()
        made = operation(*args, **(kwargs or {}))
        self.seconds[str(operation)] += time.thread_time() - began
        self.calls[str(operation)] += 1
        if not operation.is_view:
            tensors = {id(each): each for each in tree_leaves((args, kwargs, made)) if isinstance(each, torch.Tensor)}
            self.moved += sum(tensor.nbytes for tensor in tensors.values())
        return made


def a_step(store: TileStore, recipe_name: str, precision: str) -> Callable[[], None]:
    """A training step that can be repeated; the first ones are taken."""
    recipe = load_recipe(recipe_name, precision=precision)
    fabric = new_fabric(recipe, "cpu")
    training = Training(fabric, recipe, store, TrainingState(fabric, recipe, store), Path("run"))
    batches = itertools.cycle(list(itertools.islice(epoch_batches(training), 3)))

    def step() -> None:
        train_step(training, next(batches))
        training.state.unread.clear()

    step()
    step()
    return step


def convolution(kind: torch.dtype) -> tuple[Callable[[], object], float]:
    """A large convolution, and its operations."""
    images = torch.randn(IMAGES, CHANNELS, SIDE_PX, SIDE_PX, dtype=kind).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(CHANNELS, CHANNELS, 3, 3, dtype=kind).contiguous(memory_format=torch.channels_last)
    return lambda: F.conv2d(images, weight, padding=1), 2.0 * IMAGES * CHANNELS**2 * SIDE_PX**2 * 9


def copying() -> tuple[Callable[[], object], float]:
    """Copying a tensor, and the bytes that are read and written."""
    source, target = (torch.ones(COPIED_BYTES // 4) for _ in range(2))
    return lambda: target.copy_(source), 2.0 * COPIED_BYTES


def cpu_s(call: Callable[[], object]) -> float:
    """CPU seconds of a call."""
    began = time.process_time()
    call()
    return time.process_time() - began


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="orthoforge-s")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    precision = resolved_precision(options.precision, "cpu")
    convolve, operations = convolution(torch.bfloat16 if precision == "bf16" else torch.float32)
    copy, copied = copying()
    with tempfile.TemporaryDirectory() as folder, freed_memory_kept():
        store = small_store(Path(folder), size_px=288)
        counted = a_step(store, options.recipe, "bf16")  # there no operation of oneDNN's own is called, which would not be counted
        with FlopCounterMode(display=False) as counter:
            counted()
        of_step = float(counter.get_total_flops())
        step = a_step(store, options.recipe, precision)
        with Operations() as done:
            step()
        for call in (convolve, copy):
            call()
        rounds = [[cpu_s(call) for call in (step, convolve, copy)] for _ in range(options.rounds)]
        step_s, convolution_s, copy_s = map(statistics.median, zip(*rounds, strict=True))
        floors = of_step / (operations / convolution_s), done.moved / (copied / copy_s)
        print(
            f"{options.recipe}, {precision}, {options.threads} threads, {options.rounds} rounds: a step takes {step_s:.2f} s of CPU"
        )
        print(f"  arithmetic  {of_step / 1e9:6.1f} GFLOP at {operations / convolution_s / 1e9:6.0f} GFLOP/s: {floors[0]:.2f} s")
        print(f"  bytes       {done.moved / 1e9:6.1f} GB    at {copied / copy_s / 1e9:6.1f} GB/s:    {floors[1]:.2f} s")
        print(f"  gap         {step_s / max(floors):.1f} times the larger floor, {step_s / sum(floors):.1f} times their sum")
    total = sum(done.seconds.values())
    for name, seconds in sorted(done.seconds.items(), key=lambda item: -item[1])[:SHOWN_OPERATIONS]:
        print(f"  {seconds / total:6.1%}  {done.calls[name]:5d} times  {name}")


if __name__ == "__main__":
    main()
