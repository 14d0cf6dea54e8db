"""Which styles a generator remembers of its training tiles, by place."""

import numpy as np
import torch
from torch import nn

from orthoforge.config import Recipe
from orthoforge.models.conditions import encode_image
from orthoforge.models.modulated import ModulatedGenerator
from orthoforge.models.styles import KEPT
from orthoforge.tiles.store import TileStore, centre_batch
from orthoforge.training.batches import training_ids


def places_of(store: TileStore) -> list[str]:
    """The places of the training tiles, sorted: those of the rows of a style bank."""
    return sorted({store.rows[tile_id].place for tile_id in store.ids("train").tolist()})


def remember_styles(generator: nn.Module, averaged: nn.Module, recipe: Recipe, store: TileStore) -> None:
    """Fill the style banks of ``generator`` and its ``averaged`` copy with codes of training tiles, as the copy sees them.

    Of each place as many tiles as the bank holds, spread over them; fewer are taken in turn.
    """
    assert isinstance(averaged, ModulatedGenerator) and isinstance(generator, ModulatedGenerator)
    device = averaged.styles.codes.device
    encoder = averaged.style_encoder.eval()
    ids = training_ids(store, recipe)
    with torch.inference_mode():
        for number, place in enumerate(places_of(store)):
            of_place = np.array([tile_id for tile_id in ids.tolist() if store.rows[tile_id].place == place], np.int64)
            if not len(of_place):
                continue
            chosen = of_place[np.linspace(0, len(of_place) - 1, min(KEPT, len(of_place))).astype(int)]
            images = centre_batch(store, chosen, crop_px=recipe.crop_px).image
            codes = torch.cat([encoder(encode_image(torch.from_numpy(image[None])).to(device)) for image in images])
            averaged.styles.codes[number] = codes[torch.arange(KEPT, device=device) % len(codes)]
        generator.styles.codes.copy_(averaged.styles.codes)
    encoder.train()
