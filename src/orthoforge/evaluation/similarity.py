"""Structural similarity at one scale and at five, in one go: pure functions on tensors."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from orthoforge.evaluation.metrics import SSIM_WINDOW_PX

_SIGMA = 1.5
# The matrix of windows is nearly all zeros; in strips of so many places half of the arithmetic falls away.
_STRIP_PX = 32
_C1, _C2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2  # values have a range of 2
# Exponents of the scales, fine to coarse: Wang et al. 2003.
_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
# At the coarsest scale a window must still fit.
MS_SSIM_LEAST_PX = SSIM_WINDOW_PX * 2 ** (len(_EXPONENTS) - 1)


def ssim_and_ms_ssim(fake: Tensor, real: Tensor) -> tuple[Tensor, Tensor | None]:
    """SSIM (N,) as ``metrics.ssim`` has it, and MS-SSIM (N,), for images (N, C, H, W) in [-1, 1].

    MS-SSIM (Wang et al. 2003, eq. 7) multiplies contrast and structure of five scales, each half as fine as the one before, and
    brightness of the coarsest; bands are averaged. It is ``None`` for images below ``MS_SSIM_LEAST_PX`` px. Negative factors count
    as 0: they have no real power. Windows are summed by matrix products, several times as fast as convolutions on a CPU.
    """
    fake, real = fake.float() + 1, real.float() + 1
    similarity, structure = _means(fake, real)
    if min(fake.shape[2:]) < MS_SSIM_LEAST_PX:
        return similarity.mean(dim=1), None
    product = structure.clamp(min=0) ** _EXPONENTS[0]
    for exponent in _EXPONENTS[1:-1]:
        fake, real = F.avg_pool2d(fake, 2), F.avg_pool2d(real, 2)
        product = product * _means(fake, real)[1].clamp(min=0) ** exponent
    coarsest = _means(F.avg_pool2d(fake, 2), F.avg_pool2d(real, 2))[0]
    return similarity.mean(dim=1), (product * coarsest.clamp(min=0) ** _EXPONENTS[-1]).mean(dim=1)


def _means(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Similarity, and its part without brightness, of each band (N, C): means over places where the whole window lies inside."""
    bands = x.shape[1]
    sums = _filtered(_filtered(torch.cat([x, y, x * x, y * y, x * y], dim=1), 2), 3)
    mean_x, mean_y, xx, yy, xy = sums.split(bands, dim=1)
    structure = (2 * (xy - mean_x * mean_y) + _C2) / (xx - mean_x * mean_x + yy - mean_y * mean_y + _C2)
    brightness = (2 * mean_x * mean_y + _C1) / (mean_x * mean_x + mean_y * mean_y + _C1)
    return (brightness * structure).mean(dim=(2, 3)), structure.mean(dim=(2, 3))


def _filtered(images: Tensor, axis: int) -> Tensor:
    """Weighted sums of windows along axis 2 or 3 of (N, C, H, W), where the whole window lies inside."""
    places = images.shape[axis] - SSIM_WINDOW_PX + 1
    parts = []
    for begin in range(0, places, _STRIP_PX):
        windows = _windows(min(_STRIP_PX, places - begin)).to(images)
        strip = images.narrow(axis, begin, windows.shape[1])
        parts.append(windows @ strip if axis == 2 else strip @ windows.T)
    return torch.cat(parts, dim=axis)


@lru_cache
def _windows(places: int) -> Tensor:
    """(places, places + 10): each row a Gaussian window at its place."""
    window = torch.exp(-((torch.arange(SSIM_WINDOW_PX) - SSIM_WINDOW_PX // 2) ** 2) / (2 * _SIGMA**2))
    matrix = torch.zeros(places, places + SSIM_WINDOW_PX - 1)
    for row in range(places):
        matrix[row, row : row + SSIM_WINDOW_PX] = window / window.sum()
    return matrix
