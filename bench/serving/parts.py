"""The parts of the bench: each prints its figures."""

import asyncio
import random
import signal
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
from affine import Affine
from rasterio.crs import CRS

from bench.serving.arrivals import LOST, REFUSED, arrive, burst, png, told, town
from bench.serving.server import Server, free_port, running
from orthoforge.geo.cog import write_raster
from orthoforge.geo.grid import Grid
from orthoforge.trained_generator import load_generator

AT_ONCE = 4


def capacity(folder: Path, model: str, rounds: int) -> float:
    """Images a second of the server beside the bare generator's, by turns; returns the server's."""
    generator, mask = load_generator(model), town()
    generator(mask)
    with running(folder, model, "--deadline", "600") as server:
        asyncio.run(burst(server.url, AT_ONCE))
        found = []
        for number in range(rounds):
            wall, cpu = time.monotonic(), time.process_time()
            for seed in range(AT_ONCE):
                generator(mask, seed=AT_ONCE * number + seed)
            bare = time.monotonic() - wall, time.process_time() - cpu
            wall, cpu = time.monotonic(), server.cpu_s()
            assert all(one.status == 200 for one in asyncio.run(burst(server.url, 2 * AT_ONCE)))
            served = (time.monotonic() - wall) / 2, (server.cpu_s() - cpu) / 2
            found.append((*bare, *served))
    bare_s, bare_cpu, served_s, served_cpu = (statistics.median(column) / AT_ONCE for column in zip(*found, strict=True))
    ratio = statistics.median(one[0] / one[2] for one in found)
    print(f"bare generator: {1 / bare_s:.2f} images/s, {bare_cpu:.3f} s of computing each ({rounds} rounds, by turns)")
    print(f"server: {1 / served_s:.2f} images/s, {served_cpu:.3f} s of computing each")
    print(f"server beside the bare generator: {ratio:.2f} of its images/s, {bare_cpu / served_cpu:.2f} by computing", flush=True)
    return 1 / served_s


def load(folder: Path, model: str, rate: float, seconds: float) -> None:
    """Arrivals at half, all and twice of ``rate``."""
    with running(folder, model, "--queue", "16") as server:
        asyncio.run(burst(server.url, AT_ONCE))
        for share in (0.5, 1.0, 2.0):
            began = time.monotonic()
            answers = asyncio.run(arrive(server.url, share * rate, seconds))
            goodput = sum(one.status == 200 for one in answers) / (time.monotonic() - began)
            print(f"{share:g} of capacity for {seconds:.0f} s: {goodput:.2f} images/s; {told(answers)}", flush=True)


def crowd(folder: Path, model: str) -> None:
    """200 requests at once against a queue of 16."""
    with running(folder, model, "--queue", "16") as server:
        asyncio.run(burst(server.url, AT_ONCE))
        before = server.memory_mb()
        answers = asyncio.run(burst(server.url, 200))
        print(f"200 at once, a queue of 16: {told(answers)}; memory {before:.0f} -> {server.memory_mb():.0f} MB", flush=True)


def bodies(folder: Path, model: str) -> None:
    """Bodies that are slow, too large, or of 10⁵ fields: what is said, and what they take of memory."""
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    head = b'--b\r\nContent-Disposition: form-data; name="mask"; filename="m"\r\n\r\n'
    fields = (
        b"".join(b'--b\r\nContent-Disposition: form-data; name="f%d"\r\n\r\nx\r\n' % number for number in range(10**5)) + b"--b--"
    )
    said: dict[str, Counter[int]] = {}

    def slowly() -> Iterator[bytes]:
        yield head
        for _ in range(100):
            yield b"x"
            time.sleep(1)

    def endlessly() -> Iterator[bytes]:
        yield head
        for _ in range(1000):
            yield bytes(2**20)

    with running(folder, model) as server, httpx.Client(timeout=120) as client:
        asyncio.run(burst(server.url, AT_ONCE))
        before, most = server.memory_mb(), 0.0
        for name, body, times in (("slow", slowly, 1), ("too large", endlessly, 4), ("of 10⁵ fields", lambda: fields, 10)):
            said[name] = Counter()
            for _ in range(times):
                try:
                    said[name][client.post(f"{server.url}/v1/images", content=body(), headers=form).status_code] += 1
                except httpx.TransportError:  # the server had answered and closed before all was sent
                    said[name][REFUSED] += 1
                most = max(most, server.memory_mb())
        sound = client.post(f"{server.url}/v1/images", files={"mask": png(town())})
    told_of = "; ".join(
        f"{name} {', '.join(f'{status}: {count}' for status, count in seen.items())}" for name, seen in said.items()
    )
    print(f"bodies: {told_of}; memory {before:.0f} -> {most:.0f} MB; a sound one afterwards {sound.status_code}", flush=True)


