"""What Ray costs beside the plain command at 64 small scenes, and what three machines make when one of them goes away.

    python -m bench.cluster [overhead] [items] [nodes] [--commands prepare generate] [--scenes 64] [--workers 2] [--rounds 3]

Overhead: `prepare` and `generate` by workers of Ray and by as many without it, which have one thread each, in turn. Without Ray
`prepare` has threads. `generate` has none: there as many processes are each given a part of the masks. Clock time, and CPU time of
all processes that belong to it, those of Ray too. What Ray's processes take while nobody works is measured first: on a busy machine
a command waits long, and they go on. All processes live already and have imported what they need: what the first command of a
cluster waits for is printed beside. Items: what an item costs that does nothing. Nodes: three raylets of one processor each, on
this machine, by Ray's own `Cluster`. One of them is killed while images are made; the files must be those of the plain command, to
the byte.
"""

import argparse
import contextlib
import hashlib
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "OMP_NUM_THREADS": "1"}
os.environ.update(QUIET)  # for Ray and its workers

import numpy as np  # noqa: E402
import psutil  # noqa: E402
import ray  # noqa: E402
import torch  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

from bench import pairs_of_rectangles  # noqa: E402
from bench.quiet import silent  # noqa: E402
from orthoforge.cluster import Here, team_on  # noqa: E402
from orthoforge.generation import generate  # noqa: E402
from orthoforge.tiles.prepare import prepare  # noqa: E402

GOAL = 0.10
SIDES_PX = {"prepare": 1024, "generate": 192}
RUN = "orthoforge-s"
OPTIONS: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
IDLE_S = 10.0
ITEMS = (64, 512)
Command = Callable[[Path, str | None], object]


class Taken(NamedTuple):
    """Of a command."""

    clock_s: float
    cpu_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["overhead", "items", "nodes"])
    parser.add_argument("--commands", nargs="*", default=list(SIDES_PX))
    parser.add_argument("--scenes", type=int, default=64)
    parser.add_argument(
        "--px", type=int, nargs=2, metavar=("PREPARE", "GENERATE"), default=list(SIDES_PX.values()), help="of a scene"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if {"overhead", "items"} & set(options.parts):
        begun = time.perf_counter()
        ray.init(address="local", num_cpus=options.workers, include_dashboard=False, **OPTIONS)
        print(f"a Ray of this machine, {options.workers} workers, started: {time.perf_counter() - begun:.1f} s", flush=True)
    if "items" in options.parts:
        items()
    with tempfile.TemporaryDirectory() as folder, processes(options.workers) as pool:
        sides = dict(zip(SIDES_PX, options.px, strict=True))
        data = {name: pairs_of_rectangles(Path(folder) / name, options.scenes, side) for name, side in sides.items()}
        masks = sorted((data["generate"] / "masks").iterdir())
        commands: dict[str, Command] = {
            "prepare": partial(prepared, data["prepare"], options.workers),
            "generate": partial(generated, masks, pool, options.workers),
        }
        if "overhead" in options.parts:
            overhead(
                {f"{name}, {sides[name]} px": commands[name] for name in options.commands},
                Path(folder),
                options.workers,
                options.rounds,
            )
        ray.shutdown()
        if "nodes" in options.parts:
            nodes(commands["generate"], Path(folder))


def processes(workers: int) -> ProcessPoolExecutor:
    """Processes of one thread each, that import what they need when they are first asked."""
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,))


def prepared(data: Path, workers: int, out: Path, on: str | None) -> None:
    with silent():
        prepare(data, out, gsd=0.3, size=256, workers=workers, on=on)


def generated(masks: list[Path], pool: ProcessPoolExecutor, workers: int, out: Path, on: str | None) -> None:
    """Images of masks on Ray, or by processes that each make a part of them."""
    if on is not None:
        return images(masks, out, on)
    for part in [pool.submit(images, masks[first::workers], out, None) for first in range(workers)]:
        part.result()
    return None


def images(masks: list[Path], out: Path, on: str | None) -> None:
    with silent():
        generate(RUN, masks, out, on=on)


