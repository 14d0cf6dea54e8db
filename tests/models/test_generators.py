"""One battery for every generator."""

import itertools
from typing import get_args

import pytest
import torch

from orthoforge.models.generators import GENERATORS, build_generator, generator_stride
from orthoforge.models.layers import NoiseDropout, Norm, Upsample

NORMS, UPSAMPLES = get_args(Norm), get_args(Upsample)
EVERY = list(itertools.product(GENERATORS, NORMS, UPSAMPLES))
PARAMETERS = {  # at 3 channels and width 64
    ("resnet6", "batch"): 7_841_411, ("resnet6", "instance"): 7_837_699,
    ("resnet9", "batch"): 11_383_427, ("resnet9", "instance"): 11_378_179,  # the seed's 11.38 M, both
    ("resunet6", "batch"): 8_219_459, ("resunet6", "instance"): 8_215_747,
    ("resunet9", "batch"): 11_761_475, ("resunet9", "instance"): 11_756_227,
    # Encoder 16 · (3·64 + 64·128 + 128·256 + 256·512 + 4·512²) = 19 532 800, decoder 16 · (512² + 3·1024·512 + 1024·256 + 512·128
    # + 256·64 + 128·3) = 34 871 296, norms 2 · (128 + 256 + 4·512) + 2 · (4·512 + 256 + 128 + 64) = 9 856 (last of encoder: none),
    # biases 64 + 512 + 3 = 579. Instance norm: no norms' weights, biases 3 008 + 2 499.
    ("unet256", "batch"): 54_414_531, ("unet256", "instance"): 54_409_603,
    # One layer more each: 16 · (512² + 1024·512), and 2·2·512 of norms or 2·512 of biases.
    ("unet512", "batch"): 66_999_491, ("unet512", "instance"): 66_993_539,
}  # fmt: skip
# What 3×3 instead of 4×4 takes off a U-Net's decoder: 7 of 16 weights.
RESIZING_SAVES = {"unet256": 7 * 34_871_296 // 16, "unet512": 7 * (34_871_296 + 16 * 1024 * 512) // 16}


def small(name, norm="batch", upsample="transposed", channels=3, width=None):
    torch.manual_seed(0)
    width = width or (2 if name.startswith("unet") else 4)
    return build_generator(name, channels, width=width, norm=norm, upsample=upsample)


def smallest(name, batch=1, channels=3, seed=0):
    """A condition of a size that is hard to mistake: twice as wide as high where that is cheap."""
    stride = generator_stride(name)
    size = (stride, stride) if stride > 4 else (24, 32)
    return torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(seed))


def silenced(network):
    """Without noise: two calls can be compared whatever their shapes."""
    for module in network.modules():
        if isinstance(module, NoiseDropout):
            module.probability = 0.0
    return network


def seeded(network, condition):
    torch.manual_seed(1)
    return network(condition)


@pytest.mark.parametrize(("name", "norm", "upsample"), EVERY)
def test_parameter_counts(name, norm, upsample):
    with torch.device("meta"):
        network = GENERATORS[name].build(3, width=64, norm=norm, upsample=upsample)
    saved = RESIZING_SAVES.get(name, 0) if upsample == "resize" else 0
    affine = "instance" if norm == "instance" else "batch"  # group norm weighs what batch norm weighs
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name, affine] - saved


@pytest.mark.parametrize(("name", "norm", "upsample"), EVERY)
def test_an_image_of_the_conditions_size_in_minus_one_to_one_and_gradients_everywhere(name, norm, upsample):
    network = small(name, norm, upsample, channels=5)
    condition = smallest(name, batch=2, channels=5)
    image = network(condition)
    assert image.shape == (2, 3, *condition.shape[2:])
    assert image.abs().max() <= 1
    assert image.std() > 0
    image.square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    weights = [p for p in network.parameters() if p.dim() == 4]
    assert all((p.grad != 0).any() for p in weights)


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize(("channels", "width"), [(1, 3), (7, 1)])
@pytest.mark.parametrize("norm", NORMS)
def test_odd_counts_of_channels(name, channels, width, norm):
    image = small(name, norm, channels=channels, width=width)(smallest(name, channels=channels))
    assert image.shape[:2] == (1, 3)
    assert image.isfinite().all()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "norm"), itertools.product(GENERATORS, NORMS))
