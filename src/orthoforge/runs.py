"""A run that was opened: its settings, its weights, its curves and its tiles, each read when first asked for, and once."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from orthoforge.checkpoint_state import CheckpointState
from orthoforge.checkpoints import checkpoint_folder, is_pretrained, read_state, recipe_of, run_folder
from orthoforge.config import Recipe
from orthoforge.errors import DataError
from orthoforge.run_files import RunArgs, read_args, read_results
from orthoforge.saved_generator import read_generator
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import TrainedGenerator, require_device


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

    def generator(self, device: str = "cpu") -> TrainedGenerator:
        """The generator of the run, ready to call. ``CheckpointError`` for bytes that changed, ``ConfigError`` for an unknown
        device.
        """
        require_device(device)
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
