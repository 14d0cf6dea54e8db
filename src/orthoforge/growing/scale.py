"""The scale at which a run knows masks."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """The resolution of a scene's tiles: their pixels are ``px`` scene pixels long, ``gsd_m`` metres where that is known."""

    px: float = 1.0
    gsd_m: float | None = None
