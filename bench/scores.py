"""Time and memory of ``orthoforge evaluate`` on a folder of 2 000 images of 256 px, named as tiles, with 1 000 training tiles.

    python -m bench.scores [--images 600 1200 2000]

Every part runs: realism with intervals and floor, pixel scores, memorisation. Memory is the peak of each process, with the pages of
tiles that are mapped from the disk (which the system may take back at any time) and without. The images are noise, which takes as
long as any other.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
from affine import Affine
from PIL import Image

from orthoforge.evaluation.evaluate import evaluate
from orthoforge.geo.grid import Grid, Window
from orthoforge.tiles import manifest
from orthoforge.tiles.manifest import MANIFEST, STORE, TileRow, manifest_sha256, shard_paths, tile_sha256

SIZE, SCENE_TILES = 256, 100


def make_store(folder: Path, splits: dict[str, int]) -> None:
    """A store of smooth noise, ``SCENE_TILES`` tiles a scene, as ``prepare`` writes it."""
    rng = np.random.default_rng(0)
    rows = []
    folder.mkdir()
    for split, count in splits.items():
        for begin in range(0, count, SCENE_TILES):
            n, scene = min(SCENE_TILES, count - begin), f"{split}{begin // SCENE_TILES}"
            coarse = rng.integers(40, 216, (n, SIZE // 16, SIZE // 16, 3), dtype=np.uint8)
            images = np.repeat(np.repeat(coarse, 16, 1), 16, 2) + rng.integers(0, 24, (n, SIZE, SIZE, 3), dtype=np.uint8)
            masks = np.repeat(np.repeat((coarse[..., 0] > 160).astype(np.uint8) * 255, 16, 1), 16, 2)
            for path, array in zip(shard_paths(folder, scene), (images, masks), strict=True):
                np.save(path, array)
            for index in range(n):
                grid = Grid(SIZE, SIZE, Affine.translation(0, SIZE * (begin + index)))
                window, sha256 = Window(SIZE * index, 0, SIZE, SIZE), tile_sha256(images[index], masks[index])
                rows.append(TileRow(scene, "somewhere", index, window, grid, None, split, 0.2, sha256))
    text = "".join(json.dumps(row.to_json()) + "\n" for row in rows).encode()
    (folder / MANIFEST).write_bytes(text)
    body = {"format": manifest.FORMAT, "size_px": SIZE, "gsd_m": None, "classes": None, "fingerprint": manifest_sha256(text)}
    (folder / STORE).write_text(json.dumps(body | {"settings": {"split": "blocks", "attribution": ""}}))


def make_images(folder: Path, store: Path, count: int) -> None:
    """Copies of the test tiles with a little noise, as PNG."""
    rng = np.random.default_rng(1)
    folder.mkdir()
    for begin in range(0, count, SCENE_TILES):
        images = np.load(shard_paths(store, f"test{begin // SCENE_TILES}")[0], mmap_mode="r")
        for index in range(min(SCENE_TILES, count - begin)):
            pixels = images[index] // 2 + 64 + rng.integers(0, 16, images[index].shape, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"test{begin // SCENE_TILES}_{SIZE * index}_0.png", compress_level=1)


def score(root: Path, threads: int) -> None:
    """Score once in this process and print a line of JSON."""
    torch.set_num_threads(threads)
    before = anonymous_mb()
    with AnonymousPeak() as watched:
        began, cpu = time.perf_counter(), time.process_time()
        evaluate(root / "images", root / "tiles", root / "report", overwrite=True)
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    figures = {"seconds": seconds, "cpu": cpu_seconds, "peak_mb": peak, "anonymous_mb": watched.peak_mb, "before_mb": before}
    print(json.dumps(figures))


class AnonymousPeak:
    """Watches how much memory the process itself has asked for, tiles mapped from the disk apart; a context manager."""

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "AnonymousPeak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self.peak_mb = max(self.peak_mb, anonymous_mb())


def anonymous_mb() -> float:
    """Resident memory of this process without pages of files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("RssAnon"))


def measure(count: int, training: int, threads: int) -> dict[str, float]:
    """``score`` of so many images, in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        make_store(root / "tiles", {"train": training, "test": count})
        make_images(root / "images", root / "tiles", count)
        words = [sys.executable, "-m", "bench.scores", "--here", name, "--threads", str(threads)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[600, 1200, 2000])
    parser.add_argument("--training", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        score(options.here, options.threads)
        return
    print(f"orthoforge evaluate, folder of {SIZE} px PNGs against as many tiles, {options.training} training tiles")
    for count in options.images:
        figures = measure(count, options.training, options.threads)
        print(
            f"  {count:5} images: {figures['seconds']:.0f} s ({figures['cpu']:.0f} CPU s, {options.threads} threads), peak "
            f"{figures['peak_mb']:.0f} MB with mapped tiles, {figures['anonymous_mb']:.0f} MB without "
            f"({figures['before_mb']:.0f} MB before)",
            flush=True,
        )


if __name__ == "__main__":
    main()
