"""What ``evaluate`` scores: the images of a run or of a folder, and whether they may be scored on these tiles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orthoforge.checkpoints import names_generator
from orthoforge.errors import ConfigError, DataError
from orthoforge.evaluation.image_sets import ImageSet, folder_images, folder_masks, generated_images
from orthoforge.evaluation.tile_images import TileImages
from orthoforge.evaluation.trained_ground import TrainedGround, trained_ground
from orthoforge.masks.classes import Classes
from orthoforge.measures.realism.realism import LEAST_SET
from orthoforge.measures.realism.verdict import LEAST_IMAGES
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import TrainedGenerator, load_generator


@dataclass(frozen=True)
class Subject:
    """Images, the run that makes them (none for a folder), and masks for those whose tile is not known."""

    path: Path
    made: TileImages | None
    images: ImageSet
    mask: Callable[[int], np.ndarray] | None
    ground: TrainedGround | None

    @property
    def generator(self) -> TrainedGenerator | None:
        return None if self.made is None else self.made.generator


def open_subject(
    path: Path,
    store: TileStore,
    tile_ids: Sequence[int],
    split: str,
    *,
    masks: Path | None = None,
    threshold: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    allow_trained: bool = False,
) -> Subject:
    """The run or the folder at ``path``, to be scored against the tiles ``tile_ids`` of ``split``.

    Raises ``DataError`` when a folder's images or masks cannot be scored, there are too few, a run's classes are others, or
    (without ``allow_trained``) it was trained on these tiles; ``ConfigError`` for ``masks`` beside a run, ``CheckpointError``.
    """
    if names_generator(path) or not path.is_dir():
        subject = _run(path, store, tile_ids, masks, seed=seed, device=device)
    else:
        images = folder_images(path, store, split)
        mask = folder_masks(masks, images, threshold=threshold) if masks is not None else None
        subject = Subject(path, None, images, mask, None)
    _require_enough(subject.images, tile_ids)
    if not allow_trained:
        _refuse_trained(subject, len(tile_ids), split)
    return subject


def described(
    subject: Subject, store: TileStore, tile_ids: Sequence[int], split: str, *, masks: Path | None, allow_trained: bool
) -> dict[str, Any]:
    """What the report says of the images, of the checkpoint that made them (``None`` of a folder) and of the tiles."""
    generator, ground = subject.generator, subject.ground
    paired = sum(tile_id is not None for tile_id in subject.images.tile_ids)
    return {
        "images": {
            "source": str(subject.path), "kind": "run" if generator else "folder", "n": len(subject.images), "paired": paired,
            "masks": str(masks) if masks else None,
        },
        "checkpoint": generator and {
            "run": str(subject.path), "sha256": generator.sha256, "recipe": generator.recipe.name, "step": generator.step,
            "gsd_m": generator.gsd_m,
        } | _styles(generator, store, tile_ids),
        "data": {
            "tiles": str(store.path), "fingerprint": store.fingerprint, "trained_on_these": ground.same_store if ground else None,
            "trained_tiles": ground.tiles if ground else None, "allowed_trained": allow_trained,
            "split": split, "split_method": store.settings["split"], "n": len(tile_ids),
            "size_px": store.size_px, "gsd_m": store.gsd_m,
            "bands": list(store.looked_at), "band_count": store.bands,
        },
    }  # fmt: skip


def _run(path: Path, store: TileStore, tile_ids: Sequence[int], masks: Path | None, *, seed: int, device: str) -> Subject:
    generator = load_generator(path, device=device)
    _require_bands(path, generator.bands, store)
    if generator.classes != store.classes:
        raise DataError(f"{store.path}: its masks hold {_kind(store.classes)}, the run was trained on {_kind(generator.classes)}.")
    if masks is not None:
        raise ConfigError(f"{path} is a run: it is given the masks of the tiles. --masks is for a folder of images.")
    ground = trained_ground(path, store, tile_ids)
    made = TileImages(generator.showing(store.shown))
    return Subject(path, made, generated_images(made, store, tile_ids, seed), None, ground)


def _require_bands(path: Path, bands: int, store: TileStore) -> None:
    if bands != store.bands:
        raise DataError(f"{store.path}: its images have {store.bands} bands, those of {path} {bands}.")


def _require_enough(images: ImageSet, tile_ids: Sequence[int]) -> None:
    if min(len(images), len(tile_ids)) >= LEAST_SET or any(tile_id is not None for tile_id in images.tile_ids):
        return
    raise DataError(
        f"{len(images)} image{'s' * (len(images) != 1)} and {len(tile_ids)} real tile{'s' * (len(tile_ids) != 1)} are too few, and "
        f"no image is named as a tile. Realism needs {LEAST_SET} of each, its floor 4 real ones, precision, recall and a "
        f"verdict {LEAST_IMAGES} of each; "
        "pixel scores need one pair."
    )


def _refuse_trained(subject: Subject, n: int, split: str) -> None:
    ground = subject.ground
    if ground is None or not ground.tiles:
        return
    which = "it was trained on split train" if ground.same_store else "its training tiles show the same ground"
    raise DataError(
        f"{subject.path}: the run was trained on {ground.tiles} of the {n} tiles of split {split} (for example {ground.example}; "
        f"{which}), so the scores would measure memory. Score tiles that were kept out, or pass --allow-trained, which the report "
        "will say."
    )


def _kind(classes: Classes | None) -> str:
    return f"the classes {', '.join(classes.names)}" if classes else "buildings only"


def _styles(generator: TrainedGenerator, store: TileStore, tile_ids: Sequence[int]) -> dict[str, Any]:
    """Which styles the network has, and how many of the tiles are made in that of their place. Empty without styles."""
    if not generator.styles:
        return {}
    in_own = sum(store.rows[tile_id].place in generator.styles for tile_id in tile_ids)
    return {"styles": {"places": list(generator.styles), "tiles_in_own": in_own}}
