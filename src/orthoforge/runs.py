"""A run that was opened: its settings, weights, curves and tiles, the ground that it was trained on, and what it makes of tiles."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypedDict

import numpy as np

from orthoforge.checkpoint_state import CheckpointState
from orthoforge.checkpoints import checkpoint_folder, is_pretrained, read_generator, read_state, recipe_of, run_folder
from orthoforge.config import Recipe
from orthoforge.devices import chosen_device
from orthoforge.errors import DataError
from orthoforge.geo.areas import Areas, meetings
from orthoforge.run_files import RunArgs, read_args, read_results
from orthoforge.tiles.manifest import TileRow
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import TrainedGenerator

# Seeds below this give no tile the noise of another: tile 17 with seed 2 is generated with seed 17 000 002.
SEEDS_APART = 1_000_000
# Of a tile's side: so much is taken off before its area counts as that of another.
_ROUNDING = 1e-3


@dataclass(frozen=True)
class TrainedGround:
    """What is known. ``tiles`` counts the scored tiles that show ground of the training; ``None`` when that is unknown."""

    same_store: bool
    tiles: int | None
    example: str
    training: TileStore | None
    """The tiles that the run was trained on, where they can still be found."""


@dataclass(frozen=True)
class Run:
    """What a training left. ``Run.open(path)`` opens it.

    ``folder`` is the folder of the run. ``checkpoint`` is the folder of one of its checkpoints, and ``state`` is what that
    checkpoint says of itself. A published folder, or weights that come with the package, is a run too. It has no settings, curves
    and tiles, and both folders are the published one.

    Examples:
        >>> from orthoforge import Run
        >>> run = Run.open("runs/mine")
        >>> run.recipe.name, run.checkpoint.name, len(run.results)
        ('orthoforge-xs', 'last', 1)
        >>> run.tiles().size_px
        96
    """

    folder: Path
    checkpoint: Path
    state: CheckpointState

    @staticmethod
    def open(path: str | Path) -> "Run":
        """The run at ``path``: a run folder (its newest checkpoint is taken), one of its checkpoints, a pretrained folder, or the
        name of bundled weights.

        Raises:
            CheckpointError: there is none, or its state cannot be read.
        """
        checkpoint = checkpoint_folder(Path(path))
        return Run(run_folder(checkpoint), checkpoint, read_state(checkpoint))

    @property
    def is_pretrained(self) -> bool:
        """Whether it is a pretrained folder, without the training that made it."""
        return is_pretrained(self.checkpoint)

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe of the run. ``CheckpointError`` for a recipe of another version."""
        return recipe_of(self.state, self.checkpoint)

    @cached_property
    def args(self) -> RunArgs | None:
        """The settings in ``args.yaml``. ``None`` where that file is not there. ``ConfigError`` for another file of that name."""
        return read_args(self.folder)

    @cached_property
    def results(self) -> list[dict[str, float]]:
        """The rows of ``results.csv``, one for each epoch. ``CheckpointError`` for a file that cannot be read."""
        return read_results(self.folder)

    @property
    def epochs(self) -> tuple[int, int] | None:
        """Epochs that its training has done and planned; ``None`` of what came without its training."""
        if self.is_pretrained:
            return None
        return len(self.results) or self.state.progress.epoch, self.recipe.total_epochs

    def generator(self, device: str = "cpu") -> TrainedGenerator:
        """The generator of the run, ready to call. ``CheckpointError`` for bytes that changed, ``ConfigError`` for an unknown
        device.
        """
        device = chosen_device(device)
        return TrainedGenerator(read_generator(self.checkpoint, self.state), device=device)

    def tiles(self) -> TileStore | None:
        """The tiles that the run was trained on, at the place that ``args.yaml`` names. ``None`` when they are gone or have
        changed.
        """
        try:
            store = TileStore.open(Path(self.args.data)) if self.args and self.args.data else None
        except (DataError, OSError):
            return None
        return store if store is not None and store.fingerprint == self.state.tiles.fingerprint else None

    def ground_on(self, store: TileStore, tile_ids: Sequence[int]) -> TrainedGround:
        """What is known of the ground that tiles of ``store`` show: whether it was trained on that.

        The same store by its fingerprint: then the split decides. Another one: tiles whose bytes are the same, whose areas overlap,
        in whatever CRS each lies, or (without a CRS) whose windows in a scene of one name do.
        """
        if store.fingerprint == self.state.tiles.fingerprint:
            seen = [tile_id for tile_id in tile_ids if store.rows[tile_id].split == "train"]
            return TrainedGround(True, len(seen), store.describe(seen[0]) if seen else "", store)
        training = self.tiles()
        if training is None:
            return TrainedGround(False, None, "", None)
        theirs = [row for row in training.rows if row.split == "train"]
        checksums = {row.sha256 for row in theirs}
        met = set(tiles_on(theirs, store, tile_ids))
        seen = [tile_id for tile_id in tile_ids if tile_id in met or store.rows[tile_id].sha256 in checksums]
        return TrainedGround(False, len(seen), store.describe(seen[0]) if seen else "", training)


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


