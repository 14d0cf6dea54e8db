"""Scores of a generated image against the real one: pure functions on tensors."""

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

# 10·log10(2²): the seed put images in [-1, 1] into the formula for [0, 1].
SEED_PSNR_OFFSET_DB = 6.020599913279624
SSIM_WINDOW_PX = 11


def psnr(fake: Tensor, real: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB (N,), for images (N, C, H, W) in [-1, 1], so with a range of 2.

    The seed's figure, ``psnr_seed``, is ``SEED_PSNR_OFFSET_DB`` lower. Equal images give infinity.
    """
    mse = (fake.float() - real.float()).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(4 / mse)


def ssim(fake: Tensor, real: Tensor) -> Tensor:
    """Structural similarity of each image (N,), for images (N, C, H, W) in [-1, 1], H and W above 10.

    Wang et al. 2004: Gaussian window of 11 px with σ 1.5, K1 0.01, K2 0.03, on values counted from black as the paper's are (its
    brightness term is a ratio, and makes no sense around 0); mean over bands and over all places where the whole
    window lies in the image (torchmetrics' own mean also counts the border, where half of it is a reflection).
    """
    scores = structural_similarity_index_measure(
        fake.float() + 1, real.float() + 1, data_range=2.0, reduction="none", return_full_image=True
    )
    assert isinstance(scores, tuple)
    margin = SSIM_WINDOW_PX // 2
    return scores[1][..., margin:-margin, margin:-margin].mean(dim=(1, 2, 3))


def detail(image: Tensor) -> Tensor:
    """Mean absolute difference between neighbouring pixels, across and down, of each image: (N, C, H, W) to (N,).

    Sharpness without a reference: 0 for a flat image. A blurred image has less than the real one, a checkerboard more.
    """
    image = image.float()
    down, across = (image.diff(dim=axis).abs().mean(dim=(1, 2, 3)) for axis in (2, 3))
    return (down + across) / 2
