"""What the 2021 project saw, where it shows without training or within seconds; bench/phenomena measures the rest."""

import random

import numpy as np
import pytest
import torch

from conftest import make_mask
from orthoforge.config import load_recipe
from orthoforge.measures.spectra import checkerboard, checkerboard_levels
from orthoforge.models.conditions import encode_mask
from orthoforge.networks import build_generator
from orthoforge.training.schedules import learning_rates, standings_after


def masks_of(*sides_px, count=4):
    return encode_mask(torch.from_numpy(np.stack([make_mask(sides_px, seed=seed) for seed in range(count)])), None)


def generator(norm="batch", upsample="transposed", *, seed=0):
    torch.manual_seed(seed)
    return build_generator("resnet6", 3, width=8, norm=norm, upsample=upsample)


@pytest.fixture(scope="module")
def upsampled_empty_area():
    """What generators with initial weights and settled batch norms make of a mask without buildings, by upsampling."""
    areas = {}
    with torch.no_grad():
        for upsample in ("transposed", "resize"):
            network = generator(upsample=upsample)
            for _ in range(30):  # the running statistics are initial values until batches were seen
                network(masks_of(48, 48))
            areas[upsample] = network.eval()(torch.full((1, 3, 160, 160), -1.0))[..., 48:-48, 48:-48]
    return areas


def test_transposed_convolution_leaves_a_checkerboard_in_an_empty_area(upsampled_empty_area):
    assert checkerboard(upsampled_empty_area["transposed"]).item() > 10
    assert checkerboard(upsampled_empty_area["transposed"], period_px=2).item() > 10
    assert checkerboard_levels(upsampled_empty_area["transposed"]).item() > 0.1


def test_resize_convolution_leaves_none(upsampled_empty_area):
    assert checkerboard(upsampled_empty_area["resize"]).item() == pytest.approx(1, abs=0.01)
    assert checkerboard_levels(upsampled_empty_area["resize"]).item() < 1e-3


def colour_shift(network):
    """How far, in grey levels, the mean colours of two masks move when other masks stand beside them."""
    same, sparse = masks_of(48, 48, count=2), torch.full((2, 3, 48, 48), -1.0)
    with torch.no_grad():
        first, second = (network(torch.cat([same, others]))[:2].mean(dim=(2, 3)) for others in (sparse, -sparse))
    return 127.5 * (first - second).abs().mean().item()


@pytest.mark.parametrize("norm", ["instance", "group"])
def test_instance_and_group_norms_colours_do_not_depend_on_the_batch(norm):
    assert colour_shift(generator(norm)) < 1e-3


def test_batch_norms_colours_depend_on_the_batch_in_training_mode_alone():
    network = generator("batch")
    assert colour_shift(network) > 0.3
    assert colour_shift(network.eval()) < 1e-3


def rates_of_a_gan_that_learns_no_more(name, epochs=400):
    """The generator's rate by epoch when losses and scores stand still under the noise of a small set."""
    recipe, draw = load_recipe(name), random.Random(0)
    standings, rates = {}, []
    for epoch in range(epochs):
        rates.append(learning_rates(recipe, epoch=epoch, step=epoch, standings=standings)[0])
        row = {"loss_g": draw.gauss(20, 0.5), "loss_d": draw.gauss(0.06, 0.01), "ssim": draw.gauss(0.3, 0.01)}
        standings = standings_after(recipe, standings, row)
    return rates


def test_the_plateau_of_2021_drives_its_rate_to_nothing_and_the_one_that_works_stops_at_its_floor():
    falling, held = (rates_of_a_gan_that_learns_no_more(name) for name in ("plateau", "plateau-floor"))
    assert falling[0] == held[0] == 2e-4
    assert falling[60] < 1e-7
    assert falling[-1] < 1e-40
    assert min(held) == held[-1] == pytest.approx(2e-6)
    assert held[60] > 2e-5
