"""Runs that nobody trained: a random generator with settings, curves and the tiles that it would have been trained on."""

import csv
import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import nn

from orthoforge.checkpoint_files import save_checkpoint
from orthoforge.config import Recipe, recipe_values
from orthoforge.masks.classes import Classes, plain_classes
from orthoforge.models.modulated import Modulation
from orthoforge.models.styles import bank_of
from orthoforge.networks import new_generator
from orthoforge.run_files import write_args
from orthoforge.tiles.store import TileStore

RECIPE = Recipe(
    name="speck", crop_px=32, batch_size=4, generator="resnet6", generator_width=2, norm="instance", epochs=3, decay_epochs=1,
    precision="float32",
)  # fmt: skip
SECONDS = (5.0, 2.0, 3.0, 2.0, 2.0)


def give_styles(network: nn.Module) -> None:
    """Let the places of a network with styles look different, and each of them the same more or less whatever the seed."""
    bank = bank_of(network)
    if bank is not None:
        count = len(bank.codes)
        centres = torch.linspace(-0.9, 0.9, count) if count > 1 else torch.zeros(1)
        bank.codes.copy_(centres[:, None, None] + 0.1 * torch.randn_like(bank.codes))
        for module in network.modules():
            if isinstance(module, Modulation):
                nn.init.normal_(module.by_style.weight, std=0.5)
        bank.roofs.copy_(centres[:, None, None, None] + 0.1 * torch.randn_like(bank.roofs))
        bank.ground.copy_(centres[:, None, None] + 0.1 * torch.randn_like(bank.ground))


def make_run(
    folder: Path,
    store: TileStore,
    *,
    seed: int = 0,
    epochs: int = 4,
    columns: tuple[str, ...] = ("loss_d", "loss_g", "loss_g_l1"),
    drop: tuple[str, ...] = (),
    rollbacks: int = 0,
    classes: Classes | None = None,
    init_from: str | None = None,
    **changes: Any,
) -> Path:
    """A run folder as ``train`` leaves it after ``epochs`` epochs. ``drop`` are fields that its recipe did not have yet."""
    recipe = dataclasses.replace(RECIPE, **{"name": folder.name} | changes)
    values = {name: value for name, value in recipe_values(recipe).items() if name not in drop}
    tiles = {name: getattr(store, name) for name in ("fingerprint", "size_px", "gsd_m", "attribution")}
    tiles["classes"] = plain_classes(classes)
    tiles["places"] = places = sorted({store.rows[tile_id].place for tile_id in store.ids("train")})
    torch.manual_seed(seed)
    network = new_generator(recipe, classes, max(1, len(places)))
    give_styles(network)
    state = {
        "recipe": values,
        "progress": {"epoch": epochs, "step": 10 * epochs, "rollbacks": rollbacks},
        "tiles": tiles,
    }
    save_checkpoint(folder / "weights" / "last", model=network.state_dict(), train={"x": torch.zeros(1)}, state=state)
    versions = {"torch": "2.0", "device": "cpu", "threads": 2, "processes": 1}
    run = {"data": str(store.path), "out": str(folder), "init_from": init_from, "tiles": tiles, "versions": versions}
    write_args(folder, values | {"run": run})
    images = len(store.ids("train"))
    with open(folder / "results.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "step", "learning_rate", *columns, "psnr", "ssim", "psnr_seed", "seconds", "images_per_s"])
        for epoch in range(1, epochs + 1):
            losses = [1 / epoch + seed] * len(columns)
            seconds = SECONDS[epoch - 1]
            writer.writerow([epoch, 10 * epoch, 2e-4, *losses, 15 + epoch, 0.1 * epoch, 9 + epoch, seconds, images / seconds])
    return folder
