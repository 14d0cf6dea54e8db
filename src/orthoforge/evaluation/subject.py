"""What ``evaluate`` scores: the images of a run, or those of a folder (``folder_images``), and what the report says of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np

from orthoforge.errors import DataError
from orthoforge.masks.classes import Classes
from orthoforge.measures.realism.realism import LEAST_SET
from orthoforge.measures.realism.verdict import LEAST_IMAGES
from orthoforge.runs import GroundKnown, Run, TileImages, TrainedGround
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import TrainedGenerator


@dataclass(frozen=True)
class ImageSet:
    """Images of one size (H, W, 3) uint8, whoever made them. Only what ``read`` is asked for is in memory."""

    names: tuple[str, ...]
    scenes: tuple[str, ...]
    """The scene that each belongs to; of a foreign image its own name, because more is not known."""
    size_px: tuple[int, int]
    tile_ids: tuple[int | None, ...]
    """The tile whose mask each shows, where it is known."""
    read: Callable[[int], np.ndarray]

    def __len__(self) -> int:
        return len(self.names)


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


class Images(TypedDict):
    """Which images were scored; ``paired`` of the ``n`` with a tile of their own."""

    source: str
    kind: Literal["run", "folder"]
    n: int
    paired: int
    masks: str | None


class StylesUsed(TypedDict):
    """The places whose styles a network has, and how many tiles were made in that of their own."""

    places: list[str]
    tiles_in_own: int


class _Checkpoint(TypedDict):
    run: str
    sha256: str
    recipe: str
    step: int
    gsd_m: float | None


class CheckpointUsed(_Checkpoint, total=False):
    """What made the images; without ``styles`` where its network has none."""

    styles: StylesUsed


class Data(GroundKnown):
    """The tiles that images were scored on."""

    tiles: str
    fingerprint: str
    trained_tiles: int | None
    allowed_trained: bool
    n: int
    size_px: int
    gsd_m: float | None
    bands: list[int]
    band_count: int


class Described(TypedDict):
    """What the report says of the images, of the checkpoint that made them (``None`` of a folder) and of the tiles."""

    images: Images
    checkpoint: CheckpointUsed | None
    data: Data


def run_subject(path: Path, store: TileStore, tile_ids: Sequence[int], *, seed: int = 0, device: str = "cpu") -> Subject:
    """What the run at ``path`` makes of the tiles' masks.

    Raises ``DataError`` when its bands or classes are others than the tiles', ``CheckpointError``.
    """
    run = Run.open(path)
    generator = run.generator(device)
    if generator.bands != store.bands:
        raise DataError(f"{store.path}: its images have {store.bands} bands, those of {path} {generator.bands}.")
    if generator.classes != store.classes:
        raise DataError(f"{store.path}: its masks hold {_kind(store.classes)}, the run was trained on {_kind(generator.classes)}.")
    made = TileImages(generator.showing(store.shown))
    rows = [store.rows[tile_id] for tile_id in tile_ids]
    images = ImageSet(
        names=tuple(f"{row.scene}_{row.window.row}_{row.window.col}" for row in rows),
        scenes=tuple(row.scene for row in rows),
        size_px=(store.size_px, store.size_px),
        tile_ids=tuple(tile_ids),
        read=lambda index: made.of_tile(store, tile_ids[index], seed),
    )
    return Subject(path, made, images, None, run.ground_on(store, tile_ids))


def require_scorable(subject: Subject, tile_ids: Sequence[int], split: str, *, allow_trained: bool) -> None:
    """``DataError`` when there are too few images, or (without ``allow_trained``) the run was trained on these tiles."""
    images, ground = subject.images, subject.ground
    if min(len(images), len(tile_ids)) < LEAST_SET and all(tile_id is None for tile_id in images.tile_ids):
        raise DataError(
            f"{len(images)} image{'s' * (len(images) != 1)} and {len(tile_ids)} real tile{'s' * (len(tile_ids) != 1)} are too few, "
            f"and no image is named as a tile. Realism needs {LEAST_SET} of each, its floor 4 real ones, precision, recall and a "
            f"verdict {LEAST_IMAGES} of each; pixel scores need one pair."
        )
    if ground is not None and ground.tiles and not allow_trained:
        which = "it was trained on split train" if ground.same_store else "its training tiles show the same ground"
        raise DataError(
            f"{subject.path}: the run was trained on {ground.tiles} of the {len(tile_ids)} tiles of split {split} (for example "
            f"{ground.example}; {which}), so the scores would measure memory. Score tiles that were kept out, or pass "
            "--allow-trained, which the report will say."
        )


def described(
    subject: Subject, store: TileStore, tile_ids: Sequence[int], split: str, *, masks: Path | None, allow_trained: bool
) -> Described:
    """What the report says of what was scored."""
    generator, ground = subject.generator, subject.ground
    paired = sum(tile_id is not None for tile_id in subject.images.tile_ids)
    return {
        "images": {
            "source": str(subject.path), "kind": "run" if generator else "folder", "n": len(subject.images), "paired": paired,
            "masks": str(masks) if masks else None,
        },
        "checkpoint": None if generator is None else _checkpoint(generator, subject.path, store, tile_ids),
        "data": {
            "tiles": str(store.path), "fingerprint": store.fingerprint, "trained_on_these": ground.same_store if ground else None,
            "trained_tiles": ground.tiles if ground else None, "allowed_trained": allow_trained,
            "split": split, "split_method": store.settings["split"], "n": len(tile_ids),
            "size_px": store.size_px, "gsd_m": store.gsd_m,
            "bands": list(store.looked_at), "band_count": store.bands,
        },
    }  # fmt: skip


def _checkpoint(generator: TrainedGenerator, path: Path, store: TileStore, tile_ids: Sequence[int]) -> CheckpointUsed:
    said: CheckpointUsed = {
        "run": str(path), "sha256": generator.sha256, "recipe": generator.recipe.name, "step": generator.step,
        "gsd_m": generator.gsd_m,
    }  # fmt: skip
    if generator.styles:
        in_own = sum(store.rows[tile_id].place in generator.styles for tile_id in tile_ids)
        said["styles"] = {"places": list(generator.styles), "tiles_in_own": in_own}
    return said


def _kind(classes: Classes | None) -> str:
    return f"the classes {', '.join(classes.names)}" if classes else "buildings only"
