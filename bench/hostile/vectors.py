"""Damaged footprints in each format."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.hostile.case import Command, Input, Surroundings, command, draw
from bench.hostile.material import Material
from bench.hostile.mutations import BYTES, TEXT
from bench.hostile.rasters import _some as some
from bench.hostile.rasters import changed

_BINARY = (".gpkg", ".shp", ".fgb", ".parquet", ".zip", ".osm.pbf", ".geojson.gz")
_TEXT = (".geojson", ".geojsonl", ".geojsonseq", ".csv", ".osm")
_SIDE = (".shx", ".prj", ".dbf")


def inputs() -> Iterator[Input]:
    """Every input of footprints."""
    for suffix in _BINARY:
        for mutation in some(list(BYTES), suffix, 14):
            yield _of(f"vector/houses{suffix}/{mutation}")
    for name in (*(f"houses{suffix}" for suffix in _TEXT), "overpass.json", "overpass-geometry.json"):
        for mutation in (*some(list(BYTES), name, 7), *some(list(TEXT), name, 11)):
            yield _of(f"vector/{name}/{mutation}")
    for suffix in _SIDE:
        for mutation in some(list(BYTES), suffix, 5):
            yield _of(f"vector/houses{suffix}/{mutation}")


def _of(name: str) -> Input:
    return Input(name, "footprints", partial(_build, name))


def _build(name: str, here: Path, material: Material, around: Surroundings) -> list[Command]:
    _, file, mutation = name.split("/")
    for path in material.vectors.glob(f"{file.split('.')[0]}.*") if file.endswith((".shp", *_SIDE)) else [material.vectors / file]:
        shutil.copy(path, here)
    target = here / file
    target.write_bytes(changed(mutation, target.read_bytes(), name))
    read = file if not file.endswith(_SIDE) else "houses.shp"
    return readers(here, material, read, draw(name).integers(4))


def readers(here: Path, material: Material, file: str, turn: int, **options: object) -> list[Command]:
    """The commands that read footprints."""
    repair = ("--repair",) if turn == 3 else ()
    named = {"names": file} | options
    found = [command("footprints", file, "--out", "mask.tif", "--gsd", "0.3", *repair, out="mask.tif", **named)]
    if turn % 2:
        shutil.copytree(material.run, here / "run")
        found.append(command("generate", "run", file, "--out", "made.tif", *repair, out="made.tif", **named))
    return found
