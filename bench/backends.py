"""How fast each backend is on the processor, how far its images are from PyTorch's, and whether they score as well.

    python -m bench.backends [--run orthoforge-s] [--size 512] [--rounds 7] [--threads 1 2] [--compiled] [--tiles TILES --scored 60]

Backends take turns in one process. ``time of the processor`` counts only what the process itself computed, so that a busy machine
disturbs it less. OpenVINO in bf16 and both engines in eight bits are no backends of ``generate``: they show what levels cost.
Eight bits need ``--tiles``, prepared ones: those that train give the ranges. Of the others each backend makes an image, and the
kernel distance (x 1000) of these images to the tiles is its score.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from orthoforge.backends.choosing import MOST_LEVELS
from orthoforge.backends.elsewhere import computed_by, computed_by_torch, converted
from orthoforge.backends.engines import OpenVino, open_engine
from orthoforge.backends.names import installed, missing
from orthoforge.exporting.int8 import calibrated, kept_out, with_network
from orthoforge.measures.realism.distances import kernel_distance, kernel_distances, resample
from orthoforge.measures.realism.features import LiteFeatures
from orthoforge.models.conditions import encode_image
from orthoforge.runs import TileImages
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import TrainedGenerator, load_generator
from orthoforge.trained_generator.backend import channels_of

GOAL = 2.5


def houses(size: int) -> np.ndarray:
    """A mask of scattered houses."""
    rng, mask = np.random.default_rng(0), np.zeros((size, size), np.uint8)
    for row, col in rng.integers(0, size, (size * size // 6000, 2)):
        mask[row : row + rng.integers(15, 60), col : col + rng.integers(15, 60)] = 255
    return mask


def backends(generator: TrainedGenerator, store: TileStore | None, *, compiled: bool) -> dict[str, TrainedGenerator]:
    """The generator on each backend, compiled, in bf16, and in eight bits whose ranges are those of tiles."""
    found: dict[str, TrainedGenerator] = {name: generator.on_backend(name) for name in installed()}
    if compiled:
        network = computed_by_torch(generator.network)
        network.forward = torch.compile(network.forward, dynamic=False)
        found["torch, compiled"] = with_network(generator, network)
    if missing("openvino"):
        return found
    model, noise = converted(generator.network, channels=channels_of(generator.saved), bands=generator.bands)
    threads = torch.get_num_threads()
    found["openvino, bf16"] = with_network(generator, computed_by(generator.network, OpenVino(model, threads, "bf16"), noise))
    if store is not None:
        int8 = calibrated(model, generator, noise, store)
        for name in ("onnx", "openvino"):
            found[f"{name}, int8"] = with_network(
                generator, computed_by(generator.network, open_engine(name, int8, threads), noise)
            )
    return found


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
    for name in calls:
        faster = [spread([a / b for a, b in zip(taken["torch"], taken[name], strict=True)]) for taken in (wall, own)]
        off = f"{apart[name].max():3d} levels at most, {(apart[name] > 1).mean():7.3%} of values above one"
        seconds = f"{statistics.median(wall[name]):7.3f} s, time of the processor {statistics.median(own[name]):6.3f} s"
        print(f"  {name:16} {seconds}: {faster[0]} by the clock and {faster[1]} by CPU times as fast as PyTorch; {off}", flush=True)
    alike = [name for name in calls if apart[name].max() <= MOST_LEVELS]
    best = max(alike, key=lambda name: statistics.median(own["torch"]) / statistics.median(own[name]))
    ratio = statistics.median(own["torch"]) / statistics.median(own[best])
    verdict = "reached" if ratio >= GOAL else "MISSED"
    print(f"  fastest by CPU of those that are PyTorch's to a level: {best}, {ratio:.2f} times; goal {GOAL}: {verdict}", flush=True)


def spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def scores(found: dict[str, TrainedGenerator], store: TileStore, most: int) -> None:
    """Print how far the images of each are from real tiles that did not train, and how much further than PyTorch's."""
    tile_ids = kept_out(store)[:most]
    eyes = LiteFeatures().network()

    def seen(images: Iterable[np.ndarray]) -> np.ndarray:
        return np.concatenate([eyes.embed(encode_image(torch.tensor(one)[None])).numpy() for one in images])

    real = seen(store.tile(tile_id)[0] for tile_id in tile_ids)
    groups = [str(tile_id) for tile_id in tile_ids]
    drawn = resample(groups, groups, together=True)
    assert drawn is not None, "there are several tiles"
    made = {name: seen(TileImages(one).of_tile(store, tile_id, 0) for tile_id in tile_ids) for name, one in found.items()}
    print(
        f"kernel distance (x 1000) to {len(tile_ids)} tiles that did not train, and 95 % intervals of what it is beyond PyTorch's"
    )
    resampled = {name: kernel_distances(looks, real, drawn, drawn.x, drawn.y) for name, looks in made.items()}
    for name, looks in made.items():
        distance = kernel_distance(looks, real)
        more = distance - kernel_distance(made["torch"], real)
        low, high = np.nanpercentile(resampled[name] - resampled["torch"], (2.5, 97.5))
        verdict = "WORSE" if low > 0 else "not worse"
        print(
            f"  {name:16} {1e3 * distance:7.2f}, {1e3 * more:+.2f} ({1e3 * low:+.2f} to {1e3 * high:+.2f}): {verdict}", flush=True
        )


def main() -> None:
    """Print a table for each number of threads, then the scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="orthoforge-s")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--compiled", action="store_true", help="also PyTorch's compiler, which takes minutes")
    parser.add_argument("--tiles", type=Path)
    parser.add_argument("--scored", type=int, default=60)
    options = parser.parse_args()
    mask = houses(options.size)
    store = TileStore.open(options.tiles) if options.tiles else None
    for threads in options.threads:
        torch.set_num_threads(threads)
        found = backends(load_generator(options.run), store, compiled=options.compiled)
        print(f"{options.run}, mask of {options.size} px to image, {threads} threads, load {os.getloadavg()[0]:.1f}", flush=True)
        table({name: partial(one, mask, seed=0) for name, one in found.items()}, options.rounds)
    if store is not None:
        scores(found, store, options.scored)


if __name__ == "__main__":
    main()