def stopped(folder: Path, model: str, rate: float) -> None:
    """SIGTERM while requests come."""
    with running(folder, model) as server:

        async def under_load() -> None:
            stop = asyncio.Event()
            coming = asyncio.ensure_future(arrive(server.url, rate, 60, stop=stop))
            await asyncio.sleep(6)
            server.send(signal.SIGTERM)
            began = time.monotonic()
            await asyncio.sleep(2)
            stop.set()
            answers = await coming
            code = await asyncio.to_thread(server.ended)
            print(f"SIGTERM under load: {told(answers)}; exit code {code} after {time.monotonic() - began:.1f} s", flush=True)
            assert not any(one.status == LOST for one in answers)

        asyncio.run(under_load())


def killed(folder: Path, model: str, times: int) -> None:
    """SIGKILL at random moments, and whether the jobs that were accepted are done afterwards."""
    draw, accepted, starts = random.Random(0), [], []
    words, data = [model, "--data", str(folder / "data")], png(town(700))
    for _ in range(times):
        server = Server(words, free_port(), folder / "log")
        starts.append(server.wait())
        timer = threading.Timer(draw.uniform(0.1, 3.0), server.send, [signal.SIGKILL])
        timer.start()
        try:
            for seed in range(2):
                answer = httpx.post(f"{server.url}/v1/jobs", files={"mask": data}, data={"seed": str(seed)}, timeout=60)
                if answer.status_code == 202:
                    accepted.append(answer.json()["id"])
        except httpx.TransportError:
            pass  # killed before it said that it took the job
        server.ended()
    with running(folder, model) as server:
        states: dict[str, str] = {}
        while len(states) < len(accepted):
            time.sleep(1)
            for job in accepted:
                answer = httpx.get(f"{server.url}/v1/jobs/{job}", timeout=60)
                state = answer.json()["state"] if answer.status_code == 200 else "lost"
                if state not in ("queued", "running"):
                    states[job] = state
    lost = sum(state != "done" for state in states.values())
    ready_s = statistics.median(starts)
    print(f"killed {times} times: {len(accepted)} jobs accepted, {lost} lost; ready {ready_s:.1f} s after a start", flush=True)


def soak(folder: Path, model: str, rate: float, seconds: float) -> None:
    """Memory and descriptors of the server's processes under load."""
    layer = town_layer(folder)
    with running(folder, model, "--layers", str(layer)) as server:
        asyncio.run(burst(server.url, AT_ONCE))
        asyncio.run(arrive(server.url, rate, seconds / 10))  # what is reached by use, before it is looked at
        found = []
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            answers = asyncio.run(arrive(server.url, rate, seconds / 10))
            httpx.post(f"{server.url}/v1/images", files={"mask": b"broken"}, timeout=60)
            found.append((server.memory_mb(), server.descriptors()))
            print(f"  {told(answers)}; {found[-1][0]:.0f} MB, {found[-1][1]} descriptors", flush=True)
        memory, descriptors = (np.array(column) for column in zip(*found, strict=True))
        half = len(found) // 2
        print(
            f"{seconds:.0f} s of load: memory {memory[:half].mean():.0f} MB in the first half, {memory[half:].mean():.0f} MB in "
            f"the second; descriptors {descriptors[:half].max()} and {descriptors[half:].max()} at most",
            flush=True,
        )


def tiles(folder: Path, model: str) -> None:
    """A living map's tiles: new, from the blocks on the disk, and lately sent."""
    layer = town_layer(folder)
    with running(folder, model, "--layers", str(layer)) as server, httpx.Client(timeout=300) as client:
        document = client.get(f"{server.url}/v1/maps/town/tilejson.json").json()
        lon, lat, _ = document["center"]
        for out in range(4):
            z = document["maxzoom"] - 2 - out
            x, y = _tile(z, lon, lat)
            seconds, cpu = [], []
            for seed in range(3):
                address = f"{server.url}/v1/maps/town/tiles/{z}/{x}/{y}.png?seed={seed}"
                client.get(f"{server.url}/v1/maps/town/tilejson.json?seed={seed}")
                for form in ("png", "webp", "png"):
                    computed = server.cpu_s()
                    began = time.monotonic()
                    client.get(address.replace(".png", f".{form}")).raise_for_status()
                    seconds.append(time.monotonic() - began)
                    cpu.append(server.cpu_s() - computed)
            new, kept, sent = (statistics.median(seconds[part::3]) for part in range(3))
            made = statistics.median(cpu[::3])
            print(
                f"zoom {z}: new {new:.2f} s ({made:.2f} s of computing), of kept blocks {1000 * kept:.0f} ms, "
                f"sent lately {1000 * sent:.0f} ms",
                flush=True,
            )


def _tile(z: int, lon: float, lat: float) -> tuple[int, int]:
    y = (1 - np.arcsinh(np.tan(np.radians(lat))) / np.pi) / 2 * 2**z
    return int((lon + 180) / 360 * 2**z), int(y)


def town_layer(folder: Path) -> Path:
    """A mask of 4096² px that lies somewhere, written once into ``folder``: a map called ``town``."""
    path = folder / "town.tif"
    if not path.exists():
        write_raster(path, town(4096), Grid(4096, 4096, Affine(0.3, 0, 458_000, 0, -0.3, 5_550_000), CRS.from_epsg(32633)))
    return path
