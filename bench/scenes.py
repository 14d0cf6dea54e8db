"""Whole scenes: seams for each network and norm, how well sampled statistics stand for a scene, peak memory by size.

    python -m bench.scenes seams [--size 1536]          random weights, every network and norm
    python -m bench.scenes statistics RUN MASK          a trained run with instance or group norm
    python -m bench.scenes memory [--sizes 5000 10000 20000] [--recipe tiny] [--width 8 | --run orthoforge-s --backend torch]
    python -m bench.scenes places RUN MASK… [--out FOLDER]   masks or footprints: do size, transform and CRS come back exactly

A seam is measured against the same scene generated in one piece: the mean step across the blocks' borders, beside the mean step
between the same pixels there. 1.00 is no seam. Beside it what plain tiles would give, each normalised by itself and without a
margin. Beside memory stand the shares of a scene's time that pass while the network computes: of the clock, and of the process's
CPU time (of the thread that asks the network, so with one thread: OMP_NUM_THREADS=1).
"""

import argparse
import contextlib
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
import torch
from affine import Affine
from rasterio.crs import CRS
from rio_cogeo.cogeo import cog_validate

from bench.generation import peak_kib, untrained_run
from orthoforge.config import Recipe, load_recipe
from orthoforge.generation import generate
from orthoforge.generation.scene import Scene, blocks_of
from orthoforge.geo.grid import Grid, Window
from orthoforge.geo.rasters import open_raster, read_mask
from orthoforge.models.generator import Generator
from orthoforge.trained_generator import TrainedGenerator, load_generator
from orthoforge.vectors import is_footprints

GSD_M = 0.3
NETWORKS = ("resnet6", "resnet9", "resunet9", "unet256")
OWN_NORM = ("modulated", "group")  # it has a norm of its own, whatever the recipe says
NORMS = ("batch", "instance", "group")


class ArrayMask:
    """A mask in memory."""

    def __init__(self, mask: np.ndarray) -> None:
        self.mask, self.identity = mask, ""
        self.grid = Grid(*mask.shape, Affine(GSD_M, 0, 500_000.1, 0, -GSD_M, 5_000_000.2), CRS.from_epsg(32633))

    def read(self, window: Window) -> tuple[np.ndarray, None]:
        return self.mask[window.slices], None

    def valid(self, window: Window) -> None:
        return None


def town(size: int) -> np.ndarray:
    """Houses in rows, denser to the south-east, none in the north-west: windows of it have very different statistics."""
    mask = np.zeros((size, size), np.uint8)
    rng = np.random.default_rng(0)
    for row, col in itertools.product(range(0, size - 40, 60), range(0, size - 40, 50)):
        if rng.random() < 1.3 * (row + col) / (2 * size) - 0.1:
            high, wide = rng.integers(15, 40, 2)
            mask[row : row + high, col : col + wide] = 255
    return mask


def lively(generator: TrainedGenerator) -> TrainedGenerator:
    """Weights that let every layer count: those of a fresh network hardly change the image's grey."""
    torch.manual_seed(1)
    for module in generator.network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            fan_in = module.weight.numel() / module.weight.shape[0 if isinstance(module, torch.nn.Conv2d) else 1]
            torch.nn.init.normal_(module.weight, 0, (2 / fan_in) ** 0.5)
        elif isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.normal_(module.running_mean, 0, 0.3)
    return generator


def steps(image: np.ndarray, side: int) -> np.ndarray:
    """Differences across the borders of blocks of ``side``, both ways."""
    levels = image.astype(int)
    across = levels[:, side::side] - levels[:, side - 1 : -1 : side]
    down = levels[side::side] - levels[side - 1 : -1 : side]
    return np.abs(np.concatenate([across.ravel(), down.ravel()])).mean()


def joined(scene: Scene, windows: list[Window]) -> np.ndarray:
    """A scene out of its blocks."""
    image = np.zeros((scene.delivered.grid.height, scene.delivered.grid.width, 3), np.uint8)
    for window in windows:
        image[window.slices] = scene.block(window)[0]
    return image


