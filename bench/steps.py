"""CPU time of a training step, beside the same step of another checkout, in turns.

    python -m bench.steps --against PATH [--recipe orthoforge-s] [--rounds 12] [--precision auto] [--threads 1]
                          [--batch N] [--compile]

Two processes, one of each checkout, take the same steps on the same crops in turns. Medians of CPU seconds, the median ratio, and
that of the quickest steps: other work on the machine slows both, but seldom alike. Then the most memory of both processes. Nothing
but the package is taken from the other checkout. ``--batch`` takes fewer images than the recipe has in a batch. With ``--compile``
the networks here are compiled, and there they are not: ``--against .`` says what that brings, and after how long.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
BATCHES = 3


def work(tiles: str, recipe_name: str, precision: str, threads: int, batch_size: int, compiles: bool) -> None:
    """Take a step for each line of standard input, and print the CPU seconds of it."""
    import contextlib

    import torch

    from orthoforge import devices
    from orthoforge.config import load_recipe
    from orthoforge.tiles.store import TileStore
    from orthoforge.training.batches import epoch_batches
    from orthoforge.training.hardware import new_fabric
    from orthoforge.training.state import TrainingState
    from orthoforge.training.step import train_step
    from orthoforge.training.training import Training

    torch.set_num_threads(threads)
    recipe, store = load_recipe(recipe_name, precision=precision), TileStore.open(tiles)
    recipe = replace(recipe, batch_size=batch_size or recipe.batch_size, compile=compiles)
    fabric = new_fabric(recipe)
    training = Training(fabric, recipe, store, TrainingState(fabric, recipe, store), Path("run"))
    batches = [batch for batch, _ in zip(epoch_batches(training), range(BATCHES), strict=False)]
    with getattr(devices, "freed_memory_kept", contextlib.nullcontext)():
        print("ready", flush=True)
        for number, _ in enumerate(sys.stdin):
            began = time.process_time()
            train_step(training, batches[number % len(batches)])
            print(time.process_time() - began, flush=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)  # Linux says kB


def started(checkout: Path, *words: str) -> subprocess.Popen[str]:
    """``work`` with the package of ``checkout``, ready."""
    command = [sys.executable, str(Path(__file__).resolve()), "--work", *words]
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=environment, text=True, **pipes)  # type: ignore[call-overload]
    assert any(line == "ready\n" for line in process.stdout), "the step cannot be taken there"
    return process


def step_s(process: subprocess.Popen[str]) -> float:
    """CPU seconds of one more step."""
    assert process.stdin and process.stdout
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, required=True)
    parser.add_argument("--recipe", default="orthoforge-s")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()

    from bench import small_store

    with tempfile.TemporaryDirectory() as folder:
        store = small_store(Path(folder), size_px=288)
        words = str(store.path), options.recipe, options.precision, str(options.threads), str(options.batch)
        sides = (options.against, False), (HERE, options.compile)
        processes = [started(checkout.resolve(), *words, str(int(compiles))) for checkout, compiles in sides]
        began = time.monotonic()
        for process in (*processes, *processes):  # to warm up
            step_s(process)
        if options.compile:
            print(f"the first two steps of both took {time.monotonic() - began:.0f} s of clock, compilation included", flush=True)
        rounds = [[step_s(process) for process in processes] for _ in range(options.rounds)]
        peaks = [float(process.communicate()[0]) for process in processes]
    other, own = map(statistics.median, zip(*rounds, strict=True))
    least = min(first for first, _ in rounds) / min(second for _, second in rounds)
    ratios = [first / second for first, second in rounds]
    batch = f", batches of {options.batch}" if options.batch else ""
    print(f"{options.recipe}{batch}, {options.precision}, {options.threads} threads: {other:.3f} s there, {own:.3f} s here, of CPU")
    print(f"  ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f} over {len(ratios)} rounds)")
    print(f"  ratio of the quickest steps {least:.2f}; at most {peaks[0]:.0f} MB there, {peaks[1]:.0f} MB here")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]), int(sys.argv[6]), sys.argv[7] == "1")
    else:
        main()
