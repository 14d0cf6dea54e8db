"""Which styles a generator remembers of its training tiles, by place."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from orthoforge.config import Recipe
from orthoforge.models.colours import Colours
from orthoforge.models.conditions import encode_image, encode_mask
from orthoforge.models.generator import Generator
from orthoforge.models.noise import NoiseField, place_noise
from orthoforge.models.styles import KEPT, Style
from orthoforge.tiles.store import TileStore, centre_batch
from orthoforge.training.batches import training_ids
from orthoforge.training.places import places_of


def remember_styles(generator: Generator, averaged: Generator, recipe: Recipe, store: TileStore) -> None:
    """Fill the style banks of ``generator`` and its ``averaged`` copy with training tiles: codes as the copy sees their middle, and
    the colours of their roofs, and their ground.

    Of each place as many tiles as the bank holds, spread over them; fewer are taken in turn.
    """
    bank, encoder, colours = averaged.styles, averaged.style_encoder, averaged.colours
    assert bank is not None and encoder is not None and colours is not None and generator.styles is not None
    device = bank.codes.device
    encoder.eval()
    ids = training_ids(store, recipe)
    with torch.inference_mode():
        for number, place in enumerate(places_of(store)):
            of_place = np.array([tile_id for tile_id in ids.tolist() if store.rows[tile_id].place == place], np.int64)
            if not len(of_place):
                continue
            chosen = of_place[np.linspace(0, len(of_place) - 1, min(KEPT, len(of_place))).astype(int)]
            images = centre_batch(store, chosen, crop_px=recipe.crop_px).image
            codes = torch.cat([encoder(encode_image(torch.from_numpy(image[None])).to(device)) for image in images])
            bank.keep(number, Style(codes, *_colours(colours, store, chosen.tolist())))
        generator.styles.load_state_dict(bank.state_dict())
    encoder.train()


def _colours(colours: Colours, store: TileStore, tile_ids: Sequence[int]) -> tuple[Tensor, Tensor]:
    """What is kept of the roofs and the ground of whole tiles; which roofs, where a tile has many, is the same each time."""
    images, masks = map(np.stack, zip(*map(store.tile, tile_ids), strict=True))
    place_noise(colours, *(NoiseField(tile_id) for tile_id in tile_ids))
    try:
        return colours.kept(encode_mask(torch.from_numpy(masks), store.class_count), encode_image(torch.from_numpy(images)))
    finally:
        place_noise(colours)
