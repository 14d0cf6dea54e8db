"""What ``evaluate`` scores, and what the report says of it: forms of the images of a run, or of a folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np

from orthoforge.runs import GroundKnown, TileImages, TrainedGround
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


def batches(count: int, size: int) -> list[range]:
    """Numbers from 0 to ``count`` in groups of ``size``."""
    return [range(begin, min(begin + size, count)) for begin in range(0, count, size)]


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
