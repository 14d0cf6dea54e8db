"""How large a demo is."""

from dataclasses import dataclass

from orthoforge.scenes.simulate import PLACES


@dataclass(frozen=True)
class Extent:
    """How much is simulated, and how it is cut."""

    places: tuple[str, ...] = tuple(PLACES)
    scenes_per_place: int = 5
    """The last of each place becomes no tile: it is for looking at what was learnt."""
    scene_px: int = 480
    gsd_m: float = 0.6
    """Of scenes and tiles alike, so that a scene's mask is on the scale that the run was trained at."""
    tile_px: int = 160
    seed: int = 0