def test_an_image_depends_on_its_batch_only_through_batch_norm_in_training(name, norm, training):
    network, conditions = silenced(small(name, norm)).train(training), smallest(name, batch=3)
    with torch.no_grad():
        alone, together = network(conditions[:1]), network(conditions)[:1]
    assert torch.allclose(alone, together, atol=1e-4) == (norm != "batch" or not training)


@pytest.mark.parametrize(("name", "norm", "upsample"), EVERY)
def test_channels_last_gives_the_same_values(name, norm, upsample):
    network, condition = small(name, norm, upsample).eval(), smallest(name)
    with torch.inference_mode():
        plain = seeded(network, condition)
        columns = seeded(network.to(memory_format=torch.channels_last), condition.to(memory_format=torch.channels_last))
    torch.testing.assert_close(columns, plain, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("name", "norm", "upsample"), EVERY)
def test_bfloat16_autocast_gives_nearly_the_same_image(name, norm, upsample):
    network, condition = small(name, norm, upsample).eval(), smallest(name)
    with torch.inference_mode():
        plain = seeded(network, condition)
        with torch.autocast("cpu", torch.bfloat16):
            rough = seeded(network, condition).float()
    assert rough.abs().max() <= 1
    assert (rough - plain).square().mean().sqrt() < 0.1 * plain.square().mean().sqrt()


@pytest.mark.parametrize(("name", "training"), itertools.product(GENERATORS, [True, False]))
def test_only_the_u_nets_are_noisy_and_their_seed_decides(name, training):
    network, condition = small(name, "instance").train(training), smallest(name)
    with torch.no_grad():
        first, second, again = seeded(network, condition), network(condition), seeded(network, condition)
    assert torch.equal(first, again)
    assert torch.equal(first, second) == (not name.startswith("unet"))


@pytest.mark.parametrize("name", GENERATORS)
def test_initial_weights_are_a_function_of_the_seed(name):
    one, same = small(name), small(name)
    torch.manual_seed(1)
    other = build_generator(
        name, 3, width=one.state_dict()[next(iter(one.state_dict()))].shape[0], norm="batch", upsample="transposed"
    )
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True) if a.dim() == 4)


def test_strides():
    assert {name: generator_stride(name) for name in GENERATORS} == {
        "resnet6": 4, "resnet9": 4, "resunet6": 4, "resunet9": 4, "unet256": 256, "unet512": 512,
    }  # fmt: skip


@pytest.mark.parametrize("name", GENERATORS)
def test_sides_are_multiples_of_the_stride_each_of_its_own(name):
    network, stride = small(name, width=1).eval(), generator_stride(name)
    sides = max(stride, 8), 2 * max(stride, 8)
    assert network(torch.zeros(1, 3, *sides)).shape[2:] == sides
    for wrong in ((sides[0] + 2, sides[1]), (sides[0], sides[1] - 2)):
        with pytest.raises(AssertionError, match=f"no multiple of {stride}"):
            network(torch.zeros(1, 3, *wrong))


def power_of_single_pixels(image):
    """Power of (H, W, C) at the highest frequencies of either axis, where every second pixel differs; Hann window."""
    side = image.shape[-1]
    window = torch.hann_window(side, dtype=torch.float64)
    spectrum = torch.fft.fft2((image - image.mean(dim=(2, 3), keepdim=True)) * window * window[:, None]).abs().square()
    half = slice(side // 2 - 1, side // 2 + 2)
    return (spectrum[:, :, half].sum() + spectrum[:, :, :, half].sum()).item()


@pytest.mark.parametrize(("name", "norm"), itertools.product(["resnet6", "resunet6", "unet256", "unet512"], NORMS))
def test_over_an_empty_mask_transposing_shows_a_checkerboard_and_resizing_does_not(name, norm):
    side = max(192, generator_stride(name))  # the borders' effect stays outside the middle of a ResNet's image
    middle = slice(side // 2 - 32, side // 2 + 32)
    power = {}
    for upsample in UPSAMPLES:
        network = silenced(small(name, norm, upsample, width=4)).eval()
        with torch.inference_mode():
            image = network(torch.full((1, 3, side, side), -1.0))
        power[upsample] = power_of_single_pixels(image[..., middle, middle].double())
    assert power["transposed"] > 0
    assert power["resize"] < 0.05 * power["transposed"]
