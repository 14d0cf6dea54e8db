"""The folder that the examples of the documentation run in: small scenes, tiles of them, and a run that was trained on these."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from conftest import make_grid, make_image, make_mask, write_tiff
from orthoforge import prepare, train
from orthoforge.config import load_recipe
from orthoforge.demonstration import Extent, stages
from orthoforge.geo.grid import Grid
from orthoforge.training import session

# All that is changed of what the documentation says: networks of a few channels, one epoch, one crop a tile; and small tiles.
SMALL = {"generator_width": 4, "discriminator_width": 4, "crops_per_tile": 1, "epochs": 1, "decay_epochs": 0, "crop_px": 32}
SMALL_DEMO = Extent(places=("arden", "brennau"), scenes_per_place=2, scene_px=160, tile_px=32)
PALETTE = {"Building": [60, 16, 152], "Road": [110, 193, 228], "Unlabeled": [155, 155, 155]}


@contextlib.contextmanager
def small_recipes() -> Iterator[None]:
    """Inside, a recipe that is trained by its name is a small one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "load_recipe", lambda name: load_recipe(name, **SMALL))
        patch.setattr(stages, "load_recipe", lambda name: load_recipe(name, **SMALL))
        patch.setattr(stages, "Extent", lambda: SMALL_DEMO)
        yield


def make_world(folder: Path) -> Path:
    """What the documentation's examples expect to find."""
    make_pairs(folder)
    write_tiff(folder / "mask.tif", make_mask(96), make_grid(96))
    store = prepare(folder / "my-data", folder / "tiles", gsd=0.3, size=96)
    assert all(len(store.ids(split)) for split in ("train", "val", "test"))
    with small_recipes():
        train("orthoforge-xs", folder / "tiles", folder / "runs" / "mine", trackers=(), quiet=True)
    return folder


def grid_of(index: int, size: int = 200) -> Grid:
    """That of a scene, 200 m east of the one before."""
    grid = make_grid(size)
    return dataclasses.replace(grid, transform=Affine.translation(200 * index, 0) @ grid.transform)


def write_scene(data: Path, name: str, index: int, size: int = 200) -> None:
    """An image and its mask."""
    mask = make_mask(size, seed=index)
    write_tiff(data / "images" / f"{name}.tif", make_image(mask, seed=index), grid_of(index, size))
    write_tiff(data / "masks" / f"{name}.tif", mask, grid_of(index, size))


def make_land_cover(folder: Path) -> Path:
    """Pairs with masks of classes in colours, below ``folder / "land"``, and two masks without images."""
    colours = np.array([PALETTE["Unlabeled"], PALETTE["Building"]], np.uint8)
    for index in range(6):
        write_scene(folder / "land", f"vale{index + 1}", index)
    for path in sorted((folder / "land" / "masks").glob("*.tif")):
        index = int(path.stem[-1]) - 1
        write_tiff(path, colours[(make_mask(200, seed=index) > 0).astype(int)], grid_of(index))
    for number in (1, 2):
        write_tiff(folder / "new-masks" / f"vale100{number}.tif", colours[(make_mask(96) > 0).astype(int)], make_grid(96))
    (folder / "palette.json").write_text(json.dumps(PALETTE))
    return folder


def make_pairs(folder: Path, size: int = 200) -> Path:
    """Pairs with masks of buildings below ``folder / "my-data"``, and two masks without images."""
    for index, name in enumerate(f"{place}{number}" for place in ("austin", "vienna") for number in range(1, 7)):
        write_scene(folder / "my-data", name, index, size)
    for name in ("austin1001", "vienna1001"):
        write_tiff(folder / "new-masks" / f"{name}.tif", make_mask(96), make_grid(96))
    return folder


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Inside, ``folder`` is the working directory."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
