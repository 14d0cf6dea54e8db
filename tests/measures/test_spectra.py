"""Spectra of patterns whose spectrum is known."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from orthoforge.measures.spectra import (
    checkerboard,
    checkerboard_levels,
    fine_detail,
    power_spectrum,
    radial_spectrum,
)

SIDE = 96
ROW, COL = torch.meshgrid(*[torch.arange(SIDE, dtype=torch.float64)] * 2, indexing="ij")


def picture(plane):
    """(1, 3, H, W) of one plane, the same in all bands."""
    return plane.double().expand(1, 3, *plane.shape).contiguous()


def noise(scale=0.1, *, count=8, seed=0):
    return scale * torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def texture(count=8):
    """What a photograph's spectrum looks like: power falling with the square of the frequency."""
    spectrum = torch.fft.fft2(noise(1.0, count=count))
    down = torch.fft.fftfreq(SIDE)
    radius = torch.hypot(down[:, None], down[None, :])
    images = torch.fft.ifft2(spectrum / radius.clamp(min=1 / SIDE)).real
    return 0.3 * images / images.std()


CHECKER = picture(0.1 * (-1.0) ** (ROW + COL))
STRIPES_2 = picture(0.1 * (-1.0) ** COL)
STRIPES_4 = picture(0.1 * ((ROW % 4 < 2) * 2.0 - 1))


def test_white_noise_has_its_variance_at_every_frequency():
    power = power_spectrum(noise(0.1, count=200))
    assert power.mean().item() == pytest.approx(0.01, rel=0.01)
    by_frequency = power.mean(dim=0)
    by_frequency[torch.meshgrid(*[torch.tensor([-1, 0, 1])] * 2, indexing="ij")] = 0.01  # the mean was taken off here
    assert (by_frequency - 0.01).abs().max() < 5 * 0.01 / 600**0.5  # 600 planes; real bins scatter more


@pytest.mark.parametrize("period", [2, 4, 8, 12])
def test_a_wave_lies_on_the_ring_of_its_frequency(period):
    frequencies, power = radial_spectrum(picture(torch.sin(2 * torch.pi * COL / period + 0.5)))
    assert frequencies[power[0].argmax()].item() == pytest.approx(1 / period, abs=1e-6)
    assert frequencies[0].item() == pytest.approx(1 / SIDE)
    assert frequencies[-1].item() == pytest.approx(0.5**0.5, abs=1 / SIDE)


def test_rings_of_an_oblong_image_are_those_of_its_shorter_side():
    frequencies, power = radial_spectrum(noise()[..., :40])
    assert frequencies[0].item() == pytest.approx(1 / 40)
    assert power.shape == (8, len(frequencies))
    assert power[:, 2:].mean().item() == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize("pattern", [CHECKER, STRIPES_2, STRIPES_4], ids=["checkerboard", "period 2", "period 4"])
def test_what_repeats_every_two_or_four_pixels_stands_out(pattern):
    assert checkerboard(pattern).item() > 1000
    assert checkerboard(pattern + noise(0.1)).min() > 10


def test_the_period_says_which_upsampling_it_came_from():
    assert checkerboard(CHECKER, period_px=2).item() > 1000 > 2 > checkerboard(CHECKER, period_px=4).item()
    assert checkerboard(STRIPES_4, period_px=4).item() > 1000 > 2 > checkerboard(STRIPES_4, period_px=2).item()


def test_white_noise_is_no_checkerboard():
    assert checkerboard(noise(count=200)).mean().item() == pytest.approx(1, abs=0.05)
    assert checkerboard(noise(count=200)).max() < 3


@pytest.mark.parametrize(
    "plain",
    [
        picture(torch.zeros(SIDE, SIDE)),
        picture((ROW + 2 * COL) / 300.0),  # a ramp, which does not repeat at the border
        picture(torch.sin(2 * torch.pi * COL / 6) / 2),
        torch.from_numpy(gaussian_filter(noise(1.0, count=40).numpy(), (0, 0, 1, 1))),
    ],
    ids=["flat", "ramp", "stripes of 6 px", "blurred noise"],
)
def test_what_has_no_such_period_is_none(plain):
    assert checkerboard(plain).mean().item() == pytest.approx(1, abs=0.25)


def test_a_photographs_texture_is_none_and_a_faint_checkerboard_in_it_is_found():
    images = texture()
    assert checkerboard(images).mean().item() == pytest.approx(1, abs=0.25)
    faint = 3 / 127.5 * (-1.0) ** (ROW + COL)  # ± 3 grey levels
    assert (checkerboard(images + faint) / checkerboard(images)).min() > 2


def test_brightness_does_not_matter():
    pattern = CHECKER + noise(0.05, count=1)
    assert checkerboard(pattern + 0.6).item() == pytest.approx(checkerboard(pattern).item(), rel=1e-9)
    assert checkerboard(-pattern).item() == pytest.approx(checkerboard(pattern).item(), rel=1e-9)
    assert checkerboard_levels(pattern + 0.6).item() == pytest.approx(checkerboard_levels(pattern).item(), rel=1e-9)


def test_images_of_a_batch_are_measured_each_alone():
    both = torch.cat([CHECKER, noise(count=1)])
    for measure in (checkerboard, checkerboard_levels, fine_detail):
        alone = [measure(both[:1]).item(), measure(both[1:]).item()]
        assert measure(both).tolist() == pytest.approx(alone, rel=1e-12)  # processors add a batch up in orders of their own


def test_a_pattern_far_too_faint_for_eight_bits_does_not_count():
    assert checkerboard_levels(1e-4 * CHECKER).item() == pytest.approx(0.001275)
    assert checkerboard(1e-4 * CHECKER).item() == pytest.approx(1, abs=0.05)


def test_levels_are_the_patterns_own_size():
    assert checkerboard_levels(CHECKER).item() == pytest.approx(12.75)
    assert checkerboard_levels(STRIPES_4).item() == pytest.approx(12.75)
    assert checkerboard_levels(picture(torch.sin(2 * torch.pi * COL / 6))).item() == pytest.approx(0, abs=1e-9)
    expected = 12.75 / (SIDE / 4)  # the root of 24 × 24 cells
    assert checkerboard_levels(noise(0.1, count=100)).mean().item() == pytest.approx(expected, rel=0.05)


def test_blur_takes_fine_detail_away_and_a_checkerboard_adds_none():
    images = texture()
    blurred = torch.from_numpy(gaussian_filter(images.numpy(), (0, 0, 1.5, 1.5)))
    assert (fine_detail(blurred) / fine_detail(images)).max() < 0.4
    patterned = images + 0.2 * (-1.0) ** (ROW + COL) + 2 * STRIPES_4
    torch.testing.assert_close(fine_detail(patterned), fine_detail(images), rtol=1e-6, atol=0)


def test_fine_detail_of_white_noise_is_the_share_of_its_frequencies():
    share = 1 - np.pi / 64  # the disc within an eighth cycle, out of a square of one cycle
    assert fine_detail(noise(0.1, count=50)).mean().item() == pytest.approx(0.1 * share**0.5, rel=0.01)


@pytest.mark.parametrize("shape", [(96, 94), (36, 96)])
def test_sides_that_hold_no_whole_pattern_are_refused(shape):
    with pytest.raises(ValueError, match=f"{shape[0]}×{shape[1]} px"):
        checkerboard(torch.zeros(1, 3, *shape))


def test_levels_of_sides_that_are_no_multiple_of_four_are_refused():
    with pytest.raises(ValueError, match="multiples of 4"):
        checkerboard_levels(torch.zeros(1, 3, 96, 94))
