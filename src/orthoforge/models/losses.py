"""Losses: pure functions from tensors to a scalar."""

import torch
import torch.nn.functional as F
from torch import Tensor


def lsgan_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Least squares, real towards 1 and fake towards 0, both terms averaged (Mao et al. 2017, eq. 9 with a=0, b=1)."""
    return (F.mse_loss(real_logits, torch.ones_like(real_logits)) + F.mse_loss(fake_logits, torch.zeros_like(fake_logits))) / 2


def lsgan_generator(fake_logits: Tensor) -> Tensor:
    """Least squares, fake towards 1 (Mao et al. 2017, eq. 9 with c=1, without its factor ½, as in the seed)."""
    return F.mse_loss(fake_logits, torch.ones_like(fake_logits))


def l1(fake: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference (Isola et al. 2017, eq. 3)."""
    return F.l1_loss(fake, real)
