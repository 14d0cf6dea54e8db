"""S3 as moto serves it here: tiles of 118 pairs and the image of a 5000² scene, from and to a bucket, killed in each phase.

    python -m bench.stores [tiles] [scene] [--run orthoforge-s] [--backend torch] [--pairs 118] [--side 5000]

After each kill every object under a final name must be whole: its bytes are those of a run on this machine, of a STAC item all but
its time. At the end all of them must be there, and no credential in what was printed, kept or written here or there. Without
``--run`` a small network that nobody trained makes the image.
"""

import argparse
import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from orthoforge.config import Recipe
from orthoforge.geo.cog import write_geotiff
from orthoforge.geo.grid import Grid
from orthoforge.stores.addresses import Address
from orthoforge.stores.client import client_of

BUCKET, PAIRS, PAIR_PX, SCENE_PX = "town", 118, 256, 5000
SECRETS = ("AKIAKNOWNTONOBODY", "a-secret-that-nobody-may-see")
PHASES = ("bringing", "working", "sending")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["tiles", "scene"])
    parser.add_argument("--run", help="that makes the image")
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--side", type=int, default=SCENE_PX)
    asked = parser.parse_args()
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    host, port = server.get_host_and_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ALLOW_HTTP": "true", "AWS_ACCESS_KEY_ID": SECRETS[0],
            "AWS_SECRET_ACCESS_KEY": SECRETS[1], "AWS_REGION": "us-east-1", "ORTHOFORGE_CACHE": str(folder / "cache"),
        }  # fmt: skip
        urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/{BUCKET}", b"", method="PUT")).close()
        mask = material(folder, asked.pairs if "tiles" in asked.parts else 0, asked.side)
        if "tiles" in asked.parts:
            whole = ["--gsd", "0.3", "--size", "128", "--split", "random"]
            trial(folder, "tiles", ["prepare", folder / "data", folder / "tiles", *whole],
                  ["prepare", f"s3://{BUCKET}/data", f"s3://{BUCKET}/tiles", *whole])  # fmt: skip
        if "scene" in asked.parts:
            words = ["generate", asked.run or untrained(folder / "run"), "--backend", asked.backend]
            trial(folder, "scene.tif", [*words, mask, "--out", folder / "scene.tif"],
                  [*words, f"s3://{BUCKET}/masks/scene.tif", "--out", f"s3://{BUCKET}/scene.tif"])  # fmt: skip
    server.stop()


