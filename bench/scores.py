"""Time and memory of ``orthoforge evaluate`` on a folder of 2 000 images of 256 px, named as tiles, with 1 000 training tiles.

    python -m bench.scores [--images 2000] [--few 500]

Every part runs: realism with intervals and floor, pixel scores, memorisation. Memory is the peak beyond what the process had with
``--few`` images. The images are noise, which takes as long as any other.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from affine import Affine
from PIL import Image

from orthoforge.evaluation.evaluate import evaluate
from orthoforge.evaluation.realism import features
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
    in_network = 0.0
    plain = features.LiteFeatures.__call__

    def timed(self: features.LiteFeatures, images: torch.Tensor) -> object:
        nonlocal in_network
        began = time.perf_counter()
        outputs = plain(self, images)
        in_network += time.perf_counter() - began
        return outputs

    features.LiteFeatures.__call__ = timed  # type: ignore[method-assign, assignment]
    began, cpu = time.perf_counter(), time.process_time()
    evaluate(root / "images", root / "tiles", root / "report", overwrite=True)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    figures = {"seconds": seconds, "cpu": time.process_time() - cpu, "network": in_network / seconds, "peak_mb": peak}
    print(json.dumps(figures))


def measure(count: int, training: int, threads: int) -> dict[str, float]:
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
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--few", type=int, default=500)
    parser.add_argument("--training", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        score(options.here, options.threads)
        return
    few, many = (measure(count, options.training, options.threads) for count in (options.few, options.images))
    print(f"orthoforge evaluate, folder of {SIZE} px PNGs against as many tiles, {options.training} training tiles")
    for count, figures in ((options.few, few), (options.images, many)):
        print(
            f"  {count:5} images: {figures['seconds']:.0f} s ({figures['cpu']:.0f} CPU s, {options.threads} threads, "
            f"{100 * figures['network']:.0f} % in the network), peak {figures['peak_mb']:.0f} MB"
        )
    print(f"  memory: {(many['peak_mb'] - few['peak_mb']) / (options.images - options.few) * 1e3:.0f} kB more an image")


if __name__ == "__main__":
    main()
