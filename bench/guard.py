"""Ratios that a change must not worsen unseen, each against a named reference in the same process: ``python -m bench.guard``.

Less than a minute, so that continuous integration prints them. What is guarded and its reference take turns, and CPU time counts,
so a busy machine changes little. A ratio outside of what was usual is marked, and nothing fails: on another processor another one
may be usual. What a mark means is found out by the long script that is named beside it.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
import torch
from rasterio.crs import CRS
from rasterio.transform import from_origin

from bench import pairs_of_rectangles, small_store
from bench.quiet import silent
from bench.training import plain_step
from orthoforge.cluster import Here
from orthoforge.config import load_recipe
from orthoforge.generation import generate
from orthoforge.geo.cog import write_geotiff
from orthoforge.geo.grid import Grid
from orthoforge.masks.reader import MaskReader
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import crop_batch
from orthoforge.trained_generator import load_generator
from orthoforge.training.batches import to_tensors
from orthoforge.training.hardware import new_fabric
from orthoforge.training.state import TrainingState
from orthoforge.training.step import train_step
from orthoforge.training.training import Training

SCENE_PX, ROUNDS = 1500, 5
Step = Callable[[], object]


class Pair(NamedTuple):
    """Ours and the reference, each a step that can be repeated."""

    ours: Step
    reference: Step


@dataclass(frozen=True)
class Guarded:
    """A ratio of times: what it is of, what it was on the machine that docs/figures.md speaks of, and who says more."""

    what: str
    reference: str
    usual: tuple[float, float]
    script: str
    made: Callable[[Path], Pair]


def preparing(folder: Path) -> Pair:
    data = pairs_of_rectangles(folder / "data", 1, SCENE_PX)
    files = [*data.glob("*/*.tif")]

    def read() -> None:
        for path in files:
            with rasterio.open(path) as raster:
                raster.read()

    def ours() -> None:
        with silent():
            prepare(data, folder / f"tiles{time.monotonic_ns()}", grid=5, size=286, workers=1)

    return Pair(ours, read)


def cropping(folder: Path) -> Pair:
    store = small_store(folder, size_px=286)
    ids = np.resize(store.ids("train"), 64)
    keys = [(0, number) for number in range(64)]
    tiles = [store.tile(tile_id) for tile_id in ids.tolist()]

    def copied() -> None:
        for image, mask in tiles:
            np.array(image[:256, :256]), np.array(mask[:256, :256])

    return Pair(lambda: crop_batch(store, ids, crop_px=256, flips="horizontal", keys=keys), copied)


def training(folder: Path) -> Pair:
    recipe = load_recipe("baseline", batch_size=4, crop_px=64, generator_width=16, discriminator_width=16, precision="float32")
    store = small_store(folder, size_px=80)
    fabric = new_fabric(recipe)
    state = Training(fabric, recipe, store, TrainingState(fabric, recipe, store), folder)
    ids, keys = np.resize(store.ids("train"), 4), [(0, number) for number in range(4)]
    batch = crop_batch(store, ids, crop_px=64, flips=recipe.flips, keys=keys)
    condition, real = (tensor.contiguous() for tensor in to_tensors(batch, store, fabric.device))
    step = plain_step(16)
    return Pair(lambda: train_step(state, batch), lambda: step(condition, real))


def drawing(folder: Path) -> Pair:
    generator, data = load_generator("orthoforge-s"), pairs_of_rectangles(folder / "data", 4, 256)
    masks = sorted((data / "masks").glob("*.tif"))
    pixels = [MaskReader().read(mask)[0] for mask in masks]

    def ours() -> None:
        with silent():
            generate(generator, masks, folder / "out", overwrite=True)

    return Pair(ours, lambda: [generator(mask) for mask in pixels])


def writing(folder: Path) -> Pair:
    image = np.random.default_rng(0).integers(0, 60, (1024, 1024, 3), np.uint8)
    grid = Grid(1024, 1024, from_origin(5e5, 5e6, 0.3, 0.3), CRS.from_epsg(32633))
    options = {
        "driver": "GTiff", "height": 1024, "width": 1024, "count": 3, "dtype": "uint8", "compress": "deflate", "predictor": 2,
        "tiled": True, "blockxsize": 512, "blockysize": 512, "crs": "EPSG:32633", "transform": from_origin(5e5, 5e6, 0.3, 0.3),
    }  # fmt: skip

    def plainly() -> None:
        with rasterio.open(folder / "plain.tif", "w", **options) as raster:
            raster.write(np.moveaxis(image, -1, 0))

    return Pair(lambda: write_geotiff(folder / "ours.tif", image, grid, overwrite=True), plainly)


def sharing(folder: Path) -> Pair:
    """``folder`` stays empty."""
    array = np.random.default_rng(0).random(40_000)

    def ours() -> None:
        with Here(2) as team:
            for answer in team.answers(lambda _: np.sort(array), range(200)):
                answer.result()

    return Pair(ours, lambda: [np.sort(array) for _ in range(200)])


GUARDED = (
    Guarded("prepare a 1 500² scene", "rasterio reads its files", (2.6, 4.2), "bench.prepare", preparing),
    Guarded("64 crops of 256 px", "the same bytes, copied", (5, 9.5), "bench.store", cropping),
    Guarded("a step of baseline, 64 px", "plain eager PyTorch", (0.75, 1.1), "bench.training", training),
    Guarded("4 masks of 256 px to images in files", "the generator alone", (1.05, 1.45), "bench.scenes", drawing),
    Guarded("write a 1 024² GeoTIFF", "rasterio writes its pixels", (1.5, 2.3), "bench.cog", writing),
    Guarded("200 small items by two threads", "a loop", (0.9, 1.3), "bench.cluster", sharing),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'':38} {'beside':28} {'ratio':>6}  {'rounds':>13}  {'usual':>12}")
    for one in GUARDED:
        with tempfile.TemporaryDirectory() as folder:
            with silent():
                pair = one.made(Path(folder))
            ratios = measured(pair, options.rounds)
        ratio, (low, high) = statistics.median(ratios), one.usual
        mark = "" if low <= ratio <= high else f"  <- {'slower' if ratio > high else 'faster'}; python -m {one.script} says more"
        spread, usual = f"{min(ratios):.2f} to {max(ratios):.2f}", f"{low:g} to {high:g}"
        print(f"{one.what:38} {one.reference:28} {ratio:6.2f}  {spread:>13}  {usual:>12}{mark}", flush=True)


def measured(pair: Pair, rounds: int) -> list[float]:
    """CPU seconds of ours by those of the reference, round by round; the first, which loads and allocates, is left out."""
    ratios = []
    for number in range(rounds + 1):
        ours, reference = (seconds(step) for step in pair)
        if number:
            ratios.append(ours / reference)
    return ratios


def seconds(step: Step) -> float:
    """CPU seconds of a step; of short ones the mean of some, in at least a tenth of a second."""
    began, count = time.process_time(), 0
    while not count or time.process_time() - began < 0.1:
        step()
        count += 1
    return (time.process_time() - began) / count


if __name__ == "__main__":
    main()
