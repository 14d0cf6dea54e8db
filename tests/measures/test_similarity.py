"""SSIM and MS-SSIM are those of scikit-image and of the paper."""

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from orthoforge.measures.similarity import MS_SSIM_LEAST_PX, ssim_and_ms_ssim, validation_ssim

WINDOW = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def pair(height=180, width=192, noise=30.0):
    rng = np.random.default_rng(0)
    real = np.kron(rng.integers(0, 256, (height // 12, width // 12, 3)), np.ones((12, 12, 1)))
    fake = np.clip(real + rng.normal(0, noise, real.shape), 0, 255).round()
    return fake, real


def tensors(*images):
    return [torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1 for image in images]


@pytest.mark.parametrize("size", [(12, 12), (48, 36), (180, 192)])
def test_ssim_is_scikit_images(size):
    fake, real = pair(*size)
    expected = structural_similarity(fake, real, data_range=255, channel_axis=2, **WINDOW)
    found, _ = ssim_and_ms_ssim(*tensors(fake, real))
    assert float(found) == pytest.approx(expected, abs=1e-4)
    assert float(found) == pytest.approx(float(validation_ssim(*tensors(fake, real))), abs=1e-4)


def test_ms_ssim_is_the_papers_product_of_scikit_images_scales():
    fake, real = pair()
    product = np.ones(3)
    x, y = fake, real
    for scale, exponent in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        for band in range(3):
            _, similarity = structural_similarity(x[..., band], y[..., band], data_range=255, full=True, **WINDOW)
            brightness = brightness_of(x[..., band], y[..., band])
            inside = (slice(5, -5), slice(5, -5))
            factor = similarity[inside].mean() if scale == 4 else (similarity / brightness)[inside].mean()
            product[band] *= factor**exponent
        x, y = (image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2] for image in (x, y))
        x, y = ((i[::2, ::2] + i[1::2, ::2] + i[::2, 1::2] + i[1::2, 1::2]) / 4 for i in (x, y))
    _, found = ssim_and_ms_ssim(*tensors(fake, real))
    assert float(found) == pytest.approx(product.mean(), abs=1e-4)


def brightness_of(x, y):
    from scipy.ndimage import gaussian_filter

    mean_x, mean_y = (gaussian_filter(image, 1.5, truncate=3.5, mode="reflect") for image in (x, y))
    c1 = (0.01 * 255) ** 2
    return (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)


def test_ms_ssim_is_near_torchmetrics_which_counts_the_border_too():
    fake, real = tensors(*pair(240, 240))
    theirs = multiscale_structural_similarity_index_measure(fake + 1, real + 1, data_range=2.0, normalize="relu")
    assert float(ssim_and_ms_ssim(fake, real)[1]) == pytest.approx(float(theirs), abs=0.02)


def test_equal_images_are_one_and_small_ones_have_no_five_scales():
    real = torch.rand(2, 3, MS_SSIM_LEAST_PX, MS_SSIM_LEAST_PX) * 2 - 1
    assert [scores.tolist() for scores in ssim_and_ms_ssim(real, real)] == [[pytest.approx(1, abs=1e-5)] * 2] * 2
    assert ssim_and_ms_ssim(real[..., 1:, :], real[..., 1:, :])[1] is None


def test_opposite_images_have_no_power_of_a_negative_number():
    real = torch.rand(1, 3, MS_SSIM_LEAST_PX, MS_SSIM_LEAST_PX) * 2 - 1
    similarity, multiscale = ssim_and_ms_ssim(-real, real)
    assert float(similarity) < 0
    assert float(multiscale) == 0
