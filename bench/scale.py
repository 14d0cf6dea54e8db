"""How time, memory, disk and requests grow with scenes, tiles, pixels and workers, and what that makes of larger areas.

    python -m bench.scale [--picture docs/pictures/scale.svg] [--gpu-euros 3] [--core-euros 0.04] [--teraflops 20] [--quick]
    python -m bench.scale --requests

Measured on small areas, each point in a process of its own: CPU seconds of one thread (a busy machine changes them little), how
much memory grows at its peak, bytes on the disk, and requests that a local S3 gets. A line is laid through each row of points, by
least squares: what comes once, and what each further one costs. Figures of larger areas are that line continued, and the
operations of the network are counted; neither was measured there. Requests are those of small scenes, which share shards, and of
scenes of 5000² px, which have shards of their own that are sent in parts; the latter are continued.
"""

import argparse
import contextlib
import io
import logging
import math
import multiprocessing
import os
import re
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that measure

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from torch.utils.flop_counter import FlopCounterMode

from bench import pairs_of_rectangles
from bench.quiet import silent
from orthoforge import cli
from orthoforge.generation import generate
from orthoforge.stores.addresses import Address
from orthoforge.stores.client import client_of
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import load_generator

RUN, BUCKET = "orthoforge-s", "town"
LARGE = "prepare from S3 to S3: scenes of 5000² px"
GSD_M, SCENE_PX = 0.3, 5000
# Square kilometres of land, and scenes of 5 000² px that cover them.
AREAS = {"Inria": 180 * (SCENE_PX * GSD_M / 1000) ** 2, "a country (Germany)": 357_600.0, "all land": 148.9e6}
SECRETS = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing", "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true"}


@dataclass(frozen=True)
class Point:
    """What one command took."""

    x: float
    cpu_s: float
    memory_mb: float
    disk_mb: float
    requests: int = 0


@dataclass(frozen=True)
class Line:
    """What comes once, and what each unit of x adds."""

    once: float
    each: float

    @staticmethod
    def through(xs: Sequence[float], ys: Sequence[float]) -> "Line":
        """The line with the least squares; it begins at zero or above."""
        x, y = np.array(xs, float), np.array(ys, float)
        once, each = np.linalg.lstsq(np.stack([np.ones(len(x)), x], axis=1), y, rcond=None)[0]
        return Line(float(once), float(each)) if once >= 0 else Line(0.0, float(x.dot(y) / x.dot(x)))

    def at(self, x: float) -> float:
        return self.once + self.each * x


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--gpu-euros", type=float, default=3.0, help="of an hour of a GPU")
    parser.add_argument("--core-euros", type=float, default=0.04, help="of an hour of a core")
    parser.add_argument("--teraflops", type=float, default=20.0, help="that the network is taken to reach on a GPU")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--requests", action="store_true", help="count these alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = requests(Path(folder), quick=options.quick) if options.requests else measured(Path(folder), quick=options.quick)
    for name, points in rows.items():
        print(f"\n{name}")
        for point in points:
            asked = f", {point.requests} requests" if point.requests else ""
            room = f"{point.memory_mb:6.0f} MB of memory, {point.disk_mb:7.2f} MB on the disk"
            print(f"  {point.x:10.4g}  {point.cpu_s:7.2f} s CPU, {room}{asked}")
    if options.requests:
        return
    flops = operations_a_pixel()
    print(f"\n{RUN}: {flops / 1e3:.0f} thousand operations a pixel, counted")
    continued(rows, flops, gpu_euros=options.gpu_euros, core_euros=options.core_euros, teraflops=options.teraflops)
    if options.picture:
        draw(rows, options.picture)
        print(f"\n{options.picture}")


