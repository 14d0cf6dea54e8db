"""The small set of the phenomena: simulated towns, narrow networks, runs that several phenomena share."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from orthoforge import run_files
from orthoforge.config import Recipe, load_recipe
from orthoforge.models.conditions import decode_image, encode_image, encode_mask
from orthoforge.scenes.simulate import simulate
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore, centre_batch
from orthoforge.trained_generator import load_generator
from orthoforge.training import train

GSD_M, TILE_PX, CROP_PX = 1.0, 72, 64
SEEDS = (0, 1)
# What is changed in every recipe so that it fits here; all else is the recipe's own.
SMALL: dict[str, Any] = {
    "tiles": "", "generator": "resnet6", "generator_width": 8, "discriminator_width": 16, "crop_px": CROP_PX, "batch_size": 4,
    "epochs": 6, "decay_epochs": 6, "precision": "float32", "checkpoint_every": 1000, "panels_every": 1000,
}  # fmt: skip
EMPTY_PX, EMPTY_MARGIN_PX = 160, 48  # an empty mask, and how near its border, where padding shows, nothing is measured


@dataclass(frozen=True)
class Finding:
    """A phenomenon as measured."""

    figures: dict[str, Any]
    """For ``bench/results/phenomena.json``."""
    lines: list[str]
    """What is printed; the last is the verdict."""
    shows: bool
    """Whether it is here as it was in 2021."""
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    """Generated pictures (H, W, 3) uint8 by file name."""


@dataclass(frozen=True)
class SmallSet:
    """Tiles, and runs on them, each trained once however many phenomena ask for it."""

    folder: Path
    store: TileStore
    seeds: tuple[int, ...] = SEEDS

    def run(self, name: str, *, seed: int, **changes: Any) -> Path:
        """The run folder of a recipe made small; trained when it is not there yet."""
        out = self.folder / "runs" / "-".join([name, *(f"{key}={value}" for key, value in changes.items()), f"seed={seed}"])
        recipe = small_recipe(name, seed=seed, **changes)
        if run_files.read_args(out) and load_recipe(out / "args.yaml") != recipe:
            shutil.rmtree(out)  # kept from before the recipe changed
        if len(run_files.read_results(out)) < recipe.total_epochs:
            print(f"  … {out.name}", flush=True)
            train(recipe, self.store.path, out, quiet=True, trackers=(), resume=out.exists())
        return out

    def test_pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Masks (N, C, C) and real images (N, C, C, 3) of the tiles that no run was trained on."""
        batch = centre_batch(self.store, self.store.ids("test"), crop_px=CROP_PX)
        return batch.mask, batch.image


def small_recipe(name: str, *, seed: int = 0, **changes: Any) -> Recipe:
    """A recipe of the table, reduced so that a run takes a minute."""
    return load_recipe(name, **(SMALL | {"seed": seed} | changes))


@contextmanager
def small_set(folder: Path, *, seeds: Sequence[int] = SEEDS) -> Iterator[SmallSet]:
    """The set in ``folder``, made when it is not there."""
    if not (folder / "tiles" / "store.json").is_file():
        simulate(folder / "scenes", scenes_per_place=2, size_px=5 * TILE_PX, gsd_m=GSD_M)
        prepare(folder / "scenes", folder / "tiles", gsd=GSD_M, size=TILE_PX, split="random")
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # two wait for each other in networks of a few channels
    try:
        yield SmallSet(folder, TileStore.open(folder / "tiles"), tuple(seeds))
    finally:
        torch.set_num_threads(before)


def generated(run: Path, masks: np.ndarray) -> Tensor:
    """What a run makes of masks (N, H, W), as (N, 3, H, W) in [-1, 1], not rounded."""
    network = load_generator(run).network
    with torch.inference_mode():
        return torch.cat(
            [network(encode_mask(torch.from_numpy(part), None)) for part in np.array_split(masks, -(-len(masks) // 16))]
        )


def as_tensor(images: np.ndarray) -> Tensor:
    """Images (N, H, W, 3) uint8 as generators make them."""
    return encode_image(torch.from_numpy(images))


def empty_area(run: Path) -> Tensor:
    """What a run makes of a mask without any building, (1, 3, H, W), away from its border."""
    inside = slice(EMPTY_MARGIN_PX, EMPTY_PX - EMPTY_MARGIN_PX)
    return generated(run, np.zeros((1, EMPTY_PX, EMPTY_PX), np.uint8))[..., inside, inside]


def pictures_of(images: Tensor, count: int = 8) -> list[np.ndarray]:
    """Some of (N, 3, H, W), spread over all of them, as pictures (H, W, 3) uint8."""
    shown = np.linspace(0, len(images) - 1, count).astype(int)
    return list(decode_image(images[shown]).numpy())


def side_by_side(rows: Sequence[Sequence[np.ndarray]], *, scale: int = 2) -> np.ndarray:
    """Rows of pictures (H, W, 3) uint8 as one, enlarged pixel by pixel, with white lines between."""
    gap = 4
    padded = [[np.pad(_large(cell, scale), ((0, gap), (0, gap), (0, 0)), constant_values=255) for cell in row] for row in rows]
    return np.concatenate([np.concatenate(row, axis=1) for row in padded])[:-gap, :-gap]


def _large(picture: np.ndarray, scale: int) -> np.ndarray:
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)
