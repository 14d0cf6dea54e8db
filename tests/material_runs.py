"""Runs of a small generator that refines material, untrained: it gives its canvas back, nearly."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from conftest import make_grid, write_tiff
from orthoforge.checkpoint_files import save_checkpoint
from orthoforge.config import load_recipe, recipe_values
from orthoforge.masks.classes import Classes, plain_classes
from orthoforge.material.library import Library
from orthoforge.material.packing import pack
from orthoforge.networks import new_generator
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore

SIZE = 112


def _town(height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    for row in range(10, height - 24, 40):
        for col in range(8, width - 24, 36):
            mask[row : row + 18, col : col + 20] = True
    return mask


TOWN = _town(192, 160)
TOWN[88:104, 4:150] = True


def refiner(
    folder: Path, attribution: str = "", classes: Classes | None = None, *, sees_mask: bool = True, gsd_m: float = 0.5
) -> Path:
    """A run folder, of buildings alone or of ``classes``; its library: red roofs on green ground, place1 much brighter."""
    recipe = load_recipe("orthoforge-material", generator_width=2, discriminator_width=2, sees_mask=sees_mask)
    torch.manual_seed(0)
    network = new_generator(recipe, classes, places=2)
    masks = np.stack([_town(SIZE, SIZE)] * 8)
    noise = np.random.default_rng(0).normal(0, 4, (8, SIZE, SIZE, 1))
    places = np.arange(8) % 2
    colours = np.where(masks[..., None], (150, 60, 50), (70, 110, 60)) + 60 * places[:, None, None, None]
    images = np.clip(colours + noise, 0, 255).astype(np.uint8)
    names = tuple(f"town{number}" for number in range(8))
    library = Library(images, masks, places, ("place0", "place1"), names)
    tiles = {
        "fingerprint": "", "size_px": SIZE, "gsd_m": gsd_m, "classes": plain_classes(classes), "bands": 3,
        "attribution": attribution, "places": ["place0", "place1"],
    }  # fmt: skip
    state = {"recipe": recipe_values(recipe), "progress": {"step": 0, "epoch": 0}, "tiles": tiles}
    save_checkpoint(folder / "weights" / "last", model=network.state_dict(), train={}, state=state, material=pack(library))
    return folder


def tiles_of_towns(root: Path, images: Mapping[str, np.ndarray]) -> TileStore:
    """Tiles of 80 px of scenes that show ``TOWN``, split by the digit in which their names end. ``images`` are float."""
    for name, image in images.items():
        for kind, pixels in (("images", np.clip(image, 0, 255).astype(np.uint8)), ("gt", TOWN.astype(np.uint8) * 255)):
            write_tiff(root / "data" / kind / f"{name}.tif", pixels, make_grid(TOWN.shape, gsd_m=0.5))
    return prepare(root / "data", root / "tiles", gsd=0.5, size=80, split="digits", workers=1)
