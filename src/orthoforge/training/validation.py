"""What a training has learnt so far: scores and pictures of validation tiles."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from orthoforge import run_files
from orthoforge.bands import shown_bands
from orthoforge.config import Recipe
from orthoforge.measures.pixels import SEED_PSNR_OFFSET_DB, detail, outlines_seen, psnr
from orthoforge.measures.realism.distances import kernel_distance
from orthoforge.measures.realism.features import LiteFeatures, perceptual_distance
from orthoforge.measures.similarity import validation_ssim
from orthoforge.models.conditions import decode_image
from orthoforge.models.styles import Style, bank_of
from orthoforge.tiles.store import Batch, TileStore, centre_batch
from orthoforge.trackers import Trackers
from orthoforge.training.batches import canvas_tensor, to_tensors
from orthoforge.training.hardware import any_process
from orthoforge.training.places import places_of
from orthoforge.training.state import PANELS, VALIDATION
from orthoforge.training.training import Training

PANEL_TILES = 4
# More validation tiles than these are not looked at by ``best_by``'s network, which takes longer a tile than the generator may.
JUDGED_TILES = 64
OUTLINES_OF_A_COLLAPSE = 0.5


def validate(training: Training, tile_ids: np.ndarray | None = None) -> dict[str, float] | None:
    """Mean scores of the output generator over the centre crops of ``tile_ids``, all validation tiles when left out.

    ``None`` when asked to stop. Every process computes them all, so that none waits and all agree.
    """
    state, store, batch_size = training.state, training.store, training.recipe.batch_size
    state.seed_torch(VALIDATION)
    generator = state.output_generator.eval()
    tile_ids = store.ids("val") if tile_ids is None else tile_ids
    opinion = None if state.eyes is None else _Opinion(state.eyes, tile_ids)
    scores: dict[str, list[float]] = {"psnr": [], "ssim": [], "detail_fake": [], "detail_real": []}
    outlines = torch.zeros(2, dtype=torch.int64)
    try:
        starts = range(0, len(tile_ids), batch_size)
        for start in training.shown().over(starts, "validation, batches", len(starts)):
            batch = _centres(training, tile_ids[start : start + batch_size])
            condition, real = to_tensors(batch, store, training.fabric.device)
            fake = _fakes(training, batch, condition).float()
            scores["psnr"] += psnr(fake, real).tolist()
            scores["ssim"] += validation_ssim(fake, real).tolist()
            scores["detail_fake"] += detail(fake).tolist()
            scores["detail_real"] += detail(real).tolist()
            outlines += outlines_seen(fake, condition).sum(dim=0).cpu()
            if opinion is not None:
                opinion.add(batch.tile_ids, fake, real)
            if any_process(training.fabric, training.stop.requested):
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
    } | ({} if opinion is None else opinion.scores())


def _centres(training: Training, tile_ids: np.ndarray) -> Batch:
    return centre_batch(training.store, tile_ids, crop_px=training.recipe.crop_px, canvases=training.canvases)


def _fakes(training: Training, batch: Batch, condition: torch.Tensor) -> torch.Tensor:
    """Images (N, B, H, W) of the output generator, each in a style of its place, told of its canvas where there is one."""
    generator, canvas = training.state.output_generator, canvas_tensor(batch, training.fabric.device)
    told = {} if canvas is None else {"colours": canvas}
    with torch.inference_mode(), training.fabric.autocast():
        return generator(condition, *_styles(generator, training.store, batch.tile_ids), **told)


def _styles(generator: nn.Module, store: TileStore, tile_ids: np.ndarray) -> tuple[Style, ...]:
    """What a generator with styles takes beside the condition: for each tile the style of some training tile of its place.

    Of a place that training did not see, of any place.
    """
    bank = bank_of(generator)
    if bank is None:
        return ()
    number = {place: index for index, place in enumerate(places_of(store))}
    rows = [store.rows[tile_id] for tile_id in tile_ids.tolist()]
    return (bank.of_places([number.get(row.place, index % len(number)) for index, row in enumerate(rows)]),)


class _Opinion:
    """What EfficientNet-Lite0 thinks of the images of some validation tiles, spread over them; of their first three bands."""

    def __init__(self, eyes: LiteFeatures, tile_ids: np.ndarray) -> None:
        self._eyes = eyes
        self._chosen = tile_ids[np.linspace(0, len(tile_ids) - 1, min(JUDGED_TILES, len(tile_ids))).astype(int)]
        self._apart: list[float] = []
        self._vectors: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])

    def add(self, tile_ids: np.ndarray, fake: torch.Tensor, real: torch.Tensor) -> None:
        """Look at the images of a batch, those that were chosen."""
        at = np.flatnonzero(np.isin(tile_ids, self._chosen)).tolist()
        if not at:
            return
        shown = shown_bands(fake.shape[1])
        fake_maps, fake_vectors = self._eyes(fake[at][:, shown])
        real_maps, real_vectors = self._eyes(real[at][:, shown])
        self._apart += perceptual_distance(fake_maps, real_maps).tolist()
        for kept, vectors in zip(self._vectors, (fake_vectors, real_vectors), strict=True):
            kept.append(vectors.cpu().numpy())

    def scores(self) -> dict[str, float]:
        """Both scores; lower is better. The kernel distance needs two tiles."""
        fakes, reals = (np.concatenate(kept) for kept in self._vectors)
        kernel = {"kernel_x1000": 1000 * kernel_distance(fakes, reals)} if len(fakes) > 1 else {}
        return {"perceptual": math.fsum(self._apart) / len(self._apart)} | kernel


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


def record_panels(training: Training, curves: Trackers | None) -> None:
    """A picture of the same few validation tiles, in ``panels/`` and among the curves; only the first process has these."""
    if curves is None:
        return
    state, store = training.state, training.store
    tile_ids = store.ids("val")
    shown = tile_ids[np.linspace(0, len(tile_ids) - 1, min(PANEL_TILES, len(tile_ids))).astype(int)]
    batch = _centres(training, shown)
    condition, _ = to_tensors(batch, store, training.fabric.device)
    state.seed_torch(PANELS)
    generator = state.output_generator.eval()
    fakes = decode_image(_fakes(training, batch, condition)).cpu().numpy()
    generator.train()
    bands = shown_bands(store.bands)
    picture = run_files.panel(store.mask_rgb(batch.mask), fakes[..., bands], batch.image[..., bands])
    run_files.write_png(training.out / "panels" / f"epoch{state.progress.epoch:05d}.png", picture)
    curves.picture("panel", picture, state.progress.step)