def seams(size: int) -> None:
    """Print a row for each network and norm."""
    mask = ArrayMask(town(size))
    side = 384
    moved = {offset: [_inside(w, offset, size) for w in blocks_of(Grid(size + side, size + side), side)] for offset in (7, 64)}
    print(f"{'network':9} {'norm':9} {'differ from one piece':>24}   seam  grid moved 7, 64 px  seam of plain tiles")
    for name, norm in [*itertools.product(NETWORKS, NORMS), OWN_NORM]:
        recipe = load_recipe("baseline", generator=name, norm=norm, generator_width=8, upsample="resize")
        with tempfile.TemporaryDirectory() as folder:
            generator = lively(load_generator(untrained_run(Path(folder), recipe)))
        scene = Scene(generator, mask, mask, seed=3)
        whole = scene.sampled(mask.mask, seed=3, origin=scene.origin)
        tiled = joined(scene, blocks_of(mask.grid, side))
        difference = np.abs(tiled.astype(int) - whole)
        shifted = [np.abs(joined(scene, [w for w in windows if w]).astype(int) - tiled).max() for windows in moved.values()]
        own = generator(mask.mask, seed=3, origin=scene.origin)
        plain = steps(plain_tiles(generator, mask.mask, side), side) / steps(own, side)
        print(
            f"{name:9} {norm:9} {difference.max():8d} at most, {(difference > 0).mean():6.3%} "
            f"{steps(tiled, side) / steps(whole, side):7.4f} {shifted[0]:12d} {shifted[1]:7d} {plain:20.2f}",
            flush=True,
        )


def plain_tiles(generator: TrainedGenerator, mask: np.ndarray, side: int) -> np.ndarray:
    """Tiles generated each for itself."""
    starts = range(0, len(mask), side)
    return np.concatenate(
        [np.concatenate([generator(mask[row : row + side, col : col + side]) for col in starts], axis=1) for row in starts]
    )


def _inside(window: Window, offset: int, size: int) -> Window | None:
    """A block of a grid that begins ``offset`` pixels before the scene, as far as it lies in the scene."""
    row, col = max(0, window.row - offset), max(0, window.col - offset)
    bottom, right = min(size, window.row + window.height - offset), min(size, window.col + window.width - offset)
    return Window(row, col, bottom - row, right - col) if bottom > row and right > col else None


def statistics(run: str, mask_path: Path, size: int) -> None:
    """Print how far a scene with sampled statistics is from one with its own."""
    generator = load_generator(run)
    with open_raster(mask_path) as raster:
        mask = read_mask(raster)[:size, :size]
    whole = generator(mask).astype(int)
    print(f"{generator.recipe.name}, {generator.recipe.norm} norm, {size}² of {mask_path.name}: grey levels from one piece")

    def show(label: str, image: np.ndarray) -> None:
        difference = np.abs(image - whole)
        figures = f"mean {difference.mean():.2f}, 99 % below {np.percentile(difference, 99):.0f}, at most {difference.max()}"
        print(f"{label:20} {figures}", flush=True)

    for label, windows in (("1 of 256 px", 1), ("4 of 256 px", 4), ("16 of 256 px (used)", 16), ("36 of 256 px", 36)):
        show(label, generator.for_scene([mask[w.slices] for w in _spread(windows, size)])(mask))
    show("each tile its own", plain_tiles(generator, mask, 256))


def _spread(count: int, size: int) -> list[Window]:
    side = round(count**0.5)
    edges = [round((i + 0.5) * size / side) - 128 for i in range(side)]
    return [Window(row, col, 256, 256) for row in edges for col in edges]


def memory(sizes: list[int], recipe: Recipe, given: str | None, backend: str) -> None:
    """Print peak memory and time of whole scenes, each in a process of its own: of a run, or of a network that nobody trained."""
    what = given or f"{recipe.generator} of width {recipe.generator_width}"
    print(
        f"generate, {what}, {backend}: peak memory of the process, time for a million pixels, size of the GeoTIFF, of the network"
    )
    with tempfile.TemporaryDirectory() as folder:
        run = given or str(untrained_run(Path(folder) / "run", recipe))
        for size in sizes:
            mask = _large_mask(Path(folder) / f"mask{size}.tif", size)
            words = [sys.executable, "-m", "bench.scenes", "measure", run, str(mask), "--backend", backend]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            peak_mb, size_mb, clock_s, cpu_s, of_clock_s, of_cpu_s = map(float, done.stdout.splitlines()[-1].split())
            million = size**2 / 1e6
            taken = f"{clock_s / million:.2f} s, {cpu_s / million:.2f} s of CPU"
            shares = f"{of_clock_s / clock_s:.0%} of the clock, {of_cpu_s / cpu_s:.0%} of CPU"
            print(f"{size:6d}²  {peak_mb:6.0f} MB  {taken}  {size_mb:6.0f} MB  {shares}", flush=True)


