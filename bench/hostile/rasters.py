"""Damaged GeoTIFFs, PNGs and JPEGs, as masks and as images, and damaged files beside them."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from bench.hostile.case import Command, Input, Surroundings, command, draw
from bench.hostile.material import Material
from bench.hostile.mutations import BYTES, TEXT, TIFF_FIELDS, tiff_field, tiff_loop

KINDS = (
    "striped", "tiled", "deflate", "lzw", "zstd", "packbits", "bigtiff", "lerc", "webp", "planar", "bigendian", "jpeg-in-tiff",
    "four-bands", "sixteen-bit", "palette", "png", "jpeg",
)  # fmt: skip
_EACH = 6  # of the byte mutations, for each kind and part
_SIDE = {"images": (".tfw", ".prj", ".tif.aux.xml", ".tif.ovr", ".tif.msk"), "masks": (".tfw", ".prj", ".tif.aux.xml", ".tif.msk")}
Change = Callable[[bytes], bytes]


def inputs() -> Iterator[Input]:
    """Every raster input."""
    for kind in KINDS:
        for part in ("images", "masks"):
            for name in _some(list(BYTES), f"{kind}/{part}"):
                yield _of(f"raster/{kind}/{part}/{name}", kind, part)
    for part in ("images", "masks"):
        for field in TIFF_FIELDS:
            yield _of(f"raster/field/{part}/{field}", "striped", part)
        yield _of(f"raster/field/{part}/loop", "striped", part)
        for suffix in _SIDE[part]:
            text = not suffix.endswith(("ovr", "msk"))
            for name in (*_some(list(TEXT), f"{part}{suffix}", 5 if text else 0), *_some(list(BYTES), f"{part}{suffix}", 4)):
                yield _of(f"raster/side{suffix}/{part}/{name}", "side-files", part, suffix=suffix)


def _some(names: Sequence[str], seed: str, count: int = _EACH) -> list[str]:
    return [names[int(n)] for n in sorted(draw(seed).permutation(len(names))[:count])]


def _of(name: str, kind: str, part: str, *, suffix: str = "") -> Input:
    return Input(name, "rasters", partial(_build, name, kind, part, suffix))


def _build(name: str, kind: str, part: str, suffix: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    shutil.copytree(material.data, here / "data")
    shutil.copytree(material.run, here / "run")
    for each in ("images", "masks"):
        (here / "data" / each / "town3.tif").unlink()
        shutil.copytree(material.rasters / kind / each, here / "data" / each, dirs_exist_ok=True)
    target = next(
        path
        for path in (here / "data" / part).glob("town3.*")
        if path.name == f"town3{suffix}" or (not suffix and path.suffix in (".tif", ".png", ".jpg"))
    )
    target.write_bytes(changed(name.rsplit("/", 1)[1], target.read_bytes(), name))
    return commands(here, part, draw(name).integers(6))


def changed(mutation: str, data: bytes, seed: str) -> bytes:
    """``data`` after the mutation of that name."""
    if mutation == "loop":
        return tiff_loop(data)
    if mutation in TIFF_FIELDS:
        return tiff_field(data, *TIFF_FIELDS[mutation])
    return (BYTES | TEXT)[mutation](data, draw(seed))


def commands(here: Path, part: str, turn: int) -> list[Command]:
    """The commands that read town3's image or mask: four of them, by turns."""
    mask = next((here / "data" / "masks").glob("town3.[tpj]*[fg]"), Path("town3.tif"))
    look = f"data/images/{next((here / 'data' / 'images').glob('town3.[tpj]*[fg]'), mask).name}"
    style = ("--resample", "--style", look)
    check = command("check", "data", names="town3")
    grid = ("--gsd", "0.3") if turn % 2 else ("--grid", "1")
    skip = ("--skip-bad",) if turn == 3 else ()
    cut = command(
        "prepare",
        "data",
        "cut",
        *grid,
        "--size",
        "64",
        "--split",
        "digits",
        "--workers",
        "1",
        *skip,
        names="town3",
        out="cut/store.json",
    )
    grow = command(
        "grow",
        "run",
        "data",
        "--out",
        "grown",
        "--split",
        "digits",
        "--least-agreement",
        "0",
        "--masks",
        ("real", "recombine", "transform")[turn % 3],
        names="town",
        out="grown/README.md",
    )
    if part == "images":
        others = (
            grow,
            command("evaluate", "data/images", "--data", "cut", "--out", "report", names="", out="report/report.json"),
            command("generate", "orthoforge-s", "data/masks/town1.tif", "--out", "made.tif", *style, names="town3"),
        )  # fmt: skip
        return [check, cut, others[turn % 3]]
    others = (
        command("footprints", f"data/masks/{mask.name}", "--out", "houses.geojson", names="town3", out="houses.geojson"),
        command("forge", "data/masks", "--out", "forged", "--count", "1", "--how", "transform", names="town", out="forged"),
        grow,
    )  # fmt: skip
    make = command("generate", "run", f"data/masks/{mask.name}", "--out", "made.tif", names="town3", out="made.tif")
    return [check, cut, make, others[turn % 3]]
