"""Several masks in one forward pass: each image is that of its mask alone, to within one level."""

import numpy as np
import pytest

from conftest import make_mask
from orthoforge.config import load_recipe
from orthoforge.errors import DataError
from orthoforge.trained_generator import load_generator
from saved_runs import RECIPE, save_run

STYLED = load_recipe("orthoforge-s", generator_width=2, discriminator_width=2)
UNET = load_recipe("pix2pix-unet", generator_width=1, discriminator_width=1)
MASKS = [make_mask((40, 56), seed=seed) for seed in range(3)]
SEEDS, ORIGINS = [5, 6, 5], [(0, 0), (3, 4), (160, 16)]


@pytest.mark.parametrize(
    ("recipe", "places"), [(RECIPE, None), (STYLED, ["north", "south"]), (UNET, None)], ids=["norm", "styles", "unet"]
)
def test_an_image_is_the_same_among_others(tmp_path, recipe, places):
    generator = load_generator(save_run(tmp_path, recipe, places=places))
    alone = [generator(mask, seed=seed, origin=origin) for mask, seed, origin in zip(MASKS, SEEDS, ORIGINS, strict=True)]
    together = generator.together(MASKS, seeds=SEEDS, origins=ORIGINS)
    for one, other in zip(alone, together, strict=True):
        assert one.shape == other.shape == (40, 56, 3)
        assert np.abs(one.astype(int) - other).max() <= 1
    if places:  # an untrained network without styles answers in greys that no noise changes
        assert (together[0] != generator.together(MASKS, seeds=[9, 6, 5], origins=ORIGINS)[0]).any()


def test_values_of_no_mask_are_refused(tmp_path):
    generator = load_generator(save_run(tmp_path))
    with pytest.raises(DataError):
        generator.together([np.full((40, 40), 37, np.uint8)], seeds=[0], origins=[(0, 0)])