def measured(folder: Path, *, quick: bool) -> dict[str, list[Point]]:
    """Rows of points; x is millions of pixels, or a count."""
    rows: dict[str, list[Point]] = {}
    cut = partial(prepare, gsd=GSD_M, size=256)
    data = {
        side: pairs_of_rectangles(folder / f"data{side}", 1, side)
        for side in ((512, 1024) if quick else (512, 1024, 1536, 2048, 3072))
    }
    rows["prepare: one scene, million pixels"] = [
        apart(side**2 / 1e6, out := folder / f"p{side}", partial(cut, path, out, workers=1)) for side, path in data.items()
    ]
    counts = (1, 4) if quick else (1, 2, 4, 8, 16)
    many = {count: pairs_of_rectangles(folder / f"many{count}", count, 512) for count in counts}
    rows["prepare: scenes of 512² px"] = [
        apart(count, out := folder / f"n{count}", partial(cut, path, out, workers=1)) for count, path in many.items()
    ]
    rows[f"prepare, {counts[-1]} scenes: workers"] = [
        apart(workers, out := folder / f"w{workers}", partial(cut, many[counts[-1]], out, workers=workers)) for workers in (1, 2, 4)
    ]
    tiled = {size: folder / f"tiles{size}" for size in ((256, 128) if quick else (256, 128, 64, 32))}
    for size, path in tiled.items():
        apart(0, path, partial(prepare, list(data.values())[-1], path, gsd=GSD_M, size=size, workers=1))
    rows["opening tiles: tiles"] = [
        apart(count_of(path), path / "manifest.jsonl", partial(TileStore.open, path)) for path in tiled.values()
    ]
    masks = {
        side: pairs_of_rectangles(folder / f"m{side}", 1, side) / "masks"
        for side in ((256, 512) if quick else (256, 512, 1024, 1536, 2048))
    }
    rows["generate: one mask, million pixels"] = [
        apart(side**2 / 1e6, out := folder / f"g{side}.tif", partial(generate, RUN, [path], out)) for side, path in masks.items()
    ]
    return rows | requests(folder, quick=quick)


def requests(folder: Path, *, quick: bool) -> dict[str, list[Point]]:
    """The same of requests; x is a count of scenes."""
    large = {1: 1300, 2: 1300} if quick else {1: SCENE_PX, 2: SCENE_PX}
    with local_s3(folder) as count:
        return {
            "prepare from S3 to S3: scenes of 256² px": [count(scenes, 256) for scenes in ((1, 4) if quick else (1, 2, 4, 8, 16))],
            LARGE: [count(scenes, side) for scenes, side in large.items()],
        }


def count_of(tiles: Path) -> int:
    return len((tiles / "manifest.jsonl").read_text().splitlines())


