"""Losses, by hand with three numbers each."""

import pytest
import torch

from orthoforge.models.losses import l1, lsgan_discriminator, lsgan_generator


def test_the_discriminator_wants_real_at_1_and_fake_at_0_and_averages_both():
    real, fake = torch.tensor([1.0, 0.5, -1.0]), torch.tensor([0.0, 0.5, 2.0])
    real_term = (0 + 0.25 + 4) / 3
    fake_term = (0 + 0.25 + 4) / 3
    assert lsgan_discriminator(real, fake).item() == pytest.approx((real_term + fake_term) / 2)
    assert lsgan_discriminator(torch.tensor([1.0]), torch.tensor([0.0])) == 0
    assert lsgan_discriminator(torch.tensor([0.0]), torch.tensor([0.0])) == 0.5


def test_the_terms_of_the_discriminator_weigh_the_same_whatever_their_sizes():
    assert lsgan_discriminator(torch.tensor([0.0]), torch.zeros(100)).item() == 0.5


def test_the_generator_wants_fake_at_1_without_a_factor_of_one_half():
    assert lsgan_generator(torch.tensor([1.0, 0.0, 3.0])).item() == pytest.approx((0 + 1 + 4) / 3)


def test_l1_is_the_mean_absolute_difference():
    assert l1(torch.tensor([0.0, 1.0, -2.0]), torch.tensor([0.5, -1.0, -2.0])).item() == pytest.approx(2.5 / 3)
