"""Training speed at 256 px: our step beside the same networks and losses in plain eager float32, in turns.

    python -m bench.training [--batch 2] [--rounds 5] [--threads 1]

Images/s of each and the median ratio, by the clock and by CPU time. Goal: at least 1.6. The plain side is what one writes first:
default memory layout, no autocast. Both keep freed memory, as training does. Beside other programs only CPU time means something.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from bench import small_store
from bench.protocol.trainings import hardware
from orthoforge.config import load_recipe
from orthoforge.devices import freed_memory_kept
from orthoforge.models.losses import l1, lsgan_discriminator, lsgan_generator
from orthoforge.networks import build_discriminator, build_generator
from orthoforge.tiles.store import crop_batch
from orthoforge.training.batches import to_tensors
from orthoforge.training.hardware import new_fabric, resolved_precision
from orthoforge.training.state import TrainingState
from orthoforge.training.step import train_step
from orthoforge.training.training import Training


def plain_step(width: int, device: str = "cpu") -> Callable[[torch.Tensor, torch.Tensor], None]:
    """A training step of the baseline as a tutorial would write it."""
    generator = build_generator("resnet9", 3, width=width, norm="batch", upsample="transposed").to(device)
    discriminator = build_discriminator(3, width=width).to(device)
    optimizer_g = torch.optim.Adam(generator.parameters(), 2e-4, (0.5, 0.999))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), 2e-4, (0.5, 0.999))

    def step(condition: torch.Tensor, real: torch.Tensor) -> None:
        fake = generator(condition)
        loss_d = lsgan_discriminator(discriminator(condition, real), discriminator(condition, fake.detach()))
        optimizer_d.zero_grad()
        loss_d.backward()
        optimizer_d.step()
        loss_g = lsgan_generator(discriminator(condition, fake)) + 100 * l1(fake, real)
        optimizer_g.zero_grad()
        loss_g.backward()
        optimizer_g.step()

    return step


def taken(call: Callable[[], None]) -> tuple[float, float]:
    """Seconds of a call: by the clock, and of CPU."""
    began = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - began[0], time.process_time() - began[1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    recipe = load_recipe("baseline", batch_size=options.batch)
    with tempfile.TemporaryDirectory() as folder, freed_memory_kept():
        store = small_store(Path(folder), size_px=286)
        fabric = new_fabric(recipe)
        training = Training(fabric, recipe, store, TrainingState(fabric, recipe, store), Path(folder))
        step = plain_step(recipe.generator_width)
        ids = np.resize(store.ids("train"), options.batch)
        ours, plain = [], []
        for round_number in range(options.rounds + 1):
            keys = [(round_number, position) for position in range(options.batch)]
            batch = crop_batch(store, ids, crop_px=recipe.crop_px, flips=recipe.flips, keys=keys)
            condition, real = (tensor.contiguous() for tensor in to_tensors(batch, store, fabric.device))
            plain.append(taken(partial(step, condition, real)))
            ours.append(taken(partial(train_step, training, batch)))
    capability = torch.backends.cpu.get_cpu_capability()
    print(f"training at 256 px, batch {options.batch}, {options.threads} threads, {resolved_precision('auto')} here")
    print(f"  {hardware()['cpu']}, {capability}")
    for position, kind in enumerate(("clock", "CPU time")):
        # The first round warms up.
        pairs = [(a[position], b[position]) for a, b in zip(plain[1:], ours[1:], strict=True)]
        speeds = [options.batch / statistics.median(seconds) for seconds in zip(*pairs, strict=True)]
        ratios = [a / b for a, b in pairs]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f} over {len(ratios)} rounds"
        print(f"  by {kind:8}  plain float32 {speeds[0]:.2f} images/s, ours {speeds[1]:.2f}")
        print(f"               ratio {statistics.median(ratios):.2f} (goal 1.6; {spread})")


if __name__ == "__main__":
    main()
