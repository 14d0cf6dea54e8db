"""Spectra of images: how much fine detail they hold, and whether a network's upsampling left its pattern in them.

A transposed convolution of stride 2 treats odd and even pixels differently (Odena et al. 2016, "Deconvolution and checkerboard
artifacts"). Two of them, one after the other, leave a pattern that repeats every 4 pixels. Whatever repeats so has all its power at
the multiples of a quarter cycle per pixel: single peaks in a spectrum that is otherwise smooth.
"""

import torch
from torch import Tensor

PERIOD_PX = 4
# Variance of rounding to 8 bits: what lies below cannot be seen in a file, and a flat image's spectrum is not divided by zero.
ROUNDING_POWER = (2 / 255) ** 2 / 12
# The Hann window widens a peak to its next bins, and no further; from the second bin on lies what it stands out from.
_NEIGHBOURS = (2, 4)
_TWO_PERIODS = 2 * PERIOD_PX * (_NEIGHBOURS[1] + 1)


def power_spectrum(images: Tensor) -> Tensor:
    """Power by frequency (N, H, W) of images (N, C, H, W), mean over the bands; ``[:, 0, 0]`` is frequency 0, as in ``torch.fft``.

    Each band's mean is taken off, and a Hann window keeps what does not repeat at the border from leaking everywhere. White noise
    has its variance everywhere, on average.
    """
    images = images.double()
    height, width = images.shape[2:]
    window = _hann(height)[:, None] * _hann(width)[None, :]
    mean = (images * window).sum(dim=(2, 3), keepdim=True) / window.sum()
    spectrum = torch.fft.fft2((images - mean) * window).abs().square() / window.square().sum()
    return spectrum.mean(dim=1)


def radial_spectrum(images: Tensor) -> tuple[Tensor, Tensor]:
    """Frequencies (K,) in cycles per pixel, and power (N, K) of images (N, C, H, W) on rings around frequency 0.

    Rings are one cycle per shorter side wide, from the first to the spectrum's corners at 0.7.
    """
    return radial_power(power_spectrum(images))


def radial_power(power: Tensor) -> tuple[Tensor, Tensor]:
    """``radial_spectrum`` from spectra (N, H, W) of ``power_spectrum``."""
    shorter = min(power.shape[1:])
    ring = (_radius(power) * shorter).round().long().flatten()
    rings = int(ring.max()) + 1
    counts = torch.bincount(ring, minlength=rings)
    sums = torch.zeros(len(power), rings, dtype=power.dtype).index_add_(1, ring, power.flatten(1))
    filled = (counts > 0) & (torch.arange(rings) > 0)
    return torch.arange(rings)[filled] / shorter, (sums / counts.clamp(min=1))[:, filled]


def fine_detail(images: Tensor, *, coarsest_px: float = 8.0) -> Tensor:
    """Root mean square (N,) of what in images (N, C, H, W) repeats within ``coarsest_px`` or finer, a checkerboard left out.

    Sharpness without a reference, on the scale of the images. Bins around multiples of a quarter cycle per pixel count as much as
    the others do on average: upsampling leaves its pattern there, and it would pass for detail.
    """
    power = power_spectrum(images)
    fine = _radius(power) >= 1 / coarsest_px
    near = torch.zeros_like(fine)
    for row, col in _lattice(*power.shape[1:]):
        near[_around(row, col, power, 1)[1:]] = True
    share_of_spectrum = fine.double().mean()
    return (power[:, fine & ~near].mean(dim=1) * share_of_spectrum).sqrt()


def checkerboard(images: Tensor, *, period_px: int | None = None) -> Tensor:
    """How far a checkerboard stands out of the spectrum, (N,), for images (N, C, H, W) in [-1, 1] of a plain area.

    Mean power at the multiples of a quarter cycle per pixel, by the mean power of the bins around them. 1 is none: white noise, a
    smooth ramp, a texture that repeats otherwise, a flat image. ``period_px`` 2 asks for what repeats every 2 px alone (one
    upsampling: 0 and a half cycle), 4 for the rest. The power of rounding to 8 bits is added to both, so a pattern far too faint
    for a file does not count. Does not depend on brightness. H and W must be multiples of 4, and 40 at least, or ``ValueError``.
    """
    height, width = images.shape[2:]
    if height % PERIOD_PX or width % PERIOD_PX or min(height, width) < _TWO_PERIODS:
        raise ValueError(f"{height}×{width} px; both sides must be multiples of {PERIOD_PX}, and {_TWO_PERIODS} at least")
    return checkerboard_power(power_spectrum(images), period_px=period_px)


def checkerboard_power(power: Tensor, *, period_px: int | None = None) -> Tensor:
    """``checkerboard`` from spectra (N, H, W) of ``power_spectrum``, of images whose sides it can take."""
    power = power + ROUNDING_POWER
    height, width = power.shape[1:]
    nearest, farthest = _NEIGHBOURS
    peaks, surroundings = [], []
    for row, col in _lattice(height, width, period_px):
        square = power[_around(row, col, power, farthest)]
        distance = torch.arange(-farthest, farthest + 1).abs()
        ring = torch.maximum(distance[:, None], distance[None, :]) >= nearest
        peaks.append(power[:, row, col])
        surroundings.append(square[:, ring].mean(dim=1))
    return torch.stack(peaks).mean(dim=0) / torch.stack(surroundings).mean(dim=0)


def checkerboard_levels(images: Tensor) -> Tensor:
    """Root mean square (N,), in grey levels of 255, of what repeats every 4 px in images (N, C, H, W) in [-1, 1].

    The mean of each of the 16 places in a 4×4 cell, over all cells. H and W must be multiples of 4, or ``ValueError``. White noise
    leaves its own size by the root of the number of cells.
    """
    count, bands, height, width = images.shape
    if height % PERIOD_PX or width % PERIOD_PX:
        raise ValueError(f"{height}×{width} px; both sides must be multiples of {PERIOD_PX}")
    cells = images.double().reshape(count, bands, height // PERIOD_PX, PERIOD_PX, width // PERIOD_PX, PERIOD_PX)
    cell = cells.mean(dim=(2, 4))  # (N, C, 4, 4)
    return 127.5 * cell.var(dim=(2, 3), correction=0).mean(dim=1).sqrt()


def _hann(length: int) -> Tensor:
    return torch.hann_window(length, periodic=True, dtype=torch.float64)


def _radius(power: Tensor) -> Tensor:
    """Distance of each bin (H, W) from frequency 0, in cycles per pixel."""
    down, across = (torch.fft.fftfreq(side, dtype=torch.float64) for side in power.shape[1:])
    return torch.hypot(down[:, None], across[None, :])


def _lattice(height: int, width: int, period_px: int | None = None) -> list[tuple[int, int]]:
    """Bins of the multiples of a quarter cycle per pixel, without 0 itself."""
    quarters = [(row, col) for row in range(PERIOD_PX) for col in range(PERIOD_PX) if row or col]
    if period_px is not None:
        quarters = [(row, col) for row, col in quarters if (row % 2 == col % 2 == 0) == (period_px == 2)]
    return [(row * height // PERIOD_PX, col * width // PERIOD_PX) for row, col in quarters]


def _around(row: int, col: int, power: Tensor, reach: int) -> tuple[slice, Tensor, Tensor]:
    """Index of the square of bins around one; the spectrum goes on at its other end."""
    offsets = torch.arange(-reach, reach + 1)
    height, width = power.shape[1:]
    return slice(None), ((row + offsets) % height)[:, None], ((col + offsets) % width)[None, :]
