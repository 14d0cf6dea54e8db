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
from PIL import Image

from conftest import make_dataset, make_grid, make_image, make_mask, write_tiff
from orthoforge import prepare, train
from orthoforge.config import load_recipe
from orthoforge.training import session

# All that is changed of what the documentation says: networks of a few channels, one epoch, one crop a tile; and small tiles.
SMALL = {"generator_width": 4, "discriminator_width": 4, "crops_per_tile": 1, "epochs": 1, "decay_epochs": 0, "crop_px": 32}
PALETTE = {"Building": [60, 16, 152], "Road": [110, 193, 228], "Unlabeled": [155, 155, 155]}


@contextlib.contextmanager
def small_recipes() -> Iterator[None]:
    """Inside, a recipe that is trained by its name is a small one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "load_recipe", lambda name: load_recipe(name, **SMALL))
        yield


def make_world(folder: Path) -> Path:
    """What the documentation's examples expect to find."""
    for index, name in enumerate(f"{place}{number}" for place in ("austin", "vienna") for number in range(1, 7)):
        write_scene(folder / "my-data", name, index)
    masks = folder / "new-masks"
    masks.mkdir()
    for name in ("austin1001", "vienna1001"):
        write_tiff(masks / f"{name}.tif", make_mask(96), make_grid(96))
    write_tiff(folder / "mask.tif", make_mask(96), make_grid(96))
    (folder / "palette.json").write_text(json.dumps(PALETTE))
    store = prepare(folder / "my-data", folder / "tiles", gsd=0.3, size=96)
    assert all(len(store.ids(split)) for split in ("train", "val", "test"))
    with small_recipes():
        train("orthoforge-xs", folder / "tiles", folder / "runs" / "mine", trackers=(), quiet=True)
    return folder


def write_scene(data: Path, name: str, index: int) -> None:
    """An image and its mask, each 200 m east of the one before."""
    mask, grid = make_mask(200, seed=index), make_grid(200)
    grid = dataclasses.replace(grid, transform=Affine.translation(200 * index, 0) @ grid.transform)
    write_tiff(data / "images" / f"{name}.tif", make_image(mask, seed=index), grid)
    write_tiff(data / "masks" / f"{name}.tif", mask, grid)


def make_land_cover(folder: Path) -> Path:
    """Pairs with masks of classes in colours, below ``folder / "land"``."""
    make_dataset(folder / "land", [f"vale{number}" for number in range(1, 9)], 96)
    colours = np.array([PALETTE["Unlabeled"], PALETTE["Building"]], np.uint8)
    for path in (folder / "land" / "masks").glob("*.tif"):
        mask = np.asarray(Image.open(path)) > 0
        write_tiff(path, colours[mask.astype(int)], make_grid(96))
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