def material(folder: Path, pairs: int, side: int) -> Path:
    """Pairs and a mask, here and in the bucket; the mask's path."""
    rng = np.random.default_rng(0)
    client = client_of(Address("s3", BUCKET, ""))
    grid = Grid(50_000, 50_000, Affine(0.3, 0, 500_000, 0, -0.3, 5_000_000), CRS.from_epsg(32633))

    def put(path: Path, array: np.ndarray, at: Grid, key: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_geotiff(path, array, at)
        client.put(key, path)

    from orthoforge.geo.grid import Window

    for number in range(pairs):
        at = grid.window(Window(0, number * PAIR_PX, PAIR_PX, PAIR_PX))
        for kind, array in (("images", rng.integers(0, 256, (PAIR_PX, PAIR_PX, 3), np.uint8)), ("masks", buildings(rng, PAIR_PX))):
            put(folder / "data" / kind / f"town{number + 1}.tif", array, at, f"data/{kind}/town{number + 1}.tif")
    put(folder / "scene-mask.tif", buildings(rng, side), grid.window(Window(0, 0, side, side)), "masks/scene.tif")
    (folder / "masks").mkdir()
    (folder / "scene-mask.tif").rename(folder / "masks" / "scene.tif")
    return folder / "masks" / "scene.tif"


def untrained(run: Path) -> Path:
    """A small run, by the tests' own hand."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from saved_runs import save_run  # type: ignore[import-not-found]

    save_run(run, Recipe(name="small", generator="resunet6", generator_width=4, norm="batch", upsample="resize"))
    return run


def buildings(rng: np.random.Generator, side: int) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    for row in range(8, side - 24, 32):
        for col in range(8, side - 24, 32):
            high, wide = rng.integers(8, 20, 2)
            mask[row : row + high, col : col + wide] = 255
    return mask


def trial(folder: Path, what: str, here: list, there: list) -> None:
    """The command on this machine, then in the bucket with a kill in each phase."""
    began = time.monotonic()
    assert command(here).wait() == 0
    local_s = time.monotonic() - began
    wanted = content(folder / what)
    broken, printed, killed = 0, "", []
    for phase in PHASES:
        process = command(there, subprocess.PIPE)
        reached = watched(process, at(folder, phase, what))
        printed += reached
        killed.append(process.returncode == -signal.SIGKILL)
        found = objects(what)
        broken += sum(wanted.get(name) != digest for name, digest in found.items())
        shown = f"{killed[-1]}, {len(found)} of {len(wanted)} objects there, all whole: {not broken}"
        print(f"{what}: killed while {phase}: {shown}", flush=True)
    left = kept(folder)
    began = time.monotonic()
    process = command(there if killed[-1] else [*there, "--overwrite"], subprocess.PIPE)  # it was faster than the kill
    printed += process.communicate()[0]
    assert process.returncode == 0, printed
    seconds = time.monotonic() - began
    print(f"{what}: the same command ends well: {objects(what) == wanted}; {local_s:.0f} s here, {seconds:.0f} s the last time")
    places = {"printed": [printed.encode()], "kept after kills": left, "kept at the end": kept(folder), "in the bucket": stored()}
    seen = [place for place, texts in places.items() for text in texts for secret in SECRETS if secret.encode() in text]
    folders = len(list((folder / "cache" / "stores").iterdir()))
    searched = ", ".join(f"{sum(map(len, texts)) / 1e6:.1f} MB {place}" for place, texts in places.items())
    print(f"{what}: credentials seen: {len(seen)} {seen or ''}(searched: {searched})")
    print(f"{what}: folders left here: {folders}; objects half written: {broken}", flush=True)


def kept(folder: Path) -> list[bytes]:
    """The files that commands left on this machine, beside inputs and results of the local run."""
    return [path.read_bytes() for path in (folder / "cache").rglob("*") if path.is_file()]


def stored() -> list[bytes]:
    """All objects of the bucket, and their names."""
    client = client_of(Address("s3", BUCKET, ""))
    names = [one["path"] for one in client.list().collect()]
    return ["\n".join(names).encode(), *(bytes(client.get(name).bytes()) for name in names)]


def command(words: list, stream: int | None = None) -> "subprocess.Popen[str]":
    pipes = {"stdout": stream, "stderr": subprocess.STDOUT} if stream else {}
    return subprocess.Popen([sys.executable, "-m", "orthoforge.cli", *map(str, words)], text=True, **pipes)  # type: ignore[call-overload]


def at(folder: Path, phase: str, what: str) -> Callable[[], bool]:
    """Whether a command has come to the middle of a phase."""
    stores = folder / "cache" / "stores"
    if phase == "bringing":
        return lambda: any(stores.glob("*/files/**/*.partial")) or any(stores.glob("*/files/**/*.tif"))
    if phase == "working":
        return lambda: any(stores.glob(f"*/files/{what}/*")) or any(stores.glob("*/files/.*/*"))
    return lambda: any(path.stat().st_size for path in stores.glob("*/sent.jsonl")) or begun()


def begun() -> bool:
    """Whether parts of an object have arrived that is not there yet."""
    address = f"{os.environ['AWS_ENDPOINT_URL']}/{BUCKET}?uploads"
    with urllib.request.urlopen(address) as answer:
        return b"<Upload>" in answer.read()


def watched(process: "subprocess.Popen[str]", reached: Callable[[], bool]) -> str:
    """Kill the command when it has come that far; what it printed."""
    while process.poll() is None:
        if reached():
            process.kill()
            break
        time.sleep(0.005)
    return process.communicate()[0]


def objects(what: str) -> dict[str, str]:
    """What lies in the bucket under the final name, and beside an image, by checksum."""
    client = client_of(Address("s3", BUCKET, ""))
    item = item_of(what)
    names = [one["path"] for one in client.list().collect() if one["path"] in (what, item) or one["path"].startswith(f"{what}/")]
    return {name: digest(bytes(client.get(name).bytes()), is_item=name == item) for name in names}


def content(path: Path) -> dict[str, str]:
    """The same of this machine."""
    if path.is_file():
        item = path.with_name(item_of(path.name))
        return {path.name: digest(path.read_bytes()), item.name: digest(item.read_bytes(), is_item=True)}
    files = [
        one for one in path.rglob("*") if one.is_file() and not any(part.startswith(".") for part in one.relative_to(path).parts)
    ]
    return {f"{path.name}/{one.relative_to(path).as_posix()}": digest(one.read_bytes()) for one in files}


def item_of(what: str) -> str:
    """The STAC item beside an image; no name of a folder of tiles."""
    return str(Path(what).with_suffix(".json"))


def digest(found: bytes, *, is_item: bool = False) -> str:
    """A checksum; of a STAC item that of all but its time, and none where it is cut short."""
    if is_item:
        try:
            item = json.loads(found)
        except ValueError:
            return "cut short"
        found = json.dumps(item | {"properties": item["properties"] | {"datetime": None}}, sort_keys=True).encode()
    return hashlib.sha256(found).hexdigest()


if __name__ == "__main__":
    main()
