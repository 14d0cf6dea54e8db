"""Whether a recipe fits the tiles that it is to be trained on."""

import time
from collections import Counter
from collections.abc import Callable

from lightning_fabric import Fabric

from orthoforge.config import Recipe
from orthoforge.errors import ConfigError, DataError
from orthoforge.tiles.material import suits_weights_of_the_package
from orthoforge.tiles.store import TileStore
from orthoforge.training.batches import crops_an_epoch, training_ids

LEAST_MATERIAL_PX = 32
# Trainings with fewer steps are warned of. 105 steps of orthoforge-xs, on 22 tiles, gave images like plasticine. The demo takes 420
# on 90 tiles, docs/protocol.md measured orthoforge-s after 765, and both show buildings and streets.
LEAST_STEPS = 400


def require_fit(recipe: Recipe, store: TileStore, processes: int) -> None:
    """Raise ``ConfigError`` or ``DataError`` when the recipe cannot be trained on these tiles."""
    wanted = f" The recipe was made for `orthoforge prepare {recipe.tiles}`." if recipe.tiles else ""
    if recipe.crop_px > store.size_px:
        raise ConfigError(f"crop_px is {recipe.crop_px}, but the tiles in {store.path} are {store.size_px} px.{wanted}")
    if recipe.material and store.size_px < LEAST_MATERIAL_PX:
        raise ConfigError(
            f"the tiles in {store.path} are {store.size_px} px; material takes pieces of ground out of them, which needs "
            f"{LEAST_MATERIAL_PX} px or more.{wanted}"
        )
    if recipe.batch_size % processes:
        raise ConfigError(f"batch_size is {recipe.batch_size}; on {processes} processes it must be a multiple of {processes}.")
    share = recipe.batch_size // processes
    if recipe.accumulate > share:
        raise ConfigError(f"accumulate is {recipe.accumulate}; each process has {share} crops of a batch.")
    for split in ("train", "val"):
        if not len(store.ids(split)):
            raise DataError(
                f"{store.path}: no tile is in split {split}. Prepare again with more scenes or another --split.{wanted}"
            )
    if recipe.best_by == "kernel" and len(store.ids("val")) < 2:
        raise DataError(
            f"{store.path}: one validation tile has no kernel distance, which compares sets. Prepare more, or --best-by perceptual."
        )


def require_sound(store: TileStore, fabric: Fabric, say: Callable[[str], None]) -> None:
    """Raise ``DataError`` in every process when a tile's pixels are not those that were prepared. The first one reads them all."""
    started_at = time.monotonic()
    store.require_sound(fabric.broadcast(store.verify() if fabric.is_global_zero else []))
    say(f"{store.path}: the checksums of {len(store.rows)} tiles are right ({time.monotonic() - started_at:.1f} s)")


def notes_on_tiles(recipe: Recipe, store: TileStore, *, from_scratch: bool = True) -> list[str]:
    """What a user should know of these tiles and this recipe: where they differ from what it was made for, and how few it takes.

    How few steps are too few was measured on trainings ``from_scratch``. Others are not told.
    """
    notes = []
    options = recipe.tile_options
    usual: dict[str, object] = {"grid": None if "gsd" in options else 1, "gsd": None, "size": 286, "split": "blocks"}
    wanted = usual | {"min_building": 0.0, **options}
    is_other = [name for name, value in wanted.items() if recipe.tiles and store.settings.get(name) != value]
    if is_other:
        found = ", ".join(f"{name} {store.settings.get(name)}" for name in is_other)
        notes.append(
            f"the tiles in {store.path} have {found}; recipe {recipe.name} was made for those of "
            f"`orthoforge prepare {recipe.tiles}`"
        )
    if recipe.tiles_per_place:
        counts = Counter(store.rows[tile_id].place for tile_id in training_ids(store, recipe).tolist())
        named = ", ".join(f"{place} {count}" for place, count in sorted(counts.items()))
        notes.append(f"training on {counts.total()} of {len(store.ids('train'))} tiles: {named}")
    if from_scratch and (too_few := _too_few_steps(recipe, store)):
        notes.append(too_few)
    return notes


def _too_few_steps(recipe: Recipe, store: TileStore) -> str | None:
    """What to do where the tiles are too few for the recipe's epochs; ``None`` where they are not."""
    crops = crops_an_epoch(store, recipe)
    steps = -(-crops // recipe.batch_size) * recipe.total_epochs
    if steps >= LEAST_STEPS:
        return None
    times = -(-LEAST_STEPS // steps)
    longer = f"--epochs {times * recipe.epochs}" + f" --decay-epochs {times * recipe.decay_epochs}" * bool(recipe.decay_epochs)
    trained = "orthoforge-material" if recipe.material else "orthoforge-s"
    bundled_fit = recipe.generator == "modulated" and recipe.generator_width == 16 and store.classes is None
    ways = [
        f"Train longer: {longer}.",
        f"Or begin with trained weights: --init-from {trained if bundled_fit else 'RUN'}.",
    ]
    if suits_weights_of_the_package(store):
        ways.append(
            "Or train nothing, and give your tiles' roofs and ground to trained weights: orthoforge generate orthoforge-material "
            f"MASKS --out IMAGES --material-from {store.path}"
        )
    return "\n  ".join(
        [
            f"{steps} steps are too few for images to use ({crops} crops an epoch in batches of {recipe.batch_size}, "
            f"{recipe.total_epochs} epoch{'s' * (recipe.total_epochs != 1)}; at least {LEAST_STEPS} are needed).",
            *ways,
        ]
    )
