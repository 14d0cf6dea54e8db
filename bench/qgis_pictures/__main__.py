"""The pictures of docs/qgis.md, drawn by QGIS without a screen, and how far what it shows lies from the footprints.

python -m bench.qgis_pictures [--folder FOLDER]

FOLDER keeps what was generated, for the next time.
A simulated town, its image by ``orthoforge-material``, and a living map of it by ``orthoforge serve``. QGIS's own Python draws the
GeoTIFF, the map's tiles and the footprints. The offset is where their cross-correlation is largest, in pixels of the picture.
"""

import argparse
import contextlib
import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image
from rasterio.warp import transform_bounds
from skimage.registration import phase_cross_correlation

from orthoforge.client import Client
from orthoforge.generation import generate
from orthoforge.geo.cog import write_raster
from orthoforge.scenes.simulate import PLACES, render_scene
from orthoforge.vectors import write_footprints

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"
WEIGHTS, STYLE, SIDE_PX, GSD_M = "orthoforge-material", "kampala", 1024, 0.3
SIZE = [760, 480]
ZOOMS = (16, 17, 18, 19)
START_S = 600.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    kept = parser.parse_args().folder
    with contextlib.nullcontext(str(kept)) if kept else tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.mkdir(exist_ok=True)
        scene = render_scene(PLACES["arden"], seed=1, height_px=SIDE_PX, width_px=SIDE_PX, gsd_m=GSD_M)
        mask, grid = scene.mask, scene.grid
        write_raster(folder / "town.tif", mask, grid, overwrite=True)
        write_footprints(folder / "town.gpkg", scene.footprints, grid.crs, overwrite=True)
        image = folder / "image.tif"
        if not image.exists():
            generate(WEIGHTS, [folder / "town.tif"], image, style=STYLE)
        west, south, east, north = transform_bounds(grid.crs, "EPSG:3857", *grid.bounds)
        middle, half = ((west + east) / 2, (south + north) / 2), (east - west) / 2
        wide, close = (
            [middle[0] - half * by, middle[1] - half * by * 0.63, middle[0] + half * by, middle[1] + half * by * 0.63]
            for by in (1.7, 0.42)
        )
        drawings = {
            "image": (["footprints", "image"], close), "map": (["map"], close), "far": (["map"], wide),
            "filled": (["filled"], close), "image alone": (["image"], close), "map mask": (["map mask"], close),
        }  # fmt: skip
        with served(folder) as server:
            look_around(server)
            draw(folder, server, image, {
                name: {"show": show, "extent": extent, "size": SIZE, "out": str(folder / f"{name}.png")}
                for name, (show, extent) in drawings.items()
            })  # fmt: skip
        seen = {name: np.asarray(Image.open(folder / f"{name}.png").convert("L"), float) for name in drawings}
        metres = (close[2] - close[0]) / SIZE[0]
        print(f"a pixel of the picture is {metres:.2f} m of Web Mercator")
        for one, other in (("map mask", "filled"), ("map", "image alone"), ("image alone", "filled")):
            moved, _, _ = phase_cross_correlation(seen[one], seen[other], upsample_factor=20)
            print(f"{one} beside {other}: {np.hypot(*moved):.2f} px")
        side_by_side(folder, ["image"], PICTURES / "qgis-image.jpg")
        side_by_side(folder, ["far", "map"], PICTURES / "qgis-living-map.jpg")
        side_by_side(folder, ["algorithm"], PICTURES / "qgis-algorithm.png")
        side_by_side(folder, ["action"], PICTURES / "qgis-action.png")


class served:
    """The address of a server of the town, as long as the block lasts."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = str(free.getsockname()[1])
        words = [
            "serve",
            WEIGHTS,
            "--layers",
            folder / "town.gpkg",
            "--port",
            self._port,
            "--data",
            folder / "served",
            "--deadline",
            "600",
        ]
        self._process = subprocess.Popen([sys.executable, "-m", "orthoforge.cli", *map(str, words)])

    def __enter__(self) -> str:
        address, until = f"http://127.0.0.1:{self._port}", time.monotonic() + START_S
        while True:
            try:
                urllib.request.urlopen(f"{address}/readyz").close()
                return address
            except OSError:
                assert time.monotonic() < until and self._process.poll() is None, "the server did not start"
                time.sleep(0.2)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def look_around(server: str) -> None:
    """Have all tiles made that QGIS may ask for: on a slow machine it would not wait for them."""
    client = Client(server, timeout=600.0)
    with urllib.request.urlopen(f"{server}/v1/maps/town/tilejson.json") as answer:
        west, south, east, north = json.load(answer)["bounds"]
    for z in ZOOMS:
        (left, bottom), (right, top) = tile_of(west, south, z), tile_of(east, north, z)
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                client.tile("town", z, x, y, model=WEIGHTS, seed=0)


def tile_of(lon: float, lat: float, z: int) -> tuple[int, int]:
    """The tile of a place in Web Mercator."""
    down = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2
    return int((lon + 180) / 360 * 2**z), int(down * 2**z)


def draw(folder: Path, server: str, image: Path, drawings: dict) -> None:
    """Let QGIS draw."""
    task = {
        "plugins": str(ROOT / "qgis"), "server": server, "image": str(image), "footprints": str(folder / "town.gpkg"),
        "drawings": drawings, "algorithm": str(folder / "algorithm.png"), "action": str(folder / "action.png"),
    }  # fmt: skip
    (folder / "task.json").write_text(json.dumps(task), "utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"QT_QPA_PLATFORM": "offscreen", "QGIS_CUSTOM_CONFIG_PATH": str(folder / "profile")}
    script = Path(__file__).with_name("in_qgis.py")
    subprocess.run(["/usr/bin/python3", script, folder / "task.json"], check=True, env=environment)


def side_by_side(folder: Path, names: list[str], out: Path) -> None:
    """One picture of several."""
    pictures = [Image.open(folder / f"{name}.png").convert("RGB") for name in names]
    width = sum(one.width for one in pictures) + 8 * (len(pictures) - 1)
    whole, at = Image.new("RGB", (width, pictures[0].height), "white"), 0
    for one in pictures:
        whole.paste(one, (at, 0))
        at += one.width + 8
    whole.save(out, **({"quality": 85} if out.suffix == ".jpg" else {"optimize": True}))
    print(out)


if __name__ == "__main__":
    main()
