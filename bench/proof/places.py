"""Places that neither the weights in the package nor their recipe saw, as tiles at 0.3 m, split by scene.

Training, validation and test scenes are fixed here: scenes in the order of their names, or of their column on the ground. Their new
numbers end in the digit that ``--split digits`` goes by.
"""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from bench.proof.noisy_labels import with_noise
from orthoforge.geo.cog import write_geotiff
from orthoforge.geo.grid import Grid
from orthoforge.geo.rasters import open_raster, read_image, read_mask
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore

GSD_M = 0.3
_CRS = CRS.from_epsg(32633)
_APART_M = 10_000  # scenes whose place on the ground is unknown are laid out so far from each other
_DIGITS = {"train": 0, "val": 7, "test": 9}
Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Place:
    """``metres`` a pixel has, as it is assumed where nothing states it; ``size_px`` of its tiles.

    Of training and validation labels each building is shifted by ``shift_m`` (a standard deviation) and a share ``dropped`` is
    missing; test labels are as they are. ``like`` is the place whose scenes it has.
    """

    name: str
    metres: float
    size_px: int
    note: str
    shift_m: float = 0.0
    dropped: float = 0.0
    like: str = ""

    def with_noise(self, shift_m: float, dropped: float) -> "Place":
        """The same scenes with labels that do not fit."""
        note = f"{self.note}; buildings of training and validation labels shifted by {shift_m:g} m, {dropped:.0%} missing"
        return replace(self, name=f"{self.name}_shifted", shift_m=shift_m, dropped=dropped, like=self.name, note=note)


PLACES = {
    place.name: place
    for place in (
        Place("rf_arid", 0.3, 224, "pixel size assumed (0.3 to 0.5 m by eye), no coordinates: scenes that touch cannot be told"),
        Place(
            "barnarp",
            0.12,
            200,
            "pixel size from car lengths, brought to 0.3 m; columns of the village between the splits left out",
        ),
        Place("rf_east_europe_green", 0.3, 224, "pixel size assumed, no coordinates"),
        Place("rf_hazy_purple", 0.3, 224, "pixel size assumed, no coordinates; some labels are sloppy"),
        Place("austin", 0.3, 224, "training tiles from one scene, test tiles from another part of the town"),
    )
}
for _name in ("rf_arid", "barnarp"):
    _shifted = PLACES[_name].with_noise(2.0, 0.2)
    PLACES[_shifted.name] = _shifted
# Scenes that train, validate and test, in the order of their names.
_COUNTS = {"rf_arid": (48, 20, 66), "rf_east_europe_green": (48, 24, 80), "rf_hazy_purple": (30, 12, 31)}


@dataclass(frozen=True)
class Scene:
    """A pair, its split, and where its top left corner lies in metres (east, south)."""

    image: Path
    mask: Path
    split: Split
    at: tuple[float, float]


def tiles_of(place: Place, data: Path, state: Path) -> TileStore:
    """The place's tiles in ``state``, made from ``data``, or opened where they were made before."""
    scenes = state / place.name / "scenes"
    counts = dict.fromkeys(_DIGITS, 0)
    for scene in scenes_of(place, data):
        number = 10 * counts[scene.split] + _DIGITS[scene.split]
        counts[scene.split] += 1
        _stage(scene, place, scenes, f"{place.name}_{number}.tif")
    return prepare(scenes, state / place.name / "tiles", gsd=GSD_M, size=place.size_px, split="digits", workers=1)


def scenes_of(place: Place, data: Path) -> list[Scene]:
    """The scenes of a place below ``data``, each with its split."""
    name = place.like or place.name
    if name == "barnarp":
        return _barnarp(data / "building_barnarp")
    if name == "austin":
        return _austin(data / "building")
    return _rf(name, data)


def _rf(name: str, data: Path) -> list[Scene]:
    lines = (data / "index.csv").read_text("utf-8").splitlines()
    stems = sorted(fields[1] for line in lines if (fields := line.split(","))[0] == "building_rf" and fields[9] == name)
    splits = [split for split, count in zip(_DIGITS, _COUNTS[name], strict=True) for _ in range(count)]
    folder = data / "building_rf"
    return [
        _pair(folder, stem, split, (_APART_M * number, 0.0))
        for number, (stem, split) in enumerate(zip(stems, splits, strict=False))
    ]  # fmt: skip


def _barnarp(folder: Path) -> list[Scene]:
    """The west trains and the east tests; columns 7 and 10 of the grid lie between the splits."""
    scenes = []
    for path in sorted((folder / "images").glob("barnarp_*_*.jpg")):
        row, col = map(int, re.findall(r"\d+", path.stem))
        split: Split | None = "train" if col <= 6 else "val" if col in (8, 9) else "test" if col >= 11 else None
        if split:
            scenes.append(_pair(folder, path.stem, split, (512 * 0.12 * col, 512 * 0.12 * row)))
    return scenes


def _austin(folder: Path) -> list[Scene]:
    """The scene of 1000 px trains. The small ones continue one another from north to south, 19 and 20 east of 00 and 01."""
    scenes = [_pair(folder, "inria_austin_geo1000_a", "train", (-float(_APART_M), 0.0))]
    for number in range(21):
        split: Split | None = "val" if number in (0, 1, 2, 3, 4, 19, 20) else "test" if number >= 6 else None
        if split:
            col, row = divmod(number, 19)
            scenes.append(_pair(folder, f"inria_austin1_{number:02d}", split, (256 * 0.3 * col, 256 * 0.3 * row)))
    return scenes


def _pair(folder: Path, stem: str, split: str, at: Sequence[float]) -> Scene:
    image, mask = (next(iter(sorted((folder / kind).glob(f"{stem}.*")))) for kind in ("images", "masks"))
    return Scene(image, mask, split, (at[0], at[1]))  # type: ignore[arg-type]


def _stage(scene: Scene, place: Place, folder: Path, name: str) -> None:
    """The pair below ``folder``, with coordinates."""
    for kind, source in (("images", scene.image), ("masks", scene.mask)):
        target = folder / kind / name
        if target.exists():
            continue
        with open_raster(source) as raster:
            pixels = read_image(raster) if kind == "images" else read_mask(raster)
        if kind == "masks" and place.like and scene.split != "test":
            rng = np.random.default_rng(zlib.crc32(name.encode()))
            pixels = with_noise(pixels, shift_px=place.shift_m / place.metres, dropped=place.dropped, rng=rng)
        east, south = scene.at
        transform = Affine(place.metres, 0, east, 0, -place.metres, 5_000_000 - south)
        write_geotiff(target, pixels, Grid(pixels.shape[0], pixels.shape[1], transform, _CRS))
