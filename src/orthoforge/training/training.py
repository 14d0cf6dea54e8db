"""What all parts of one training share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lightning_fabric import Fabric

from orthoforge.config import Recipe
from orthoforge.progress import Progress as Shown
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
    shows_progress: bool = False
    """Whether bars and lines tell how far it is within an epoch; in the first process alone."""

    @property
    def progress(self) -> Progress:
        """Where ``state`` stands; another object after each restoration."""
        return self.state.progress

    def shown(self) -> Shown:
        """Where to tell how far something long is."""
        return Shown(self.recipe.name, hidden=not self.shows_progress)

    @property
    def canvases(self) -> Canvases | None:
        """What is refined, for a recipe with material."""
        return self.material.canvases if self.material else None
