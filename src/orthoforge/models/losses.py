"""Losses: pure functions from tensors to a scalar.

Of the adversarial ones, ``…_discriminator(real_logits, fake_logits)`` is what D minimises and ``…_generator(fake_logits)`` what
G minimises. Logits are those of any discriminator, one for a patch, (N, 1, h, w).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

COLOUR_CELL_PX = 16
_LEAST_COVERED = 0.02


class GanLoss(NamedTuple):
    """Both sides of an adversarial game."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    """Of the logits of real and of fake images, in this order."""
    generator: Callable[[Tensor], Tensor]
    """Of the logits of fake images."""


def lsgan_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Least squares, real towards 1 and fake towards 0, both terms averaged (Mao et al. 2017, eq. 9 with a=0, b=1)."""
    return (F.mse_loss(real_logits, torch.ones_like(real_logits)) + F.mse_loss(fake_logits, torch.zeros_like(fake_logits))) / 2


def lsgan_generator(fake_logits: Tensor) -> Tensor:
    """Least squares, fake towards 1 (Mao et al. 2017, eq. 9 with c=1, without its factor ½, as in the seed)."""
    return F.mse_loss(fake_logits, torch.ones_like(fake_logits))


def vanilla_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """−log D(real) − log(1 − D(fake)) (Goodfellow et al. 2014, eq. 1), halved as in pix2pix (Isola et al. 2017, section 3.3).

    D is the logits' sigmoid, and −log σ(x) = softplus(−x), which overflows nowhere.
    """
    return (F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()) / 2


def vanilla_generator(fake_logits: Tensor) -> Tensor:
    """−log D(fake), the form that does not saturate (Goodfellow et al. 2014, end of section 3)."""
    return F.softplus(-fake_logits).mean()


def hinge_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Real above 1 and fake below −1, no more is asked (Lim & Ye 2017; Miyato et al. 2018, eq. 16)."""
    return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()


def hinge_generator(fake_logits: Tensor) -> Tensor:
    """Fake as high as it goes (Lim & Ye 2017; Miyato et al. 2018, eq. 17)."""
    return -fake_logits.mean()


def wgan_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """How much higher fake is than real: minus the Wasserstein distance, once D is 1-Lipschitz (Arjovsky et al. 2017, eq. 2).

    Without bound from below: add a multiple of ``gradient_penalty``.
    """
    return fake_logits.mean() - real_logits.mean()


def wgan_generator(fake_logits: Tensor) -> Tensor:
    """Fake as high as it goes (Arjovsky et al. 2017, algorithm 1)."""
    return -fake_logits.mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """How far the critic's slope is from 1 between real and fake: the mean of (‖∇‖₂ − 1)² (Gulrajani et al. 2017, eq. 3).

    ``critic`` takes images (N, C, H, W) to logits, (N, 1, h, w) or (N,). An image's score is the mean of its logits, as in
    ``wgan_discriminator``, so that the slope is that of the very function whose distance is taken. ``mix`` (N, 1, 1, 1), uniform
    in [0, 1], is the share of the real image. Differentiable by the critic's weights, and by them alone. Calculated in float32,
    also under autocast.

    Each image needs a slope of its own: a critic with batch norm in training has none (section 4 there).
    """
    with torch.autocast(real.device.type, enabled=False):
        between = (mix * real.detach().float() + (1 - mix) * fake.detach().float()).requires_grad_()
        scores = critic(between).float().reshape(len(between), -1).mean(dim=1)  # (N,)
        (slopes,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
        return (slopes.flatten(start_dim=1).norm(dim=1) - 1).square().mean()


def oasis_discriminator(real_logits: Tensor, fake_logits: Tensor, classes: Tensor, batch: Tensor | None = None) -> Tensor:
    """Tell what each cell of a real image shows, and all of a fake one to be fake (Schönfeld et al. 2021, eq. 1, OASIS).

    Logits (N, classes + 1, h, w), the last for fake; ``classes`` (N, classes, H, W) is the mask, of which a cell takes the shares.
    Where these images are a part of a batch, ``batch`` (M, classes, H, W) are all of its masks.
    """
    fake = F.cross_entropy(fake_logits, torch.full_like(fake_logits[:, 0], fake_logits.shape[1] - 1, dtype=torch.long))
    return _as_the_mask_says(real_logits, classes, batch) + fake


def oasis_generator(fake_logits: Tensor, classes: Tensor, batch: Tensor | None = None) -> Tensor:
    """Let every cell be taken for what the mask says, and for real with that (Schönfeld et al. 2021, eq. 2)."""
    return _as_the_mask_says(fake_logits, classes, batch)


def oasis(classes: Tensor, batch: Tensor | None = None) -> GanLoss:
    """Both sides of OASIS for images whose masks are ``classes`` (N, classes, H, W); ``batch`` as the discriminator's has it."""
    discriminator = partial(oasis_discriminator, classes=classes, batch=batch)
    return GanLoss(discriminator, partial(oasis_generator, classes=classes, batch=batch))


def _as_the_mask_says(logits: Tensor, classes: Tensor, batch: Tensor | None) -> Tensor:
    """Cross entropy with the classes' shares of each cell, each class weighted by the inverse of what it covers of the batch.

    As in OASIS, but so that weights are 1 in the mean, and a class that covers less than a fiftieth weighs no more than
    one that covers a fiftieth: in a batch with one roof's corner, that corner would else be half of the loss.
    """
    side = logits.shape[2], logits.shape[3]
    shares = F.adaptive_avg_pool2d(classes, side)
    covered = (shares if batch is None else F.adaptive_avg_pool2d(batch, side)).mean(dim=(0, 2, 3))
    weights = 1 / (covered.clamp(min=_LEAST_COVERED) * (covered > 0).sum())
    told = F.log_softmax(logits, dim=1)[:, :-1]
    return -(shares * weights[:, None, None] * told).sum(dim=1).mean()


def over_scales(loss: Callable[..., Tensor], *logits: Tensor | tuple[Tensor, ...]) -> Tensor:
    """``loss`` of a discriminator's logits; where it judges at several scales, the mean over them."""
    if isinstance(logits[0], Tensor):
        return loss(*logits)
    return torch.stack([loss(*scale) for scale in zip(*logits, strict=True)]).mean()


def colour_l1(fake: Tensor, real: Tensor, cell_px: int = COLOUR_CELL_PX) -> Tensor:
    """Mean absolute difference between the mean colours of cells: it asks for the right colours and leaves texture free."""
    return F.l1_loss(F.avg_pool2d(fake, cell_px), F.avg_pool2d(real, cell_px))


def l1(fake: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference (Isola et al. 2017, eq. 3)."""
    return F.l1_loss(fake, real)


GAN_LOSSES: dict[str, GanLoss] = {
    "lsgan": GanLoss(lsgan_discriminator, lsgan_generator),
    "vanilla": GanLoss(vanilla_discriminator, vanilla_generator),
    "hinge": GanLoss(hinge_discriminator, hinge_generator),
    "wgan-gp": GanLoss(wgan_discriminator, wgan_generator),
}
