"""What a generator makes of tiles: each in the style of its own place, with noise of its own."""

import numpy as np

from orthoforge.generation.chosen_styles import own_style
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import TrainedGenerator

# Seeds below this give no tile the noise of another: tile 17 with seed 2 is generated with seed 17 000 002.
SEEDS_APART = 1_000_000


def tile_seed(seed: int, tile_id: int) -> int:
    """The seed that a tile's image is generated with. With one for all, one pattern of noise would lie over every tile."""
    return seed + SEEDS_APART * tile_id


class TileImages:
    """Images of masks in the style of their place, never of the tile's own image.

    Of a place that the run does not know, and from networks without styles, an image is what the generator itself makes; so is
    every image of a generator that was given a style (``TrainedGenerator.with_style``).
    """

    def __init__(self, generator: TrainedGenerator) -> None:
        self.generator = generator
        self._has_its_own = bool(own_style(generator).name)
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