def apart(x: float, out: Path, command: Callable[[], object]) -> Point:
    """A command in a process of its own, forked from one that has imported everything and computed nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["orthoforge.generation", "orthoforge.tiles.prepare", "matplotlib.figure"])
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=tell, args=(command, there))
    child.start()
    there.close()
    cpu_s, memory = here.recv()
    child.join()
    return Point(x, cpu_s, memory, size_mb(out))


def tell(command: Callable[[], object], to: Connection) -> None:
    """In that process: CPU seconds, and by how many MB memory grew at its peak."""
    with silent():
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
        before, began = memory_mb("VmRSS"), time.process_time()
        command()
        to.send((time.process_time() - began, memory_mb("VmHWM") - before))


@contextlib.contextmanager
def local_s3(folder: Path) -> Iterator[Callable[[int, int], Point]]:
    """Counts how many requests `prepare` makes of a local S3, from the first listing to the last object, for so many scenes of a
    side.
    """
    from moto.server import ThreadedMotoServer

    logger, lines = logging.getLogger("werkzeug"), io.StringIO()
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(logging.StreamHandler(lines))
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= SECRETS | {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "ORTHOFORGE_CACHE": str(folder / "cache")}
    urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/{BUCKET}", b"", method="PUT")).close()
    client = client_of(Address("s3", BUCKET, ""))

    def count(scenes: int, side: int) -> Point:
        name = f"{scenes}-of-{side}"
        data = pairs_of_rectangles(folder / f"s3-{name}", scenes, side)
        for path in data.rglob("*.tif"):
            client.put(f"data-{name}/{path.relative_to(data)}", path)
        lines.seek(0)
        lines.truncate()
        began = time.process_time()
        with silent():
            size = "128" if side < SCENE_PX else "256"
            code = cli.main(
                ["prepare", f"s3://{BUCKET}/data-{name}", f"s3://{BUCKET}/tiles-{name}", "--gsd", str(GSD_M), "--size", size]
            )
        assert code == 0, code
        return Point(scenes, time.process_time() - began, 0, size_mb(data), len(re.findall(r"HTTP/1", lines.getvalue())))

    yield count
    server.stop()


def operations_a_pixel() -> float:
    """Multiplications and additions of the network a pixel of a large image, counted by torch."""
    generator, mask = load_generator(RUN), np.zeros((512, 512), np.uint8)
    with FlopCounterMode(display=False) as counter:
        generator(mask)
    return counter.get_total_flops() / mask.size


def continued(rows: Mapping[str, list[Point]], flops: float, *, gpu_euros: float, core_euros: float, teraflops: float) -> None:
    """Print what the lines make of larger areas."""
    by_px = {name: rows[f"{name}, million pixels"] for name in ("prepare: one scene", "generate: one mask")}
    cut, drawn = (Line.through([p.x for p in points], [p.cpu_s for p in points]) for points in by_px.values())
    stored, written = (Line.through([p.x for p in points], [p.disk_mb for p in points]) for points in by_px.values())
    asked = rows[LARGE]
    requests = Line.through([p.x for p in asked], [p.requests for p in asked])
    print("\na million pixels more, and a scene more:")
    print(f"  prepare   {cut.each:.3f} s of a core + {cut.once:.2f} s a scene, {stored.each:.2f} MB of tiles")
    print(f"  generate  {drawn.each:.2f} s of a core + {drawn.once:.2f} s a mask, {written.each:.2f} MB of images")
    print(f"  requests  {requests.each:.1f} a scene + {requests.once:.0f} once")
    print(f"an hour of a core {core_euros:g} €, of a GPU {gpu_euros:g} €; the network takes {teraflops:g} Tflop/s of it\n")
    heads = (
        "scenes of 5 000² px", "pixels", "prepare, core hours", "tiles", "generate, core hours", "images", "requests", "cores, €",
        "or the network on a GPU, hours", "€",
    )  # fmt: skip
    print(f"| | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}")
    for name, km2 in AREAS.items():
        pixels = km2 * 1e6 / GSD_M**2
        scenes, million = math.ceil(pixels / SCENE_PX**2), pixels / 1e6
        cut_s, drawn_s = (line.once * scenes + line.each * million for line in (cut, drawn))
        gpu_h = flops * pixels / (teraflops * 1e12) / 3600
        figures = (
            f"{scenes:,}", f"{pixels:.2g}", hours(cut_s), disk(stored.each * million), hours(drawn_s), disk(written.each * million),
            f"{requests.at(scenes):,.0f}", euros((cut_s + drawn_s) / 3600 * core_euros),
            hours(gpu_h * 3600), euros(gpu_h * gpu_euros),
        )  # fmt: skip
        print(f"| {name} | {' | '.join(figures).replace(',', ' ')} |")


def hours(seconds: float) -> str:
    value = seconds / 3600
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"


def euros(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"


def disk(mb: float) -> str:
    unit, by = next((unit, by) for unit, by in (("PB", 1e9), ("TB", 1e6), ("GB", 1e3), ("MB", 1)) if mb >= by)
    return f"{mb / by:.3g} {unit}"


def draw(rows: Mapping[str, list[Point]], path: Path) -> None:
    """A panel for each row: CPU seconds with the line through them, and memory; of S3 the requests."""
    mpl.rcParams["svg.hashsalt"] = "orthoforge"
    figure = Figure(figsize=(10, 6), layout="constrained", facecolor="white")
    for axes, (name, points) in zip(figure.subplots(2, 3).flat, ((one, rows[one]) for one in rows if one != LARGE), strict=True):
        what, _, unit = name.rpartition(": ")
        xs = [point.x for point in points]
        is_of_s3 = any(point.requests for point in points)
        ys = [point.requests if is_of_s3 else point.cpu_s for point in points]
        axes.plot(xs, ys, "o", color="#1f6f8b")
        line = Line.through(xs, ys)
        axes.plot(ends := [0, max(xs)], [line.at(x) for x in ends], "-", color="#1f6f8b", linewidth=1)
        axes.set_ylabel("requests" if is_of_s3 else "CPU seconds", color="#1f6f8b")
        axes.set_title(what, fontsize=10)
        axes.set_xlabel(unit)
        axes.set_ylim(0, 1.08 * max(*ys, line.at(max(xs))))
        axes.set_xlim(0, 1.05 * max(xs))
        if not is_of_s3:
            beside = axes.twinx()
            beside.plot(xs, [point.memory_mb for point in points], "s--", color="#c4524a", markersize=4, linewidth=0.8)
            beside.set_ylabel("MB of memory, at the peak", color="#c4524a")
            beside.set_ylim(0, 1.08 * max(point.memory_mb for point in points))
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def memory_mb(name: str) -> float:
    found = re.search(rf"{name}:\s*(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def size_mb(path: Path) -> float:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


if __name__ == "__main__":
    main()
