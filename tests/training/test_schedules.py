"""Learning rates: the seed's to the digit, torch's plateau as the reference, and what a plateau does with a noisy score."""

import random

import pytest
import torch

from orthoforge.config import load_recipe
from orthoforge.training.schedules import (
    PLATEAU_2021,
    Plateau,
    Standing,
    epoch_factor,
    learning_rates,
    standing_after,
    standings_after,
)


def rates(recipe, epoch=0, step=10**9, standings=None):
    return learning_rates(recipe, epoch=epoch, step=step, standings=standings or {})


@pytest.mark.parametrize(
    ("epoch", "factor"), [(0, 1), (448, 1), (449, 1), (450, 1 - 1 / 451), (674, 1 - 225 / 451), (899, 1 - 450 / 451)]
)
def test_linear_is_constant_and_then_falls_as_the_seeds_did(epoch, factor):
    assert rates(load_recipe("baseline"), epoch) == pytest.approx((2e-4 * factor,) * 2, abs=1e-15)


def test_cosine_falls_from_1_over_a_half_in_the_middle_towards_0_and_never_rises():
    recipe = load_recipe("baseline", schedule="cosine", epochs=10, decay_epochs=99)
    factors = [epoch_factor(recipe, epoch) for epoch in range(recipe.total_epochs)]
    assert factors[:10] == [1] * 10
    assert factors[59] == pytest.approx(0.5)
    assert factors == sorted(factors, reverse=True)
    assert 0 < factors[-1] < 1e-3


def test_step_is_a_tenth_every_so_many_epochs():
    recipe = load_recipe("baseline", schedule="step", step_epochs=30)
    assert [epoch_factor(recipe, epoch) for epoch in (0, 29, 30, 59, 60)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])


@pytest.mark.parametrize("schedule", ["linear", "plateau"])
def test_warm_up_rises_by_steps_and_then_leaves_the_schedule_alone(schedule):
    recipe = load_recipe("baseline", warmup_steps=4, schedule=schedule)
    assert [rates(recipe, step=step)[0] / 2e-4 for step in range(6)] == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


@pytest.mark.parametrize("seed", range(5))
def test_the_seeds_plateau_is_torchs(seed):
    draw = random.Random(seed)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.2, threshold=0.01, patience=5, eps=0)
    ours, level = Standing(), 5.0
    for _ in range(80):
        level *= draw.choice([0.97, 1.0, 1.01])
        theirs.step(level)
        ours = standing_after(PLATEAU_2021, ours, level)
        assert ours.factor == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
    assert ours.factor < 1


def test_the_seeds_plateau_feeds_each_network_with_its_own_loss_and_has_no_floor():
    recipe, standings = load_recipe("plateau"), {}
    for epoch in range(60):
        standings = standings_after(recipe, standings, {"loss_g": 10 * 0.95**epoch, "loss_d": 0.25, "ssim": 0.1})
    generator, discriminator = rates(recipe, 60, standings=standings)
    assert generator == 2e-4, "its loss fell all the time"
    assert discriminator == pytest.approx(2e-4 * 0.2**9)


def test_the_working_plateau_goes_by_validation_waits_out_noise_and_stops_at_a_floor():
    recipe, draw = load_recipe("plateau-floor"), random.Random(0)
    standings, factors = {}, []
    for epoch in range(300):
        ssim = 0.1 + 0.2 * min(1, epoch / 80) + draw.gauss(0, 0.01)  # rises for 80 epochs, under noise of five epochs' rise
        standings = standings_after(recipe, standings, {"loss_g": 10.0, "loss_d": 0.25, "ssim": ssim})
        factors.append(rates(recipe, epoch, standings=standings)[0] / recipe.learning_rate)
    assert factors[79] == 1, "while it improves the rate stays, though the losses stand still"
    assert factors[-1] == pytest.approx(0.01)
    assert rates(recipe, standings=standings)[0] == rates(recipe, standings=standings)[1]


def test_a_score_below_0_improves_by_growing_in_size():
    plateau = Plateau(cut=0.5, patience=0, threshold=0.01, floor=0.0)
    standing = standing_after(plateau, Standing(), -1.0)
    assert standing_after(plateau, standing, -1.1).factor == 1
    assert standing_after(plateau, standing, -1.005).factor == 0.5


def test_other_schedules_keep_no_standing():
    assert standings_after(load_recipe("baseline"), {}, {"loss_g": 1.0, "loss_d": 1.0, "ssim": 0.1}) == {}
