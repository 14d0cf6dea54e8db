"""What ``evaluate`` scores: the images of a run, or those of a folder (``folder_images``), and what the report says of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np

from orthoforge.errors import DataError
from orthoforge.evaluation.trained_ground import TrainedGround, trained_ground
from orthoforge.masks.classes import Classes
from orthoforge.measures.realism.realism import LEAST_SET
from orthoforge.measures.realism.verdict import LEAST_IMAGES
from orthoforge.runs import Run
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import TrainedGenerator

# Seeds below this give no tile the noise of another: tile 17 with seed 2 is generated with seed 17 000 002.
SEEDS_APART = 1_000_000


class TileImages:
    """What a generator makes of tiles: images in the style of their place, never of the tile's own image, with noise of their own.

    Of a place that the run does not know, and from networks without styles, an image is what the generator itself makes; so is
    every image of a generator that was given a style (``TrainedGenerator.with_style``).
    """

    def __init__(self, generator: TrainedGenerator) -> None:
        self.generator = generator
        self._has_its_own = bool(generator.own_style[0])
        self._styled: dict[str, TrainedGenerator] = {}

    def of_place(self, place: str) -> TrainedGenerator:
        """The generator in the style of a place, made once."""
        if self._has_its_own or place not in self.generator.styles:
            return self.generator
        if place not in self._styled:
            self._styled[place] = self.generator.with_style(place)
        return self._styled[place]

    def of_tile(self, store: TileStore, tile_id: int, seed: int) -> np.ndarray:
        """Image (S, S, 3) uint8 of a tile's mask. The same tile and ``seed`` give the same image."""
        return self.of_place(store.rows[tile_id].place)(store.tile(tile_id)[1], seed=tile_seed(seed, tile_id))


def tile_seed(seed: int, tile_id: int) -> int:
    """The seed that a tile's image is generated with. With one for all, one pattern of noise would lie over every tile."""
    return seed + SEEDS_APART * tile_id


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
    epochs: "EpochsTrained | None" = None
    """Of the run, where its training is here."""

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


class EpochsTrained(TypedDict):
    """How far a training came."""

    done: int
    planned: int


class CheckpointUsed(_Checkpoint, total=False):
    """What made the images; without ``styles`` where its network has none, without ``epochs`` where its training is not here."""

    styles: StylesUsed
    epochs: EpochsTrained


class GroundKnown(TypedDict):
    """Whether the run was trained on the scored tiles or on their ground, as far as it is known, and how they were split."""

    trained_on_these: bool | None
    split: str
    split_method: str


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
    epochs: EpochsTrained | None = {"done": run.epochs[0], "planned": run.epochs[1]} if run.epochs else None
    return Subject(path, made, images, None, trained_ground(run, store, tile_ids), epochs)


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
        "checkpoint": None if generator is None else _checkpoint(generator, subject, store, tile_ids),
        "data": {
            "tiles": str(store.path), "fingerprint": store.fingerprint, "trained_on_these": ground.same_store if ground else None,
            "trained_tiles": ground.tiles if ground else None, "allowed_trained": allow_trained,
            "split": split, "split_method": store.settings["split"], "n": len(tile_ids),
            "size_px": store.size_px, "gsd_m": store.gsd_m,
            "bands": list(store.looked_at), "band_count": store.bands,
        },
    }  # fmt: skip


def _checkpoint(generator: TrainedGenerator, subject: Subject, store: TileStore, tile_ids: Sequence[int]) -> CheckpointUsed:
    said: CheckpointUsed = {
        "run": str(subject.path), "sha256": generator.sha256, "recipe": generator.recipe.name, "step": generator.step,
        "gsd_m": generator.gsd_m,
    }  # fmt: skip
    if generator.styles:
        in_own = sum(store.rows[tile_id].place in generator.styles for tile_id in tile_ids)
        said["styles"] = {"places": list(generator.styles), "tiles_in_own": in_own}
    if subject.epochs:
        said["epochs"] = subject.epochs
    return said


def _kind(classes: Classes | None) -> str:
    return f"the classes {', '.join(classes.names)}" if classes else "buildings only"
