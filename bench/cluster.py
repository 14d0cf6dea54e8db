"""What Ray costs beside the plain command at 64 small scenes, and what three machines make when one of them goes away.

    python -m bench.cluster [overhead] [nodes] [--commands prepare generate] [--scenes 64] [--rounds 3]

Overhead: `prepare` and `generate` by one worker of Ray and by this process, which have one thread each, in turn. Clock time, and
CPU time of all processes that belong to it, those of Ray too. Workers live already and have imported what they need: what the first
command of a cluster waits for is printed beside. Nodes: three raylets of one processor each, on this machine, by Ray's own
`Cluster`. One of them is killed while images are made; the files must be those of the plain command, to the byte.
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
from functools import partial
from pathlib import Path
from typing import Any

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "OMP_NUM_THREADS": "1"}
os.environ.update(QUIET)  # for Ray and its workers

import numpy as np  # noqa: E402
import psutil  # noqa: E402
import ray  # noqa: E402
import torch  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

from bench import pairs_of_rectangles  # noqa: E402
from bench.quiet import silent  # noqa: E402
from orthoforge.generation import generate  # noqa: E402
from orthoforge.tiles.prepare import prepare  # noqa: E402

GOAL = 0.10
SIDES_PX = {"prepare": 1024, "generate": 192}
RUN = "orthoforge-s"
OPTIONS: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
Command = Callable[..., object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["overhead", "nodes"])
    parser.add_argument("--commands", nargs="*", default=list(SIDES_PX))
    parser.add_argument("--scenes", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        data = {name: pairs_of_rectangles(Path(folder) / name, options.scenes, side) for name, side in SIDES_PX.items()}
        commands: dict[str, Command] = {
            "prepare": partial(prepare, data["prepare"], gsd=0.3, size=256, workers=1),
            "generate": partial(generate, RUN, [data["generate"] / "masks"]),
        }
        if "overhead" in options.parts:
            overhead({name: commands[name] for name in options.commands}, Path(folder), options.rounds)
        if "nodes" in options.parts:
            nodes(commands["generate"], Path(folder))


def overhead(commands: dict[str, Command], folder: Path, rounds: int) -> None:
    """Print the time on Ray beside the plain one."""
    begun = time.perf_counter()
    ray.init(address="local", num_cpus=1, include_dashboard=False, **OPTIONS)
    print(f"a Ray of this machine, started: {time.perf_counter() - begun:.1f} s")
    for name, command in commands.items():
        begun = time.perf_counter()
        with silent():
            command(folder / f"{name}-first", on="ray")
        first_s = time.perf_counter() - begun
        seconds: dict[str | None, list[tuple[float, float]]] = {None: [], "ray": []}
        for number in range(rounds):
            for on, found in seconds.items():
                clock, cpu = time.perf_counter(), cpu_s()
                with silent():
                    command(folder / f"{name}-{on}-{number}", on=on)
                found.append((time.perf_counter() - clock, cpu_s() - cpu))
        plain, far = (np.median(seconds[on], axis=0) for on in (None, "ray"))
        ratios = [
            statistics.median(b[kind] / a[kind] for a, b in zip(seconds[None], seconds["ray"], strict=True)) for kind in (0, 1)
        ]
        same = contents(folder / f"{name}-ray-0") == contents(folder / f"{name}-None-0")
        print(
            f"{name:8} plain {plain[0]:.1f} s, {plain[1]:.1f} s CPU; Ray {far[0]:.1f} s, {far[1]:.1f} s CPU: {ratios[0]:.2f} times "
            f"by the clock, {ratios[1]:.2f} by CPU, the first time {first_s:.1f} s; goal {1 + GOAL:.2f}: "
            f"{'reached' if ratios[0] <= 1 + GOAL else 'MISSED'}; the same files: {'yes' if same else 'NO'}"
        )
    ray.shutdown()


def nodes(command: Command, folder: Path) -> None:
    """Kill one of three machines when a third of the images is there."""
    with silent():
        command(folder / "alone")
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
    with silent():
        command(out, on="ray")
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


def cpu_s() -> float:
    """CPU seconds of this process and of all that it started."""
    total = 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


if __name__ == "__main__":
    main()