def measure(run: str, mask: Path, backend: str) -> None:
    """In a fresh process: generate one scene; print peak MB, MB of the file, clock and CPU seconds, and those of the network."""
    began, before = time.perf_counter(), time.process_time()
    with timed_networks() as spent:
        (path,) = generate(run, [mask], mask.with_name(f"image-{mask.name}"), backend=backend)
    print(peak_kib() * 1.024e-3, path.stat().st_size / 1e6, time.perf_counter() - began, time.process_time() - before, *spent)
    path.unlink()


@contextlib.contextmanager
def timed_networks() -> Iterator[list[float]]:
    """Clock seconds, and CPU seconds of the thread, that calls of networks take, in sum."""
    spent = [0.0, 0.0]
    plain = Generator.__call__

    def timed(network: Generator, *given: object, **named: object) -> object:
        began, before = time.perf_counter(), time.thread_time()
        try:
            return plain(network, *given, **named)
        finally:
            spent[0] += time.perf_counter() - began
            spent[1] += time.thread_time() - before

    Generator.__call__ = timed  # type: ignore[method-assign]
    try:
        yield spent
    finally:
        del Generator.__call__


def places(run: str, masks: list[Path], out: Path) -> None:
    """Print, for each mask, its image's size, whether it lies exactly where the mask does, whether it is a valid COG, the time."""
    for mask in masks:
        began_at = time.monotonic()
        gsd = None if not is_footprints(mask) else GSD_M
        (path,) = generate(run, [mask], out / f"{mask.stem}-{mask.parent.name}.tif", gsd=gsd, resample=True, overwrite=True)
        seconds = time.monotonic() - began_at
        with rasterio.open(path) as image:
            place, what = (image.height, image.width, image.transform, image.crs), f"{image.width}×{image.height} px, {image.crs}"
        same = "made from footprints"
        if not is_footprints(mask):
            with rasterio.open(mask) as source:
                exact = place == (source.height, source.width, source.transform, source.crs)
            same = "exactly the mask's grid" if exact else "NOT the mask's grid"
        valid = cog_validate(path, strict=True)[0]
        print(f"{mask.name}: {what}; {same}; COG {'valid' if valid else 'NOT valid'}; {seconds:.0f} s", flush=True)


def _large_mask(path: Path, size: int) -> Path:
    part = town(1000)
    grid = ArrayMask(part).grid
    profile = {"count": 1, "dtype": "uint8", "crs": grid.crs, "transform": grid.transform, "compress": "deflate", "tiled": True}
    with rasterio.open(path, "w", driver="GTiff", height=size, width=size, **profile) as dataset:
        for row, col in itertools.product(range(0, size, 1000), range(0, size, 1000)):
            high, wide = min(1000, size - row), min(1000, size - col)
            dataset.write(part[:high, :wide], 1, window=rasterio.windows.Window(col, row, wide, high))
    return path


def main() -> None:
    """Run what was asked for; all that needs no trained run when nothing was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["seams", "statistics", "memory", "measure", "places"])
    parser.add_argument("paths", nargs="*")
    parser.add_argument("--size", type=int, default=1536)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5000, 10000, 20000])
    parser.add_argument("--recipe", default="tiny")
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--run")
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--out", type=Path, default=Path("scenes-out"))
    options = parser.parse_args()
    if options.what == "places":
        places(options.paths[0], [Path(path) for path in options.paths[1:]], options.out)
    if options.what == "measure":
        measure(options.paths[0], Path(options.paths[1]), options.backend)
    if options.what == "statistics":
        statistics(options.paths[0], Path(options.paths[1]), options.size)
    if options.what in (None, "seams"):
        seams(options.size)
    if options.what in (None, "memory"):
        recipe = load_recipe(options.recipe, generator_width=options.width)
        memory(options.sizes, recipe, options.run, options.backend)


if __name__ == "__main__":
    main()
