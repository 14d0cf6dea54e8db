"""Small rasters and texts that ask for much."""

import io
import json
import shutil
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from bench.hostile.case import Command, Input, Surroundings, command
from bench.hostile.material import RECIPE, Material
from bench.hostile.rasters import commands as raster_commands
from bench.hostile.stores import run_commands
from bench.hostile.texts import train

_LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)


def inputs() -> Iterator[Input]:
    """Every input of this kind."""
    for name in _RASTERS:
        yield Input(f"bomb/raster/{name}", "rasters", partial(_raster, name))
    for name in ("laughs-recipe", "laughs-card", "laughs-args", "deep-palette", "deep-yaml", "long-list", "wide-palette"):
        yield Input(f"bomb/text/{name}", "texts", partial(_text, name))


def _tiff(part: str, **options: object) -> Callable[[Path], None]:
    def write(data: Path) -> None:
        import rasterio

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            settings = {"driver": "GTiff", "count": 1, "dtype": "uint8", "sparse_ok": True} | options
            with rasterio.open(data / part / "town3.tif", "w", **settings):
                pass

    return write


def _png(width: int, height: int, chunk: bytes = b"") -> bytes:
    def piece(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer, pixels = zlib.compressobj(9), io.BytesIO()
    for _ in range(min(height, 30_000)):
        pixels.write(packer.compress(bytes(width + 1)))
    pixels.write(packer.flush())
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    text = piece(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(3 * 10**8))) if chunk else b""
    return b"\x89PNG\r\n\x1a\n" + piece(b"IHDR", head) + text + piece(b"IDAT", pixels.getvalue()) + piece(b"IEND", b"")


def _as_png(part: str, content: Callable[[], bytes]) -> Callable[[Path], None]:
    return lambda data: (data / part / "town3.png").write_bytes(content()) and None


def _jpeg(data: Path) -> None:
    from PIL import Image

    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(path := data / "images" / "town3.jpg")
    content = bytearray(path.read_bytes())
    place = content.index(b"\xff\xc0")
    struct.pack_into(">HH", content, place + 5, 65000, 65000)
    path.write_bytes(content)


_RASTERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "tiff-65535-bands": ("images", _tiff("images", width=1, height=1, count=65_535, interleave="pixel")),
    "tiff-5000-bands": ("images", _tiff("images", width=64, height=64, count=5000)),
    "tiff-20000": ("masks", _tiff("masks", width=20_000, height=20_000)),
    "tiff-one-strip": ("masks", _tiff("masks", width=40_000, height=40_000, blockysize=40_000, compress="deflate")),
    "tiff-one-tile": (
        "masks",
        _tiff("masks", width=32_768, height=32_768, tiled=True, blockxsize=32_768, blockysize=32_768, compress="deflate"),
    ),
    "tiff-wide": ("masks", _tiff("masks", width=2**31 - 1, height=1)),
    "tiff-high": ("masks", _tiff("masks", width=1, height=2**30)),
    "tiff-complex": ("masks", _tiff("masks", width=64, height=64, dtype="complex128")),
    "tiff-float": ("masks", _tiff("masks", width=64, height=64, dtype="float64")),
    "png-30000": ("masks", _as_png("masks", lambda: _png(30_000, 30_000))),
    "png-text": ("masks", _as_png("masks", lambda: _png(64, 64, b"text"))),
    "png-lying": ("images", _as_png("images", lambda: _png(64, 2_000_000))),
    "jpeg-65000": ("images", _jpeg),
}


def _raster(name: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    shutil.copytree(material.data, here / "data")
    shutil.copytree(material.run, here / "run")
    part, write = _RASTERS[name]
    (here / "data" / part / "town3.tif").unlink()
    write(here / "data")
    # A large mask is a large task for a network: it is looked at and cut, not drawn.
    return [each for each in raster_commands(here, part, 0) if each.argv[0] != "generate" or "text" in name]


def _text(name: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    if name == "laughs-card":
        shutil.copytree(material.run, here / "run")
        (here / "card.yaml").write_text(f"{_LAUGHS}license: *a9\n")
        return [
            command("publish", "run", "--out", "given", "--name", "speck", "--card", "card.yaml", names="card.yaml", refuse=True)
        ]
    if name == "laughs-args":
        shutil.copytree(material.run, here / "run")
        (here / "run" / "args.yaml").write_text(f"{_LAUGHS}name: *a9\n")
        return run_commands(here, material, 0)[1:]
    if name == "long-list":
        shutil.copytree(material.run, here / "run")
        shutil.copytree(material.data, here / "data")
        (here / "masks.txt").write_text("data/masks/town3.tif\n" + "nowhere.tif\n" * 200_000)
        return [command("generate", "run", "masks.txt", "--out", "made", refuse=True)]
    if name.endswith("palette"):
        shutil.copytree(material.data, here / "data")
        wide = json.dumps({f"c{n}": [n % 256, n // 256 % 256, n // 65536] for n in range(10**6)})
        (here / "palette.json").write_text('{"Building": ' + "[" * 200_000 if name == "deep-palette" else wide)
        return [command("check", "data", "--palette", "palette.json", names="palette.json", refuse=True)]
    text = f"{_LAUGHS}description: *a9\n" if name == "laughs-recipe" else f"description: {'[' * 100_000}\n"
    (here / "speck.yaml").write_text(RECIPE + text)
    return train(here, material, refuse=True)
