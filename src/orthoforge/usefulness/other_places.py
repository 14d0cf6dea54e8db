"""Few real tiles, and a generator that knows other places: images of its own masks and material, in the histograms of the tiles."""

import hashlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from orthoforge.masks.turned import mirrored_to, turned_mask
from orthoforge.tiles import manifest
from orthoforge.tiles.store import TileStore
from orthoforge.tiles.subset import training_on
from orthoforge.trained_generator import TrainedGenerator
from orthoforge.usefulness.made_tiles import Wanted, make_tiles

# Images of each real tile, and of few tiles more, so that a training of a few hundred steps does not see each too often.
_OF_EACH, _LEAST = 4, 128
# Changes when the same subset and seed give other images.
_FORMAT = 1
_SEEDS_APART = 1_000_000


def tiles_of_other_places(
    generator: TrainedGenerator, store: TileStore, subset: np.ndarray, folder: Path, *, most: int, seed: int
) -> TileStore:
    """Images of the masks of the generator's own library, ``most`` at most, in a folder of ``folder`` of their own.

    Each mask is turned and shifted, and its image has the style of its own place and the histograms of one of ``subset``'s tiles.
    A function of the generator, the tiles and their subset, and ``seed``; what is there is kept. ``generator`` has a library; what
    this raises is what ``TrainedGenerator.with_histograms`` raises.
    """
    library = generator.library
    assert library is not None
    own = training_on(store, subset)
    said = [_FORMAT, generator.canvases_by, generator.sha256, own.fingerprint, most, seed]
    at = folder / hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
    if (at / manifest.STORE).is_file():
        return TileStore.open(at)
    train = own.ids("train").tolist()
    count = min(most, max(_LEAST, _OF_EACH * len(train)))
    order = np.random.default_rng(seed).permutation(len(library)).tolist()
    wanted = []
    for copy in range(count):
        number = order[copy % len(order)]
        place = library.place_names[library.places[number]]
        mask = partial(_turned, library.mask_values(number), store.size_px, (number, seed, copy))
        # What a row says of ground is that of a tile of the subset: these images lie nowhere.
        row = own.rows[train[copy % len(train)]]
        wanted.append(Wanted(f"{place}-other-{copy}", replace(row, place=place), mask, _SEEDS_APART * seed + copy))
    return make_tiles(generator.with_histograms(own), own, wanted, at)


def _turned(values: np.ndarray, size_px: int, key: tuple[int, ...]) -> np.ndarray:
    """A copy of a library's mask that is no copy to the eye, as large as the real tiles."""
    return np.ascontiguousarray(turned_mask(mirrored_to(values, size_px), *key)[:size_px, :size_px])