def overhead(commands: dict[str, Command], folder: Path, workers: int, rounds: int) -> None:
    """Print the time on Ray, which was started before anything else, beside the plain one."""
    daemons = {process.pid for process in psutil.Process().children()}
    for number, (name, command) in enumerate(commands.items()):
        begun = time.perf_counter()
        command(folder / f"{number}-first", "ray")
        first_s = time.perf_counter() - begun
        command(folder / f"{number}-imported", None)
        ours = {process.pid for process in [psutil.Process(), *psutil.Process().children()]} - daemons
        idle = cpu_s(None)
        time.sleep(IDLE_S)
        idle = (cpu_s(None) - idle) / IDLE_S
        taken: dict[str | None, list[Taken]] = {None: [], "ray": []}
        for turn in range(rounds):
            for on in (None, "ray") if turn % 2 == 0 else ("ray", None):
                clock, cpu = time.perf_counter(), cpu_s(None if on else ours)
                command(folder / f"{number}-{on}-{turn}", on)
                taken[on].append(Taken(time.perf_counter() - clock, cpu_s(None if on else ours) - cpu))
        same = contents(folder / f"{number}-ray-0") == contents(folder / f"{number}-None-0")
        print(f"{name}: {told(taken[None], taken['ray'], idle)}; the first time {first_s:.1f} s", flush=True)
        print(f"{name}: the same files: {'yes' if same else 'NO'}", flush=True)


def items() -> None:
    """Print the CPU time of items that do nothing, the second time that so many are worked on."""
    for count in ITEMS:
        for _ in range(2):
            cpu = cpu_s(None)
            with team_on("ray", here=Here()) as team:
                for answer in team.answers(abs, range(count)):
                    answer.result()
            cpu = cpu_s(None) - cpu
        print(f"{count} items that do nothing: {1000 * cpu / count:.1f} ms of CPU each", flush=True)


def told(plain: list[Taken], far: list[Taken], idle: float) -> str:
    """Medians, and of each round the ratios. ``idle`` is what Ray's processes take of a processor while nobody works."""
    at_work = [Taken(one.clock_s, one.cpu_s - idle * one.clock_s) for one in far]
    clock = spread([b.clock_s / a.clock_s for a, b in zip(plain, far, strict=True)])
    cpu, without = ([b.cpu_s / a.cpu_s for a, b in zip(plain, each, strict=True)] for each in (far, at_work))
    seconds = ["{:.1f} s, {:.1f} s CPU".format(*np.median(each, axis=0)) for each in (plain, far)]
    verdict = "reached" if statistics.median(cpu) <= 1 + GOAL else "MISSED"
    return (
        f"plain {seconds[0]}; Ray {seconds[1]}: {clock} times by the clock, {spread(cpu)} by CPU (goal {1 + GOAL:.2f}: {verdict}), "
        f"{spread(without)} without what Ray's processes take idle, {idle:.1%} of a processor"
    )


def spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def nodes(command: Command, folder: Path) -> None:
    """Kill one of three machines when a third of the images is there."""
    command(folder / "alone", None)
    cluster = Cluster(initialize_head=True, connect=False, head_node_args={"num_cpus": 1, "include_dashboard": False})
    leaving = [cluster.add_node(num_cpus=1) for _ in range(2)][-1]
    ray.init(address=cluster.address, **OPTIONS)
    out, begun = folder / "three", time.perf_counter()
    wanted = len(list((folder / "alone").glob("*.tif")))
    removed: list[int] = []

    def remove() -> None:
        while len(there := list(out.glob("*.tif"))) < wanted // 3:
            time.sleep(0.05)
        cluster.remove_node(leaving, allow_graceful=False)
        removed.append(len(there))

    remover = threading.Thread(target=remove)
    remover.start()
    command(out, "ray")
    remover.join()
    alive = sum(node["Alive"] for node in ray.nodes())
    same = contents(out) == contents(folder / "alone")
    print(
        f"three machines, one killed after {removed[0]} of {wanted} images; {alive} are left, {time.perf_counter() - begun:.1f} s: "
        f"the same files: {'yes' if same else 'NO'}"
    )
    ray.shutdown()
    cluster.shutdown()


def contents(folder: Path) -> dict[str, str]:
    """Checksums of all files by name; of STAC items, which have a time, the name alone."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            is_timed = path.suffix == ".json" and path.with_suffix(".tif").exists()
            found[str(path.relative_to(folder))] = "" if is_timed else hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def family() -> list[psutil.Process]:
    """This process and all that it started."""
    return [psutil.Process(), *psutil.Process().children(recursive=True)]


def cpu_s(pids: set[int] | None) -> float:
    """CPU seconds of the family, with those of its members that have ended, or of its members of these ``pids`` alone."""
    total = 0.0
    for process in family():
        if pids is None or process.pid in pids:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system + (times.children_user + times.children_system if pids is None else 0)
    return total


if __name__ == "__main__":
    main()
