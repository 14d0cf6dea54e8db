"""Which styles a generator remembers of its training tiles, by place."""

import numpy as np
import torch

from orthoforge.config import Recipe
from orthoforge.models.conditions import encode_mask
from orthoforge.models.generator import Generator
from orthoforge.models.remembering import remembered, style_of_tiles
from orthoforge.tiles.store import TileStore
from orthoforge.training.batches import training_ids
from orthoforge.training.places import places_of


def remember_styles(generator: Generator, averaged: Generator, recipe: Recipe, store: TileStore) -> None:
    """Fill the style banks of ``generator`` and its ``averaged`` copy with training tiles: codes as the copy sees their middle, and
    the colours of their roofs, and their ground.

    Of each place as many tiles as the bank holds, spread over them; fewer are taken in turn.
    """
    bank, encoder = averaged.styles, averaged.style_encoder
    assert bank is not None and encoder is not None and generator.styles is not None
    encoder.eval()
    ids = training_ids(store, recipe).tolist()
    for number, place in enumerate(places_of(store)):
        chosen = remembered([tile_id for tile_id in ids if store.rows[tile_id].place == place])
        if not chosen:
            continue
        images, masks = map(np.stack, zip(*map(store.tile, chosen), strict=True))
        condition = encode_mask(torch.from_numpy(masks), store.class_count)
        bank.keep(number, style_of_tiles(averaged, images, condition, middle_px=recipe.crop_px, seeds=chosen))
    generator.styles.load_state_dict(bank.state_dict())
    encoder.train()
