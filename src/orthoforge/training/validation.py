"""What a training has learnt so far: scores and pictures of validation tiles."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric

from orthoforge import runs
from orthoforge.config import Recipe
from orthoforge.evaluation.metrics import SEED_PSNR_OFFSET_DB, detail, outlines_seen, psnr, ssim
from orthoforge.models.conditions import decode_image
from orthoforge.tiles.store import TileStore, centre_batch
from orthoforge.trackers import Trackers
from orthoforge.training.batches import to_tensors
from orthoforge.training.hardware import any_process
from orthoforge.training.state import PANELS, VALIDATION, TrainingState
from orthoforge.training.stopping import StopRequest

PANEL_TILES = 4
OUTLINES_OF_A_COLLAPSE = 0.5


def validate(fabric: Fabric, recipe: Recipe, state: TrainingState, store: TileStore, stop: StopRequest) -> dict[str, float] | None:
    """Mean scores of the output generator over the centre crops of all validation tiles; ``None`` when asked to stop.

    Every process computes them all, so that none waits and all agree.
    """
    state.seed_torch(VALIDATION)
    generator = state.output_generator.eval()
    scores: dict[str, list[float]] = {"psnr": [], "ssim": [], "detail_fake": [], "detail_real": []}
    outlines = torch.zeros(2, dtype=torch.int64)
    tile_ids = store.ids("val")
    try:
        for start in range(0, len(tile_ids), recipe.batch_size):
            batch = centre_batch(store, tile_ids[start : start + recipe.batch_size], crop_px=recipe.crop_px)
            condition, real = to_tensors(batch, store, fabric.device)
            with torch.inference_mode(), fabric.autocast():
                fake = generator(condition).float()
            scores["psnr"] += psnr(fake, real).tolist()
            scores["ssim"] += ssim(fake, real).tolist()
            scores["detail_fake"] += detail(fake).tolist()
            scores["detail_real"] += detail(real).tolist()
            outlines += outlines_seen(fake, condition).sum(dim=0).cpu()
            if any_process(fabric, stop.requested):
                return None
    finally:
        generator.train()
    means = {name: math.fsum(values) / len(values) for name, values in scores.items()}
    shown, there = outlines.tolist()
    return {
        "psnr": means["psnr"],
        "ssim": means["ssim"],
        "psnr_seed": means["psnr"] - SEED_PSNR_OFFSET_DB,
        "detail": means["detail_fake"] / max(means["detail_real"], 1e-9),
        "outlines": shown / there if there else 1.0,
    }


def collapse_notice(rows: Sequence[Mapping[str, float]], recipe: Recipe) -> str | None:
    """What to tell a user whose training has collapsed, at the epoch in which that shows; ``rows`` are those of ``results.csv``.

    That is when the outlines of the masks vanish from the images, or have not appeared after a tenth of the epochs, and ten.
    """
    seen = [row.get("outlines", 1.0) >= OUTLINES_OF_A_COLLAPSE for row in rows]
    vanished = len(seen) > 1 and seen[-2] and not seen[-1]
    never_came = not any(seen) and len(seen) == max(10, recipe.total_epochs // 10)
    if not vanished and not never_came:
        return None
    return (
        f"the generated images show only {100 * rows[-1]['outlines']:.0f} % of the outlines in their masks. If that lasts, "
        f"training has collapsed: try a lower --learning-rate (it is {recipe.learning_rate:g})."
    )


def record_panels(
    fabric: Fabric, recipe: Recipe, state: TrainingState, store: TileStore, out: Path, curves: Trackers | None
) -> None:
    """A picture of the same few validation tiles, in ``panels/`` and among the curves."""
    if not fabric.is_global_zero:
        return
    tile_ids = store.ids("val")
    shown = tile_ids[np.linspace(0, len(tile_ids) - 1, min(PANEL_TILES, len(tile_ids))).astype(int)]
    batch = centre_batch(store, shown, crop_px=recipe.crop_px)
    condition, _ = to_tensors(batch, store, fabric.device)
    state.seed_torch(PANELS)
    generator = state.output_generator.eval()
    with torch.inference_mode(), fabric.autocast():
        fakes = decode_image(generator(condition)).cpu().numpy()
    generator.train()
    picture = runs.panel(store.mask_rgb(batch.mask), fakes, batch.image)
    runs.write_png(out / "panels" / f"epoch{state.progress.epoch:05d}.png", picture)
    if curves:
        curves.picture("panel", picture, state.progress.step)
