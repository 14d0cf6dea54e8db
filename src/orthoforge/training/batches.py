"""What a training sees: which tiles, in which order, cut and turned how."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from orthoforge.config import Recipe
from orthoforge.models.colours import Colours
from orthoforge.models.conditions import encode_canvas, encode_image, encode_mask
from orthoforge.models.roofs import Buildings
from orthoforge.tiles.store import Batch, TileStore, crop_batch, epoch_order
from orthoforge.tiles.subset import balanced_order, balanced_subset
from orthoforge.training.training import Training


def epoch_batches(training: Training) -> Iterator[Batch]:
    """What is left of the epoch under way, batch by batch; of each batch this process's share."""
    fabric, recipe, store, progress = training.fabric, training.recipe, training.store, training.progress
    seed = (recipe.seed, progress.rollbacks)
    ids = np.tile(training_ids(store, recipe), recipe.crops_per_tile)
    if recipe.balance == "none":
        order = epoch_order(ids, seed=seed, epoch=progress.epoch)
    else:
        order = balanced_order(store.rows, ids, by_building=recipe.balance == "building", seed=seed, epoch=progress.epoch)
    order = order[: len(order) - len(order) % fabric.world_size]
    for start in range(progress.step_in_epoch * recipe.batch_size, len(order), recipe.batch_size):
        positions = np.arange(start, min(start + recipe.batch_size, len(order)))[fabric.global_rank :: fabric.world_size]
        keys = [(*seed, progress.epoch, position) for position in positions.tolist()]
        ids_here = order[positions]
        yield crop_batch(store, ids_here, crop_px=recipe.crop_px, flips=recipe.flips, keys=keys, canvases=training.canvases)


def ahead(batches: Iterator[Batch]) -> Iterator[tuple[Batch, float]]:
    """The batches, each cut while the step before it is taken, and the seconds that it was waited for."""
    with ThreadPoolExecutor(1, "batches") as beside:
        following = beside.submit(next, batches, None)
        while True:
            began = time.monotonic()
            batch = following.result()
            if batch is None:
                return
            waited = time.monotonic() - began
            following = beside.submit(next, batches, None)
            yield batch, waited


def training_ids(store: TileStore, recipe: Recipe) -> np.ndarray:
    """The tiles that the recipe trains on, in manifest order."""
    ids = store.ids("train")
    if not recipe.tiles_per_place:
        return ids
    return balanced_subset(store.rows, ids, tiles_per_place=recipe.tiles_per_place, seed=recipe.seed)


def crops_an_epoch(store: TileStore, recipe: Recipe) -> int:
    """Crops that a whole epoch takes, in all processes together."""
    return len(training_ids(store, recipe)) * recipe.crops_per_tile


def steps_an_epoch(training: Training) -> int:
    """Batches that ``epoch_batches`` makes of a whole epoch."""
    crops = crops_an_epoch(training.store, training.recipe)
    return -(-(crops - crops % training.fabric.world_size) // training.recipe.batch_size)


def to_tensors(batch: Batch, store: TileStore, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Condition (N, C, H, W) and real image (N, B, H, W), float in [-1, 1], channels last in memory."""
    condition = encode_mask(_moved(torch.from_numpy(batch.mask), device), store.class_count)
    real = encode_image(_moved(torch.from_numpy(batch.image), device))
    return condition.contiguous(memory_format=torch.channels_last), real


def canvas_tensor(batch: Batch, device: torch.device, *, real: int = 0) -> torch.Tensor | None:
    """The batch's canvases as a generator is told them, (N, B, H, W); ``None`` where there are none. Those of the first ``real``
    images are these images themselves."""
    if batch.canvas is None:
        return None
    canvases = np.concatenate([batch.image[:real], batch.canvas[real:]])
    return encode_canvas(_moved(torch.from_numpy(canvases), device))


def buildings_on(colours: Colours, batch: Batch, store: TileStore, device: torch.device) -> Buildings:
    """The buildings of a batch's masks, found on the host and brought to ``device``."""
    found = colours.buildings_in(batch.mask, store.class_count)
    return Buildings(*(_moved(part, device) for part in found))


def _moved(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """``values`` of the host on ``device``; a GPU takes them while it computes, from memory that is pinned for it."""
    if device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)
