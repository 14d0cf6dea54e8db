"""What all parts of one training share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lightning_fabric import Fabric

from orthoforge.config import Recipe
from orthoforge.tiles.store import Canvases, TileStore
from orthoforge.training.progress import Progress
from orthoforge.training.state import TrainingState
from orthoforge.training.stopping import StopRequest


@dataclass(frozen=True)
class Material:
    """What a training refines: the library as it lies in checkpoints, and its tiles' canvases."""

    payload: bytes
    canvases: Canvases


@dataclass(frozen=True)
class Training:
    """One training under way: built once by ``session.train`` and handed on; only ``state`` changes."""

    fabric: Fabric
    recipe: Recipe
    store: TileStore
    """What it learns from."""
    state: TrainingState
    out: Path
    """The run folder."""
    stop: StopRequest = field(default_factory=StopRequest)
    say: Callable[[str], None] = print
    """Tells the user; in the first process alone, and not when that is to be quiet."""
    trackers: Sequence[str] = ()
    material: Material | None = None

    @property
    def progress(self) -> Progress:
        """Where ``state`` stands; another object after each restoration."""
        return self.state.progress

    @property
    def canvases(self) -> Canvases | None:
        """What is refined, for a recipe with material."""
        return self.material.canvases if self.material else None