def tiles_on(rows: Sequence[TileRow], store: TileStore, tile_ids: Sequence[int], *, by_name: bool = True) -> list[int]:
    """Those of ``tile_ids`` whose area overlaps that of one of ``rows``.

    On the ground, in whatever CRS each lies, or (with ``by_name``) where both have none, as windows in a scene of one name.
    Neighbours whose edges differ by rounding share no area.
    """
    looked_at = [tile_id for tile_id in tile_ids if by_name or store.rows[tile_id].grid.crs]
    scored = _areas([store.rows[tile_id] for tile_id in looked_at], -_ROUNDING)
    found = meetings(scored, _areas([row for row in rows if by_name or row.grid.crs], 0.0))
    return [looked_at[position] for position in np.unique(found[0])]


def _areas(rows: Sequence[TileRow], near: float) -> Areas:
    """Where tiles lie: on the ground, or else in their scene."""
    windows = [row.window for row in rows]
    boxes = [
        row.grid.bounds if row.grid.crs else (window.col, window.row, window.col + window.width, window.row + window.height)
        for row, window in zip(rows, windows, strict=True)
    ]
    return Areas.of_boxes(boxes, [row.grid.crs or row.scene for row in rows], near)


class GroundKnown(TypedDict):
    """Whether the run was trained on the scored tiles or on their ground, as far as it is known, and how they were split."""

    trained_on_these: bool | None
    split: str
    split_method: str


def overlap_statement(data: GroundKnown, trained_tiles: int | None = None) -> tuple[str, bool]:
    """Whether the scored tiles were trained on, in words, and whether that is a warning.

    ``trained_tiles``: how many show ground that was trained on, where that is known.
    """
    split = data["split"]
    if data["trained_on_these"] is None:
        return "What made these images is not known here; if it was trained on the scored tiles, the scores measure memory.", True
    if not data["trained_on_these"]:
        if trained_tiles:
            return (
                f"The run was trained on the ground that {trained_tiles} of these tiles show: the scores measure memory in part.",
                True,
            )
        if trained_tiles == 0:
            return "These are other tiles than the run was trained on, and none shows ground that it was trained on.", False
        return (
            "These are not the tiles that the run was trained on (their fingerprints differ). Whether they show ground that it was "
            "trained on is unknown; if they do, the scores measure memory.",
            True,
        )
    if split == "train":
        return "The run was trained on exactly these tiles: the scores measure memory.", True
    if data["split_method"] == "random":
        return (
            f"The run was not trained on tiles of split {split}, but the tiles were split at random, so it was trained on "
            "neighbours of nearly all of them: the scores measure memory in part.",
            True,
        )
    if split == "val":
        return "The run was not trained on these tiles, but they chose its best checkpoint.", False
    return f"The run was trained on other tiles of this set; split {split} was kept out of its training.", False


def unfinished(done: int, planned: int) -> str:
    """What has to be said of a run that was not trained to its end."""
    return f"Unfinished: {done} of {planned} epochs. What is shown of it is where it stands."
