"""The perceptual loss alone gives crisper images with less checkerboard than L1, and takes longer."""

import statistics
import time
from collections.abc import Callable, Sequence

from bench.phenomena.small_set import (
    Finding,
    SmallSet,
    as_tensor,
    empty_area,
    generated,
    pictures_of,
    side_by_side,
    small_recipe,
)
from orthoforge.config import Recipe
from orthoforge.measures.spectra import checkerboard_levels, fine_detail
from orthoforge.tiles.store import TileStore, crop_batch
from orthoforge.training.hardware import new_fabric
from orthoforge.training.state import TrainingState
from orthoforge.training.step import train_step
from orthoforge.training.training import Training

L1, PERCEPTUAL = "instance-norm", "perceptual-only"  # with the same upsampling they differ in the loss alone
UPSAMPLINGS = ("transposed", "resize")
STEPS = 20


def measure(tiles: SmallSet) -> Finding:
    """Fine detail and checkerboard of test tiles with either loss and either upsampling, one seed; the time of a step."""
    masks, real = tiles.test_pairs()
    real_fine = fine_detail(as_tensor(real)).mean().item()
    real_levels = checkerboard_levels(as_tensor(real)).mean().item()
    seed = tiles.seeds[0]
    figures: dict[str, dict[str, float]] = {}
    lines, rows = [f"real images: checkerboard {real_levels:.2f} grey levels, which is texture"], []
    for upsample in UPSAMPLINGS:
        for name in (L1, PERCEPTUAL):
            run = tiles.run(name, seed=seed, upsample=upsample)
            images = generated(run, masks)
            own = figures[f"{name}, {upsample}"] = {
                "fine_detail": fine_detail(images).mean().item() / real_fine,
                "fine_share": (fine_detail(images) / images.double().std(dim=(2, 3)).mean(dim=1).clamp(min=1e-6)).mean().item(),
                "levels": checkerboard_levels(images).mean().item(),
                "levels_in_empty_area": checkerboard_levels(empty_area(run)).item(),
            }
            lines.append(
                f"{name:15} {upsample:10} fine detail {own['fine_detail']:.2f} of the real images', {own['fine_share']:.2f} of its "
                f"own contrast; checkerboard {own['levels']:.2f} grey levels in tiles, {own['levels_in_empty_area']:.2f} in an "
                "empty area"
            )
            rows.append(pictures_of(images))
    seconds = seconds_a_step(tiles, (L1, PERCEPTUAL))
    time_ratio = statistics.median(b / a for a, b in zip(seconds[L1], seconds[PERCEPTUAL], strict=True))
    verdicts, shows = [], True
    for upsample in UPSAMPLINGS:
        l1, alone = figures[f"{L1}, {upsample}"], figures[f"{PERCEPTUAL}, {upsample}"]
        crisper, smoother = alone["fine_detail"] > l1["fine_detail"], alone["levels"] < l1["levels"]
        shows &= crisper and smoother
        verdicts.append(
            f"{upsample}: fine detail × {alone['fine_detail'] / l1['fine_detail']:.2f} ({'' if crisper else 'NOT '}crisper), "
            f"checkerboard × {alone['levels'] / l1['levels']:.2f} ({'' if smoother else 'NOT '}less)"
        )
    lines.append(f"perceptual-only by instance-norm (L1), {'; '.join(verdicts)}; time of a step × {time_ratio:.2f}")
    return Finding(
        figures | {"step_s": seconds, "time_ratio": time_ratio}, lines, shows, {"perceptual-only.jpg": side_by_side(rows)}
    )


def seconds_a_step(tiles: SmallSet, names: Sequence[str]) -> dict[str, list[float]]:
    """Seconds of the processor for ``STEPS`` training steps of each recipe, in turns, so that a busy machine slows all alike."""
    steps = {name: stepper(small_recipe(name, upsample="transposed"), tiles.store) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(STEPS + 1):
        for name, step in steps.items():
            began = time.process_time()
            step(turn)
            seconds[name].append(time.process_time() - began)
    return {name: taken[1:] for name, taken in seconds.items()}  # the first warms up


def stepper(recipe: Recipe, store: TileStore) -> Callable[[int], None]:
    """A training of a recipe that takes one step a call."""
    fabric = new_fabric(recipe)
    training = Training(fabric, recipe, store, TrainingState(fabric, recipe, store), store.path)
    ids = store.ids("train")[: recipe.batch_size]

    def step(number: int) -> None:
        keys = [(number, position) for position in range(recipe.batch_size)]
        train_step(training, crop_batch(store, ids, crop_px=recipe.crop_px, flips=recipe.flips, keys=keys))

    return step
