"""Structural similarity: pure functions on tensors.

Two ways to one figure, equal to the fourth digit. Reports take ``ssim_and_ms_ssim``, several times as fast. Training records
``validation_ssim``, and keeps the checkpoint in which it is highest: it stays what it was to the bit, so that a run that goes on
compares with its own past.
"""

from functools import lru_cache

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

SSIM_WINDOW_PX = 11
_SIGMA = 1.5
# The matrix of windows is nearly all zeros; in strips of so many places half of the arithmetic falls away.
_STRIP_PX = 32
# Bands are taken so many pixels at a time, of which all that comes between lies in the cache.
_PIXELS_AT_A_TIME = 200_000
_C1, _C2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2  # values have a range of 2
# Exponents of the scales, fine to coarse: Wang et al. 2003.
_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
# At the coarsest scale a window must still fit.
MS_SSIM_LEAST_PX = SSIM_WINDOW_PX * 2 ** (len(_EXPONENTS) - 1)


def validation_ssim(fake: Tensor, real: Tensor) -> Tensor:
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


def ssim_and_ms_ssim(fake: Tensor, real: Tensor) -> tuple[Tensor, Tensor | None]:
    """SSIM (N,) by the formula of ``validation_ssim``, and MS-SSIM (N,), for images (N, C, H, W) in [-1, 1].

    MS-SSIM (Wang et al. 2003, eq. 7) multiplies contrast and structure of five scales, each half as fine as the one before, and
    brightness of the coarsest; bands are averaged. It is ``None`` for images below ``MS_SSIM_LEAST_PX`` px. Negative factors count
    as 0: they have no real power. Windows are summed by matrix products, several times as fast as convolutions on a CPU.
    """
    images, bands = fake.shape[:2]
    x, y = (both.float().flatten(0, 1) for both in (fake, real))  # (N·C, H, W)
    similarity, structure = _means(x, y)
    if min(fake.shape[2:]) < MS_SSIM_LEAST_PX:
        return similarity.view(images, bands).mean(dim=1), None
    product = structure.clamp(min=0) ** _EXPONENTS[0]
    for exponent in _EXPONENTS[1:-1]:
        x, y = _halved(x), _halved(y)
        product = product * _means(x, y)[1].clamp(min=0) ** exponent
    coarsest = _means(_halved(x), _halved(y))[0]
    product = product * coarsest.clamp(min=0) ** _EXPONENTS[-1]
    return similarity.view(images, bands).mean(dim=1), product.view(images, bands).mean(dim=1)


def _means(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Similarity, and its part without brightness, of bands (M, H, W): means (M,) where the whole window lies inside."""
    together = max(1, _PIXELS_AT_A_TIME // (x.shape[1] * x.shape[2]))
    parts = [_means_of_few(*some) for some in zip(x.split(together), y.split(together), strict=True)]
    similarity, structure = zip(*parts, strict=True)
    return torch.cat(similarity), torch.cat(structure)


def _means_of_few(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """``_means`` through sum and difference, of which four windowed means are enough in place of five.

    2·x·y is half the difference of their squares, x² + y² half the sum, and so it is with products of means and with covariances.
    """
    bands, height, width = x.shape
    fields = x.new_empty(height, 4, bands, width)
    total, apart, total_squared, apart_squared = (field.transpose(0, 1) for field in fields.unbind(dim=1))  # (M, H, W) each
    torch.add(x, y, out=total)
    torch.sub(x, y, out=apart)
    torch.mul(total, total, out=total_squared)
    torch.mul(apart, apart, out=apart_squared)
    filtered = _filtered(fields.flatten(1, 2)).unflatten(1, (4, bands))  # (H', 4, M, W')
    means = filtered[:, :2]
    covariances = filtered[:, 2:] - means.square()
    structure = _ratio(covariances, _C2)
    means[:, 0] += 2  # brightness is counted from black, which is -1 in both
    brightness = _ratio(means.square_(), _C1)
    return (brightness * structure).mean(dim=(0, 2)), structure.mean(dim=(0, 2))


def _ratio(squares: Tensor, constant: float) -> Tensor:
    """(2xy + c) / (x² + y² + c) from (x + y)² and (x - y)², (H', 2, M, W')."""
    total, apart = squares.unbind(dim=1)
    return (total - apart).add_(2 * constant).div_((total + apart).add_(2 * constant))


def _filtered(fields: Tensor) -> Tensor:
    """Weighted sums of windows down and across (H, F, W), where the whole window lies inside: (H - 10, F, W - 10)."""
    height, count, width = fields.shape
    rows, columns = height - SSIM_WINDOW_PX + 1, width - SSIM_WINDOW_PX + 1
    down = fields.new_empty(rows, count * width)
    source = fields.view(height, -1)
    for begin in range(0, rows, _STRIP_PX):
        windows = _windows(min(_STRIP_PX, rows - begin)).to(fields)
        torch.mm(windows, source[begin : begin + windows.shape[1]], out=down[begin : begin + len(windows)])
    across = fields.new_empty(rows * count, columns)
    source = down.view(-1, width)
    for begin in range(0, columns, _STRIP_PX):
        windows = _windows(min(_STRIP_PX, columns - begin)).to(fields)
        torch.mm(source[:, begin : begin + windows.shape[1]], windows.T, out=across[:, begin : begin + len(windows)])
    return across.view(rows, count, columns)


def _halved(bands: Tensor) -> Tensor:
    """Means of 2×2 pixels (M, H/2, W/2); a last odd row or column is left out."""
    bands = bands[:, : bands.shape[1] // 2 * 2, : bands.shape[2] // 2 * 2]
    rows = bands[:, 0::2] + bands[:, 1::2]
    return (rows[..., 0::2] + rows[..., 1::2]).mul_(0.25)


@lru_cache
def _windows(places: int) -> Tensor:
    """(places, places + 10): each row a Gaussian window at its place."""
    window = torch.exp(-((torch.arange(SSIM_WINDOW_PX) - SSIM_WINDOW_PX // 2) ** 2) / (2 * _SIGMA**2))
    matrix = torch.zeros(places, places + SSIM_WINDOW_PX - 1)
    for row in range(places):
        matrix[row, row : row + SSIM_WINDOW_PX] = window / window.sum()
    return matrix
