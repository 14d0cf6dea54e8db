"""Pairs a second out of a DataLoader: real tiles, synthetic pairs made on the fly, and those of a grown folder.

    python -m bench.loader [--pairs 24] [--size 256] [--workers 0 2] [--threads 1] [--device cpu]

Prints pairs a second by the clock, and pairs a second of processor time (of all processes together), which other work on the
machine hardly changes as long as the main process has one thread. Weights are those that come with the package. Before each loader
is measured it gives one batch, so that starting workers does not count by the clock.
"""

import argparse
import os
import resource
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from rasterio.errors import NotGeoreferencedWarning
from torch.utils.data import DataLoader, Dataset

from bench.store import make_store
from orthoforge import RealPairs, SyntheticPairs
from orthoforge.datasets import Sample
from orthoforge.geo.cog import write_raster
from orthoforge.geo.grid import Grid


def town(seed: int, size: int) -> np.ndarray:
    """A mask (H, W) with a house in every field of 48 px."""
    rng, mask = np.random.default_rng(seed), np.zeros((size, size), np.uint8)
    for row in range(4, size - 40, 48):
        for col in range(4, size - 40, 48):
            high, wide = rng.integers(16, 36, 2)
            mask[row : row + high, col : col + wide] = 255
    return mask


def make_grown(folder: Path, size: int, count: int = 8) -> Path:
    """A folder as ``grow`` leaves it, of noise: scenes of four times the crops' side."""
    side, rows = 4 * size, []
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8)
        write_raster(folder / "images" / f"town{number}.tif", pixels, Grid(side, side))
        write_raster(folder / "masks" / f"town{number}.tif", town(number, side), Grid(side, side))
        rows.append(f'{{"name": "town{number}", "accepted": true, "place": "town", "seed": {number}, "style": null}}\n')
    (folder / "synthetic.jsonl").write_text("".join(rows))
    (folder / "grown.json").write_text('{"settings": {"layout": ["images", "masks"], "threshold": null}}')
    return folder


def processor_s() -> float:
    """Seconds of processor time that this process and the children that ended have used."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def rate(pairs: Dataset[Sample], workers: int, batch: int) -> tuple[float, float]:
    """Pairs a second by the clock, without the first batch, and by processor time, with all of it."""
    used = processor_s()
    loader = iter(DataLoader(pairs, batch_size=batch, num_workers=workers))
    next(loader)
    started_at, count = time.perf_counter(), 0
    for image, _, _ in loader:
        count += len(image)
    took = time.perf_counter() - started_at
    del loader  # its workers end, and their time is counted
    return count / took, (count + batch) / (processor_s() - used)


def main() -> None:
    """Print a line for each source and number of workers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    masks = np.stack([town(seed, args.size) for seed in range(8)])
    torch.set_num_threads(args.threads)
    print(f"{os.cpu_count()} cores, {args.threads} threads, load {os.getloadavg()[0]:.1f}; {args.size} px, batches of {args.batch}")
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder), 200)
        grown = make_grown(Path(folder) / "grown", args.size)
        sources: dict[str, Dataset[Sample]] = {
            "real tiles": RealPairs(store, crop_px=args.size, length=80 * args.pairs),
            "a grown folder": SyntheticPairs.grown(grown, crop_px=args.size, length=10 * args.pairs),
        }
        for name in ("orthoforge-s", "orthoforge-material"):
            sources[f"made by {name}"] = SyntheticPairs(name, masks, length=args.pairs, device=args.device)
        for name, pairs in sources.items():
            for workers in args.workers:
                by_clock, by_processor = rate(pairs, workers, args.batch)
                print(f"{name:28} {workers} workers: {by_clock:7.1f} pairs/s, {by_processor:7.1f} a second of one core", flush=True)


if __name__ == "__main__":
    main()
