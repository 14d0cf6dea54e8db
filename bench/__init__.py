"""Every figure in the README and docs is printed by a script in this folder; ``python -m bench`` runs those that take minutes."""

from pathlib import Path

from orthoforge.scenes.simulate import simulate
from orthoforge.tiles.prepare import prepare
from orthoforge.tiles.store import TileStore


def small_store(folder: Path, *, size_px: int) -> TileStore:
    """A few tiles of the simulated town below ``folder``."""
    simulate(folder / "scenes", places=("arden", "brennau"), scenes_per_place=2, size_px=2 * size_px, gsd_m=0.6)
    return prepare(folder / "scenes", folder / "tiles", grid=2, size=size_px, split="random")
