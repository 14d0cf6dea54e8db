"""PSNR and SSIM against scikit-image's."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from orthoforge.measures.pixels import SEED_PSNR_OFFSET_DB, detail, detail_levels, outlines_seen, psnr
from orthoforge.measures.similarity import validation_ssim as ssim


@pytest.fixture(scope="module")
def pairs():
    random = np.random.default_rng(0)
    real = random.uniform(-1, 1, (3, 3, 48, 40)).astype(np.float32)
    real[1] = np.cumsum(np.cumsum(real[1], axis=1), axis=2) / 40  # smooth, as photographs are
    noise = random.normal(0, 1, real.shape) * np.array([0.01, 0.1, 0.6])[:, None, None, None]
    return np.clip(real + noise, -1, 1).astype(np.float32), np.clip(real, -1, 1)


def test_psnr_is_that_of_scikit_image_image_by_image(pairs):
    fake, real = pairs
    expected = [peak_signal_noise_ratio(r, f, data_range=2) for f, r in zip(fake, real, strict=True)]
    np.testing.assert_allclose(psnr(torch.from_numpy(fake), torch.from_numpy(real)), expected, atol=1e-4)


def test_ssim_is_that_of_scikit_image_image_by_image(pairs):
    fake, real = pairs
    options = {"channel_axis": 0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}
    expected = [structural_similarity((r + 1) / 2, (f + 1) / 2, **options) for f, r in zip(fake, real, strict=True)]
    assert max(expected) - min(expected) > 0.3, "the pairs must differ in quality"
    np.testing.assert_allclose(ssim(torch.from_numpy(fake), torch.from_numpy(real)), expected, atol=1e-4)


def test_the_seeds_psnr_reads_6_02_db_lower(pairs):
    fake, real = (torch.from_numpy(images) for images in pairs)
    seeds_formula = 10 * torch.log10(1 / (fake - real).square().mean(dim=(1, 2, 3)))
    np.testing.assert_allclose(psnr(fake, real) - SEED_PSNR_OFFSET_DB, seeds_formula, atol=1e-4)
    assert pytest.approx(6.0206, abs=1e-4) == SEED_PSNR_OFFSET_DB


def test_equal_images():
    image = torch.rand(1, 3, 16, 16) * 2 - 1
    assert psnr(image, image).item() == float("inf")
    assert ssim(image, image).item() == pytest.approx(1)


def test_bfloat16_is_scored_in_float32(pairs):
    fake, real = (torch.from_numpy(images).bfloat16() for images in pairs)
    assert torch.equal(psnr(fake, real), psnr(fake.float(), real.float()))
    assert torch.equal(ssim(fake, real), ssim(fake.float(), real.float()))


def test_outlines_are_counted_where_the_mask_has_them_and_the_image_shows_them():
    condition = torch.full((1, 3, 32, 32), -1.0)
    condition[..., 4:20, 4:20] = 1.0  # covers one square of 8 px, and cuts the eight around it
    flat = torch.zeros(1, 3, 32, 32)
    assert outlines_seen(condition, condition).tolist() == [[8, 8]]
    assert outlines_seen(flat, condition)[0, 0] == 0
    assert outlines_seen(flat + 0.02 * (condition > 0), condition)[0, 0] == 0, "2.5 levels across are not seen"
    burnt = flat.clone()
    burnt[..., 8:16, 8:16] = condition[..., 8:16, 8:16]
    assert outlines_seen(burnt, condition)[0, 0] == 0, "a bright roof without an outline is none"
    classes = torch.stack([condition[:, 0], -condition[:, 0], -torch.ones(1, 32, 32)], dim=1)
    assert outlines_seen(condition, classes).tolist() == outlines_seen(condition, condition).tolist()


def test_detail_is_the_mean_step_between_neighbours():
    stripes = torch.zeros(2, 3, 4, 4)
    stripes[1, :, :, ::2] = 1.0
    assert detail(stripes).tolist() == [0.0, 0.5], "steps of 1 across, none down"


def test_detail_in_levels_is_127_5_times_as_large():
    image = np.random.default_rng(0).integers(0, 256, (16, 12, 3), dtype=np.uint8)
    tensor = torch.from_numpy(image / 127.5 - 1).permute(2, 0, 1)[None]
    assert detail_levels(image) == pytest.approx(127.5 * detail(tensor).item(), rel=1e-5)
